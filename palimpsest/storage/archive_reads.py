"""What is asked of the archive's tables. Each function here is one look at one state of the file, on the reader's thread.
Nothing here shows what lies in a gap, whether it is swept or not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.archive_gaps import NOT_HELD, held_around, kept, kept_back, last_before
from palimpsest.storage.archive_rows import EVENT, request_column, row_of, snapshot_value
from palimpsest.storage.contracts import ArchiveEnd, Gap, Head, Row, Snapshot, Stream, Stretch, Usage
from palimpsest.storage.rules import name_of, within_bytes
from palimpsest.storage.sqlite import INTEGER_MAX
from palimpsest.words import Kind

_HEAD = "document, branch, version, position, kind, at, snapshot, snapshot_bytes, since_bytes, digest"
_USAGE = "document, branch, version, kind, events, bytes, snapshots"
_FROM = "FROM streams WHERE branch = ? AND document >= ? ORDER BY document LIMIT ?"
_AFTER = "FROM streams WHERE branch = ? AND document > ? ORDER BY document LIMIT ?"
_GET_HEAD = f"SELECT id, {_HEAD} FROM streams WHERE branch = ? AND document = ?"
_GET_NAMES_FROM = f"SELECT {_HEAD} {_FROM}"
_GET_NAMES_AFTER = f"SELECT {_HEAD} {_AFTER}"
_GET_USAGE_FROM = f"SELECT {_USAGE} {_FROM}"
_GET_USAGE_AFTER = f"SELECT {_USAGE} {_AFTER}"
_GET_WALK = f"SELECT {_HEAD} FROM streams WHERE (branch, document) > (?, ?) ORDER BY branch, document LIMIT ?"
_GET_COMPACTED = "SELECT document, pruned FROM streams WHERE branch = ? AND document >= ? AND pruned > 0 AND pruned >= ? ORDER BY document"

_GET_POSITIONS = f"{EVENT} WHERE e.position >= ? AND {NOT_HELD} ORDER BY e.position LIMIT ?"
_GET_VERSIONS = f"{EVENT} WHERE e.stream = ? AND e.version BETWEEN ? AND ? ORDER BY e.version LIMIT ?"
_GET_VERSIONS_BACK = f"{EVENT} WHERE e.stream = ? AND e.version BETWEEN ? AND ? ORDER BY e.version DESC LIMIT ?"
_GET_KEY = f"{EVENT} WHERE e.key = ? AND e.stream = ? AND {NOT_HELD} ORDER BY e.position LIMIT 1"
_GET_REQUEST = (
    f"{EVENT} WHERE e.origin = (SELECT id FROM origins WHERE name = ?) AND e.request = ? AND e.stream = ?"
    f" AND e.key IS NULL AND {NOT_HELD} ORDER BY e.position LIMIT 1"
)
_GET_AT = "SELECT version, at FROM events WHERE stream = ? AND version <= ? ORDER BY version DESC LIMIT 1"
_GET_TAG = "SELECT version FROM tags WHERE stream = ? AND tag = ? AND version <= ? ORDER BY version DESC LIMIT 1"
_GET_TAGS = "SELECT version, tag FROM tags WHERE stream = ? AND version <= ?"
_GET_GAPS = "SELECT first, last, at, digest, position FROM gaps WHERE stream = ? ORDER BY first"
_GET_SNAPSHOTS_BACK = "SELECT version, value, digest, sum FROM snapshots WHERE stream = ? AND version BETWEEN ? AND ? ORDER BY version DESC"
_GET_SNAPSHOTS = "SELECT version, value, digest, sum FROM snapshots WHERE stream = ? AND version >= ? ORDER BY version"
_GET_ALL_SNAPSHOTS = (
    "SELECT n.id, n.stream, s.document, s.branch, n.version, n.format, n.sum, n.value FROM snapshots n"
    " JOIN streams s ON s.id = n.stream WHERE n.id > ? ORDER BY n.id LIMIT ?"
)

_KINDS_FROM_NOTHING = {int(Kind.CREATE), int(Kind.DELETE)}
"""After these a value is known without one from before."""


def fit(number: int) -> int:
    """number, or the one nearest to it that SQLite has."""
    return max(-INTEGER_MAX, min(number, INTEGER_MAX))


def read_epoch(raw: sqlite3.Connection) -> str | None:
    epoch: str | None = raw.execute("SELECT epoch FROM archive").fetchone()[0]
    return epoch


def read_end(raw: sqlite3.Connection) -> ArchiveEnd:
    return ArchiveEnd(*raw.execute("SELECT oldest, next, digest, pruned FROM archive").fetchone())


# --- many streams ----------------------------------------------------------------------------------------------------


def get_head(raw: sqlite3.Connection, stream: Stream) -> tuple[int | None, Head | None]:
    """The stream's id and its head; None and None where there is no such stream."""
    document, branch = stream
    row = raw.execute(_GET_HEAD, (branch, document)).fetchone()
    return (None, None) if row is None else (row[0], Head(*row[1:]))


def get_names(raw: sqlite3.Connection, branch: str, prefix: str, after: str, limit: int) -> list[Head]:
    query, start = (_GET_NAMES_AFTER, after) if after >= prefix else (_GET_NAMES_FROM, prefix)
    return [Head(*row) for row in _with_prefix(raw.execute(query, (branch, start, fit(max(0, limit)))), prefix)]


def get_usage(raw: sqlite3.Connection, branch: str, prefix: str, after: str, limit: int) -> list[Usage]:
    query, start = (_GET_USAGE_AFTER, after) if after >= prefix else (_GET_USAGE_FROM, prefix)
    return [Usage(*row) for row in _with_prefix(raw.execute(query, (branch, start, fit(max(0, limit)))), prefix)]


def get_walk(raw: sqlite3.Connection, after: Stream | None, limit: int) -> list[Head]:
    document, branch = ("", "") if after is None else after
    return [Head(*row) for row in raw.execute(_GET_WALK, (branch, document, fit(max(0, limit))))]


def get_compacted(raw: sqlite3.Connection, branch: str, prefix: str, position: int) -> list[tuple[str, int]]:
    return list(_with_prefix(raw.execute(_GET_COMPACTED, (branch, prefix, fit(position))), prefix))


def _with_prefix(found: Iterable[tuple[Any, ...]], prefix: str) -> Iterator[Any]:
    """found: by name, which comes first, and from prefix on."""
    for row in found:
        if not row[0].startswith(prefix):
            return
        yield row


def get_positions(raw: sqlite3.Connection, position: int, rows_max: int, bytes_max: int) -> list[Row]:
    # What is older than the oldest lies in gaps, perhaps much of it, and need not be passed over one by one.
    start = max(fit(position), read_end(raw).oldest)
    return within_bytes(_decoded(raw.execute(_GET_POSITIONS, (start, fit(max(1, rows_max))))), bytes_max)


# --- one stream ------------------------------------------------------------------------------------------------------


def get_stretch(raw: sqlite3.Connection, stream: Stream, version: int | None) -> Stretch | None:
    """version: None for the newest. Raises StoreCorrupt where it cannot be built any more."""
    number, head = get_head(raw, stream)
    if head is None:
        return None
    wanted = head.version if version is None else version
    if not 1 <= wanted <= head.version:
        return None
    after_gap = last_before(raw, number, wanted) + 1
    if after_gap > wanted:
        return None
    snapshot, damaged = _newest_sound(raw, number, stream, after_gap, wanted)
    first = after_gap if snapshot is None else snapshot.version
    rows = _rows(raw.execute(_GET_VERSIONS, (number, first, wanted, INTEGER_MAX)))
    if len(rows) != wanted - first + 1:
        raise _unbuildable(stream, wanted, f"of versions {first} to {wanted} some are missing")
    if snapshot is None and first > 1 and damaged == first and rows[0].event.kind not in _KINDS_FROM_NOTHING:
        raise _unbuildable(
            stream, wanted, f"the snapshot at version {first} is damaged, and what came before is not kept"
        )
    return Stretch(head, snapshot, rows)


def _newest_sound(
    raw: sqlite3.Connection, number: int | None, stream: Stream, first: int, last: int
) -> tuple[Snapshot | None, int]:
    """The newest snapshot of versions first..last that is sound, and the version of the oldest one that was passed over."""
    damaged = 0
    for version, packed, digest, sum_ in raw.execute(_GET_SNAPSHOTS_BACK, (number, first, last)):
        value = snapshot_value(sum_, packed)
        if value is not None:
            return Snapshot(*stream, version, value, digest), damaged
        damaged = version
    return None, damaged


def _unbuildable(stream: Stream, version: int, why: str) -> StoreCorrupt:
    reason = f"version {version} of {stream[0]} ({stream[1]}) cannot be built: {why}"
    return StoreCorrupt(reason, reason=reason)


def get_history(
    raw: sqlite3.Connection, stream: Stream, first: int, last: int, newest_first: bool, limit: int
) -> list[Row]:
    number, _ = get_head(raw, stream)
    if number is None:
        return []
    query, ranges = (_GET_VERSIONS_BACK, kept_back) if newest_first else (_GET_VERSIONS, kept)
    found: list[Row] = []
    for low, high in ranges(raw, number, fit(first), fit(last)):
        if len(found) >= limit:
            break
        found += _rows(raw.execute(query, (number, low, high, fit(limit - len(found)))))
    return found


def get_time(raw: sqlite3.Connection, stream: Stream, at: int) -> Row | None:
    """A binary search: times rise with versions."""
    number, head = get_head(raw, stream)
    if number is None or head is None:
        return None
    # Whatever is kept up to `low` is old enough; whatever is kept beyond `high` is not.
    low, high = 0, head.version
    while low < high:
        middle = (low + high + 1) // 2
        found = _newest(raw, number, middle)
        if found is None or found[1] <= at:
            low = middle
        else:
            high = found[0] - 1
    found = _newest(raw, number, low)
    if found is None:
        return None
    return _rows(raw.execute(_GET_VERSIONS, (number, found[0], found[0], 1)))[0]


def _newest(raw: sqlite3.Connection, number: int, last: int) -> tuple[int, int] | None:
    """The newest version that is kept, `last` or older, and its time."""
    while found := raw.execute(_GET_AT, (number, last)).fetchone():
        version, at = found
        gap = held_around(raw, number, version)
        if gap is None:
            return version, at
        last = gap - 1
    return None


def get_tag(raw: sqlite3.Connection, stream: Stream, tag: str, last: int) -> int | None:
    number, _ = get_head(raw, stream)
    while number is not None and (found := raw.execute(_GET_TAG, (number, tag, fit(last))).fetchone()):
        version: int = found[0]
        gap = held_around(raw, number, version)
        if gap is None:
            return version
        last = gap - 1
    return None


def get_tagged(raw: sqlite3.Connection, stream: Stream, last: int) -> list[tuple[int, tuple[str, ...]]]:
    number, _ = get_head(raw, stream)
    if number is None:
        return []
    found: dict[int, list[str]] = {}
    for version, tag in raw.execute(_GET_TAGS, (number, fit(last))):
        found.setdefault(version, []).append(tag)
    ranges = kept(raw, number, 1, max(found, default=0))
    low, high = next(ranges, (0, 0))
    tagged: list[tuple[int, tuple[str, ...]]] = []
    for version in sorted(found):
        while version > high:
            low, high = next(ranges, (INTEGER_MAX, INTEGER_MAX))
        if version >= low:
            tagged.append((version, tuple(sorted(found[version]))))
    return tagged


def get_gaps(raw: sqlite3.Connection, stream: Stream) -> list[Gap]:
    number, _ = get_head(raw, stream)
    return [Gap(*stream, *row) for row in raw.execute(_GET_GAPS, (number,))]


def get_request(raw: sqlite3.Connection, stream: Stream, origin: str, request: int, key: str | None) -> Row | None:
    number, _ = get_head(raw, stream)
    if key is not None:
        found = raw.execute(_GET_KEY, (key, number))
    else:
        found = raw.execute(_GET_REQUEST, (origin, request_column(request), number))
    return next(iter(_rows(found)), None)


def _rows(found: Iterable[tuple[Any, ...]]) -> list[Row]:
    return list(_decoded(found))


def _decoded(found: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
    row: Row | None = None
    try:
        for columns in found:
            yield (row := row_of(columns))
    except sqlite3.OperationalError as error:
        # Special case: bytes that damage has turned into text, and are none. Where they are is not said.
        place = "the first one asked for" if row is None else f"the one behind {name_of(row)}"
        reason = f"an event does not decode, {place}: {error}"
        raise StoreCorrupt(reason, reason=reason) from error


# --- snapshots -------------------------------------------------------------------------------------------------------


def get_snapshots(raw: sqlite3.Connection, stream: Stream, first: int, limit: int) -> list[Snapshot]:
    number, head = get_head(raw, stream)
    found: list[Snapshot] = []
    if number is None or head is None:
        return found
    for version, value, digest, sum_ in raw.execute(_GET_SNAPSHOTS, (number, fit(first))):
        if len(found) >= limit:
            break
        if last_before(raw, number, version) < version:
            found.append(Snapshot(*stream, version, snapshot_value(sum_, value) or b"", digest))
    return found


def inspect_snapshots(
    raw: sqlite3.Connection, after: int, limit: int, format_: int
) -> tuple[int, list[tuple[str, str, int]]]:
    """As in the contract; format_: the oldest that is not too old."""
    found: list[tuple[str, str, int]] = []
    seen = 0
    for id_, stream, document, branch, version, made_as, sum_, value in raw.execute(
        _GET_ALL_SNAPSHOTS, (fit(after), fit(max(1, limit)))
    ):
        after, seen = id_, seen + 1
        sound = made_as >= format_ and snapshot_value(sum_, value) is not None
        if not sound and last_before(raw, stream, version) < version:
            found.append((document, branch, version))
    return (after if seen == max(1, limit) else 0), found
