"""Journal and archive in memory: the reference that says what the contracts mean, and what a server without a file stands on.

Nothing here outlives its object; closing one and opening it again keeps what is in it, as a file would.
"""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections.abc import Sequence

from palimpsest.errors import Compacted, StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage.contracts import ArchiveEnd, Head, JournalEnd, Row, Snapshot, Step, Stream, Stretch
from palimpsest.storage.events import GENESIS, Batch, chain_digest
from palimpsest.storage.rules import check_step, within_bytes


class MemoryJournal:
    """A Journal in a list."""

    def __init__(self) -> None:
        self._is_open = False
        self._epoch = secrets.token_hex(8)
        self._batches: list[Batch] = []
        self._oldest = 1
        self._digest_before = GENESIS
        """Of the batch before the oldest one that is kept."""

    @property
    def epoch(self) -> str:
        return self._epoch

    async def open(self) -> JournalEnd:
        if self._is_open:
            raise StoreLocked("this journal is open already", path="memory")
        self._is_open = True
        return self._end()

    async def end(self) -> JournalEnd:
        self._check_open()
        return self._end()

    async def append(self, batch: Batch) -> None:
        self._check_open()
        if batch.position != (expected := self._end().next):
            raise _corrupt(f"a batch at position {batch.position} was to be appended where {expected} comes next")
        self._batches.append(batch)

    async def read(self, position: int, *, bytes_max: int) -> list[Batch]:
        self._check_open()
        if position < self._oldest:
            message = f"position {position} is no longer kept; the oldest is {self._oldest}"
            raise Compacted(message, cursor=f"{self._epoch}:{position}", oldest=f"{self._epoch}:{self._oldest}")
        found: list[Batch] = []
        size = 0
        digest = self._digest_before
        for batch in self._batches:
            if batch.position + batch.count > position:
                size += len(batch.body)
                if found and size > bytes_max:
                    break
                found.append(_verified(batch, digest))
            digest = batch.digest
        return found

    async def trim(self, position: int, *, batches_max: int) -> int:
        self._check_open()
        gone = [batch for batch in self._batches[:-1] if batch.position + batch.count <= position][
            : max(0, batches_max)
        ]
        if gone:
            del self._batches[: len(gone)]
            self._oldest = gone[-1].position + gone[-1].count
            self._digest_before = gone[-1].digest
        return len(gone)

    async def close(self) -> None:
        self._is_open = False

    def _end(self) -> JournalEnd:
        if not self._batches:
            return JournalEnd(self._oldest, self._oldest, self._digest_before)
        last = self._batches[-1]
        return JournalEnd(self._oldest, last.position + last.count, last.digest)

    def _check_open(self) -> None:
        if not self._is_open:
            raise StorageError("the journal is not open")


class MemoryArchive:
    """An Archive in dicts and lists."""

    def __init__(self) -> None:
        self._is_open = False
        self._epoch: str | None = None
        self._end = ArchiveEnd(oldest=1, next=1, digest=GENESIS)
        self._rows: list[Row] = []
        """Of all streams, by position."""
        self._streams: dict[Stream, list[Row]] = {}
        """By version."""
        self._heads: dict[Stream, Head] = {}
        self._snapshots: dict[Stream, dict[int, Snapshot]] = {}

    async def open(self, *, epoch: str) -> ArchiveEnd:
        if self._is_open:
            raise StoreLocked("this archive is open already", path="memory")
        if self._epoch not in (None, epoch):
            raise _corrupt(f"the archive is that of journal {self._epoch}, and not of {epoch}")
        self._epoch = epoch
        self._is_open = True
        return self._end

    async def end(self) -> ArchiveEnd:
        self._check_open()
        return self._end

    async def write(self, step: Step) -> None:
        self._check_open()
        check_step(self._end, step, "memory")
        for row in step.rows:
            self._rows.append(row)
            self._streams.setdefault((row.event.document, row.event.branch), []).append(row)
        for snapshot in step.snapshots:
            self._snapshots.setdefault((snapshot.document, snapshot.branch), {})[snapshot.version] = snapshot
        for head in step.heads:
            self._heads[head.document, head.branch] = head
        self._end = ArchiveEnd(oldest=self._end.oldest, next=step.next, digest=step.digest)

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
        rows = self._versions(stream, 1, version)
        if not rows or rows[-1].event.version != version:
            return None
        snapshots = self._snapshots.get(stream, {})
        newest = max((at for at in snapshots if at <= version), default=0)
        rows = [row for row in rows if row.event.version >= newest]
        return Stretch(self._heads[stream], snapshots.get(newest), rows)

    async def history(
        self, document: str, branch: str, *, first: int, last: int, newest_first: bool, limit: int
    ) -> list[Row]:
        self._check_open()
        rows = self._versions((document, branch), first, last)
        return (rows[::-1] if newest_first else rows)[: max(0, limit)]

    def _versions(self, stream: Stream, first: int, last: int) -> list[Row]:
        return [row for row in self._streams.get(stream, ()) if first <= row.event.version <= last]

    async def read(self, position: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        self._check_open()
        start = bisect_left(self._rows, position, key=_position)
        return within_bytes(self._rows[start : start + max(1, rows_max)], bytes_max)

    async def names(self, branch: str, *, prefix: str, after: str, limit: int) -> list[Head]:
        self._check_open()
        found = [head for head in self._heads.values() if head.branch == branch and head.document > after]
        # Strings of Python compare by code point.
        ordered = sorted((head for head in found if head.document.startswith(prefix)), key=_document)
        return ordered[: max(0, limit)]

    async def find_request(
        self, document: str, branch: str, *, origin: str, request: int, key: str | None
    ) -> Row | None:
        self._check_open()
        for row in self._streams.get((document, branch), ()):
            event = row.event
            if event.key != key:
                continue
            if key is not None or (origin and (event.origin, event.request) == (origin, request)):
                return row
        return None

    async def close(self) -> None:
        self._is_open = False

    def _check_open(self) -> None:
        if not self._is_open:
            raise StorageError("the archive is not open")


def _verified(batch: Batch, previous: bytes) -> Batch:
    if chain_digest(previous, batch.position, batch.count, batch.body) != batch.digest:
        raise _corrupt(f"the batch at position {batch.position} does not match its digest")
    return batch


def _corrupt(reason: str) -> StoreCorrupt:
    return StoreCorrupt(f"memory: {reason}", path="memory", reason=reason)


def _position(row: Row) -> int:
    return row.position


def _document(head: Head) -> str:
    return head.document
