"""From journal to archive: rows, heads, a snapshot now and then, and what pruning and erasing take away again.

What a step adds is a function of the archive and the batches alone, and snapshots stand at versions that depend on the stream
alone: the same batches give the same archive, however they are cut into steps, and wherever the archiver runs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from palimpsest.actors import erasing, pruning
from palimpsest.actors.chain import digest_at
from palimpsest.actors.stream import Stream, ends, starts_line
from palimpsest.errors import StoreCorrupt
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.state.ops import decode_delta
from palimpsest.storage.contracts import Archive, Gap, Head, Row, Snapshot, Step
from palimpsest.storage.contracts import Stream as StreamName
from palimpsest.storage.events import GENESIS, Batch, check_bytes, commitment, decode_body, event_salt, link
from palimpsest.words import RECORD, Kind

log = get_logger("palimpsest.archiver")

_DELETE, _ERASE = int(Kind.DELETE), int(Kind.ERASE)
STEP_BYTES = 1024 * 1024
"""Of journal in one step, which takes some 60 ms."""

PAUSE_SECONDS = 0.1
"""Between steps that are not large. A step costs a sync of the same disk that the journal is on, and one for each commit would
double what every commit takes."""

_DUTY_MIN = 0.2
_LAG_COMFORT_BYTES = 128 * 1024 * 1024

_WARM_BYTES_MAX = 64 * 1024 * 1024
_WARM_STREAMS_MAX = 1_000
_SNAPSHOT_SHARE = 8
"""A snapshot is due once the deltas since the last one amount to that part of its size."""
_SNAPSHOT_VERSIONS_FACTOR = 4
"""And in any case after so many times the usual number of versions, so that reading any version replays some hundred events."""
_SWEEP_ROWS, _SHRINK_BYTES, _INSPECTED = 1_000, 1024 * 1024, 64
"""Of one piece of tidying, which takes some 20 ms."""


class Archiver:
    """Turns batches into steps. snapshot_versions: a snapshot at least that many versions after the last, and once the
    deltas since then amount to an eighth of its size (or four times as many versions have passed)."""

    def __init__(self, archive: Archive, *, snapshot_versions: int = 128) -> None:
        self._archive = archive
        self._snapshot_versions = snapshot_versions
        self._warm: OrderedDict[StreamName, Stream] = OrderedDict()
        """Streams as of their newest snapshot or later, so that a hot document is not read again for the next one."""
        self._warm_bytes = 0
        self._untidy = True
        """There may be something to sweep, or to give back."""
        self._inspected: int | None = 0
        """How far snapshots have been looked at; None: all have."""

    async def write(self, batches: Sequence[Batch]) -> int:
        """batches: non-empty, the first holds the archive's end. Returns the archive's new end, durable. What was erased by then
        is nowhere in the archive's files."""
        end = await self._archive.end()
        decoded = [decode_body(batch.body) for batch in batches]
        names = list(dict.fromkeys((event.document, event.branch) for _, events in decoded for event in events))
        heads = dict(zip(names, await self._archive.heads(names), strict=True))
        making = _Making(end.next, end.digest, heads)
        try:
            for batch, (salt, events) in zip(batches, decoded, strict=True):
                for position, event in enumerate(events, batch.position):
                    if position >= end.next:
                        making = await self._add(making, Row(position, event, event_salt(salt, position)))
                making.digest = batch.digest
            await self._flush(making)
        except BaseException:
            self._warm.clear()  # they may be ahead of the archive now
            self._warm_bytes = 0
            raise
        self._cool_down()
        return making.next

    async def tidy(self) -> bool:
        """Does one small piece of what there is to tidy up; whether there may be more."""
        if self._untidy:
            if await self._archive.sweep(rows_max=_SWEEP_ROWS) or await self._archive.shrink(bytes_max=_SHRINK_BYTES):
                return True
            self._untidy = False
        if self._inspected is None:
            return False
        place, damaged = await self._archive.inspect_snapshots(self._inspected, limit=_INSPECTED)
        self._inspected = place or None
        for document, branch, version in damaged:
            await self._mend((document, branch), version)
        return self._inspected is not None

    # --- one row at a time ---------------------------------------------------------------------------------------

    async def _add(self, making: _Making, row: Row) -> _Making:
        """making, or what is made after it was written, with the row in it."""
        event = row.event
        name = (event.document, event.branch)
        if event.kind == _ERASE:
            making = await self._next(making)
            await self._erase(row)
            making.forget(name)
        elif event.branch == RECORD and (cut := pruning.decision(event)) is not None:
            if making.touched & {name, (event.document, cut.branch)}:
                making = await self._next(making)
            await self._follow(making, row)
            gone = await pruning.prune(self._archive, row, cut, self._limits())
            making.prune(gone)
            self._untidy = True
            return making
        base = None if event.parents is None else event.parents.base
        if base is not None and (event.document, base[0]) in making.touched:
            making = await self._next(making)
        await self._follow(making, row)
        return making

    async def _follow(self, making: _Making, row: Row) -> None:
        event = row.event
        name = (event.document, event.branch)
        head = await making.head(self._archive, name)
        version, digest = (0, GENESIS) if head is None else (head.version, head.digest)
        if event.version != version + 1:
            at = 0 if head is None else head.at + 1
            making.gaps.append(Gap(*name, version + 1, event.version - 1, at, digest, 0))
        digest = link(digest, commitment(row.salt, event))
        row = msgspec.structs.replace(row, check=check_bytes(digest))
        head = making.add(row, head, digest)
        if starts_line(event):
            if (first := await self._first(row, digest)) is not None:
                making.snapshot(first)
        elif self._is_due(head):
            making.snapshot(await self._snapshot(name, head, making.fresh[name]))

    async def _first(self, row: Row, digest: bytes) -> Snapshot | None:
        """Of the first version of a branch, so that nothing that is read later depends on another stream; None where the document
        does not exist then."""
        event = row.event
        assert event.parents is not None
        assert event.parents.base is not None
        if ends(event.kind, decode_delta(event.delta)):  # what it starts from may have been erased as a whole, too
            return None
        branch, version = event.parents.base
        stretch = await self._archive.load_version(event.document, branch, version)
        if stretch is None:
            reason = f"version {event.version} of {event.document} ({event.branch}) starts from one that is not kept"
            raise StoreCorrupt(reason, path="", reason=reason)
        base = Stream(event.document, branch, self._limits())
        base.load(stretch)
        stream = Stream(event.document, event.branch, self._limits())
        stream.begin(base, event.version - 1)
        stream.replay(row)
        name = (event.document, event.branch)
        if old := self._warm.pop(name, None):
            self._warm_bytes -= old.bytes_bound
        if not stream.exists:
            return None
        value = stream.encoded_value()
        stream.encoded = None
        self._warm[name] = stream  # what the archive has of it by now is in the step that is being made
        self._warm_bytes += stream.bytes_bound
        return Snapshot(*name, event.version, value, digest)

    def _is_due(self, head: Head) -> bool:
        if head.kind == _DELETE or head.kind == _ERASE:
            return False
        versions = head.version - head.snapshot
        if versions < self._snapshot_versions:
            return False
        due = head.since_bytes * _SNAPSHOT_SHARE >= head.snapshot_bytes
        return due or versions >= _SNAPSHOT_VERSIONS_FACTOR * self._snapshot_versions

    async def _snapshot(self, name: StreamName, head: Head, fresh: list[Row]) -> Snapshot:
        stream = self._warm.pop(name, None)
        if stream is None or stream.version < fresh[0].event.version - 1:
            stream = await self._cold(name, fresh[0].event.version - 1)
        else:
            self._warm_bytes -= stream.bytes_bound
        for row in fresh:
            if row.event.version > stream.version:
                stream.replay(row)
        value = stream.encoded_value()
        stream.encoded = None
        self._warm[name] = stream
        self._warm_bytes += stream.bytes_bound
        return Snapshot(head.document, head.branch, head.version, value, head.digest)

    async def _cold(self, name: StreamName, version: int) -> Stream:
        """The stream as of an archived version; nothing where that lies in a gap, after which the whole value is set."""
        stream = Stream(*name, self._limits())
        stretch = await self._archive.load_version(*name, version) if version else None
        if stretch is not None:
            stream.load(stretch)
        else:
            stream.version = version
        return stream

    def _limits(self) -> Limits:
        return Limits()

    def _cool_down(self) -> None:
        """Between steps only: within one, a warm stream may be all that knows its newest versions."""
        while self._warm_bytes > _WARM_BYTES_MAX or len(self._warm) > _WARM_STREAMS_MAX:
            _, oldest = self._warm.popitem(last=False)
            self._warm_bytes -= oldest.bytes_bound

    # --- steps ---------------------------------------------------------------------------------------------------

    async def _next(self, making: _Making) -> _Making:
        """What has been made is written, so that all of it can be read from the archive."""
        await self._flush(making)
        return _Making(making.next, making.digest, making.heads)

    async def _flush(self, making: _Making) -> None:
        if making.rows:
            await self._archive.write(making.step())

    async def _erase(self, row: Row) -> None:
        """All that the row, which comes next, wants to be gone is gone, from the files, too. It is archived only after that: a
        process that ends in between does it again."""
        event = row.event
        self._warm.pop((event.document, event.branch), None)
        end = await self._archive.end()
        await self._archive.write(await erasing.erase(self._archive, event, end, self._limits()))
        while await self._archive.sweep(rows_max=_SWEEP_ROWS):
            pass
        await self._archive.scrub()

    async def _mend(self, name: StreamName, version: int) -> None:
        """A snapshot is made again from what came before it."""
        try:
            stream = await self._cold(name, version)
            digest = await digest_at(self._archive, *name, version)
        except StoreCorrupt as error:
            log.error("snapshot_lost", document=name[0], branch=name[1], version=version, reason=error.reason)
            return
        (head,) = await self._archive.heads([name])
        if head is None or digest is None or stream.version != version or not stream.exists:
            return  # it is not kept any more
        end = await self._archive.end()
        snapshot = Snapshot(*name, version, stream.encoded_value(), digest)
        await self._archive.write(Step((), [snapshot], [head], end.next, end.digest))
        log.warning("snapshot_mended", document=name[0], branch=name[1], version=version)


class _Making:
    """A step that is being made. next, digest: as in Step."""

    def __init__(self, next_: int, digest: bytes, heads: dict[StreamName, Head | None]) -> None:
        """heads: as the archive has them, as far as they are known."""
        self.next = next_
        self.digest = digest
        self.rows: list[Row] = []
        self.snapshots: list[Snapshot] = []
        self.gaps: list[Gap] = []
        self.fresh: dict[StreamName, list[Row]] = {}
        """Of each stream, the rows since its last snapshot or since the step began."""
        self.heads = heads

    @property
    def touched(self) -> set[StreamName]:
        return set(self.fresh)

    async def head(self, archive: Archive, name: StreamName) -> Head | None:
        if name not in self.heads:
            (self.heads[name],) = await archive.heads([name])
        return self.heads[name]

    def add(self, row: Row, head: Head | None, digest: bytes) -> Head:
        event = row.event
        name = (event.document, event.branch)
        self.rows.append(row)
        self.fresh.setdefault(name, []).append(row)
        self.next = row.position + 1
        since = len(event.delta) + (0 if head is None else head.since_bytes)
        snapshot = (0, 0) if head is None else (head.snapshot, head.snapshot_bytes)
        new = Head(*name, event.version, row.position, event.kind, event.at, *snapshot, since, digest)
        self.heads[name] = new
        return new

    def snapshot(self, snapshot: Snapshot) -> None:
        name = (snapshot.document, snapshot.branch)
        head = self.heads[name]
        assert head is not None
        self.snapshots.append(snapshot)
        self.fresh[name] = []
        self.heads[name] = msgspec.structs.replace(
            head, snapshot=snapshot.version, snapshot_bytes=len(snapshot.value), since_bytes=0
        )

    def forget(self, name: StreamName) -> None:
        """The archive has another head by now."""
        self.heads.pop(name, None)

    def prune(self, gone: pruning.Gone) -> None:
        self.snapshots += gone.snapshots
        self.gaps += gone.gaps
        for head in gone.heads:
            name = (head.document, head.branch)
            fresh = self.fresh.setdefault(name, [])
            newer = self.heads.get(name) or head  # the record's is that of the row that brought the decision
            if newer.snapshot <= head.version:
                since = head.since_bytes + sum(len(row.event.delta) for row in fresh)
                newer = msgspec.structs.replace(
                    newer, snapshot=head.snapshot, snapshot_bytes=head.snapshot_bytes, since_bytes=since
                )
            self.heads[name] = newer

    def step(self) -> Step:
        heads = [head for name, head in self.heads.items() if head is not None and name in self.fresh]
        return Step(self.rows, self.snapshots, heads, self.next, self.digest, gaps=self.gaps)


def is_large(batches: Sequence[Batch]) -> bool:
    """Whether the step that these were hints at more behind it, so that the next is not to wait."""
    return sum(len(batch.body) for batch in batches) >= STEP_BYTES // 2


def pause_seconds(step_seconds: float, lag_bytes: int) -> float:
    """How long to rest after a large step that took step_seconds, with lag_bytes of journal still to be archived.

    Whoever is served now comes first: at a small lag the archiver works a fifth of the time, which keeps up with some 30,000
    events a second; the further it lags behind, the less it rests, and not at all from _LAG_COMFORT_BYTES on.
    """
    duty = _DUTY_MIN + (1 - _DUTY_MIN) * lag_bytes / _LAG_COMFORT_BYTES
    return step_seconds * max(0.0, 1 / duty - 1)
