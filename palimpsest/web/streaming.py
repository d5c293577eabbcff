"""An answer without an end, on its socket: written as fast as its reader takes it, and over as soon as somebody leaves."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import anyio

from palimpsest.web.answering import raw_headers
from palimpsest.web.operations import Stream

_FAREWELL_SECONDS = 1.0
"""How long the end of the body may take to leave: who has not read for long does not keep the gateway from stopping."""


_ALWAYS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Streaming:
    """An ASGI application: 200, headers, and chunks until they end, the reader has gone, or closing is set.

    The next chunk is asked for once the socket has room for it: `send` waits while the transport is full. So what a slow reader costs is what
    the transport holds, and nothing is made for it meanwhile.
    """

    def __init__(self, stream: Stream, closing: asyncio.Event) -> None:
        self._chunks = stream.chunks
        self._headers = raw_headers({**_ALWAYS, **stream.headers, "Content-Type": stream.media_type})
        self._closing = closing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with aclosing(self._chunks):
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            if scope["method"] != "HEAD":
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                    tasks.start_soon(_until_set, self._closing, tasks.cancel_scope)
                    await self._write(send)
                    tasks.cancel_scope.cancel()
        with anyio.move_on_after(_FAREWELL_SECONDS):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Any) -> None:
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _until_gone(receive: Any, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _until_set(event: asyncio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
