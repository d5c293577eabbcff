from __future__ import annotations

import asyncio
import socket

import pytest
from gateway_kit import asker

from palimpsest import Server
from palimpsest.errors import InvalidRequest
from palimpsest.web import Gateway
from palimpsest.web.gateway import _bind

pytestmark = pytest.mark.anyio


async def test_that_it_listens_where_it_says() -> None:
    async with Server.memory() as server, Gateway(server.url, host="::1") as gateway, asker(gateway) as http:
        assert gateway.url.startswith("http://[::1]:")
        assert (await http.get("/healthz")).text == "ok\n"


async def test_that_an_address_that_cannot_be_had_is_said_to_be_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        gateway = Gateway("palimpsest://127.0.0.1:1", port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            await gateway.__aenter__()
    with pytest.raises(InvalidRequest, match="no address"):
        await Gateway("palimpsest://127.0.0.1:1", host="nowhere.invalid").__aenter__()


async def test_that_whether_it_is_ready_is_asked_once_for_all_who_ask_meanwhile() -> None:
    asked, answer = 0, asyncio.Event()

    async def is_ready() -> str | None:
        nonlocal asked
        asked += 1
        await answer.wait()
        return "the archive is behind" if asked == 1 else None

    async with Server.memory() as server, Gateway(server.url, is_ready=is_ready) as gateway, asker(gateway) as http:
        asking = [asyncio.ensure_future(http.get("/readyz")) for _ in range(5)]
        while asked == 0:
            await asyncio.sleep(0)
        for _ in range(3):
            await http.get("/healthz")  # the others have asked by now
        answer.set()
        answers = await asyncio.gather(*asking)
        assert {found.status_code for found in answers} <= {503, 200}
        assert answers[0].json()["detail"] == "the archive is behind"
        assert asked < 5
        assert (await http.get("/readyz")).text == "ready\n"


async def test_that_connections_send_small_answers_at_once() -> None:
    """Asyncio does so only where a listening socket says that it speaks TCP; otherwise each answer waits for the reader's next word."""
    listening = await _bind("127.0.0.1", 0)
    try:
        assert listening.proto == socket.IPPROTO_TCP
    finally:
        listening.close()
