from __future__ import annotations

from typing import Any

import pytest

from palimpsest.client.listing import name_pages
from palimpsest.protocol import messages as m

pytestmark = pytest.mark.anyio


async def test_each_page_begins_behind_the_one_before(scripted: Any, reach: Any) -> None:
    pages = iter([(("b", "c"), True), ((), True), (("d",), False)])
    scripted.replies[m.List] = lambda message: m.Names(message.id, *next(pages))
    async with reach(page_items=2) as client:
        found = [page async for page in name_pages(client._session, "*", after="a", deleted=True)]
    asked = [message for message in scripted.received if isinstance(message, m.List)]
    assert found == [("b", "c"), (), ("d",)]
    assert [message.after for message in asked] == ["a", "c", "c"]
    assert {(message.pattern, message.branch, message.limit, message.deleted) for message in asked} == {
        ("*", "main", 2, True)
    }


async def test_no_more_is_asked_for_than_the_limit(scripted: Any, reach: Any) -> None:
    pages = iter([(("b", "c"), True), (("d",), True)])
    scripted.replies[m.List] = lambda message: m.Names(message.id, *next(pages))
    async with reach(page_items=2) as client:
        found = [page async for page in name_pages(client._session, "*", limit=3)]
        assert [page async for page in name_pages(client._session, "*", limit=0)] == []
    assert found == [("b", "c"), ("d",)]
    assert [message.limit for message in scripted.received if isinstance(message, m.List)] == [2, 1]
