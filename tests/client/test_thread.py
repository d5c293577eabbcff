from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

import pytest
from anyio.from_thread import start_blocking_portal

from palimpsest.client.paged import Paged
from palimpsest.client.thread import Thread, blocking, iterating, making
from palimpsest.errors import ConnectionLost


class Inner:
    """An async object."""

    def __init__(self) -> None:
        self.closed = False
        self.hops = 0

    async def add(self, a: int, *, b: int = 1) -> tuple[int, int]:
        """Adds."""
        if b < 0:
            raise KeyError(b)
        return a + b, threading.get_ident()

    def count(self, until: int) -> AsyncIterator[int]:
        if until < 0:
            raise ValueError(until)
        return Paged(self._pages(until))

    def make(self, step: int = 0) -> int:
        """Makes."""
        return threading.get_ident() + step

    async def _pages(self, until: int) -> AsyncGenerator[Sequence[int], None]:
        try:
            for start in range(0, until, 3):
                self.hops += 1
                yield range(start, min(start + 3, until))
        finally:
            self.closed = True


class Outer:
    def __init__(self, inner: Inner, thread: Thread) -> None:
        self._inner = inner
        self._thread = thread

    add = blocking(Inner.add)
    count = iterating(Inner.count)

    def _show(self, made: int) -> tuple[int, int]:
        return made, threading.get_ident()

    make = making(Inner.make, _show)


@pytest.fixture
def outer() -> Iterator[Outer]:
    with start_blocking_portal("asyncio") as portal:
        yield Outer(Inner(), Thread(portal))


def test_a_word_is_the_same_and_waits(outer: Outer) -> None:
    total, thread = outer.add(1, b=2)
    assert total == 3
    assert thread != threading.get_ident()
    with pytest.raises(KeyError):
        outer.add(1, b=-1)
    assert inspect.signature(Outer.add) == inspect.signature(Inner.add)
    assert Outer.add.__doc__ == "Adds."


def test_what_is_made_there_is_shown_here(outer: Outer) -> None:
    there, here = outer.make()
    assert there != here == threading.get_ident()
    assert outer.make(step=1) == (there + 1, here)
    assert inspect.signature(Outer.make) == inspect.signature(Inner.make)
    assert Outer.make.__doc__ == "Makes."


def test_items_take_a_hop_a_page(outer: Outer) -> None:
    items = outer.count(7)
    assert (next(items), outer._inner.hops) == (0, 1)
    assert (list(items), outer._inner.hops, outer._inner.closed) == ([1, 2, 3, 4, 5, 6], 3, True)
    with pytest.raises(ValueError, match="-1"):
        outer.count(-1)


def test_an_iterator_that_is_given_up_is_closed(outer: Outer) -> None:
    items = outer.count(7)
    assert next(items) == 0
    del items
    assert outer._inner.closed


def test_nothing_is_called_once_it_is_over(outer: Outer) -> None:
    items = outer.count(7)
    assert next(items) == 0
    outer._thread.leave()
    with pytest.raises(ConnectionLost, match="closed"):
        outer.add(1)
    outer._thread.call_if_open(outer._inner.add, 1)
    with pytest.raises(ConnectionLost):
        list(items)
