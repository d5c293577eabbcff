"""The processes that `feeds` measures with, each a program with our client in it, on uvloop.

    python -m bench.feed_clients late PORT ...      subscribers that note when each change came
    python -m bench.feed_clients write PORT ...     who changes their document, at a steady pace, and notes when it was answered
    python -m bench.feed_clients flood PORT ...     what the stuck reader follows
    python -m bench.feed_clients fill PORT ...      a history
    python -m bench.feed_clients catch-up PORT ...  one subscriber that reads a history
    python -m bench.feed_clients idle PORT ...      subscribers to what never changes

Each prints one line of JSON at its end. `late` starts `write` by itself, once it is subscribed. Times are of the monotonic clock, in
seconds, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import msgspec
import uvloop

import palimpsest
from bench import processes, workload
from bench.tasks import few_at_once
from palimpsest.errors import DocumentExists

BULK_DOCUMENTS = 16
"""That the stuck reader follows: each has a budget of its own."""
_DOCUMENT = workload.document_name(0)
_ONE, _MANY, _MANY_DOCUMENTS = "log/one", "log/many/", 1_000
_FILL_TASKS = 512
_ALONE = 200
"""Subscriptions that are made one after the other."""


def bulk_name(number: int) -> str:
    return f"bulk/{number % BULK_DOCUMENTS:02d}"


@asynccontextmanager
async def _connected(port: int, connections: int) -> AsyncIterator[list[palimpsest.Client]]:
    async with AsyncExitStack() as stack:

        async def connect(_: int) -> palimpsest.Client:
            return await stack.enter_async_context(palimpsest.connect(f"palimpsest://127.0.0.1:{port}"))

        yield await few_at_once(connect, range(connections))


def _spare_collector() -> None:
    gc.collect()
    gc.freeze()


# --- as it happens ---------------------------------------------------------------------------------------------------


async def late(
    port: int, subscribers: int, connections: int, changes: int, rate: int, bulk_bytes: int
) -> tuple[float, float]:
    """From the answer to the writer to the delivery of a change, in microseconds: the middle, and what 1% exceed. Below 0 where the
    subscriber hears of it before the writer does."""
    arrivals: list[list[float]] = [[] for _ in range(changes)]

    async def follow(followed: palimpsest.Subscription) -> None:
        for own in arrivals:
            await anext(followed)
            own.append(time.monotonic())

    async with _connected(port, connections) as clients, AsyncExitStack() as stack:

        async def subscribe(client: palimpsest.Client) -> palimpsest.Subscription:
            return await stack.enter_async_context(client.subscribe(_DOCUMENT))

        followed = await few_at_once(subscribe, clients * (subscribers // connections))
        _spare_collector()
        writing = asyncio.create_task(written(port, changes, rate, bulk_bytes))
        await asyncio.gather(writing, *map(follow, followed))
        answered = writing.result()
    found = sorted(1e6 * (at - answer) for answer, times in zip(answered, arrivals, strict=True) for at in times)
    return found[len(found) // 2], found[len(found) * 99 // 100]


async def written(*numbers: int) -> list[float]:
    """What `write` says, in a process of its own. Raises CalledProcessError."""
    command = [sys.executable, "-m", "bench.feed_clients", "write", *map(str, numbers)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return msgspec.json.decode(output, type=list[float])


async def write(port: int, changes: int, rate: int, bulk_bytes: int) -> list[float]:
    """Of each change, when it was answered. rate: per second. bulk_bytes: beside each, a text of that size for the stuck reader."""
    answered: list[float] = []
    async with _connected(port, 1) as (client,):
        started = time.monotonic()
        for number in range(changes):
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
            beside = asyncio.create_task(_write_bulk(client, number, bulk_bytes)) if bulk_bytes else None
            await client.update(_DOCUMENT, _delta(number))
            answered.append(time.monotonic())
            if beside is not None:
                await beside
    return answered


async def flood(port: int, total_bytes: int, bulk_bytes: int) -> None:
    """So much to the documents that the stuck reader follows, which are made where they are not there."""
    async with _connected(port, 1) as (client,):
        for number in range(BULK_DOCUMENTS):
            with suppress(DocumentExists):
                await client.create(bulk_name(number), {})
        for number in range(total_bytes // bulk_bytes):
            await _write_bulk(client, number, bulk_bytes)


async def _write_bulk(client: palimpsest.Client, number: int, bulk_bytes: int) -> None:
    """A text that has little in common with the one before, as otherwise only the difference would travel."""
    await client.update(bulk_name(number), {"text": f"{number:08x}" * (bulk_bytes // 8)})


# --- from the log ----------------------------------------------------------------------------------------------------


async def fill(port: int, changes: int) -> None:
    """As many changes of one document, and as many of many: what `catch_up` reads."""
    async with _connected(port, 8) as clients:

        async def work(first: int) -> None:
            client = clients[first % len(clients)]
            for number in range(first, changes, _FILL_TASKS):
                await client.update(_ONE, _delta(number))
                await client.update(f"{_MANY}{number % documents:03d}", _delta(number))

        documents = min(_MANY_DOCUMENTS, changes)
        names = [_ONE, *(f"{_MANY}{number:03d}" for number in range(documents))]
        await asyncio.gather(*[clients[0].create(name, workload.document_value(0)) for name in names])
        await asyncio.gather(*[work(first) for first in range(min(_FILL_TASKS, changes))])


async def catch_up(port: int, changes: int, many: int, values: int) -> float:
    """Changes per second."""
    async with _connected(port, 1) as (client,):
        pattern = f"{_MANY}*" if many else _ONE
        _spare_collector()
        before = time.monotonic()
        async with client.subscribe(pattern, start="beginning", values=bool(values)) as followed:
            for _ in range(changes):
                change = await anext(followed)
                if values:
                    assert change.value is not None
        return changes / (time.monotonic() - before)


# --- nothing happens -------------------------------------------------------------------------------------------------


async def idle(port: int, server_pid: int, subscriptions: int, connections: int) -> dict[str, float]:
    """What each costs the server in resident bytes; microseconds to make one alone (p50), and one of many at a time."""
    async with _connected(port, connections) as clients, AsyncExitStack() as stack:

        async def subscribe(number: int) -> None:
            name = f"idle/{number:06d}"
            await stack.enter_async_context(clients[number % connections].subscribe(name))

        for number in range(connections):
            await subscribe(number)
        before_bytes = processes.resident_bytes(server_pid)
        alone: list[float] = []
        for number in range(connections, connections + _ALONE):
            before = time.monotonic()
            await subscribe(number)
            alone.append(time.monotonic() - before)
        alone.sort()
        before = time.monotonic()
        rest = range(connections + _ALONE, connections + subscriptions)
        await few_at_once(subscribe, rest)
        together = (time.monotonic() - before) / len(rest)
        grown = processes.resident_bytes(server_pid) - before_bytes
        return {
            "bytes": grown / subscriptions,
            "alone_us": 1e6 * alone[len(alone) // 2],
            "together_us": 1e6 * together,
        }


def _delta(number: int) -> dict[str, object]:
    return {workload.field_name(number): workload.field_text(number), workload.COUNTER: palimpsest.Increment(1)}


_TASKS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "late": (late, ("subscribers", "connections", "changes", "rate", "bulk_bytes")),
    "write": (write, ("changes", "rate", "bulk_bytes")),
    "flood": (flood, ("total_bytes", "bulk_bytes")),
    "fill": (fill, ("changes",)),
    "catch-up": (catch_up, ("changes", "many", "values")),
    "idle": (idle, ("server_pid", "subscriptions", "connections")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="One of the programs that feeds are measured with.")
    tasks = parser.add_subparsers(dest="task", required=True)
    for name, (_, numbers) in _TASKS.items():
        task = tasks.add_parser(name)
        for number in ("port", *numbers):
            task.add_argument(number, type=int)
    arguments = vars(parser.parse_args())
    run, _ = _TASKS[arguments.pop("task")]
    sys.stdout.write(msgspec.json.encode(uvloop.run(run(**arguments))).decode() + "\n")


if __name__ == "__main__":
    main()
