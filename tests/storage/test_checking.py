from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
from storage_kit import SALT, START, Feeder, append, chain, event, versions

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
        ([event("a", 2), event("a", 2)], "version 2 of a (main) at position 2 follows version 2"),
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
    body = encode_events(versions("a", 1, 2), SALT)
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
        ("DELETE FROM events WHERE position = 2", "the event at position 2 is missing; 3 comes next"),
        ("DELETE FROM events WHERE position = 2", "version 3 of a (main) at position 3 follows version 1"),
        ("DELETE FROM events WHERE position = 5", "version 6 of a (main) cannot be built: of versions 4 to 6 some"),
        ("DELETE FROM events WHERE position = 10", "the event at position 10 is missing; 11 comes next"),
        ("UPDATE events SET version = 9 WHERE position = 10", "version 9 of b (main) at position 10 follows version 3"),
        ("UPDATE events SET at = 0 WHERE position = 3", "is dated before the version before it"),
        ("UPDATE events SET request = 0 WHERE position = 3", "version 3 of a (main) at position 3 does not match"),
        (
            "UPDATE events SET proof = substr(proof, 1, 23) WHERE position = 3",
            "version 3 of a (main) at position 3 does not match",
        ),
        (
            "UPDATE events SET proof = zeroblob(24) WHERE position = 3",
            "version 3 of a (main) at position 3 does not match",
        ),
        ("UPDATE events SET body = x'c0' WHERE position = 3", "version 3 of a (main) at position 3 does not match"),
        ("UPDATE events SET body = x'91' WHERE position = 3", "version 3 of a (main) at position 3 does not decode"),
        ("UPDATE streams SET version = 5 WHERE document = 'a'", "the head of its stream says otherwise"),
        ("UPDATE streams SET at = 5 WHERE document = 'a'", "the head of its stream says otherwise"),
        ("UPDATE streams SET digest = zeroblob(32)", "the head of its stream has another digest"),
        (
            "UPDATE streams SET since_bytes = 5 WHERE document = 'a'",
            "bytes after its newest snapshot, and the head says",
        ),
        ("UPDATE streams SET events = 5 WHERE document = 'a'", "the counters of a (main)"),
        ("UPDATE archive SET oldest = 2", "the oldest event that is kept is said to be at position 2, and it is at 1"),
        ("DELETE FROM snapshots", "the newest snapshot is (0, 0)"),
        ("UPDATE snapshots SET value = x'00'", "the snapshot at version 4 of a (main) is damaged"),
        ("UPDATE snapshots SET digest = x'00'", "the snapshot at version 4 of a (main) has another digest"),
        ("UPDATE snapshots SET version = 9", "the head says"),
        (
            "INSERT INTO tags SELECT DISTINCT stream, 'x', 2 FROM events",
            "the tags of a (main) are not those of its versions",
        ),
        (
            "INSERT INTO tags SELECT DISTINCT stream, 'x', 9 FROM events",
            "version 9 of a (main) has a tag, and is not there",
        ),
        (
            "INSERT INTO streams SELECT 9, branch, 'x', 1, 1, 0, 0, 0, 0, 0, digest, 0, 0, 0, 0 FROM streams LIMIT 1",
            "x (main) has a head, and no version of it is there",
        ),
    ],
)
async def test_damage_to_an_archive_is_found(tmp_path: Path, damage: str, finding: str) -> None:
    findings = await findings_after(tmp_path / "state.db", [], damage)
    assert any(finding in found for found in findings), findings


@pytest.mark.parametrize(
    ("deeds", "damage", "finding"),
    [
        (
            ["sweep"],
            "UPDATE gaps SET digest = zeroblob(32)",
            "version 4 of a (main) at position 4 does not match its digest",
        ),
        (["sweep"], "UPDATE gaps SET last = 2", "version 4 of a (main) at position 4 follows version 2"),
        (["sweep"], "UPDATE gaps SET at = 0", "the gap before version 4 of a (main) at position 4 is dated before"),
        (["sweep"], "DELETE FROM gaps", "version 4 of a (main) at position 4 follows version 1"),
        ([], "UPDATE gaps SET held = 0", "says that it is swept, and it is not"),
        (["sweep"], "UPDATE gaps SET position = 9", "reach to another position than their stream says"),
        (
            ["sweep", "erase"],
            "UPDATE events SET proof = CAST(substr(proof, 1, 39) || 'x' AS BLOB) WHERE version = 5",
            "version 5 of a (main) at position 5 does not",
        ),
        (
            ["sweep", "erase"],
            "UPDATE events SET body = x'90' WHERE version = 5",
            "version 5 of a (main) at position 5 does not match",
        ),
        (
            ["sweep", "erase"],
            "INSERT INTO gaps SELECT stream, 9, 9, 0, digest, 0, 0 FROM gaps",
            "the gap at version 9 of a (main) is no gap",
        ),
    ],
)
async def test_damage_around_gaps_and_erasures_is_found(
    tmp_path: Path, deeds: list[str], damage: str, finding: str
) -> None:
    findings = await findings_after(tmp_path / "state.db", ["prune", *deeds], damage)
    assert any(finding in found for found in findings), findings


async def findings_after(path: Path, deeds: list[str], damage: str) -> list[str]:
    archive = SqliteArchive(path)
    await archive.open(epoch=EPOCH)
    try:
        feeder = Feeder(archive)
        await feeder.write(*EVENTS)
        if "prune" in deeds:
            await archive.write(feeder.pruning("a", 2, 3))
        if "sweep" in deeds:
            await archive.sweep(rows_max=9)
        if "erase" in deeds:
            await archive.write(feeder.erasing("a", 5, 5))
        assert await check_archive(archive) == []
        raw = sqlite3.connect(archive_path(path), isolation_level=None)
        raw.execute(damage)
        raw.close()
        return await check_archive(archive)
    finally:
        await archive.close()


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
