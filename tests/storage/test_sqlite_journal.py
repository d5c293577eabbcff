from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from disk_kit import file_bytes, file_bytes_max, holds
from storage_contract import ALL, JournalContract
from storage_kit import SALT, START, append, chain, delta, event, read_all, versions

from palimpsest.errors import CommitFailed, SchemaTooNew, StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage.checking import check_journal
from palimpsest.storage.contracts import Journal, JournalEnd
from palimpsest.storage.events import GENESIS, Event, decode_body
from palimpsest.storage.sqlite_journal import SqliteJournal

pytestmark = pytest.mark.anyio


class TestSqliteJournal(JournalContract):
    def make(self, path: Path) -> Journal:
        return SqliteJournal(path, wal_bytes=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    journal = SqliteJournal(path, wal_bytes=0, busy_seconds=0.0)
    await journal.open()
    yield journal
    assert await check_journal(journal) == []
    await journal.close()


def exists(path: Path) -> bool:
    return path.exists()


# --- the file ----------------------------------------------------------------------------------------------------------

VERSION_1 = """
CREATE TABLE batches (position INTEGER PRIMARY KEY, count INTEGER NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE journal (epoch TEXT NOT NULL, oldest INTEGER NOT NULL, digest BLOB NOT NULL);
INSERT INTO journal VALUES ('00112233445566ff', 1, x'0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO batches VALUES (1, 1, x'0ebe73034c818c5038b552dce62935db588ffbf835c5b80fe347887ed9b8fdab', x'90');
PRAGMA application_id = 1346456650;
PRAGMA user_version = 1;
"""


async def test_a_file_of_version_1_opens(path: Path) -> None:
    """Written out, so that a change of the tables without a migration shows."""
    raw = sqlite3.connect(path)
    raw.executescript(VERSION_1)
    raw.close()
    journal = SqliteJournal(path, wal_bytes=0)
    end = await journal.open()
    assert (journal.epoch, end.oldest, end.next) == ("00112233445566ff", 1, 2)
    (batch,) = await journal.read(1, bytes_max=ALL)
    assert (batch.count, batch.body) == (1, b"\x90")
    await journal.append(chain([versions("a", 1, 1)], end)[0])
    await journal.close()


async def test_a_newer_file_is_refused(path: Path, journal: SqliteJournal) -> None:
    await journal.close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(SchemaTooNew):
        await journal.open()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 1")
    raw.close()
    await journal.open()


async def test_the_log_has_its_size_from_the_start_and_is_used_again(path: Path) -> None:
    log, size = Path(f"{path}-wal"), 1024 * 1024
    journal = SqliteJournal(path, wal_bytes=size)
    await journal.open()
    grown = file_bytes(log)
    assert size <= grown < size + 128 * 1024
    assert file_bytes(path) < 64 * 1024
    body = delta("x" * 100_000)
    await append(journal, *[[event("a", version, delta=body)] for version in range(1, 60)])
    assert file_bytes(log) == grown
    assert file_bytes(path) > 4 * size
    assert await check_journal(journal) == []
    await journal.close()


async def test_pages_that_were_trimmed_are_used_again(path: Path, journal: SqliteJournal) -> None:
    async def file_bytes_after(first: int) -> int:
        body = delta("x" * 50_000)
        await append(journal, *[[event("a", version, delta=body)] for version in range(first, first + 20)])
        await journal.trim(first + 19, batches_max=100)
        await journal.close()
        await journal.open()
        return file_bytes(path)

    sizes = [await file_bytes_after(first) for first in (1, 21, 41, 61)]
    assert sizes[3] <= sizes[0] * 1.1


async def test_a_body_has_the_salt_that_it_was_given(path: Path, journal: SqliteJournal) -> None:
    """On which the chain of each stream rests, and which an erasure takes away."""
    await append(journal, versions("a", 1, 2), versions("a", 3, 3))
    await journal.close()
    await journal.open()
    bodies = [decode_body(batch.body) for batch in await read_all(journal)]
    assert bodies == [(SALT, versions("a", 1, 2)), (SALT, versions("a", 3, 3))]


# --- leaving nothing behind ------------------------------------------------------------------------------------------------

SECRET = "what nobody may know"


def said(version: int, times: int, text: str = SECRET) -> list[Event]:
    """In its page alone, or over others, too; and as the name of the document."""
    return [event(f"{text}/{version}", version, delta=delta(text * times))]


@pytest.mark.parametrize("kept", [0, 1, 15])
async def test_nothing_of_what_was_trimmed_is_left_after_a_scrub(path: Path, kept: int) -> None:
    journal = SqliteJournal(path, wal_bytes=256 * 1024)
    await journal.open()
    secret = [said(version, times) for version, times in enumerate([1, 10, 400, 50, 3, 2000, 1] * 4, 1)]
    known = [said(version, times, "what all know") for version, times in enumerate([1, 300, 20] * 5, 29)][:kept]
    *_, last = batches = await append(journal, *secret, *known)
    while await journal.trim(29, batches_max=8):
        pass
    assert holds(path, SECRET.encode())
    await journal.scrub()
    assert not holds(path, SECRET.encode())
    assert await journal.end() == JournalEnd(29, 29 + kept, last.digest)
    assert await read_all(journal) == batches[28:]
    assert file_bytes(Path(f"{path}-wal")) >= 256 * 1024
    await append(journal, said(29 + kept, 1, "what all know"))
    assert await check_journal(journal) == []
    await journal.close()
    assert not holds(path, SECRET.encode())


async def test_appends_and_reads_go_on_beside_a_scrub(path: Path, journal: SqliteJournal) -> None:
    before = await append(journal, *[said(version, 300) for version in range(1, 30)])
    await journal.trim(20, batches_max=100)
    scrubbing = asyncio.ensure_future(journal.scrub())
    during = await append(journal, *[versions("a", version, version) for version in range(30, 60)])
    assert await read_all(journal) == [*before[19:], *during]
    await scrubbing
    after = await append(journal, versions("a", 60, 60))
    assert await read_all(journal) == [*before[19:], *during, *after]


async def test_a_scrub_whose_caller_is_cancelled_leaves_the_journal_as_it_is(
    path: Path, journal: SqliteJournal
) -> None:
    batches = await append(journal, *[said(version, 300) for version in range(1, 30)])
    await journal.trim(20, batches_max=100)
    for turns in range(8):
        scrubbing = asyncio.ensure_future(journal.scrub())
        for _ in range(turns):
            await asyncio.sleep(0)
        scrubbing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scrubbing
    assert await read_all(journal) == batches[19:]
    await journal.scrub()
    assert await read_all(journal) == batches[19:]


async def test_a_full_disk_makes_a_scrub_fail_and_changes_nothing(path: Path, journal: SqliteJournal) -> None:
    batches = await append(journal, *[said(version, 300) for version in range(1, 30)])
    await journal.trim(20, batches_max=100)
    with file_bytes_max(30_000), pytest.raises(CommitFailed, match="nothing was written"):
        await journal.scrub()
    assert await read_all(journal) == batches[19:]
    assert await check_journal(journal) == []
    more = await append(journal, versions("a", 30, 30))
    await journal.scrub()
    assert await read_all(journal) == [*batches[19:], *more]


async def test_one_that_only_reads_cannot_scrub(path: Path, journal: SqliteJournal) -> None:
    reader = SqliteJournal(path, writer=False)
    await reader.open()
    with pytest.raises(StorageError, match="reading only"):
        await reader.scrub()
    await reader.close()


# --- what is wrong with it ------------------------------------------------------------------------------------------------


def flip_a_byte_of(path: Path, text: bytes) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(text)
    assert content.find(text, place + 1) == -1
    content[place + len(text) // 2] ^= 1
    path.write_bytes(content)


async def test_a_byte_that_changed_is_found_when_it_is_read(path: Path) -> None:
    journal = SqliteJournal(path, wal_bytes=0)
    await journal.open()
    texts = ["first batch", "second batch", "third batch"]
    await append(journal, *[[event("a", n, delta=delta(text))] for n, text in enumerate(texts, 1)])
    await journal.close()
    flip_a_byte_of(path, b"second batch")
    assert (await journal.open()).next == 4
    assert len(await journal.read(1, bytes_max=0)) == 1
    for position in (1, 2):
        with pytest.raises(StoreCorrupt, match="the batch at position 2 does not match its digest"):
            await journal.read(position, bytes_max=ALL)
    assert len(await journal.read(3, bytes_max=ALL)) == 1
    (finding,) = await check_journal(journal)
    assert "position 2" in finding
    await journal.close()


@pytest.mark.parametrize("position", [1, 2, 3])
async def test_a_batch_that_is_gone_is_found_when_it_is_read(path: Path, position: int) -> None:
    journal = SqliteJournal(path, wal_bytes=0)
    await journal.open()
    await append(journal, *[versions("a", n, n) for n in range(1, 5)])
    raw = sqlite3.connect(path)
    raw.execute("DELETE FROM batches WHERE position = ?", (position,))
    raw.commit()
    raw.close()
    with pytest.raises(StoreCorrupt, match=f"the batch at position {position} is missing"):
        await journal.read(position, bytes_max=ALL)
    assert await check_journal(journal) != []
    await journal.close()


async def test_pages_that_are_overwritten_are_a_finding(path: Path) -> None:
    journal = SqliteJournal(path, wal_bytes=0)
    await journal.open()
    await append(journal, *[[event("a", n, delta=delta("x" * 3000))] for n in range(1, 30)])
    await journal.close()
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * 4096)
    await journal.open()
    assert await check_journal(journal) != []
    await journal.close()


# --- who may write ------------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from palimpsest.storage.events import Batch, chain_digest
from palimpsest.storage.sqlite_journal import SqliteJournal

async def main():
    journal = SqliteJournal(sys.argv[1], wal_bytes=1024 * 1024)
    end = await journal.open()
    position, digest = end.next, end.digest
    while True:
        body = b"\\x91\\xc0" + bytes(200)
        digest = chain_digest(digest, position, 1, body)
        await journal.append(Batch(position, 1, digest, body))
        print(position, flush=True)
        position += 1

asyncio.run(main())
"""


@contextmanager
def appending(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that appends and says so."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


async def test_what_a_killed_process_said_was_durable_is_there(path: Path) -> None:
    said = 0
    for _ in range(3):
        with appending(path) as child:
            assert child.stdout is not None
            for _ in range(20):
                said = int(child.stdout.readline())
            child.kill()
            said = max([said, *[int(line) for line in child.stdout if line.endswith("\n")]])
        journal = SqliteJournal(path, wal_bytes=0)
        end = await journal.open()
        batches = await journal.read(1, bytes_max=ALL)
        assert [batch.position for batch in batches] == list(range(1, end.next))
        assert said + 1 <= end.next <= said + 2
        await journal.close()


async def test_another_process_is_refused_until_the_first_is_gone(path: Path) -> None:
    journal = SqliteJournal(path, wal_bytes=0)
    with appending(path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        with pytest.raises(StoreLocked, match=f"state.db is open in process {child.pid}"):
            await journal.open()
        child.kill()
        child.wait()
        assert (await journal.open()).next > 1
    await journal.close()


async def test_another_object_of_this_process_is_refused_too(path: Path, journal: SqliteJournal) -> None:
    with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
        await SqliteJournal(path, wal_bytes=0).open()
    await append(journal, versions("a", 1, 1))


async def test_one_that_only_reads_follows_the_writer(path: Path, journal: SqliteJournal) -> None:
    reader = SqliteJournal(path, writer=False)
    assert await reader.open() == START
    assert reader.epoch == journal.epoch
    batches = await append(journal, versions("a", 1, 1), versions("a", 2, 2))
    assert await read_all(reader) == batches
    await journal.trim(2, batches_max=1)
    assert await reader.end() == await journal.end()
    with pytest.raises(StorageError, match="reading only"):
        await append(reader, versions("a", 3, 3))
    with pytest.raises(StorageError, match="reading only"):
        await reader.trim(3, batches_max=1)
    await reader.close()


async def test_one_that_only_reads_makes_no_file(path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open"):
        await SqliteJournal(path, writer=False).open()
    assert not exists(path)


# --- callers that give up -------------------------------------------------------------------------------------------------


async def test_an_append_whose_caller_is_cancelled_is_done(journal: SqliteJournal) -> None:
    batches = chain([versions("a", version, version) for version in range(1, 31)])
    for batch in batches:
        waiting = asyncio.ensure_future(journal.append(batch))
        await asyncio.sleep(0)
        if batch.position % 3:
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            await waiting
    await append_nothing(journal)
    assert await read_all(journal) == batches
    assert await journal.end() == JournalEnd(1, 31, batches[-1].digest)


async def append_nothing(journal: SqliteJournal) -> None:
    """Returns when every append before it is done, as it waits for them and is then refused."""
    with pytest.raises(StoreCorrupt):
        await journal.append(chain([versions("x", 1, 1)], JournalEnd(1, 10**6, GENESIS))[0])


async def test_an_append_that_failed_and_whose_caller_was_cancelled_leaves_the_end(journal: SqliteJournal) -> None:
    (batch,) = chain([[event(delta=delta("x" * 300_000))]])
    with file_bytes_max(200_000):
        waiting = asyncio.ensure_future(journal.append(batch))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await append_nothing(journal)
    assert await read_all(journal) == []
    await journal.append(batch)


async def test_closing_lets_an_append_finish(path: Path, journal: SqliteJournal) -> None:
    (batch,) = chain([versions("a", 1, 1)])
    waiting = asyncio.ensure_future(journal.append(batch))
    await asyncio.sleep(0)
    await journal.close()
    await waiting
    assert (await journal.open()).next == 2


@pytest.mark.parametrize("turns", range(6))
async def test_opening_that_is_cancelled_leaves_nothing_open(path: Path, turns: int) -> None:
    journal = SqliteJournal(path, wal_bytes=0)
    opening = asyncio.ensure_future(journal.open())
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    other = SqliteJournal(path, wal_bytes=0)
    assert await other.open() == START
    await other.close()


# --- disks that give up ---------------------------------------------------------------------------------------------------


async def test_a_write_that_fails_changes_nothing(path: Path, journal: SqliteJournal) -> None:
    small = await append(journal, versions("a", 1, 2))
    (large,) = chain([[event("b", delta=delta("x" * 300_000))]], await journal.end())
    with file_bytes_max(200_000):
        for _ in range(2):
            with pytest.raises(CommitFailed, match="nothing was written"):
                await journal.append(large)
        assert await read_all(journal) == small
        small += await append(journal, versions("a", 3, 3))
    assert await read_all(journal) == small
    await journal.close()
    assert (await journal.open()).next == 4
    (large,) = chain([[event("b", delta=delta("x" * 300_000))]], await journal.end())
    await journal.append(large)
    assert await read_all(journal) == [*small, large]


async def test_a_full_disk_changes_nothing(journal: SqliteJournal) -> None:
    small = await append(journal, versions("a", 1, 2))
    (large,) = chain([[event("b", delta=delta("x" * 300_000))]], await journal.end())
    await journal._database().write(lambda raw: raw.execute("PRAGMA max_page_count = 20"))
    with pytest.raises(CommitFailed, match="full"):
        await journal.append(large)
    assert await read_all(journal) == small
    await journal._database().write(lambda raw: raw.execute("PRAGMA max_page_count = 20000"))
    await journal.append(large)
    assert await read_all(journal) == [*small, large]


async def test_on_a_full_disk_a_store_still_opens(path: Path, journal: SqliteJournal) -> None:
    batches = await append(journal, versions("a", 1, 2))
    await journal.close()
    with file_bytes_max(200_000):
        large_log = SqliteJournal(path, wal_bytes=1024 * 1024)
        await large_log.open()
        assert await read_all(large_log) == batches
        await large_log.close()
    await journal.open()


async def test_a_foreign_program_that_holds_the_file_makes_appends_fail(path: Path, journal: SqliteJournal) -> None:
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(CommitFailed, match="locked"):
        await append(journal, versions("a", 1, 1))
    with pytest.raises(CommitFailed, match="locked"):
        await journal.trim(1, batches_max=1)
    assert await read_all(journal) == []
    foreign.close()
    await append(journal, versions("a", 1, 1))


async def test_a_row_that_a_foreign_program_put_there_is_not_taken_for_ours(path: Path, journal: SqliteJournal) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("INSERT INTO batches VALUES (1, 1, x'00', x'90')")
    foreign.commit()
    with pytest.raises(StorageError, match="position 1 is there"):
        await append_at_the_start(journal)
    foreign.execute("DELETE FROM batches")
    foreign.commit()
    foreign.close()


async def append_at_the_start(journal: SqliteJournal) -> None:
    await journal.append(chain([versions("a", 1, 1)])[0])


SYNC_FAILS = r"""
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>

static int refused(void) {
    const char *trigger = getenv("SYNC_FAILS_IF");
    return trigger && access(trigger, F_OK) == 0;
}

int fdatasync(int file) {
    if (refused()) { errno = EIO; return -1; }
    return syscall(SYS_fdatasync, file);
}

int fsync(int file) {
    if (refused()) { errno = EIO; return -1; }
    return syscall(SYS_fsync, file);
}
"""

SYNC_FAILING = """
import asyncio, os, sys
from pathlib import Path
from palimpsest.errors import DurabilityUnknown
from palimpsest.storage.checking import check_journal
from palimpsest.storage.events import Batch, chain_digest, encode_events
from palimpsest.storage.sqlite_journal import SqliteJournal

async def put(journal, end):
    body = encode_events([], bytes(16))
    await journal.append(Batch(end.next, 1, chain_digest(end.digest, end.next, 1, body), body))

async def main():
    trigger = Path(os.environ["SYNC_FAILS_IF"])
    journal = SqliteJournal(sys.argv[1], wal_bytes=0)
    await put(journal, await journal.open())
    end = await journal.end()
    trigger.touch()
    for _ in range(2):
        try:
            await put(journal, end)
        except DurabilityUnknown as error:
            print(error)
        trigger.unlink(missing_ok=True)
    await journal.close()
    end = await journal.open()
    assert end.next in (2, 3), end
    await put(journal, end)
    assert len(await journal.read(1, bytes_max=10**9)) == end.next
    await journal.close()
    print("went on")

asyncio.run(main())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs a C compiler to make syncs fail"
)
def test_a_sync_that_fails_ends_it_until_it_is_opened_again(tmp_path: Path, path: Path) -> None:
    source, library = tmp_path / "sync_fails.c", tmp_path / "sync_fails.so"
    source.write_text(SYNC_FAILS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    environment = os.environ | {"LD_PRELOAD": str(library), "SYNC_FAILS_IF": str(tmp_path / "trigger")}
    done = subprocess.run(
        [sys.executable, "-c", SYNC_FAILING, str(path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert "SQLITE_IOERR_FSYNC" in first
    assert "takes nothing more" in second
    assert third == "went on"
