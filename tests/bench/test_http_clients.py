import asyncio
from typing import Any

import msgspec
import pytest

from bench import workload
from bench.http_clients import Connection, Reader, get_request, update_request
from palimpsest.web.sse import frame

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Wire:
    """What was written to a connection."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_each_change_is_counted_once_however_it_is_cut(size: int) -> None:
    counted: list[int] = []
    reader = Reader(counted.append)
    wire: Any = Wire()
    reader.connection_made(wire)
    frames = [frame("state", {"state": "live"}), *(frame("change", {"version": each}, "1.2") for each in range(5))]
    data = HEAD + b"".join(map(chunk, frames))
    for start in range(0, len(data), size):
        reader.data_received(data[start : start + size])
    assert reader.begun.done()
    assert sum(counted) == 5
    assert wire.written.startswith(b"GET /events?pattern=")


async def test_a_stream_that_is_refused_is_no_stream() -> None:
    reader = Reader(lambda count: None)
    reader.data_received(b"HTTP/1.1 410 Gone\r\n\r\n")
    with pytest.raises(ConnectionError, match="410"):
        await reader.begun


@pytest.mark.parametrize("size", [1, 5, 1_000])
async def test_an_answer_is_put_together(size: int) -> None:
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]
    for body in (b'{"a":1}', b"[]"):
        asking = asyncio.ensure_future(connection.ask(b"x"))
        await asyncio.sleep(0)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for start in range(0, len(answer), size):
            connection.data_received(answer[start : start + size])
        assert await asking == body


def test_requests_are_those_of_the_other_clients() -> None:
    assert get_request(3).startswith(f"GET /documents/{workload.document_name(3)} HTTP/1.1\r\n".encode())
    head, _, body = update_request(3).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert [op["path"] for op in msgspec.json.decode(body)] == [workload.field_name(3), workload.COUNTER]
