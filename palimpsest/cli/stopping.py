"""How a command ends that goes on until it is told to stop: by Control-C, by SIGTERM, or because nobody reads what it prints.

All three are its ordinary end. A signal cancels what the command waits for. Where the command is not waiting but stuck in a
write, to a pipe that is full and that nobody empties, the write is given up. A pipe whose reader is gone is noticed at once, not
only when there is something to print.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

import anyio


class Stopping:
    """A context manager, entered in the thread that gets signals: the main one. In others, signals do what they did before.

    `signalled`: whether a signal has ended it.
    """

    def __init__(self) -> None:
        self.signalled = False
        self._before: dict[int, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scope: anyio.CancelScope | None = None
        self._printing = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Until work() is done, or told to stop. Before and after that, signals raise KeyboardInterrupt."""
        self._loop = asyncio.get_running_loop()
        self._scope = anyio.CancelScope()
        try:
            with self._scope, _watched_pipe(self._loop, self._scope.cancel):
                await work()
        finally:
            self._scope = None

    @contextmanager
    def printing(self) -> Iterator[None]:
        """What is done inside may be stuck, and is then left with BrokenPipeError."""
        self._printing = True
        try:
            yield
        finally:
            self._printing = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._loop is None or self._scope is None:
            raise KeyboardInterrupt
        self.signalled = True
        self._loop.call_soon_threadsafe(self._scope.cancel)
        if self._printing and _is_full(_stdout_number()):
            raise BrokenPipeError("nobody reads what is printed")


@contextmanager
def _watched_pipe(loop: asyncio.AbstractEventLoop, on_gone: Callable[[], object]) -> Iterator[None]:
    """on_gone is called once nobody can read from stdout any more, where that is a pipe.

    A thread waits for that. The event loop could, but uvloop makes what it waits for non-blocking, also for those who write to it.
    """
    number = _stdout_number()
    if number is None or not stat.S_ISFIFO(os.fstat(number).st_mode) or not hasattr(select, "poll"):
        yield
        return
    over, end = os.pipe()

    def wait() -> None:
        if _first_ready(number, over) == number:
            loop.call_soon_threadsafe(on_gone)

    thread = threading.Thread(target=wait, name="palimpsest.stopping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(end)
        thread.join()
        os.close(over)


def _first_ready(pipe: int, over: int) -> int:
    """pipe: its writing end, which is ready once it has no reader. over: ready once it can be read."""
    poll = select.poll()
    poll.register(pipe, 0)  # errors are told whatever is asked for
    poll.register(over, select.POLLIN)
    ready = [number for number, _ in poll.poll()]
    return over if over in ready else pipe


def _stdout_number() -> int | None:
    try:
        return sys.stdout.fileno()
    except (OSError, ValueError):  # not a file, as in tests
        return None


def _is_full(number: int | None) -> bool:
    """Whether a write would wait."""
    return number is not None and os.name != "nt" and not select.select([], [number], [], 0)[1]
