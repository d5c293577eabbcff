"""What the archiver makes of a decision to prune: gaps, and what the versions that stay need so that they can be read.

Read from the archive alone, which has everything that came before the decision; nothing is loaded but tags, gaps, and what lies at the
ends of what goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from palimpsest.actors.chain import digest_at
from palimpsest.actors.stream import Stream
from palimpsest.limits import Limits
from palimpsest.state.lines import needed
from palimpsest.state.ops import decode_delta
from palimpsest.state.record import labels, prune_of
from palimpsest.state.retention import effective_tags, tag_matches
from palimpsest.storage.contracts import Archive, Gap, Head, Row, Snapshot
from palimpsest.storage.events import Event
from palimpsest.words import ERASED, RECORD

RECORD_VERSIONS = 100
"""Of a document's record, the newest so many are kept; it is pruned whenever the document is."""

Range = tuple[int, int]
"""Versions, first and last included."""


class Decision(msgspec.Struct, frozen=True):
    """Versions of a branch up to `until` go, but for those with a tag that matches one of tags."""

    branch: str
    until: int
    tags: Sequence[str]


class Gone(msgspec.Struct, frozen=True):
    """What is added to a step. heads: as the archive has them, with what is new about their snapshots."""

    gaps: Sequence[Gap]
    snapshots: Sequence[Snapshot]
    heads: Sequence[Head]


def decision(event: Event) -> Decision | None:
    """event: of a document's record."""
    found = prune_of(decode_delta(event.delta))
    return None if found is None else Decision(*found)


async def prune(archive: Archive, row: Row, cut: Decision, limits: Limits) -> Gone:
    """row: of the decision; it is the next of its record, and everything else of the document that came before is archived."""
    document = row.event.document
    branch = await _Pruning(archive, document, cut.branch, limits).run(
        cut.until, await _tagged(archive, row, cut, limits)
    )
    record = await _Pruning(archive, document, RECORD, limits).run(row.event.version - RECORD_VERSIONS, set())
    return Gone([*branch.gaps, *record.gaps], [*branch.snapshots, *record.snapshots], [*branch.heads, *record.heads])


async def _tagged(archive: Archive, row: Row, cut: Decision, limits: Limits) -> set[int]:
    """The versions that a tag keeps, a branch, or a merge."""
    document = row.event.document
    record = Stream(document, RECORD, limits)
    (stretch,) = await archive.load([(document, RECORD)])
    if stretch is not None:
        record.load(stretch)
    record.replay(row)
    said = labels(record.value(), cut.branch)
    made_with = dict(await archive.tagged(document, cut.branch, last=cut.until))
    return needed(record.value(), cut.branch) | {
        version
        for version in made_with.keys() | said.keys()
        if ERASED in made_with.get(version, ())
        or tag_matches(cut.tags, effective_tags(made_with.get(version, ()), said.get(version, {})))
    }


class _Pruning:
    """Of one stream."""

    def __init__(self, archive: Archive, document: str, branch: str, limits: Limits) -> None:
        self._archive = archive
        self._name = (document, branch)
        self._limits = limits

    async def run(self, until: int, kept: set[int]) -> Gone:
        (head,) = await self._archive.heads([self._name])
        if head is None or (until := min(until, head.version - 1)) < 1:
            return Gone((), (), ())
        known = await self._archive.gaps(*self._name)
        ranges = list(_going(until, kept, known))
        if not ranges:
            return Gone((), (), ())
        gaps = [await self._gap(*ends) for ends in ranges]
        # What follows a gap and stays: it has to be built from something that stays.
        first = sorted({last + 1 for _, last in ranges} - {gap.first for gap in known})
        snapshots = [made for version in first if (made := await self._snapshot(version)) is not None]
        return Gone(gaps, snapshots, [await self._head(head, until, snapshots, ranges)])

    async def _gap(self, first: int, last: int) -> Gap:
        oldest, newest = await self._event(first), await self._event(last)
        digest = await digest_at(self._archive, *self._name, last)
        assert digest is not None, (self._name, last)
        return Gap(*self._name, first, last, oldest.event.at, digest, newest.position)

    async def _snapshot(self, version: int) -> Snapshot | None:
        """None where the document does not exist as of version, or it has one already."""
        stretch = await self._archive.load_version(*self._name, version)
        assert stretch is not None, (self._name, version)
        stream = Stream(*self._name, self._limits)
        stream.load(stretch)
        if not stream.exists or (stretch.snapshot is not None and stretch.snapshot.version == version):
            return None
        digest = await digest_at(self._archive, *self._name, version)
        assert digest is not None, (self._name, version)
        return Snapshot(*self._name, version, stream.encoded_value(), digest)

    async def _head(self, head: Head, until: int, snapshots: Sequence[Snapshot], ranges: Iterable[Range]) -> Head:
        """What the head says of the newest snapshot, once these are gone."""
        newest = max(snapshots, key=lambda made: made.version, default=None)
        if newest is not None and newest.version > head.snapshot:
            since = await self._since(newest.version + 1, head.version)
            return msgspec.structs.replace(
                head, snapshot=newest.version, snapshot_bytes=len(newest.value), since_bytes=since
            )
        if any(first <= head.snapshot <= last for first, last in ranges):
            # Special case: what follows is a document that was deleted, or made anew, and needs none.
            left = await self._newest_left(head, snapshots, ranges)
            version, size = (0, 0) if left is None else (left.version, len(left.value))
            since = await self._since(max(last for _, last in ranges) + 1, head.version)
            return msgspec.structs.replace(head, snapshot=version, snapshot_bytes=size, since_bytes=since)
        return head

    async def _newest_left(self, head: Head, made: Sequence[Snapshot], ranges: Iterable[Range]) -> Snapshot | None:
        """The newest snapshot at a version that stays, made now or before: perhaps a long way back, at one that a tag keeps."""
        gone = [*ranges, *((gap.first, gap.last) for gap in await self._archive.gaps(*self._name))]
        for first, last in reversed(list(_between(gone, head.version))):
            found = [snapshot for snapshot in made if first <= snapshot.version <= last]
            stretch = await self._archive.load_version(*self._name, last)
            if stretch is not None and stretch.snapshot is not None and stretch.snapshot.version >= first:
                found.append(stretch.snapshot)
            if found:
                return max(found, key=lambda snapshot: snapshot.version)
        return None

    async def _since(self, first: int, last: int) -> int:
        """Bytes of the deltas of these versions, which are few: no snapshot lies among them."""
        rows = await self._archive.history(*self._name, first=first, last=last, newest_first=False, limit=last)
        return sum(len(row.event.delta) for row in rows)

    async def _event(self, version: int) -> Row:
        (row,) = await self._archive.history(*self._name, first=version, last=version, newest_first=False, limit=1)
        return row


def _going(until: int, kept: set[int], known: Sequence[Gap]) -> Iterator[Range]:
    """What of 1..until is there and not kept, as ranges."""
    return _between([*((gap.first, gap.last) for gap in known), *((version, version) for version in kept)], until)


def _between(stops: Iterable[Range], last: int) -> Iterator[Range]:
    """What of 1..last lies in none of stops, as ranges."""
    first = 1
    for start, end in sorted(stops):
        if start > last:
            break
        if first < start:
            yield first, start - 1
        first = max(first, end + 1)
    if first <= last:
        yield first, last
