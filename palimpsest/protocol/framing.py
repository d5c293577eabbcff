"""Where one message ends and the next begins.

A frame is four bytes of length, big-endian, and as many bytes of payload: one msgpack array of one message or more. This
module knows frames; what a message means, and when it may come, is for `connection`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from palimpsest.errors import FrameTooLarge
from palimpsest.limits import Limits
from palimpsest.protocol.messages import Message

HEADER_BYTES = 4
FRAME_BYTES_MAX = Limits().frame_bytes_max
"""Of a payload, where nobody said otherwise."""

_ARRAY_HEADER_BYTES_MAX = 5
_read_length = struct.Struct(">I").unpack_from
_encode = msgspec.msgpack.Encoder().encode


def encode_frames(messages: Sequence[Message], *, frame_bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """All messages in one frame or, where that would exceed frame_bytes_max, in as few in order as hold them.

    messages: at least one. The bytes may be sent on any number of connections. Raises FrameTooLarge, and encodes nothing,
    where a single message is larger than a frame may be.
    """
    payload = _encode(messages)
    if len(payload) > frame_bytes_max:
        return _encode_split(messages, frame_bytes_max)
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


def encode_message(message: Message) -> bytes:
    """One message without a frame around it, for `join_frames`."""
    return _encode(message)


def join_frames(encoded: Sequence[bytes], *, frame_bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """As `encode_frames`, of messages that `encode_message` gave: what goes to many is encoded once."""
    frames: list[bytes] = []
    start = 0
    room = frame_bytes_max - _ARRAY_HEADER_BYTES_MAX
    for index, message in enumerate(encoded):
        room -= len(message)
        if room < 0:
            if len(message) > frame_bytes_max - _ARRAY_HEADER_BYTES_MAX:
                raise _too_large(len(message) + _ARRAY_HEADER_BYTES_MAX, frame_bytes_max)
            frames.append(_frame(encoded[start:index]))
            start = index
            room = frame_bytes_max - _ARRAY_HEADER_BYTES_MAX - len(message)
    frames.append(_frame(encoded[start:]))
    return b"".join(frames)


def _encode_split(messages: Sequence[Message], frame_bytes_max: int) -> bytes:
    return join_frames([_encode(message) for message in messages], frame_bytes_max=frame_bytes_max)


def _frame(encoded: Sequence[bytes]) -> bytes:
    body = b"".join(encoded)
    header = _array_header(len(encoded))
    return b"".join(((len(header) + len(body)).to_bytes(HEADER_BYTES, "big"), header, body))


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def _too_large(frame_bytes: int, frame_bytes_max: int) -> FrameTooLarge:
    return FrameTooLarge(
        f"a frame of {frame_bytes:,} bytes, where {frame_bytes_max:,} are allowed (frame_bytes_max)",
        frame_bytes=frame_bytes,
        frame_bytes_max=frame_bytes_max,
    )


class FrameReader:
    """Cuts a stream of bytes into payloads.

    It holds at most one incomplete frame, and never more of it than has arrived: an announced length costs nothing.
    """

    __slots__ = ("_buffer", "_needed_bytes", "error", "frame_bytes_max")

    def __init__(self, *, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.frame_bytes_max = frame_bytes_max
        self.error: FrameTooLarge | None = None
        """Once set, the stream cannot be read any further."""
        self._buffer = bytearray()
        """The beginning of a frame that is not whole yet."""
        self._needed_bytes = HEADER_BYTES
        """The buffer holds fewer bytes than this between two calls: the header's, or the whole frame's."""

    @property
    def buffered_bytes(self) -> int:
        return len(self._buffer)

    def receive(self, data: bytes) -> list[bytes]:
        """The payloads that data completes, in order; each is a `bytes` of its own, which nothing ever writes to.

        Where a header announces too much, `error` is set, and all payloads before it are returned.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed_bytes:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        payloads: list[bytes] = []
        start, end = 0, len(data)
        self._needed_bytes = HEADER_BYTES
        while end - start >= HEADER_BYTES and self.error is None:
            length: int = _read_length(data, start)[0]
            stop = start + HEADER_BYTES + length
            if length > self.frame_bytes_max:
                self.error = _too_large(length, self.frame_bytes_max)
            elif stop > end:
                self._needed_bytes = HEADER_BYTES + length
                break
            else:
                payloads.append(data[start + HEADER_BYTES : stop])
                start = stop
        if start < end and self.error is None:
            self._buffer += data[start:]
        return payloads
