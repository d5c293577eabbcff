"""The journal in memory: with the archive in memory, the reference that says what the contracts mean, and what a server without
a file stands on.

Nothing here outlives its object; closing it and opening it again keeps what is in it, as a file would.
"""

from __future__ import annotations

import secrets

from palimpsest.errors import Compacted, StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage.contracts import JournalEnd
from palimpsest.storage.events import GENESIS, Batch, chain_digest
from palimpsest.storage.memory_archive import MemoryArchive

__all__ = ["MemoryArchive", "MemoryJournal"]


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
        gone = [batch for batch in self._batches if batch.position + batch.count <= position][: max(0, batches_max)]
        if gone:
            del self._batches[: len(gone)]
            self._oldest = gone[-1].position + gone[-1].count
            self._digest_before = gone[-1].digest
        return len(gone)

    async def scrub(self) -> None:
        self._check_open()

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


def _verified(batch: Batch, previous: bytes) -> Batch:
    if chain_digest(previous, batch.position, batch.count, batch.body) != batch.digest:
        raise _corrupt(f"the batch at position {batch.position} does not match its digest")
    return batch


def _corrupt(reason: str) -> StoreCorrupt:
    return StoreCorrupt(f"memory: {reason}", path="memory", reason=reason)
