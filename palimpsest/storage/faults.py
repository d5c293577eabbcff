"""A journal that fails or waits when it is told to, so that tests can see what becomes of those who depend on it."""

from __future__ import annotations

import asyncio

from palimpsest.errors import StorageError
from palimpsest.storage.contracts import Journal, JournalEnd
from palimpsest.storage.events import Batch


class FaultyJournal:
    """A Journal that hands everything on to another, but for the appends that are to fail or to wait, and the keeping house
    that is to fail."""

    def __init__(self, journal: Journal) -> None:
        self.appends = 0
        """How many appends have been asked for, whatever became of them."""
        self.scrubs = 0
        """So for scrubs."""
        self._journal = journal
        self._error: StorageError | None = None
        self._failures = 0
        self._written = False
        self._house_error: StorageError | None = None
        self._house_failures = 0
        self._free = asyncio.Event()
        self._free.set()

    def fail(self, error: StorageError, *, times: int = 1, written: bool = False) -> None:
        """The next `times` appends raise error. written: the batch is appended first, as where a sync fails at the end."""
        self._error, self._failures, self._written = error, times, written

    def fail_house(self, error: StorageError, *, times: int = 1) -> None:
        """The next `times` trims or scrubs raise error, and have done nothing."""
        self._house_error, self._house_failures = error, times

    def hold(self) -> None:
        """Appends wait from now on."""
        self._free.clear()

    def release(self) -> None:
        """Appends that wait go on."""
        self._free.set()

    @property
    def epoch(self) -> str:
        return self._journal.epoch

    async def open(self) -> JournalEnd:
        return await self._journal.open()

    async def end(self) -> JournalEnd:
        return await self._journal.end()

    async def append(self, batch: Batch) -> None:
        self.appends += 1
        await self._free.wait()
        error = self._take_failure()
        if error is None or self._written:
            await self._journal.append(batch)
        if error is not None:
            raise error

    def _take_failure(self) -> StorageError | None:
        if not self._failures:
            return None
        self._failures -= 1
        return self._error

    async def read(self, position: int, *, bytes_max: int) -> list[Batch]:
        return await self._journal.read(position, bytes_max=bytes_max)

    async def trim(self, position: int, *, batches_max: int) -> int:
        self._maybe_fail_house()
        return await self._journal.trim(position, batches_max=batches_max)

    async def scrub(self) -> None:
        self.scrubs += 1
        self._maybe_fail_house()
        await self._journal.scrub()

    def _maybe_fail_house(self) -> None:
        if self._house_failures and self._house_error is not None:
            self._house_failures -= 1
            raise self._house_error

    async def close(self) -> None:
        await self._journal.close()
