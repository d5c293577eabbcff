"""What perspectives cost: to read through one, to follow one, and to find that a change does not show.

Everything runs in one process, so that a figure is the work of both sides; the ratios stand beside the same without a perspective, in the
same run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import uvloop

import palimpsest
from bench import processes, workload
from bench.results import Single
from palimpsest.state.lens import make_lens
from palimpsest.state.ops import decode_delta, encode_delta

_PERSPECTIVES = 5
_CONNECTIONS = 50
_TASKS = 64
_DOCUMENT = "bench/000000"
_CONCERNS_TIMES = 20_000


class PerspectivesSize(msgspec.Struct, frozen=True):
    """rounds: of each comparison, of which the median counts."""

    gets: int
    subscribers: int
    changes: int
    rounds: int = 5


def measure_perspectives(directory: Path | None, size: PerspectivesSize) -> list[Single]:
    """directory: where the store lies, removed again; None for the system's own place."""
    with tempfile.TemporaryDirectory(prefix="bench-perspectives-", dir=directory) as place:
        numbers = (str(number) for number in msgspec.structs.astuple(size))
        command = [sys.executable, "-m", "bench.perspectives", place, *numbers]
        return msgspec.json.decode(processes.run(command, seconds_max=180), type=list[Single])


async def measure(place: Path, size: PerspectivesSize) -> list[Single]:
    async with palimpsest.Server(place / "state.db", archiver="process") as server, server.connect() as client:
        await client.create(_DOCUMENT, workload.document_value(0))
        for number in range(_PERSPECTIVES):
            await client.perspectives.put(_perspective(number))
        return [
            *await _reading(client, size),
            *await _fanning(server, client, size),
            *await _hiding(server, client, size),
            _concerning(),
        ]


async def _reading(client: palimpsest.Client, size: PerspectivesSize) -> list[Single]:
    """Of a document that does not change, so that its view and its encoded value are both at hand."""

    async def whole() -> object:
        return await client.get(_DOCUMENT)

    async def seen() -> object:
        return await client.get(_DOCUMENT, perspective="p0")

    ratios, rates = [], []
    for _ in range(size.rounds):
        plain, through = await _rate(whole, size.gets), await _rate(seen, size.gets)
        ratios.append(through / plain)
        rates.append(through)
    return [
        Single("get_seen_per_second", "get 8 of 20 fields through a perspective", statistics.median(rates), "/s"),
        Single("get_seen_ratio", "  over get of the whole document", statistics.median(ratios), "x"),
    ]


async def _fanning(server: palimpsest.Server, client: palimpsest.Client, size: PerspectivesSize) -> list[Single]:
    """Each change is seen in every perspective, and is delivered to a share of the subscribers in each."""
    ratios, rates = [], []
    for _ in range(size.rounds):
        plain = await _deliveries(server, client, size, perspectives=0)
        through = await _deliveries(server, client, size, perspectives=_PERSPECTIVES)
        ratios.append(through / plain)
        rates.append(through)
    title = f"deliver a document's changes through {_PERSPECTIVES} perspectives to {size.subscribers:,} subscribers"
    return [
        Single("fanout_seen_per_second", title, statistics.median(rates), "/s"),
        Single("fanout_seen_ratio", "  over the same without perspectives", statistics.median(ratios), "x"),
    ]


async def _deliveries(
    server: palimpsest.Server, client: palimpsest.Client, size: PerspectivesSize, *, perspectives: int
) -> float:
    """In a second."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.connect()) for _ in range(_CONNECTIONS)]
        subscriptions = []
        for number in range(size.subscribers):
            name = f"p{number % perspectives}" if perspectives else None
            changes = clients[number % _CONNECTIONS].subscribe(_DOCUMENT, perspective=name)
            subscriptions.append(await stack.enter_async_context(changes))

        async def read(changes: palimpsest.Subscription) -> None:
            for _ in range(size.changes):
                await anext(changes)

        started = time.perf_counter()
        readers = [asyncio.create_task(read(changes)) for changes in subscriptions]
        for number in range(size.changes):
            await client.update(_DOCUMENT, {workload.field_name(0): workload.field_text(number)})
        await asyncio.gather(*readers)
        return size.subscribers * size.changes / (time.perf_counter() - started)


async def _hiding(server: palimpsest.Server, client: palimpsest.Client, size: PerspectivesSize) -> list[Single]:
    """The processor time of updates that one subscriber does not see, over that of updates that nobody follows."""
    count = size.gets
    costs: list[float] = []
    for _ in range(size.rounds):
        alone = await _burnt(client, count)
        async with server.connect() as other, other.subscribe(_DOCUMENT, perspective="p0"):
            costs.append(1e6 * (await _burnt(client, count) - alone) / count)
    return [Single("invisible_us", "a change that a perspective does not show", statistics.median(costs), "us")]


async def _burnt(client: palimpsest.Client, count: int) -> float:
    """Seconds of the process, the committer's thread included."""
    hidden = workload.field_name(workload.TEXT_FIELDS - 1)
    before = time.process_time()
    await _rate(lambda: client.update(_DOCUMENT, {hidden: "x"}), count)
    return time.process_time() - before


def _concerning() -> Single:
    perspective = _perspective(0)
    lens = make_lens({perspective.name: perspective}, perspective.name)
    delta = encode_delta(list(palimpsest.Delta().set(workload.field_name(workload.TEXT_FIELDS - 1), "x").ops))
    before = time.perf_counter()
    for _ in range(_CONCERNS_TIMES):
        lens.concerns(decode_delta(delta))
    took = 1e6 * (time.perf_counter() - before) / _CONCERNS_TIMES
    return Single("concerns_us", "  finding that it does not show, alone", took, "us")


# --- inside ----------------------------------------------------------------------------------------------------------


def _perspective(number: int) -> palimpsest.Perspective:
    """The first field is in all of them; the last one in none."""
    shown = tuple(workload.field_name(field) for field in (0, *range(1 + number, 8 + number)))
    return palimpsest.Perspective(name=f"p{number}", documents="bench/*", include=shown)


async def _rate(work: Callable[[], Awaitable[object]], count: int) -> float:
    """In a second."""

    async def some() -> None:
        for _ in range(count // _TASKS):
            await work()

    started = time.perf_counter()
    await asyncio.gather(*[some() for _ in range(_TASKS)])
    return count // _TASKS * _TASKS / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what perspectives cost; prints one line of JSON.")
    parser.add_argument("place", type=Path)
    for name in PerspectivesSize.__struct_fields__:
        parser.add_argument(name, type=int)
    arguments = vars(parser.parse_args())
    found = uvloop.run(measure(arguments.pop("place"), PerspectivesSize(**arguments)))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
