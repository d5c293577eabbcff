"""Group commit: while one batch is being made durable, the next one gathers. No timer.

It knows the order of events and whether they are durable. What an event means, and who waits for it, is its owner's.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from palimpsest.counting import EVENTS, SECONDS, Histogram
from palimpsest.errors import CommitFailed, PalimpsestError, StorageError
from palimpsest.limits import Limits
from palimpsest.storage.contracts import Journal, JournalEnd
from palimpsest.storage.events import SALT_BYTES, Batch, Event, chain_digest, encode_events

if TYPE_CHECKING:
    from palimpsest.actors.document import DocumentActor


class Asker(Protocol):
    """Who asked, and gets the answer. Every request is answered exactly once, by one of these."""

    client: str
    """The client id."""

    def committed(self, id: int, version: int, at: int) -> None:
        """The write `id` is durable as `version`."""
        ...

    def reply(self, message: object) -> None:
        """Any other answer; it carries its id."""
        ...

    def fail(self, id: int, error: PalimpsestError) -> None: ...


Entry = tuple["DocumentActor", Asker, int, Event]
"""An event, whose it is, who asked for it, and the id of the request."""

_EVENT_OVERHEAD_BYTES = 64


class Timings:
    """What the commits took, one observation for each batch that became durable, in seconds but for the last."""

    def __init__(self) -> None:
        self.update = Histogram(SECONDS)
        """From when the oldest event of a batch was added until it was durable: the longest that any write of it took. Those of the batch
        that came later took less."""
        self.commit = Histogram(SECONDS)
        """From when a batch was closed until it was durable: encoding, digest and append."""
        self.append = Histogram(SECONDS)
        """Of that, the journal's append: what the disk takes."""
        self.batch = Histogram(EVENTS)
        """How many events it had."""

    def add(self, added_at: float, closed_at: float, appended_at: float, durable_at: float, events: int) -> None:
        """Of one batch: when its oldest event was added, when it was closed, when the append began and when it was durable, in monotonic
        seconds; and how many events it has."""
        self.update.add(durable_at - added_at)
        self.commit.add(durable_at - closed_at)
        self.append.add(durable_at - appended_at)
        self.batch.add(events)


class Committer:
    """Makes batches of what is added and hands them back when they are durable, or when they failed.

    on_durable(batch, entries): called once per batch, in order, on the event loop. on_failed(entries, error): called with
    everything that is not durable, the batch that failed and what has gathered behind it; nothing of it was written.
    """

    def __init__(
        self,
        journal: Journal,
        end: JournalEnd,
        limits: Limits,
        on_durable: Callable[[Batch, list[Entry]], None],
        on_failed: Callable[[list[Entry], PalimpsestError], None],
        on_room: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.blocked = False
        """The gathering batch is full: whoever wants to add waits for `on_room`. Set by the tail's bound, too."""
        self.next = end.next
        """The position of the next batch."""
        self.batches = 0
        self.events = 0
        self.bytes = 0
        """Of bodies, since the start; as the two above."""
        self.failed = 0
        """Batches that were not written."""
        self.timings = Timings()
        self.durable_at = 0.0
        """When the newest durable batch became so, in monotonic seconds."""
        self._monotonic = monotonic
        self._gathering_since = 0.0
        """When the first event of the gathering batch was added. A clock is read for each batch, and not for each event."""
        self._digest = end.digest
        self._journal = journal
        self._batch_events_max = limits.batch_events_max
        self._batch_bytes_max = limits.batch_bytes_max
        self._on_durable = on_durable
        self._on_failed = on_failed
        self._on_room = on_room
        self._gathering: list[Entry] = []
        self._gathered_bytes = 0
        self._committing: list[Entry] = []
        self._durable: tuple[Batch, list[Entry]] | None = None
        """Durable, and `on_durable` has not been called yet."""
        self._bug: Exception | None = None
        self._work = asyncio.Event()
        self._still = asyncio.Event()
        self._still.set()

    def add(self, entry: Entry, size: int) -> None:
        """entry joins the gathering batch. size: bytes of its delta. Not to be called while `blocked`, but for the rest
        of one transaction."""
        gathering = self._gathering
        if not gathering:
            self._gathering_since = self._monotonic()
            if self._still.is_set():
                self._work.set()
                self._still.clear()
        gathering.append(entry)
        self._gathered_bytes += size + _EVENT_OVERHEAD_BYTES
        if self._gathered_bytes >= self._batch_bytes_max or len(gathering) >= self._batch_events_max:
            self.blocked = True

    def undecided(self) -> list[Entry]:
        """What is not durable yet, in order. What is, has been handed over before this returns."""
        self._hand_over()
        return self._committing + self._gathering

    async def quiet(self) -> None:
        """Returns when everything that was added is durable or has failed."""
        await self._still.wait()

    async def run(self) -> None:
        """Commits until it is cancelled. Raises the StorageError after which nothing more can be written."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._gathering:
                await self._commit()
                if not self._gathering:
                    self._hand_over()  # which may bring something new
            self._still.set()

    async def _commit(self) -> None:
        entries = self._committing = self._gathering
        added_at, closed_at = self._gathering_since, self._monotonic()
        self._gathering = []
        self._gathered_bytes = 0
        body = encode_events([entry[3] for entry in entries], os.urandom(SALT_BYTES))
        position, count = self.next, len(entries)
        batch = Batch(position, count, chain_digest(self._digest, position, count, body), body)
        if self.blocked:
            self.blocked = False
            self._hand_over()
            self._on_room()
        elif self._durable is not None:
            # The disk first: what is durable is handed over while the next batch is on its way there.
            asyncio.get_running_loop().call_soon(self._hand_over_meanwhile)
        appended_at = self._monotonic()
        try:
            await self._journal.append(batch)
        except StorageError as error:
            self._hand_over()
            self._fail(error)
            return
        durable_at = self._monotonic()
        self._hand_over()
        self.durable_at = durable_at
        self.next = position + count
        self._digest = batch.digest
        self.batches += 1
        self.events += count
        self.bytes += len(body)
        self.timings.add(added_at, closed_at, appended_at, durable_at, count)
        self._committing = []
        self._durable = (batch, entries)
        if self._bug is not None:
            raise self._bug

    def _hand_over_meanwhile(self) -> None:
        """A bug in who is told must end `run`, also where it does not happen inside of it."""
        try:
            self._hand_over()
        except Exception as error:
            self._bug = error

    def _hand_over(self) -> None:
        """Tells of the batch that is durable, if that has not been done."""
        if self._durable is not None:
            (batch, entries), self._durable = self._durable, None
            self._on_durable(batch, entries)

    def _fail(self, error: StorageError) -> None:
        self.failed += 1
        failed = self._committing + self._gathering
        self._committing, self._gathering, self._gathered_bytes = [], [], 0
        self._on_failed(failed, error)
        if not isinstance(error, CommitFailed):
            raise error
        if self.blocked:
            self.blocked = False
            self._on_room()
