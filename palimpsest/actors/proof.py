"""Proof that what was acknowledged is what is there: every chain walked from its beginning, and everything else held against it.

It asks through the contracts alone. The first event of a stream that is broken is named, and the walk goes on with the next stream: what
comes after a broken link cannot be told from it. Stores that are served meanwhile are written to, archived, pruned and trimmed under
the walk: each stream is followed to where it ended when its turn came, and what came after that is left to the journal, or to the next
time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from palimpsest.actors.chain import committed, digest_at
from palimpsest.actors.stream import Stream, sets_all
from palimpsest.errors import Compacted, PalimpsestError, StorageError
from palimpsest.limits import Limits
from palimpsest.state.ops import decode_delta
from palimpsest.storage.contracts import Archive, Gap, Head, Journal, Row, Snapshot, Stretch
from palimpsest.storage.events import (
    GENESIS,
    Batch,
    Event,
    chain_digest,
    check_bytes,
    commitment,
    decode_body,
    decode_events,
    event_salt,
    link,
)
from palimpsest.words import Kind

_STREAMS, _ROWS = 64, 512
_LOOKS_MAX = 5
_ERASE = int(Kind.ERASE)
_READ_BYTES = 4 * 1024 * 1024

_ANOTHER_DIGEST = "its digest is another one than the one that was kept elsewhere"
_NO_ERASURE = "something of it was taken away, and no erasure after it says so"

Progress = Callable[[int, int], None]
"""Told (events done, events in all)."""

Name = tuple[str, str]
"""Of a stream: (document, branch)."""

Kept = tuple[str, str, int, bytes]
"""A digest that was kept elsewhere: (document, branch, version, what the stream's was as of it)."""


class Fault(msgspec.Struct, frozen=True):
    """What is broken. document, branch, version: of the event; position: its place in the journal. None where it cannot be told."""

    document: str | None
    branch: str | None
    version: int | None
    position: int | None
    what: str


class Verdict(msgspec.Struct, frozen=True):
    """What was walked, and what is wrong with it: nothing, where `faults` is empty.

    checked_against: how many of the digests that were kept elsewhere were found to be right. remarks: about those that could not
    be checked.
    """

    streams: int
    events: int
    batches: int
    faults: Sequence[Fault]
    checked_against: int = 0
    remarks: Sequence[str] = ()


async def verify(
    archive: Archive,
    journal: Journal,
    *,
    progress: Progress | None = None,
    against: Iterable[Kept] = (),
    values: bool = True,
) -> Verdict:
    """archive, journal: open. values: every value is built as well, and held against the snapshots, which takes longer.

    Raises StorageError only where a store cannot be read at all.
    """
    walk = _Walk(archive, against, values, progress or _untold)
    await walk.streams()
    batches = _Batches(archive, journal, walk)
    await batches.run()
    await walk.finish(batches.read_on)
    return Verdict(walk.count, walk.events, batches.count, walk.faults, walk.checked, walk.remarks)


def _untold(done: int, total: int) -> None:
    """Nobody wants to know."""


class _Walk:
    """Over all streams of an archive, which may be written to meanwhile."""

    def __init__(self, archive: Archive, against: Iterable[Kept], values: bool, progress: Progress) -> None:
        self.faults: list[Fault] = []
        self.remarks: list[str] = []
        self.count = self.events = self.checked = 0
        self._archive = archive
        self._values = values
        self._progress = progress
        self._kept: dict[Name, dict[int, bytes]] = {}
        for document, branch, version, digest in against:
            self._kept.setdefault((document, branch), {})[version] = digest
        self._tails: dict[Name, tuple[int, bytes]] = {}
        """Of streams that the journal goes on with: version and digest."""
        self._archived = 1
        """How far the archive is known to have come."""
        self._unaccounted: dict[Name, tuple[int, int]] = {}
        """Of streams, an event that something was taken away from, with no erasure after it in the archive; the journal may have one.
        Its version and position."""

    async def streams(self) -> None:
        total = (await self._archive.end()).next - 1
        after: Name | None = None
        while heads := await self._archive.walk(after, limit=_STREAMS):
            for head in heads:
                self.count += 1
                await self._stream(head)
                self._progress(min(self.events, total), total)
            after = (heads[-1].document, heads[-1].branch)
        self._progress(total, total)

    async def go_on(self, event: Event, salt: bytes, position: int) -> None:
        """By an event that the archive did not have when the journal was begun: the chain of its stream goes on from there."""
        name = (event.document, event.branch)
        if event.kind == _ERASE:
            self._unaccounted.pop(name, None)  # what it takes away may be gone before it is archived itself
        if name not in self._tails:
            (head,) = await self._archive.heads([name])
            self._tails[name] = (0, GENESIS) if head is None else (head.version, head.digest)
            self.count += head is None
        version, digest = self._tails[name]
        if event.version <= version:
            if not await self._is_archived(position):  # by now
                self.faults.append(Fault(*name, event.version, position, f"it follows version {version}"))
            return
        self.events += 1
        digest = link(digest, commitment(event_salt(salt, position), event))
        self._tails[name] = (event.version, digest)
        kept = self._kept.get(name, {}).pop(event.version, None)
        if kept is not None and kept != digest:
            self.faults.append(Fault(*name, event.version, position, _ANOTHER_DIGEST))
        self.checked += kept == digest

    async def finish(self, read_on: Callable[[], Awaitable[None]]) -> None:
        """What could not be told before the journal was read. read_on: reads what it has by now."""
        for _ in range(_LOOKS_MAX):
            for name in sorted(self._unaccounted):
                await self._look_for_erasure(name)
            if not self._unaccounted:
                break
            await read_on()  # an erasure is in the journal before it does anything, and until it is archived
        self.faults += [Fault(*name, *place, _NO_ERASURE) for name, place in sorted(self._unaccounted.items())]
        broken = {(fault.document, fault.branch) for fault in self.faults}
        for name, versions in self._kept.items():
            for version, digest in versions.items():
                if name in broken:
                    self.remarks.append(f"{_place(name, version)}: its digest cannot be checked, for what is broken")
                else:
                    await self._check_kept(name, version, digest)

    # --- inside --------------------------------------------------------------------------------------------------

    async def _is_archived(self, position: int) -> bool:
        if position >= self._archived:
            self._archived = (await self._archive.end()).next
        return position < self._archived

    async def _stream(self, head: Head) -> None:
        name = (head.document, head.branch)
        following, fault = await self._look(head)
        if fault is not None:
            self.faults.append(fault)
        if following is None:
            return
        self.events += following.events
        self.checked += following.checked
        self.remarks += following.remarks
        if name in self._kept:
            self._kept[name] = following.kept
        if fault is None and following.unaccounted is not None:
            self._unaccounted[name] = following.unaccounted

    async def _look_for_erasure(self, name: Name) -> None:
        """It may have been archived meanwhile."""
        (head,) = await self._archive.heads([name])
        following, fault = (None, None) if head is None else await self._look(head)
        if fault is not None:
            self.faults.append(fault)
        if fault is not None or following is None or following.unaccounted is None:
            del self._unaccounted[name]

    async def _look(self, head: Head) -> tuple[_Following | None, Fault | None]:
        """A fault is one that is found twice: what is pruned or erased while it is walked may look like one, and once."""
        before: Fault | None = None
        for _ in range(_LOOKS_MAX):
            following, fault = await self._look_once(head)
            if fault is None or fault == before:
                break
            before = fault
            (now,) = await self._archive.heads([(head.document, head.branch)])
            head = now or head
        return following, fault

    async def _look_once(self, head: Head) -> tuple[_Following | None, Fault | None]:
        """Follows a stream to where head says that it ends."""
        name = (head.document, head.branch)
        following: _Following | None = None
        try:
            following = _Following(head, await self._archive.gaps(*name), self._kept.get(name, {}), self._values)
            snapshots = _Snapshots(self._archive, head)
            async for row in self._rows(head):
                await following.follow(row, snapshots)
            following.finish()
            await snapshots.finish(head)
        except _Broken as broken:
            return following, Fault(*name, broken.version, broken.position, broken.what)
        except StorageError as error:
            return following, Fault(*name, None, None, error.message)
        return following, None

    async def _rows(self, head: Head) -> AsyncIterator[Row]:
        """In order of version. Raises _Broken, naming the first that cannot be read."""
        first = 1
        while first <= head.version:
            try:
                rows = await self._history(head, first, head.version, _ROWS)
            except PalimpsestError:
                async for row in self._one_by_one(head, first):
                    yield row
                return
            if not rows:
                return
            for row in rows:
                yield row
            first = rows[-1].event.version + 1

    async def _one_by_one(self, head: Head, first: int) -> AsyncIterator[Row]:
        for version in range(first, head.version + 1):
            try:
                rows = await self._history(head, version, version, 1)
            except PalimpsestError as error:
                raise _Broken(version, None, f"it cannot be read: {error.message}") from error
            for row in rows:
                yield row

    async def _history(self, head: Head, first: int, last: int, limit: int) -> Sequence[Row]:
        return await self._archive.history(
            head.document, head.branch, first=first, last=last, newest_first=False, limit=limit
        )

    async def _check_kept(self, name: Name, version: int, kept: bytes) -> None:
        """Of a version that was not met on the way: archived after its stream was walked, or not there at all."""
        try:
            digest = await digest_at(self._archive, *name, version)
            gaps = [] if digest is not None else await self._archive.gaps(*name)
        except StorageError as error:
            self.faults.append(Fault(*name, version, None, error.message))
            return
        if digest == kept:
            self.checked += 1
        elif digest is not None:
            self.faults.append(Fault(*name, version, None, _ANOTHER_DIGEST))
        elif any(gap.first <= version <= gap.last for gap in gaps):
            self.remarks.append(f"{_place(name, version)} is not kept any more: its digest cannot be checked")
        else:
            self.faults.append(Fault(*name, version, None, "a digest was kept of it, and it is not there"))


def _place(name: Name, version: int) -> str:
    return f"version {version} of {name[0]} ({name[1]})"


class _Broken(Exception):
    """The first event of a stream that is not as it should be."""

    def __init__(self, version: int, position: int | None, what: str) -> None:
        super().__init__(what)
        self.version = version
        self.position = position
        self.what = what


class _Following:
    """One stream, row by row."""

    def __init__(self, head: Head, gaps: Sequence[Gap], kept: Mapping[int, bytes], values: bool) -> None:
        """kept: digests that were kept elsewhere, by version. values: every value is built as well."""
        self.events = 0
        self.checked = 0
        self.remarks: list[str] = []
        self.kept = dict(kept)
        """Digests that were kept elsewhere, of versions that were not met yet."""
        self.unaccounted: tuple[int, int] | None = None
        """The first event that something was taken away from, with no erasure met since: its version and position."""
        self._head = head
        self._gaps = list(gaps)
        self._values = values
        self._digest = GENESIS
        self._next = 1
        self._at = 0
        self._position = 0
        self._last: Row | None = None
        self._stream = Stream(head.document, head.branch, Limits())

    async def follow(self, row: Row, snapshots: _Snapshots) -> None:
        """row: the next one. Raises _Broken."""
        event = row.event
        self.events += 1
        self._pass_gaps()
        if event.version != self._next:
            raise _Broken(self._next, None, "it is missing, and nothing says that it was pruned or erased")
        if (event.document, event.branch) != (self._head.document, self._head.branch):
            raise _Broken(event.version, row.position, "it says that it belongs to another document")
        if event.at < self._at or row.position <= self._position:
            raise _Broken(event.version, row.position, "it is dated, or placed, before the version before it")
        self._digest = link(self._digest, committed(row))
        if row.check != check_bytes(self._digest, None if row.committed is None else event):
            raise _Broken(event.version, row.position, "it is not what its digest says")
        self._compare(event.version, row.position)
        self._note_erasure(row)
        snapshot = await snapshots.at(event.version)
        if self._values:
            self._build(row, snapshot)
        if snapshot is not None:
            self._hold(row, snapshot)
        self._next, self._at, self._position, self._last = event.version + 1, event.at, row.position, row

    def finish(self) -> None:
        """There are no rows after those that were followed. Raises _Broken."""
        head, last = self._head, self._last
        self._pass_gaps()
        if self._next <= head.version:
            raise _Broken(self._next, None, "it is missing, and nothing says that it was pruned or erased")
        if head.digest != self._digest:
            raise _Broken(head.version, head.position, "the stream ends with another digest than its head says")
        if last is not None and last.event.version == head.version:
            said = (head.position, head.kind, head.at)
            if said != (last.position, last.event.kind, last.event.at):
                raise _Broken(head.version, head.position, "the head of its stream says something else about it")

    def _note_erasure(self, row: Row) -> None:
        """What was taken away from an event, an erasure after it has to account for."""
        if row.event.kind == _ERASE:
            self.unaccounted = None
        elif row.committed is not None and self.unaccounted is None:
            self.unaccounted = (row.event.version, row.position)

    def _pass_gaps(self) -> None:
        while self._gaps and self._gaps[0].first == self._next:
            gap = self._gaps.pop(0)
            if self.unaccounted is not None and gap.position:
                self.remarks.append(
                    f"version {self.unaccounted[0]} of {gap.document} ({gap.branch}) was erased from, and what may have said so is pruned"
                )
                self.unaccounted = None
            self._digest, self._next = gap.digest, gap.last + 1
            self._compare(gap.last, gap.position)
            for version in [version for version in self.kept if version <= gap.last]:
                del self.kept[version]
                self.remarks.append(
                    f"version {version} of {gap.document} ({gap.branch}) is not kept any more: its digest cannot be checked"
                )

    def _compare(self, version: int, position: int) -> None:
        """With the digest that was kept elsewhere."""
        kept = self.kept.pop(version, None)
        if kept is None:
            return
        if kept != self._digest:
            raise _Broken(version, position, "its digest is another one than the one that was kept elsewhere")
        self.checked += 1

    def _build(self, row: Row, snapshot: Snapshot | None) -> None:
        event, stream = row.event, self._stream
        try:
            if event.version == stream.version + 1 or sets_all(event.kind, decode_delta(event.delta)):
                stream.version = event.version - 1
                stream.replay(row)
            elif snapshot is None:
                raise _Broken(event.version, row.position, "it follows a gap, and no snapshot says what it was")
            else:
                self._stream = Stream(event.document, event.branch, stream.limits)
                self._stream.load(Stretch(self._head, snapshot, [row]))
        except (PalimpsestError, AssertionError) as error:
            raise _Broken(event.version, row.position, f"its value cannot be built: {error}") from error

    def _hold(self, row: Row, snapshot: Snapshot) -> None:
        if snapshot.digest != self._digest:
            raise _Broken(row.event.version, row.position, "its snapshot has another digest")
        if not snapshot.value:
            raise _Broken(row.event.version, row.position, "its snapshot is damaged")
        if self._values and (not self._stream.exists or self._stream.encoded_value() != snapshot.value):
            raise _Broken(
                row.event.version, row.position, "its snapshot is another value than the one that its deltas make"
            )


class _Snapshots:
    """Of one stream, asked for in order of version."""

    def __init__(self, archive: Archive, head: Head) -> None:
        self._archive = archive
        self._name = (head.document, head.branch)
        self._next: Snapshot | None = None
        self._first = 1
        self._over = False

    async def at(self, version: int) -> Snapshot | None:
        while not self._over and (self._next is None or self._next.version < version):
            await self._advance()
        return self._next if self._next is not None and self._next.version == version else None

    async def finish(self, head: Head) -> None:
        """Raises _Broken for a snapshot beyond the newest version, which may be a newer one than head by now."""
        found = await self.at(head.version + 1) or self._next
        if found is None:
            return
        (now,) = await self._archive.heads([self._name])
        if now is None or found.version > now.version:
            raise _Broken(head.version, head.position, "a snapshot is newer than the newest version")

    async def _advance(self) -> None:
        found = await self._archive.snapshots(*self._name, first=self._first, limit=1)
        self._next = found[0] if found else None
        self._over = not found
        self._first = found[0].version + 1 if found else self._first


class _Batches:
    """The journal, batch by batch, and what archive and journal both have."""

    def __init__(self, archive: Archive, journal: Journal, walk: _Walk) -> None:
        self.count = 0
        self._archive = archive
        self._journal = journal
        self._walk = walk
        self._faults = walk.faults
        self._position = 1
        """Of the batch that comes next."""
        self._digest: bytes | None = None
        """Of the batch before it; None where that is not known."""
        self._archived = 1
        """How far the archive had come when the journal was begun."""
        self._is_over = False
        """Nothing more can be told of the journal."""

    async def run(self) -> None:
        end, archived, now = await self._journal.end(), await self._archive.end(), await self._journal.end()
        if not end.oldest <= archived.next <= now.next:
            what = f"the archive ends at position {archived.next}, and the journal has positions {end.oldest} to {now.next - 1}"
            position = end.oldest if archived.next < end.oldest else now.next
            self._faults.append(Fault(None, None, None, position, what))
        self._position, self._digest = end.oldest, GENESIS if end.oldest == 1 else None
        self._archived = archived.next
        await self._read_to(now.next)

    async def read_on(self) -> None:
        """What the journal has by now."""
        await self._read_to((await self._journal.end()).next)

    async def _read_to(self, end: int) -> None:
        """What comes after that is left to the next time."""
        if self._position >= end or self._is_over:
            return
        async for batch in self._read():
            if not self._follows(batch):
                self._is_over = True
                await self._fault(self._position, "the batch there does not follow the one before it")
                return
            await self._compare(batch)
            await self._go_on(batch)
            self.count += 1
            if self._position >= end:
                return

    def _follows(self, batch: Batch) -> bool:
        """Whether it does; then it is the one that the next one has to follow."""
        before, position = self._digest, self._position
        if batch.position != position:
            return False
        if before is not None and chain_digest(before, position, batch.count, batch.body) != batch.digest:
            return False
        self._position, self._digest = position + batch.count, batch.digest
        return True

    async def _read(self) -> AsyncIterator[Batch]:
        size = _READ_BYTES
        while True:
            try:
                batches = await self._journal.read(self._position, bytes_max=size)
            except Compacted:  # trimmed meanwhile, which is done to what is archived
                self._position, self._digest = (await self._journal.end()).oldest, None
                continue
            except StorageError as error:
                if size == 1:
                    self._is_over = True
                    await self._fault(self._position, f"the batch there cannot be read: {error.message}")
                    return
                size = 1  # one at a time, to know which it is
                continue
            if not batches:
                return
            for batch in batches:
                yield batch

    async def _compare(self, batch: Batch) -> None:
        """Events that the archive has as well, and nothing was erased from since."""
        if batch.position >= self._archived:
            return
        try:
            events = decode_events(batch.body)
            rows = await self._archive.read(batch.position, rows_max=batch.count, bytes_max=len(batch.body) * 2)
        except StorageError:
            return  # it was named where the streams were walked
        for row in rows:
            place = row.position - batch.position
            if place < len(events) and row.committed is None and events[place] != row.event:
                event = events[place]
                what = "journal and archive have different events in its place"
                self._faults.append(Fault(event.document, event.branch, event.version, row.position, what))
                return

    async def _go_on(self, batch: Batch) -> None:
        """What the archive does not have yet."""
        if batch.position + batch.count <= self._archived:
            return
        try:
            salt, events = decode_body(batch.body)
        except StorageError as error:
            await self._fault(batch.position, error.message)
            return
        for position, event in enumerate(events, batch.position):
            if position >= self._archived:
                await self._walk.go_on(event, salt, position)

    async def _fault(self, position: int, what: str) -> None:
        """Named by the event that the archive has there, if it has one."""
        try:
            rows = await self._archive.read(position, rows_max=1, bytes_max=1)
        except StorageError:
            rows = []
        event = rows[0].event if rows and rows[0].position == position else None
        if event is None:
            self._faults.append(Fault(None, None, None, position, what))
        else:
            self._faults.append(Fault(event.document, event.branch, event.version, position, what))
