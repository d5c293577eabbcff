"""The archive in memory: the reference that says what the contract means, as simply as it can be said.

Nothing here outlives its object; closing it and opening it again keeps what is in it, as a file would.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from palimpsest.errors import StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage.contracts import ArchiveEnd, Gap, Head, Row, Snapshot, Step, Stream, Stretch, Usage
from palimpsest.storage.events import GENESIS
from palimpsest.storage.rules import check_step, delta_bytes, join_gaps, not_there, takes_in, within_bytes

_ROW_BYTES = 96
"""What a row counts as, beside its delta."""


class MemoryArchive:
    """An Archive in dicts and lists."""

    def __init__(self) -> None:
        self._is_open = False
        self._epoch: str | None = None
        self._next = 1
        self._digest = GENESIS
        self._pruned = 0
        self._rows: list[Row] = []
        """Of all streams, by position."""
        self._streams: dict[Stream, list[Row]] = {}
        """By version."""
        self._heads: dict[Stream, Head] = {}
        self._snapshots: dict[Stream, dict[int, Snapshot]] = {}
        self._gaps: dict[Stream, list[Gap]] = {}
        """Rising, none next to another."""

    async def open(self, *, epoch: str) -> ArchiveEnd:
        if self._is_open:
            raise StoreLocked("this archive is open already", path="memory")
        if self._epoch not in (None, epoch):
            reason = f"the archive is that of journal {self._epoch}, and not of {epoch}"
            raise StoreCorrupt(f"memory: {reason}", path="memory", reason=reason)
        self._epoch = epoch
        self._is_open = True
        return self._end()

    async def end(self) -> ArchiveEnd:
        self._check_open()
        return self._end()

    def _end(self) -> ArchiveEnd:
        oldest = next((row.position for row in self._rows if self._is_kept(row)), self._next)
        return ArchiveEnd(oldest, self._next, self._digest, self._pruned)

    # --- writing -------------------------------------------------------------------------------------------------

    async def write(self, step: Step) -> None:
        self._check_open()
        check_step(self._end(), step, "memory")
        self._check_rewrites(step)
        for row in step.rows:
            self._rows.append(row)
            self._streams.setdefault(_stream(row), []).append(row)
        for row in step.rewrites:
            self._replace(row)
        for stream in step.forget:
            self._snapshots.pop(stream, None)
        for snapshot in step.snapshots:
            self._snapshots.setdefault((snapshot.document, snapshot.branch), {})[snapshot.version] = snapshot
        for head in step.heads:
            self._heads[head.document, head.branch] = head
        for gap in step.gaps:
            self._put_gap(gap)
            self._pruned = max(self._pruned, gap.position)
        self._next, self._digest = step.next, step.digest

    def _check_rewrites(self, step: Step) -> None:
        new = {row.position: row for row in step.rows}
        for row in step.rewrites:
            before = new.get(row.position) or next(iter(self._from(row.position)), None)
            if before is None or _identity(before) != _identity(row):
                raise not_there(row, "memory")

    def _replace(self, row: Row) -> None:
        for rows in (self._rows, self._streams[_stream(row)]):
            rows[bisect_left(rows, row.position, key=_position)] = row

    def _put_gap(self, gap: Gap) -> None:
        gaps = self._gaps.setdefault((gap.document, gap.branch), [])
        taken = [found for found in gaps if takes_in(gap, found)]
        gaps[:] = sorted([*(found for found in gaps if found not in taken), join_gaps(gap, taken)], key=_first)

    # --- one stream ----------------------------------------------------------------------------------------------

    async def heads(self, streams: Sequence[Stream]) -> list[Head | None]:
        self._check_open()
        return [self._heads.get(stream) for stream in streams]

    async def load(self, streams: Sequence[Stream]) -> list[Stretch | None]:
        self._check_open()
        return [
            self._stretch(stream, head.version) if (head := self._heads.get(stream)) else None for stream in streams
        ]

    async def load_version(self, document: str, branch: str, version: int) -> Stretch | None:
        self._check_open()
        return self._stretch((document, branch), version)

    def _stretch(self, stream: Stream, version: int) -> Stretch | None:
        before = [gap.last for gap in self._gaps.get(stream, ()) if gap.first <= version]
        rows = self._versions(stream, max(before, default=0) + 1, version)
        if not rows or rows[-1].event.version != version:
            return None
        snapshots = [item for item in self._kept_snapshots(stream) if rows[0].event.version <= item.version <= version]
        if not snapshots:
            return Stretch(self._heads[stream], None, rows)
        rows = [row for row in rows if row.event.version >= snapshots[-1].version]
        return Stretch(self._heads[stream], snapshots[-1], rows)

    async def history(
        self, document: str, branch: str, *, first: int, last: int, newest_first: bool, limit: int
    ) -> list[Row]:
        self._check_open()
        rows = self._versions((document, branch), first, last)
        return (rows[::-1] if newest_first else rows)[: max(0, limit)]

    async def find_time(self, document: str, branch: str, at: int) -> Row | None:
        self._check_open()
        return max((row for row in self._kept((document, branch)) if row.event.at <= at), key=_version, default=None)

    async def find_tag(self, document: str, branch: str, tag: str, *, last: int) -> int | None:
        tagged = await self.tagged(document, branch, last=last)
        return max((version for version, tags in tagged if tag in tags), default=None)

    async def tagged(self, document: str, branch: str, *, last: int) -> list[tuple[int, tuple[str, ...]]]:
        self._check_open()
        rows = self._versions((document, branch), 1, last)
        return [(row.event.version, tags) for row in rows if (tags := _tags(row))]

    async def gaps(self, document: str, branch: str) -> list[Gap]:
        self._check_open()
        return list(self._gaps.get((document, branch), ()))

    async def find_request(
        self, document: str, branch: str, *, origin: str, request: int, key: str | None
    ) -> Row | None:
        self._check_open()
        for row in self._kept((document, branch)):
            event = row.event
            if event.key != key:
                continue
            if key is not None or (origin and (event.origin, event.request) == (origin, request)):
                return row
        return None

    async def snapshots(self, document: str, branch: str, *, first: int, limit: int) -> list[Snapshot]:
        self._check_open()
        found = [item for item in self._kept_snapshots((document, branch)) if item.version >= first]
        return found[: max(0, limit)]

    # --- many streams --------------------------------------------------------------------------------------------

    async def read(self, position: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        self._check_open()
        kept = (row for row in self._from(position) if self._is_kept(row))
        return within_bytes(islice(kept, max(1, rows_max)), bytes_max)

    async def names(self, branch: str, *, prefix: str, after: str, limit: int) -> list[Head]:
        self._check_open()
        found = [head for head in self._heads.values() if head.branch == branch and head.document > after]
        # Strings of Python compare by code point.
        ordered = sorted((head for head in found if head.document.startswith(prefix)), key=_place)
        return ordered[: max(0, limit)]

    async def walk(self, after: Stream | None, *, limit: int) -> list[Head]:
        self._check_open()
        start = ("", "") if after is None else (after[1], after[0])
        return [head for head in sorted(self._heads.values(), key=_place) if _place(head) > start][: max(0, limit)]

    async def usage(self, branch: str, *, prefix: str, after: str, limit: int) -> list[Usage]:
        return [self._usage(head) for head in await self.names(branch, prefix=prefix, after=after, limit=limit)]

    def _usage(self, head: Head) -> Usage:
        stream = (head.document, head.branch)
        rows, snapshots = self._streams.get(stream, []), self._snapshots.get(stream, {}).values()
        size = sum(map(_row_bytes, rows)) + sum(map(_snapshot_bytes, snapshots))
        return Usage(head.document, head.branch, head.version, head.kind, len(rows), size, len(snapshots))

    async def weigh(self, document: str, branch: str, *, first: int, last: int) -> tuple[int, int]:
        self._check_open()
        rows = self._versions((document, branch), first, last)
        snapshots = [item for item in self._kept_snapshots((document, branch)) if first <= item.version <= last]
        return len(rows), sum(map(_row_bytes, rows)) + sum(map(_snapshot_bytes, snapshots))

    async def reach(self, document: str, branch: str, *, bytes_max: int) -> int:
        self._check_open()
        snapshots = {item.version: _snapshot_bytes(item) for item in self._kept_snapshots((document, branch))}
        reached = size = 0
        for row in reversed(list(self._kept((document, branch)))):
            size += _row_bytes(row) + snapshots.get(row.event.version, 0)
            if reached and size > bytes_max:
                break
            reached = row.event.version
        return reached

    async def compacted(self, branch: str, *, prefix: str, position: int) -> list[tuple[str, int]]:
        self._check_open()
        largest = {
            document: max(gap.position for gap in gaps)
            for (document, of), gaps in self._gaps.items()
            if of == branch and document.startswith(prefix)
        }
        return [(document, largest[document]) for document in sorted(largest) if largest[document] >= max(1, position)]

    # --- keeping house -------------------------------------------------------------------------------------------

    async def sweep(self, *, rows_max: int) -> int:
        self._check_open()
        gone = {row.position for row in self._rows if not self._is_kept(row)}
        gone = set(sorted(gone)[: max(1, rows_max)])
        self._rows = [row for row in self._rows if row.position not in gone]
        count = len(gone)
        for stream, rows in self._streams.items():
            self._streams[stream] = [row for row in rows if row.position not in gone]
            left = {row.event.version for row in self._streams[stream]}
            snapshots = self._snapshots.get(stream, {})
            for version in snapshots.keys() - left:
                del snapshots[version]
                count += 1
        return count

    async def shrink(self, *, bytes_max: int) -> int:
        self._check_open()
        return 0

    async def scrub(self) -> None:
        self._check_open()

    async def inspect_snapshots(self, after: int, *, limit: int) -> tuple[int, list[tuple[str, str, int]]]:
        """Nothing in memory is ever damaged."""
        self._check_open()
        return 0, []

    async def close(self) -> None:
        self._is_open = False

    # --- inside --------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if not self._is_open:
            raise StorageError("the archive is not open")

    def _from(self, position: int) -> Iterator[Row]:
        start = bisect_left(self._rows, position, key=_position)
        return (self._rows[place] for place in range(start, len(self._rows)))

    def _is_kept(self, row: Row) -> bool:
        return not _lies_in(row.event.version, self._gaps.get(_stream(row), ()))

    def _kept(self, stream: Stream) -> Iterator[Row]:
        gaps = self._gaps.get(stream, ())
        return (row for row in self._streams.get(stream, ()) if not _lies_in(row.event.version, gaps))

    def _versions(self, stream: Stream, first: int, last: int) -> list[Row]:
        return [row for row in self._kept(stream) if first <= row.event.version <= last]

    def _kept_snapshots(self, stream: Stream) -> list[Snapshot]:
        found = sorted(self._snapshots.get(stream, {}).values(), key=_snapshot_version)
        return [item for item in found if not _lies_in(item.version, self._gaps.get(stream, ()))]


def _lies_in(version: int, gaps: Iterable[Gap]) -> bool:
    return any(gap.first <= version <= gap.last for gap in gaps)


def _stream(row: Row) -> Stream:
    return row.event.document, row.event.branch


def _identity(row: Row) -> tuple[int, str, str, int]:
    return row.position, *_stream(row), row.event.version


def _tags(row: Row) -> tuple[str, ...]:
    return () if row.event.meta is None else tuple(sorted(set(row.event.meta.tags)))


def _row_bytes(row: Row) -> int:
    return delta_bytes(row.event) + _ROW_BYTES


def _snapshot_bytes(snapshot: Snapshot) -> int:
    return len(snapshot.value) + _ROW_BYTES


def _position(row: Row) -> int:
    return row.position


def _version(row: Row) -> int:
    return row.event.version


def _snapshot_version(snapshot: Snapshot) -> int:
    return snapshot.version


def _first(gap: Gap) -> int:
    return gap.first


def _place(head: Head) -> tuple[str, str]:
    return head.branch, head.document
