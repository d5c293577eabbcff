"""The journal in SQLite: one row per batch, appended by one statement in one hop to the thread that writes.

Where the journal ends is known to that thread alone. So a caller that is cancelled cannot confuse it, and an append that comes
after one that was cancelled waits for it and finds the right end.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path

from palimpsest.errors import Compacted, DurabilityUnknown, StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage.contracts import JournalEnd
from palimpsest.storage.events import GENESIS, Batch, chain_digest
from palimpsest.storage.sqlite import INTEGER_MAX, Database, Schema, Settings, to_the_end


def _create(raw: sqlite3.Connection) -> None:
    # The body comes last: what comes before it is read without touching the pages that a long body overflows into.
    raw.execute(
        "CREATE TABLE batches (position INTEGER PRIMARY KEY, count INTEGER NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL)"
    )
    # One row. oldest: position of the oldest event that is kept; digest: of the batch before it.
    raw.execute("CREATE TABLE journal (epoch TEXT NOT NULL, oldest INTEGER NOT NULL, digest BLOB NOT NULL)")
    raw.execute("INSERT INTO journal VALUES (?, 1, ?)", (secrets.token_hex(8), GENESIS))


SCHEMA = Schema("journal", 0x50414C4A, (_create,))

_INSERT = "INSERT INTO batches (position, count, digest, body) VALUES (?, ?, ?, ?)"
_LAST = "SELECT position, count, digest FROM batches ORDER BY position DESC LIMIT 1"
_FIND = "SELECT position, count, digest FROM batches WHERE position <= ? ORDER BY position DESC LIMIT 1"
_FROM = "SELECT position, count, digest, body FROM batches WHERE position >= ? ORDER BY position"
_OLDEST = "SELECT position, count, digest FROM batches ORDER BY position LIMIT ?"


class SqliteJournal:
    """A Journal in the file `path`, which is also the store's name; `path`.lock beside it says who writes."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        writer: bool = True,
        wal_bytes: int = 16 * 1024 * 1024,
        busy_seconds: float = 1.0,
    ) -> None:
        """writer: False for a process that only follows what another appends; nothing is locked then.

        wal_bytes: the size of the write-ahead log, which is written once when the journal is opened (some 30 ms); 0 leaves
        it to SQLite, for stores that are small and short-lived. busy_seconds: how long an append waits for a foreign
        program, such as SQLite's shell, that holds the file.
        """
        self._path = Path(path)
        self._writer = writer
        self._settings = Settings(
            cache_bytes=8 * 1024 * 1024, wal_bytes=wal_bytes, batch_bytes=wal_bytes // 4, busy_seconds=busy_seconds
        )
        self._open: Database | None = None
        self._epoch = ""
        self._next = 0
        """The end, for the thread that writes."""

    @property
    def epoch(self) -> str:
        return self._epoch

    async def open(self) -> JournalEnd:
        if self._open is not None:
            raise StoreLocked(f"{self._path} is open already", path=str(self._path))
        try:
            return await to_the_end(self._start())
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> JournalEnd:
        database = Database(self._path, SCHEMA, self._settings, writer=self._writer)
        await database.open()
        self._open = database
        self._epoch = await database.read(_read_epoch)
        end = await database.read(_read_end)
        self._next = end.next
        return end

    async def end(self) -> JournalEnd:
        return await self._database().read(_read_end)

    async def append(self, batch: Batch) -> None:
        await self._database().write(lambda raw: self._insert(raw, batch))

    def _insert(self, raw: sqlite3.Connection, batch: Batch) -> None:
        if batch.position != self._next:
            raise _misplaced(self._path, batch.position, self._next)
        try:
            raw.execute(_INSERT, (batch.position, batch.count, batch.digest, batch.body))
        except sqlite3.Error as error:
            _verify_absent(raw, batch.position, error)
            raise
        self._next = batch.position + batch.count

    async def read(self, position: int, *, bytes_max: int) -> list[Batch]:
        return await self._database().read(lambda raw: self._select(raw, position, bytes_max))

    def _select(self, raw: sqlite3.Connection, position: int, bytes_max: int) -> list[Batch]:
        oldest, digest = _read_start(raw)
        if position < oldest:
            message = f"position {position} is no longer kept; the oldest is {oldest}"
            raise Compacted(message, cursor=f"{self._epoch}:{position}", oldest=f"{self._epoch}:{oldest}")
        expected, digest = _read_before(raw, min(position, INTEGER_MAX)) or (oldest, digest)
        batches: list[Batch] = []
        size = 0
        for row in raw.execute(_FROM, (expected,)):
            batch = Batch(*row)
            size += len(batch.body)
            if batches and size > bytes_max:
                break
            digest = self._verify(batch, expected, digest)
            expected = batch.position + batch.count
            batches.append(batch)
        return batches

    def _verify(self, batch: Batch, expected: int, previous: bytes) -> bytes:
        if batch.position != expected:
            reason = f"the batch at position {expected} is missing; {batch.position} comes next"
        elif chain_digest(previous, batch.position, batch.count, batch.body) != batch.digest:
            reason = f"the batch at position {batch.position} does not match its digest"
        else:
            return batch.digest
        raise StoreCorrupt(f"{self._path}: {reason}", path=str(self._path), reason=reason)

    async def trim(self, position: int, *, batches_max: int) -> int:
        if batches_max < 1:
            return 0
        return await self._database().transact(lambda raw: _trim(raw, min(position, INTEGER_MAX), batches_max))

    async def scrub(self) -> None:
        await self._database().scrub()

    async def check(self) -> list[str]:
        """What SQLite finds wrong with the file. Reads all of it."""
        return await self._database().check()

    async def close(self) -> None:
        database, self._open = self._open, None
        if database is not None:
            await to_the_end(database.close())

    def _database(self) -> Database:
        if self._open is None:
            raise StorageError(f"{self._path} is not open")
        return self._open


def _misplaced(path: Path, position: int, expected: int) -> StoreCorrupt:
    reason = f"a batch at position {position} was to be appended where {expected} comes next"
    return StoreCorrupt(f"{path}: {reason}", path=str(path), reason=reason)


def _verify_absent(raw: sqlite3.Connection, position: int, error: sqlite3.Error) -> None:
    """Raises DurabilityUnknown where an insert that failed has left its row."""
    if raw.in_transaction:
        raw.execute("ROLLBACK")
    if raw.execute("SELECT 1 FROM batches WHERE position = ?", (position,)).fetchone() is not None:
        reason = f"the batch at position {position} is there, although: {error}"
        raise DurabilityUnknown(reason, reason=reason) from error


def _read_epoch(raw: sqlite3.Connection) -> str:
    epoch: str = raw.execute("SELECT epoch FROM journal").fetchone()[0]
    return epoch


def _read_start(raw: sqlite3.Connection) -> tuple[int, bytes]:
    """The oldest position that is kept, and the digest before it."""
    oldest, digest = raw.execute("SELECT oldest, digest FROM journal").fetchone()
    return oldest, digest


def _read_end(raw: sqlite3.Connection) -> JournalEnd:
    oldest, digest = _read_start(raw)
    next_, digest = _after(raw.execute(_LAST).fetchone()) or (oldest, digest)
    return JournalEnd(oldest, next_, digest)


def _read_before(raw: sqlite3.Connection, position: int) -> tuple[int, bytes] | None:
    """Where the batch that holds position starts (or would, at the end), and the digest before it; None: at the start."""
    row = raw.execute(_FIND, (position,)).fetchone()
    if row is not None and row[0] + row[1] > position:
        row = raw.execute(_FIND, (row[0] - 1,)).fetchone()
    return _after(row)


def _after(row: tuple[int, int, bytes] | None) -> tuple[int, bytes] | None:
    return None if row is None else (row[0] + row[1], row[2])


def _trim(raw: sqlite3.Connection, position: int, batches_max: int) -> int:
    rows = raw.execute(_OLDEST, (min(batches_max, INTEGER_MAX),)).fetchall()
    gone = [row for row in rows if row[0] + row[1] <= position]
    if gone:
        last = gone[-1]
        raw.execute("DELETE FROM batches WHERE position <= ?", (last[0],))
        raw.execute("UPDATE journal SET oldest = ?, digest = ?", (last[0] + last[1], last[2]))
    return len(gone)
