"""Where the archive's tables contradict each other, which the contract has no way to show."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

from palimpsest.storage.archive_gaps import NOT_HELD
from palimpsest.storage.archive_rows import EVENT_BYTES, SNAPSHOT_BYTES

_COUNTS = (
    "SELECT s.document, s.branch, s.events, s.bytes, s.snapshots, ifnull(e.events, 0),"
    " ifnull(e.bytes, 0) + ifnull(n.bytes, 0), ifnull(n.snapshots, 0) FROM streams s"
    f" LEFT JOIN (SELECT stream, count(*) AS events, sum({EVENT_BYTES}) AS bytes FROM events GROUP BY stream) e"
    " ON e.stream = s.id"
    f" LEFT JOIN (SELECT stream, count(*) AS snapshots, sum(length(value) + {SNAPSHOT_BYTES}) AS bytes FROM snapshots"
    " GROUP BY stream) n ON n.stream = s.id"
)
_GAPS = (
    "SELECT s.document, s.branch, g.first, g.last FROM gaps g JOIN streams s ON s.id = g.stream WHERE NOT g.held AND ("
    "EXISTS (SELECT 1 FROM events e WHERE e.stream = g.stream AND e.version BETWEEN g.first AND g.last) OR "
    "EXISTS (SELECT 1 FROM snapshots n WHERE n.stream = g.stream AND n.version BETWEEN g.first AND g.last))"
)
_PRUNED = (
    "SELECT s.document, s.branch FROM streams s"
    " WHERE s.pruned <> ifnull((SELECT max(g.position) FROM gaps g WHERE g.stream = s.id), 0)"
)
_OLDEST = f"SELECT (SELECT oldest FROM archive), ifnull((SELECT min(e.position) FROM events e WHERE {NOT_HELD}), next) FROM archive"
_TAGS = (
    "SELECT s.document, s.branch, t.version FROM tags t JOIN streams s ON s.id = t.stream"
    " WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.stream = t.stream AND e.version = t.version)"
)


def find_contradictions(raw: sqlite3.Connection) -> list[str]:
    """Findings, as sentences. Reads every table."""
    checks: tuple[Callable[[sqlite3.Connection], Iterator[str]], ...] = (_counts, _gaps, _oldest, _tags)
    return [finding for check in checks for finding in check(raw)]


def _counts(raw: sqlite3.Connection) -> Iterator[str]:
    for document, branch, *rest in raw.execute(_COUNTS):
        if rest[:3] != rest[3:]:
            yield f"the counters of {document} ({branch}) are {rest[:3]}, and {rest[3:]} are there"


def _gaps(raw: sqlite3.Connection) -> Iterator[str]:
    for document, branch, first, last in raw.execute(_GAPS):
        yield f"the gap at versions {first} to {last} of {document} ({branch}) says that it is swept, and it is not"
    for document, branch in raw.execute(_PRUNED):
        yield f"the gaps of {document} ({branch}) reach to another position than their stream says"


def _oldest(raw: sqlite3.Connection) -> Iterator[str]:
    said, found = raw.execute(_OLDEST).fetchone()
    if said != found:
        yield f"the oldest event that is kept is said to be at position {said}, and it is at {found}"


def _tags(raw: sqlite3.Connection) -> Iterator[str]:
    for document, branch, version in raw.execute(_TAGS):
        yield f"version {version} of {document} ({branch}) has a tag, and is not there"
