"""Proof that what was acknowledged is what is there: every chain walked from its beginning, and everything else held against it.

It asks through the contracts alone. The first event of a stream that is broken is named, and the walk goes on with the next stream: what
comes after a broken link cannot be told from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec

from palimpsest.actors.chain import committed
from palimpsest.actors.stream import Stream, sets_all
from palimpsest.errors import PalimpsestError, StorageError
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
_ERASE = int(Kind.ERASE)
_READ_BYTES = 4 * 1024 * 1024

Progress = Callable[[int, int], None]
"""Told (events done, events in all)."""


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
    walk.look_for_the_rest()
    return Verdict(walk.count, walk.events, batches.count, walk.faults, walk.checked, walk.remarks)


def _untold(done: int, total: int) -> None:
    """Nobody wants to know."""


class _Broken(Exception):
    def __init__(self, version: int, position: int | None, what: str) -> None:
        super().__init__(what)
        self.version = version
        self.position = position
        self.what = what


class _Walk:
    """Over all streams of an archive."""

    def __init__(self, archive: Archive, against: Iterable[Kept], values: bool, progress: Progress) -> None:
        self.faults: list[Fault] = []
        self.remarks: list[str] = []
        self.count = self.events = self.checked = 0
        self._tails: dict[tuple[str, str], tuple[int, bytes]] = {}
        """Of streams that the journal goes on with: version and digest."""
        self._archive = archive
        self._values = values
        self._progress = progress
        self._kept: dict[tuple[str, str], dict[int, bytes]] = {}
        for document, branch, version, digest in against:
            self._kept.setdefault((document, branch), {})[version] = digest

    async def streams(self) -> None:
        total = (await self._archive.end()).next - 1
        after: tuple[str, str] | None = None
        while heads := await self._archive.walk(after, limit=_STREAMS):
            for head in heads:
                self.count += 1
                try:
                    await self._stream(head)
                except _Broken as broken:
                    self._fault(head, broken.version, broken.position, broken.what)
                except StorageError as error:
                    self._fault(head, None, None, error.message)
                self._progress(min(self.events, total), total)
            after = (heads[-1].document, heads[-1].branch)
        self._progress(total, total)

    async def go_on(self, event: Event, salt: bytes, position: int) -> None:
        """By an event that only the journal has: the chain of its stream goes on from the archive."""
        name = (event.document, event.branch)
        if name not in self._tails:
            (head,) = await self._archive.heads([name])
            self._tails[name] = (0, GENESIS) if head is None else (head.version, head.digest)
            self.count += head is None
        version, digest = self._tails[name]
        self.events += 1
        if event.version <= version:
            what = f"it follows version {version}"
            self.faults.append(Fault(*name, event.version, position, what))
            return
        digest = link(digest, commitment(event_salt(salt, position), event))
        self._tails[name] = (event.version, digest)
        kept = self._kept.get(name, {}).pop(event.version, None)
        if kept is not None and kept != digest:
            what = "its digest is another one than the one that was kept elsewhere"
            self.faults.append(Fault(*name, event.version, position, what))
        self.checked += kept == digest

    def look_for_the_rest(self) -> None:
        """Digests of versions that are not there at all."""
        for (document, branch), versions in self._kept.items():
            for version in versions:
                self.faults.append(
                    Fault(document, branch, version, None, "a digest was kept of it, and it is not there")
                )

    async def _stream(self, head: Head) -> None:
        name = (head.document, head.branch)
        kept = self._kept.get(name, {})
        following = _Following(head, await self._archive.gaps(*name), kept, self._values)
        snapshots = _Snapshots(self._archive, head)
        async for row in self._rows(head):
            self.events += 1
            await following.follow(row, snapshots)
        following.finish()
        await snapshots.finish(head)
        self.checked += following.checked
        self.remarks += following.remarks

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

    def _fault(self, head: Head, version: int | None, position: int | None, what: str) -> None:
        self.faults.append(Fault(head.document, head.branch, version, position, what))


class _Following:
    """One stream, row by row."""

    def __init__(self, head: Head, gaps: Sequence[Gap], kept: dict[int, bytes], values: bool) -> None:
        self.checked = 0
        self.remarks: list[str] = []
        self._head = head
        self._gaps = list(gaps)
        self._kept = kept
        self._values = values
        self._digest = GENESIS
        self._next = 1
        self._at = 0
        self._position = 0
        self._last: Row | None = None
        self._redacted: tuple[int, int] | None = None
        """The first event that something was taken away from, with no erasure met since: its version and position."""
        self._stream = Stream(head.document, head.branch, Limits())

    async def follow(self, row: Row, snapshots: _Snapshots) -> None:
        event = row.event
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
        head, last = self._head, self._last
        self._pass_gaps()
        if self._next <= head.version:
            raise _Broken(self._next, None, "it is missing, and nothing says that it was pruned or erased")
        if self._redacted is not None:
            raise _Broken(*self._redacted, "something of it was taken away, and no erasure after it says so")
        if head.digest != self._digest:
            raise _Broken(head.version, head.position, "the stream ends with another digest than its head says")
        if last is not None and last.event.version == head.version:
            said = (head.position, head.kind, head.at)
            if said != (last.position, last.event.kind, last.event.at):
                raise _Broken(head.version, head.position, "the head of its stream says something else about it")

    def _note_erasure(self, row: Row) -> None:
        """What was taken away from an event, an erasure after it has to account for."""
        if row.event.kind == _ERASE:
            self._redacted = None
        elif row.committed is not None and self._redacted is None:
            self._redacted = (row.event.version, row.position)

    def _pass_gaps(self) -> None:
        while self._gaps and self._gaps[0].first == self._next:
            gap = self._gaps.pop(0)
            if self._redacted is not None and gap.position:
                self.remarks.append(
                    f"version {self._redacted[0]} of {gap.document} ({gap.branch}) was erased from, and what may have said so is pruned"
                )
                self._redacted = None
            self._digest, self._next = gap.digest, gap.last + 1
            self._compare(gap.last, gap.position)
            for version in [version for version in self._kept if version <= gap.last]:
                del self._kept[version]
                self.remarks.append(
                    f"version {version} of {gap.document} ({gap.branch}) is not kept any more: its digest cannot be checked"
                )

    def _compare(self, version: int, position: int) -> None:
        """With the digest that was kept elsewhere."""
        kept = self._kept.pop(version, None)
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
        """Raises _Broken for a snapshot beyond the newest version."""
        if await self.at(head.version + 1) is not None:
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

    async def run(self) -> None:
        end, archived = await self._journal.end(), await self._archive.end()
        if not end.oldest <= archived.next:
            what = f"the archive ends at position {archived.next}, and the journal begins at {end.oldest}"
            self._faults.append(Fault(None, None, None, end.oldest, what))
        position, digest = end.oldest, GENESIS if end.oldest == 1 else None
        async for batch in self._read(end.oldest):
            expected = None if digest is None else chain_digest(digest, batch.position, batch.count, batch.body)
            if batch.position != position or (expected is not None and expected != batch.digest):
                await self._fault(position, "the batch there does not follow the one before it")
                return
            await self._compare(batch, archived.next)
            await self._go_on(batch, archived.next)
            position, digest = batch.position + batch.count, batch.digest
            self.count += 1

    async def _read(self, position: int) -> AsyncIterator[Batch]:
        size = _READ_BYTES
        while True:
            try:
                batches = await self._journal.read(position, bytes_max=size)
            except StorageError as error:
                if size == 1:
                    await self._fault(position, f"the batch there cannot be read: {error.message}")
                    return
                size = 1  # one at a time, to know which it is
                continue
            if not batches:
                return
            for batch in batches:
                yield batch
            position = batches[-1].position + batches[-1].count

    async def _compare(self, batch: Batch, archived: int) -> None:
        """Events that the archive has as well, and nothing was erased from since."""
        if batch.position >= archived:
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

    async def _go_on(self, batch: Batch, archived: int) -> None:
        """What the archive does not have yet."""
        if batch.position + batch.count <= archived:
            return
        try:
            salt, events = decode_body(batch.body)
        except StorageError as error:
            await self._fault(batch.position, error.message)
            return
        for position, event in enumerate(events, batch.position):
            if position >= archived:
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
