from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from gateway_kit import served

from palimpsest.limits import HttpLimits
from palimpsest.web.operations import Call
from palimpsest.web.pages import Page, limit_of, next_url, page_answer
from palimpsest.web.past import HistoryQuery

pytestmark = pytest.mark.anyio


async def call(query: Any, target: str) -> Call:
    async with served(HttpLimits(page_items_max=5)) as (client, gateway, _):
        return Call(client, gateway._services, {}, query, None, "", {}, target)


async def test_that_the_next_page_is_asked_for_as_this_one_was() -> None:
    query = HistoryQuery(limit=7, tag=("a", "b&c"), since=datetime(2026, 1, 1, tzinfo=UTC), deltas=False, by="ä")
    asked = await call(query, '/history/a b/ü"><')
    url = urlsplit(next_url(asked, last=3))
    assert (url.path, url.netloc) == ("/history/a%20b/%C3%BC%22%3E%3C", "")
    assert parse_qsl(url.query) == [
        ("limit", "7"),
        ("since", "2026-01-01T00:00:00.000000Z"),
        ("by", "ä"),
        ("tag", "a"),
        ("tag", "b&c"),
        ("deltas", "false"),
        ("last", "3"),
    ]
    assert limit_of(asked) == 5


async def test_that_a_link_is_there_where_a_page_is() -> None:
    assert page_answer(Page(items=[], next="/a?b=c")).headers == {"Link": '</a?b=c>; rel="next"'}
    assert page_answer(Page(items=[])).headers == {}
