"""Follows the chain of every stream of an archive, row by row in order of position.

A stream's first fault is named, and no other of the same stream: what comes after a broken link cannot be told from it.
"""

from __future__ import annotations

import msgspec

from palimpsest.storage.contracts import Archive, Gap, Head, Row, Snapshot, Stream
from palimpsest.storage.events import GENESIS, check_bytes, commitment, link
from palimpsest.storage.rules import name_of

_CHUNK = 256
_HOLES_NAMED = 10


class Chain(msgspec.Struct):
    """Where the following of a stream stands.

    gaps: those that are still to come. snapshot: the next one, without its value; None: there is none. newest_snapshot: of
    those behind: version and bytes.
    """

    digest: bytes
    version: int
    at: int
    gaps: list[Gap]
    tagged: list[tuple[int, tuple[str, ...]]]
    snapshot: Snapshot | None = None
    snapshot_bytes: int = 0
    newest_snapshot: tuple[int, int] = (0, 0)
    is_broken: bool = False


class Chains:
    """archive: open; asked for each stream's gaps and snapshots as they are met."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._chains: dict[Stream, Chain] = {}
        self.findings: list[str] = []
        """At most one of each stream until `close`."""
        self._holes: list[tuple[int, int]] = []
        self.last: dict[Stream, Row] = {}
        """The newest row of every stream."""

    def skip(self, position: int, next_: int) -> None:
        """There is nothing at position and from there up to next_."""
        if position < next_:
            self._holes.append((position, next_))

    async def follow(self, row: Row) -> None:
        """row: the next one."""
        event = row.event
        stream = (event.document, event.branch)
        chain = self._chains.get(stream)
        if chain is None:
            chain = self._chains[stream] = await self._begin(stream)
        finding = self._step(chain, row)
        if finding is None:
            finding = await self._check_snapshots(chain, stream)
        if finding is not None and not chain.is_broken:
            chain.is_broken = True
            self.findings.append(finding)
        if event.meta is not None and event.meta.tags:
            chain.tagged.append((event.version, tuple(sorted(set(event.meta.tags)))))
        self.last[stream] = row

    async def close(self) -> None:
        """There are no rows after those that were followed."""
        for stream, chain in self._chains.items():
            self.findings += [] if chain.is_broken else await self._end(stream, chain)
        in_gaps = 0
        for head in await self._all_heads():
            stream = (head.document, head.branch)
            if stream not in self._chains:
                self.findings.append(f"{head.document} ({head.branch}) has a head, and no version of it is there")
            gaps = await self._archive.gaps(*stream)
            in_gaps += sum(gap.last - gap.first + 1 for gap in gaps)
        if sum(next_ - position for position, next_ in self._holes) > in_gaps:
            self.findings += [
                f"the event at position {position} is missing; {next_} comes next"
                for position, next_ in self._holes[:_HOLES_NAMED]
            ]

    # --- inside --------------------------------------------------------------------------------------------------

    async def _begin(self, stream: Stream) -> Chain:
        gaps = await self._archive.gaps(*stream)
        chain = Chain(GENESIS, 0, 0, gaps, [])
        await self._next_snapshot(chain, stream, 1)
        return chain

    def _step(self, chain: Chain, row: Row) -> str | None:
        event = row.event
        finding = None
        if chain.gaps and chain.gaps[0].first == chain.version + 1:
            gap = chain.gaps.pop(0)
            chain.version, chain.digest = gap.last, gap.digest
            finding = (
                None if gap.at >= chain.at else f"the gap before {name_of(row)} is dated before the version before it"
            )
        if event.version != chain.version + 1:
            finding = f"{name_of(row)} follows version {chain.version}"
        elif event.at < chain.at:
            finding = f"{name_of(row)} is dated before the version before it"
        committed = commitment(row.salt, event) if row.committed is None else row.committed
        chain.digest, chain.version, chain.at = link(chain.digest, committed), event.version, event.at
        redacted = None if row.committed is None else event
        if finding is None and row.check != check_bytes(chain.digest, redacted):
            finding = f"{name_of(row)} does not match its digest"
        return finding

    async def _check_snapshots(self, chain: Chain, stream: Stream) -> str | None:
        """Of the version that the chain is at."""
        snapshot = chain.snapshot
        if snapshot is None or snapshot.version > chain.version:
            return None
        size = chain.snapshot_bytes
        await self._next_snapshot(chain, stream, chain.version + 1)
        name = f"the snapshot at version {snapshot.version} of {stream[0]} ({stream[1]})"
        if snapshot.version != chain.version:
            return f"{name} is of no version that is there"
        chain.newest_snapshot = (snapshot.version, size)
        if not size:
            return f"{name} is damaged"
        return None if snapshot.digest == chain.digest else f"{name} has another digest than its version"

    async def _next_snapshot(self, chain: Chain, stream: Stream, first: int) -> None:
        found = await self._archive.snapshots(*stream, first=first, limit=1)
        chain.snapshot = msgspec.structs.replace(found[0], value=b"") if found else None
        chain.snapshot_bytes = len(found[0].value) if found else 0

    async def _end(self, stream: Stream, chain: Chain) -> list[str]:
        row = self.last[stream]
        (head,) = await self._archive.heads([stream])
        findings: list[str] = []
        if chain.gaps:
            findings.append(f"the gap at version {chain.gaps[0].first} of {stream[0]} ({stream[1]}) is no gap")
        if head is not None and head.digest != chain.digest:
            findings.append(f"{name_of(row)} is the newest, and the head of its stream has another digest")
        if head is not None and (head.snapshot, head.snapshot_bytes) != chain.newest_snapshot:
            findings.append(
                f"{name_of(row)}: the newest snapshot is {chain.newest_snapshot}, and the head says: {head}"
            )
        if await self._archive.tagged(*stream, last=row.event.version) != chain.tagged:
            findings.append(f"the tags of {stream[0]} ({stream[1]}) are not those of its versions")
        return findings

    async def _all_heads(self) -> list[Head]:
        found = await self._archive.walk(None, limit=_CHUNK)
        heads = list(found)
        while found:
            found = await self._archive.walk((found[-1].document, found[-1].branch), limit=_CHUNK)
            heads += found
        return heads
