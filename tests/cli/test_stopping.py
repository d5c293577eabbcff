from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack, redirect_stdout, suppress

import anyio
import pytest

from palimpsest.cli.stopping import Stopping
from palimpsest.running import run

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(os.name == "nt", reason="signals and pipes are others there")]


class Pipe:
    """reader, writer: its ends. Inside the context, stdout is the writer."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def __enter__(self) -> Pipe:
        self._exits = ExitStack()
        self._exits.callback(self.close_reader)
        self._exits.enter_context(redirect_stdout(self._exits.enter_context(open(self.writer, "w"))))
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def fill(self) -> None:
        """So that no write fits any more."""
        os.set_blocking(self.writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"x" * 4096)
        os.set_blocking(self.writer, True)

    def close_reader(self) -> None:
        if self.reader != -1:
            os.close(self.reader)
            self.reader = -1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_is_the_ordinary_end(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    async def work() -> None:
        signal.raise_signal(number)
        await anyio.sleep_forever()

    with Stopping() as stopping:
        await stopping.run(work)
        assert stopping.signalled
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


async def test_work_that_is_done_ends_by_itself() -> None:
    done: list[int] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(1)

    with Stopping() as stopping:
        await stopping.run(work)
    assert done == [1]
    assert not stopping.signalled


async def test_what_is_printed_when_a_signal_comes_is_printed_whole() -> None:
    async def work() -> None:
        with stopping.printing():
            signal.raise_signal(signal.SIGTERM)
            print("whole", flush=True)
        await anyio.sleep_forever()

    with Pipe() as pipe, Stopping() as stopping:
        await stopping.run(work)
        assert os.read(pipe.reader, 100) == b"whole\n"


async def test_a_write_that_is_stuck_is_given_up() -> None:
    async def work() -> None:
        pipe.fill()
        with stopping.printing():
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            os.write(pipe.writer, b"stuck")

    before = signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGTERM))
    try:
        with Pipe() as pipe, Stopping() as stopping:
            with pytest.raises(BrokenPipeError):
                await stopping.run(work)
            assert stopping.signalled
    finally:
        signal.signal(signal.SIGALRM, before)


async def test_a_reader_that_goes_away_is_noticed_while_nothing_is_printed() -> None:
    async def work() -> None:
        pipe.close_reader()
        await anyio.sleep_forever()

    with Pipe() as pipe, Stopping() as stopping:
        await stopping.run(work)
    assert not stopping.signalled


async def test_a_reader_that_is_slow_is_waited_for() -> None:
    async def work() -> None:
        pipe.fill()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(os.read(pipe.reader, 100)) == 100

    with Pipe() as pipe, Stopping() as stopping:
        await stopping.run(work)


def test_stdout_stays_as_it_is_for_those_who_share_it() -> None:
    """Also with uvloop, where it is installed."""

    async def work() -> None:
        await asyncio.sleep(0)
        assert os.get_blocking(pipe.writer)

    with Pipe() as pipe, Stopping() as stopping:
        run(lambda: stopping.run(work))


async def test_in_another_thread_signals_are_left_alone() -> None:
    def enter() -> None:
        with Stopping():
            handlers.append(signal.getsignal(signal.SIGTERM))

    handlers: list[object] = []
    before = signal.getsignal(signal.SIGTERM)
    await anyio.to_thread.run_sync(enter)
    assert handlers == [before]
