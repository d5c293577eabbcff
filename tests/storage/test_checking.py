from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
from storage_kit import START, Feeder, append, chain, event, versions

from palimpsest.storage.checking import check_archive, check_journal
from palimpsest.storage.contracts import Step
from palimpsest.storage.events import Batch, Event, chain_digest, encode_events
from palimpsest.storage.memory import MemoryArchive, MemoryJournal
from palimpsest.storage.sqlite_archive import SqliteArchive, archive_path

pytestmark = pytest.mark.anyio

EPOCH = "0" * 16


async def journal_findings(*groups: list[Event], batch: Batch | None = None) -> list[str]:
    journal = MemoryJournal()
    await journal.open()
    await append(journal, *groups)
    if batch is not None:
        await journal.append(batch)
    return await check_journal(journal)


async def test_a_sound_journal_has_no_findings() -> None:
    assert await journal_findings() == []
    transaction = [event("a", more=1), event("b", more=0)]
    assert await journal_findings(versions("c", 1, 3), transaction, versions("a", 2, 3)) == []


@pytest.mark.parametrize(
    ("events", "finding"),
    [
        ([event("a", 1), event("a", 3)], "version 3 of a (main) at position 2 follows version 1"),
        (
            [event("a", 1), event("a", 2, at=0)],
            "version 2 of a (main) at position 2 is dated before the version before it",
        ),
        ([event("a", more=2), event("b", more=0)], "the event at position 2 is not the next one of its transaction"),
        ([event("a", more=1)], "a transaction goes on beyond the batch at position 1"),
    ],
)
async def test_what_is_wrong_with_events_is_found(events: list[Event], finding: str) -> None:
    assert await journal_findings(events) == [finding]


async def test_a_batch_that_says_another_count_is_found() -> None:
    body = encode_events(versions("a", 1, 2))
    batch = Batch(1, 3, chain_digest(START.digest, 1, 3, body), body)
    assert await journal_findings(batch=batch) == ["the batch at position 1 holds 2 events and says 3"]


async def test_a_batch_that_breaks_the_chain_is_found() -> None:
    (batch,) = chain([versions("a", 1, 1)])
    findings = await journal_findings(batch=msgspec.structs.replace(batch, digest=bytes(32)))
    assert findings == ["memory: the batch at position 1 does not match its digest"]


async def test_a_batch_that_does_not_decode_is_found() -> None:
    batch = Batch(1, 1, chain_digest(START.digest, 1, 1, b"junk"), b"junk")
    (finding,) = await journal_findings(batch=batch)
    assert "does not decode" in finding


EVENTS = [*versions("a", 1, 6), *versions("b", 1, 3), event("b", 4, origin="", request=0, key="key")]


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("DELETE FROM events WHERE position = 2", "the event at position 2 is missing"),
        ("DELETE FROM events WHERE position = 5", "versions from 4 on are missing"),
        ("DELETE FROM events WHERE position = 10", "the archive ends at position 10, and says that it ends at 11"),
        ("UPDATE events SET version = 9 WHERE position = 10", "version 9 of b (main) at position 10 follows version 3"),
        ("UPDATE streams SET version = 5 WHERE document = 'a'", "the head of its stream says otherwise"),
        ("UPDATE streams SET at = 5 WHERE document = 'a'", "the head of its stream says otherwise"),
        ("UPDATE streams SET since_bytes = 5 WHERE document = 'a'", "the newest snapshot is"),
        ("DELETE FROM snapshots", "the newest snapshot is (0, 0)"),
        ("UPDATE snapshots SET value = x'00'", "the newest snapshot is (4, 1)"),
        (
            "INSERT INTO streams SELECT 9, branch, 'x', 1, 1, 0, 0, 0, 0, 0 FROM streams LIMIT 1",
            "the names of branch main",
        ),
        ("UPDATE events SET body = x'c0' WHERE position = 3", "the event at position 3 does not decode"),
    ],
)
async def test_damage_to_an_archive_is_found(tmp_path: Path, damage: str, finding: str) -> None:
    archive = SqliteArchive(tmp_path / "state.db")
    await archive.open(epoch=EPOCH)
    await Feeder(archive).write(*EVENTS)
    assert await check_archive(archive) == []
    raw = sqlite3.connect(archive_path(tmp_path / "state.db"), isolation_level=None)
    raw.execute(damage)
    raw.close()
    findings = await check_archive(archive)
    await archive.close()
    assert any(finding in found for found in findings), findings


async def test_a_request_that_is_not_found_is_a_finding() -> None:
    class Forgetful(MemoryArchive):
        async def find_request(self, *_: object, **__: object) -> None:
            return None

    archive = Forgetful()
    await archive.open(epoch=EPOCH)
    await Feeder(archive).write(event("a"))
    assert await check_archive(archive) == ["version 1 of a (main) at position 1 is not found by its request"]
    assert await check_archive(archive, requests=False) == []


async def feed(archive: MemoryArchive, journal: MemoryJournal, *, digest: bytes | None = None) -> None:
    batches = await journal.read(1, bytes_max=2**60)
    step = Feeder(archive).step(*EVENTS)
    await archive.write(Step(step.rows, step.snapshots, step.heads, step.next, digest or batches[0].digest))


async def test_an_archive_is_compared_with_its_journal() -> None:
    journal, archive = MemoryJournal(), MemoryArchive()
    await journal.open()
    await archive.open(epoch=journal.epoch)
    await append(journal, EVENTS, versions("c", 1, 1))
    await feed(archive, journal)
    assert await check_archive(archive, journal) == []


async def test_an_archive_that_differs_from_its_journal_is_found() -> None:
    journal, archive = MemoryJournal(), MemoryArchive()
    await journal.open()
    await archive.open(epoch=journal.epoch)
    await append(journal, [*EVENTS[:-1], event("b", 4, request=77)])
    await feed(archive, journal, digest=bytes(32))
    assert await check_archive(archive, journal) == [
        "the batch at position 1 is not what the archive has in its place",
        "the archive ends at 11 with another digest than the journal",
    ]


async def test_an_archive_that_is_ahead_of_its_journal_is_found() -> None:
    journal, archive = MemoryJournal(), MemoryArchive()
    await journal.open()
    await archive.open(epoch=journal.epoch)
    await Feeder(archive).write(event("a"))
    assert await check_archive(archive, journal) == ["the archive ends at 2, and the journal has 1 to 1"]
