"""What comes before a request is one, over sockets: bounded in bytes and in time."""

from __future__ import annotations

import asyncio

import pytest
from gateway_kit import served

from palimpsest.limits import HttpLimits
from palimpsest.web import Gateway

pytestmark = pytest.mark.anyio


async def connect(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = gateway.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def closed_with(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nX-Long: ", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
async def test_that_a_head_without_an_end_is_cut_off(start: bytes) -> None:
    async with served(HttpLimits(head_bytes_max=10_000)) as (_, gateway, http):
        reader, writer = await connect(gateway)
        writer.write(start)
        more = b"X-More: 1\r\n" * 100 if start.endswith(b"\n") else b"x" * 1_000
        sent = 0
        while not (writer.is_closing() or reader.at_eof() or reader.exception()):
            writer.write(more)
            sent += len(more)
            assert sent < 1_000_000, "a megabyte of headers was taken"
            await asyncio.sleep(0)  # the gateway's turn
        writer.close()
        assert (await http.get("/healthz")).status_code == 200


async def test_that_a_head_that_is_too_long_is_said_to_be() -> None:
    async with served(HttpLimits(head_bytes_max=1_000)) as (_, gateway, _):
        reader, writer = await connect(gateway)
        writer.write(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 2_000)
        assert (await closed_with(reader)).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_that_many_requests_on_one_connection_are_not_taken_for_one_long_head() -> None:
    async with served(HttpLimits(head_bytes_max=500)) as (client, gateway, _):
        await client.create("n", "x" * 100)
        reader, writer = await connect(gateway)
        for _ in range(20):
            writer.write(b"GET /documents/n HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readuntil(b'x"')).startswith(b"HTTP/1.1 200 ")
        body = b'"' + b"y" * 5_000 + b'"'
        head = b"PUT /documents/n HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: local"])
async def test_that_a_head_that_does_not_come_is_given_up(start: bytes) -> None:
    async with served(HttpLimits(head_seconds=0.01)) as (_, gateway, _):
        reader, writer = await connect(gateway)
        writer.write(start)
        assert await closed_with(reader) == b""
        writer.close()


async def test_that_a_second_head_that_does_not_come_is_given_up_too() -> None:
    async with served(HttpLimits(head_seconds=0.05)) as (client, gateway, _):
        await client.create("n", "x")
        reader, writer = await connect(gateway)
        writer.write(b"GET /documents/n HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b'"x"')).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GET /documents/n HTTP/1.1\r\nHost: local")
        assert await closed_with(reader) == b""
        writer.close()


async def test_that_the_time_of_a_head_is_not_that_of_its_request() -> None:
    async with served(HttpLimits(head_seconds=0.05, keep_alive_seconds=0.2)) as (_, gateway, _):
        reader, writer = await connect(gateway)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b": alive")).startswith(b"HTTP/1.1 200 ")
        writer.close()
