"""One value that is always the newest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from palimpsest.client import Client, Create, WatchedValue
from palimpsest.embedded import Server
from palimpsest.errors import ConnectionLost, InvalidName, InvalidPath, InvalidRequest, RequestTimeout
from palimpsest.protocol import messages as m
from palimpsest.state.delta import DELETE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(anyio_backend: object) -> AsyncIterator[Client]:
    async with Server.memory() as server, server.connect() as connected:
        yield connected


async def changed(watched: WatchedValue) -> Any:
    async with asyncio.timeout(5):
        return await watched.changed()


async def test_the_newest_value(client: Client) -> None:
    await client.create("config", {"a": 1})
    async with client.watch_value("config") as config:
        assert (config.value, config.version, config.exists, config.connected) == ({"a": 1}, 1, True, True)
        await client.update("config", {"a": 2})
        assert await changed(config) == {"a": 2}
        assert (config.value, config.version) == ({"a": 2}, 2)
        assert 0 <= config.age_seconds < 5
    assert not config.connected


async def test_what_is_not_there(client: Client) -> None:
    async with client.watch_value("config", default={"none": True}) as config:
        assert (config.value, config.version, config.exists) == ({"none": True}, None, False)
        await client.create("config", {"none": True})
        assert await changed(config) == {"none": True}
        assert config.exists
        await client.delete("config")
        assert await changed(config) == {"none": True}
        assert (config.exists, config.version) == (False, 2)


async def test_a_path(client: Client) -> None:
    await client.create("config", {"a": {"b": [1, 2]}, "c": 0})
    async with client.watch_value("config", path=("a", "b", 1), default=0) as config:
        assert config.value == 2
        waiting = asyncio.ensure_future(changed(config))
        await client.update("config", {"c": 5})
        await client.update("config", {("a", "b", 1): 7})
        assert await waiting == 7
        assert config.version == 3
        await client.update("config", {"a": "text"})
        assert (await changed(config), config.exists) == (0, False)
        await client.transaction({"config": DELETE})
        await client.transaction({"config": Create({"a": {"b": [0, None]}})})
        assert (await changed(config), config.exists) == (None, True)


async def test_types_are_told_apart(client: Client) -> None:
    await client.create("config", 1)
    async with client.watch_value("config") as config:
        await client.update("config", {"": True})
        assert await changed(config) is True


async def test_changed_tells_each_caller_once(client: Client) -> None:
    await client.create("config", 0)
    async with client.watch_value("config") as config:
        one, two = asyncio.ensure_future(changed(config)), asyncio.ensure_future(changed(config))
        await asyncio.sleep(0)
        await client.update("config", {"": 1})
        assert await one == await two == 1
        await client.update("config", {"": 2})
        assert await changed(config) == 2
        three = asyncio.ensure_future(changed(config))
        await client.ping()
        assert not three.done()
        three.cancel()
        await asyncio.wait([three])
        await client.update("config", {"": 3})
        assert await changed(config) == 3


async def test_branches(client: Client) -> None:
    await client.create("config", 1)
    await client.branch("config", "draft", at=1)
    async with client.watch_value("config", branch="draft") as config:
        await client.update("config", {"": 2})
        await client.update("config", {"": 3}, branch="draft")
        assert await changed(config) == 3


async def test_leaving_ends_a_wait(client: Client) -> None:
    async with client.watch_value("config") as config:
        waiting = asyncio.ensure_future(changed(config))
        await asyncio.sleep(0)
    with pytest.raises(InvalidRequest, match="left"):
        await waiting


async def test_closing_the_client_ends_it(client: Client) -> None:
    await client.create("config", 1)
    async with client.watch_value("config") as config:
        await client.close()
        with pytest.raises(ConnectionLost):
            await changed(config)
        assert (config.value, config.connected) == (1, False)


async def test_arguments_that_make_no_sense(client: Client) -> None:
    with pytest.raises(InvalidName):
        client.watch_value("config/*")
    with pytest.raises(InvalidPath):
        client.watch_value("config", path="a..b")
    with pytest.raises(InvalidName):
        async with client.watch_value("config//x"):
            raise AssertionError


async def test_the_last_value_stays_while_disconnected(scripted: Any, reach: Any) -> None:
    scripted.there = {"config": 3}
    lost = asyncio.Event()
    async with reach() as client, client.watch_value("config", default=0) as config:
        assert (config.value, config.version, config.connected) == (7, 3, True)
        scripted.trouble = lambda peer, message: isinstance(message, m.Hello) and not lost.is_set()
        scripted.peers[0].cut()
        await scripted.until(lambda: len(scripted.peers) == 2)
        assert (config.value, config.exists, config.connected) == (7, True, False)
        first = config.age_seconds
        assert config.age_seconds > first
        lost.set()
        scripted.peers[1].cut()
        await scripted.until(lambda: any(isinstance(message, m.Subscribe) for message in scripted.received[-1:]))
        await client.ping()
        assert config.connected


async def test_a_snapshot_in_its_place_may_lack_it(scripted: Any, reach: Any) -> None:
    scripted.there = {"config": 3}
    async with reach() as client, client.watch_value("config", default=0) as config:
        scripted.there = {}
        scripted.compact()
        scripted.peers[0].cut()
        assert await changed(config) == 0
        assert (config.exists, config.version) == (False, None)


async def test_a_server_that_shows_nothing(scripted: Any, reach: Any) -> None:
    scripted.there = {"config": 1}
    scripted.interrupt = lambda peer, document: True
    async with reach(timeout_seconds=0.05) as client:
        with pytest.raises(RequestTimeout, match="config"):
            async with client.watch_value("config"):
                raise AssertionError
        assert client.statistics()["subscriptions"] == 0
