"""The thread that a sync client's event loop lives in, and how a word of the async client becomes one that blocks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from anyio.from_thread import BlockingPortal

from palimpsest.client.paged import pages_of
from palimpsest.errors import ConnectionLost

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")


class Thread:
    """The thread of the event loop, and whether it still takes calls."""

    def __init__(self, portal: BlockingPortal) -> None:
        self.portal = portal
        self._over = False

    def call(self, function: Callable[..., Awaitable[_Result]], *arguments: Any) -> _Result:
        """Waits for what function(*arguments) gives there. Raises ConnectionLost once the client is closed."""
        self.check()
        try:
            return self.portal.call(function, *arguments)
        except RuntimeError:
            self.check()
            raise

    def check(self) -> None:
        if self._over:
            raise ConnectionLost("the client was closed")

    def call_if_open(self, function: Callable[..., Awaitable[object]], *arguments: Any) -> None:
        """For what closing the client has done as well."""
        with suppress(ConnectionLost):
            self.call(function, *arguments)

    def leave(self) -> None:
        self._over = True


class Face(Protocol):
    """What shows an async object to other threads."""

    @property
    def _inner(self) -> Any:
        """The async object."""
        ...

    @property
    def _thread(self) -> Thread: ...


def blocking(
    word: Callable[Concatenate[Any, _Parameters], Coroutine[Any, Any, _Result]],
) -> Callable[Concatenate[Any, _Parameters], _Result]:
    """The method of a `Face` that takes and gives what word does, an async method, and waits for it."""

    @wraps(word)
    def wait(self: Face, /, *arguments: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        return self._thread.call(partial(word, self._inner, *arguments, **named))

    return wait


def iterating(
    word: Callable[Concatenate[Any, _Parameters], AsyncIterator[_Item]],
) -> Callable[Concatenate[Any, _Parameters], Iterator[_Item]]:
    """As `blocking`, of a method that gives a `Paged`."""

    @wraps(word)
    def iterate(self: Face, /, *arguments: _Parameters.args, **named: _Parameters.kwargs) -> Iterator[_Item]:
        return _flatten(self._thread, word(self._inner, *arguments, **named))

    return iterate


def making(
    word: Callable[Concatenate[Any, _Parameters], _Item], face: Callable[[Any, _Item], _Result]
) -> Callable[Concatenate[Any, _Parameters], _Result]:
    """As `blocking`, of a method that gives an object which belongs to the other thread. face: shows it to this one, of (the `Face`,
    the object)."""

    @wraps(word)
    def make(self: Face, /, *arguments: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        async def there() -> _Item:
            return word(self._inner, *arguments, **named)

        return face(self, self._thread.call(there))

    return make


def _flatten(thread: Thread, items: AsyncIterator[_Item]) -> Iterator[_Item]:
    """One hop to the other thread per page, not per item."""
    pages = pages_of(items)
    try:
        while (page := thread.call(anext, pages, None)) is not None:
            yield from page
    finally:
        thread.call_if_open(pages.aclose)
