"""Which versions lie in a gap, for who reads the archive's tables.

What lies in a gap may still be there, until it is swept, and is not to be shown. Only gaps that still hold something are asked for
on the way of a read: `gaps_held` is an index of those alone, and mostly empty.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

NOT_HELD = (
    "ifnull((SELECT g.last FROM gaps g WHERE g.held AND g.stream = e.stream AND g.first <= e.version"
    " ORDER BY g.first DESC LIMIT 1), 0) < e.version"
)
"""Whether the event e lies in no gap; where it lies in one that is swept, it is not there."""

_GET_GAP_BEFORE = "SELECT last FROM gaps WHERE stream = ? AND first <= ? ORDER BY first DESC LIMIT 1"
_GET_HELD = (
    "SELECT first, last FROM gaps WHERE held AND stream = ? AND first >= ifnull((SELECT max(first) FROM gaps"
    " WHERE held AND stream = ? AND first <= ?), ?) AND first <= ? ORDER BY first"
)
_GET_HELD_BACK = "SELECT first, last FROM gaps WHERE held AND stream = ? AND first <= ? ORDER BY first DESC"


def last_before(raw: sqlite3.Connection, number: int | None, version: int) -> int:
    """Where the last gap that begins at version or before it ends, swept or not; 0: there is none. From version on: it lies in
    that gap."""
    gap = raw.execute(_GET_GAP_BEFORE, (number, version)).fetchone()
    return 0 if gap is None else int(gap[0])


def kept(raw: sqlite3.Connection, number: int, first: int, last: int) -> Iterator[tuple[int, int]]:
    """What of versions first..last lies in no gap that still holds rows: ranges, rising."""
    start = first
    for gap_first, gap_last in raw.execute(_GET_HELD, (number, number, first, first, last)):
        if gap_first > start:
            yield start, gap_first - 1
        start = max(start, gap_last + 1)
    if start <= last:
        yield start, last


def kept_back(raw: sqlite3.Connection, number: int, first: int, last: int) -> Iterator[tuple[int, int]]:
    """As `kept`, falling."""
    end = last
    for gap_first, gap_last in raw.execute(_GET_HELD_BACK, (number, last)):
        if gap_last < first:
            break
        if gap_last < end:
            yield gap_last + 1, end
        end = min(end, gap_first - 1)
    if first <= end:
        yield first, end


def held_around(raw: sqlite3.Connection, number: int, version: int) -> int | None:
    """The first version of the gap that holds this one; None where it lies in none."""
    gap = raw.execute(f"{_GET_HELD_BACK} LIMIT 1", (number, version)).fetchone()
    return gap[0] if gap is not None and gap[1] >= version else None
