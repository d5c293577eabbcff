from __future__ import annotations

import asyncio
import itertools
import random
import resource
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_contract import EPOCH, ArchiveContract
from storage_kit import Feeder, delta, event, versions

from palimpsest.errors import CommitFailed, StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage import archive_gaps, archive_reads, archive_sizes, archive_writes, sqlite_archive
from palimpsest.storage.checking import check_archive
from palimpsest.storage.contracts import Archive, Step
from palimpsest.storage.events import GENESIS, Event, commitment, link
from palimpsest.storage.memory import MemoryArchive
from palimpsest.storage.sqlite_archive import SqliteArchive, archive_path
from palimpsest.words import Kind, Meta

pytestmark = pytest.mark.anyio


class TestSqliteArchive(ArchiveContract):
    def make(self, path: Path) -> Archive:
        return SqliteArchive(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def archive(path: Path) -> AsyncIterator[SqliteArchive]:
    archive = SqliteArchive(path, busy_seconds=0.0)
    await archive.open(epoch=EPOCH)
    try:
        yield archive
        assert await check_archive(archive) == []
    finally:
        await archive.close()


# --- the same steps give the same archive -------------------------------------------------------------------------------------


class Author:
    """Writes a history of some documents, with all that an event may carry."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._newest: dict[tuple[str, str], int] = {}

    def write(self, count: int) -> list[Event]:
        return [self._event() for _ in range(count)]

    def _event(self) -> Event:
        choose = self.random.choice
        stream = choose(["a", "b", "ü"]), choose(["main", "main", "draft"])
        left_out = choose([0] * 15 + [2])
        version = self._newest[stream] = self._newest.get(stream, 0) + left_out + 1
        key = choose([None, None, f"key {self.random.randrange(4)}"])
        return Event(
            *stream,
            version,
            int(Kind.CREATE if version == 1 else choose([Kind.UPDATE, Kind.DELETE])),
            10 * (version // 2),
            delta("x" * self.random.choice([0, 9, 40, 400])),
            "" if key else choose(["", "one", "two"]),
            0 if key else self.random.randrange(4),
            choose([None, Meta("ana", None, ("tag",)), Meta(tags=("other", "tag"))]),
            key,
        )


async def answers(archive: Archive) -> list[object]:
    """To every call there is, with every argument that could matter; sizes, which differ, left out."""
    streams = [*itertools.product(["a", "b", "ü"], ["main", "draft"]), ("none", "main")]
    found: list[object] = [await archive.end(), await archive.heads(streams), await archive.load(streams)]
    for document, branch in streams:
        found += [await archive.load_version(document, branch, version) for version in range(9)]
        found += [await archive.find_time(document, branch, at) for at in range(-5, 50, 10)]
        found += [await archive.find_tag(document, branch, "tag", last=last) for last in range(9)]
        found.append(await archive.tagged(document, branch, last=7))
        found.append(await archive.gaps(document, branch))
        found.append(await archive.snapshots(document, branch, first=3, limit=2))
        found.append((await archive.weigh(document, branch, first=2, last=7))[0])
        found.append(await archive.reach(document, branch, bytes_max=-1))
        for newest_first, limit in itertools.product([False, True], [2, 99]):
            found.append(
                await archive.history(document, branch, first=2, last=7, newest_first=newest_first, limit=limit)
            )
        for origin, request in itertools.product(["", "one"], range(4)):
            found.append(await archive.find_request(document, branch, origin=origin, request=request, key=None))
            found.append(await archive.find_request(document, branch, origin=origin, request=0, key=f"key {request}"))
    for position, rows_max, bytes_max in itertools.product([1, 5], [3, 99], [60, 9999]):
        found.append(await archive.read(position, rows_max=rows_max, bytes_max=bytes_max))
    for branch, prefix, after in itertools.product(["main", "draft"], ["", "b"], ["", "a", "b"]):
        found.append(await archive.names(branch, prefix=prefix, after=after, limit=3))
        found.append(await archive.compacted(branch, prefix=prefix, position=5 * len(after)))
    found.append(await archive.walk(None, limit=3))
    found.append(await archive.walk(("b", "draft"), limit=99))
    return found


async def counts(archive: Archive) -> list[tuple[str, int, int]]:
    usages = await archive.usage("main", prefix="", after="", limit=99)
    return [(usage.document, usage.events, usage.snapshots) for usage in usages]


class Pair:
    """Does the same to both archives."""

    def __init__(self, path: Path, seed: int) -> None:
        self.author = Author(seed)
        self.memory, self.sqlite = MemoryArchive(), SqliteArchive(path)
        self.feeder = Feeder(self.memory)
        self._swept = [0, 0]

    async def open(self) -> None:
        assert await self.memory.open(epoch=EPOCH) == await self.sqlite.open(epoch=EPOCH)

    async def close(self) -> None:
        await self.memory.close()
        await self.sqlite.close()

    async def write(self, step: Step) -> None:
        await self.memory.write(step)
        await self.sqlite.write(step)

    async def grow(self, count: int) -> None:
        await self.write(self.feeder.step(*self.author.write(count)))

    async def prune(self, count: int) -> None:
        if found := self._choose(count):
            stream, versions_ = found
            await self.write(self.feeder.pruning(stream[0], versions_[0], versions_[-1], stream[1]))

    async def erase(self, count: int) -> None:
        if found := self._choose(count):
            stream, versions_ = found
            await self.write(self.feeder.erasing(stream[0], versions_[0], versions_[-1], stream[1]))

    def _choose(self, count: int) -> tuple[tuple[str, str], list[int]] | None:
        """A stream, and some of its versions that are kept, one after another; never the newest."""
        streams = [stream for stream, rows in self.feeder.rows.items() if len(rows) > 1]
        if not streams:
            return None
        stream = self.author.random.choice(streams)
        kept = sorted(self.feeder.rows[stream])
        start = self.author.random.randrange(len(kept) - 1)
        run = [kept[start]]
        while len(run) < count and run[-1] + 1 in kept[:-1]:
            run.append(run[-1] + 1)
        return (stream, run) if run[-1] + 1 in kept else None

    async def sweep(self, count: int) -> None:
        while await self.sweep_some(count):
            pass
        assert self._swept[0] == self._swept[1]
        assert await counts(self.memory) == await counts(self.sqlite)

    async def sweep_some(self, count: int) -> int:
        """What goes first is not said."""
        swept = await self.memory.sweep(rows_max=count), await self.sqlite.sweep(rows_max=count)
        self._swept = [before + more for before, more in zip(self._swept, swept, strict=True)]
        return sum(swept)

    async def reopen(self, count: int) -> None:
        await self.close()
        await self.open()


DEEDS = ["grow", "grow", "prune", "prune", "erase", "sweep", "sweep_some", "reopen"]


async def compared(seed: int, deeds: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(Path(folder) / "state.db", seed)
        await pair.open()
        try:
            await pair.grow(40)
            for name, count in deeds:
                await getattr(pair, name)(count)
            assert await answers(pair.sqlite) == await answers(pair.memory)
            assert await check_archive(pair.memory) == []
            assert await check_archive(pair.sqlite) == []
        finally:
            await pair.close()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(1, 12)), max_size=14))
def test_the_same_steps_give_the_same_answers_as_memory(seed: int, deeds: list[tuple[str, int]]) -> None:
    asyncio.run(compared(seed, deeds))


# --- the file -----------------------------------------------------------------------------------------------------------

VERSION_1 = """
CREATE TABLE archive (epoch TEXT, next INTEGER NOT NULL, digest BLOB NOT NULL);
CREATE TABLE streams (id INTEGER PRIMARY KEY, branch TEXT NOT NULL, document TEXT NOT NULL,
  version INTEGER NOT NULL, position INTEGER NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL,
  snapshot INTEGER NOT NULL, snapshot_bytes INTEGER NOT NULL, since_bytes INTEGER NOT NULL);
CREATE UNIQUE INDEX streams_by_name ON streams (branch, document);
CREATE TABLE origins (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE events (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, version INTEGER NOT NULL,
  origin INTEGER, request, key TEXT, body BLOB NOT NULL);
CREATE UNIQUE INDEX events_by_version ON events (stream, version);
CREATE INDEX events_by_request ON events (origin, request, stream) WHERE origin IS NOT NULL;
CREATE INDEX events_by_key ON events (key, stream) WHERE key IS NOT NULL;
CREATE TABLE snapshots (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL);
CREATE UNIQUE INDEX snapshots_by_version ON snapshots (stream, version);
INSERT INTO archive VALUES ('0123456789abcdef', 3, x'0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO streams VALUES (1, 'main', 'a', 2, 2, 1, 7, 1, 3, 1);
INSERT INTO origins VALUES (1, 'client');
INSERT INTO events VALUES (1, 1, 1, 1, 41, NULL, x'9500059093a3616e61c09000'), (2, 1, 2, NULL, 0, 'key', x'9501079093c0c091a17400');
INSERT INTO snapshots VALUES (1, 1, 1, x'616263');
PRAGMA application_id = 1346456641;
PRAGMA user_version = 1;
"""


async def test_a_file_of_version_1_opens(path: Path) -> None:
    """Written out, so that a change of the tables or of the encoding without a migration shows."""
    raw = sqlite3.connect(archive_path(path))
    raw.executescript(VERSION_1)
    raw.close()
    archive = SqliteArchive(path)
    assert (await archive.open(epoch=EPOCH)).next == 3
    (stretch,) = await archive.load([("a", "main")])
    assert stretch is not None
    assert stretch.snapshot is not None
    assert stretch.snapshot.value == b"abc"
    first, second = [row.event for row in stretch.rows]
    assert (first.version, first.kind, first.at, first.origin, first.request) == (1, 0, 5, "client", 41)
    assert (first.meta, first.key, first.more) == (Meta("ana"), None, 0)
    assert (second.version, second.at, second.origin, second.key, bytes(second.delta)) == (2, 7, "", "key", b"\x90")
    assert await archive.find_tag("a", "main", "t", last=9) == 2
    (usage,) = await archive.usage("main", prefix="", after="", limit=9)
    assert (usage.events, usage.snapshots) == (2, 1)
    first_digest = link(GENESIS, commitment(b"", first))
    assert stretch.snapshot.digest == first_digest
    assert stretch.head.digest == link(first_digest, commitment(b"", second))
    assert (await archive.inspect_snapshots(0, limit=9)) == (0, [])
    assert await check_archive(archive) == []
    await archive.close()


MODULES = [archive_gaps, archive_reads, archive_sizes, archive_writes]


async def test_no_query_reads_more_than_it_gives(path: Path, archive: SqliteArchive) -> None:
    await Feeder(archive).write(*versions("a", 1, 9))
    named = [item for module in MODULES for item in vars(module).items()]
    queries = {name: text for name, text in named if name.startswith("_GET_")}
    # The first of its index, which is of nothing else.
    assert queries.pop("_GET_SOME_HELD")
    raw = sqlite3.connect(archive_path(path))
    for name, query in queries.items():
        plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}", [1] * query.count("?"))]
        assert plan
        assert not [
            line for line in plan if (line.startswith("SCAN ") and "CONSTANT" not in line) or "TEMP B-TREE" in line
        ], (name, plan)
    raw.close()
    assert len(queries) > 20


async def test_sizes_are_added_up_in_pieces(archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    feeder = Feeder(archive)
    await feeder.write(*versions("a", 1, 20))
    await archive.write(feeder.pruning("a", 6, 15))

    async def sizes() -> list[object]:
        weights = [
            await archive.weigh("a", "main", first=first, last=last) for first in range(22) for last in (7, 18, 99)
        ]
        total = weights[2][1]
        return [*weights, *[await archive.reach("a", "main", bytes_max=size) for size in range(-1, total + 9, 50)]]

    at_once = await sizes()
    for versions_max in (1, 4, 10):
        monkeypatch.setattr(sqlite_archive, "_PIECE_VERSIONS", versions_max)
        assert await sizes() == at_once


@pytest.fixture
async def damaged(path: Path) -> AsyncIterator[SqliteArchive]:
    """One that is to be damaged."""
    archive = SqliteArchive(path)
    await archive.open(epoch=EPOCH)
    yield archive
    await archive.close()


def alter(path: Path, statement: str) -> None:
    raw = sqlite3.connect(archive_path(path), isolation_level=None)
    raw.execute(statement)
    raw.close()


@pytest.mark.parametrize(
    "damage",
    [
        "body = x'91'",
        "body = x'c100'",
        "body = 'text'",
        "said = x'c0c0'",
        "at = 'noon'",
        "proof = NULL",
        "request = 'many'",
        "key = CAST(x'ff' AS TEXT)",
    ],
)
async def test_an_event_that_does_not_decode_is_named(path: Path, damaged: SqliteArchive, damage: str) -> None:
    await Feeder(damaged).write(*versions("a", 1, 3))
    raw = sqlite3.connect(archive_path(path), isolation_level=None)
    raw.execute("PRAGMA writable_schema = ON")
    raw.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'events'")
    raw.close()
    alter(path, f"UPDATE events SET {damage} WHERE version = 2")
    with pytest.raises(StoreCorrupt, match=r"version 2 of a \(main\) at position 2 does not decode"):
        await damaged.load([("a", "main")])
    with pytest.raises(StoreCorrupt, match=r"version 2 of a \(main\) at position 2 does not decode"):
        await damaged.read(1, rows_max=9, bytes_max=2**60)


async def test_bytes_that_became_a_text_that_is_none_are_damage(path: Path, damaged: SqliteArchive) -> None:
    await Feeder(damaged).write(*versions("a", 1, 3))
    alter(path, "UPDATE events SET body = CAST(x'ff' AS TEXT) WHERE version = 2")
    with pytest.raises(StoreCorrupt, match=r"the one behind version 1 of a \(main\) at position 1"):
        await damaged.load([("a", "main")])
    with pytest.raises(StoreCorrupt, match="the first one asked for"):
        await damaged.history("a", "main", first=2, last=3, newest_first=False, limit=9)


async def test_a_damaged_snapshot_is_passed_over(path: Path, damaged: SqliteArchive) -> None:
    await Feeder(damaged).write(*versions("a", 1, 9))
    alter(path, "UPDATE snapshots SET value = x'00' WHERE version = 8")
    (stretch,) = await damaged.load([("a", "main")])
    assert stretch is not None
    assert stretch.snapshot is not None
    assert (stretch.snapshot.version, len(stretch.rows)) == (4, 6)
    assert [item.value for item in await damaged.snapshots("a", "main", first=1, limit=9)] == [b"value 4", b""]
    assert (await damaged.inspect_snapshots(0, limit=9)) == (0, [("a", "main", 8)])
    alter(path, "UPDATE snapshots SET sum = 'text' WHERE version = 4")
    stretch = await damaged.load_version("a", "main", 7)
    assert stretch is not None
    assert stretch.snapshot is None
    assert len(stretch.rows) == 7


async def test_a_damaged_snapshot_behind_a_gap_is_said_to_be_missing(path: Path, damaged: SqliteArchive) -> None:
    feeder = Feeder(damaged)
    await feeder.write(*versions("a", 1, 9))
    await damaged.write(feeder.pruning("a", 2, 5))
    alter(path, "UPDATE snapshots SET value = x'00' WHERE version = 6")
    with pytest.raises(StoreCorrupt, match=r"version 7 of a \(main\) cannot be built: the snapshot at version 6"):
        await damaged.load_version("a", "main", 7)
    assert await damaged.load_version("a", "main", 8) is not None
    assert (await damaged.inspect_snapshots(0, limit=9))[1] == [("a", "main", 6)]


async def test_a_damaged_snapshot_behind_a_gap_may_not_be_needed(path: Path, damaged: SqliteArchive) -> None:
    feeder = Feeder(damaged)
    await feeder.write(*versions("a", 1, 3), event("a", 4, kind=int(Kind.DELETE)), *versions("a", 5, 6))
    await damaged.write(feeder.pruning("a", 1, 3))
    alter(path, "UPDATE snapshots SET value = x'00'")
    (stretch,) = await damaged.load([("a", "main")])
    assert stretch is not None
    assert (stretch.snapshot, len(stretch.rows)) == (None, 3)


async def test_a_snapshot_of_an_older_format_is_of_use_until_it_is_made_anew(
    path: Path, damaged: SqliteArchive
) -> None:
    feeder = Feeder(damaged)
    await feeder.write(*versions("a", 1, 9))
    alter(path, "UPDATE snapshots SET format = 0 WHERE version = 4")
    assert (await damaged.inspect_snapshots(0, limit=9))[1] == [("a", "main", 4)]
    stretch = await damaged.load_version("a", "main", 5)
    assert stretch is not None
    assert stretch.snapshot is not None
    (head,) = await damaged.heads([("a", "main")])
    assert head is not None
    await damaged.write(msgspec.structs.replace(feeder.step(), snapshots=[stretch.snapshot], heads=[head]))
    assert (await damaged.inspect_snapshots(0, limit=9))[1] == []
    assert await check_archive(damaged) == []


async def test_versions_that_are_missing_are_named(path: Path, damaged: SqliteArchive) -> None:
    await Feeder(damaged).write(*versions("a", 1, 3))
    alter(path, "DELETE FROM events WHERE version = 2")
    with pytest.raises(
        StoreCorrupt, match=r"version 3 of a \(main\) cannot be built: of versions 1 to 3 some are missing"
    ):
        await damaged.load([("a", "main")])


async def test_what_is_large_is_kept_small(path: Path, archive: SqliteArchive) -> None:
    large = delta("words that are said again and again, " * 500)
    await Feeder(archive).write(event("a", delta=large))
    (usage,) = await archive.usage("main", prefix="", after="", limit=1)
    assert usage.bytes < 500
    (row,) = await archive.read(1, rows_max=1, bytes_max=2**60)
    assert bytes(row.event.delta) == bytes(large)


async def test_a_client_id_is_kept_once(path: Path, archive: SqliteArchive) -> None:
    origin = "a client id that is 40 characters long.."
    await Feeder(archive).write(*versions("a", 1, 500, origin=origin))
    await archive.close()
    assert archive_path(path).read_bytes().count(origin.encode()) == 2  # in its table and in that table's index
    await archive.open(epoch=EPOCH)


# --- who reads and who writes ------------------------------------------------------------------------------------------------


async def test_one_that_only_reads_follows_the_writer(path: Path, archive: SqliteArchive) -> None:
    reader = SqliteArchive(path, writer=False)
    await reader.open(epoch=EPOCH)
    feeder = Feeder(archive)
    await feeder.write(*versions("a", 1, 5))
    assert await reader.load([("a", "main")]) == await archive.load([("a", "main")])
    with pytest.raises(StorageError, match="reading only"):
        await reader.write(feeder.step(event("a", 6)))
    await reader.close()


async def test_a_second_writer_is_refused(path: Path, archive: SqliteArchive) -> None:
    with pytest.raises(StoreLocked, match=r"state\.db\.archive is open in process"):
        await SqliteArchive(path).open(epoch=EPOCH)


async def test_one_that_only_reads_needs_a_file_and_its_epoch(path: Path) -> None:
    reader = SqliteArchive(path, writer=False)
    with pytest.raises(StorageError, match="unable to open"):
        await reader.open(epoch=EPOCH)
    writer = SqliteArchive(path)
    await writer.open(epoch=EPOCH)
    with pytest.raises(StoreCorrupt, match="not of eeee"):
        await reader.open(epoch="e" * 16)
    await reader.open(epoch=EPOCH)
    await reader.close()
    await writer.close()


# --- what goes wrong ---------------------------------------------------------------------------------------------------------


async def test_a_step_that_fails_changes_nothing(archive: SqliteArchive) -> None:
    feeder = Feeder(archive)
    await feeder.write(*versions("a", 1, 3))
    before = await archive.end(), await archive.load([("a", "main"), ("b", "main")])
    large = delta(random.Random(0).randbytes(30_000).hex())  # does not compress to less than a half
    step = feeder.step(*versions("b", 1, 20, delta=large), *versions("a", 4, 4))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(CommitFailed, match="nothing was written"):
            await archive.write(step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (await archive.end(), await archive.load([("a", "main"), ("b", "main")])) == before
    await archive.write(step)


async def test_a_step_whose_caller_is_cancelled_is_written(archive: SqliteArchive) -> None:
    feeder = Feeder(archive)
    waiting = asyncio.ensure_future(archive.write(feeder.step(*versions("a", 1, 3))))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await feeder.write(*versions("a", 4, 5))
    assert (await archive.end()).next == 6
