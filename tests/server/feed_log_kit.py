"""What a store's files say happened, read without a server, to hold against what subscribers were told."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

import palimpsest as pal
from palimpsest.storage.checking import check_archive, check_journal
from palimpsest.storage.contracts import Archive, Journal, Row
from palimpsest.storage.events import decode_events
from palimpsest.storage.sqlite_archive import SqliteArchive
from palimpsest.storage.sqlite_journal import SqliteJournal

_STEP_ROWS = 5_000
_STEP_BYTES = 4 * 1024 * 1024

_encode = msgspec.msgpack.Encoder(order="sorted").encode


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscription asks for. Its fields are those of `subscribe`."""

    pattern: str = "**"
    branch: str = "main"
    values: bool = False
    tags: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    by: str | None = None
    path: str | None = None
    kinds: tuple[pal.Kind, ...] = ()
    policy: str = "all"

    def concerns(self, entry: Entry) -> bool:
        """Whether the entry is of what is followed, met by the conditions or not."""
        return entry.branch == self.branch and _is_match(self.pattern, entry.document)

    def wants(self, entry: Entry) -> bool:
        tags = entry.tags
        return (
            self.concerns(entry)
            and (not self.tags or any(tag in tags for tag in self.tags))
            and all(tag in tags for tag in self.tags_all)
            and (self.by is None or self.by == entry.by)
            and (not self.kinds or entry.kind in self.kinds)
            and (self.path is None or any(_meet(path, self.path) for path in entry.paths))
        )


@cache
def _is_match(pattern: str, document: str) -> bool:
    expression = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, document) is not None


def _meet(path: str, other: str) -> bool:
    """Whether one of them is inside the other, or the same."""
    return path == "" or path == other or path.startswith(f"{other}.") or other.startswith(f"{path}.")


class Entry:
    """One event of the log. value_hash: of the value after it, by `hash_of_value`."""

    __slots__ = (
        "at",
        "branch",
        "by",
        "delta_hash",
        "description",
        "digest",
        "document",
        "kind",
        "more",
        "paths",
        "position",
        "tags",
        "value_hash",
        "version",
    )

    def __init__(self, row: Row) -> None:
        event = row.event
        delta = pal.Delta.decode(event.delta)
        self.position = row.position
        self.document, self.branch, self.version = event.document, event.branch, event.version
        self.kind = pal.Kind(event.kind)
        self.at = event.at
        self.more = event.more
        self.by = None if event.meta is None else event.meta.by
        self.description = None if event.meta is None else event.meta.description
        self.tags = frozenset(() if event.meta is None else event.meta.tags)
        self.paths = tuple(".".join(map(str, op.path)) for op in delta.ops)
        self.delta_hash = hash(delta)
        self.digest = digest_of(self, delta)
        self.value_hash = 0

    def __repr__(self) -> str:
        return f"{self.position}: {self.kind.name} {self.document} {self.branch}:{self.version} by {self.by} {sorted(self.tags)}"


def digest_of(it: Any, delta: pal.Delta) -> int:
    """Of what a change and an event of the log have in common."""
    said = (it.document, it.branch, it.version, int(it.kind), it.by, it.tags, it.more)
    return hash((said, delta))


def hash_of_value(value: Any) -> int:
    return hash(_encode(value))


class Log:
    """All events of a store that no server has open. versions: by document, branch and number."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.entries: list[Entry] = []
        self.versions: dict[tuple[str, str, int], Entry] = {}
        values: dict[tuple[str, str], Any] = {}
        starts: dict[tuple[str, str, int], Any] = {}
        bases = {row.event.parents.base for row in rows if row.event.parents and row.event.parents.base}
        for row in rows:
            event, entry = row.event, Entry(row)
            stream = (event.document, event.branch)
            base = None if event.parents is None else event.parents.base
            before = values.get(stream) if base is None else starts[event.document, *base]
            value = None if entry.kind is pal.Kind.DELETE else pal.Delta.decode(event.delta).apply(before)
            values[stream] = value
            if (event.branch, event.version) in bases:
                starts[event.document, event.branch, event.version] = value
            entry.value_hash = hash_of_value(value)
            self.entries.append(entry)
            self.versions[event.document, event.branch, event.version] = entry

    @classmethod
    async def read(cls, path: Path) -> Log:
        """Raises AssertionError where the store is not whole."""
        journal, archive = SqliteJournal(path), SqliteArchive(path)
        await journal.open()
        await archive.open(epoch=journal.epoch)
        try:
            assert await check_journal(journal) == []
            assert await check_archive(archive, journal) == []
            rows = await _rows(journal, archive)
        finally:
            await archive.close()
            await journal.close()
        assert [row.position for row in rows] == list(range(1, len(rows) + 1))
        return cls(rows)

    @property
    def end(self) -> int:
        """The position of the last entry."""
        return self.entries[-1].position

    def wanted(self, spec: Spec, after: int) -> Iterator[Entry]:
        return (entry for entry in self.entries[after:] if spec.wants(entry))

    def newest(self, spec: Spec, after: int) -> dict[str, Entry]:
        """Of each document, the last that is wanted."""
        return {entry.document: entry for entry in self.wanted(spec, after)}


async def _rows(journal: Journal, archive: Archive) -> list[Row]:
    rows: list[Row] = []
    oldest = (await journal.end()).oldest
    position = 1
    while position < oldest and (found := await archive.read(position, rows_max=_STEP_ROWS, bytes_max=_STEP_BYTES)):
        rows += (row for row in found if row.position < oldest)
        position = found[-1].position + 1
    position = oldest
    while batches := await journal.read(position, bytes_max=_STEP_BYTES):
        for batch in batches:
            rows += (Row(place, event) for place, event in enumerate(decode_events(batch.body), batch.position))
        position = batches[-1].position + batches[-1].count
    return rows


class Told:
    """What a subscriber was told, in a few bytes for each change."""

    def __init__(self) -> None:
        self.positions = array("q")
        self.digests = array("q")
        self.value_hashes = array("q")
        """Empty where values were not asked for."""
        self.groups = array("q")
        """How many changes came together; empty where nobody asked for transactions."""

    def add(self, change: Any, position: int, *, values: bool) -> None:
        self.positions.append(position)
        self.digests.append(digest_of(change, change.delta))
        if values:
            self.value_hashes.append(hash_of_value(change.value))


def verify_all(log: Log, spec: Spec, told: Told, expected: list[Entry]) -> None:
    """expected: exactly what should have come."""
    places = [entry.position for entry in expected]
    if told.positions.tolist() != places:
        raise AssertionError(_difference(log, spec, told.positions.tolist(), places))
    assert told.digests.tolist() == [entry.digest for entry in expected]
    if spec.values:
        assert told.value_hashes.tolist() == [entry.value_hash for entry in expected]


def verify_latest(log: Log, spec: Spec, told: Told, after: int) -> None:
    """Some may be left out, of each document any but the last; the rest is as it was, in order."""
    positions = told.positions.tolist()
    assert all(first < second for first, second in pairwise(positions)), "twice, or out of order"
    entries = [log.entries[position - 1] for position in positions]
    assert all(spec.wants(entry) and entry.position > after for entry in entries)
    assert told.digests.tolist() == [entry.digest for entry in entries]
    assert told.value_hashes.tolist() == [entry.value_hash for entry in entries]
    last = {entry.document: entry.position for entry in entries}
    assert last == {name: entry.position for name, entry in log.newest(spec, after).items()}


def verify_groups(log: Log, told: Told) -> None:
    """Transactions came whole, and nothing else came with them."""
    start = 0
    ends = [log.entries[position - 1].position + log.entries[position - 1].more for position in told.positions]
    for count in told.groups:
        assert len(set(ends[start : start + count])) == 1, "changes of two transactions in one list"
        start += count
        assert start == len(ends) or ends[start] != ends[start - 1], "one transaction in two lists"
    assert start == len(ends)


def _difference(log: Log, spec: Spec, told: list[int], expected: list[int]) -> str:
    twice = sorted(position for position, times in Counter(told).items() if times > 1)
    missing = sorted(set(expected) - set(told))
    extra = sorted(set(told) - set(expected))
    order = [second for first, second in pairwise(told) if second <= first]
    named = [repr(log.entries[position - 1]) for position in (missing or extra or twice or order)[:3]]
    return (
        f"{spec}: told {len(told)} of {len(expected)}; {len(missing)} missing {missing[:5]}, {len(extra)} not wanted {extra[:5]}, "
        f"{len(twice)} twice {twice[:5]}, out of order at {order[:5]}; {named}"
    )
