"""Group commit: which events share a batch, what is told when, and what is left after a failure."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from palimpsest.actors.committer import Committer
from palimpsest.clock import ManualClock
from palimpsest.errors import CommitFailed, DurabilityUnknown, PalimpsestError, ServerClosing, StorageError
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.storage.checking import check_journal
from palimpsest.storage.events import Batch, Event, decode_events
from palimpsest.storage.faults import FaultyJournal
from palimpsest.storage.memory import MemoryJournal

pytestmark = pytest.mark.anyio


def event(version: int) -> Event:
    return Event("a", "main", version, 1, 5, Raw(b"\x90"), "client", version)


class Office:
    """A committer, its journal, and what it said: ("durable", position, versions), ("failed", versions) and ("room",)."""

    def __init__(self, **limits: int) -> None:
        self.journal = FaultyJournal(MemoryJournal())
        self.said: list[tuple[Any, ...]] = []
        self.limits = Limits(**limits)

    async def __aenter__(self) -> Office:
        end = await self.journal.open()
        self.clock = ManualClock()
        clock = self.clock.monotonic
        self.committer = Committer(self.journal, end, self.limits, self._durable, self._failed, self._room, clock)
        self.task = asyncio.create_task(self.committer.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        assert await check_journal(self.journal) == []

    def add(self, *versions: int, size: int = 10) -> None:
        for version in versions:
            self.committer.add((None, None, version, event(version)), size)  # type: ignore[arg-type]

    def _durable(self, batch: Batch, entries: list[Any]) -> None:
        assert decode_events(batch.body) == [entry[3] for entry in entries]
        self.said.append(("durable", batch.position, [entry[2] for entry in entries]))

    def _failed(self, entries: list[Any], error: PalimpsestError) -> None:
        self.said.append(("failed", [entry[2] for entry in entries]))

    def _room(self) -> None:
        self.said.append(("room",))


async def _ticks(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_comes_in_one_turn_is_one_batch() -> None:
    async with Office() as office:
        office.add(1, 2, 3)
        await office.committer.quiet()
        assert office.said == [("durable", 1, [1, 2, 3])]


async def test_batches_follow_one_another_without_gaps() -> None:
    async with Office() as office:
        for version in range(1, 6):
            office.add(version)
            await office.committer.quiet()
        assert office.said == [("durable", version, [version]) for version in range(1, 6)]
        assert (office.committer.next, office.committer.batches, office.committer.events) == (6, 5, 5)


async def test_while_one_is_written_the_next_gathers_and_says_when_it_is_full() -> None:
    async with Office(batch_events_max=3) as office:
        office.journal.hold()
        office.add(1)
        await _ticks()
        office.add(2, 3)
        assert not office.committer.blocked
        office.add(4)
        assert office.committer.blocked
        assert [entry[2] for entry in office.committer.undecided()] == [1, 2, 3, 4]
        office.journal.release()
        await office.committer.quiet()
        assert office.said == [("durable", 1, [1]), ("room",), ("durable", 2, [2, 3, 4])]


async def test_a_batch_is_bounded_in_bytes_too() -> None:
    async with Office(batch_bytes_max=1_000) as office:
        office.add(1, size=900)
        assert not office.committer.blocked
        office.add(2, size=900)
        assert office.committer.blocked
        await office.committer.quiet()
        assert not office.committer.blocked


async def test_what_failed_is_told_whole_and_the_same_place_is_tried_again() -> None:
    async with Office() as office:
        office.add(1)
        await office.committer.quiet()
        office.journal.fail(CommitFailed("full", reason="full"))
        office.journal.hold()
        office.add(2)
        await _ticks()
        office.add(3)
        office.journal.release()
        await office.committer.quiet()
        assert office.said[1:] == [("failed", [2, 3])]
        office.add(2)
        await office.committer.quiet()
        assert office.said[2:] == [("durable", 2, [2])]


async def test_after_a_failure_there_is_room_again() -> None:
    async with Office(batch_events_max=2) as office:
        office.journal.fail(CommitFailed("full", reason="full"))
        office.journal.hold()
        office.add(1)
        await _ticks()
        office.add(2, 3)
        assert office.committer.blocked
        office.journal.release()
        await office.committer.quiet()
        assert office.said == [("failed", [1, 2, 3]), ("room",)]
        assert not office.committer.blocked


@pytest.mark.parametrize("error", [DurabilityUnknown("fsync", reason="fsync"), StorageError("gone")])
async def test_any_other_failure_ends_it(error: StorageError) -> None:
    async with Office() as office:
        office.journal.fail(error)
        office.add(1)
        with pytest.raises(type(error)):
            await office.task
        assert office.said == [("failed", [1])]


async def test_quiet_returns_at_once_where_there_is_nothing() -> None:
    async with Office() as office:
        await office.committer.quiet()
        assert office.said == []


async def test_after_the_end_no_write_is_taken_whatever_is_archived(open_house: Any) -> None:
    async with open_house() as house, house.running(inline_archiver=False):
        peer = house.peer()
        await peer.create("a", {})
        house.journal.fail(DurabilityUnknown("fsync failed", reason="fsync"))
        update = Raw(msgspec.msgpack.encode([[0, ["x"], 1]]))
        with pytest.raises(DurabilityUnknown):
            await peer.ask(m.Update, "a", update)
        await _ticks()
        house.partition.archived(2)
        with pytest.raises(ServerClosing):
            await peer.ask(m.Update, "a", update)


async def test_what_is_durable_is_told_while_the_next_batch_is_written() -> None:
    async with Office() as office:
        office.journal.hold()
        office.add(1)
        await _ticks()
        office.add(2)
        office.journal.release()
        while office.journal.appends < 2:
            await asyncio.sleep(0)
        office.journal.hold()
        await _ticks()
        assert office.said[0] == ("durable", 1, [1])
        office.journal.release()
        await office.committer.quiet()
        assert office.said == [("durable", 1, [1]), ("durable", 2, [2])]


@pytest.mark.parametrize("behind", [False, True])
async def test_a_bug_in_who_is_told_ends_the_run(behind: bool) -> None:
    class Broken(Office):
        def _durable(self, batch: Batch, entries: list[Any]) -> None:
            raise ZeroDivisionError("a bug")

    async with Broken() as office:
        office.journal.hold()
        office.add(1)
        await _ticks()
        if behind:  # the next batch is on its way when the first is told of
            office.add(2)
        office.journal.release()
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(asyncio.shield(office.task), 10)


async def test_what_a_batch_took_is_counted_once() -> None:
    async with Office() as office:
        office.journal.hold()
        office.add(1)
        await _ticks()
        office.clock.advance(0.25)
        office.add(2, 3)  # they gather while the first is written, and wait for it, too
        office.clock.advance(0.5)
        office.journal.release()
        await office.committer.quiet()
        timings = office.committer.timings
        assert (timings.update.data().count, timings.update.data().sum) == (2, 0.75 + 0.5)
        assert (timings.commit.data().sum, timings.append.data().sum) == (0.75, 0.75)
        assert (timings.batch.data().count, timings.batch.data().sum) == (2, 3)
        assert office.committer.durable_at == office.clock.monotonic()


async def test_a_batch_that_fails_is_counted_apart() -> None:
    async with Office() as office:
        office.journal.fail(CommitFailed("full", reason="full"))
        office.add(1)
        await office.committer.quiet()
        assert (office.committer.failed, office.committer.timings.commit.data().count) == (1, 0)
        office.add(1)
        await office.committer.quiet()
        assert (office.committer.failed, office.committer.timings.commit.data().count) == (1, 1)
