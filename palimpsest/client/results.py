"""What a client hands out: versions, documents, changes.

Each keeps what the server sent and decodes values, deltas and times when they are asked for: many callers look at one of
them only.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic

import msgspec
from msgspec import Raw

from palimpsest.client.typed import decode_as
from palimpsest.clock import to_datetime
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.state.delta import Delta
from palimpsest.state.values import decode_plain
from palimpsest.words import Kind, Meta, Parents

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # `Document` alone is a `Document[Any]`

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

_NOTHING_SAID = Meta()
_UNDECODED: Any = object()


class Said:
    """What an author said about a version, and when it was made."""

    __slots__ = ()

    at_microseconds: int
    meta: Meta | None

    @property
    def at(self) -> datetime:
        """When the version was made, by the server's clock, in UTC."""
        return to_datetime(self.at_microseconds)

    @property
    def by(self) -> str | None:
        return (self.meta or _NOTHING_SAID).by

    @property
    def description(self) -> str | None:
        return (self.meta or _NOTHING_SAID).description

    @property
    def tags(self) -> frozenset[str]:
        return frozenset((self.meta or _NOTHING_SAID).tags)

    @property
    def trace(self) -> str | None:
        """What it was written in the course of, as a W3C `traceparent`, where its author's program said so. A write does not return it."""
        return (self.meta or _NOTHING_SAID).trace


class Version(msgspec.Struct, Said, frozen=True):
    """One version of a document: what a write made, or an entry of a history."""

    document: str
    branch: str
    """Where it was made. In a history of a branch that is the parent's, for the versions before the branch starts."""
    version: int
    kind: Kind
    at_microseconds: int
    """Since the epoch, UTC; `at` is the same as a datetime."""
    meta: Meta | None = None
    """`by`, `description` and `tags` are what it says. After a write, what that write said; in a history, the tags are those that
    the version has by now."""
    request: str | None = None
    """The id of the request that made it: "client:number", or the caller's own."""
    repeat: bool = False
    """The write had been applied before, by an earlier sending of the same request."""
    encoded_delta: Raw | None = None
    parents: Parents | None = None
    """In a history, what it comes from beside the version before it on its branch: where a branch starts, and what a merge takes in.
    None for most, and after a write."""

    @property
    def delta(self) -> Delta | None:
        """What changed, in a history; None after a write, whose author knows. Decoded anew each time."""
        return None if self.encoded_delta is None else Delta.decode(self.encoded_delta)

    def __repr__(self) -> str:
        said = repr_of_said(self)
        return f"<Version {self.version} of {self.document!r} on {self.branch!r}, {self.kind.name.lower()}{said}>"


class Document(Said, Generic[T]):
    """A document as of one version; `at`, `by`, `description` and `tags` are that version's. T: what its value is an instance of."""

    __slots__ = ("_encoded", "_value", "at_microseconds", "branch", "id", "kind", "meta", "version")

    def __init__(self, message: m.Document, as_: type[T] | None = None) -> None:
        """as_: what the value is made an instance of, at once. Raises InvalidValue where it does not fit."""
        self.id = message.document
        self.branch = message.branch
        self.version = message.version
        self.kind = message.kind
        self.at_microseconds = message.at
        self.meta = message.meta
        self._encoded = message.value
        self._value = _UNDECODED if as_ is None else decode_as(message.value, as_, message.document)

    @property
    def value(self) -> T:
        """The whole value. It is decoded once, and the caller's to change; nothing of that reaches the server."""
        if self._value is _UNDECODED:
            self._value = decode_plain(self._encoded)
        value: T = self._value
        return value

    def copy_value(self) -> Any:
        """The value as it came, of maps and lists, in a copy of its own."""
        return decode_plain(self._encoded)

    def __eq__(self, other: object) -> bool:
        """The same version of the same document, with the same value."""
        return (
            isinstance(other, Document)
            and (self.id, self.branch, self.version) == (other.id, other.branch, other.version)
            and bool(self.value == other.value)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Document {self.id!r} on {self.branch!r}, version {self.version}{repr_of_said(self)}>"


class Change(Said):
    """One version, as it reaches a subscription."""

    __slots__ = ("_epoch", "_message", "at_microseconds", "meta")

    def __init__(self, message: m.Change, epoch: str) -> None:
        self.at_microseconds = message.at
        self.meta = message.meta
        self._message = message
        self._epoch = epoch

    @property
    def document(self) -> str:
        return self._message.document

    @property
    def branch(self) -> str:
        return self._message.branch

    @property
    def version(self) -> int:
        return self._message.version

    @property
    def kind(self) -> Kind:
        return Kind(self._message.kind)

    @property
    def parents(self) -> Parents | None:
        """As of a `Version`."""
        return self._message.parents

    @property
    def snapshot(self) -> bool:
        """Nothing changed: the document was there already, as this version. `value` is whole, `delta` is empty."""
        return self._message.snapshot

    @property
    def more(self) -> int:
        """How many changes of the same transaction follow in the log; those of other documents than the pattern's count, too."""
        return self._message.more

    @property
    def tries(self) -> int:
        """For a named subscription: which delivery this is, from 1 on. 0 for others."""
        return self._message.tries

    @property
    def position(self) -> int:
        """In the log."""
        return self._message.position

    @property
    def epoch(self) -> str:
        """Of the log that `position` is of."""
        return self._epoch

    @property
    def cursor(self) -> str:
        """The place after this change: `resume_after` takes it. "" for what a snapshot shows."""
        if self._message.snapshot:
            return ""
        return encode_cursor(self._epoch, self._message.position)

    @property
    def delta(self) -> Delta:
        """What changed. Decoded anew each time."""
        return Delta.decode(self._message.delta)

    @property
    def value(self) -> Any:
        """The whole value after the change, for a subscription with `values` and in a snapshot; None for others, and after a delete.
        Decoded anew each time."""
        return decode_plain(self._message.value)

    def __repr__(self) -> str:
        said = repr_of_said(self)
        return f"<Change to {self.document!r} on {self.branch!r}, version {self.version}{said}>"


def repr_of_said(said: Said) -> str:
    parts = [f" at {said.at:%Y-%m-%d %H:%M:%S}"]
    if said.by is not None:
        parts.append(f" by {said.by!r}")
    if said.description is not None:
        parts.append(f": {said.description!r}")
    return "".join(parts)
