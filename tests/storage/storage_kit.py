"""What tests of storage are made from: events, chained batches, and the steps of an archiver that needs to know no values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw

from palimpsest.storage.contracts import Archive, Head, Journal, JournalEnd, Row, Snapshot, Step, Stream
from palimpsest.storage.events import GENESIS, Batch, Event, chain_digest, encode_events
from palimpsest.storage.rules import delta_bytes
from palimpsest.words import Kind

START = JournalEnd(oldest=1, next=1, digest=GENESIS)


def delta(value: object = 1) -> Raw:
    return Raw(msgspec.msgpack.encode([[0, ["field"], value]]))


def event(document: str = "notes/1", version: int = 1, **fields: object) -> Event:
    """An event whose fields are all different from their defaults' where that matters; `fields` replaces some."""
    values: dict[str, object] = {
        "document": document,
        "branch": "main",
        "version": version,
        "kind": int(Kind.CREATE if version == 1 else Kind.UPDATE),
        "at": 1_600_000_000_000_000 + version,
        "delta": delta(version),
        "origin": "client",
        "request": version,
    }
    return Event(**(values | fields))  # type: ignore[arg-type]


def versions(document: str, first: int, last: int, **fields: object) -> list[Event]:
    return [event(document, version, **fields) for version in range(first, last + 1)]


def chain(groups: Iterable[Sequence[Event]], end: JournalEnd = START) -> list[Batch]:
    """A batch of each group, chained to the end."""
    position, digest, batches = end.next, end.digest, []
    for events in groups:
        body = encode_events(events)
        digest = chain_digest(digest, position, len(events), body)
        batches.append(Batch(position, len(events), digest, body))
        position += len(events)
    return batches


async def append(journal: Journal, *groups: Sequence[Event]) -> list[Batch]:
    batches = chain(groups, await journal.end())
    for batch in batches:
        await journal.append(batch)
    return batches


async def read_all(journal: Journal) -> list[Batch]:
    return await journal.read((await journal.end()).oldest, bytes_max=2**60)


class Feeder:
    """Archives events in steps, with a snapshot of every `snapshot_versions` versions."""

    def __init__(self, archive: Archive, snapshot_versions: int = 4) -> None:
        self.archive = archive
        self._snapshot_versions = snapshot_versions
        self._next = 1
        self._heads: dict[Stream, Head] = {}

    async def write(self, *events: Event) -> None:
        await self.archive.write(self.step(*events))

    def step(self, *events: Event) -> Step:
        """The step that is to be written next."""
        rows = [Row(position, found) for position, found in enumerate(events, self._next)]
        snapshots: list[Snapshot] = []
        touched: dict[Stream, Head] = {}
        for row in rows:
            stream = (row.event.document, row.event.branch)
            head, snapshot = self._advance(self._heads.get(stream), row)
            self._heads[stream] = touched[stream] = head
            snapshots += [snapshot] if snapshot is not None else []
        self._next += len(rows)
        return Step(rows, snapshots, list(touched.values()), self._next, self._next.to_bytes(32, "big"))

    def _advance(self, before: Head | None, row: Row) -> tuple[Head, Snapshot | None]:
        found = row.event
        head = Head(found.document, found.branch, found.version, row.position, found.kind, found.at)
        if found.version % self._snapshot_versions == 0:
            snapshot = Snapshot(found.document, found.branch, found.version, f"value {found.version}".encode())
            return msgspec.structs.replace(head, snapshot=found.version, snapshot_bytes=len(snapshot.value)), snapshot
        since_bytes = delta_bytes(found) + (before.since_bytes if before else 0)
        kept = (before.snapshot, before.snapshot_bytes) if before else (0, 0)
        return msgspec.structs.replace(head, snapshot=kept[0], snapshot_bytes=kept[1], since_bytes=since_bytes), None
