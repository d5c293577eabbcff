"""What one document branch is, and what a command makes of it.

Pure: no clock, no storage, no event loop. A `decide_...` method takes a command and gives the event that the log is to keep,
and the stream has moved on to the version that the event makes; or it raises, and nothing has happened. Whether the event
is durable, and who is told, is not known here: `version` is the newest *decided* version.

The value is held in one or both of two forms: `working`, a pyrsistent value with the changes that nobody has read yet, and
`encoded`, canonical msgpack. A stream that is only read needs no `working`; one that is written gives up `encoded`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw

from palimpsest.errors import DocumentExists, DocumentNotFound, InvalidRequest, LimitExceeded, VersionConflict
from palimpsest.limits import Limits
from palimpsest.protocol.messages import Create, Delete, Document, Update
from palimpsest.state.ops import Erase, Op, Set, decode_delta, encode_delta
from palimpsest.state.record import labels_of
from palimpsest.state.retention import effective_tags
from palimpsest.state.values import Value, check_value, decode_plain, decode_value, encode_value, freeze
from palimpsest.state.working import Working
from palimpsest.storage.contracts import Row, Stretch
from palimpsest.storage.events import NO_DELTA, Event
from palimpsest.words import Kind, Meta, Parents

_CREATE, _UPDATE, _DELETE, _ERASE = int(Kind.CREATE), int(Kind.UPDATE), int(Kind.DELETE), int(Kind.ERASE)

OP_OVERHEAD_BYTES = 16
"""How much an op may add to a value beyond its own encoded size: a wider int, a wider map header."""

_TRACE = re.compile("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""A W3C `traceparent`: 55 characters."""

_GROWTH_MAX = 1 + OP_OVERHEAD_BYTES // 3
"""How many times its own size a delta may add to a value, copies aside: no op is encoded in fewer than three bytes."""

_ANY_DEPTH = 1 << 30
"""What is in the log was within the limits of its day."""

Mark = tuple[Any, ...]


class Stream:
    """The state of one document branch."""

    __slots__ = (
        "at",
        "branch",
        "bytes_bound",
        "delta_bytes",
        "document",
        "due",
        "encoded",
        "exists",
        "kind",
        "limits",
        "meta",
        "record",
        "version",
        "working",
    )

    def __init__(self, document: str, branch: str, limits: Limits) -> None:
        self.document = document
        self.branch = branch
        self.limits = limits
        self.version = 0
        """The newest decided version; 0: the document never was."""
        self.exists = False
        self.kind = _DELETE
        self.at = 0
        self.meta: Meta | None = None
        self.record: Any = None
        """The durable value of the document's record (see `words.RECORD`), frozen; None where it has none."""
        self.working: Working | None = None
        self.encoded: bytes | None = None
        self.bytes_bound = 0
        """At least the size of the encoded value."""
        self.delta_bytes = 0
        """Of the event that was decided last."""
        self.due: Parents | None = None
        """What the next event comes from beside the version before it."""

    # --- commands ----------------------------------------------------------------------------------------------

    def decide_update(self, message: Update, origin: str, now: int, more: int = 0) -> Event:
        """Raises DocumentNotFound, VersionConflict, InvalidDelta, DeltaFailed, InvalidValue or LimitExceeded."""
        if not self.exists:
            raise self._not_found()
        if message.expect is not None and message.expect != self.version:
            raise self._conflict(message.expect)
        limits = self.limits
        meta = message.meta
        if meta is not None:  # before the value changes: what is refused has changed nothing
            check_meta(meta, limits)
        raw = message.delta
        self.delta_bytes = size = len(raw)
        room = limits.document_bytes_max - self.bytes_bound - _GROWTH_MAX * size
        working = self.working or self._wake_value()
        try:
            ops = working.apply_encoded(raw, limits, room) if room >= 0 else None
        except LimitExceeded as error:
            if error.limit != "document_bytes_max":
                raise
            ops = None
        if ops is None:
            raw = self._apply_near_limit(raw, working)
        else:
            self.bytes_bound += size + OP_OVERHEAD_BYTES * len(ops) + working.copied_bytes
            if working.compiled:
                raw = self._recode(ops)
        self.encoded = None
        # As `_advance`, which is not called here: this is the one way that has to be short.
        at = self.at
        if now > at:
            self.at = at = now
        self.version = version = self.version + 1
        self.kind = _UPDATE
        self.meta = meta
        due = self.due
        if due is not None:
            self.due = None
        return Event(
            self.document, self.branch, version, _UPDATE, at, raw, origin, message.id, meta, message.key, more, due
        )

    def decide_create(self, message: Create, origin: str, now: int, more: int = 0) -> Event:
        """Raises DocumentExists, InvalidValue or LimitExceeded."""
        if self.exists:
            raise DocumentExists(
                f"{self.document!r} exists already, at version {self.version}",
                document=self.document,
                branch=self.branch,
                version=self.version,
            )
        value = decode_plain(message.value)
        check_value(value, depth_max=self.limits.depth_max)
        encoded = encode_value(value)
        self._check_size(len(encoded))
        if message.meta is not None:
            check_meta(message.meta, self.limits)
        delta = Raw(encode_delta([Set((), value)]))
        self.delta_bytes = len(delta)
        self.working = Working(freeze(value))
        self.encoded = encoded
        self.bytes_bound = len(encoded)
        self.exists = True
        return self._advance(_CREATE, delta, origin, message.id, message.meta, message.key, now, more)

    def decide_delete(self, message: Delete, origin: str, now: int, more: int = 0) -> Event:
        """Raises DocumentNotFound or VersionConflict."""
        if not self.exists:
            raise self._not_found()
        if message.expect is not None and message.expect != self.version:
            raise self._conflict(message.expect)
        if message.meta is not None:
            check_meta(message.meta, self.limits)
        self._forget_value()
        self.delta_bytes = 0
        return self._advance(_DELETE, NO_DELTA, origin, message.id, message.meta, message.key, now, more)

    def view(self, id: int) -> Document:
        """The answer to a read of the newest decided version. Raises DocumentNotFound."""
        if not self.exists:
            raise self._not_found()
        encoded = self.encoded_value()
        meta = self.meta if self.record is None else self.labelled(self.version, self.meta)
        return Document(id, self.document, self.branch, self.version, self.kind, self.at, Raw(encoded), meta)

    def labelled(self, version: int, meta: Meta | None) -> Meta | None:
        """What was said of a version when it was made, with the tags that it was given or lost since."""
        return with_labels(meta, labels_of(self.record, self.branch, version))

    # --- the value -----------------------------------------------------------------------------------------------

    def encoded_value(self) -> bytes:
        """The newest decided value as canonical msgpack, kept until it changes. The document exists."""
        encoded = self.encoded
        if encoded is None:
            assert self.working is not None
            encoded = self.encoded = encode_value(self.working.freeze())
            self.bytes_bound = len(encoded)
        return encoded

    def value(self) -> Value:
        """The newest decided value, frozen. The document exists."""
        return (self.working or self._wake_value()).freeze()

    def cool(self) -> None:
        """Keeps only the encoded form, which is a third of the size."""
        if self.exists:
            self.encoded_value()
            self.working = None

    def estimated_bytes(self) -> int:
        """Of memory, roughly: pyrsistent maps take some five times what the encoded value does."""
        size = 400
        if self.working is not None:
            size += 5 * self.bytes_bound
        if self.encoded is not None:
            size += len(self.encoded)
        return size

    def load(self, stretch: Stretch) -> None:
        """Becomes what the archive knows. Raises StoreCorrupt's causes (DeltaFailed) where it does not fit together."""
        snapshot = stretch.snapshot
        rows = stretch.rows
        self.version = rows[0].event.version - 1  # what came before is not kept, or is in the snapshot
        if snapshot is not None:
            own = rows[0].event
            assert own.version == snapshot.version, (own.version, snapshot.version)
            self.exists = True
            self.encoded = snapshot.value
            self.bytes_bound = len(snapshot.value)
            self.version, self.kind, self.at, self.meta = own.version, own.kind, own.at, own.meta
            rows = rows[1:]
        for row in rows:
            self.replay(row)

    def replay(self, row: Row) -> None:
        """Goes on by one event of the log. The event's version follows the stream's, or it sets the whole value."""
        event = row.event
        ops = decode_delta(event.delta)
        follows = event.version == self.version + 1 or starts_line(event) or sets_all(event.kind, ops)
        assert follows, (event.version, self.version)
        if ends(event.kind, ops):
            self._forget_value()
        else:
            if not self.exists or event.kind == _CREATE:
                self.exists = True
                self.working = Working(None)
            working = self.working or self._wake_value()
            working.apply(ops, depth_max=_ANY_DEPTH)
            self.bytes_bound += len(event.delta) + OP_OVERHEAD_BYTES * len(ops) + working.copied_bytes
            self.encoded = None
        self.version = event.version
        self.kind = event.kind
        self.at = event.at
        self.meta = event.meta

    def begin(self, base: Stream | None, version: int) -> None:
        """Becomes what another branch is, or nothing; version: the number before the first of its own."""
        self.version = version
        if base is None:
            self._forget_value()
            self.kind, self.meta = _DELETE, None
            return
        self.exists, self.kind, self.at, self.meta = base.exists, base.kind, max(self.at, base.at), base.meta
        self.working = None if base.working is None else base.working.copy()
        self.encoded, self.bytes_bound = base.encoded, base.bytes_bound

    # --- transactions --------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """What `restore` needs to take back whatever is decided from here on."""
        working = self.working
        kept = None if working is None else working.copy()
        state = (self.version, self.exists, self.kind, self.at, self.meta, kept)
        return (*state, self.encoded, self.bytes_bound, self.due)

    def restore(self, mark: Mark) -> None:
        (
            self.version,
            self.exists,
            self.kind,
            self.at,
            self.meta,
            self.working,
            self.encoded,
            self.bytes_bound,
            self.due,
        ) = mark

    # --- inside --------------------------------------------------------------------------------------------------

    def _advance(
        self,
        kind: int,
        delta: Raw,
        origin: str,
        request: int,
        meta: Meta | None,
        key: str | None,
        now: int,
        more: int,
    ) -> Event:
        at = self.at
        if now > at:  # the machine's clock may step back; a stream's time does not
            self.at = at = now
        self.version = version = self.version + 1
        self.kind = kind
        self.meta = meta
        due, self.due = self.due, None
        return Event(self.document, self.branch, version, kind, at, delta, origin, request, meta, key, more, due)

    def _wake_value(self) -> Working:
        assert self.encoded is not None
        self.working = working = Working(decode_value(self.encoded))
        return working

    def _forget_value(self) -> None:
        self.exists = False
        self.working = None
        self.encoded = None
        self.bytes_bound = 0

    def _apply_near_limit(self, raw: Raw, working: Working) -> Raw:
        """The bound is not good enough to tell: apply, measure, and take it back if it is too much."""
        limits = self.limits
        before = working.copy()
        try:
            ops = working.apply_encoded(raw, limits, limits.document_bytes_max)
            size = len(encode_value(working.freeze()))
            self._check_size(size)
        except BaseException:
            self.working = before
            raise
        self.bytes_bound = size
        return self._recode(ops) if working.compiled else raw

    def _recode(self, ops: list[Op]) -> Raw:
        """What is kept of a delta that had to be compiled."""
        raw = Raw(encode_delta(ops))
        self.delta_bytes = len(raw)
        return raw

    def _check_size(self, size: int) -> None:
        maximum = self.limits.document_bytes_max
        if size > maximum:
            raise LimitExceeded(
                f"{self.document!r} would be {size} bytes; document_bytes_max is {maximum}",
                limit="document_bytes_max",
                maximum=maximum,
                actual=size,
            )

    def _conflict(self, expected: int) -> VersionConflict:
        actual = self.version
        return VersionConflict(
            f"{self.document!r} is at version {actual}, not {expected}",
            document=self.document,
            branch=self.branch,
            expected=expected,
            actual=actual,
        )

    def _not_found(self) -> DocumentNotFound:
        deleted = f": version {self.version} deleted it" if self.version else ""
        return DocumentNotFound(
            f"there is no document {self.document!r}{deleted}",
            document=self.document,
            branch=self.branch,
            version=self.version or None,
        )


def ends(kind: int, ops: Sequence[Op]) -> bool:
    """Whether the document does not exist after such an event."""
    return kind == _DELETE or (kind == _ERASE and is_whole(ops))


def is_whole(ops: Sequence[Op]) -> bool:
    """Whether the delta of an erasure is that of the whole document."""
    return bool(ops) and type(ops[0]) is Erase and not ops[0].path


def sets_all(kind: int, ops: Sequence[Op]) -> bool:
    """Whether the value after such an event does not depend on the one before it, so that it may follow a gap."""
    return ends(kind, ops) or (bool(ops) and type(ops[0]) is Set and not ops[0].path)


def starts_line(event: Event) -> bool:
    """Whether it is the first version of a branch that another branch is the base of."""
    return event.parents is not None and event.parents.base is not None


def with_labels(meta: Meta | None, labels: Mapping[str, bool]) -> Meta | None:
    """meta: what a version was made with; labels: the tags that it was given or lost since."""
    if not labels:
        return meta
    said = meta or Meta()
    return Meta(said.by, said.description, effective_tags(said.tags, labels), said.trace)


def check_meta(meta: Meta, limits: Limits) -> None:
    """Tags are sorted, unique and not empty; the whole is bounded; a trace is one. Raises InvalidRequest or LimitExceeded."""
    trace = meta.trace
    if trace is not None and _TRACE.fullmatch(trace) is None:
        raise InvalidRequest(
            f"{trace[:64]!r} is no traceparent: version-trace-span-flags, in hexadecimal digits of lower case",
            reason="trace",
        )
    tags: Sequence[str] = meta.tags
    if tags:
        if len(tags) > limits.meta_tags_max:
            raise LimitExceeded(
                f"{len(tags)} tags; a version has at most {limits.meta_tags_max}",
                limit="meta_tags_max",
                maximum=limits.meta_tags_max,
                actual=len(tags),
            )
        if "" in tags or any(first >= second for first, second in itertools.pairwise(tags)):
            reason = "tags are not empty, sorted, and without repeats"
            raise InvalidRequest(f"{list(tags)!r}: {reason}", reason=reason)
    size = len(meta.by or "") + len(meta.description or "") + sum(map(len, tags))
    if size > limits.meta_bytes_max:
        raise LimitExceeded(
            f"by, description and tags are {size} characters; at most {limits.meta_bytes_max} are kept with a version",
            limit="meta_bytes_max",
            maximum=limits.meta_bytes_max,
            actual=size,
        )
