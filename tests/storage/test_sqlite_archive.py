from __future__ import annotations

import asyncio
import itertools
import random
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_contract import EPOCH, ArchiveContract
from storage_kit import Feeder, delta, event, versions

from palimpsest.errors import CommitFailed, StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage import sqlite_archive
from palimpsest.storage.checking import check_archive
from palimpsest.storage.contracts import Archive
from palimpsest.storage.events import Event
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
    yield archive
    assert await check_archive(archive) == []
    await archive.close()


# --- the same batches give the same archive ----------------------------------------------------------------------------------


class Author:
    """Writes a history of some documents, with all that an event may carry."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._newest: dict[tuple[str, str], int] = {}

    def write(self, count: int) -> list[Event]:
        return [self._event() for _ in range(count)]

    def _event(self) -> Event:
        choose = self._random.choice
        stream = choose(["a", "b", "b/c", "ü"]), choose(["main", "main", "draft"])
        version = self._newest[stream] = self._newest.get(stream, 0) + 1
        key = choose([None, None, f"key {self._random.randrange(5)}"])
        return Event(
            *stream,
            version,
            int(Kind.CREATE if version == 1 else choose([Kind.UPDATE, Kind.DELETE])),
            10 * version,
            delta("x" * self._random.randrange(40)),
            "" if key else choose(["", "one", "two"]),
            0 if key else self._random.randrange(6),
            choose([None, Meta("ana", None, ("tag",))]),
            key,
        )


async def answers(archive: Archive) -> list[object]:
    """To every call there is, with every argument that could matter."""
    streams = list(itertools.product(["a", "b", "b/c", "ü", "none"], ["main", "draft"]))
    found: list[object] = [await archive.end(), await archive.heads(streams), await archive.load(streams)]
    for document, branch in streams:
        found += [await archive.load_version(document, branch, version) for version in range(9)]
        for newest_first, limit in itertools.product([False, True], [2, 99]):
            found.append(
                await archive.history(document, branch, first=2, last=7, newest_first=newest_first, limit=limit)
            )
        for origin, request in itertools.product(["", "one", "two"], range(6)):
            found.append(await archive.find_request(document, branch, origin=origin, request=request, key=None))
            found.append(await archive.find_request(document, branch, origin=origin, request=0, key=f"key {request}"))
    for position, rows_max, bytes_max in itertools.product([1, 5], [3, 99], [60, 9999]):
        found.append(await archive.read(position, rows_max=rows_max, bytes_max=bytes_max))
    for branch, prefix, after in itertools.product(["main", "draft"], ["", "b"], ["", "a", "b"]):
        found.append(await archive.names(branch, prefix=prefix, after=after, limit=3))
    return found


async def archived(archive: Archive, events: list[Event], cuts: list[int]) -> list[object]:
    await archive.open(epoch=EPOCH)
    feeder = Feeder(archive)
    for first, last in itertools.pairwise([0, *cuts, len(events)]):
        await feeder.write(*events[first:last])
    assert await check_archive(archive) == []
    found = await answers(archive)
    await archive.close()
    return found


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Event], list[int]]:
    events = Author(draw(st.integers(0, 2**32))).write(draw(st.integers(1, 60)))
    return events, sorted(draw(st.lists(st.integers(0, len(events)), max_size=6)))


@settings(max_examples=25, deadline=None)
@given(histories())
def test_steps_of_any_size_give_the_same_archive_as_memory(history: tuple[list[Event], list[int]]) -> None:
    events, cuts = history
    folder = tempfile.mkdtemp()
    try:
        in_steps = asyncio.run(archived(SqliteArchive(Path(folder) / "state.db"), events, cuts))
    finally:
        shutil.rmtree(folder)
    assert in_steps == asyncio.run(archived(MemoryArchive(), events, []))


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
INSERT INTO events VALUES (1, 1, 1, 1, 41, NULL, x'9500059093a3616e61c09000'), (2, 1, 2, NULL, 0, 'key', x'93010790');
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
    assert await check_archive(archive) == []
    await archive.close()


async def test_no_query_reads_more_than_it_gives(path: Path, archive: SqliteArchive) -> None:
    await Feeder(archive).write(*versions("a", 1, 9))
    queries = [text for name, text in vars(sqlite_archive).items() if name.startswith("_GET_")]
    raw = sqlite3.connect(archive_path(path))
    for query in queries:
        plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}", [1] * query.count("?"))]
        assert plan
        assert not [line for line in plan if line.startswith("SCAN ") or "TEMP B-TREE" in line], (query, plan)
    raw.close()
    assert len(queries) > 8


async def test_an_event_that_does_not_decode_is_named(path: Path) -> None:
    archive = SqliteArchive(path)
    await archive.open(epoch=EPOCH)
    await Feeder(archive).write(*versions("a", 1, 3))
    raw = sqlite3.connect(archive_path(path), isolation_level=None)
    raw.execute("UPDATE events SET body = x'90' WHERE position = 2")
    raw.close()
    with pytest.raises(StoreCorrupt, match="the event at position 2 does not decode"):
        await archive.load([("a", "main")])
    await archive.close()


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
    step = feeder.step(*versions("b", 1, 20, delta=delta("x" * 30_000)), *versions("a", 4, 4))
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
