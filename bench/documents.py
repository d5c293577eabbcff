"""What a document costs: to wake, in memory, on disk; and how long a large store takes to start.

Everything runs in a process of its own, with an embedded server whose archiver is inline, so that what is on disk is
finished when it is measured. Memory is counted by tracemalloc, which sees every allocation of Python's own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import msgspec
import uvloop

import palimpsest
from bench import processes, workload
from bench.results import Single

_Write = Callable[[palimpsest.Client, int], Awaitable[None]]
_TOGETHER = 64
_FILL_TASKS = 512
_MEMORY_DOCUMENTS_MAX = 2_000


class StoreSize(msgspec.Struct, frozen=True):
    """documents: how many. updates: of each, after it was made."""

    documents: int
    updates: int


def measure_documents(directory: Path | None, size: StoreSize) -> list[Single]:
    """directory: where the store lies, removed again; None for the system's own place."""
    with tempfile.TemporaryDirectory(prefix="bench-documents-", dir=directory) as place:
        store = str(Path(place) / "state.db")
        command = [sys.executable, "-m", "bench.documents", store, str(size.documents), str(size.updates)]
        seconds_max = 60 + size.documents * size.updates / 1_000
        return msgspec.json.decode(processes.run(command, seconds_max=seconds_max), type=list[Single])


async def measure(store: Path, size: StoreSize) -> list[Single]:
    """store: does not exist yet."""
    names = [workload.document_name(number) for number in range(size.documents)]
    await _create(store, names)
    created_bytes = _bytes_on_disk(store)
    await _update(store, names, size.updates)
    events = size.documents * size.updates
    event_bytes = (_bytes_on_disk(store) - created_bytes) / events
    start_ms, alone_us, together_us = await _wake(store, names)
    awake_bytes, cool_bytes = await _memory(store, names[:_MEMORY_DOCUMENTS_MAX])
    held = f"{size.documents:,} documents and {events:,} updates"
    return [
        Single("start_ms", f"start on a store of {held}", start_ms, " ms"),
        Single("wake_us", f"wake a cold document of {1 + size.updates:,} versions, p50", alone_us, "us"),
        Single("wake_together_us", f"wake one of {_TOGETHER} that are asked for together", together_us, "us"),
        Single("awake_bytes", "memory of a document that is awake, value of 1 KB", awake_bytes, "bytes"),
        Single("cool_bytes", "memory of one that is awake and cool", cool_bytes, "bytes"),
        Single("disk_bytes", "disk of a document as it was made", created_bytes / size.documents, "bytes"),
        Single("event_bytes", "disk of an update, snapshots included", event_bytes, "bytes"),
    ]


async def _create(store: Path, names: Sequence[str]) -> None:
    async def create(client: palimpsest.Client, number: int) -> None:
        await client.create(names[number], workload.document_value(number))

    await _fill(store, create, len(names))


async def _update(store: Path, names: Sequence[str], updates: int) -> None:
    async def update(client: palimpsest.Client, number: int) -> None:
        await client.update(names[number % len(names)], _delta(number))

    await _fill(store, update, len(names) * updates)


async def _fill(store: Path, write: _Write, count: int) -> None:
    """write is called with every number below count, many of them at a time."""
    async with palimpsest.Server(store) as server, server.connect() as client:

        async def work(first: int) -> None:
            for number in range(first, count, _FILL_TASKS):
                await write(client, number)

        await asyncio.gather(*[work(first) for first in range(min(_FILL_TASKS, count))])
        await _archived(server)


async def _wake(store: Path, names: Sequence[str]) -> tuple[float, float, float]:
    """Milliseconds to start; microseconds to answer for one document asked for alone, and for one of many."""
    clock = time.perf_counter
    before = clock()
    async with palimpsest.Server(store) as server:
        start_ms = 1e3 * (clock() - before)
        async with server.connect() as client:
            half = len(names) // 2
            alone: list[float] = []
            for name in names[: min(half, 1_000)]:
                before = clock()
                await client.get(name)
                alone.append(clock() - before)
            together: list[float] = []
            for first in range(half, min(len(names), half + 100 * _TOGETHER) - _TOGETHER + 1, _TOGETHER):
                before = clock()
                await client.get_many(names[first : first + _TOGETHER])
                together.append((clock() - before) / _TOGETHER)
    return start_ms, _median_us(alone), _median_us(together)


async def _memory(store: Path, names: Sequence[str]) -> tuple[float, float]:
    """Bytes of one document that was just written to, and of one that is kept as bytes only."""
    async with palimpsest.Server(store) as server, server.connect() as client:
        actors = server.partition.registry.actors
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number, name in enumerate(names):
            await client.update(name, _delta(number))
        await _archived(server)
        for actor in actors.values():
            assert actor.working is not None
            actor.working.freeze()
        awake = _traced_bytes() - before
        for actor in actors.values():
            actor.cool()
        cool = _traced_bytes() - before
        tracemalloc.stop()
    return awake / len(names), cool / len(names)


def _traced_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def _archived(server: palimpsest.Server) -> None:
    """Returns once nothing is in the tail any more."""
    tail = server.partition.tail
    with anyio.fail_after(120):
        while tail.start < tail.end:
            await anyio.sleep(0.01)


def _delta(number: int) -> dict[str, object]:
    return {workload.field_name(number): workload.field_text(number), workload.COUNTER: palimpsest.Increment(1)}


def _bytes_on_disk(store: Path) -> int:
    return sum(path.stat().st_size for path in store.parent.iterdir())


def _median_us(latencies: list[float]) -> float:
    latencies.sort()
    return 1e6 * latencies[len(latencies) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what documents cost; prints one line of JSON.")
    parser.add_argument("store", type=Path)
    parser.add_argument("documents", type=int)
    parser.add_argument("updates", type=int)
    arguments = parser.parse_args()
    found = uvloop.run(measure(arguments.store, StoreSize(arguments.documents, arguments.updates)))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
