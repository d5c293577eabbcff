"""Copies of a whole store, made while it is served, and stores made of them.

A backup is a directory with a copy of the archive, a copy of the journal, and a page that says what they are. The archive is copied
first, so that the journal's copy goes on where it ends; whoever serves the store holds trims back meanwhile. Its files carry a mark
of their own, so that none is opened as a store by mistake: a store that is made of it has a new epoch, and refuses old cursors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version as release
from pathlib import Path
from typing import Any

import anyio
import msgspec

from palimpsest.errors import SchemaTooNew, StorageError, StoreCorrupt
from palimpsest.storage import sqlite_archive, sqlite_journal
from palimpsest.storage.locking import FileLock
from palimpsest.storage.sqlite import BACKUP_MARK, Schema, read_error

FORMAT = 1
Progress = Callable[[int, int], None]
"""Told (bytes done, bytes in all, about)."""

_JOURNAL, _ARCHIVE, _PAGE = "journal", "archive", "backup.json"
_LOOK_SECONDS = 0.1
_COPY_BYTES = 4 * 1024 * 1024
_STOP_STEPS = 100_000
"""Of SQLite's own machine, between two looks at whether a copy is still wanted: some milliseconds."""


class BackupSummary(msgspec.Struct, frozen=True):
    """position: everything before it is in the backup. bytes: of its files."""

    position: int
    bytes: int


class RestoreSummary(msgspec.Struct, frozen=True):
    """epoch: of the new store. position: of the next event."""

    epoch: str
    position: int


class _Format(msgspec.Struct, frozen=True):
    """What the page of every format says."""

    format: int
    palimpsest: str


class _Page(_Format, frozen=True):
    """What is said of a backup. Fields are only ever added, with a default. epoch: of the store that it is a copy of."""

    epoch: str
    position: int
    at: str


async def back_up(
    journal_path: Path, archive_path: Path, target: Path, *, progress: Progress | None = None
) -> BackupSummary:
    """Copies a store into the directory target, which must not exist: it is there once the copy is whole and on disk.

    Nothing of what the archive does not have may be trimmed from the journal meanwhile. Raises StorageError where target exists,
    its parent does not, or there is no room; StoreCorrupt where journal and archive do not belong together. Whoever is cancelled
    leaves nothing behind.
    """
    making = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    with _translated(f"no backup at {target}"):
        in_all = sum(path.stat().st_size for path in (journal_path, archive_path))
    stop = threading.Event()
    work = asyncio.to_thread(_back_up, journal_path, archive_path, target, making, stop)
    copying = asyncio.ensure_future(work)
    try:
        while not copying.done():
            if progress is not None:
                progress(min(_size(making), in_all), in_all)
            await asyncio.wait([copying], timeout=_LOOK_SECONDS)
    except BaseException:
        stop.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([copying])
        if not copying.cancelled() and copying.exception() is None:  # it was complete, but nobody hears of that
            with contextlib.suppress(OSError):
                os.rename(target, making)
            shutil.rmtree(making, ignore_errors=True)
        raise
    made = copying.result()
    if progress is not None:
        progress(made.bytes, made.bytes)
    return made


def restore(backup: Path, store: Path, *, progress: Progress | None = None) -> RestoreSummary:
    """Makes a store of a backup: of the files that `store` names, none may exist. It is whole or not there, and has a new epoch.

    Where the machine fails in the middle, there may be an archive without a journal, which no server takes for a store; it is to
    be removed then. Raises StorageError where backup is none, is of a newer format, or store exists; SchemaTooNew where a newer
    release made its files; StoreLocked where somebody is about to make the same store; StoreCorrupt where it is damaged.
    """
    page = _read_page(backup)
    archive = sqlite_archive.archive_path(store)
    _verify_absent(store, archive)
    partial, partial_archive = (path.with_name(path.name + ".partial") for path in (store, archive))
    epoch = secrets.token_hex(8)
    with _translated(f"{backup} cannot be restored to {store}"), _locked(store, archive):
        _verify_absent(store, archive)
        try:
            _copy_all([(backup / _ARCHIVE, partial_archive), (backup / _JOURNAL, partial)], progress)
            _verify_copy(partial_archive, sqlite_archive.SCHEMA, backup / _ARCHIVE)
            _verify_copy(partial, sqlite_journal.SCHEMA, backup / _JOURNAL)
            found = (_ask(partial, "SELECT epoch FROM journal")[0], _meet(partial, partial_archive, backup))
            if found != (page.epoch, page.position):
                raise _damaged(backup, f"it says {page.epoch}:{page.position}, and its files {found[0]}:{found[1]}")
            _adopt(partial_archive, sqlite_archive.SCHEMA, epoch)
            _adopt(partial, sqlite_journal.SCHEMA, epoch)
            # The journal last: an archive alone is not taken for a store.
            for path, target in ((partial_archive, archive), (partial, store)):
                os.replace(path, target)
                _sync(target.parent)
        finally:
            for path in (partial, partial_archive):
                path.unlink(missing_ok=True)
    return RestoreSummary(epoch, page.position)


# --- making one, on a thread -----------------------------------------------------------------------------------------


def _back_up(journal: Path, archive: Path, target: Path, making: Path, stop: threading.Event) -> BackupSummary:
    if target.exists():
        raise StorageError(f"{target} exists: a backup is a directory that does not, yet")
    with _translated(f"no backup at {target}"):
        making.mkdir()
        try:
            _save(archive, making / _ARCHIVE, stop)
            _save(journal, making / _JOURNAL, stop)
            position = _meet(making / _JOURNAL, making / _ARCHIVE, journal)
            epoch = _ask(making / _JOURNAL, "SELECT epoch FROM journal")[0]
            at = datetime.now(UTC).isoformat(timespec="seconds")
            page = _Page(FORMAT, release("palimpsest"), epoch, position, at)
            (making / _PAGE).write_bytes(msgspec.json.format(msgspec.json.encode(page), indent=2) + b"\n")
            for path in (making / _PAGE, making / _ARCHIVE, making / _JOURNAL, making):
                _sync(path)
            made = BackupSummary(position, _size(making))
            if stop.is_set():
                raise StorageError(f"no backup at {target}: nobody waits for it any more")
            os.rename(making, target)
            _sync(target.parent)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    return made


def _save(source: Path, target: Path, stop: threading.Event) -> None:
    """A copy of the database as it is at one moment, without what is free in it, and with the mark of a backup."""
    raw = sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    with contextlib.closing(raw):
        raw.set_progress_handler(stop.is_set, _STOP_STEPS)
        raw.execute("VACUUM INTO ?", (str(target),))
    with _opened(target) as copy:
        copy.execute(f"PRAGMA application_id = {BACKUP_MARK}")


# --- making a store of one -------------------------------------------------------------------------------------------


def _read_page(backup: Path) -> _Page:
    try:
        text = (backup / _PAGE).read_bytes()
        form = msgspec.json.decode(text, type=_Format)
        if form.format > FORMAT:
            raise StorageError(f"{backup} was made by a newer release ({form.palimpsest}): its format is {form.format}")
        page = msgspec.json.decode(text, type=_Page)
    except (OSError, msgspec.MsgspecError) as error:
        raise StorageError(f"{backup} is not a backup: {error}") from error
    for name in (_JOURNAL, _ARCHIVE):
        if not (backup / name).is_file():
            raise _damaged(backup, f"the file {name} is missing")
    return page


def _verify_absent(store: Path, archive: Path) -> None:
    """A write-ahead log that was left behind would be taken for the new file's."""
    for path in (store, archive):
        for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
            if file.exists():
                raise StorageError(f"{file} exists: a backup is restored into a store that does not")


@contextlib.contextmanager
def _locked(store: Path, archive: Path) -> Iterator[None]:
    """Nobody else opens the store, or restores into it."""
    with contextlib.ExitStack() as locks:
        for path in (store, archive):
            lock = FileLock(path.with_name(path.name + ".lock"))
            lock.acquire(store)
            locks.callback(lock.release)
        yield


def _copy_all(files: list[tuple[Path, Path]], progress: Progress | None) -> None:
    in_all, done = sum(source.stat().st_size for source, _ in files), 0
    for source, target in files:
        with source.open("rb") as reading, target.open("wb") as writing:
            while piece := reading.read(_COPY_BYTES):
                writing.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, in_all)


def _verify_copy(path: Path, schema: Schema, source: Path) -> None:
    """Raises StoreCorrupt where it is damaged, or no part of a backup."""
    supported = len(schema.migrations)
    try:
        mark, found = (_ask(path, f"PRAGMA {name}")[0] for name in ("application_id", "user_version"))
        if mark != BACKUP_MARK:
            raise _damaged(source, "it does not have the mark of a backup")
        if found > supported:
            message = (
                f"{source} was made by a newer release: its schema is {found}, and {supported} is the newest known"
            )
            raise SchemaTooNew(message, path=str(source), found=found, supported=supported)
        (finding,) = _ask(path, "PRAGMA integrity_check(1)")
    except sqlite3.Error as error:
        raise read_error(error, source) from error
    if finding != "ok":
        raise _damaged(source, finding)


def _adopt(path: Path, schema: Schema, epoch: str) -> None:
    """The copy becomes a part of the store with this epoch, and is on disk."""
    with _opened(path) as raw:
        raw.execute(f"UPDATE {schema.what} SET epoch = ?", (epoch,))
        raw.execute(f"PRAGMA application_id = {schema.application_id}")
    _sync(path)


# --- inside ----------------------------------------------------------------------------------------------------------


def _meet(journal: Path, archive: Path, named: Path) -> int:
    """The position after the last event. Raises StoreCorrupt where the journal does not go on where the archive ends, or is
    another's. named: what the error speaks of."""
    epoch, archived, digest = _ask(archive, "SELECT epoch, next, digest FROM archive")
    journal_epoch, oldest, before = _ask(journal, "SELECT epoch, oldest, digest FROM journal")
    last = _ask(journal, "SELECT position + count FROM batches ORDER BY position DESC LIMIT 1")
    end = last[0] if last else oldest
    if epoch != journal_epoch:
        raise _damaged(named, f"the archive is that of journal {epoch}, and not of {journal_epoch}")
    if not oldest <= archived <= end:
        raise _damaged(named, f"the archive ends at {archived}, and the journal holds {oldest} to {end}")
    # An archive may end inside of a batch; what it then knows is the digest of the one before.
    batch = _ask(
        journal,
        "SELECT digest FROM batches WHERE position < ? AND position + count <= ? ORDER BY position DESC LIMIT 1",
        archived,
        archived,
    )
    if (batch[0] if batch else before) != digest:
        raise _damaged(named, f"at {archived}, where the archive ends, it has another digest than the journal")
    return int(end)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A copy of ours, to be written to. It needs no journal: what fails in between is thrown away."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = MEMORY")
        yield raw


def _ask(path: Path, query: str, *values: object) -> Any:
    """The first row; None: there is none."""
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as raw:
        return raw.execute(query, values).fetchone()


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{what}: {error}") from error


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
