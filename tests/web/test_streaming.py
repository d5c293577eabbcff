"""What is written to a socket, and when the next piece of it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from palimpsest.web.operations import Stream
from palimpsest.web.streaming import Streaming

pytestmark = pytest.mark.anyio


class Numbers:
    """Chunks without an end, which count how often they were asked for and closed."""

    def __init__(self) -> None:
        self.asked = 0
        self.closed = 0

    def __aiter__(self) -> Numbers:
        return self

    async def __anext__(self) -> bytes:
        self.asked += 1
        return b"%d" % self.asked

    async def aclose(self) -> None:
        self.closed += 1


class Transport:
    """The far side of an ASGI application: room for so many messages, and whether the reader is still there."""

    def __init__(self, room: int) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.is_full = asyncio.Event()
        self._room = room

    async def send(self, message: dict[str, Any]) -> None:
        if len(self.sent) >= self._room and message["type"] == "http.response.body" and message["more_body"]:
            self.is_full.set()
            await asyncio.get_running_loop().create_future()  # until whoever waits gives up
        self.sent.append(message)

    async def receive(self) -> dict[str, Any]:
        if not self.sent:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}


def streaming(chunks: Numbers, closing: asyncio.Event) -> Streaming:
    return Streaming(Stream(chunks, {"X-Kind": "test"}), closing)


@pytest.mark.parametrize("who", ["reader", "gateway"])
async def test_nothing_is_asked_for_while_there_is_no_room_and_all_ends_when_one_side_goes(who: str) -> None:
    transport, chunks, closing = Transport(room=4), Numbers(), asyncio.Event()
    with anyio.fail_after(20):
        async with asyncio.TaskGroup() as tasks:
            application = streaming(chunks, closing)
            tasks.create_task(application({"method": "GET"}, transport.receive, transport.send))
            await transport.is_full.wait()
            for _ in range(100):
                await asyncio.sleep(0)
            assert chunks.asked == 4  # three are written, and one waits
            (transport.gone if who == "reader" else closing).set()
    assert [message.get("body") for message in transport.sent] == [None, b"1", b"2", b"3", b""]
    assert transport.sent[0]["status"] == 200
    assert (b"x-kind", b"test") in transport.sent[0]["headers"]
    assert transport.sent[-1]["more_body"] is False
    assert chunks.closed == 1


async def test_a_head_request_asks_for_nothing_and_closes_all_the_same() -> None:
    transport, chunks = Transport(room=4), Numbers()
    with anyio.fail_after(20):
        await streaming(chunks, asyncio.Event())({"method": "HEAD"}, transport.receive, transport.send)
    assert (chunks.asked, chunks.closed) == (0, 1)
    assert transport.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_chunks_are_closed_where_not_even_the_headers_can_be_sent() -> None:
    chunks = Numbers()

    async def send(message: dict[str, Any]) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await streaming(chunks, asyncio.Event())({"method": "GET"}, Transport(4).receive, send)
    assert (chunks.asked, chunks.closed) == (0, 1)
