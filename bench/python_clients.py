"""What a Python program sees: our client, and redis-py with hiredis, each on uvloop in a process and a loop of its own.

Run as a module by `measure_client`, which reads one line of JSON from it: per_second, p50_us, p99_us, and for subscribers
deliveries per second instead.

One connection of ours carries any number of requests at a time, one of redis-py only one, so redis-py gets as many
connections as the callers can keep busy, up to the number at which it was found fastest; each caller keeps to one of them,
which was found faster than its pools.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, Protocol

import redis.asyncio as aioredis
import uvloop
from redis.asyncio.client import PubSub

import palimpsest
from bench import processes, workload
from bench.peer import PALIMPSEST, REDIS, Peer
from bench.tasks import DELIVERY_SECONDS_MAX, Callers, few_at_once, percentiles, run_callers

Task = Literal["update", "get", "subscribe"]
REDIS_CONNECTIONS_MAX = 64
"""Measured with 1, 8, 32, 64, 128 and 1,024 connections for 64 and 1,024 callers: more than 64 is slower."""


def measure_client(peer: Peer, task: Task, load: Callers) -> dict[str, float]:
    """Runs the peer's Python client in a process of its own. Raises PeerFailed with what that process said."""
    command = [sys.executable, "-m", "bench.python_clients", peer.name, task, "--port", str(peer.port)]
    command += ["--callers", str(load.callers), "--connections", str(load.connections)]
    command += ["--warmup", str(load.warmup_seconds), "--seconds", str(load.seconds)]
    if peer.script:
        command += ["--script", peer.script]
    usage = processes.Usage(peer.pid)
    output = processes.run(command, seconds_max=load.warmup_seconds + load.seconds + 120)
    found: dict[str, float] = json.loads(output)
    return found | usage.figures()


class Side(Protocol):
    """One peer as its Python client shows it. Opened once, used by all tasks."""

    async def update(self, caller: int, number: int) -> None:
        """One durable update. number: which document, field and text."""
        ...

    async def get(self, caller: int, number: int) -> None:
        """One document, decoded."""
        ...

    def follow(self, subscriber: int) -> AsyncIterator[object]:
        """The changes of the first document, as one subscriber receives them."""
        ...


class PalimpsestSide:
    def __init__(
        self, clients: Sequence[palimpsest.Client], changes: Sequence[AsyncIterator[palimpsest.Change]]
    ) -> None:
        self._clients = clients
        self._changes = changes

    async def update(self, caller: int, number: int) -> None:
        document = workload.document_name(number % workload.DOCUMENTS)
        delta = {workload.field_name(number): workload.field_text(number), workload.COUNTER: palimpsest.Increment(1)}
        await self._clients[caller % len(self._clients)].update(document, delta)

    async def get(self, caller: int, number: int) -> None:
        document = workload.document_name(number % workload.DOCUMENTS)
        _check((await self._clients[caller % len(self._clients)].get(document)).value)

    def follow(self, subscriber: int) -> AsyncIterator[object]:
        return self._changes[subscriber]


class RedisSide:
    def __init__(self, clients: Sequence[aioredis.Redis], script: str, subscribers: Sequence[PubSub]) -> None:
        self._clients = clients
        self._script = script
        self._subscribers = subscribers

    async def update(self, caller: int, number: int) -> None:
        document = workload.document_name(number % workload.DOCUMENTS)
        field, text = workload.field_name(number), workload.field_text(number)
        client = self._clients[caller % len(self._clients)]
        await client.evalsha(self._script, 2, document, workload.log_name(document), field, text)

    async def get(self, caller: int, number: int) -> None:
        client = self._clients[caller % len(self._clients)]
        _check(await client.hgetall(workload.document_name(number % workload.DOCUMENTS)))

    async def follow(self, subscriber: int) -> AsyncIterator[object]:
        # Found a little faster than `listen`, and much faster than a timeout.
        while True:
            message = await self._subscribers[subscriber].get_message(ignore_subscribe_messages=True, timeout=None)
            if message is not None:
                yield message


def _check(value: Any) -> None:
    assert len(value) == workload.TEXT_FIELDS + 1


@asynccontextmanager
async def open_palimpsest(port: int, connections: int, subscribers: int) -> AsyncIterator[PalimpsestSide]:
    """connections: clients, which the callers share. subscribers: each has one more client of its own."""
    url = f"palimpsest://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:

        async def connect(_: int) -> palimpsest.Client:
            return await stack.enter_async_context(palimpsest.connect(url))

        async def subscribe(client: palimpsest.Client) -> AsyncIterator[palimpsest.Change]:
            return aiter(await stack.enter_async_context(client.subscribe(workload.document_name(0))))

        clients = await few_at_once(connect, range(connections + subscribers))
        changes = await few_at_once(subscribe, clients[connections:])
        yield PalimpsestSide(clients[:connections], changes)


@asynccontextmanager
async def open_redis(port: int, script: str, connections: int, subscribers: int) -> AsyncIterator[RedisSide]:
    """connections: clients of one connection each, which the callers share. subscribers: each has one more of its own."""
    async with AsyncExitStack() as stack:

        async def connect(_: int) -> aioredis.Redis:
            client = aioredis.Redis(host="127.0.0.1", port=port, decode_responses=True, single_connection_client=True)
            return await stack.enter_async_context(client)

        async def subscribe(_: int) -> PubSub:
            client = aioredis.Redis(host="127.0.0.1", port=port, decode_responses=True)
            subscriber = (await stack.enter_async_context(client)).pubsub()
            await stack.enter_async_context(subscriber)
            await subscriber.subscribe(workload.document_name(0))
            confirmation = await subscriber.get_message(timeout=DELIVERY_SECONDS_MAX)
            assert confirmation is not None
            return subscriber

        clients = await few_at_once(connect, range(connections))
        yield RedisSide(clients, script, await few_at_once(subscribe, range(subscribers)))


async def run_subscribers(side: Side, load: Callers) -> dict[str, float]:
    """One change of one document at a time: the next is made when every subscriber has received the one before."""
    latencies: list[float] = []
    clock = time.perf_counter
    arrivals = _Arrivals(load.connections)

    async def follow(subscriber: int) -> None:
        async for _ in side.follow(subscriber):
            arrivals.count()

    async def change(number: int) -> None:
        arrived = arrivals.expect()
        await side.update(0, number * workload.DOCUMENTS)
        await arrived

    followers = [asyncio.create_task(follow(subscriber)) for subscriber in range(load.connections)]
    started = clock()
    number = 0
    while (before := clock()) < started + load.warmup_seconds + load.seconds:
        await asyncio.wait_for(change(number), DELIVERY_SECONDS_MAX)
        if before >= started + load.warmup_seconds:
            latencies.append(clock() - before)
        number += 1
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    return {"per_second": load.connections * len(latencies) / sum(latencies), **percentiles(latencies)}


class _Arrivals:
    """Counts a change's deliveries, and says when all have come."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._missing = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def expect(self) -> asyncio.Future[None]:
        """Done once as many as expected have been counted from now on."""
        self._missing = self._expected
        self._done = asyncio.get_running_loop().create_future()
        return self._done

    def count(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._done.set_result(None)


async def run(arguments: argparse.Namespace) -> dict[str, float]:
    load = Callers(arguments.callers, arguments.connections, arguments.warmup, arguments.seconds)
    follows = arguments.task == "subscribe"
    connections, subscribers = (1, load.connections) if follows else (load.connections, 0)
    async with AsyncExitStack() as stack:
        side: Side
        if arguments.peer == PALIMPSEST:
            side = await stack.enter_async_context(open_palimpsest(arguments.port, connections, subscribers))
        else:
            opened = open_redis(arguments.port, arguments.script, connections, subscribers)
            side = await stack.enter_async_context(opened)
        # What there is now stays; both clients are spared collections that walk over it.
        gc.collect()
        gc.freeze()
        if follows:
            return await run_subscribers(side, load)
        return await run_callers(side.update if arguments.task == "update" else side.get, load)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures one peer's Python client; prints one line of JSON.")
    parser.add_argument("peer", choices=[PALIMPSEST, REDIS])
    parser.add_argument("task", choices=["update", "get", "subscribe"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--callers", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--warmup", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--script", default="")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(uvloop.run(run(arguments))))


if __name__ == "__main__":
    main()
