"""What the SQLite journal and the SQLite archive share: how a file is opened, who may touch it, and what its errors mean.

It knows schemas by their number and what is in the tables not at all. It never waits for another writer: a file has one, and a
lock beside it says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import aiosqlite
import anyio
import msgspec

from palimpsest.errors import (
    CommitFailed,
    DurabilityUnknown,
    PalimpsestError,
    SchemaTooNew,
    StorageError,
    StoreCorrupt,
)
from palimpsest.logs import get_logger
from palimpsest.storage.locking import FileLock

log = get_logger("palimpsest.storage")

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]
"""What is done on a connection's thread, in one go."""

INTEGER_MAX = 2**63 - 1
"""The largest integer that SQLite keeps. No position or version reaches it; a caller may ask for one that is larger."""

_SYNC_FAILED = {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC}
"""The system may have dropped what it could not write, and the next sync would then succeed without it."""

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
_FOREIGN = (sqlite3.Error, OSError)
_FRAME_HEADER_BYTES = 24
"""Of each page in a write-ahead log."""
BACKUP_MARK = 0x50414C42
"""The application id of a backup's files."""
_INCREMENTAL = 2
"""As `auto_vacuum` has it: free pages are given back when they are asked for."""
_SCRUB_TRY_SECONDS, _SCRUB_PAUSE_SECONDS = 0.01, 0.1
"""How long a scrub keeps writers away while it waits for readers to go, and how long it lets them write before it tries again."""
_LOG_BYTES_MAX = 64 * 1024 * 1024
_LOG_GROWTH_MAX = 4
"""How many times its first size a write-ahead log may keep; one that has none keeps _LOG_BYTES_MAX."""


class Schema(msgspec.Struct, frozen=True):
    """What the tables of a kind of file are, and how they came to be so.

    what: the kind of file, for messages. application_id: the file's own mark of what it is. migrations: each brings the
    tables from one version to the next, the first one from an empty file to version 1; `user_version` counts them.
    """

    what: str
    application_id: int
    migrations: tuple[Work[None], ...]


class Settings(msgspec.Struct, frozen=True):
    """How a file is used.

    cache_bytes: of pages kept by each connection. wal_bytes: the size that the write-ahead log has from the start and
    keeps, so that a commit overwrites and does not extend it (173 against 117 microseconds); 0: it grows as SQLite likes.
    batch_bytes: of the usual largest commit, for which the log has room beyond the size at which it is taken into the
    file. busy_seconds: how long to wait for a foreign program that holds the file. scrub_seconds: how long a scrub waits for
    those who read an old state of it.
    """

    cache_bytes: int
    wal_bytes: int = 0
    batch_bytes: int = 0
    busy_seconds: float = 1.0
    scrub_seconds: float = 30.0


class Connection:
    """A connection, and the thread of aiosqlite's that alone touches it.

    Work is done in the order in which it was given, and to its end: a caller that is cancelled no longer hears of it.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        """connect: called on the thread; what it raises is raised by `open`."""
        self._path = path
        self._connect = connect
        self._failure: Exception | None = None
        self._thread: aiosqlite.Connection | None = None
        self._raw: sqlite3.Connection

    async def open(self) -> None:
        self._failure = None
        self._thread = await aiosqlite.Connection(self._connect_raw, iter_chunk_size=64)
        if self._failure is not None:
            await self.close()
            if isinstance(self._failure, _FOREIGN):
                raise read_error(self._failure, self._path) from self._failure
            raise self._failure

    def _connect_raw(self) -> sqlite3.Connection:
        # Where no connection can be made, aiosqlite does not wait for its thread, which then speaks to a loop that may be
        # gone. So it is given one to nowhere, and closed in the ordinary way.
        try:
            self._raw = self._connect()
        except Exception as error:
            self._failure = error
            self._raw = sqlite3.connect(":memory:")
        return self._raw

    async def run(self, work: Work[T]) -> T:
        """What work(connection) gives, in one hop. Raises StoreCorrupt, or StorageError for all else the disk may do."""
        if self._thread is None:
            raise StorageError(f"{self._path} is not open")
        try:
            # aiosqlite has a hop for every method of a connection and none for a function of ours, and each hop costs some
            # 50 microseconds. So its own way of running a function on its thread is used, in this one place.
            return cast(T, await self._thread._execute(work, self._raw))  # type: ignore[no-untyped-call]
        except _FOREIGN as error:
            raise read_error(error, self._path) from error

    async def read(self, work: Work[T]) -> T:
        """As `run`; work sees one state of the file from its first statement to its last."""
        return await self.run(lambda raw: _in_one_state(raw, work))

    async def close(self) -> None:
        """What was given before is done first."""
        thread, self._thread = self._thread, None
        if thread is not None:
            try:
                await thread.close()
            except _FOREIGN as error:
                raise read_error(error, self._path) from error


class Writer(Connection):
    """The connection that writes. Once a sync has failed, it refuses to go on."""

    _unknown: str | None = None
    """Why it is not known what is on disk; set and read on the thread only."""

    async def write(self, work: Work[T]) -> T:
        """What work(connection) gives, which is one statement that writes, or a transaction.

        Raises CommitFailed: nothing of it was written. Raises DurabilityUnknown where that cannot be known, and from then on.
        """
        return await self.run(lambda raw: self._guarded(raw, work))

    async def transact(self, work: Work[T]) -> T:
        """As `write`, inside one transaction."""
        return await self.write(lambda raw: _in_one_transaction(raw, work))

    def _guarded(self, raw: sqlite3.Connection, work: Work[T]) -> T:
        if self._unknown is not None:
            raise DurabilityUnknown(f"{self._path} takes nothing more: {self._unknown}", reason=self._unknown)
        try:
            return work(raw)
        except PalimpsestError as error:
            self._undo(raw, error)
            raise
        except Exception as error:
            failure = write_error(error, self._path)
            self._undo(raw, failure)
            raise failure from error

    def _undo(self, raw: sqlite3.Connection, failure: PalimpsestError) -> None:
        if isinstance(failure, DurabilityUnknown):
            self._unknown = failure.message
        try:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._unknown = f"a transaction could not be rolled back: {error}"
            raise DurabilityUnknown(f"{self._path}: {self._unknown}", reason=self._unknown) from error


class Database:
    """A file of ours, open: a connection that reads, so that reads do not wait for writes, and one that writes."""

    def __init__(self, path: Path, schema: Schema, settings: Settings, *, writer: bool) -> None:
        """writer: False for a process that only reads what another writes; the file must be there then."""
        self._path = path
        self._schema = schema
        self._settings = settings
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._writer = Writer(path, self._connect_writer) if writer else None
        self._reader = Connection(path, self._connect_reader)

    async def open(self) -> None:
        """Makes the file where it is missing, and brings its tables up to date. Raises StoreLocked, SchemaTooNew,
        StoreCorrupt, or StorageError where the file cannot be opened."""
        try:
            if self._writer is not None:
                await self._writer.open()
            await self._reader.open()
        except BaseException:
            await self.close()
            raise

    async def read(self, work: Work[T]) -> T:
        return await self._reader.read(work)

    async def write(self, work: Work[T]) -> T:
        return await self._writing().write(work)

    async def transact(self, work: Work[T]) -> T:
        return await self._writing().transact(work)

    async def shrink(self, bytes_max: int) -> int:
        """Gives at most about bytes_max of the file's free pages back, in one transaction. Returns how many bytes it was."""
        return await self.write(lambda raw: _shrink(raw, bytes_max))

    async def scrub(self) -> None:
        """Nothing of what was deleted or overwritten before is left in the file or its log. The file is written anew, which
        takes as long as copying what is kept, and holds up writes for that long; they go on while readers are waited for.

        Raises CommitFailed where there is no room for the copy, or where somebody reads an old state for longer than
        scrub_seconds.
        """
        # Overwriting what is deleted is not enough: where SQLite moves cells between pages, or a page elsewhere, what it moved
        # stays behind in the unused part of the old page.
        await self.write(lambda raw: raw.execute("VACUUM").fetchall())
        deadline = time.monotonic() + self._settings.scrub_seconds
        while not await self.write(lambda raw: _empty_log(raw, self._path, self._settings)):
            if time.monotonic() > deadline:
                reason = f"somebody has been reading an old state of it for {self._settings.scrub_seconds:g} seconds"
                raise CommitFailed(f"{self._path}: its log cannot be emptied: {reason}", reason=reason)
            await asyncio.sleep(_SCRUB_PAUSE_SECONDS)

    async def check(self) -> list[str]:
        """What SQLite itself finds wrong with the file and its indexes. Reads all of it."""
        found = await self.read(lambda raw: raw.execute("PRAGMA integrity_check").fetchall())
        return [f"{self._path}: {row[0]}" for row in found if row[0] != "ok"]

    async def close(self) -> None:
        """May be called at any time, and again."""
        try:
            await self._reader.close()
            if self._writer is not None:
                await self._writer.close()
        finally:
            self._lock.release()

    def _writing(self) -> Writer:
        if self._writer is None:
            raise StorageError(f"{self._path} is open for reading only")
        return self._writer

    def _connect_writer(self) -> sqlite3.Connection:
        self._lock.acquire(self._path)
        raw = sqlite3.connect(self._path, isolation_level=None, timeout=self._settings.busy_seconds)
        with _closed_on_error(raw):
            version = _identify(raw, self._path, self._schema)
            _let_shrink(raw, self._path, version)
            _configure(raw, self._settings)
            _migrate(raw, version, self._schema)
            _grow_log(raw, self._path, self._settings)
        return raw

    def _connect_reader(self) -> sqlite3.Connection:
        # Read-only connections cannot always use a write-ahead log, so it is a statement that forbids writing.
        uri = self._path.absolute().as_uri() + "?mode=rw"
        raw = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=self._settings.busy_seconds)
        with _closed_on_error(raw):
            raw.execute("PRAGMA query_only = ON")
            raw.execute(f"PRAGMA cache_size = {-self._settings.cache_bytes // 1024}")
            version = _identify(raw, self._path, self._schema)
            if version < len(self._schema.migrations):
                raise StorageError(f"{self._path} must be opened for writing once: its schema {version} is an old one")
        return raw


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """What work gives. A caller that is cancelled is so only when work is done, whatever it gave or raised."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):  # a scope of anyio's that is cancelled cancels every wait in it
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # it has been seen, and nobody is left to hear of it
        raise


def read_error(error: Exception, path: Path) -> StorageError:
    """What an error of sqlite3 or of the system means to somebody who only wanted to read."""
    if _primary_code(error) in _CORRUPT:
        return StoreCorrupt(f"{path}: {error}", path=str(path), reason=str(error))
    return StorageError(f"{path}: {error}")


def write_error(error: Exception, path: Path) -> StorageError:
    """What an error that ended a statement or a transaction that writes means for what was written."""
    if _code(error) in _SYNC_FAILED:
        reason = f"{getattr(error, 'sqlite_errorname', '')}: {error}"
        return DurabilityUnknown(f"{path}: a sync failed, and what is on disk is not known ({reason})", reason=reason)
    if _primary_code(error) in _CORRUPT:
        return StoreCorrupt(f"{path}: {error}", path=str(path), reason=str(error))
    return CommitFailed(f"{path}: nothing was written: {error}", reason=str(error))


# --- on a connection's thread --------------------------------------------------------------------------------------


def _code(error: Exception) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code


def _primary_code(error: Exception) -> int | None:
    """The low byte, which says what kind of error it is; the rest says which."""
    code = _code(error)
    return None if code is None else code & 0xFF


def _in_one_state(raw: sqlite3.Connection, work: Work[T]) -> T:
    raw.execute("BEGIN")
    try:
        return work(raw)
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK")


def _in_one_transaction(raw: sqlite3.Connection, work: Work[T]) -> T:
    raw.execute("BEGIN IMMEDIATE")
    result = work(raw)
    raw.execute("COMMIT")
    return result


@contextlib.contextmanager
def _closed_on_error(raw: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        raw.close()
        raise


def _pragma(
    raw: sqlite3.Connection,
    name: Literal["application_id", "user_version", "schema_version", "page_size", "page_count", "freelist_count"],
) -> int:
    value: int = raw.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _identify(raw: sqlite3.Connection, path: Path, schema: Schema) -> int:
    """The version of the schema that the file has; 0: it is new, and empty."""
    mark, version = _pragma(raw, "application_id"), _pragma(raw, "user_version")
    if mark == 0 and version == 0 and _pragma(raw, "schema_version") == 0:
        return 0
    if mark == BACKUP_MARK:
        reason = "it is part of a backup, which has to be restored before it can be served"
        raise StoreCorrupt(f"{path}: {reason}", path=str(path), reason=reason)
    if mark != schema.application_id:
        reason = f"not a {schema.what} but a database of another application (id {mark:#x})"
        raise StoreCorrupt(f"{path} is {reason}", path=str(path), reason=reason)
    supported = len(schema.migrations)
    if version > supported:
        message = f"{path} was written by a newer release: its schema is {version}, and {supported} is the newest known"
        raise SchemaTooNew(message, path=str(path), found=version, supported=supported)
    return version


def _configure(raw: sqlite3.Connection, settings: Settings) -> None:
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute(f"PRAGMA cache_size = {-settings.cache_bytes // 1024}")
    # What is deleted is overwritten where its page is written anyway; pages that become free are not, which would make
    # trimming as dear as writing.
    raw.execute("PRAGMA secure_delete = FAST")
    if settings.wal_bytes:
        frame_bytes = _pragma(raw, "page_size") + _FRAME_HEADER_BYTES
        pages = max(1, (settings.wal_bytes - settings.batch_bytes) // frame_bytes)
        raw.execute(f"PRAGMA wal_autocheckpoint = {pages}")
    # While a reader holds on to an old state, the log cannot start over and grows. What it grew by is kept, as room that is
    # there already, up to a bound.
    raw.execute(f"PRAGMA journal_size_limit = {_LOG_GROWTH_MAX * settings.wal_bytes or _LOG_BYTES_MAX}")


def _migrate(raw: sqlite3.Connection, version: int, schema: Schema) -> None:
    """All that is missing, in one transaction."""
    if version == len(schema.migrations):
        return
    raw.execute("BEGIN IMMEDIATE")
    try:
        for migration in schema.migrations[version:]:
            migration(raw)
        raw.execute(f"PRAGMA application_id = {schema.application_id}")
        raw.execute(f"PRAGMA user_version = {len(schema.migrations)}")
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise


def _let_shrink(raw: sqlite3.Connection, path: Path, version: int) -> None:
    """Lets free pages be given back. A file of the first release is written anew for that, once."""
    if raw.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
        return
    raw.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
    if not version:
        return
    try:
        raw.execute("VACUUM")
    except sqlite3.Error as error:
        # Special case: on a disk that is full, a store can still be read. It is tried again when it is opened again.
        if _code(error) not in _NO_ROOM:
            raise
        log.warning("file_not_rewritten", path=str(path), reason=str(error))
    else:
        log.info("file_rewritten", path=str(path), bytes=_pragma(raw, "page_count") * _pragma(raw, "page_size"))


def _shrink(raw: sqlite3.Connection, bytes_max: int) -> int:
    page_bytes, pages = _pragma(raw, "page_size"), _pragma(raw, "page_count")
    if not _pragma(raw, "freelist_count"):
        return 0
    # Stepping through its rows would end after the first page.
    raw.executescript(f"PRAGMA incremental_vacuum({max(1, bytes_max // page_bytes)})")
    raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # only then is the file any shorter
    return (pages - _pragma(raw, "page_count")) * page_bytes


def _empty_log(raw: sqlite3.Connection, path: Path, settings: Settings) -> bool:
    """False: somebody reads an old state. Otherwise all that was in the log is in the file, and is gone from the log, which gets
    its size again then."""
    raw.execute(f"PRAGMA busy_timeout = {round(_SCRUB_TRY_SECONDS * 1000)}")
    try:
        (busy, _, _) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        raw.execute(f"PRAGMA busy_timeout = {round(settings.busy_seconds * 1000)}")
    if busy:
        return False
    _grow_log(raw, path, settings)
    return True


def _grow_log(raw: sqlite3.Connection, path: Path, settings: Settings) -> None:
    """Gives the write-ahead log its size: a transaction that is too large for the cache spills into it, and is then
    rolled back. The file itself does not grow, and a commit of nothing new makes the log's pages durable."""
    wal = path.with_name(path.name + "-wal")
    if not settings.wal_bytes or (wal.exists() and wal.stat().st_size >= settings.wal_bytes):
        return
    cache_pages, page_bytes = 16, _pragma(raw, "page_size")
    raw.execute(f"PRAGMA cache_size = {cache_pages}")
    try:
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("CREATE TABLE spill (body BLOB)")
        raw.execute("INSERT INTO spill VALUES (zeroblob(?))", (settings.wal_bytes + 2 * cache_pages * page_bytes,))
        raw.execute("ROLLBACK")
        raw.execute(f"PRAGMA user_version = {_pragma(raw, 'user_version')}")
    except sqlite3.Error as error:
        # Special case: on a disk that is full, a store can still be read.
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        if _code(error) not in _NO_ROOM:
            raise
    finally:
        raw.execute(f"PRAGMA cache_size = {-settings.cache_bytes // 1024}")
