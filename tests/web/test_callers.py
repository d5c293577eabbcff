"""Connections of callers, by their tokens, to a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from palimpsest import Client, Server
from palimpsest.errors import ConnectionLost, Overloaded, Unauthenticated
from palimpsest.web.callers import Callers, is_over

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def callers(callers_max: int = 10, openings_max: int = 2) -> AsyncIterator[tuple[Callers, list[str]]]:
    """With three tokens that are good."""
    async with Server.memory() as server:
        async with server.connect() as first:
            root = await first.tokens.create("root", roles=["admin"])
        async with server.connect(token=root.text) as client:
            tokens = [str((await client.tokens.create(name, roles=["admin"])).text) for name in ("a", "b")]
        found = Callers(lambda token: server.connect(token=token, connect_seconds=0), callers_max, openings_max)
        try:
            yield found, [str(root.text), *tokens]
        finally:
            await found.close()


async def until_lost(client: Client) -> None:
    while True:
        await client.ping()


async def test_that_many_who_come_at_once_share_one_connection() -> None:
    async with callers() as (found, [token, *_]):
        leases = await asyncio.gather(*(found.lease(token) for _ in range(20)))
        assert len({id(lease.client) for lease in leases}) == 1
        assert found.statistics() == {"callers": 1, "opening": 0, "uses": 20}
        for lease in leases:
            lease.release()
        assert found.statistics()["uses"] == 0


async def test_that_the_least_recently_used_one_makes_room_and_is_closed() -> None:
    async with callers(callers_max=2) as (found, [a, b, c]):
        first = await found.lease(a)
        first.release()
        (await found.lease(b)).release()
        (await found.lease(a)).release()
        (await found.lease(c)).release()
        again = await found.lease(a)
        assert again.client is first.client
        again.release()
        other = await found.lease(b)
        assert await other.client.ping() > 0
        assert found.statistics()["callers"] == 2
        other.release()


async def test_that_one_in_use_is_not_closed_for_another() -> None:
    async with callers(callers_max=1) as (found, [a, b, _]):
        held = await found.lease(a)
        with pytest.raises(Overloaded) as refused:
            await found.lease(b)
        assert refused.value.limit == "callers_max"
        assert await held.client.ping() > 0
        held.release()
        (await found.lease(b)).release()


async def test_that_one_that_is_dropped_is_closed_with_its_last_use() -> None:
    async with callers() as (found, [token, *_]):
        first, second = await found.lease(token), await found.lease(token)
        first.drop()
        first.drop()
        assert found.statistics()["callers"] == 0
        assert await second.client.ping() > 0
        third = await found.lease(token)
        assert third.client is not first.client
        first.release()
        second.release()
        with pytest.raises(ConnectionLost) as lost:
            await until_lost(second.client)
        assert is_over(lost.value, second.client)
        assert await third.client.ping() > 0
        third.release()


async def test_that_a_bad_token_leaves_nothing_behind() -> None:
    async with callers() as (found, [token, *_]):
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await found.lease("wrong")
        assert found.statistics() == {"callers": 0, "opening": 0, "uses": 0}
        (await found.lease(token)).release()


async def test_that_bad_tokens_are_tried_a_few_at_a_time() -> None:
    async with callers(openings_max=2) as (found, _):
        answers = await asyncio.gather(*(found.lease(str(number)) for number in range(50)), return_exceptions=True)
        kinds = [type(answer) for answer in answers]
        assert (kinds.count(Unauthenticated), kinds.count(Overloaded)) == (10, 40)
        assert found.statistics() == {"callers": 0, "opening": 0, "uses": 0}


async def test_that_one_who_gives_up_does_not_take_it_from_others() -> None:
    async with callers() as (found, [token, *_]):
        waiting = [asyncio.ensure_future(found.lease(token)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        lease = await waiting[1]
        assert await lease.client.ping() > 0
        assert found.statistics()["uses"] == 1
        lease.release()


async def test_that_all_who_wait_may_give_up() -> None:
    async with callers() as (found, [token, *_]):
        waiting = asyncio.ensure_future(found.lease(token))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert found.statistics()["uses"] == 0
        (await found.lease(token)).release()


async def test_that_closing_ends_what_is_being_opened() -> None:
    async with callers() as (found, [token, *_]):
        waiting = asyncio.ensure_future(found.lease(token))
        await asyncio.sleep(0)
        await found.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert found.statistics() == {"callers": 0, "opening": 0, "uses": 0}
