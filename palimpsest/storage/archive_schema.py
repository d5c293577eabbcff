"""The tables of the archive, and how those of earlier releases become them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.archive_rows import (
    EVENT_BYTES,
    PUT_EVENT,
    SNAPSHOT_BYTES,
    SNAPSHOT_FORMAT,
    event_columns,
    lay,
    snapshot_sum,
)
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import GENESIS, Event, check_bytes, commitment, link
from palimpsest.storage.sqlite import Schema
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
    raw.execute("CREATE INDEX events_by_request ON events (origin, request, stream) WHERE origin IS NOT NULL")
    raw.execute("CREATE INDEX events_by_key ON events (key, stream) WHERE key IS NOT NULL")
    raw.execute(
        "CREATE TABLE snapshots (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL)"
    )
    raw.execute("CREATE UNIQUE INDEX snapshots_by_version ON snapshots (stream, version)")


def _prove(raw: sqlite3.Connection) -> None:
    """Version 2: what proves each event and where it may be missing, tags, and what each stream takes."""
    # oldest: as in ArchiveEnd; pruned: too.
    raw.execute("ALTER TABLE archive ADD COLUMN oldest INTEGER NOT NULL DEFAULT 1")
    raw.execute("ALTER TABLE archive ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0")
    # events, bytes, snapshots: that are in the tables, also where they only wait to be swept. pruned: the largest position of
    # the stream's gaps.
    raw.execute("ALTER TABLE streams ADD COLUMN digest BLOB NOT NULL DEFAULT x''")
    for counter in ("events", "bytes", "snapshots", "pruned"):
        raw.execute(f"ALTER TABLE streams ADD COLUMN {counter} INTEGER NOT NULL DEFAULT 0")
    raw.execute("CREATE INDEX streams_pruned ON streams (branch, document, pruned) WHERE pruned > 0")
    # format: SNAPSHOT_FORMAT of the release that made it; sum: see `snapshot_sum`.
    raw.execute("ALTER TABLE snapshots ADD COLUMN digest BLOB NOT NULL DEFAULT x''")
    raw.execute("ALTER TABLE snapshots ADD COLUMN format INTEGER NOT NULL DEFAULT 1")
    raw.execute("ALTER TABLE snapshots ADD COLUMN sum BLOB NOT NULL DEFAULT x''")
    # held: whether rows or snapshots of these versions are still there, to be swept.
    raw.execute(
        "CREATE TABLE gaps (stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, at INTEGER NOT NULL,"
        " digest BLOB NOT NULL, position INTEGER NOT NULL, held INTEGER NOT NULL, PRIMARY KEY (stream, first)) WITHOUT ROWID"
    )
    raw.execute("CREATE INDEX gaps_held ON gaps (stream, first, last) WHERE held")
    # Those that versions were made with.
    raw.execute(
        "CREATE TABLE tags (stream INTEGER NOT NULL, tag TEXT NOT NULL, version INTEGER NOT NULL,"
        " PRIMARY KEY (stream, tag, version)) WITHOUT ROWID"
    )
    raw.execute("DROP INDEX events_by_version")
    raw.execute("DROP INDEX events_by_request")
    raw.execute("DROP INDEX events_by_key")
    raw.execute("ALTER TABLE events RENAME TO old_events")
    # said: see `archive_rows`, NULL for most. proof: `Row.check`, and the salt or what the event was committed to. body: the
    # delta, packed; it comes last, so that what is before it is read without the pages that a long one overflows into.
    raw.execute(
        "CREATE TABLE events (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, version INTEGER NOT NULL,"
        " origin INTEGER, request, key TEXT, at INTEGER NOT NULL, said BLOB, proof BLOB NOT NULL, body BLOB NOT NULL)"
    )
    _move_events(raw)
    raw.execute("DROP TABLE old_events")
    raw.execute("CREATE UNIQUE INDEX events_by_version ON events (stream, version)")
    # A client's requests rise, so that this index grows at as many places as there are clients, and not streams.
    raw.execute("CREATE INDEX events_by_request ON events (origin, request, stream) WHERE origin IS NOT NULL")
    raw.execute("CREATE INDEX events_by_key ON events (key, stream) WHERE key IS NOT NULL")
    _count(raw)


SCHEMA = Schema("archive", 0x50414C41, (_create, _prove))


# --- from version 1 to 2 ---------------------------------------------------------------------------------------------


class _Body(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What version 1 kept of an event beside its columns."""

    kind: int
    at: int
    delta: Raw
    meta: Meta | None = None
    more: int = 0


_body_decoder = msgspec.msgpack.Decoder(_Body)

_OLD_EVENTS = (
    "SELECT e.position, s.document, s.branch, e.version, o.name, e.request, e.key, e.body, e.stream, e.origin"
    " FROM old_events e JOIN streams s ON s.id = e.stream LEFT JOIN origins o ON o.id = e.origin ORDER BY e.position"
)
_PUT_TAG = "INSERT INTO tags (stream, tag, version) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_SET_SNAPSHOT = "UPDATE snapshots SET digest = ?, format = ?, sum = ? WHERE stream = ? AND version = ?"


def _move_events(raw: sqlite3.Connection) -> None:
    """Rows take their new form, one by one, and the chain of each stream is made; those of version 1 have no salt."""
    sums = {
        (stream, version): snapshot_sum(value)
        for stream, version, value in raw.execute("SELECT stream, version, value FROM snapshots")
    }
    digests: dict[int, bytes] = {}

    def moved() -> Iterator[tuple[Any, ...]]:
        for *columns, stream, origin in raw.execute(_OLD_EVENTS):
            event = _old_event(columns)
            digest = digests[stream] = link(digests.get(stream, GENESIS), commitment(b"", event))
            if (stream, event.version) in sums:
                sum_ = sums[stream, event.version]
                raw.execute(_SET_SNAPSHOT, (digest, SNAPSHOT_FORMAT, sum_, stream, event.version))
            for tag in event.meta.tags if event.meta is not None else ():
                raw.execute(_PUT_TAG, (stream, tag, event.version))
            row = Row(columns[0], event, b"", check_bytes(digest))
            yield event_columns(row, lay(event), stream, origin)

    raw.executemany(PUT_EVENT, moved())
    raw.executemany("UPDATE streams SET digest = ? WHERE id = ?", ((digest, id_) for id_, digest in digests.items()))


def _old_event(columns: list[Any]) -> Event:
    position, document, branch, version, origin, request, key, body = columns
    try:
        found = _body_decoder.decode(body)
    except msgspec.MsgspecError as error:
        reason = f"version {version} of {document} ({branch}) at position {position} does not decode: {error}"
        raise StoreCorrupt(reason, reason=reason) from error
    return Event(
        document,
        branch,
        version,
        found.kind,
        found.at,
        found.delta,
        origin or "",
        int(request),
        found.meta,
        key,
        found.more,
    )


def _count(raw: sqlite3.Connection) -> None:
    raw.execute(
        "UPDATE streams SET events = found.events, bytes = found.bytes FROM"
        f" (SELECT stream, count(*) AS events, sum({EVENT_BYTES}) AS bytes FROM events GROUP BY stream) AS found"
        " WHERE found.stream = streams.id"
    )
    raw.execute(
        "UPDATE streams SET snapshots = found.snapshots, bytes = streams.bytes + found.bytes FROM"
        f" (SELECT stream, count(*) AS snapshots, sum(length(value) + {SNAPSHOT_BYTES}) AS bytes FROM snapshots"
        " GROUP BY stream) AS found WHERE found.stream = streams.id"
    )
    raw.execute("UPDATE archive SET oldest = ifnull((SELECT min(position) FROM events), next)")
