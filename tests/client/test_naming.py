"""What is asked about named subscriptions, and what is made of the answers."""

from __future__ import annotations

from typing import Any

import pytest

import palimpsest as pal
from palimpsest.errors import InvalidRequest, UnexpectedMessage
from palimpsest.protocol import messages as m

pytestmark = pytest.mark.anyio

LETTER = m.DeadLetter(200, "notes/1", "main", 4, 5, "no such account", True)


def info(name: str, *letters: m.DeadLetter) -> m.SubscriptionInfo:
    return m.SubscriptionInfo(name, "notes/*", "main", "cursor", 300, 2, 16, 1, letters)


async def test_all_pages(scripted: Any, reach: Any) -> None:
    pages = [(info("a"), info("b")), (info("c"),)]
    scripted.replies[m.ListSubscriptions] = lambda message: m.Subscriptions(message.id, pages.pop(0), bool(pages))
    async with reach(page_items=2) as client:
        found = await client.subscriptions()
    assert [state.name for state in found] == ["a", "b", "c"]
    assert found[0] == pal.SubscriptionState("a", "notes/*", "main", "cursor", 300, 2, 16, 1)
    asked = [message for message in scripted.received if isinstance(message, m.ListSubscriptions)]
    assert [(message.name, message.after, message.limit) for message in asked] == [(None, "", 2), (None, "b", 2)]


@pytest.mark.parametrize("items", [(), (info(""),)], ids=["none", "no further"])
async def test_pages_that_lead_nowhere(scripted: Any, reach: Any, items: Any) -> None:
    scripted.replies[m.ListSubscriptions] = lambda message: m.Subscriptions(message.id, items, True)
    async with reach() as client:
        with pytest.raises(UnexpectedMessage):
            await client.subscriptions()


async def test_one(scripted: Any, reach: Any) -> None:
    scripted.replies[m.ListSubscriptions] = lambda message: m.Subscriptions(message.id, (info("a", LETTER),))
    async with reach() as client:
        state = await client.subscription_state("a")
        assert state.dead_letters == (pal.DeadLetter("notes/1", "main", 4, 200, 5, "no such account", True),)
        scripted.replies[m.ListSubscriptions] = lambda message: m.Subscriptions(message.id, ())
        with pytest.raises(UnexpectedMessage):
            await client.subscription_state("a")


async def test_dead_letters_are_named_in_any_way(scripted: Any, reach: Any) -> None:
    scripted.replies[m.Redrive] = lambda message: m.Acknowledged(message.id, message.name, "cursor")
    letter = pal.DeadLetter("notes/1", "main", 4, 200, 5, "")
    change = pal.Change(m.Change((), 201, "a", "main", 1, 1, 0, b"\x90"), "0" * 16)  # type: ignore[arg-type]
    async with reach() as client:
        assert await client.redrive("a", letter, change, 202) == "cursor"
        await client.redrive("a")
        for wrong in (-1, True, 1 << 63):
            with pytest.raises(InvalidRequest):
                await client.redrive("a", wrong)
    asked = [message.positions for message in scripted.received if isinstance(message, m.Redrive)]
    assert asked == [(200, 201, 202), ()]


async def test_a_deletion_that_was_cut_is_repeated_as_such(scripted: Any, reach: Any) -> None:
    def cut_first(peer: Any, message: Any) -> bool:
        if isinstance(message, m.DeleteSubscription) and not message.repeat:
            peer.cut()
        return isinstance(message, m.DeleteSubscription) and not message.repeat

    scripted.replies[m.DeleteSubscription] = lambda message: m.Committed(message.id, 3, 5, message.repeat)
    scripted.trouble = cut_first
    async with reach() as client:
        await client.delete_subscription("a", by="ana", description="over", request_id="k-1")
    first, again = [message for message in scripted.received if isinstance(message, m.DeleteSubscription)]
    assert (first.name, first.meta, first.key) == ("a", m.Meta("ana", "over"), "k-1")
    assert (first.repeat, again.repeat) == (False, True)


@pytest.mark.parametrize("name", [None, 1])
async def test_a_name_is_text(reach: Any, name: Any) -> None:
    async with reach() as client:
        for word in (client.subscription_state, client.delete_subscription, client.redrive):
            with pytest.raises(InvalidRequest):
                await word(name)
