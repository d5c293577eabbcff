"""The archive in SQLite: one row per event, keyed by its place in the journal, with an index of each stream's versions.

A row keeps as columns what is searched by; the rest of the event is one small msgpack array, which leaves out what the columns
say. Client ids, which every request of a client repeats, are kept once. An event found again equals the one that was put in,
its delta byte for byte.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.errors import StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage.contracts import ArchiveEnd, Head, Row, Snapshot, Step, Stream, Stretch
from palimpsest.storage.events import GENESIS, Event
from palimpsest.storage.rules import check_step, within_bytes
from palimpsest.storage.sqlite import INTEGER_MAX, Database, Schema, Settings, to_the_end
from palimpsest.words import Meta


def _create(raw: sqlite3.Connection) -> None:
    # One row. epoch: of the journal, NULL until the archive is given one; next, digest: as in ArchiveEnd.
    raw.execute("CREATE TABLE archive (epoch TEXT, next INTEGER NOT NULL, digest BLOB NOT NULL)")
    raw.execute("INSERT INTO archive VALUES (NULL, 1, ?)", (GENESIS,))
    # Branch and document. Text is compared by its UTF-8, which orders it by code points.
    raw.execute(
        "CREATE TABLE streams (id INTEGER PRIMARY KEY, branch TEXT NOT NULL, document TEXT NOT NULL,"
        " version INTEGER NOT NULL, position INTEGER NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL,"
        " snapshot INTEGER NOT NULL, snapshot_bytes INTEGER NOT NULL, since_bytes INTEGER NOT NULL)"
    )
    raw.execute("CREATE UNIQUE INDEX streams_by_name ON streams (branch, document)")
    raw.execute("CREATE TABLE origins (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
    # origin: an id of `origins`, NULL where there is none. request: an integer, or text where SQLite has none so large.
    raw.execute(
        "CREATE TABLE events (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, version INTEGER NOT NULL,"
        " origin INTEGER, request, key TEXT, body BLOB NOT NULL)"
    )
    raw.execute("CREATE UNIQUE INDEX events_by_version ON events (stream, version)")
    # A client's requests rise, so that this index grows at as many places as there are clients, and not streams.
    raw.execute("CREATE INDEX events_by_request ON events (origin, request, stream) WHERE origin IS NOT NULL")
    raw.execute("CREATE INDEX events_by_key ON events (key, stream) WHERE key IS NOT NULL")
    raw.execute(
        "CREATE TABLE snapshots (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL)"
    )
    raw.execute("CREATE UNIQUE INDEX snapshots_by_version ON snapshots (stream, version)")


SCHEMA = Schema("archive", 0x50414C41, (_create,))

_PUT_HEAD = (
    "INSERT INTO streams (branch, document, version, position, kind, at, snapshot, snapshot_bytes, since_bytes)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (branch, document) DO UPDATE SET version = excluded.version,"
    " position = excluded.position, kind = excluded.kind, at = excluded.at, snapshot = excluded.snapshot,"
    " snapshot_bytes = excluded.snapshot_bytes, since_bytes = excluded.since_bytes RETURNING id"
)
_PUT_EVENT = "INSERT INTO events (position, stream, version, origin, request, key, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
_PUT_SNAPSHOT = (
    "INSERT INTO snapshots (stream, version, value) VALUES (?, ?, ?)"
    " ON CONFLICT (stream, version) DO UPDATE SET value = excluded.value"
)
_HEAD = "document, branch, version, position, kind, at, snapshot, snapshot_bytes, since_bytes"
_GET_HEAD = f"SELECT id, {_HEAD} FROM streams WHERE branch = ? AND document = ?"
_GET_NAMES_FROM = f"SELECT {_HEAD} FROM streams WHERE branch = ? AND document >= ? ORDER BY document LIMIT ?"
_GET_NAMES_AFTER = f"SELECT {_HEAD} FROM streams WHERE branch = ? AND document > ? ORDER BY document LIMIT ?"
_EVENT = (
    "SELECT e.position, s.document, s.branch, e.version, o.name, e.request, e.key, e.body FROM events e"
    " JOIN streams s ON s.id = e.stream LEFT JOIN origins o ON o.id = e.origin"
)
_GET_POSITIONS = f"{_EVENT} WHERE e.position >= ? ORDER BY e.position LIMIT ?"
_GET_VERSIONS = f"{_EVENT} WHERE e.stream = ? AND e.version BETWEEN ? AND ? ORDER BY e.version LIMIT ?"
_GET_VERSIONS_BACK = f"{_EVENT} WHERE e.stream = ? AND e.version BETWEEN ? AND ? ORDER BY e.version DESC LIMIT ?"
_GET_KEY = f"{_EVENT} WHERE e.key = ? AND e.stream = ? ORDER BY e.position LIMIT 1"
_GET_REQUEST = (
    f"{_EVENT} WHERE e.origin = (SELECT id FROM origins WHERE name = ?) AND e.request = ? AND e.stream = ?"
    " AND e.key IS NULL ORDER BY e.position LIMIT 1"
)
_GET_SNAPSHOT = "SELECT version, value FROM snapshots WHERE stream = ? AND version <= ? ORDER BY version DESC LIMIT 1"


class _Body(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What of an event is in no column. Fields are only ever added at the end, with a default."""

    kind: int
    at: int
    delta: Raw
    meta: Meta | None = None
    more: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Body)


class SqliteArchive:
    """An Archive in the file `path`.archive, where path names the store; `path`.archive.lock beside it says who writes."""

    def __init__(self, path: str | os.PathLike[str], *, writer: bool = True, busy_seconds: float = 1.0) -> None:
        """path: the store's, as for the journal. writer: False for a process that reads what another one writes."""
        self._path = archive_path(path)
        self._writer = writer
        self._settings = Settings(
            cache_bytes=32 * 1024 * 1024,
            wal_bytes=0,
            busy_seconds=busy_seconds,
        )
        self._open: Database | None = None

    async def open(self, *, epoch: str) -> ArchiveEnd:
        """Beyond the contract: with writer=False, raises StorageError where no writer has made the file yet."""
        if self._open is not None:
            raise StoreLocked(f"{self._path} is open already", path=str(self._path))
        try:
            return await to_the_end(self._start(epoch))
        except BaseException:
            await self.close()
            raise

    async def _start(self, epoch: str) -> ArchiveEnd:
        database = Database(self._path, SCHEMA, self._settings, writer=self._writer)
        await database.open()
        self._open = database
        if self._writer:
            await database.transact(lambda raw: _take_epoch(raw, epoch))
        found = await database.read(_read_epoch)
        if found != epoch:
            reason = f"the archive is that of journal {found}, and not of {epoch}"
            raise StoreCorrupt(f"{self._path}: {reason}", path=str(self._path), reason=reason)
        return await database.read(_read_end)

    async def end(self) -> ArchiveEnd:
        return await self._database().read(_read_end)

    async def write(self, step: Step) -> None:
        await self._database().transact(lambda raw: self._write(raw, step))

    def _write(self, raw: sqlite3.Connection, step: Step) -> None:
        check_step(_read_end(raw), step, str(self._path))
        streams = {(head.document, head.branch): _put_head(raw, head) for head in step.heads}
        origins = _put_origins(raw, {row.event.origin for row in step.rows})
        raw.executemany(_PUT_EVENT, _event_columns(step.rows, streams, origins))
        raw.executemany(
            _PUT_SNAPSHOT, [(streams[item.document, item.branch], item.version, item.value) for item in step.snapshots]
        )
        raw.execute("UPDATE archive SET next = ?, digest = ?", (step.next, step.digest))

    async def heads(self, streams: Sequence[Stream]) -> list[Head | None]:
        return await self._database().read(lambda raw: [_get_head(raw, stream)[1] for stream in streams])

    async def load(self, streams: Sequence[Stream]) -> list[Stretch | None]:
        return await self._database().read(lambda raw: [_get_stretch(raw, stream, None) for stream in streams])

    async def load_version(self, document: str, branch: str, version: int) -> Stretch | None:
        return await self._database().read(lambda raw: _get_stretch(raw, (document, branch), version))

    async def history(
        self, document: str, branch: str, *, first: int, last: int, newest_first: bool, limit: int
    ) -> list[Row]:
        query = _GET_VERSIONS_BACK if newest_first else _GET_VERSIONS

        def work(raw: sqlite3.Connection) -> list[Row]:
            stream, _ = _get_head(raw, (document, branch))
            return _rows(raw.execute(query, (stream, _fit(first), _fit(last), _fit(max(0, limit)))))

        return await self._database().read(work)

    async def read(self, position: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        def work(raw: sqlite3.Connection) -> list[Row]:
            found = raw.execute(_GET_POSITIONS, (_fit(position), _fit(max(1, rows_max))))
            return within_bytes(map(_row, found), bytes_max)

        return await self._database().read(work)

    async def names(self, branch: str, *, prefix: str, after: str, limit: int) -> list[Head]:
        return await self._database().read(lambda raw: _get_names(raw, branch, prefix, after, limit))

    async def find_request(
        self, document: str, branch: str, *, origin: str, request: int, key: str | None
    ) -> Row | None:
        def work(raw: sqlite3.Connection) -> Row | None:
            stream, _ = _get_head(raw, (document, branch))
            if key is not None:
                found = raw.execute(_GET_KEY, (key, stream))
            else:
                found = raw.execute(_GET_REQUEST, (origin, _request_column(request), stream))
            return next(iter(_rows(found)), None)

        return await self._database().read(work)

    async def check(self) -> list[str]:
        """What SQLite finds wrong with the file and its indexes. Reads all of it."""
        return await self._database().check()

    async def close(self) -> None:
        database, self._open = self._open, None
        if database is not None:
            await to_the_end(database.close())

    def _database(self) -> Database:
        if self._open is None:
            raise StorageError(f"{self._path} is not open")
        return self._open


def archive_path(store: str | os.PathLike[str]) -> Path:
    """Where the archive of a store is."""
    path = Path(store)
    return path.with_name(path.name + ".archive")


# --- writing, on the writer's thread ---------------------------------------------------------------------------------


def _take_epoch(raw: sqlite3.Connection, epoch: str) -> None:
    raw.execute("UPDATE archive SET epoch = ? WHERE epoch IS NULL", (epoch,))


def _put_head(raw: sqlite3.Connection, head: Head) -> int:
    """The stream's id, made where the stream is new."""
    columns = (head.branch, head.document, head.version, head.position, head.kind, head.at)
    rows = raw.execute(_PUT_HEAD, (*columns, head.snapshot, head.snapshot_bytes, head.since_bytes)).fetchall()
    stream: int = rows[0][0]
    return stream


def _put_origins(raw: sqlite3.Connection, names: set[str]) -> dict[str, int | None]:
    """The ids of client ids; None for ""."""
    ids: dict[str, int | None] = {"": None}
    for name in sorted(names - {""}):
        raw.execute("INSERT INTO origins (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
        ids[name] = raw.execute("SELECT id FROM origins WHERE name = ?", (name,)).fetchone()[0]
    return ids


def _event_columns(
    rows: Iterable[Row], streams: dict[Stream, int], origins: dict[str, int | None]
) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        event = row.event
        body = _encoder.encode(_Body(event.kind, event.at, event.delta, event.meta, event.more))
        stream = streams[event.document, event.branch]
        request = _request_column(event.request)
        yield row.position, stream, event.version, origins[event.origin], request, event.key, body


def _request_column(request: int) -> int | str:
    # Special case: a client may count further than SQLite does.
    return request if -INTEGER_MAX <= request <= INTEGER_MAX else str(request)


# --- reading, on the reader's thread -----------------------------------------------------------------------------------


def _fit(number: int) -> int:
    return max(-INTEGER_MAX, min(number, INTEGER_MAX))


def _read_epoch(raw: sqlite3.Connection) -> str | None:
    epoch: str | None = raw.execute("SELECT epoch FROM archive").fetchone()[0]
    return epoch


def _read_end(raw: sqlite3.Connection) -> ArchiveEnd:
    next_, digest = raw.execute("SELECT next, digest FROM archive").fetchone()
    (oldest,) = raw.execute("SELECT min(position) FROM events").fetchone()
    return ArchiveEnd(oldest=next_ if oldest is None else oldest, next=next_, digest=digest)


def _get_head(raw: sqlite3.Connection, stream: Stream) -> tuple[int | None, Head | None]:
    """The stream's id and its head; None and None where there is no such stream."""
    document, branch = stream
    row = raw.execute(_GET_HEAD, (branch, document)).fetchone()
    return (None, None) if row is None else (row[0], Head(*row[1:]))


def _get_stretch(raw: sqlite3.Connection, stream: Stream, version: int | None) -> Stretch | None:
    """version: None for the newest."""
    number, head = _get_head(raw, stream)
    if head is None:
        return None
    wanted = head.version if version is None else version
    if not 1 <= wanted <= head.version:
        return None
    found = raw.execute(_GET_SNAPSHOT, (number, wanted)).fetchone()
    snapshot = None if found is None else Snapshot(*stream, *found)
    first = 1 if snapshot is None else snapshot.version
    rows = _rows(raw.execute(_GET_VERSIONS, (number, first, wanted, INTEGER_MAX)))
    return Stretch(head, snapshot, rows)


def _get_names(raw: sqlite3.Connection, branch: str, prefix: str, after: str, limit: int) -> list[Head]:
    query, start = (_GET_NAMES_AFTER, after) if after >= prefix else (_GET_NAMES_FROM, prefix)
    found: list[Head] = []
    for row in raw.execute(query, (branch, start, _fit(max(0, limit)))):
        if not row[0].startswith(prefix):
            break
        found.append(Head(*row))
    return found


def _rows(found: Iterable[tuple[Any, ...]]) -> list[Row]:
    return [_row(columns) for columns in found]


def _row(columns: tuple[Any, ...]) -> Row:
    position, document, branch, version, origin, request, key, encoded = columns
    try:
        body = _decoder.decode(encoded)
    except msgspec.MsgspecError as error:
        reason = f"the event at position {position} does not decode: {error}"
        raise StoreCorrupt(reason, reason=reason) from error
    event = Event(
        document, branch, version, body.kind, body.at, body.delta, origin or "", int(request), body.meta, key, body.more
    )
    return Row(position, event)
