"""What tests of storage are made from: events, chained batches, and the steps of an archiver that needs to know no values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw

from palimpsest.storage.contracts import Archive, Gap, Head, Journal, JournalEnd, Row, Snapshot, Step, Stream
from palimpsest.storage.events import (
    GENESIS,
    SALT_BYTES,
    Batch,
    Event,
    chain_digest,
    check_bytes,
    commitment,
    encode_events,
    event_salt,
    link,
)
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


SALT = bytes(range(SALT_BYTES))


def chain(groups: Iterable[Sequence[Event]], end: JournalEnd = START) -> list[Batch]:
    """A batch of each group, chained to the end."""
    position, digest, batches = end.next, end.digest, []
    for events in groups:
        body = encode_events(events, SALT)
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
    """Archives events in steps, with a snapshot of every `snapshot_versions` versions; prunes and erases as an archiver would.

    It knows no values: a snapshot's says of which version it is. It keeps all that it ever fed, to make steps from.
    """

    def __init__(self, archive: Archive, snapshot_versions: int = 4) -> None:
        self.archive = archive
        self.heads: dict[Stream, Head] = {}
        self.rows: dict[Stream, dict[int, Row]] = {}
        self.digests: dict[Stream, dict[int, bytes]] = {}
        self.snapshots: dict[Stream, set[int]] = {}
        """Versions that have one."""
        self._snapshot_versions = snapshot_versions
        self._next = 1

    async def write(self, *events: Event) -> None:
        await self.archive.write(self.step(*events))

    def step(self, *events: Event) -> Step:
        """The step that is to be written next."""
        rows: list[Row] = []
        snapshots: list[Snapshot] = []
        touched: dict[Stream, Head] = {}
        gaps: list[Gap] = []
        for position, found in enumerate(events, self._next):
            stream = (found.document, found.branch)
            before = self.heads.get(stream)
            digests = self.digests.setdefault(stream, {0: GENESIS})
            gaps += self._left_out(before, found, digests)
            salt = event_salt(SALT, position)
            digest = digests[found.version] = link(digests[found.version - 1], commitment(salt, found))
            row = Row(position, found, salt, check_bytes(digest))
            rows.append(row)
            self.rows.setdefault(stream, {})[found.version] = row
            head, snapshot = self._advance(before, row, digest)
            self.heads[stream] = touched[stream] = head
            snapshots += [snapshot] if snapshot is not None else []
        self._next += len(rows)
        return self._step(rows=rows, snapshots=snapshots, heads=list(touched.values()), gaps=gaps)

    def pruning(self, document: str, first: int, last: int, branch: str = "main") -> Step:
        """The step that leaves versions first..last out, all kept until now; last is not the newest."""
        stream = (document, branch)
        rows = [row for version, row in self.rows[stream].items() if first <= version <= last]
        for row in rows:
            del self.rows[stream][row.event.version]
        digest = self.digests[stream][last]
        gap = Gap(document, branch, first, last, rows[0].event.at, digest, rows[-1].position)
        self.snapshots[stream] -= set(range(first, last + 1))
        snapshots = [] if last + 1 in self.snapshots[stream] else [self._snapshot(stream, last + 1)]
        return self._step(snapshots=snapshots, heads=[self._head_again(stream)], gaps=[gap])

    def erasing(self, document: str, first: int, last: int, branch: str = "main") -> Step:
        """The step that takes something out of versions first..last, all kept, and makes the stream's snapshots anew."""
        stream = (document, branch)
        rewrites = [self._redacted(stream, version) for version in range(first, last + 1)]
        self.rows[stream].update((row.event.version, row) for row in rewrites)
        snapshots = [self._snapshot(stream, version) for version in sorted(self.snapshots[stream])]
        return self._step(snapshots=snapshots, heads=[self._head_again(stream)], rewrites=rewrites, forget=[stream])

    # --- inside --------------------------------------------------------------------------------------------------

    def _step(self, **fields: Sequence[object]) -> Step:
        given: dict[str, object] = {"rows": [], "snapshots": [], "heads": []}
        return Step(**(given | fields), next=self._next, digest=self._next.to_bytes(32, "big"))  # type: ignore[arg-type]

    def _left_out(self, before: Head | None, found: Event, digests: dict[int, bytes]) -> list[Gap]:
        """What an import left out before an event."""
        newest, at = (0, -1) if before is None else (before.version, before.at)
        if found.version == newest + 1:
            return []
        digests[found.version - 1] = digest = digests[newest]
        return [Gap(found.document, found.branch, newest + 1, found.version - 1, at + 1, digest, 0)]

    def _redacted(self, stream: Stream, version: int) -> Row:
        row = self.rows[stream][version]
        left = msgspec.structs.replace(row.event, delta=delta("erased"))
        committed = commitment(row.salt, row.event) if row.committed is None else row.committed
        return Row(row.position, left, b"", check_bytes(self.digests[stream][version], left), committed)

    def _snapshot(self, stream: Stream, version: int) -> Snapshot:
        self.snapshots[stream].add(version)
        return Snapshot(*stream, version, f"value {version}".encode(), self.digests[stream][version])

    def _head_again(self, stream: Stream) -> Head:
        newest = max(self.snapshots[stream], default=0)
        after = [delta_bytes(row.event) for version, row in self.rows[stream].items() if version > newest]
        size = len(f"value {newest}") if newest else 0
        head = msgspec.structs.replace(self.heads[stream], snapshot=newest, snapshot_bytes=size, since_bytes=sum(after))
        self.heads[stream] = head
        return head

    def _advance(self, before: Head | None, row: Row, digest: bytes) -> tuple[Head, Snapshot | None]:
        found = row.event
        stream = (found.document, found.branch)
        versions = self.snapshots.setdefault(stream, set())
        head = Head(*stream, found.version, row.position, found.kind, found.at, digest=digest)
        if found.version % self._snapshot_versions == 0:
            snapshot = self._snapshot(stream, found.version)
            return msgspec.structs.replace(head, snapshot=found.version, snapshot_bytes=len(snapshot.value)), snapshot
        since_bytes = delta_bytes(found) + (before.since_bytes if before else 0)
        newest = max(versions, default=0)
        size = before.snapshot_bytes if before else 0
        return msgspec.structs.replace(head, snapshot=newest, snapshot_bytes=size, since_bytes=since_bytes), None
