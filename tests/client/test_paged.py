from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from palimpsest.client.paged import Paged, pages_of

pytestmark = pytest.mark.anyio


class Pages:
    """Three pages, one of them empty, and how many were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.closed = False

    async def __call__(self) -> AsyncGenerator[Sequence[int], None]:
        try:
            for page in ([1, 2], [], [3]):
                self.asked += 1
                yield page
        finally:
            self.closed = True


async def test_items_in_order_and_pages_when_they_are_needed() -> None:
    pages = Pages()
    items = Paged(pages())
    assert (pages.asked, await anext(items), await anext(items), pages.asked) == (0, 1, 2, 1)
    assert [item async for item in items] == [3]
    assert (pages.asked, pages.closed) == (3, True)
    with pytest.raises(StopAsyncIteration):
        await anext(items)


async def test_closing_half_way() -> None:
    pages = Pages()
    items = Paged(pages())
    assert await anext(items) == 1
    await items.aclose()
    assert pages.closed
    assert [item async for item in items] == []


async def test_a_page_at_a_time() -> None:
    assert [page async for page in pages_of(Paged(Pages()()))] == [[1, 2], [], [3]]
