"""The changes of one transaction, together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from palimpsest.errors import ConnectionLost
from palimpsest.protocol.cursor import encode_cursor

pytestmark = pytest.mark.anyio

EPOCH = "0123456789abcdef"


async def next_of(groups: Any) -> list[str]:
    return [change.document for change in await anext(groups)]


async def test_what_was_made_together_comes_together(scripted: Any, reach: Any) -> None:
    async with reach() as client, client.subscribe("*") as changes:
        groups = changes.transactions()
        for more, document in ((2, "a"), (1, "b"), (0, "c"), (0, "d"), (1, "e"), (0, "f")):
            scripted.publish(document, 1, more=more)
        assert await next_of(groups) == ["a", "b", "c"]
        assert changes.cursor == encode_cursor(EPOCH, 3)
        assert await next_of(groups) == ["d"]
        assert await next_of(groups) == ["e", "f"]


async def test_the_last_of_them_may_be_another_pattern_s(scripted: Any, reach: Any) -> None:
    """Position 2 is not of this subscription, so that the change at 3 is what ends the transaction of 1."""
    async with reach() as client, client.subscribe("*") as changes:
        groups = changes.transactions()
        (number,) = scripted.peers[0].subscriptions
        scripted.publish("a", 1, more=1)
        scripted.peers[0].subscriptions[number].position += 1
        waiting = asyncio.ensure_future(next_of(groups))
        await client.ping()
        assert not waiting.done()
        assert changes.cursor == encode_cursor(EPOCH, 0)
        scripted.mark(scripted.peers[0], number, "live", 2)
        assert await waiting == ["a"]
        assert changes.cursor == encode_cursor(EPOCH, 2)


async def test_a_change_behind_it_ends_it(scripted: Any, reach: Any) -> None:
    async with reach() as client, client.subscribe("*") as changes:
        groups = changes.transactions()
        scripted.publish("a", 1, more=1)
        for feed in scripted.peers[0].subscriptions.values():
            feed.position = 2
        scripted.log.append(scripted.log[0])
        scripted.publish("b", 1)
        assert await next_of(groups) == ["a"]
        assert changes.cursor == encode_cursor(EPOCH, 1)
        assert await next_of(groups) == ["b"]


async def test_it_asks_how_far_the_server_is(scripted: Any, reach: Any) -> None:
    async with reach() as client, client.subscribe("*") as changes:
        groups = changes.transactions()
        scripted.publish("a", 1, more=1)
        waiting = asyncio.ensure_future(next_of(groups))
        await scripted.until(lambda: any(type(message).__name__ == "Ping" for message in scripted.received))
        waiting.cancel()
        await asyncio.wait([waiting])
        scripted.publish("b", 1)
        assert await next_of(groups) == ["a", "b"]


async def test_a_snapshot_comes_one_by_one(scripted: Any, reach: Any) -> None:
    scripted.there = {"a": 1, "b": 1}
    async with reach() as client, client.subscribe("*", start="snapshot") as changes:
        groups = changes.transactions()
        assert [await next_of(groups), await next_of(groups)] == [["a"], ["b"]]


async def test_the_end_loses_nothing(scripted: Any, reach: Any) -> None:
    client = await reach()
    async with client.subscribe("*") as changes:
        groups = changes.transactions()
        scripted.publish("a", 1)
        scripted.publish("b", 1, more=1)
        assert await next_of(groups) == ["a"]
        waiting = asyncio.ensure_future(next_of(groups))
        await client.ping()
        await client.close()
        with pytest.raises(ConnectionLost):
            await waiting
        assert changes.cursor == encode_cursor(EPOCH, 1)


async def test_leaving_ends_it(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        async with client.subscribe("*") as changes:
            groups = changes.transactions()
            scripted.publish("a", 1, more=1)
            await client.ping()
        assert [group async for group in groups] == []
