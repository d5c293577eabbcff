"""Subscriptions over connections that break: no gap, no duplicate, and never more than was given credit for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from palimpsest.errors import (
    Compacted,
    ConnectionLost,
    CursorInvalid,
    InvalidRequest,
    PalimpsestError,
)
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.state.delta import Delta

pytestmark = pytest.mark.anyio

EPOCH = "0123456789abcdef"


async def take(changes: Any, count: int) -> list[int]:
    return [(await anext(changes)).version for _ in range(count)]


def once(kind: type[Any], act: Callable[[Any, Any], object]) -> Callable[[Any, Any], bool]:
    """Trouble for the first message of a kind."""
    seen: list[Any] = []

    def trouble(peer: Any, message: Any) -> bool:
        if not isinstance(message, kind) or seen:
            return False
        seen.append(message)
        act(peer, message)
        return True

    return trouble


async def test_changes_come_as_they_are_made(scripted: Any, reach: Any) -> None:
    scripted.publish("a", 1)
    async with reach() as client, client.subscribe("a") as changes:
        assert changes.cursor == encode_cursor(EPOCH, 1)
        scripted.publish("a", 2, Raw(Delta().set("x", 1).encode()))
        change = await anext(changes)
        assert (change.document, change.branch, change.version) == ("a", "main", 2)
        assert change.delta == Delta().set("x", 1)
        assert change.value is None
        assert change.cursor == changes.cursor == encode_cursor(EPOCH, 2)
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        scripted.publish("a", 3)
        assert (await waiting).version == 3


async def test_it_asks_for_what_it_was_told(scripted: Any, reach: Any) -> None:
    async with reach(credit_bytes=777) as client:
        cursor = encode_cursor(EPOCH, 0)
        async with client.subscribe("a/*", branch="draft", resume_after=cursor, values=True):
            pass
        async with client.subscribe("b/**", start="beginning"):
            pass
    one, two = [message for message in scripted.received if isinstance(message, m.Subscribe)]
    assert (one.pattern, one.branch, one.resume_after, one.credit_bytes, one.values) == (
        "a/*",
        "draft",
        cursor,
        777,
        True,
    )
    assert (two.pattern, two.branch, two.resume_after, two.values) == ("b/**", "main", cursor, False)
    assert one.subscription != two.subscription
    left = [message.subscription for message in scripted.received if isinstance(message, m.Unsubscribe)]
    assert left == [one.subscription, two.subscription]


async def test_it_goes_on_after_a_cut_without_gap_or_duplicate(scripted: Any, reach: Any) -> None:
    async with reach() as client, client.subscribe("a") as changes:
        for version in range(1, 21):
            scripted.publish("a", version)
            if version % 5 == 0:
                scripted.peers[-1].cut()
                peers = len(scripted.peers)
                await scripted.until(lambda peers=peers: len(scripted.peers) > peers)  # type: ignore[misc]
        assert await take(changes, 20) == list(range(1, 21))


async def test_what_is_held_at_a_cut_is_not_sent_again(scripted: Any, reach: Any) -> None:
    async with reach(credit_bytes=1_000) as client, client.subscribe("a") as changes:
        for version in range(1, 4):
            scripted.publish("a", version)
        await client.update("other", {})  # behind the changes on the same connection
        held = changes.held_bytes
        assert held > 0
        scripted.peers[0].cut()
        await scripted.until(lambda: sum(isinstance(message, m.Subscribe) for message in scripted.received) == 2)
        again = [message for message in scripted.received if isinstance(message, m.Subscribe)][1]
        assert again.resume_after == encode_cursor(EPOCH, len(scripted.log))
        assert again.credit_bytes == 1_000 - held
        scripted.publish("a", 4)
        assert [version for version in await take(changes, 5) if version != 1][-1] == 4


async def test_the_server_is_never_ahead_of_the_credit(scripted: Any, reach: Any) -> None:
    async with reach(credit_bytes=500) as client, client.subscribe("a") as changes:
        for version in range(1, 101):
            scripted.publish("a", version, Raw(Delta().set("text", "x" * 20).encode()))
        largest = 0
        for version in range(1, 101):
            assert (await anext(changes)).version == version
            largest = max(largest, changes.held_bytes)
        assert largest < 700
        await client.ping()
        (feed,) = scripted.peers[0].subscriptions.values()
        assert 250 <= feed.credit_bytes <= 500


async def test_a_change_larger_than_the_credit_comes_through(scripted: Any, reach: Any) -> None:
    async with reach(credit_bytes=100) as client, client.subscribe("a") as changes:
        for version in range(1, 4):
            scripted.publish("a", version, Raw(Delta().set("text", "x" * 5_000).encode()))
        assert await take(changes, 3) == [1, 2, 3]


async def test_credit_is_no_more_than_the_server_keeps(scripted: Any, reach: Any) -> None:
    scripted.limits = {"subscription_bytes_max": 300}
    async with reach() as client, client.subscribe("a"):
        pass
    assert next(message for message in scripted.received if isinstance(message, m.Subscribe)).credit_bytes == 300


async def test_a_first_subscribe_that_was_cut_is_sent_again(scripted: Any, reach: Any) -> None:
    scripted.trouble = once(m.Subscribe, lambda peer, message: peer.cut())
    async with reach() as client, client.subscribe("a") as changes:
        scripted.publish("a", 1)
        assert await take(changes, 1) == [1]
    asked = [message for message in scripted.received if isinstance(message, m.Subscribe)]
    assert asked[0] == asked[1]


async def test_a_resume_that_was_cut_is_made_afresh(scripted: Any, reach: Any) -> None:
    def cut_resumes(peer: Any, message: Any) -> bool:
        if isinstance(message, m.Subscribe) and peer.number == 2:
            peer.cut()
            return True
        return False

    scripted.trouble = cut_resumes
    async with reach(credit_bytes=200) as client, client.subscribe("a") as changes:
        for version in range(1, 11):
            scripted.publish("a", version)
        await client.ping()
        scripted.peers[0].cut()
        await scripted.until(lambda: len(scripted.peers) == 2)
        taken = await take(changes, 3)
        await scripted.until(lambda: len(scripted.peers) == 3)
        assert taken + await take(changes, 7) == list(range(1, 11))


async def test_a_cursor_that_is_refused(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        with pytest.raises(CursorInvalid):
            async with client.subscribe("a", resume_after="nonsense"):
                raise AssertionError
        assert client.statistics()["subscriptions"] == 0


async def test_a_resume_that_is_refused_ends_it_after_what_is_held(scripted: Any, reach: Any) -> None:
    def refuse(peer: Any, message: Any) -> bool:
        if isinstance(message, m.Subscribe) and peer.number == 2:
            error = Compacted("gone", cursor=message.resume_after, oldest="x")
            peer.send(m.Failed(message.id, *error.to_wire()))
            return True
        return False

    scripted.trouble = refuse
    async with reach() as client, client.subscribe("a") as changes:
        scripted.publish("a", 1)
        await client.ping()
        scripted.peers[0].cut()
        await scripted.until(lambda: len(scripted.peers) == 2)
        await client.ping()
        assert await take(changes, 1) == [1]
        with pytest.raises(Compacted) as caught:
            await anext(changes)
        assert caught.value.oldest == "x"


async def test_the_server_ends_it(scripted: Any, reach: Any) -> None:
    async with reach() as client, client.subscribe("a") as one, client.subscribe("b") as two:
        scripted.publish("a", 1)
        numbers = list(scripted.peers[0].subscriptions)
        error = PalimpsestError("not yours any more")
        scripted.peers[0].send(m.Ended(numbers[0], *error.to_wire()))
        assert await take(one, 1) == [1]
        with pytest.raises(PalimpsestError, match="not yours"):
            await anext(one)
        scripted.publish("b", 1)
        assert await take(two, 2) == [1, 1]


async def test_closing_the_client_ends_it(scripted: Any, reach: Any) -> None:
    client = await reach()
    async with client.subscribe("a") as changes:
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await waiting


async def test_leaving_the_block_ends_a_loop_elsewhere(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        async with client.subscribe("a") as changes:
            reader = asyncio.ensure_future(take_all(changes))
            await asyncio.sleep(0)
        assert await reader == []


async def take_all(changes: Any) -> list[int]:
    return [change.version async for change in changes]


async def test_one_reader_at_a_time(scripted: Any, reach: Any) -> None:
    async with reach() as client, client.subscribe("a") as changes:
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        with pytest.raises(InvalidRequest, match="one reader"):
            await anext(changes)
        waiting.cancel()
        await asyncio.wait([waiting])
        scripted.publish("a", 1)
        assert await take(changes, 1) == [1]


async def test_markers_move_the_cursor_where_nothing_is_held(scripted: Any, reach: Any) -> None:
    async with reach() as client, client.subscribe("a") as changes:
        (number,) = scripted.peers[0].subscriptions
        assert not changes.live
        scripted.peers[0].send(m.Marker(number, "live", encode_cursor(EPOCH, 9)))
        await client.ping()
        assert changes.live
        assert changes.cursor == encode_cursor(EPOCH, 9)
        scripted.peers[0].send(m.Marker(number, "behind", encode_cursor(EPOCH, 5)))
        await client.ping()
        assert not changes.live
        assert changes.cursor == encode_cursor(EPOCH, 9)


async def test_one_change_for_several_subscriptions(scripted: Any, reach: Any) -> None:
    async with reach() as client, client.subscribe("a") as one, client.subscribe("*") as two:
        numbers = tuple(scripted.peers[0].subscriptions)
        change = m.Change(numbers, 1, "a", "main", 1, 1, 5, Raw(b"\x90"), m.Meta("ana", "why", ("t",)), 0, Raw(b"\x07"))
        scripted.peers[0].send(change)
        first, second = await anext(one), await anext(two)
        assert first.version == second.version == 1
        assert (first.by, first.description, first.tags, first.value) == ("ana", "why", {"t"}, 7)
        assert "ana" in repr(first)


@pytest.mark.parametrize(
    "arguments", [{"start": "yesterday"}, {"start": "beginning", "resume_after": "x"}, {"resume_after": 5}]
)
async def test_arguments_that_make_no_sense(scripted: Any, reach: Any, arguments: Any) -> None:
    async with reach() as client:
        with pytest.raises(InvalidRequest):
            client.subscribe("a", **arguments)
