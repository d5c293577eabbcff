"""Copies of a whole store, made while it is served, and stores made of them.

A backup is a directory with a copy of the archive, a copy of the journal, and a page that says what they are. The archive is copied
first, so that the journal's copy goes on where it ends; whoever serves the store holds trims back meanwhile. Its files carry a mark
of their own, so that none is opened as a store by mistake: a store that is made of it has a new epoch, and refuses old cursors.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version as release
from pathlib import Path
from typing import Any

import msgspec

from palimpsest.errors import StorageError, StoreCorrupt
from palimpsest.storage import sqlite_archive, sqlite_journal
from palimpsest.storage.sqlite import BACKUP_MARK, read_error, to_the_end

FORMAT = 1
Progress = Callable[[int, int], None]
"""Told (bytes done, bytes in all, 0 where that is not known)."""

_JOURNAL, _ARCHIVE, _PAGE = "journal", "archive", "backup.json"
_LOOK_SECONDS = 0.1
_COPY_BYTES = 4 * 1024 * 1024


class BackupSummary(msgspec.Struct, frozen=True):
    """position: everything before it is in the backup. bytes: of its files."""

    position: int
    bytes: int


class RestoreSummary(msgspec.Struct, frozen=True):
    """epoch: of the new store. position: of the next event."""

    epoch: str
    position: int


class _Page(msgspec.Struct, frozen=True):
    """What is said of a backup. Fields are only ever added, with a default."""

    format: int
    epoch: str
    position: int
    at: str
    palimpsest: str


async def back_up(journal: Path, archive: Path, target: Path, *, progress: Progress) -> BackupSummary:
    """Copies a store into the directory target, which must not exist: it is there once the copy is whole and on disk.

    Nothing of what the archive does not have may be trimmed from the journal meanwhile. Raises StorageError where target exists or
    cannot be written to. Whoever is cancelled leaves nothing behind.
    """
    making = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    stop = threading.Event()
    copying = asyncio.ensure_future(asyncio.to_thread(_back_up, journal, archive, target, making, stop))
    in_all = sum(path.stat().st_size for path in (journal, archive))
    try:
        while not copying.done():
            await asyncio.wait([copying], timeout=_LOOK_SECONDS)
            progress(min(_size(making), in_all), in_all)
        return await copying
    except asyncio.CancelledError:
        stop.set()
        await to_the_end(_ended(copying))
        raise


async def _ended(work: asyncio.Future[BackupSummary]) -> None:
    await asyncio.wait([work])
    if not work.cancelled():
        work.exception()


def restore(backup: Path, store: Path, *, progress: Progress) -> RestoreSummary:
    """Makes a store of a backup: of the files that `store` names, none may exist. It is whole or not there, and has a new epoch.

    Raises StorageError where backup is none, or of a newer format, or store exists; StoreCorrupt where it is damaged.
    """
    page = _read_page(backup)
    wanted = {backup / _ARCHIVE: sqlite_archive.archive_path(store), backup / _JOURNAL: store}
    for path in wanted.values():
        if path.exists():
            raise StorageError(f"{path} exists: a backup is restored into a store that does not")
    epoch = secrets.token_hex(8)
    partial = {path: path.with_name(path.name + ".partial") for path in wanted.values()}
    in_all, done = sum(path.stat().st_size for path in wanted), 0
    try:
        for source, path in wanted.items():
            done = _copy(source, partial[path], done, in_all, progress)
        _adopt(partial[wanted[backup / _ARCHIVE]], sqlite_archive.SCHEMA.application_id, "archive", epoch)
        _adopt(partial[store], sqlite_journal.SCHEMA.application_id, "journal", epoch)
        position = _meet(partial[store], partial[wanted[backup / _ARCHIVE]])
        if position != page.position:
            raise _damaged(backup, f"it ends at position {position}, and says {page.position}")
        # The journal last: without it there is no store, whatever else is there.
        for path in wanted.values():
            os.replace(partial[path], path)
            _sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{backup} cannot be restored to {store}: {error}") from error
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    return RestoreSummary(epoch, position)


# --- making one, on a thread -----------------------------------------------------------------------------------------


def _back_up(journal: Path, archive: Path, target: Path, making: Path, stop: threading.Event) -> BackupSummary:
    if target.exists():
        raise StorageError(f"{target} exists: a backup is a directory that does not, yet")
    try:
        making.mkdir(parents=True)
        try:
            _save(archive, making / _ARCHIVE, stop)
            _save(journal, making / _JOURNAL, stop)
            position = _meet(making / _JOURNAL, making / _ARCHIVE)
            epoch = _ask(making / _JOURNAL, "SELECT epoch FROM journal")[0]
            at = datetime.now(UTC).isoformat(timespec="seconds")
            page = _Page(FORMAT, epoch, position, at, release("palimpsest"))
            (making / _PAGE).write_bytes(msgspec.json.format(msgspec.json.encode(page), indent=2) + b"\n")
            for path in (making / _PAGE, making / _ARCHIVE, making / _JOURNAL, making):
                _sync(path)
            os.rename(making, target)
            _sync(target.parent)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"no backup at {target}: {error}") from error
    return BackupSummary(position, _size(target))


def _save(source: Path, target: Path, stop: threading.Event) -> None:
    """A copy of the database as it is at one moment, without what is free in it, and with the mark of a backup."""
    raw = sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        raw.set_progress_handler(stop.is_set, 100_000)
        raw.execute("VACUUM INTO ?", (str(target),))
    finally:
        raw.close()
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        copy.execute(f"PRAGMA application_id = {BACKUP_MARK}")
    finally:
        copy.close()


# --- inside ----------------------------------------------------------------------------------------------------------


def _read_page(backup: Path) -> _Page:
    try:
        page = msgspec.json.decode((backup / _PAGE).read_bytes(), type=_Page)
    except (OSError, msgspec.MsgspecError) as error:
        raise StorageError(f"{backup} is not a backup: {error}") from error
    if page.format > FORMAT:
        raise StorageError(f"{backup} was made by a newer release ({page.palimpsest}): its format is {page.format}")
    for name in (_JOURNAL, _ARCHIVE):
        if not (backup / name).is_file():
            raise _damaged(backup, f"the file {name} is missing")
    return page


def _copy(source: Path, target: Path, done: int, in_all: int, progress: Progress) -> int:
    with source.open("rb") as reading, target.open("xb") as writing:
        while piece := reading.read(_COPY_BYTES):
            writing.write(piece)
            done += len(piece)
            progress(done, in_all)
        writing.flush()
        os.fsync(writing.fileno())
    return done


def _adopt(path: Path, application_id: int, table: str, epoch: str) -> None:
    """The copy becomes a part of a store. Raises StoreCorrupt where it is damaged, or no part of a backup."""
    try:
        raw = sqlite3.connect(path, isolation_level=None)
        try:
            if raw.execute("PRAGMA application_id").fetchone()[0] != BACKUP_MARK:
                raise _damaged(path, "it does not have the mark of a backup")
            for (finding,) in raw.execute("PRAGMA integrity_check"):
                if finding != "ok":
                    raise _damaged(path, finding)
            raw.execute("PRAGMA synchronous = FULL")
            raw.execute(f"UPDATE {table} SET epoch = ?", (epoch,))
            raw.execute(f"PRAGMA application_id = {application_id}")
        finally:
            raw.close()
    except sqlite3.Error as error:
        raise read_error(error, path) from error
    _sync(path)


def _meet(journal: Path, archive: Path) -> int:
    """The position after the last event. Raises StoreCorrupt where the journal does not go on where the archive ends."""
    (archived,) = _ask(archive, "SELECT next FROM archive")
    (oldest,) = _ask(journal, "SELECT oldest FROM journal")
    last = _ask(journal, "SELECT position + count FROM batches ORDER BY position DESC LIMIT 1")
    end = last[0] if last else oldest
    if not oldest <= archived <= end:
        raise _damaged(journal, f"the archive ends at {archived}, and the journal holds {oldest} to {end}")
    return int(end)


def _ask(path: Path, query: str) -> Any:
    raw = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return raw.execute(query).fetchone()
    finally:
        raw.close()


def _damaged(path: Path, reason: str) -> StoreCorrupt:
    return StoreCorrupt(f"{path}: {reason}", path=str(path), reason=reason)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _size(directory: Path) -> int:
    try:
        return sum(path.stat().st_size for path in directory.iterdir())
    except OSError:
        return 0
