"""Subscriptions through a perspective: what they give, and how they go on where the view becomes another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

import palimpsest as pal
from palimpsest.client import Change, Client, Subscription
from palimpsest.embedded import Server
from palimpsest.errors import Compacted, InvalidRequest, PerspectiveNotFound, ViewChanged
from palimpsest.protocol import messages as m
from palimpsest.state.perspectives import Perspective

pytestmark = pytest.mark.anyio

PUBLIC = Perspective(name="public", documents="notes/*", include=("title",), rename={"title": "name"})
SHORT = Perspective(name="short", documents="notes/*", family="note", level=1, include=("title",))
LONG = Perspective(name="long", documents="notes/*", family="note", level=2, include=("stars",))


@pytest.fixture
async def client(anyio_backend: object) -> AsyncIterator[Client]:
    async with Server.memory() as server, server.connect() as connected:
        for perspective in (PUBLIC, SHORT, LONG):
            await connected.perspectives.put(perspective)
        await connected.create("notes/1", {"title": "A", "stars": 1, "secret": "deep"})
        yield connected


async def soon(changes: Subscription) -> Change:
    async with asyncio.timeout(5):
        return await anext(changes)


def shown(change: Change) -> tuple[str, int, bool, Any]:
    return change.document, change.version, change.snapshot, change.value


async def test_changes_are_those_of_the_view(client: Client) -> None:
    async with client.subscribe("notes/*", perspective="public") as changes:
        await client.update("notes/1", {"secret": "deeper"})
        await client.create("other", {"title": "O"})
        await client.update("notes/1", {"title": "B", "secret": "deepest"})
        change = await soon(changes)
        assert (change.document, change.version) == ("notes/1", 3)
        assert change.delta == pal.Delta().set("name", "B")
        cursor = changes.cursor
    await client.update("notes/1", {"title": "C"})
    async with client.subscribe("notes/*", resume_after=cursor, perspective="public", values=True) as changes:
        assert shown(await soon(changes)) == ("notes/1", 4, False, {"name": "C"})


async def test_a_snapshot_comes_by_itself_when_the_perspective_changes(client: Client) -> None:
    told: list[str] = []
    async with client.subscribe("notes/*", perspective="public", on_state=told.append) as changes:
        await client.update("notes/1", {"title": "B"})
        assert (await soon(changes)).delta == pal.Delta().set("name", "B")
        await client.perspectives.put(msgspec.structs.replace(PUBLIC, include=("title", "stars")))
        assert shown(await soon(changes)) == ("notes/1", 2, True, {"name": "B", "stars": 1})
        await client.update("notes/1", {"stars": 2})
        assert (await soon(changes)).delta == pal.Delta().set("stars", 2)
    assert [state for state in told if state in ("snapshot", "current")] == ["snapshot", "current"]


async def test_a_cursor_of_another_view_gives_a_snapshot(client: Client) -> None:
    async with client.subscribe("notes/*", family="note", level=1) as changes:
        await client.update("notes/1", {"title": "B"})
        await soon(changes)
        cursor = changes.cursor
    async with client.subscribe("notes/*", resume_after=cursor, family="note", level=2) as changes:
        assert shown(await soon(changes)) == ("notes/1", 2, True, {"title": "B", "stars": 1})


async def test_a_level_goes_up_and_down(client: Client) -> None:
    async with client.subscribe("notes/*", family="note", level=1, start="snapshot") as changes:
        assert shown(await soon(changes)) == ("notes/1", 1, True, {"title": "A"})
        changes.set_level(1)
        changes.set_level(2)
        assert not changes.live
        assert shown(await soon(changes)) == ("notes/1", 1, True, {"title": "A", "stars": 1})
        await client.update("notes/1", {"stars": 2})
        assert (await soon(changes)).delta == pal.Delta().set("stars", 2)
        changes.set_level(1)
        assert shown(await soon(changes)) == ("notes/1", 2, True, {"title": "A"})
        await client.update("notes/1", {"stars": 3})
        await client.update("notes/1", {"title": "B"})
        assert (await soon(changes)).version == 4
    assert client.statistics()["subscriptions"] == 0


async def test_what_has_arrived_on_the_old_level_comes_first(client: Client) -> None:
    async with client.subscribe("notes/*", family="note", level=1) as changes:
        await client.update("notes/1", {"title": "B"})
        await client.ping()
        changes.set_level(2)
        assert (await soon(changes)).delta == pal.Delta().set("title", "B")
        assert shown(await soon(changes)) == ("notes/1", 2, True, {"title": "B", "stars": 1})


async def test_a_level_that_there_is_not_ends_it(client: Client) -> None:
    async with client.subscribe("notes/*", family="note", level=1) as changes:
        changes.set_level(3)
        with pytest.raises(PerspectiveNotFound):
            await soon(changes)
        with pytest.raises(InvalidRequest, match="goes on"):
            changes.set_level(1)


async def test_only_a_family_has_levels(client: Client) -> None:
    for subscription in (client.subscribe("notes/*"), client.subscribe("notes/*", perspective="public")):
        async with subscription as changes:
            with pytest.raises(InvalidRequest, match="family"):
                changes.set_level(1)
    outside = client.subscribe("notes/*", family="note", level=1)
    with pytest.raises(InvalidRequest, match="inside"):
        outside.set_level(2)
    async with outside as changes:
        with pytest.raises(InvalidRequest):
            changes.set_level(0)


async def test_a_value_is_watched_through_a_perspective(client: Client) -> None:
    async with client.watch_value("notes/1", path="title", family="note", level=1) as title:
        assert title.value == "A"
        await client.update("notes/1", {"title": "B"})
        async with asyncio.timeout(5):
            assert await title.changed() == "B"
        await client.perspectives.put(msgspec.structs.replace(SHORT, include=("stars",)))
        async with asyncio.timeout(5):
            assert await title.changed() is None


async def test_a_reaction_through_a_perspective(client: Client) -> None:
    seen: list[Any] = []
    handled = asyncio.Event()

    @client.on("notes/*", perspective="public", values=True)
    async def note(change: Change) -> None:
        seen.append(change.value)
        handled.set()

    async with note, asyncio.timeout(5):
        await client.update("notes/1", {"secret": "deeper"})
        await client.update("notes/1", {"title": "B"})
        await handled.wait()
    assert seen == [{"name": "B"}]


def test_blocking(palimpsest_sync_client: Any) -> None:
    client = palimpsest_sync_client
    for perspective in (SHORT, LONG):
        client.perspectives.put(perspective)
    client.create("notes/1", {"title": "A", "stars": 1})
    with client.subscribe("notes/*", family="note", level=1, start="snapshot") as changes:
        assert next(changes).value == {"title": "A"}
        changes.set_level(2)
        assert next(changes).value == {"title": "A", "stars": 1}
        with pytest.raises(InvalidRequest):
            changes.set_level(0)


# --- over a connection that breaks -----------------------------------------------------------------------------------


def scripted_views(scripted: Any, refuse: Any) -> None:
    """The scripted server knows nothing of views. refuse: whether a resume of that connection is of another view by now."""

    def trouble(peer: Any, message: Any) -> bool:
        if not isinstance(message, m.Through):
            return False
        request = message.request
        if request.resume_after is not None and refuse(peer):
            error = ViewChanged("another by now", cursor=request.resume_after, perspective=message.perspective)
            peer.send(m.Failed(request.id, *error.to_wire()))
        else:
            scripted.answer(peer, request)
        return True

    scripted.trouble = trouble


@pytest.mark.parametrize("start", ["now", "snapshot"])
async def test_a_view_that_changed_meanwhile(scripted: Any, reach: Any, start: Any) -> None:
    scripted_views(scripted, lambda peer: peer.number == 2)
    async with reach() as client, client.subscribe("*", start=start, perspective="public") as changes:
        scripted.publish("a", 1)
        assert (await soon(changes)).version == 1
        scripted.there["a"] = 5
        scripted.peers[0].cut()
        assert shown(await soon(changes)) == ("a", 5, True, 7)
        scripted.publish("a", 6)
        assert (await soon(changes)).version == 6
        scripted.peers[1].cut()
        await scripted.until(lambda: len(scripted.peers) == 3)
        scripted.publish("a", 7)
        assert (await soon(changes)).version == 7
    asked = [message for message in scripted.received if isinstance(message, m.Through)]
    assert {(message.perspective, message.level) for message in asked} == {("public", None)}


async def test_a_level_is_set_while_there_is_no_connection(scripted: Any, reach: Any) -> None:
    scripted_views(scripted, lambda peer: False)
    async with reach() as client, client.subscribe("*", family="note", level=1) as changes:
        scripted.there["a"] = 5
        scripted.peers[0].cut()
        await scripted.until(lambda: not client.statistics()["connected"])
        changes.set_level(2)
        assert shown(await soon(changes)) == ("a", 5, True, 7)
    levels = [message.level for message in scripted.received if isinstance(message, m.Through)]
    assert levels == [1, 2]


async def test_other_errors_of_cursors_end_it_as_before(scripted: Any, reach: Any) -> None:
    scripted_views(scripted, lambda peer: False)
    async with reach() as client, client.subscribe("*", perspective="public") as changes:
        scripted.publish("a", 1)
        await soon(changes)
        scripted.compact()
        scripted.peers[0].cut()
        with pytest.raises(Compacted):
            await soon(changes)
