"""What versions take in the archive's tables, added up in pieces, so that other reads find their turn between them."""

from __future__ import annotations

import sqlite3

import msgspec

from palimpsest.storage.archive_gaps import kept, kept_back
from palimpsest.storage.archive_reads import fit, get_head
from palimpsest.storage.archive_rows import EVENT_BYTES, SNAPSHOT_BYTES
from palimpsest.storage.contracts import Stream

_GET_FIRST = "SELECT min(version) FROM events WHERE stream = ? AND version >= ?"
_GET_WEIGHT = f"SELECT count(*), total({EVENT_BYTES}) FROM events WHERE stream = ? AND version BETWEEN ? AND ?"
_GET_SNAPSHOT_WEIGHT = (
    f"SELECT total(length(value) + {SNAPSHOT_BYTES}) FROM snapshots WHERE stream = ? AND version BETWEEN ? AND ?"
)
_GET_SIZES_BACK = (
    f"SELECT version, {EVENT_BYTES} + ifnull((SELECT length(s.value) + {SNAPSHOT_BYTES} FROM snapshots s"
    " WHERE s.stream = e.stream AND s.version = e.version), 0)"
    " FROM events e WHERE stream = ? AND version BETWEEN ? AND ? ORDER BY version DESC"
)


def weigh_piece(
    raw: sqlite3.Connection, stream: Stream, first: int, last: int, versions_max: int
) -> tuple[int, int, int | None]:
    """Events, bytes, and the version to go on from: None at the end."""
    number, head = get_head(raw, stream)
    last = fit(last) if head is None else min(last, head.version)
    start = None if number is None else raw.execute(_GET_FIRST, (number, fit(first))).fetchone()[0]
    if number is None or start is None or start > last:
        return 0, 0, None
    high = min(last, start + versions_max - 1)
    events = size = 0
    for piece in kept(raw, number, start, high):
        some, some_bytes = raw.execute(_GET_WEIGHT, (number, *piece)).fetchone()
        (snapshot_bytes,) = raw.execute(_GET_SNAPSHOT_WEIGHT, (number, *piece)).fetchone()
        events, size = events + some, size + int(some_bytes) + int(snapshot_bytes)
    return events, size, None if high == last else high + 1


class Reached(msgspec.Struct, frozen=True):
    """version: the oldest that is reached, 0 for none; bytes: from there on; goes_on: whether older ones may be reached, too."""

    version: int
    bytes: int
    goes_on: bool


def reach_piece(
    raw: sqlite3.Connection, stream: Stream, last: int, bytes_max: int, newest: bool, versions_max: int
) -> Reached:
    """Looks at versions_max of the versions up to `last`. newest: whether the first of them is reached whatever it takes."""
    number, head = get_head(raw, stream)
    if number is None or head is None:
        return Reached(0, 0, False)
    reached = size = seen = 0
    for low, high in kept_back(raw, number, 1, min(last, head.version)):
        for version, more in raw.execute(_GET_SIZES_BACK, (number, low, high)):
            if size + more > bytes_max and (reached or not newest):
                return Reached(reached, size, False)
            reached, size, seen = version, size + more, seen + 1
            if seen == versions_max:
                return Reached(reached, size, True)
    return Reached(reached, size, False)
