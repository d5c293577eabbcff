"""Work that waits for the archive, a few pieces at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import anyio.abc

Job = Callable[[], Awaitable[None]]
"""Raises nothing."""


class Jobs:
    """together_max: how many run at a time; the others wait in order. Jobs that wait for other jobs need those to be of another one."""

    def __init__(self, together_max: int) -> None:
        self._together_max = together_max
        self._waiting: deque[Job] = deque()
        self._running = 0
        self._tasks: anyio.abc.TaskGroup | None = None

    def __len__(self) -> int:
        """How many wait or run."""
        return self._running + len(self._waiting)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def begin(self, tasks: anyio.abc.TaskGroup) -> None:
        """Those that wait already run from now on."""
        self._tasks = tasks
        waiting, self._waiting = self._waiting, deque()
        for job in waiting:
            self.start(job)

    def start(self, job: Job) -> None:
        if self._tasks is not None and self._running < self._together_max:
            self._running += 1
            self._tasks.start_soon(self._work, job)
        else:
            self._waiting.append(job)

    async def _work(self, job: Job) -> None:
        try:
            await job()
            while self._waiting:
                await self._waiting.popleft()()
        finally:
            self._running -= 1
