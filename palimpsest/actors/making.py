"""Changes that have to be made for their readers, because they come with more than the log has: once for all who want the same.

A value is read as anybody would read it, which replays the log from the snapshot before it; after that, those of the versions that follow
are made from it, each by its own delta.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from msgspec import Raw

from palimpsest.actors.stream import Stream, starts_line
from palimpsest.errors import DocumentNotFound, LimitExceeded
from palimpsest.limits import Limits
from palimpsest.protocol.changes import encode_change
from palimpsest.protocol.messages import Change, Document, Get
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event
from palimpsest.words import Kind

NIL = Raw(b"\xc0")
_DELETE, _ERASE = int(Kind.DELETE), int(Kind.ERASE)
_FRAME_OVERHEAD_BYTES = 16
_KEPT_MAX = 4_096
_KEPT_BYTES_MAX = 16 * 1024 * 1024
_STREAMS_BYTES_MAX = 16 * 1024 * 1024

Encoded = tuple[bytes, bytes]
"""What is before the list of subscriptions, and what is after it."""


class Maker:
    """ask: reads a document, as anybody would."""

    def __init__(self, ask: Callable[[Get], Awaitable[Document]], limits: Limits) -> None:
        self._ask = ask
        self._limits = limits
        self._kept: OrderedDict[int, Encoded] = OrderedDict()
        """The newest that were made, by position."""
        self._bytes = 0
        self._streams: OrderedDict[tuple[str, str], tuple[Stream, int]] = OrderedDict()
        """By document and branch, as it was at the version that was made last, and its estimated bytes."""
        self._streams_bytes = 0
        self._erased_at = 0
        """The position of the newest erasure. What was read before that is archived may hold what is to be gone."""

    async def make(self, row: Row, archived: int) -> Encoded:
        """The change with the whole value after it. archived: what was durably archived when the row was read. Raises LimitExceeded where
        no frame is large enough, and what a read does."""
        kept = self._kept.get(row.position)
        if kept is not None:
            return kept
        encoded = encode(row, await self._value(row, archived))
        check_size(_size(encoded), self._limits)
        if archived > self._erased_at:
            self._keep(row.position, encoded)
        return encoded

    def erased(self, position: int) -> None:
        """There is, or may be, an erasure at that position. Nothing that was made before it is handed out again."""
        self._erased_at = position
        self._kept.clear()
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

    def _keep(self, position: int, encoded: Encoded) -> None:
        size = _size(encoded)
        if position not in self._kept and size * 4 <= _KEPT_BYTES_MAX:
            self._kept[position] = encoded
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


def change_of(position: int, event: Event, value: Raw) -> Change:
    """To nobody yet."""
    return Change(
        (),
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


def _size(encoded: Encoded) -> int:
    return len(encoded[0]) + len(encoded[1])
