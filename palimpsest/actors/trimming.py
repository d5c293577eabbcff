"""Forgetting what is archived of the journal, some way behind, and all of it where nothing may be left."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from palimpsest.actors.committer import Committer
from palimpsest.actors.tail import Tail
from palimpsest.errors import CommitFailed, Compacted
from palimpsest.logs import get_logger
from palimpsest.storage.contracts import Journal
from palimpsest.storage.events import decode_events
from palimpsest.words import Kind

log = get_logger("palimpsest.actors")

_ERASE = int(Kind.ERASE)
_BATCHES_MAX = 64
_STEP_BYTES = 1024 * 1024
"""Roughly of one step. A step holds up the commits: 512 batches at a time cost some 4 ms, and quadrupled the p99."""
_PAUSE_SECONDS, _STEP_PAUSE_SECONDS = 0.5, 0.02
_EVENT_BYTES = 128
"""What an event takes in the journal, as long as nothing has been measured."""


class Trimmer:
    """keep_bytes: how much of what is archived stays in the journal, roughly: trimming costs the commits less the later it
    is."""

    def __init__(self, journal: Journal, tail: Tail, committer: Committer, keep_bytes: int) -> None:
        self._journal = journal
        self._tail = tail
        self._committer = committer
        self._keep_bytes = keep_bytes
        self._archived = anyio.Event()
        self.held = anyio.Lock()
        """Whoever has it holds trims back."""

    def on_archived(self) -> None:
        """There may be something to trim."""
        self._archived.set()

    async def run(self) -> None:
        """Trims until cancelled."""
        try:
            if await self._has_erasure():
                await self.forget()  # whoever was to do it may have been killed
        except CommitFailed as error:
            log.warning("trimming_failed", reason=error.reason)
        while True:
            await self._archived.wait()
            self._archived = anyio.Event()
            await anyio.sleep(_PAUSE_SECONDS)
            try:
                await self.trim_once()
            except CommitFailed as error:
                log.warning("trimming_failed", reason=error.reason)

    async def trim_once(self) -> None:
        """Forgets what is archived, some way behind, in steps that leave room for commits."""
        async with self.held:
            while await self._journal.trim(self._end(), batches_max=(step := self._step())) == step:
                await anyio.sleep(_STEP_PAUSE_SECONDS)

    async def forget(self) -> None:
        """Everything that is archived leaves the journal, and its files."""
        async with self.held:
            while await self._journal.trim(self._tail.start, batches_max=self._step()):
                await anyio.lowlevel.checkpoint()
            await self._journal.scrub()

    async def _has_erasure(self) -> bool:
        """Whether what is archived of the journal has an erasure in it, so that it may hold what was erased. Read at leisure."""
        position = (await self._journal.end()).oldest
        while position < self._tail.start:
            try:
                batches = await self._journal.read(position, bytes_max=_STEP_BYTES)
            except Compacted:  # trimmed meanwhile
                position = (await self._journal.end()).oldest
                continue
            if not batches:
                break
            for batch in batches:
                if any(event.kind == _ERASE for event in decode_events(batch.body)):
                    return True
            position = batches[-1].position + batches[-1].count
            await anyio.sleep(_STEP_PAUSE_SECONDS)
        return False

    def _end(self) -> int:
        """What is archived, less what is kept of it."""
        event_bytes = self._committer.bytes // max(1, self._committer.events) or _EVENT_BYTES
        return self._tail.start - self._keep_bytes // event_bytes

    def _step(self) -> int:
        """How many batches are about as large as a step may be."""
        batch_bytes = self._committer.bytes // max(1, self._committer.batches) or _EVENT_BYTES
        return max(1, min(_BATCHES_MAX, _STEP_BYTES // batch_bytes))
