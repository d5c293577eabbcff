"""Archiving in the process that serves: a step after each commit, with a pause so that those who ask come first."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from palimpsest.actors.archiver import STEP_BYTES, Archiver, is_large, pause_seconds
from palimpsest.actors.tail import Tail
from palimpsest.errors import CommitFailed
from palimpsest.logs import get_logger

log = get_logger("palimpsest.actors")

_AGAIN_SECONDS = 1.0


class InlineArchiving:
    """archived: told of the position before which everything is durably archived."""

    def __init__(
        self, archiver: Archiver, tail: Tail, archived: Callable[[int], None], least_pause_seconds: float
    ) -> None:
        self._archiver = archiver
        self._tail = tail
        self._archived = archived
        self._pause_seconds = least_pause_seconds
        self._work = anyio.Event()

    def on_durable(self) -> None:
        """There may be more to archive."""
        self._work.set()

    async def run(self) -> None:
        """Archives whatever becomes durable, until cancelled."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            while self._tail.start < self._tail.end:
                batches = self._tail.batches(self._tail.start, bytes_max=STEP_BYTES)
                started = anyio.current_time()
                try:
                    self._archived(await self._archiver.write(batches))
                except CommitFailed as error:
                    log.warning("archiving_failed", reason=error.reason)
                    await anyio.sleep(_AGAIN_SECONDS)
                if is_large(batches):
                    await self._tidy()  # a piece of it, so that space comes back under load as well
                    await anyio.sleep(pause_seconds(anyio.current_time() - started, self._tail.bytes))
                else:
                    await anyio.sleep(self._pause_seconds)
            while not self._work.is_set() and await self._tidy():
                await anyio.sleep(self._pause_seconds / 10)

    async def _tidy(self) -> bool:
        """Does a piece; whether there may be more to do."""
        try:
            return await self._archiver.tidy()
        except CommitFailed as error:
            log.warning("tidying_failed", reason=error.reason)
            return False
