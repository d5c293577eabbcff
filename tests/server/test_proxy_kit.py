"""The proxy that gives trouble gives the trouble that it says, and no other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from proxy_kit import End, Manner, Proxy

import palimpsest as pal

pytestmark = pytest.mark.anyio

HELLO = (5).to_bytes(4, "big") + b"hello"


class Echo(asyncio.Protocol):
    """Says back what it is told."""

    def __init__(self, connections: list[bytearray]) -> None:
        self.heard = bytearray()
        connections.append(self.heard)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.transport.write(data)  # type: ignore[attr-defined]


@asynccontextmanager
async def echoing(manner: Manner, end: End, bytes_mean: int) -> AsyncIterator[tuple[Proxy, list[bytearray]]]:
    heard: list[bytearray] = []
    listener = await asyncio.get_running_loop().create_server(lambda: Echo(heard), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    chance = random.Random(1)
    with anyio.fail_after(10):
        async with (
            listener,
            Proxy(
                lambda: port, chance, bytes_mean=bytes_mean, manners=(manner,), ends=(end,), clog_seconds=0.01
            ) as proxy,
        ):
            yield proxy, heard


@asynccontextmanager
async def talking(proxy: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await anyio.sleep(0.001)


@pytest.mark.parametrize("manner", list(Manner), ids=str)
async def test_bytes_are_passed_on_as_they_are_in_every_manner(manner: Manner) -> None:
    async with echoing(manner, End.NONE, 1) as (proxy, heard), talking(proxy) as (reader, writer):
        sent = HELLO + random.Random(2).randbytes(100_000)
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        assert bytes(heard[0 if manner is not Manner.DOUBLED else heard.index(bytearray(sent))]) == sent
        assert proxy.seen == {manner: 1}


async def test_a_double_says_hello_first() -> None:
    async with echoing(Manner.DOUBLED, End.NONE, 1) as (proxy, heard), talking(proxy) as (reader, writer):
        writer.write(HELLO)
        assert await reader.readexactly(len(HELLO)) == HELLO
        assert [bytes(one) for one in heard] == [HELLO, HELLO]


async def test_a_connection_is_cut_in_the_middle() -> None:
    async with echoing(Manner.PLAIN, End.CUT, 1_000) as (proxy, _), talking(proxy) as (reader, writer):
        writer.write(bytes(10_000))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(10_000)
        assert proxy.seen[End.CUT] == 1


async def test_a_stalled_connection_takes_bytes_and_gives_none() -> None:
    async with echoing(Manner.PLAIN, End.STALLED, 100) as (proxy, heard), talking(proxy) as (_, writer):
        writer.write(bytes(10_000))
        await until(lambda: proxy.seen[End.STALLED] == 1)
        writer.write(bytes(1_000_000))
        await writer.drain()
        assert len(heard[0]) < 10_000


async def test_what_was_kept_arrives_after_the_next_connection_has_begun_to_speak() -> None:
    async with echoing(Manner.PLAIN, End.KEPT, 100) as (proxy, heard), talking(proxy) as (reader, writer):
        writer.write(b"a" * 5_000)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(5_000)
        before = len(heard[0])
        async with talking(proxy) as (_, next_writer):
            next_writer.write(b"b")
            await until(lambda: len(heard[0]) == 5_000)
        assert before < 5_000
        assert bytes(heard[1]) == b"b"


async def test_a_client_gives_up_a_server_that_says_no_welcome_after_the_silence_that_it_allows() -> None:
    async with pal.Server.memory() as server:
        port = int(server.url.rpartition(":")[2])
        async with Proxy(lambda: port, random.Random(1), bytes_mean=1, ends=(End.STALLED,)) as proxy:
            with anyio.fail_after(10):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_calm_after_a_stall, proxy)
                    async with pal.connect(proxy.url, peer_silence_seconds=0.1) as client:
                        await client.ping()


async def _calm_after_a_stall(proxy: Proxy) -> None:
    await until(lambda: proxy.seen[End.STALLED] > 0)
    proxy.is_calm = True
