from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import pytest

from palimpsest.actors.jobs import Job, Jobs

pytestmark = pytest.mark.anyio


class Work:
    """Jobs that end when they are told to, and what has begun and ended, in order."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.ended: list[int] = []
        self._events: dict[int, asyncio.Event] = {}

    def job(self, number: int, then: Callable[[], None] = lambda: None) -> Job:
        self._events[number] = asyncio.Event()

        async def run() -> None:
            self.began.append(number)
            await self._events[number].wait()
            then()
            self.ended.append(number)

        return run

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self._events[number].set()
        await self.ticks()

    async def ticks(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


async def test_so_many_run_together_and_the_others_wait_in_order() -> None:
    jobs, work = Jobs(2), Work()
    async with anyio.create_task_group() as tasks:
        jobs.begin(tasks)
        for number in range(5):
            jobs.start(work.job(number))
        await work.ticks()
        assert (work.began, len(jobs), jobs.waiting) == ([0, 1], 5, 3)
        await work.end(1)
        assert (work.began, len(jobs), jobs.waiting) == ([0, 1, 2], 4, 2)
        await work.end(2, 3)
        assert (work.began, len(jobs), jobs.waiting) == ([0, 1, 2, 3, 4], 2, 0)
        await work.end(0, 4)
        assert (work.ended, len(jobs)) == ([1, 2, 3, 0, 4], 0)


async def test_what_was_started_before_the_beginning_waits_for_it() -> None:
    jobs, work = Jobs(2), Work()
    for number in range(3):
        jobs.start(work.job(number))
    assert (len(jobs), jobs.waiting) == (3, 3)
    async with anyio.create_task_group() as tasks:
        jobs.begin(tasks)
        await work.ticks()
        assert (work.began, jobs.waiting) == ([0, 1], 1)
        await work.end(0, 1, 2)
        assert len(jobs) == 0


async def test_a_job_may_start_others() -> None:
    jobs, work = Jobs(1), Work()
    async with anyio.create_task_group() as tasks:
        jobs.begin(tasks)
        jobs.start(work.job(0, lambda: jobs.start(work.job(1))))
        await work.ticks()
        await work.end(0)
        assert (work.began, len(jobs)) == ([0, 1], 1)
        await work.end(1)
        assert len(jobs) == 0


async def test_what_runs_ends_with_the_group() -> None:
    jobs, work = Jobs(1), Work()
    async with anyio.create_task_group() as tasks:
        jobs.begin(tasks)
        for number in range(2):
            jobs.start(work.job(number))
        await work.ticks()
        tasks.cancel_scope.cancel()
    assert (work.began, work.ended, len(jobs), jobs.waiting) == ([0], [], 1, 1)
