"""How a step gets into the archive's tables, and how what lies in gaps gets out of them. Each function here is called inside a
transaction, on the writer's thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.archive_gaps import NOT_HELD
from palimpsest.storage.archive_reads import read_end
from palimpsest.storage.archive_rows import (
    EVENT_BYTES,
    PUT_EVENT,
    SET_EVENT,
    SNAPSHOT_BYTES,
    SNAPSHOT_FORMAT,
    event_columns,
    laid_bytes,
    lay,
    lay_snapshot,
    rewritten_columns,
    tags_of,
)
from palimpsest.storage.contracts import Gap, Head, Row, Snapshot, Step, Stream
from palimpsest.storage.rules import check_step, join_gaps, not_there, takes_in
from palimpsest.storage.sqlite import INTEGER_MAX

_PUT_HEAD = (
    "INSERT INTO streams (branch, document, version, position, kind, at, snapshot, snapshot_bytes, since_bytes, digest)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (branch, document) DO UPDATE SET version = excluded.version,"
    " position = excluded.position, kind = excluded.kind, at = excluded.at, snapshot = excluded.snapshot,"
    " snapshot_bytes = excluded.snapshot_bytes, since_bytes = excluded.since_bytes, digest = excluded.digest RETURNING id"
)
_COUNT = "UPDATE streams SET events = events + ?, bytes = bytes + ?, snapshots = snapshots + ? WHERE id = ?"
_GET_STREAM = "SELECT id FROM streams WHERE branch = ? AND document = ?"
_PUT_ORIGIN = "INSERT INTO origins (name) VALUES (?) ON CONFLICT DO NOTHING"
_GET_ORIGIN = "SELECT id FROM origins WHERE name = ?"
_PUT_TAG = "INSERT INTO tags (stream, tag, version) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_DELETE_TAG = "DELETE FROM tags WHERE stream = ? AND tag = ? AND version = ?"
_DELETE_TAGS = "DELETE FROM tags WHERE stream = ? AND version = ?"
_GET_EVENT_BYTES = f"SELECT {EVENT_BYTES}, said FROM events WHERE position = ? AND stream = ? AND version = ?"

_GET_SNAPSHOT_BYTES = "SELECT length(value) FROM snapshots WHERE stream = ? AND version = ?"
_PUT_SNAPSHOT = (
    "INSERT INTO snapshots (stream, version, digest, format, sum, value) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (stream, version) DO UPDATE SET digest = excluded.digest, format = excluded.format, sum = excluded.sum,"
    " value = excluded.value"
)
_GET_SNAPSHOT_COUNT = f"SELECT count(*), total(length(value) + {SNAPSHOT_BYTES}) FROM snapshots WHERE stream = ? AND version BETWEEN ? AND ?"
_DELETE_SNAPSHOTS = "DELETE FROM snapshots WHERE stream = ? AND version BETWEEN ? AND ?"

# The one that begins at or before this gap, and those that begin inside it or right behind it.
_GET_GAPS_NEAR = (
    "SELECT first, last, at, digest, position FROM gaps WHERE stream = ? AND first >= ifnull((SELECT max(first) FROM gaps"
    " WHERE stream = ? AND first <= ?), ?) AND first <= ? + 1 ORDER BY first"
)
_DELETE_GAP = "DELETE FROM gaps WHERE stream = ? AND first = ?"
_PUT_GAP = "INSERT INTO gaps (stream, first, last, at, digest, position, held) VALUES (?, ?, ?, ?, ?, ?, ?)"
_GET_IS_HELD = (
    "SELECT EXISTS (SELECT 1 FROM events WHERE stream = ? AND version BETWEEN ? AND ?)"
    " OR EXISTS (SELECT 1 FROM snapshots WHERE stream = ? AND version BETWEEN ? AND ?)"
)
_GET_OLDEST = f"SELECT e.position FROM events e WHERE e.position >= ? AND {NOT_HELD} ORDER BY e.position LIMIT 1"

_GET_SOME_HELD = "SELECT stream, first, last FROM gaps INDEXED BY gaps_held WHERE held ORDER BY stream, first LIMIT 1"
_GET_SWEPT = f"SELECT version, {EVENT_BYTES}, said FROM events WHERE stream = ? AND version BETWEEN ? AND ? ORDER BY version LIMIT ?"
_DELETE_EVENTS = "DELETE FROM events WHERE stream = ? AND version BETWEEN ? AND ?"


def take_epoch(raw: sqlite3.Connection, epoch: str) -> None:
    raw.execute("UPDATE archive SET epoch = ? WHERE epoch IS NULL", (epoch,))


def write_step(raw: sqlite3.Connection, step: Step, archive: str) -> None:
    """archive: its name, for messages. Raises StoreCorrupt as `Archive.write` does."""
    check_step(read_end(raw), step, archive)
    counts = _Counts()
    streams = {(head.document, head.branch): _put_head(raw, head) for head in step.heads}
    origins = _put_origins(raw, {row.event.origin for rows in (step.rows, step.rewrites) for row in rows})
    _put_rows(raw, step.rows, streams, origins, counts)
    for row in step.rewrites:
        _rewrite(raw, row, _id(raw, streams, (row.event.document, row.event.branch)), origins, counts, archive)
    for stream in step.forget:
        _delete_snapshots(raw, streams[stream], 0, INTEGER_MAX, counts)
    for snapshot in step.snapshots:
        _put_snapshot(raw, snapshot, streams[snapshot.document, snapshot.branch], counts)
    counts.put(raw)
    raw.execute("UPDATE archive SET next = ?, digest = ?", (step.next, step.digest))
    for gap in step.gaps:
        _put_gap(raw, gap, _id(raw, streams, (gap.document, gap.branch)))
    if step.gaps:
        _advance_oldest(raw)


class _Counts:
    """What a transaction adds to the counters of each stream, or takes from them."""

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}

    def add(self, stream: int, events: int, bytes_: int, snapshots: int = 0) -> None:
        counts = self._counts.setdefault(stream, [0, 0, 0])
        counts[0] += events
        counts[1] += bytes_
        counts[2] += snapshots

    def put(self, raw: sqlite3.Connection) -> None:
        raw.executemany(_COUNT, [(*counts, stream) for stream, counts in self._counts.items()])


# --- rows and heads --------------------------------------------------------------------------------------------------


def _put_head(raw: sqlite3.Connection, head: Head) -> int:
    """The stream's id, made where the stream is new."""
    columns = (head.branch, head.document, head.version, head.position, head.kind, head.at)
    more = (head.snapshot, head.snapshot_bytes, head.since_bytes, head.digest)
    rows = raw.execute(_PUT_HEAD, (*columns, *more)).fetchall()
    stream: int = rows[0][0]
    return stream


def _id(raw: sqlite3.Connection, streams: dict[Stream, int], stream: Stream) -> int:
    """Of a stream that is archived, also where the step has no head of it."""
    if stream not in streams:
        row = raw.execute(_GET_STREAM, (stream[1], stream[0])).fetchone()
        if row is None:
            reason = f"a step speaks of {stream[0]} ({stream[1]}), which is not archived"
            raise StoreCorrupt(reason, reason=reason)
        streams[stream] = row[0]
    return streams[stream]


def _put_origins(raw: sqlite3.Connection, names: set[str]) -> dict[str, int | None]:
    """The ids of client ids; None for ""."""
    ids: dict[str, int | None] = {"": None}
    for name in sorted(names - {""}):
        raw.execute(_PUT_ORIGIN, (name,))
        ids[name] = raw.execute(_GET_ORIGIN, (name,)).fetchone()[0]
    return ids


def _put_rows(
    raw: sqlite3.Connection,
    rows: Sequence[Row],
    streams: dict[Stream, int],
    origins: dict[str, int | None],
    counts: _Counts,
) -> None:
    columns = []
    tags: list[tuple[int, str, int]] = []
    for row in rows:
        event = row.event
        laid = lay(event)
        stream = streams[event.document, event.branch]
        counts.add(stream, 1, laid_bytes(laid))
        columns.append(event_columns(row, laid, stream, origins[event.origin]))
        if event.meta is not None and event.meta.tags:
            tags += [(stream, tag, event.version) for tag in event.meta.tags]
    raw.executemany(PUT_EVENT, columns)
    raw.executemany(_PUT_TAG, tags)


def _rewrite(
    raw: sqlite3.Connection, row: Row, stream: int, origins: dict[str, int | None], counts: _Counts, archive: str
) -> None:
    event = row.event
    before = raw.execute(_GET_EVENT_BYTES, (row.position, stream, event.version)).fetchone()
    if before is None:
        raise not_there(row, archive)
    laid = lay(event)
    raw.execute(SET_EVENT, rewritten_columns(row, laid, stream, origins[event.origin]))
    counts.add(stream, 0, laid_bytes(laid) - before[0])
    if laid[0] != before[1]:
        _delete_tags(raw, stream, event.version, before[1])
        raw.executemany(_PUT_TAG, [(stream, tag, event.version) for tag in tags_of(laid[0])])


def _delete_tags(raw: sqlite3.Connection, stream: int, version: int, said: bytes | None) -> None:
    """said: the version's own, which has the tags that there are to delete."""
    try:
        raw.executemany(_DELETE_TAG, [(stream, tag, version) for tag in tags_of(said)])
    except msgspec.MsgspecError:
        # Special case: it is damaged, so that all tags of the stream are looked at.
        raw.execute(_DELETE_TAGS, (stream, version))


# --- snapshots -------------------------------------------------------------------------------------------------------


def _put_snapshot(raw: sqlite3.Connection, snapshot: Snapshot, stream: int, counts: _Counts) -> None:
    before = raw.execute(_GET_SNAPSHOT_BYTES, (stream, snapshot.version)).fetchone()
    sum_, value = lay_snapshot(snapshot)
    raw.execute(_PUT_SNAPSHOT, (stream, snapshot.version, snapshot.digest, SNAPSHOT_FORMAT, sum_, value))
    if before is None:
        counts.add(stream, 0, len(value) + SNAPSHOT_BYTES, 1)
    else:
        counts.add(stream, 0, len(value) - before[0])


def _delete_snapshots(raw: sqlite3.Connection, stream: int, first: int, last: int, counts: _Counts) -> int:
    """Returns how many there were."""
    snapshots, size = raw.execute(_GET_SNAPSHOT_COUNT, (stream, first, last)).fetchone()
    if snapshots:
        raw.execute(_DELETE_SNAPSHOTS, (stream, first, last))
        counts.add(stream, 0, -int(size), -snapshots)
    found: int = snapshots
    return found


# --- gaps ------------------------------------------------------------------------------------------------------------


def _put_gap(raw: sqlite3.Connection, gap: Gap, stream: int) -> None:
    near = raw.execute(_GET_GAPS_NEAR, (stream, stream, gap.first, gap.first, gap.last)).fetchall()
    taken = [found for row in near if takes_in(gap, found := Gap(gap.document, gap.branch, *row))]
    raw.executemany(_DELETE_GAP, [(stream, found.first) for found in taken])
    joined = join_gaps(gap, taken)
    place = (stream, joined.first, joined.last)
    (is_held,) = raw.execute(_GET_IS_HELD, place * 2).fetchone()
    raw.execute(_PUT_GAP, (*place, joined.at, joined.digest, joined.position, is_held))
    if gap.position:
        raw.execute("UPDATE streams SET pruned = ? WHERE id = ? AND pruned < ?", (gap.position, stream, gap.position))
        raw.execute("UPDATE archive SET pruned = ? WHERE pruned < ?", (gap.position, gap.position))


def _advance_oldest(raw: sqlite3.Connection) -> None:
    """The oldest row that lies in no gap only ever moves on, so that none is passed over twice."""
    end = read_end(raw)
    found = raw.execute(_GET_OLDEST, (end.oldest,)).fetchone()
    raw.execute("UPDATE archive SET oldest = ?", (end.next if found is None else found[0],))


def sweep(raw: sqlite3.Connection, rows_max: int) -> int:
    """As `Archive.sweep`."""
    counts = _Counts()
    gone = 0
    left = max(1, rows_max)
    while left > 0 and (gap := raw.execute(_GET_SOME_HELD).fetchone()) is not None:
        stream, first, last = gap
        rows, snapshots, is_done = _sweep_gap(raw, stream, first, last, left, counts)
        if is_done:
            raw.execute("UPDATE gaps SET held = 0 WHERE stream = ? AND first = ?", (stream, first))
        gone += rows + snapshots
        left -= rows
    counts.put(raw)
    return gone


def _sweep_gap(
    raw: sqlite3.Connection, stream: int, first: int, last: int, rows_max: int, counts: _Counts
) -> tuple[int, int, bool]:
    """Rows and snapshots that went, and whether those were all of the gap."""
    rows = raw.execute(_GET_SWEPT, (stream, first, last, rows_max)).fetchall()
    is_done = len(rows) < rows_max
    reached = last if is_done else rows[-1][0]
    if rows:
        raw.execute(_DELETE_EVENTS, (stream, first, reached))
        counts.add(stream, -len(rows), -sum(row[1] for row in rows))
    for version, _, said in rows:
        if said is not None:
            _delete_tags(raw, stream, version, said)
    return len(rows), _delete_snapshots(raw, stream, first, reached, counts), is_done
