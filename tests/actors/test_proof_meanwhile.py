"""Proof of stores that are written to, archived, pruned, erased from and trimmed while they are walked: no false word."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from archive_kit import EPOCH, Past
from hypothesis import given
from hypothesis import strategies as st
from random_past import random_past

from palimpsest.actors.archiver import Archiver
from palimpsest.actors.proof import Kept, Verdict, verify
from palimpsest.storage.memory import MemoryArchive, MemoryJournal

pytestmark = pytest.mark.anyio


class Meanwhile:
    """A store as it is seen by somebody whose every look may come after something else has happened."""

    def __init__(self, store: Any, something: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._something = something

    def __getattr__(self, name: str) -> Any:
        async def look(*arguments: Any, **options: Any) -> Any:
            await self._something()
            return await getattr(self._store, name)(*arguments, **options)

        return look


class Living:
    """A journal that grows by these batches, and an archive that follows it, from somewhere in the middle on."""

    def __init__(self, past: Past, chance: random.Random) -> None:
        self.archive, self.journal = MemoryArchive(), MemoryJournal()
        self._batches = past.batches([chance.randint(1, 3) for _ in range(80)])
        self._chance = chance
        self._rate = chance.choice([0.02, 0.1, 0.3])
        self._appended = self._archived = 0
        self._archiver = Archiver(self.archive, snapshot_versions=3)

    async def start(self) -> int:
        """Returns the position up to which it is durable."""
        await self.archive.open(epoch=EPOCH)
        await self.journal.open()
        for _ in range(self._chance.randint(1, len(self._batches))):
            await self._append()
        for _ in range(self._chance.randint(0, self._appended)):
            await self._archive()
        return (await self.journal.end()).next

    async def something(self) -> None:
        if self._chance.random() > self._rate:
            return
        await self._chance.choice([self._append, self._archive, self._archive, self._archiver.tidy, self._trim])()

    async def _append(self) -> None:
        if self._appended < len(self._batches):
            await self.journal.append(self._batches[self._appended])
            self._appended += 1

    async def _archive(self) -> None:
        if self._archived < self._appended:
            await self._archiver.write([self._batches[self._archived]])
            self._archived += 1

    async def _trim(self) -> None:
        await self.journal.trim((await self.archive.end()).next, batches_max=2)

    async def verdict(self, against: list[Kept]) -> Verdict:
        archive, journal = Meanwhile(self.archive, self.something), Meanwhile(self.journal, self.something)
        return await verify(archive, journal, against=against)  # type: ignore[arg-type]


@given(st.integers(0, 2**32), st.sampled_from([10, 30, 60]))
async def test_what_happens_meanwhile_is_no_fault(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    past = random_past(seed, steps)
    if not past.events:
        return
    living = Living(past, chance)
    durable = await living.start()
    events = past.events[: durable - 1]
    kept = [(e.document, e.branch, e.version, past.digests[e.document, e.branch][e.version]) for e in events]
    verdict = await living.verdict([found for found in kept if chance.random() < 0.3])
    assert verdict.faults == []


@given(st.integers(0, 2**32))
async def test_what_is_wrong_is_found_all_the_same(seed: int) -> None:
    chance = random.Random(seed)
    past = Past()
    past.create("doc", {"n": 0})
    for number in range(1, 40):
        past.set("doc", "n", number)
    living = Living(past, chance)
    await living.start()
    rows = living.archive._streams.get(("doc", "main"), [])
    if not rows:
        return
    wrong = msgspec.structs.replace(chance.choice(rows), salt=bytes(16))
    living.archive._replace(wrong)
    faults = (await living.verdict([])).faults
    assert [(fault.document, fault.version) for fault in faults][:1] == [("doc", wrong.event.version)]


async def test_an_archive_that_knows_more_than_its_journal_is_one_of_another_time() -> None:
    past = Past()
    for number in range(5):
        past.create(f"d/{number}", number)
    batches = past.batches()
    archive, journal = MemoryArchive(), MemoryJournal()
    await archive.open(epoch=EPOCH)
    await journal.open()
    await Archiver(archive).write(batches)
    for batch in batches[:3]:
        await journal.append(batch)
    (fault,) = (await verify(archive, journal)).faults
    assert (fault.position, "ends at position 6" in fault.what) == (4, True)
