"""What is written to a socket in one turn of the event loop leaves in one piece, when the turn ends.

An answer is written in two pieces, its head and its body, and an event stream may have several chunks in one turn. Each piece on its own would be a call
of the kernel and a packet.
"""

from __future__ import annotations

import asyncio
from typing import Any

GATHERED_BYTES_MAX = 64 * 1024
"""For one socket; beyond it, what was gathered leaves at once, so that the transport can say that it is full."""


class Turn:
    """The transports of one event loop that something was written to in this turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._written: list[Gathering] = []

    def add(self, transport: Gathering) -> None:
        """It is flushed when the turn ends."""
        if not self._written:
            self._loop.call_soon(self._end)
        self._written.append(transport)

    def _end(self) -> None:
        written, self._written = self._written, []
        for transport in written:
            transport.flush()


class Gathering(asyncio.Transport):
    """A transport in front of another one, inner."""

    __slots__ = ("_gathered_bytes", "_inner", "_pieces", "_turn")

    def __init__(self, inner: asyncio.Transport, turn: Turn) -> None:
        super().__init__()
        self._inner = inner
        self._turn = turn
        self._pieces: list[bytes] = []
        self._gathered_bytes = 0

    def write(self, data: Any) -> None:
        """data: of bytes; it is not changed afterwards."""
        if not self._pieces:
            self._turn.add(self)
        self._pieces.append(data)
        self._gathered_bytes += len(data)
        if self._gathered_bytes > GATHERED_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """What was gathered leaves; it is dropped where the connection has ended meanwhile."""
        pieces = self._pieces
        if pieces:
            self._pieces, self._gathered_bytes = [], 0
            if not self._inner.is_closing():
                self._inner.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        self.flush()
        self._inner.close()

    def abort(self) -> None:
        self._pieces.clear()
        self._inner.abort()

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)
