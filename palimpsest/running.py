"""Running a program's coroutine, wherever the program happens to be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs main() to its end and returns what it returns, on uvloop where that is installed.

    As `asyncio.run`, and it also works where an event loop is running already, as in a notebook: main then runs in a thread
    of its own, and the calling thread waits for it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(main)
    return _run_in_thread(main)


def _run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _run_in_thread(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(_run(main))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="palimpsest.run")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
