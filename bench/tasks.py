"""What measuring programs of many tasks have in common: making many of something, counting what arrives, percentiles."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

DELIVERY_SECONDS_MAX = 20.0
"""What has not arrived by then never will."""
_AT_ONCE_MAX = 50

Item = TypeVar("Item")
Made = TypeVar("Made")


async def few_at_once(make: Callable[[Item], Awaitable[Made]], items: Sequence[Item]) -> list[Made]:
    """As gather, in groups that a server's queue of new connections has room for."""
    made: list[Made] = []
    for start in range(0, len(items), _AT_ONCE_MAX):
        made += await asyncio.gather(*[make(item) for item in items[start : start + _AT_ONCE_MAX]])
    return made


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


def percentiles(latencies: list[float]) -> dict[str, float]:
    """latencies: in seconds. In microseconds, the middle one and the one that 1% exceed."""
    if not latencies:
        raise SystemExit("nothing was answered while it was measured")
    latencies.sort()
    return {f"p{percent}_us": 1e6 * latencies[len(latencies) * percent // 100] for percent in (50, 99)}


class Callers(msgspec.Struct, frozen=True):
    """How many tasks ask, one request at a time each, over how many connections, and for how long.

    For `subscribe`, each connection has one subscriber, and `callers` is not used.
    """

    callers: int
    connections: int
    warmup_seconds: float
    seconds: float


async def run_callers(operation: Callable[[int, int], Awaitable[None]], load: Callers) -> dict[str, float]:
    """Every caller asks, waits for the answer, and asks again."""
    latencies: list[float] = []
    clock = time.perf_counter
    measure_from = clock() + load.warmup_seconds
    measure_to = measure_from + load.seconds

    async def call(caller: int) -> None:
        number = caller
        before = clock()
        while before < measure_to:
            await operation(caller, number)
            after = clock()
            if measure_from <= after < measure_to:
                latencies.append(after - before)
            number += load.callers
            before = after

    await asyncio.gather(*[call(caller) for caller in range(load.callers)])
    return {"per_second": len(latencies) / load.seconds, **percentiles(latencies)}
