"""What can be said about a document's past beyond single versions: what changed, who set what, and what it takes to go back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Raw

from palimpsest.actors.commands import Become, Note, TakeBack
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.reading import Reader, entry_of
from palimpsest.actors.stream import Stream, ends
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
from palimpsest.state.blame import Blame
from palimpsest.state.diff import diff
from palimpsest.state.ops import decode_delta, encode_delta
from palimpsest.state.record import pruned
from palimpsest.state.tree import NOTHING, Misfit, find
from palimpsest.storage.contracts import Row
from palimpsest.words import RECORD, Meta

_NO_DELTA = Raw(b"\x90")
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
        return Differences(message.id, first, second, Raw(encode_delta(diff(old.value(), new.value()))))

    async def digest(self, actor: DocumentActor, message: Digest) -> Digested:
        version = await self._reader.find(actor, message.place)
        digest = await self._reader.digest(actor, version)
        return Digested(message.id, actor.document, actor.branch, version, digest)

    async def blame(self, actor: DocumentActor, message: BlameRequest) -> Blamed:
        version = await self._reader.find(actor, message.place)
        value = (await self._existing(actor, version)).value()
        try:
            find(value, message.path)
        except Misfit as misfit:
            raise DocumentNotFound(
                f"version {version} of {actor.document!r} has nothing there: {misfit.detail}",
                document=actor.document,
                branch=actor.branch,
                version=version,
            ) from None
        blame = Blame(value, message.path)
        blamed: dict[int, Row] = {}
        expected = version
        last: Row | None = None
        async for row in self._reader.versions(actor, 1, version, newest_first=True):
            if blame.is_complete or row.event.version != expected:  # what came before is not kept
                break
            blame.step(row.event.version, row.event.kind, decode_delta(row.event.delta))
            blamed[row.event.version] = last = row
            expected -= 1
        exact = blame.is_complete
        if not exact and last is not None:
            blame.finish(last.event.version)
        return self._blamed(actor, message.id, version, blame, blamed, exact)

    def _blamed(
        self, actor: DocumentActor, id: int, version: int, blame: Blame, rows: dict[int, Row], exact: bool
    ) -> Blamed:
        found = blame.result()
        versions = sorted({version for _, version in found}, reverse=True)
        places = {version: place for place, version in enumerate(versions)}
        size = sum(_PATH_BYTES + sum(len(step) if type(step) is str else 2 for step in path) for path, _ in found)
        maximum = self._limits.frame_bytes_max // 2
        if size > maximum:
            raise LimitExceeded(
                f"{len(found)} paths take {size} bytes; ask for a part of the document, by its path",
                limit="frame_bytes_max",
                maximum=self._limits.frame_bytes_max,
                actual=size,
            )
        paths = tuple((path, places[version]) for path, version in found)
        return Blamed(id, version, paths, tuple(_about(actor, rows[version]) for version in versions), exact)

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
            await self._reader.find(actor, Place(message.branch, version))
            row = await self._reader.row(actor, version)
            ops = tuple(decode_delta(row.event.delta))
            after = await self._reader.stream_at(actor, version)
            before = await self._before(actor, version)
        except PalimpsestError as error:
            return TakeBack(*_common(message), message.expect, error)
        made = NOTHING if ends(row.event.kind, ops) else after.value()
        return TakeBack(*_common(message), message.expect, None, version, before, ops, made)

    async def note(self, actor: DocumentActor, message: Label) -> Note:
        """The write to the document's record that a label comes to."""
        refusal: PalimpsestError | None = None
        made_with: tuple[str, ...] = ()
        seen, _ = pruned(actor.record, actor.branch)
        try:
            await self._reader.find(actor, Place(message.branch, message.version))
            if message.version <= seen:
                await self._settled()  # what was decided by then is done, so that what is there stays
            row = await self._reader.row(actor, message.version)
            made_with = (row.event.meta or Meta()).tags
        except PalimpsestError as error:
            refusal = error
        common = (message.id, message.document, RECORD, message.repeat, message.meta, message.key)
        what = (message.branch, message.version, message.add, message.remove)
        return Note(*common, None, refusal, *what, made_with, seen)

    async def _before(self, actor: DocumentActor, version: int) -> object:
        """The value that the version met; NOTHING where the document did not exist. Raises VersionPruned."""
        if version == 1:
            return NOTHING
        try:
            stream = await self._reader.stream_at(actor, version - 1)
        except VersionPruned as error:
            raise VersionPruned(
                f"version {version} of {actor.document!r} cannot be undone: the one before it is not kept any more",
                **error.data,
            ) from None
        return stream.value() if stream.exists else NOTHING

    async def _existing(self, actor: DocumentActor, version: int) -> Stream:
        """Raises DocumentNotFound where the document was deleted then."""
        stream = await self._reader.stream_at(actor, version)
        if not stream.exists:
            raise DocumentNotFound(
                f"{actor.document!r} did not exist as of version {version}",
                document=actor.document,
                branch=actor.branch,
                version=version,
            )
        return stream


def _common(message: Revert | Undo) -> tuple[int, str, str, bool, Meta | None, str | None]:
    return message.id, message.document, message.branch, message.repeat, message.meta, message.key


def _about(actor: DocumentActor, row: Row) -> Entry:
    event = row.event
    entry = entry_of(event, event.meta if actor.record is None else actor.labelled(event.version, event.meta))
    return Entry(entry.version, entry.kind, entry.at, _NO_DELTA, entry.meta, entry.request)
