"""Backups of stores on disk, and stores made of them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import pytest
from disk_kit import file_bytes_max, holds, names
from storage_contract import ALL
from storage_kit import Feeder, append, chain, delta, event, read_all, versions

import palimpsest as pal
from palimpsest.errors import CursorInvalid, SchemaTooNew, StorageError, StoreCorrupt, StoreLocked
from palimpsest.server.restoring import restore_store
from palimpsest.storage.backup import BackupSummary, back_up, restore
from palimpsest.storage.checking import check_journal
from palimpsest.storage.events import Event
from palimpsest.storage.sqlite_archive import SqliteArchive, archive_path
from palimpsest.storage.sqlite_journal import SqliteJournal

pytestmark = pytest.mark.anyio

BATCHES = [versions("a", 1, 3), versions("b", 1, 2), versions("a", 4, 9), versions("b", 3, 3)]
ARCHIVED = 7
"""The archive ends inside of the third batch."""


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A store of twelve events in four batches, of which the archive has six, and the journal has forgotten the first batch."""
    return await make_store(tmp_path / "state.db", BATCHES)


async def make_store(path: Path, groups: list[list[Event]]) -> Path:
    journal, archive = SqliteJournal(path, wal_bytes=0), SqliteArchive(path)
    await journal.open()
    batches = await append(journal, *groups)
    await archive.open(epoch=journal.epoch)
    step = Feeder(archive).step(*[event for group in groups for event in group][: ARCHIVED - 1])
    await archive.write(msgspec.structs.replace(step, digest=batches[1].digest))
    await journal.trim(ARCHIVED, batches_max=1)
    await archive.close()
    await journal.close()
    return path


async def saved(store: Path, target: Path) -> BackupSummary:
    return await back_up(store, archive_path(store), target)


def change(path: Path, statement: str) -> None:
    raw = sqlite3.connect(path)
    raw.execute(statement)
    raw.commit()
    raw.close()


def copied(backup: Path, target: Path) -> Path:
    """Another copy of a backup, to be damaged."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(backup, target)
    return target


def left_of(folder: Path, store: str) -> list[str]:
    """Files that are there of a store, but for its locks."""
    return [name for name in names(folder) if name.startswith(store) and not name.endswith(".lock")]


def total_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


# --- there and back ------------------------------------------------------------------------------------------------------


async def test_a_store_is_made_of_a_backup(store: Path, tmp_path: Path) -> None:
    made = await saved(store, tmp_path / "b")
    assert made == BackupSummary(13, total_bytes(tmp_path / "b"))
    assert names(tmp_path / "b") == ["archive", "backup.json", "journal"]
    new = restore(tmp_path / "b", tmp_path / "new.db")
    assert left_of(tmp_path, "new.db") == ["new.db", "new.db.archive"]
    old, journal, archive = SqliteJournal(store), SqliteJournal(tmp_path / "new.db"), SqliteArchive(tmp_path / "new.db")
    assert await journal.open() == await old.open()
    assert (new.epoch, new.position) == (journal.epoch, 13)
    assert old.epoch != new.epoch
    assert await read_all(journal) == chain(BATCHES)[1:]
    assert (await archive.open(epoch=new.epoch)).next == ARCHIVED
    rows = await archive.read(1, rows_max=100, bytes_max=ALL)
    assert [row.event for row in rows] == [event for group in BATCHES for event in group][: ARCHIVED - 1]
    for part in (journal, archive):
        assert await part.check() == []
        assert await part._database().read(lambda raw: raw.execute("PRAGMA auto_vacuum").fetchone()) == (2,)
    for closing in (journal, archive, old):
        await closing.close()


async def test_a_store_goes_on_after_both(store: Path, tmp_path: Path) -> None:
    await saved(store, tmp_path / "b")
    await saved(store, tmp_path / "c")
    restore(tmp_path / "b", tmp_path / "b.db")
    restore(tmp_path / "b", tmp_path / "c.db")
    for path in (store, tmp_path / "b.db", tmp_path / "c.db"):
        journal = SqliteJournal(path, wal_bytes=0)
        await journal.open()
        (batch,) = await append(journal, versions("a", 10, 10))
        assert (await read_all(journal))[-1] == batch
        await journal.close()


async def test_progress_rises_and_ends_where_all_is_done(store: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def tell(done: int, in_all: int) -> None:
        told.append((done, in_all))

    made = await back_up(store, archive_path(store), tmp_path / "b", progress=tell)
    assert told == sorted(told)
    assert told[-1] == (made.bytes, made.bytes)
    told.clear()
    restore(tmp_path / "b", tmp_path / "new.db", progress=tell)
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 8192


async def test_it_is_made_beside_a_writer(store: Path, tmp_path: Path) -> None:
    journal = SqliteJournal(store, wal_bytes=0)
    await journal.open()

    async def write() -> None:
        for version in range(4, 10_000):
            await append(journal, versions("b", version, version))

    writing = asyncio.ensure_future(write())
    positions = [(await saved(store, tmp_path / str(number))).position for number in range(3)]
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    everything = await read_all(journal)
    assert positions == sorted(positions)
    for number, position in enumerate(positions):
        restore(tmp_path / str(number), tmp_path / f"{number}.db")
        copy = SqliteJournal(tmp_path / f"{number}.db", wal_bytes=0)
        assert (await copy.open()).next == position
        assert await check_journal(copy) == []
        assert await read_all(copy) == [batch for batch in everything if batch.position < position]
        await copy.close()
    await journal.close()


async def test_nothing_that_was_forgotten_is_in_it(tmp_path: Path) -> None:
    secret = b"what nobody may know"
    store = await make_store(
        tmp_path / "state.db", [[event("a", 1, delta=delta(secret.decode() * 1000))], *BATCHES[1:]]
    )
    assert holds(store, secret)
    await saved(store, tmp_path / "b")
    assert not holds(tmp_path / "b" / "journal", secret)


async def test_cursors_from_before_are_refused(tmp_path: Path) -> None:
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        await client.create("a", 1)
        async with client.subscribe("a", start="beginning") as changes:
            cursor = (await anext(changes)).cursor
        await client.backup(tmp_path / "b")
    restore_store(tmp_path / "b", tmp_path / "new.db")
    async with pal.Server(tmp_path / "new.db") as server, server.connect() as client:
        assert (await client.get("a")).value == 1
        with pytest.raises(CursorInvalid):
            async with client.subscribe("a", resume_after=cursor) as changes:
                await anext(changes)


# --- what is refused -----------------------------------------------------------------------------------------------------


async def test_a_backup_is_not_served_by_mistake(store: Path, tmp_path: Path) -> None:
    await saved(store, tmp_path / "b")
    shutil.copy(tmp_path / "b" / "archive", archive_path(tmp_path / "b" / "journal"))
    for part in (SqliteJournal(tmp_path / "b" / "journal"), SqliteJournal(tmp_path / "b" / "journal", writer=False)):
        with pytest.raises(StoreCorrupt, match="part of a backup, which has to be restored"):
            await part.open()
    with pytest.raises(StoreCorrupt, match="part of a backup, which has to be restored"):
        await SqliteArchive(tmp_path / "b" / "journal").open(epoch="00")


async def test_no_backup_is_overwritten(store: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(StorageError, match="b exists"):
        await saved(store, tmp_path / "b")
    assert names(tmp_path / "b") == []


@pytest.mark.parametrize("suffix", ["", "-wal", ".archive", ".archive-wal", ".archive-journal"])
async def test_no_store_is_overwritten(store: Path, tmp_path: Path, suffix: str) -> None:
    await saved(store, tmp_path / "b")
    (tmp_path / f"new.db{suffix}").touch()
    with pytest.raises(StorageError, match=f"new.db{suffix} exists"):
        restore(tmp_path / "b", tmp_path / "new.db")
    assert names(tmp_path) == sorted({*names(tmp_path)} - {"new.db"} | {f"new.db{suffix}"})
    assert left_of(tmp_path, "new.db") == [f"new.db{suffix}"]


async def test_two_do_not_make_the_same_store(store: Path, tmp_path: Path) -> None:
    await saved(store, tmp_path / "b")
    refused: list[StoreLocked] = []

    def again(done: int, in_all: int) -> None:
        with pytest.raises(StoreLocked) as caught:
            restore(tmp_path / "b", tmp_path / "new.db")
        refused.append(caught.value)

    restore(tmp_path / "b", tmp_path / "new.db", progress=again)
    assert {error.path for error in refused} == {str(tmp_path / "new.db")}
    assert left_of(tmp_path, "new.db") == ["new.db", "new.db.archive"]


async def test_places_that_are_not_there(store: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no backup at .*No such file"):
        await saved(tmp_path / "none.db", tmp_path / "b")
    with pytest.raises(StorageError, match=r"no backup at .*No such file"):
        await saved(store, tmp_path / "none" / "b")
    await saved(store, tmp_path / "b")
    with pytest.raises(StorageError, match=r"cannot be restored to .*No such file"):
        restore(tmp_path / "b", tmp_path / "none" / "new.db")
    with pytest.raises(StorageError, match=r"is not a backup: .*No such file"):
        restore(tmp_path / "none", tmp_path / "new.db")
    assert not {"none", "none.db"} & {*names(tmp_path)}


def says(**fields: object) -> Callable[[Path], None]:
    def damage(backup: Path) -> None:
        page = msgspec.json.decode((backup / "backup.json").read_bytes())
        (backup / "backup.json").write_bytes(msgspec.json.encode(page | fields))

    return damage


def does(part: str, statement: str) -> Callable[[Path], None]:
    return lambda backup: change(backup / part, statement)


def flips_bytes(backup: Path) -> None:
    content = bytearray((backup / "archive").read_bytes())
    content[3 * 4096 : 3 * 4096 + 200] = b"\xff" * 200
    (backup / "archive").write_bytes(content)


DAMAGE: list[tuple[Callable[[Path], None], type[StorageError], str]] = [
    (says(format=2, palimpsest="9.1"), StorageError, r"made by a newer release \(9.1\): its format is 2"),
    (says(position="x"), StorageError, "is not a backup"),
    (says(position=77), StoreCorrupt, "it says .*:77, and its files .*:13"),
    (says(epoch="00"), StoreCorrupt, "it says 00:13"),
    (lambda backup: (backup / "backup.json").write_bytes(b"{"), StorageError, "is not a backup"),
    (lambda backup: (backup / "archive").unlink(), StoreCorrupt, "the file archive is missing"),
    (lambda backup: (backup / "journal").write_bytes(b""), StoreCorrupt, "journal: .*mark of a backup"),
    (lambda backup: (backup / "journal").write_bytes(b"x" * 9000), StoreCorrupt, "journal: file is not a database"),
    (flips_bytes, StoreCorrupt, "archive: "),
    (does("journal", "PRAGMA user_version = 9"), SchemaTooNew, "newer release: its schema is 9"),
    (does("archive", "PRAGMA application_id = 9"), StoreCorrupt, "archive: .*mark of a backup"),
    (does("archive", "UPDATE archive SET epoch = '00'"), StoreCorrupt, "the archive is that of journal 00"),
    (does("archive", "UPDATE archive SET next = 3"), StoreCorrupt, "archive ends at 3, and the journal holds 4 to 13"),
    (does("archive", "UPDATE archive SET next = 14"), StoreCorrupt, "archive ends at 14"),
    (does("archive", "UPDATE archive SET digest = x'00'"), StoreCorrupt, "another digest"),
    (does("journal", "DROP TABLE batches"), StorageError, "no such table"),
]


async def test_what_is_damaged_or_too_new_is_refused_and_leaves_nothing(store: Path, tmp_path: Path) -> None:
    await saved(store, tmp_path / "b")
    for damage, kind, message in DAMAGE:
        damage(copied(tmp_path / "b", tmp_path / "c"))
        with pytest.raises(kind, match=message):
            restore(tmp_path / "c", tmp_path / "new.db")
        assert left_of(tmp_path, "new.db") == []
    restore(tmp_path / "b", tmp_path / "new.db")


@pytest.mark.parametrize(
    ("part", "statement", "message"),
    [
        ("state.db", "UPDATE journal SET oldest = 9", "the archive ends at 7, and the journal holds 9 to 13"),
        ("state.db", "UPDATE journal SET epoch = '00'", "and not of 00"),
        ("state.db", "UPDATE batches SET digest = x'00' WHERE position = 4", "another digest"),
        ("state.db.archive", "UPDATE archive SET next = 14", "the archive ends at 14"),
    ],
)
async def test_copies_that_do_not_meet_are_no_backup(
    store: Path, tmp_path: Path, part: str, statement: str, message: str
) -> None:
    change(tmp_path / part, statement)
    before = names(tmp_path)
    with pytest.raises(StoreCorrupt, match=message):
        await saved(store, tmp_path / "b")
    assert names(tmp_path) == before


async def test_an_archive_meets_a_journal_that_has_forgotten_everything(store: Path, tmp_path: Path) -> None:
    journal, archive = SqliteJournal(store, wal_bytes=0), SqliteArchive(store)
    end = await journal.open()
    await archive.open(epoch=journal.epoch)
    change(archive_path(store), "UPDATE archive SET next = 13")
    await archive.close()
    await journal.trim(13, batches_max=10)
    await journal.close()
    with pytest.raises(StoreCorrupt, match="another digest"):
        await saved(store, tmp_path / "b")
    raw = sqlite3.connect(archive_path(store))
    raw.execute("UPDATE archive SET digest = ?", (end.digest,))
    raw.commit()
    raw.close()
    assert (await saved(store, tmp_path / "b")).position == 13


# --- callers that give up, and disks that do ------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20, 100, 400])
async def test_who_is_cancelled_leaves_nothing_behind(store: Path, tmp_path: Path, turns: int) -> None:
    before = names(tmp_path)
    saving = asyncio.ensure_future(saved(store, tmp_path / "b"))
    for _ in range(turns):
        await asyncio.sleep(0)
    if saving.cancel():
        with pytest.raises(asyncio.CancelledError):
            await saving
        assert names(tmp_path) == before


async def test_a_scope_that_is_cancelled_leaves_nothing_behind(store: Path, tmp_path: Path) -> None:
    before = names(tmp_path)
    with anyio.CancelScope() as scope:
        await back_up(store, archive_path(store), tmp_path / "b", progress=lambda done, in_all: scope.cancel())
    assert scope.cancelled_caught
    assert names(tmp_path) == before


async def test_a_copy_is_stopped_in_the_middle(store: Path, tmp_path: Path) -> None:
    """One that would take far longer than this test may."""
    raw = sqlite3.connect(archive_path(store))
    raw.execute(
        "CREATE VIEW many AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT i FROM n"
    )
    raw.execute("CREATE TABLE long AS SELECT i FROM many")
    raw.commit()
    raw.close()
    before = names(tmp_path)
    with anyio.CancelScope() as scope:
        await back_up(store, archive_path(store), tmp_path / "b", progress=lambda done, in_all: scope.cancel())
    assert names(tmp_path) == before


async def test_whoever_cannot_bear_the_progress_leaves_nothing_behind(store: Path, tmp_path: Path) -> None:
    def fail(done: int, in_all: int) -> None:
        raise ValueError("no more")

    before = names(tmp_path)
    with pytest.raises(ValueError, match="no more"):
        await back_up(store, archive_path(store), tmp_path / "b", progress=fail)
    assert names(tmp_path) == before
    await saved(store, tmp_path / "b")
    with pytest.raises(ValueError, match="no more"):
        restore(tmp_path / "b", tmp_path / "new.db", progress=fail)
    assert left_of(tmp_path, "new.db") == []


async def test_on_a_full_disk_nothing_is_left_behind(store: Path, tmp_path: Path) -> None:
    with file_bytes_max(20_000), pytest.raises(StorageError, match="no backup at"):
        await saved(store, tmp_path / "b")
    assert left_of(tmp_path, "b") == []
    await saved(store, tmp_path / "b")
    with file_bytes_max(20_000), pytest.raises(StorageError, match="cannot be restored"):
        restore(tmp_path / "b", tmp_path / "new.db")
    assert left_of(tmp_path, "new.db") == []
    restore(tmp_path / "b", tmp_path / "new.db")
    journal = SqliteJournal(store, wal_bytes=0)
    await journal.open()
    assert await journal.check() == []
    await journal.close()


async def test_what_a_restore_that_was_killed_left_is_no_hindrance(store: Path, tmp_path: Path) -> None:
    await saved(store, tmp_path / "b")
    for name in ("new.db.partial", "new.db.archive.partial"):
        (tmp_path / name).write_bytes(b"half of it")
    new = restore(tmp_path / "b", tmp_path / "new.db")
    assert left_of(tmp_path, "new.db") == ["new.db", "new.db.archive"]
    journal = SqliteJournal(tmp_path / "new.db", wal_bytes=0)
    await journal.open()
    assert journal.epoch == new.epoch
    await journal.close()
