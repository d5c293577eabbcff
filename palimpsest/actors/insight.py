"""What can be said about a document's past beyond single versions: what changed, who set what, and what it takes to go back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from palimpsest.actors.commands import Become, Note, TakeBack
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.reading import Reader, entry_of, labelled
from palimpsest.actors.stream import Stream, ends
from palimpsest.actors.tracing import Traced, Tracing
from palimpsest.errors import DocumentNotFound, LimitExceeded, PalimpsestError, VersionPruned
from palimpsest.limits import Limits
from palimpsest.protocol.messages import Blame as BlameRequest
from palimpsest.protocol.messages import (
    Blamed,
    Diff,
    Differences,
    Digest,
    Digested,
    Entry,
    Label,
    Place,
    Revert,
    Undo,
)
from palimpsest.state.diff import diff
from palimpsest.state.lines import line_at
from palimpsest.state.ops import decode_delta, encode_delta
from palimpsest.state.record import pruned
from palimpsest.state.tree import NOTHING, Misfit, find
from palimpsest.storage.contracts import Row
from palimpsest.words import RECORD, Meta, Node, Parents

_NO_DELTA = Raw(b"\x90")


class _Pruned:
    def __repr__(self) -> str:
        return "PRUNED"


PRUNED: Final[Any] = _Pruned()
"""In place of a value that is not kept any more."""

_PATH_BYTES = 16
"""What a path takes in an answer, beyond its keys."""


class Insight:
    """Answers from durable versions. actor: of the document and the branch that is asked about."""

    def __init__(self, reader: Reader, limits: Limits, settled: Callable[[], Awaitable[None]]) -> None:
        """settled: returns once all that is durable when it is called is archived."""
        self._reader = reader
        self._limits = limits
        self._settled = settled

    async def diff(self, a: DocumentActor, b: DocumentActor, message: Diff) -> Differences:
        """a, b: the actors of the two branches."""
        first = await self._reader.find(a, message.a)
        second = await self._reader.find(b, message.b)
        old, new = await self._existing(a, first), await self._existing(b, second)
        return Differences(message.id, first[1], second[1], Raw(encode_delta(diff(old.value(), new.value()))))

    async def digest(self, actor: DocumentActor, message: Digest) -> Digested:
        node = await self._reader.find(actor, message.place)
        digest = await self._reader.digest(actor, node)
        return Digested(message.id, actor.document, *node, digest)

    async def blame(self, actor: DocumentActor, message: BlameRequest) -> Blamed:
        node = await self._reader.find(actor, message.place)
        value = (await self._existing(actor, node)).value()
        try:
            find(value, message.path)
        except Misfit as misfit:
            raise DocumentNotFound(
                f"version {node[1]} of {actor.document!r} has nothing there: {misfit.detail}",
                document=actor.document,
                branch=actor.branch,
                version=node[1],
            ) from None
        tracing = Tracing(self._reader, actor.document, actor.record)
        found = await tracing.trace(node, value, message.path)
        return self._blamed(actor, message, node[1], found, tracing.is_exact)

    def _blamed(
        self, actor: DocumentActor, message: BlameRequest, version: int, found: Sequence[Traced], exact: bool
    ) -> Blamed:
        rows = {row.position: row for _, row in found}
        positions = sorted(rows, reverse=True)
        places = {position: place for place, position in enumerate(positions)}
        size = sum(_PATH_BYTES + sum(len(step) if type(step) is str else 2 for step in path) for path, _ in found)
        maximum = self._limits.frame_bytes_max // 2
        if size > maximum:
            raise LimitExceeded(
                f"{len(found)} paths take {size} bytes; ask for a part of the document, by its path",
                limit="frame_bytes_max",
                maximum=self._limits.frame_bytes_max,
                actual=size,
            )
        paths = tuple((path, places[row.position]) for path, row in found)
        entries = tuple(_about(actor, rows[position], message.place.branch) for position in positions)
        return Blamed(message.id, version, paths, entries, exact)

    # --- what writes need to know --------------------------------------------------------------------------------

    async def become(self, actor: DocumentActor, source: DocumentActor, message: Revert) -> Become:
        """The write that a revert comes to. source: the actor of the branch of `to`."""
        value, refusal = b"", None
        try:
            stream = await self._existing(source, await self._reader.find(source, message.to))
            value = stream.encoded_value()
        except PalimpsestError as error:
            refusal = error
        return Become(*_common(message), message.expect, refusal, value)

    async def take_back(self, actor: DocumentActor, message: Undo) -> TakeBack:
        """The write that an undo comes to."""
        version = message.version
        try:
            node = await self._reader.find(actor, Place(message.branch, version))
            row = await self._reader.row(actor, node)
            ops = tuple(decode_delta(row.event.delta))
            after = await self._reader.stream_at(actor, node)
            before = await self.before(actor, row)
        except PalimpsestError as error:
            return TakeBack(*_common(message), message.expect, error)
        made = NOTHING if ends(row.event.kind, ops) else after.value()
        return TakeBack(*_common(message), message.expect, None, version, before, ops, made)

    async def note(self, actor: DocumentActor, message: Label) -> Note:
        """The write to the document's record that a label comes to."""
        refusal: PalimpsestError | None = None
        made_with: tuple[str, ...] = ()
        branch, version, seen = message.branch, message.version, 0
        try:
            branch, version = await self._reader.find(actor, Place(message.branch, message.version))
            seen, _ = pruned(actor.record, branch)
            if version <= seen:
                await self._settled()  # what was decided by then is done, so that what is there stays
            row = await self._reader.row(actor, (branch, version))
            made_with = (row.event.meta or Meta()).tags
        except PalimpsestError as error:
            refusal = error
        common = (message.id, message.document, RECORD, message.repeat, message.meta, message.key)
        what = (branch, version, message.add, message.remove)
        return Note(*common, None, refusal, *what, made_with, seen)

    async def before(self, actor: DocumentActor, row: Row) -> object:
        """The value that a version met; NOTHING where the document did not exist. Raises VersionPruned."""
        event = row.event
        version = event.version
        node = _node_before(actor.record, event.branch, version, event.parents)
        if node is None:
            return NOTHING
        try:
            stream = await self._reader.stream_at(actor, node)
        except VersionPruned as error:
            raise VersionPruned(
                f"what version {version} of {actor.document!r} did cannot be told: the one before it is not kept any more",
                **error.data,
            ) from None
        return stream.value() if stream.exists else NOTHING

    async def around(self, actor: DocumentActor, version: int, parents: Parents | None) -> tuple[Any, Any]:
        """The frozen values before and after a version that was made on the actor's branch, NOTHING where the document did not exist,
        PRUNED where the one before is not kept any more. Raises VersionPruned where the version itself is not."""
        branch = actor.branch
        node = _node_before(actor.record, branch, version, parents)
        before: Any = NOTHING
        if node is not None:
            try:
                before = await self._reader.value_at(actor.document, node)
            except VersionPruned:
                before = PRUNED
        return before, await self._reader.value_at(actor.document, (branch, version))

    async def _existing(self, actor: DocumentActor, node: Node) -> Stream:
        """Raises DocumentNotFound where the document was deleted then."""
        stream = await self._reader.stream_at(actor, node)
        if not stream.exists:
            raise DocumentNotFound(
                f"{actor.document!r} did not exist as of version {node[1]}",
                document=actor.document,
                branch=node[0],
                version=node[1],
            )
        return stream


def _node_before(record: Any, branch: str, version: int, parents: Parents | None) -> Node | None:
    """What a version was made on; None where there was nothing."""
    node = parents.base if parents is not None and parents.base is not None else (branch, version - 1)
    if version == 1 or (node[1] < line_at(record, (branch, version)).first and node[0] == branch):
        return None
    return node


def _common(message: Revert | Undo) -> tuple[int, str, str, bool, Meta | None, str | None]:
    return message.id, message.document, message.branch, message.repeat, message.meta, message.key


def _about(actor: DocumentActor, row: Row, asked: str) -> Entry:
    event = row.event
    meta = event.meta if actor.record is None else labelled(actor.record, event)
    return msgspec.structs.replace(entry_of(event, meta, asked), delta=_NO_DELTA)
