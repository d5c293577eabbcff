"""Changes that have to be made for their readers: with whole values, or in the words of a view; once for all who want the same.

A value is read as anybody would read it, which replays the log from the snapshot before it; after that, those of the versions that follow
are made from it, each by its own delta.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.stream import Stream, ends, starts_line
from palimpsest.actors.views import encode_view, view_delta
from palimpsest.errors import DocumentNotFound, LimitExceeded
from palimpsest.limits import Limits
from palimpsest.protocol.changes import encode_change
from palimpsest.protocol.messages import Change, Document, Get
from palimpsest.state.lens import Lens
from palimpsest.state.ops import Op, decode_delta, encode_delta
from palimpsest.state.tree import NOTHING
from palimpsest.state.working import apply_delta
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event
from palimpsest.words import Kind, Parents

NIL = Raw(b"\xc0")
_UPDATE, _DELETE, _ERASE = int(Kind.UPDATE), int(Kind.DELETE), int(Kind.ERASE)
_FRAME_OVERHEAD_BYTES = 16
_KEPT_MAX = 4_096
_KEPT_BYTES_MAX = 16 * 1024 * 1024
_STREAMS_BYTES_MAX = 16 * 1024 * 1024
_NEWEST_MAX = 256
_ANY_DEPTH = 1 << 30

Encoded = tuple[bytes, bytes]
"""What is before the list of subscriptions, and what is after it."""

Around = Callable[[str, str, int, Parents | None], Awaitable[tuple[Any, Any]]]
"""The frozen values before and after a version, by document, branch, version, and what it was made from; see `Insight.around`."""


class Made(msgspec.Struct, gc=False, frozen=True):
    """event: as its readers have it."""

    encoded: Encoded
    event: Event


class Maker:
    """ask: reads a document, as anybody would."""

    def __init__(self, ask: Callable[[Get], Awaitable[Document]], around: Around, limits: Limits) -> None:
        self._ask = ask
        self._around = around
        self._limits = limits
        self._kept: OrderedDict[tuple[int, str, bool], Made | None] = OrderedDict()
        """The last that were made, by position, view, and whether they come with values."""
        self._bytes = 0
        self._newest: OrderedDict[tuple[str, str], tuple[int, Any]] = OrderedDict()
        """Of documents that were looked at last: a version and the frozen value after it."""
        self._streams: OrderedDict[tuple[str, str], tuple[Stream, int]] = OrderedDict()
        """By document and branch, as it was at the version that was made last, and its estimated bytes."""
        self._streams_bytes = 0
        self._erased_at = 0
        """The position of the newest erasure. What was read before that is archived may hold what is to be gone."""
        self._decoded: tuple[int, list[Op]] = (-1, [])

    async def make(self, row: Row, lens: Lens | None, archived: int, *, values: bool) -> Made | None:
        """None: nothing that the view shows has changed. archived: what was durably archived when the row was read. Raises LimitExceeded
        where no frame is large enough, and what a read does."""
        if lens is not None and row.event.kind == _UPDATE and not lens.concerns(self._ops(row)):
            return None
        key = (row.position, "" if lens is None else lens.digest, values)
        if key in self._kept:
            return self._kept[key]
        made: Made | None
        if lens is None:
            made = Made(encode(row, await self._value(row, archived)), row.event)
        else:
            made = await self._seen(row, lens, values)
        check_size(_size(made), self._limits)
        if archived > self._erased_at:
            self._keep(key, made)
        return made

    def erased(self, position: int) -> None:
        """There is, or may be, an erasure at that position. Nothing that was made before it is handed out again."""
        self._erased_at = position
        self._kept.clear()
        self._newest.clear()
        self._streams.clear()
        self._bytes = self._streams_bytes = 0

    async def _value(self, row: Row, archived: int) -> Raw:
        event = row.event
        stream = self._take_stream(event)
        if event.kind == _DELETE:
            return NIL
        if stream is not None and archived > self._erased_at and _follows(stream, event):
            stream.replay(row)
        else:
            try:
                document = await self._ask(Get(0, event.document, event.branch, event.version))
            except DocumentNotFound:
                return NIL
            stream = _stream_of(document, self._limits)
        if archived > self._erased_at:
            self._keep_stream(event, stream)
        return Raw(stream.encoded_value())

    def _take_stream(self, event: Event) -> Stream | None:
        stream, size = self._streams.pop((event.document, event.branch), (None, 0))
        self._streams_bytes -= size
        return stream

    def _keep_stream(self, event: Event, stream: Stream) -> None:
        self._take_stream(event)  # another's, who was at it at the same time
        stream.encoded_value()
        size = stream.estimated_bytes()
        if size * 4 <= _STREAMS_BYTES_MAX:
            self._streams[event.document, event.branch] = (stream, size)
            self._streams_bytes += size
            while self._streams_bytes > _STREAMS_BYTES_MAX:
                self._streams_bytes -= self._streams.popitem(last=False)[1][1]

    async def _seen(self, row: Row, lens: Lens, values: bool) -> Made | None:
        event = row.event
        before, after = await self._values_around(row)
        found = view_delta(lens, event.kind, before, after)
        if found is None:
            return None
        kind, ops = found
        event = msgspec.structs.replace(event, kind=kind, delta=Raw(encode_delta(ops)))
        value = Raw(encode_view(lens.view(after))) if values and after is not NOTHING else NIL
        return Made(encode(msgspec.structs.replace(row, event=event), value), event)

    async def _values_around(self, row: Row) -> tuple[Any, Any]:
        event = row.event
        key = (event.document, event.branch)
        version, before = self._newest.get(key, (0, None))
        if version == event.version - 1 and version and not starts_line(event):
            ops = self._ops(row)
            base = None if before is NOTHING else before
            after = NOTHING if ends(event.kind, ops) else apply_delta(base, ops, depth_max=_ANY_DEPTH)
        else:
            before, after = await self._around(event.document, event.branch, event.version, event.parents)
        if event.version >= version:
            self._newest[key] = (event.version, after)
            self._newest.move_to_end(key)
            if len(self._newest) > _NEWEST_MAX:
                self._newest.popitem(last=False)
        return before, after

    def _ops(self, row: Row) -> list[Op]:
        if self._decoded[0] != row.position:
            self._decoded = (row.position, decode_delta(row.event.delta))
        return self._decoded[1]

    def _keep(self, key: tuple[int, str, bool], made: Made | None) -> None:
        size = _size(made)
        if key not in self._kept and size * 4 <= _KEPT_BYTES_MAX:
            self._kept[key] = made
            self._bytes += size
            while self._bytes > _KEPT_BYTES_MAX or len(self._kept) > _KEPT_MAX:
                self._bytes -= _size(self._kept.popitem(last=False)[1])


def _follows(stream: Stream, event: Event) -> bool:
    return event.version == stream.version + 1 and event.kind != _ERASE and not starts_line(event)


def _stream_of(document: Document, limits: Limits) -> Stream:
    stream = Stream(document.document, document.branch, limits)
    stream.version, stream.exists = document.version, True
    stream.encoded = bytes(document.value)
    stream.bytes_bound = len(stream.encoded)
    return stream


def encode(row: Row, value: Raw = NIL) -> Encoded:
    return encode_change(change_of(row.position, row.event, value))


def change_of(position: int, event: Event, value: Raw, subscriptions: tuple[int, ...] = (), tries: int = 0) -> Change:
    """subscriptions: those of one connection that it is for; none yet. tries: which delivery it is; 0 where they are not counted."""
    return Change(
        subscriptions,
        position,
        event.document,
        event.branch,
        event.version,
        event.kind,
        event.at,
        event.delta,
        event.meta,
        event.more,
        value,
        event.parents,
        False,
        tries,
    )


def check_size(size: int, limits: Limits) -> None:
    """Raises LimitExceeded where a change of that many bytes does not fit into a frame."""
    if size > limits.frame_bytes_max - _FRAME_OVERHEAD_BYTES:
        raise LimitExceeded(
            f"a change and its value are {size} bytes together",
            limit="frame_bytes_max",
            maximum=limits.frame_bytes_max,
            actual=size,
        )


def _size(made: Made | None) -> int:
    return 0 if made is None else len(made.encoded[0]) + len(made.encoded[1])
