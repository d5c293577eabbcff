"""An answer without an end, on its socket: written as fast as its reader takes it, and over as soon as somebody leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import anyio
from starlette.responses import StreamingResponse

from palimpsest.web.operations import Chunks

_FAREWELL_SECONDS = 1.0
"""How long the end of the body may take to leave: who has not read for long does not keep the gateway from stopping."""


class Streaming(StreamingResponse):
    """An ASGI application: 200, headers, and chunks until they end, the reader has gone, or closing is set.

    The next chunk is asked for once the socket has room for it: `send` waits while the transport is full. So what a slow reader costs is what
    the transport holds, and nothing is made for it meanwhile.
    """

    def __init__(self, chunks: Chunks, headers: Mapping[str, str], media_type: str, closing: asyncio.Event) -> None:
        super().__init__(chunks, 200, headers, media_type)
        self._chunks = chunks
        self._closing = closing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with aclosing(self._chunks):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
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
