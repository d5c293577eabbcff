"""Server-sent events, byte by byte: pure functions, and a store of what was encoded already.

A frame ends with an empty line. `id` is a place to go on from: the browser keeps the last one, and says it as `Last-Event-ID` when it comes back.
"""

from __future__ import annotations

import msgspec

ALIVE = b": alive\n\n"
"""A comment, which no reader is told of: it shows that the connection is there."""

RETRY_MILLISECONDS = 2_000

_encode = msgspec.json.Encoder(order="deterministic").encode


def opening() -> bytes:
    """What a stream begins with, so that its reader knows at once that it is there."""
    return b"retry: %d\n\n" % RETRY_MILLISECONDS


def frame(event: str, data: object, cursor: str = "") -> bytes:
    """event: a word. data: what JSON can hold, which has no line breaks once it is encoded. cursor: of letters and digits; "": there is no place
    to go on from here, and the reader keeps the one it has."""
    place = b"" if not cursor else b"id: %b\n" % cursor.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (place, event.encode(), _encode(data))


def place(cursor: str) -> bytes:
    """A place to go on from, and nothing else: no event is made of it."""
    return b"id: %b\n\n" % cursor.encode()


class Frames:
    """What was encoded for one reader, for the others: at most bytes_max of it, the oldest is forgotten first.

    All readers on one connection to the server are handed the same message, so that it is known by being the same object.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.bytes = 0
        self._made: dict[tuple[int, bool], tuple[object, bytes]] = {}
        """By the address of the message and whether the value is shown. A message that is kept here keeps its address to itself."""

    def get(self, message: object, has_value: bool) -> bytes | None:
        """The frame of message, where it is kept. has_value: whether the frame shows the value."""
        found = self._made.get((id(message), has_value))
        return None if found is None else found[1]

    def keep(self, message: object, has_value: bool, made: bytes) -> bytes:
        """made: the frame of a message that has none here. It is what comes back."""
        self._made[id(message), has_value] = (message, made)
        self.bytes += len(made)
        while self.bytes > self._bytes_max:
            _, oldest = self._made.pop(next(iter(self._made)))
            self.bytes -= len(oldest)
        return made
