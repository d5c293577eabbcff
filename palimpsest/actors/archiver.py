"""From journal to archive: rows, heads, and a snapshot now and then.

What a step adds is a function of the archive and the batches alone, and snapshots stand at versions that depend on the stream
alone: the same batches give the same archive, however they are cut into steps, and wherever the archiver runs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from palimpsest.actors.stream import Stream
from palimpsest.limits import Limits
from palimpsest.storage.contracts import Archive, Head, Row, Snapshot, Step
from palimpsest.storage.contracts import Stream as StreamName
from palimpsest.storage.events import Batch, decode_events
from palimpsest.words import Kind

_DELETE = int(Kind.DELETE)
STEP_BYTES = 1024 * 1024
"""Of journal in one step, which takes some 60 ms."""

PAUSE_SECONDS = 0.1
"""Between steps that are not large. A step costs a sync of the same disk that the journal is on, and one for each commit would
double what every commit takes."""

_DUTY_MIN = 0.2
_LAG_COMFORT_BYTES = 128 * 1024 * 1024

_WARM_BYTES_MAX = 64 * 1024 * 1024
_WARM_STREAMS_MAX = 1_000


class Archiver:
    """Turns batches into steps. snapshot_versions: a snapshot at least that many versions after the last, and once the
    deltas since then amount to an eighth of its size (or eight times as many versions have passed)."""

    def __init__(self, archive: Archive, *, snapshot_versions: int = 128) -> None:
        self._archive = archive
        self._snapshot_versions = snapshot_versions
        self._warm: OrderedDict[StreamName, Stream] = OrderedDict()
        """Streams as of their newest snapshot or later, so that a hot document is not read again for the next one."""
        self._warm_bytes = 0

    async def write(self, batches: Sequence[Batch]) -> int:
        """batches: non-empty, the first holds the archive's end. Returns the archive's new end, durable."""
        end = (await self._archive.end()).next
        rows = [
            Row(position, event)
            for batch in batches
            for position, event in enumerate(decode_events(batch.body), batch.position)
            if position >= end
        ]
        if not rows:
            return end
        streams = list(dict.fromkeys((row.event.document, row.event.branch) for row in rows))
        heads = dict(zip(streams, await self._archive.heads(streams), strict=True))
        snapshots: list[Snapshot] = []
        fresh: dict[StreamName, list[Row]] = {}
        for row in rows:
            name = (row.event.document, row.event.branch)
            head = heads[name] = _next_head(heads[name], row)
            fresh.setdefault(name, []).append(row)
            if self._is_due(head):
                snapshot = await self._snapshot(name, head, fresh[name])
                snapshots.append(snapshot)
                heads[name] = msgspec.structs.replace(
                    head, snapshot=head.version, snapshot_bytes=len(snapshot.value), since_bytes=0
                )
                fresh[name] = []
        touched = [heads[name] for name in streams]
        last = batches[-1]
        step = Step(rows, snapshots, [head for head in touched if head], last.position + last.count, last.digest)
        try:
            await self._archive.write(step)
        except BaseException:
            self._warm.clear()  # they may be ahead of the archive now
            self._warm_bytes = 0
            raise
        self._cool_down()
        return step.next

    def _is_due(self, head: Head) -> bool:
        if head.kind == _DELETE:
            return False
        versions = head.version - head.snapshot
        if versions < self._snapshot_versions:
            return False
        return head.since_bytes * 8 >= head.snapshot_bytes or versions >= 8 * self._snapshot_versions

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
        return Snapshot(head.document, head.branch, head.version, value)

    async def _cold(self, name: StreamName, version: int) -> Stream:
        stream = Stream(*name, Limits())
        if version:
            stretch = await self._archive.load_version(*name, version)
            assert stretch is not None, (name, version)
            stream.load(stretch)
        return stream

    def _cool_down(self) -> None:
        """Between steps only: within one, a warm stream may be all that knows its newest versions."""
        while self._warm_bytes > _WARM_BYTES_MAX or len(self._warm) > _WARM_STREAMS_MAX:
            _, oldest = self._warm.popitem(last=False)
            self._warm_bytes -= oldest.bytes_bound


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


def _next_head(head: Head | None, row: Row) -> Head:
    event = row.event
    since = len(event.delta)
    if head is None:
        return Head(event.document, event.branch, event.version, row.position, event.kind, event.at, since_bytes=since)
    return Head(
        event.document,
        event.branch,
        event.version,
        row.position,
        event.kind,
        event.at,
        head.snapshot,
        head.snapshot_bytes,
        head.since_bytes + since,
    )
