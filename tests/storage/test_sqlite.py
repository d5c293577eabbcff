from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_kit import file_bytes, file_bytes_max, holds

from palimpsest.errors import CommitFailed, DurabilityUnknown, SchemaTooNew, StorageError, StoreCorrupt
from palimpsest.storage.sqlite import Database, Schema, Settings, read_error, to_the_end, write_error

pytestmark = pytest.mark.anyio

SETTINGS = Settings(cache_bytes=1024 * 1024, busy_seconds=0.0)
MARK = 0x1234


def _create(raw: sqlite3.Connection) -> None:
    raw.execute("CREATE TABLE words (word TEXT)")
    raw.execute("INSERT INTO words VALUES ('one')")


def _add_length(raw: sqlite3.Connection) -> None:
    raw.execute("ALTER TABLE words ADD COLUMN length INTEGER")
    raw.execute("UPDATE words SET length = length(word)")


def _fail(raw: sqlite3.Connection) -> None:
    raw.execute("DROP TABLE words")
    raw.execute("SELECT * FROM words")


FIRST = Schema("list of words", MARK, (_create,))
SECOND = Schema("list of words", MARK, (_create, _add_length))

VERSION_1 = f"""
CREATE TABLE words (word TEXT);
INSERT INTO words VALUES ('three'), ('seven');
PRAGMA application_id = {MARK};
PRAGMA user_version = 1;
"""


def make(path: Path, script: str) -> None:
    raw = sqlite3.connect(path)
    raw.executescript(script)
    raw.close()


def rows(raw: sqlite3.Connection) -> list[tuple[object, ...]]:
    return raw.execute("SELECT * FROM words").fetchall()


async def opened(path: Path, schema: Schema = FIRST, *, writer: bool = True) -> Database:
    database = Database(path, schema, SETTINGS, writer=writer)
    await database.open()
    return database


async def test_a_new_file_gets_all_migrations(tmp_path: Path) -> None:
    database = await opened(tmp_path / "words.db", SECOND)
    assert await database.read(rows) == [("one", 3)]
    assert await database.read(lambda raw: raw.execute("PRAGMA user_version").fetchone()) == (2,)
    assert await database.check() == []
    await database.close()


async def test_an_old_file_gets_those_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    make(path, VERSION_1)
    database = await opened(path, SECOND)
    assert await database.read(rows) == [("three", 5), ("seven", 5)]
    await database.close()
    database = await opened(path, SECOND)
    assert await database.read(rows) == [("three", 5), ("seven", 5)]
    await database.close()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    make(path, VERSION_1)
    with pytest.raises(StorageError, match="no such table"):
        await opened(path, Schema("list of words", MARK, (_create, _add_length, _fail)))
    database = await opened(path, FIRST)
    assert await database.read(rows) == [("three",), ("seven",)]
    await database.close()


async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    await (await opened(path, SECOND)).close()
    for writer in (True, False):
        with pytest.raises(SchemaTooNew) as caught:
            await opened(path, FIRST, writer=writer)
        assert (caught.value.found, caught.value.supported, caught.value.path) == (2, 1, str(path))
    await (await opened(path, SECOND)).close()


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE theirs (x);",
        "PRAGMA application_id = 77;",
        f"PRAGMA application_id = {MARK + 1}; CREATE TABLE words (word);",
    ],
)
async def test_another_applications_file_is_refused_and_left_alone(tmp_path: Path, script: str) -> None:
    path = tmp_path / "words.db"
    make(path, script)
    before = path.read_bytes()
    for writer in (True, False):
        with pytest.raises(StoreCorrupt, match="another application"):
            await opened(path, writer=writer)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    path.write_bytes(b"a text that somebody wrote" * 100)
    for writer in (True, False):
        with pytest.raises(StoreCorrupt, match="not a database"):
            await opened(path, writer=writer)
    assert path.read_bytes() == b"a text that somebody wrote" * 100


async def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "words.db").touch()
    database = await opened(tmp_path / "words.db")
    assert await database.read(rows) == [("one",)]
    await database.close()


async def test_what_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        await opened(tmp_path / "none" / "words.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StorageError, match="unable to open"):
        await opened(tmp_path / "folder.db")


async def test_a_reader_neither_makes_nor_migrates_nor_writes(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    with pytest.raises(StorageError, match="unable to open"):
        await opened(path, writer=False)
    assert not path.exists()
    make(path, VERSION_1)
    with pytest.raises(StorageError, match="opened for writing once"):
        await opened(path, SECOND, writer=False)
    reader = await opened(path, FIRST, writer=False)
    with pytest.raises(StorageError, match="reading only"):
        await reader.write(_create)
    with pytest.raises(StorageError, match="readonly"):
        await reader.read(lambda raw: raw.execute("DELETE FROM words"))
    assert await reader.read(rows) == [("three",), ("seven",)]
    await reader.close()


async def test_a_reader_sees_what_another_connection_writes(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    writer = await opened(path)
    reader = await opened(path, writer=False)
    await writer.write(lambda raw: raw.execute("INSERT INTO words VALUES ('two')"))
    assert await reader.read(rows) == [("one",), ("two",)]
    await reader.close()
    await writer.close()


async def test_a_read_sees_one_state_and_does_not_hold_up_a_write(tmp_path: Path) -> None:
    database = await opened(tmp_path / "words.db")
    started, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def twice(raw: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
        first = rows(raw)
        loop.call_soon_threadsafe(started.set)
        assert go_on.wait(timeout=10)
        return [first, rows(raw)]

    reading = asyncio.ensure_future(database.read(twice))
    await started.wait()
    await database.write(lambda raw: raw.execute("INSERT INTO words VALUES ('two')"))
    go_on.set()
    assert await reading == [[("one",)], [("one",)]]
    assert await database.read(rows) == [("one",), ("two",)]
    await database.close()


async def test_a_transaction_is_whole_or_not_at_all(tmp_path: Path) -> None:
    database = await opened(tmp_path / "words.db")

    def broken(raw: sqlite3.Connection) -> None:
        raw.execute("INSERT INTO words VALUES ('two')")
        raw.execute("INSERT INTO nowhere VALUES (1)")

    def refused(raw: sqlite3.Connection) -> None:
        raw.execute("INSERT INTO words VALUES ('two')")
        raise StoreCorrupt("no", path="", reason="no")

    with pytest.raises(CommitFailed, match="no such table: nowhere"):
        await database.transact(broken)
    with pytest.raises(StoreCorrupt):
        await database.transact(refused)
    await database.transact(lambda raw: raw.execute("INSERT INTO words VALUES ('three')"))
    assert await database.read(rows) == [("one",), ("three",)]
    await database.close()


async def test_after_a_sync_that_failed_nothing_more_is_written(tmp_path: Path) -> None:
    database = await opened(tmp_path / "words.db")

    def fail(raw: sqlite3.Connection) -> None:
        raise sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)

    with pytest.raises(DurabilityUnknown):
        await database.write(fail)
    with pytest.raises(DurabilityUnknown, match="takes nothing more"):
        await database.transact(_add_length)
    assert await database.read(rows) == [("one",)]
    await database.close()
    database = await opened(tmp_path / "words.db")
    await database.transact(_add_length)
    await database.close()


async def test_a_write_whose_caller_is_cancelled_is_done(tmp_path: Path) -> None:
    database = await opened(tmp_path / "words.db")
    started, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def insert(raw: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(started.set)
        assert go_on.wait(timeout=10)
        raw.execute("INSERT INTO words VALUES ('two')")

    writing = asyncio.ensure_future(database.write(insert))
    await started.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    go_on.set()
    await database.write(lambda raw: raw.execute("INSERT INTO words VALUES ('three')"))
    assert await database.read(rows) == [("one",), ("two",), ("three",)]
    await database.close()


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "NAME"
    return error


@pytest.mark.parametrize(
    ("code", "on_writing", "on_reading"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, DurabilityUnknown, StorageError),
        (sqlite3.SQLITE_IOERR_DIR_FSYNC, DurabilityUnknown, StorageError),
        (sqlite3.SQLITE_IOERR_WRITE, CommitFailed, StorageError),
        (sqlite3.SQLITE_FULL, CommitFailed, StorageError),
        (sqlite3.SQLITE_BUSY, CommitFailed, StorageError),
        (sqlite3.SQLITE_READONLY, CommitFailed, StorageError),
        (sqlite3.SQLITE_CORRUPT, StoreCorrupt, StoreCorrupt),
        (sqlite3.SQLITE_CORRUPT_VTAB, StoreCorrupt, StoreCorrupt),
        (sqlite3.SQLITE_NOTADB, StoreCorrupt, StoreCorrupt),
    ],
)
async def test_what_errors_mean(code: int, on_writing: type, on_reading: type) -> None:
    error = sqlite_error(code)
    assert type(write_error(error, Path("x.db"))) is on_writing
    assert type(read_error(error, Path("x.db"))) is on_reading


async def test_errors_of_others_mean_that_nothing_was_written() -> None:
    assert type(write_error(MemoryError(), Path("x.db"))) is CommitFailed
    assert type(read_error(OSError("gone"), Path("x.db"))) is StorageError


async def test_work_goes_to_the_end_before_a_cancellation_is_passed_on() -> None:
    go_on = asyncio.Event()
    done: list[str] = []

    async def work() -> str:
        await go_on.wait()
        done.append("done")
        return "result"

    waiting = asyncio.ensure_future(to_the_end(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == ["done"]
    assert await to_the_end(work()) == "result"


async def test_an_error_of_work_whose_caller_is_cancelled_is_dropped() -> None:
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        raise ValueError("nobody hears of it")

    waiting = asyncio.ensure_future(to_the_end(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# --- giving space back ---------------------------------------------------------------------------------------------------


def _create_texts(raw: sqlite3.Connection) -> None:
    raw.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, word TEXT NOT NULL, body BLOB NOT NULL)")
    raw.execute("CREATE INDEX texts_by_word ON texts (word)")


TEXTS = Schema("list of texts", MARK, (_create_texts,))
SECRET = b"what nobody may know"
SIZES = (1, 3, 30, 150, 1500)
"""How often a body says it: in its page alone, and over up to eight others."""


def texts(raw: sqlite3.Connection) -> list[tuple[object, ...]]:
    return raw.execute("SELECT * FROM texts ORDER BY id").fetchall()


def pragma(name: str) -> Callable[[sqlite3.Connection], int]:
    return lambda raw: int(raw.execute(f"PRAGMA {name}").fetchone()[0])


def insert_texts(raw: sqlite3.Connection, order: list[int], secret: set[int], seed: int) -> None:
    choose = random.Random(seed)
    for id_ in order:
        said = SECRET if id_ in secret else b"what everybody knows"
        row = (id_, f"{choose.random()} {said.decode()}", said * choose.choice(SIZES))
        raw.execute("INSERT INTO texts VALUES (?, ?, ?)", row)


def forget_texts(raw: sqlite3.Connection, secret: set[int]) -> None:
    """Half of them go, and half of them become shorter."""
    for id_ in secret:
        if id_ % 2:
            raw.execute("DELETE FROM texts WHERE id = ?", (id_,))
        else:
            raw.execute("UPDATE texts SET word = ?, body = 'short' WHERE id = ?", (f"word {id_}", id_))


async def filled(path: Path, settings: Settings = SETTINGS) -> Database:
    database = Database(path, TEXTS, settings, writer=True)
    await database.open()
    everything = list(range(300))
    await database.transact(lambda raw: insert_texts(raw, everything, set(), seed=0))
    return database


async def test_what_is_free_is_given_back_in_small_steps(tmp_path: Path) -> None:
    path = tmp_path / "texts.db"
    database = await filled(path)
    assert await database.shrink(1_000_000) == 0
    await database.transact(lambda raw: raw.execute("DELETE FROM texts WHERE id % 10"))
    await database.write(lambda raw: raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    kept, before = await database.read(texts), file_bytes(path)
    assert await database.shrink(50_000) == 12 * 4096
    assert file_bytes(path) == before - 12 * 4096
    given = 12 * 4096
    while some := await database.shrink(400_000):
        assert some <= 400_000
        given += some
    assert given > before // 2
    assert file_bytes(path) == before - given
    assert await database.read(pragma("freelist_count")) == 0
    assert await database.read(texts) == kept
    assert await database.check() == []
    await database.close()


async def test_a_file_that_cannot_give_back_is_written_anew_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "words.db"
    make(path, VERSION_1)
    for _ in range(2):
        database = await opened(path)
        assert await database.read(pragma("auto_vacuum")) == 2
        assert await database.read(rows) == [("three",), ("seven",)]
        await database.close()
    assert caplog.text.count("file_rewritten") == 1


async def test_where_there_is_no_room_to_write_it_anew_it_still_opens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "words.db"
    make(path, f"PRAGMA journal_mode = WAL; {VERSION_1} INSERT INTO words VALUES (zeroblob(200000));")
    with file_bytes_max(100_000):
        database = await opened(path)
        assert len(await database.read(rows)) == 3
        assert await database.shrink(1_000_000) == 0
        await database.close()
    assert "file_not_rewritten" in caplog.text
    database = await opened(path)
    assert await database.read(pragma("auto_vacuum")) == 2
    await database.close()


# --- leaving nothing behind ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_that_is_gone_is_left_after_a_scrub(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "texts.db"
    database = Database(path, TEXTS, SETTINGS, writer=True)
    await database.open()
    choose = random.Random(seed)
    order = choose.sample(range(200), 200)
    secret = set(choose.sample(order, 80))
    # By turns: as they come, so that pages are split at the end, and in any order, so that cells move between pages.
    await database.transact(lambda raw: insert_texts(raw, order if seed % 2 else sorted(order), secret, seed))
    await database.transact(lambda raw: forget_texts(raw, secret))
    if seed % 3:
        await database.shrink(200_000)  # which moves pages
    await database.transact(lambda raw: insert_texts(raw, [300, 301, 302], set(), seed))  # which uses some again
    kept = await database.read(texts)
    assert holds(path, SECRET)
    await database.scrub()
    assert not holds(path, SECRET)
    assert holds(path, b"what everybody knows")
    assert await database.read(texts) == kept
    assert await database.read(pragma("auto_vacuum")) == 2
    assert await database.check() == []
    await database.close()
    assert not holds(path, SECRET)


async def test_a_scrub_leaves_the_log_as_large_as_it_was(tmp_path: Path) -> None:
    path, log = tmp_path / "texts.db", tmp_path / "texts.db-wal"
    database = await filled(path, Settings(cache_bytes=1024 * 1024, wal_bytes=512 * 1024))
    await database.scrub()
    assert 512 * 1024 <= file_bytes(log) < 640 * 1024
    await database.transact(lambda raw: insert_texts(raw, [300], {300}, seed=0))
    await database.transact(lambda raw: forget_texts(raw, {300}))
    assert holds(path, SECRET)
    await database.scrub()
    assert not holds(path, SECRET)
    assert 512 * 1024 <= file_bytes(log) < 640 * 1024
    await database.close()


async def test_a_scrub_waits_for_those_who_read_an_old_state(tmp_path: Path) -> None:
    path = tmp_path / "texts.db"
    database = await filled(path)
    await database.transact(lambda raw: insert_texts(raw, [300], {300}, seed=0))
    reading = sqlite3.connect(path, isolation_level=None)
    reading.execute("BEGIN")
    assert len(texts(reading)) == 301
    scrubbing = asyncio.ensure_future(database.scrub())
    await database.transact(lambda raw: forget_texts(raw, {300}))
    while "short" not in {row[2] for row in await database.read(texts)}:
        await asyncio.sleep(0)
    assert not scrubbing.done()
    reading.close()
    await scrubbing
    await database.scrub()
    assert not holds(path, SECRET)
    await database.close()


async def test_a_scrub_gives_up_on_a_reader_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "texts.db"
    database = await filled(path, Settings(cache_bytes=1024 * 1024, scrub_seconds=0.0))
    reading = sqlite3.connect(path, isolation_level=None)
    reading.execute("BEGIN")
    kept = texts(reading)
    with pytest.raises(CommitFailed, match="somebody has been reading an old state"):
        await database.scrub()
    await database.transact(lambda raw: raw.execute("DELETE FROM texts WHERE id = 7"))
    assert texts(reading) == kept
    reading.close()
    await database.scrub()
    assert len(await database.read(texts)) == 299
    await database.close()


async def test_a_full_disk_makes_keeping_house_fail_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "texts.db"
    database = await filled(path)
    await database.transact(lambda raw: raw.execute("DELETE FROM texts WHERE id % 2"))
    await database.write(lambda raw: raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    kept = await database.read(texts)
    with file_bytes_max(20_000):
        for keep_house in (database.scrub(), database.shrink(1_000_000)):
            with pytest.raises(CommitFailed, match="nothing was written"):
                await keep_house
    assert await database.read(texts) == kept
    assert await database.check() == []
    await database.scrub()
    assert await database.read(texts) == kept
    assert await database.check() == []
    await database.close()
