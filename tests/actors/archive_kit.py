"""What tests of the archiver are made from: a past that is written down event by event, and what a dumb model knows of it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.archiver import Archiver
from palimpsest.actors.commands import DECIDE, DECIDE_FOR_RECORDS, Cut, Note, Remove
from palimpsest.actors.stream import Stream
from palimpsest.errors import CommitFailed
from palimpsest.limits import Limits
from palimpsest.protocol.messages import Create, Delete, Update
from palimpsest.state.ops import Op, Set, encode_delta
from palimpsest.state.retention import effective_tags, tag_matches
from palimpsest.state.values import thaw
from palimpsest.storage.contracts import Archive, Step
from palimpsest.storage.events import (
    GENESIS,
    SALT_BYTES,
    Batch,
    Event,
    chain_digest,
    commitment,
    encode_events,
    event_salt,
    link,
)
from palimpsest.storage.memory import MemoryArchive
from palimpsest.words import ERASED, MAIN, RECORD, Meta

EPOCH = "0123456789abcdef"
NOWHERE = object()
"""The value of a document that is deleted."""

Name = tuple[str, str]


class Past:
    """Documents that change, as a journal would keep it; and for each version, what reading it has to give."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.values: dict[Name, dict[int, Any]] = {}
        """What is kept, by version; NOWHERE where the document is deleted. Of records, nothing is known."""
        self.digests: dict[Name, dict[int, bytes]] = {}
        """Of all that there ever was, once there are batches."""
        self.newest: dict[Name, int] = {}
        self._streams: dict[Name, Stream] = {}
        self._made_with: dict[Name, dict[int, tuple[str, ...]]] = {}
        self._labels: dict[Name, dict[int, dict[str, bool]]] = {}
        self._next = 1

    # --- what happens --------------------------------------------------------------------------------------------

    def create(self, document: str, value: Any, tags: Sequence[str] = ()) -> None:
        message = Create(self._id(), document, Raw(msgspec.msgpack.encode(value)), meta=_meta(tags))
        self._happens(self._stream(document).decide_create(message, "c", self._next))

    def update(self, document: str, *ops: Op, tags: Sequence[str] = ()) -> None:
        message = Update(self._id(), document, Raw(encode_delta(ops)), meta=_meta(tags))
        self._happens(self._stream(document).decide_update(message, "c", self._next))

    def set(self, document: str, key: str, value: Any, tags: Sequence[str] = ()) -> None:
        self.update(document, Set((key,), value), tags=tags)

    def delete(self, document: str) -> None:
        self._happens(self._stream(document).decide_delete(Delete(self._id(), document), "c", self._next))

    def skip(self, document: str, versions: int, value: Any) -> None:
        """As an import leaves versions out: the next one sets the whole value."""
        stream = self._stream(document)
        if stream.exists:
            stream.decide_update(Update(self._id(), document, Raw(encode_delta([Set((), value)]))), "c", self._next)
        else:
            stream.decide_create(Create(self._id(), document, Raw(msgspec.msgpack.encode(value))), "c", self._next)
        stream.version += versions
        kind = stream.kind
        delta = Raw(encode_delta([Set((), value)]))
        self._happens(Event(document, MAIN, stream.version, kind, stream.at, delta, "c", self._next))

    def label(self, document: str, version: int, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        name = (document, MAIN)
        made_with = self._made_with.get(name, {}).get(version, ())
        note = Note(self._id(), document, RECORD, of=MAIN, version=version, add=tuple(add), remove=tuple(remove))
        note = msgspec.structs.replace(note, made_with=made_with)
        self._happens(DECIDE_FOR_RECORDS[Note](self._stream(document, RECORD), note, "c", self._next))
        labels = self._labels.setdefault(name, {}).setdefault(version, {})
        labels.update(dict.fromkeys(add, True) | dict.fromkeys(remove, False))

    def prune(self, document: str, until: int, tags: Sequence[str] = ()) -> None:
        name = (document, MAIN)
        cut = Cut(self._id(), document, RECORD, of=MAIN, until=until, tags=tuple(tags))
        self._happens(DECIDE_FOR_RECORDS[Cut](self._stream(document, RECORD), cut, "c", self._next))
        kept = self.values.get(name, {})
        for version in [version for version in kept if version <= min(until, self.newest[name] - 1)]:
            said = self.tags(document, version)
            if ERASED not in self._made_with[name][version] and not tag_matches(tags, said):
                del kept[version]

    def erase(self, document: str, *path: str | int) -> None:
        """From the document; the whole of it, with its record, where no path is given."""
        name = (document, MAIN)
        event = DECIDE[Remove](self._stream(document), Remove(self._id(), document, MAIN, path=path), "c", self._next)
        kept = self.values[name]
        for version, value in list(kept.items()):
            if not path:
                del kept[version]
            elif value is not NOWHERE:
                kept[version] = without(value, path)
        self._happens(event)
        if not path and self._stream(document, RECORD).version:
            record = self._stream(document, RECORD)
            self._happens(DECIDE_FOR_RECORDS[Remove](record, Remove(self._id(), document, RECORD), "c", self._next))
            self._labels.pop(name, None)

    def tags(self, document: str, version: int) -> tuple[str, ...]:
        """That a version has by now."""
        name = (document, MAIN)
        return effective_tags(self._made_with[name].get(version, ()), self._labels.get(name, {}).get(version, {}))

    def exists(self, document: str) -> bool:
        return self._stream(document).exists

    # --- as the log keeps it -------------------------------------------------------------------------------------

    def batches(self, sizes: Iterable[int] = ()) -> list[Batch]:
        """sizes: how many events each batch has; the rest have one."""
        made: list[Batch] = []
        left = iter(sizes)
        position, digest = 1, GENESIS
        while position <= len(self.events):
            events = self.events[position - 1 : position - 1 + next(left, 1)]
            salt = position.to_bytes(SALT_BYTES, "big")
            body = encode_events(events, salt)
            digest = chain_digest(digest, position, len(events), body)
            made.append(Batch(position, len(events), digest, body))
            for place, event in enumerate(events, position):
                self._link(event, event_salt(salt, place))
            position += len(events)
        return made

    def _link(self, event: Event, salt: bytes) -> None:
        digests = self.digests.setdefault((event.document, event.branch), {})
        before = [version for version in digests if version < event.version]
        digests[event.version] = link(digests[max(before)] if before else GENESIS, commitment(salt, event))

    # --- inside --------------------------------------------------------------------------------------------------

    def _id(self) -> int:
        self._next += 1
        return self._next

    def _stream(self, document: str, branch: str = MAIN) -> Stream:
        return self._streams.setdefault((document, branch), Stream(document, branch, Limits()))

    def _happens(self, event: Event) -> None:
        name = (event.document, event.branch)
        stream = self._streams[name]
        self.events.append(event)
        self.newest[name] = event.version
        self._made_with.setdefault(name, {})[event.version] = () if event.meta is None else event.meta.tags
        if event.branch == MAIN:
            value = thaw(stream.value()) if stream.exists else NOWHERE
            self.values.setdefault(name, {})[event.version] = copy.deepcopy(value) if stream.exists else NOWHERE


def without(value: Any, path: Sequence[str | int]) -> Any:
    """value, which is plain, without what is at path; `*` is any key and any index."""
    value = copy.deepcopy(value)
    _take_out(value, path)
    return value


def _take_out(value: Any, path: Sequence[str | int]) -> None:
    step, *rest = path
    if type(value) is dict:
        for key in [key for key in value if step in ("*", key)]:
            if rest:
                _take_out(value[key], rest)
            else:
                del value[key]
    elif type(value) is list:
        for index in [index for index in range(len(value)) if step == "*" or (type(step) is int and step == index)]:
            if rest:
                _take_out(value[index], rest)
            else:
                value[index] = None


def _meta(tags: Sequence[str]) -> Meta | None:
    return Meta(tags=tuple(sorted(tags))) if tags else None


# --- archives --------------------------------------------------------------------------------------------------------


class FailingArchive(MemoryArchive):
    """Writes fail whose numbers (the first is 1) are among these, and nothing of them is written."""

    def __init__(self, failing: Iterable[int]) -> None:
        super().__init__()
        self._failing = set(failing)
        self._writes = 0

    async def write(self, step: Step) -> None:
        self._writes += 1
        if self._writes in self._failing:
            raise CommitFailed("the disk is full", reason="full")
        await super().write(step)


async def archived(
    batches: Sequence[Batch],
    steps: Iterable[int] = (),
    *,
    archive: Any = None,
    snapshot_versions: int = 4,
    restart: bool = False,
    tidy: bool = False,
) -> Any:
    """An archive of batches, swept. steps: how many batches each step has; the rest go in one. restart: each step by an archiver
    of its own. tidy: there is some tidying between them."""
    if archive is None:
        archive = MemoryArchive()
    await archive.open(epoch=EPOCH)
    archiver = Archiver(archive, snapshot_versions=snapshot_versions)
    left, start = iter(steps), 0
    while start < len(batches):
        stop = start + next(left, len(batches))
        if restart:
            archiver = Archiver(archive, snapshot_versions=snapshot_versions)
        try:
            await archiver.write(batches[start:stop])
            start = stop
        except CommitFailed:
            left = iter([stop - start, *left])
        if tidy:
            await archiver.tidy()
    while await archiver.tidy():
        pass
    return archive


def contents(archive: MemoryArchive) -> tuple[Any, ...]:
    """All that there is."""
    snapshots = {name: found for name, found in archive._snapshots.items() if found}
    return archive._rows, archive._heads, snapshots, archive._gaps, archive._end()


async def read(archive: Archive, document: str, branch: str, version: int) -> Any:
    """A version's value, NOWHERE where it deleted the document; None where it is not kept."""
    stretch = await archive.load_version(document, branch, version)
    if stretch is None:
        return None
    stream = Stream(document, branch, Limits())
    stream.load(stretch)
    assert stream.version == version
    return thaw(stream.value()) if stream.exists else NOWHERE


def in_gaps(gaps: Iterable[Any]) -> set[int]:
    return {version for gap in gaps for version in range(gap.first, gap.last + 1)}
