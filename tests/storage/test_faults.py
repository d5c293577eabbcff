from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from storage_kit import append, chain, read_all, versions

from palimpsest.errors import CommitFailed, DurabilityUnknown
from palimpsest.storage.checking import check_journal
from palimpsest.storage.faults import FaultyJournal
from palimpsest.storage.memory import MemoryJournal

pytestmark = pytest.mark.anyio


@pytest.fixture
async def journal() -> AsyncIterator[FaultyJournal]:
    journal = FaultyJournal(MemoryJournal())
    await journal.open()
    yield journal
    assert await check_journal(journal) == []
    await journal.close()


async def test_it_hands_everything_on(journal: FaultyJournal) -> None:
    batches = await append(journal, versions("a", 1, 1), versions("a", 2, 2))
    assert await read_all(journal) == batches
    assert await journal.trim(2, batches_max=1) == 1
    await journal.scrub()
    assert len(journal.epoch) == 16
    assert (journal.appends, journal.scrubs) == (2, 1)


async def test_appends_that_fail_before_they_are_written(journal: FaultyJournal) -> None:
    error = CommitFailed("full", reason="full")
    journal.fail(error, times=2)
    for _ in range(2):
        with pytest.raises(CommitFailed) as caught:
            await append(journal, versions("a", 1, 1))
        assert caught.value is error
    assert await read_all(journal) == []
    await append(journal, versions("a", 1, 1))


async def test_an_append_that_fails_after_it_is_written(journal: FaultyJournal) -> None:
    journal.fail(DurabilityUnknown("sync", reason="sync"), written=True)
    with pytest.raises(DurabilityUnknown):
        await append(journal, versions("a", 1, 1))
    assert await read_all(journal) == chain([versions("a", 1, 1)])


async def test_trims_and_scrubs_that_fail_do_nothing(journal: FaultyJournal) -> None:
    batches = await append(journal, versions("a", 1, 1), versions("a", 2, 2))
    error = CommitFailed("full", reason="full")
    journal.fail_house(error, times=2)
    with pytest.raises(CommitFailed) as caught:
        await journal.trim(2, batches_max=1)
    assert caught.value is error
    with pytest.raises(CommitFailed):
        await journal.scrub()
    assert await read_all(journal) == batches
    assert await journal.trim(2, batches_max=1) == 1
    await journal.scrub()
    assert await read_all(journal) == batches[1:]


async def test_an_append_that_is_held_waits(journal: FaultyJournal) -> None:
    journal.hold()
    appending = asyncio.ensure_future(append(journal, versions("a", 1, 1)))
    while not journal.appends:
        await asyncio.sleep(0)
    assert await read_all(journal) == []
    assert not appending.done()
    journal.release()
    await appending
    assert len(await read_all(journal)) == 1
