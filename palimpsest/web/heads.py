"""Bounds of what comes before a request is one: its first line and headers, in bytes and in time.

The parser takes headers of any length, and the server waits for them for any time. Whoever has not shown a token yet must not get that much.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from palimpsest.web.gathering import Gathering, Turn

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


def bounded_protocol(bytes_max: int, seconds_max: float) -> type[HttpToolsProtocol]:
    """A protocol of HTTP/1.1 that is closed where a request's head is longer than bytes_max, give or take one read, or takes longer than
    seconds_max. It is for the event loop that runs now. What it writes in one turn of that leaves in one piece."""

    class Bounded(_Bounded):
        head_bytes_max = bytes_max
        head_seconds_max = seconds_max
        turn = Turn(asyncio.get_running_loop())

    return Bounded


class _Bounded(HttpToolsProtocol):
    head_bytes_max: int
    head_seconds_max: float
    turn: Turn
    _is_in_head = True
    """Nothing was parsed of a request yet, or something, and not all of its headers."""
    _has_head = False
    """What has just been received had the end of one in it."""
    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Gathering(transport, self.turn))
        self._begin_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head, self._has_head = self._is_in_head, False
        if was_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        if self._head_bytes > self.head_bytes_max:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif was_in_head and not self._has_head:
            self._begin_waiting()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._has_head = True
        self._end_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_head = True
        self._head_bytes = 0

    def _begin_waiting(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds_max, self._give_up)

    def _end_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
