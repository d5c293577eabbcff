"""The processes that `gateway` measures with: HTTP/1.1 by hand, on uvloop.

    python -m bench.http_clients update PORT ...   callers that change documents, one request at a time each
    python -m bench.http_clients get PORT ...      callers that read them
    python -m bench.http_clients late PORT ...     readers of event streams that note when each change came
    python -m bench.http_clients deliver PORT ...  the same, as many changes as they take

Each prints one line of JSON at its end. What a library for HTTP does for its caller takes several times as long as what the gateway does for a
request, and would be measured in its place. Every caller and every reader has a connection of its own, which is kept open.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import uvloop

import palimpsest
from bench import processes, workload
from bench.feed_clients import written
from bench.tasks import DELIVERY_SECONDS_MAX, Arrivals, Callers, few_at_once, percentiles, run_callers

_DELTA = "application/vnd.palimpsest.delta+json"
_HEAD_END = b"\r\n\r\n"
_CHANGE = b"event: change\n"


# --- asking ----------------------------------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """One request at a time; answers have a `Content-Length`."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: Any = None

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer. Raises ConnectionError where the connection ends, or the answer is not 200."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(_HEAD_END)
        if not found or len(body) < _content_bytes(head):
            return
        self._received = b""
        assert self._answer is not None
        if head.startswith(b"HTTP/1.1 200"):
            self._answer.set_result(body)
        else:
            self._answer.set_exception(ConnectionError(f"{head.decode()}: {body.decode()}"))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the gateway closed the connection"))


def _content_bytes(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


def get_request(number: int) -> bytes:
    return _request("GET", number)


def update_request(number: int) -> bytes:
    """The same as the other clients do: a field is set, and the counter incremented."""
    delta = [
        {"op": "set", "path": workload.field_name(number), "value": workload.field_text(number)},
        {"op": "increment", "path": workload.COUNTER, "by": 1},
    ]
    return _request("PATCH", number, msgspec.json.encode(delta))


def _request(method: str, number: int, body: bytes = b"") -> bytes:
    name = workload.document_name(number % workload.DOCUMENTS)
    sent = f"Content-Type: {_DELTA}\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{method} /documents/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\n{sent}\r\n".encode() + body


async def _connected(make: Callable[[], Any], port: int, count: int) -> list[Any]:
    loop = asyncio.get_running_loop()

    async def connect(_: int) -> Any:
        return (await loop.create_connection(make, "127.0.0.1", port))[1]

    return await few_at_once(connect, range(count))


async def ask(port: int, task: str, load: Callers) -> dict[str, float]:
    connections: list[Connection] = await _connected(Connection, port, load.callers)

    async def update(caller: int, number: int) -> None:
        msgspec.json.decode(await connections[caller].ask(update_request(number)))

    async def get(caller: int, number: int) -> None:
        value = msgspec.json.decode(await connections[caller].ask(get_request(number)))
        assert len(value) == workload.TEXT_FIELDS + 1

    _spare_collector()
    found = await run_callers(update if task == "update" else get, load)
    for connection in connections:
        connection.close()
    return found


# --- following -------------------------------------------------------------------------------------------------------


class Reader(asyncio.Protocol):
    """An event stream. arrived: called with how many changes have just come."""

    def __init__(self, arrived: Callable[[int], object]) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the stream is there, so that every change after that comes."""
        self._arrived = arrived
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(
            f"GET /events?pattern={workload.document_name(0)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self.begun.done():
            if _HEAD_END not in data:
                self._rest = data
                return
            _settle(self.begun, data)
        count = data.count(_CHANGE)
        self._rest = data[-len(_CHANGE) + 1 :]  # less than one, so that none is counted twice
        if count:
            self._arrived(count)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(ConnectionError("the gateway closed the connection"))

    def close(self) -> None:
        self._transport.close()


def _settle(begun: asyncio.Future[None], head: bytes) -> None:
    if head.startswith(b"HTTP/1.1 200"):
        begun.set_result(None)
    else:
        begun.set_exception(ConnectionError(head.decode()))


async def _reading(port: int, readers: int, arrived: Callable[[int], Callable[[int], object]]) -> list[Reader]:
    """arrived: of each reader, by its number."""
    numbers = iter(range(readers))
    found: list[Reader] = await _connected(lambda: Reader(arrived(next(numbers))), port, readers)
    await asyncio.gather(*[reader.begun for reader in found])
    return found


async def late(port: int, server_port: int, server_pid: int, readers: int, changes: int, rate: int) -> dict[str, float]:
    """From the answer to the writer, who speaks the protocol, to the delivery of a change, in microseconds; and what one reader that waits costs the
    server in resident bytes."""
    before_bytes = processes.resident_bytes(server_pid)
    arrivals = Arrivals(readers)
    times: list[list[float]] = [[] for _ in range(readers)]

    def arrived(number: int) -> Callable[[int], None]:
        own = times[number]

        def note(count: int) -> None:
            own.extend([time.monotonic()] * count)
            arrivals.count(count)

        return note

    found = await _reading(port, readers, arrived)
    grown = processes.resident_bytes(server_pid) - before_bytes
    _spare_collector()
    waiting = [arrivals.expect() for _ in range(changes)]
    answered = await written(server_port, changes, rate, 0)
    await asyncio.wait_for(asyncio.gather(*waiting), DELIVERY_SECONDS_MAX)
    for reader in found:
        reader.close()
    late_us = sorted(1e6 * (at - answer) for own in times for at, answer in zip(own, answered, strict=True))
    return {
        "p50_us": late_us[len(late_us) // 2],
        "p99_us": late_us[len(late_us) * 99 // 100],
        "reader_bytes": grown / readers,
    }


async def deliver(port: int, server_port: int, readers: int, load: Callers) -> dict[str, float]:
    """One change at a time: the next is made when every reader has the one before."""
    arrivals = Arrivals(readers)
    found = await _reading(port, readers, lambda _: arrivals.count)
    latencies: list[float] = []
    clock = time.perf_counter
    async with palimpsest.connect(f"palimpsest://127.0.0.1:{server_port}") as client:
        _spare_collector()
        started, number = clock(), 0
        while (before := clock()) < started + load.warmup_seconds + load.seconds:
            arrived = arrivals.expect()
            await client.update(workload.document_name(0), {workload.field_name(number): workload.field_text(number)})
            await asyncio.wait_for(arrived, DELIVERY_SECONDS_MAX)
            if before >= started + load.warmup_seconds:
                latencies.append(clock() - before)
            number += 1
    for reader in found:
        reader.close()
    return {"per_second": readers * len(latencies) / sum(latencies), **percentiles(latencies)}


def _spare_collector() -> None:
    gc.collect()
    gc.freeze()


async def run(arguments: argparse.Namespace) -> dict[str, float]:
    load = Callers(arguments.callers, arguments.callers, arguments.warmup, arguments.seconds)
    if arguments.task == "late":
        return await late(
            arguments.port,
            arguments.server_port,
            arguments.server_pid,
            arguments.callers,
            arguments.changes,
            arguments.rate,
        )
    if arguments.task == "deliver":
        return await deliver(arguments.port, arguments.server_port, arguments.callers, load)
    return await ask(arguments.port, arguments.task, load)


def main() -> None:
    parser = argparse.ArgumentParser(description="One of the programs that the gateway is measured with.")
    parser.add_argument("task", choices=["update", "get", "late", "deliver"])
    parser.add_argument("--port", type=int, required=True, help="of the gateway")
    parser.add_argument("--callers", type=int, required=True, help="or readers")
    parser.add_argument("--warmup", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--server-port", type=int, default=0)
    parser.add_argument("--server-pid", type=int, default=0)
    parser.add_argument("--changes", type=int, default=0)
    parser.add_argument("--rate", type=int, default=0)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.stdout.write(msgspec.json.encode(uvloop.run(run(arguments))).decode() + "\n")


if __name__ == "__main__":
    main()
