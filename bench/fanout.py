"""One document that changes without a pause, and very many who follow it: deliveries per second.

All subscribers of a peer are in one process, on uvloop, and so is who makes the changes: that is a hundredth of the work, and keeps so
many changes under way and no more (`WINDOW`), as Redis would throw subscribers out that are behind. A delivery is counted where
a program gets it. What is compared:

- Palimpsest: durable updates, followed by `client.subscribe`. A connection has one subscriber, or many.
- Redis: PUBLISH alone, of the same text, with nothing kept on disk and nothing to go on from after a lost connection, followed by
  redis-py with hiredis. A connection of redis-py hands each message out once: where it has many subscribers, a task takes the messages
  and puts each into the queue of every subscriber, as a program would have to.
- sockets: the bytes of Palimpsest's frames through `sockets_peer`, not decoded. One that arrives counts for all subscribers of its
  connection.

Run as a module by `measure_fanout`, which reads one line of JSON from it: per_second, and p50_us and p99_us from the sending of a
change until all have it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import redis.asyncio as aioredis
import uvloop
from msgspec import Raw
from msgspec.msgpack import encode

import palimpsest
from bench import processes, workload
from bench.peer import PALIMPSEST, REDIS, Peer
from bench.python_clients import DELIVERY_SECONDS_MAX, few_at_once, percentiles
from bench.sockets_peer import SOCKETS
from palimpsest.protocol.changes import address, encode_change
from palimpsest.protocol.framing import join_frames
from palimpsest.protocol.messages import Change
from palimpsest.words import MAIN, Kind

WINDOW = 16
"""Changes under way at a time."""
_DOCUMENT = workload.document_name(0)

_Publish = Callable[[int], Awaitable[object]]
"""Makes the change of that number, and returns once the peer has answered."""


class Crowd(msgspec.Struct, frozen=True):
    """subscribers: a multiple of connections."""

    subscribers: int
    connections: int
    warmup_seconds: float
    seconds: float

    @property
    def per_connection(self) -> int:
        return self.subscribers // self.connections


def measure_fanout(peer: Peer, crowd: Crowd) -> dict[str, float]:
    """Raises PeerFailed with what the process said."""
    command = [sys.executable, "-m", "bench.fanout", peer.name, str(peer.port)]
    command += [str(number) for number in msgspec.structs.astuple(crowd)]
    usage = processes.Usage(peer.pid)
    output = processes.run(command, seconds_max=crowd.warmup_seconds + crowd.seconds + 120)
    found: dict[str, float] = json.loads(output)
    return found | usage.figures()


class Arrivals:
    """Counts deliveries, and tells who waits for so many of them."""

    def __init__(self, subscribers: int) -> None:
        self.total = 0
        self._subscribers = subscribers
        self._expected = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        """By what the total is to be, rising."""

    def expect(self) -> asyncio.Future[None]:
        """Of one more change: done once as many deliveries have come as that makes, of it and of those before."""
        self._expected += self._subscribers
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._expected, future))
        return future

    def count(self, deliveries: int = 1) -> None:
        self.total += deliveries
        while self._waiting and self._waiting[0][0] <= self.total:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)


async def run(opened: AbstractAsyncContextManager[_Publish], crowd: Crowd, arrivals: Arrivals) -> dict[str, float]:
    async with opened as publish:
        # What there is now stays; all peers are spared collections that walk over it.
        gc.collect()
        gc.freeze()
        latencies: list[float] = []
        measure_from = time.perf_counter() + crowd.warmup_seconds
        span = (measure_from, measure_from + crowd.seconds)
        rate, *_ = await asyncio.gather(
            _rate(arrivals, crowd), *[_write(publish, arrivals, span, latencies) for _ in range(WINDOW)]
        )
        return {"per_second": rate, **percentiles(latencies)}


async def _rate(arrivals: Arrivals, crowd: Crowd) -> float:
    """Deliveries per second, of the time after the first."""
    await asyncio.sleep(crowd.warmup_seconds)
    started, before = time.perf_counter(), arrivals.total
    await asyncio.sleep(crowd.seconds)
    return (arrivals.total - before) / (time.perf_counter() - started)


async def _write(publish: _Publish, arrivals: Arrivals, span: tuple[float, float], latencies: list[float]) -> None:
    """One change after the other, each once all have the one before, until the span ends. latencies: gets those inside it."""
    number = 0
    while (sent := time.perf_counter()) < span[1]:
        arrived = arrivals.expect()
        await publish(number)
        async with asyncio.timeout(DELIVERY_SECONDS_MAX):
            await arrived
        if sent >= span[0]:
            latencies.append(time.perf_counter() - sent)
        number += 1


@asynccontextmanager
async def _readers(readers: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(reader) for reader in readers]
    try:
        yield
    finally:
        await _end(tasks)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# --- Palimpsest ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _open_palimpsest(port: int, crowd: Crowd, arrivals: Arrivals) -> AsyncIterator[_Publish]:
    async with AsyncExitStack() as stack:

        async def connect(_: int) -> palimpsest.Client:
            return await stack.enter_async_context(palimpsest.connect(f"palimpsest://127.0.0.1:{port}"))

        async def subscribe(client: palimpsest.Client) -> palimpsest.Subscription:
            return await stack.enter_async_context(client.subscribe(_DOCUMENT))

        async def read(changes: palimpsest.Subscription) -> None:
            async for _ in changes:
                arrivals.count()

        writer, *clients = await few_at_once(connect, range(1 + crowd.connections))
        followed = await few_at_once(subscribe, clients * crowd.per_connection)

        def publish(number: int) -> Awaitable[object]:
            delta = {
                workload.field_name(number): workload.field_text(number),
                workload.COUNTER: palimpsest.Increment(1),
            }
            return writer.update(_DOCUMENT, delta)

        await stack.enter_async_context(_readers(map(read, followed)))
        yield publish


# --- Redis -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _open_redis(port: int, crowd: Crowd, arrivals: Arrivals) -> AsyncIterator[_Publish]:
    queues: list[list[asyncio.Queue[Any]]] = []

    async with AsyncExitStack() as stack:

        async def connect() -> aioredis.Redis:
            client = aioredis.Redis(host="127.0.0.1", port=port, decode_responses=True)
            return await stack.enter_async_context(client)

        async def subscribe(_: int) -> aioredis.client.PubSub:
            followed = await stack.enter_async_context((await connect()).pubsub())
            await followed.subscribe(_DOCUMENT)
            assert await followed.get_message(timeout=DELIVERY_SECONDS_MAX) is not None
            return followed

        async def read(followed: aioredis.client.PubSub) -> None:
            # Found a little faster than `listen`, and much faster than a timeout.
            while True:
                if await followed.get_message(ignore_subscribe_messages=True, timeout=None) is not None:
                    arrivals.count()

        async def hand_out(followed: aioredis.client.PubSub, own: list[asyncio.Queue[Any]]) -> None:
            while True:
                message = await followed.get_message(ignore_subscribe_messages=True, timeout=None)
                if message is not None:
                    for queue in own:
                        queue.put_nowait(message)

        async def take(queue: asyncio.Queue[Any]) -> None:
            while True:
                await queue.get()
                arrivals.count()

        writer = await connect()
        connections = await few_at_once(subscribe, range(crowd.connections))
        if crowd.per_connection == 1:
            readers = list(map(read, connections))
        else:
            queues = [[asyncio.Queue() for _ in range(crowd.per_connection)] for _ in connections]
            readers = [take(queue) for own in queues for queue in own] + list(map(hand_out, connections, queues))

        def publish(number: int) -> Awaitable[object]:
            text = f"{workload.field_name(number)}={workload.field_text(number)} count={number}"
            published: Awaitable[object] = writer.publish(_DOCUMENT, text)
            return published

        await stack.enter_async_context(_readers(readers))
        yield publish


# --- plain sockets ---------------------------------------------------------------------------------------------------


class _Counter(asyncio.Protocol):
    def __init__(self, frame_bytes: int, deliveries: int, arrivals: Arrivals) -> None:
        self._frame_bytes, self._deliveries, self._arrivals = frame_bytes, deliveries, arrivals
        self._rest = 0

    def data_received(self, data: bytes) -> None:
        frames, self._rest = divmod(self._rest + len(data), self._frame_bytes)
        self._arrivals.count(frames * self._deliveries)


@asynccontextmanager
async def _open_sockets(port: int, crowd: Crowd, arrivals: Arrivals) -> AsyncIterator[_Publish]:
    loop = asyncio.get_running_loop()
    frame = _frame(crowd.per_connection)

    async def connect(_: int) -> asyncio.BaseTransport:
        made = await loop.create_connection(
            lambda: _Counter(len(frame), crowd.per_connection, arrivals), "127.0.0.1", port
        )
        return made[0]

    transports = await few_at_once(connect, range(crowd.connections))
    _, writer = await asyncio.open_connection("127.0.0.1", port)

    def publish(_: int) -> Awaitable[object]:
        writer.write(frame)
        return writer.drain()

    try:
        yield publish
    finally:
        writer.close()
        for transport in transports:
            transport.close()


def _frame(subscriptions: int) -> bytes:
    """As Palimpsest sends one of the updates to so many subscriptions of one connection."""
    delta = Raw(encode([[0, [workload.field_name(0)], workload.field_text(0)], [3, [workload.COUNTER], 1]]))
    change = Change((), 100_000, _DOCUMENT, MAIN, 100_000, Kind.UPDATE, 1_700_000_000_000_000, delta)
    return join_frames([address(encode_change(change), tuple(range(1, 1 + subscriptions)))])


_OPEN = {PALIMPSEST: _open_palimpsest, REDIS: _open_redis, SOCKETS: _open_sockets}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the deliveries of one peer; prints one line of JSON.")
    parser.add_argument("peer", choices=list(_OPEN))
    parser.add_argument("port", type=int)
    parser.add_argument("subscribers", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("warmup_seconds", type=float)
    parser.add_argument("seconds", type=float)
    arguments = vars(parser.parse_args())
    peer, port, crowd = arguments.pop("peer"), arguments.pop("port"), Crowd(**arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    arrivals = Arrivals(crowd.subscribers)
    print(json.dumps(uvloop.run(run(_OPEN[peer](port, crowd, arrivals), crowd, arrivals))))


if __name__ == "__main__":
    main()
