"""The attempts to connect, and who wants to know that the connection was lost and is back: the log, and whoever asked to be told."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from palimpsest.errors import PalimpsestError
from palimpsest.logs import get_logger

log = get_logger("palimpsest.client")


class Reconnected(msgspec.Struct, frozen=True):
    """The connection is back."""

    attempts: int
    """How many it took."""
    seconds: float
    """Since it was lost."""
    subscriptions: int
    """How many of them go on from where they were."""


OnReconnect: TypeAlias = Callable[[Reconnected], Awaitable[object] | object]


class Reconnections:
    """How often and how a session came back."""

    def __init__(self, url: str) -> None:
        self.count = 0
        self.callbacks: list[OnReconnect] = []
        """Called after each reconnection, in this order; one that is async runs in a task of its own, and what any of them raises is
        logged."""
        self._url = url
        self._attempts = 0
        """Since the connection was lost, or since the beginning."""
        self._number = 0
        """Of the last attempt of all."""
        self._lost: float | None = None
        """When; None while connected, and before it ever was."""
        self._telling: set[asyncio.Task[None]] = set()

    def attempt(self) -> int:
        """Another attempt is made. Returns its number, as in `Hello`."""
        self._attempts += 1
        self._number = next_number(self._number, time.time_ns())
        return self._number

    def on_lost(self, error: PalimpsestError) -> None:
        self._attempts, self._lost = 0, time.monotonic()
        log.warning("disconnected", url=self._url, reason=error.message)

    def on_ready(self, subscriptions: int) -> None:
        """Connected; subscriptions: how many go on."""
        if self._lost is None:
            return
        seconds, self._lost = time.monotonic() - self._lost, None
        self.count += 1
        event = Reconnected(self._attempts, seconds, subscriptions)
        log.info(
            "reconnected",
            url=self._url,
            attempts=event.attempts,
            seconds=round(seconds, 3),
            subscriptions=subscriptions,
        )
        for callback in list(self.callbacks):
            self._tell(callback, event)

    async def close(self) -> None:
        """Ends the callbacks that are still at it."""
        telling = [task for task in self._telling if task is not asyncio.current_task()]
        for task in telling:
            task.cancel()
        if telling:
            await asyncio.wait(telling)

    def _tell(self, callback: OnReconnect, event: Reconnected) -> None:
        try:
            answer = callback(event)
        except Exception:
            log.exception("on_reconnect_failed")
            return
        if inspect.isawaitable(answer):
            task = asyncio.get_running_loop().create_task(_finish(answer))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)


def next_number(last: int, now_nanoseconds: int) -> int:
    """Of the attempt after `last`. now_nanoseconds: since the epoch.

    It is the time in microseconds, because numbers have to rise over restarts of a program that keeps its client id; and it rises by one at
    least, whatever happens to the clock meanwhile.
    """
    return max(last + 1, now_nanoseconds // 1_000)


async def _finish(answer: Awaitable[object]) -> None:
    try:
        await answer
    except Exception:
        log.exception("on_reconnect_failed")
