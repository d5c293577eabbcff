"""What the archiver makes of an erasure: everything in a stream's past that holds what is to be gone, without it.

What is rewritten leaves its commitment behind, so that the chain still holds, and loses its salt, so that nobody can try out what it
was. Doing it again changes nothing: a process that ends half way does it from the start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.chain import committed, digest_before
from palimpsest.actors.stream import Stream, sets_all
from palimpsest.errors import StoreCorrupt
from palimpsest.limits import Limits
from palimpsest.state.ops import Erase, Op, Set, decode_delta, encode_delta
from palimpsest.state.paths import Path
from palimpsest.state.redact import concerns, redact, redacted_delta
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import encode_value
from palimpsest.storage.contracts import Archive, ArchiveEnd, Gap, Head, Row, Snapshot, Step
from palimpsest.storage.events import Event, check_bytes, link
from palimpsest.words import Kind

_DELETE, _ERASE = int(Kind.DELETE), int(Kind.ERASE)
_PAGE = 256


async def erase(archive: Archive, event: Event, end: ArchiveEnd, limits: Limits) -> Step:
    """A step without rows that does what event says, which is the next of its stream; everything before it is archived."""
    name = (event.document, event.branch)
    (head,) = await archive.heads([name])
    if head is None:
        return Step((), (), (), end.next, end.digest)
    (op,) = decode_delta(event.delta)
    if type(op) is not Erase:  # an import whose first version was an erasure: what it erased never came here
        return Step((), (), (), end.next, end.digest)
    if op.path:
        return await _Erasing(archive, head, op.path, limits).run(end)
    return await _whole(archive, head, end)


async def _whole(archive: Archive, head: Head, end: ArchiveEnd) -> Step:
    name = (head.document, head.branch)
    gaps = await archive.gaps(*name)
    if gaps and gaps[0].first == 1:
        at = gaps[0].at
    else:
        (first,) = await archive.history(*name, first=1, last=1, newest_first=False, limit=1)
        at = first.event.at
    gap = Gap(*name, 1, head.version, at, head.digest, 0)
    head = msgspec.structs.replace(head, snapshot=0, snapshot_bytes=0, since_bytes=0)
    return Step((), (), [head], end.next, end.digest, forget=[name], gaps=[gap])


class _Erasing:
    """Of one path, from one stream."""

    def __init__(self, archive: Archive, head: Head, path: Path, limits: Limits) -> None:
        self._archive = archive
        self._head = head
        self._name = (head.document, head.branch)
        self._path = path
        self._limits = limits
        self._stream = Stream(*self._name, limits)
        """As of the row before, as it was."""
        self._digest = b""
        self._rewrites: list[Row] = []
        self._snapshots: list[Snapshot] = []

    async def run(self, end: ArchiveEnd) -> Step:
        wanted = await self._snapshot_versions()
        size, since = 0, 0
        async for row in self._rows():
            kept = await self._next(row)
            since += len(kept.event.delta)
            if row.event.version in wanted:
                size, since = self._keep(row), 0
        newest = self._snapshots[-1].version if self._snapshots else 0
        head = msgspec.structs.replace(self._head, snapshot=newest, snapshot_bytes=size, since_bytes=since)
        forget = [self._name] if wanted else []
        return Step((), self._snapshots, [head], end.next, end.digest, rewrites=self._rewrites, forget=forget)

    async def _next(self, row: Row) -> Row:
        """Goes on by a row; what is kept of it."""
        event, stream = row.event, self._stream
        ops = decode_delta(event.delta)
        follows = event.version == stream.version + 1
        before: Any = stream.value() if follows and stream.exists else NOTHING
        if follows or sets_all(event.kind, ops):
            if not follows:
                self._digest = await digest_before(self._archive, row)
                stream.version = event.version - 1
            stream.replay(row)
        else:
            await self._load(row)
        self._digest = link(self._digest or await digest_before(self._archive, row), committed(row))
        if event.kind == _DELETE or not concerns(ops, self._path):
            return row
        return self._rewrite(row, self._redacted(row, before))

    async def _load(self, row: Row) -> None:
        """The row follows a gap: its value is in a snapshot."""
        stretch = await self._archive.load_version(*self._name, row.event.version)
        if stretch is None:
            reason = f"version {row.event.version} of {self._name[0]} cannot be built"
            raise StoreCorrupt(reason, path="", reason=reason)
        self._stream = Stream(*self._name, self._limits)
        self._stream.load(stretch)
        self._digest = await digest_before(self._archive, row)

    def _redacted(self, row: Row, before: Any) -> list[Op]:
        ops = decode_delta(row.event.delta)
        if row.event.kind == _ERASE and ops and type(ops[0]) is Erase:
            return ops  # what it names is gone already, and it says nothing of what that was
        after = self._stream.value()
        if before is NOTHING:
            return [Set((), redact(after, self._path))]
        return redacted_delta(before, after, self._path)

    def _rewrite(self, row: Row, ops: list[Op]) -> Row:
        delta = Raw(encode_delta(ops))
        if bytes(delta) == bytes(row.event.delta):
            return row
        event = msgspec.structs.replace(row.event, delta=delta)
        check = check_bytes(self._digest, event)
        kept = Row(row.position, event, b"", check, committed(row))
        self._rewrites.append(kept)
        return kept

    def _keep(self, row: Row) -> int:
        """A snapshot in place of the one that stood at the row's version. Its size."""
        value = encode_value(redact(self._stream.value(), self._path))
        self._snapshots.append(Snapshot(*self._name, row.event.version, value, self._digest))
        return len(value)

    async def _snapshot_versions(self) -> set[int]:
        found: set[int] = set()
        first = 1
        while page := await self._archive.snapshots(*self._name, first=first, limit=_PAGE):
            found.update(snapshot.version for snapshot in page)
            first = page[-1].version + 1
        return found

    async def _rows(self) -> AsyncIterator[Row]:
        first = 1
        while rows := await self._archive.history(
            *self._name, first=first, last=self._head.version, newest_first=False, limit=_PAGE
        ):
            for row in rows:
                yield row
            first = rows[-1].event.version + 1
