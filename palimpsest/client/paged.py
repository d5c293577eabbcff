"""What comes in pages and is taken item by item."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Paged(AsyncIterator[Item]):
    """The items of pages, in order. A page is asked for once all before it have been taken; one may be empty."""

    def __init__(self, pages: AsyncGenerator[Sequence[Item], None]) -> None:
        self._pages = pages
        self._items: Iterator[Item] = iter(())

    async def __anext__(self) -> Item:
        while True:
            for item in self._items:
                return item
            self._items = iter(await anext(self._pages))

    async def aclose(self) -> None:
        """No further page is asked for."""
        self._items = iter(())
        await self._pages.aclose()


def pages_of(items: AsyncIterator[Item]) -> AsyncGenerator[Sequence[Item], None]:
    """The pages that items come in, for whoever takes a page at a time; not beside single items. items: a `Paged`."""
    assert isinstance(items, Paged), items
    pages: AsyncGenerator[Sequence[Item], None] = items._pages
    return pages
