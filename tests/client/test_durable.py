"""Workers of a named subscription: what reaches the reader, over lost connections and restarts of the server."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.client.durable import NamedSubscription
from palimpsest.errors import InvalidRequest, SubscriptionNotFound

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house() -> AsyncIterator[House]:
    clock = pal.ManualClock()
    async with pal.Server.memory(clock=clock) as server, server.connect() as client:
        yield House(server, client, clock)


class House:
    """A server, a client that is not disturbed, and a clock."""

    def __init__(self, server: pal.Server, client: pal.Client, clock: pal.ManualClock) -> None:
        self.server = server
        self.client = client
        self._clock = clock

    async def write(self, *documents: str) -> None:
        for document in documents:
            if await self.client.get_many([document]) == [None]:
                await self.client.create(document, 0)
            else:
                await self.client.update(document, {"": pal.Increment(1)})

    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)
        self.server.partition.groups.tick()

    def cut(self, client: pal.Client) -> None:
        (session,) = [one for one in self.server._sessions if one.client == client.client_id]
        session.abort()

    def connect(self) -> Any:
        return self.server.connect(backoff_seconds_min=0.001, backoff_seconds_max=0.001)


async def take(changes: pal.Subscription, count: int) -> list[pal.Change]:
    async with asyncio.timeout(5):
        return [await anext(changes) for _ in range(count)]


def said(changes: list[pal.Change]) -> list[tuple[str, int, int]]:
    return [(change.document, change.version, change.tries) for change in changes]


async def nothing_comes(changes: pal.Subscription, client: pal.Client) -> None:
    """Once all that was said by then has arrived, nothing is there to be read."""
    await client.ping()
    assert changes.held_bytes == 0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


# --- acknowledging ---------------------------------------------------------------------------------------------------


async def test_what_is_acknowledged_does_not_come_again(house: House) -> None:
    await house.write("a", "b", "a")
    client = house.client
    async with client.subscribe("*", name="work", start="beginning") as changes:
        found = await take(changes, 3)
        assert said(found) == [("a", 1, 1), ("b", 1, 1), ("a", 2, 1)]
        assert (found[0].epoch, found[0].position) == (house.server.epoch, 1)
        await changes.ack(found[0], found[1])
        assert changes.cursor == found[1].cursor
        await changes.ack()
    async with client.subscribe("*", name="work") as changes:
        assert said(await take(changes, 1)) == [("a", 2, 1)]


async def test_it_is_known_how_it_stands(house: House) -> None:
    await house.write("a", "b")
    async with house.client.subscribe("*", name="work", start="beginning", tries_max=1) as changes:
        first, second = await take(changes, 2)
        await changes.nack(first, reason="no")
        state = await house.client.subscription_state("work")
        assert (state.workers, state.in_flight, state.dead) == (1, 1, 1)
        assert state.dead_letters == (pal.DeadLetter("a", "main", 1, 1, 1, "no"),)
        await changes.ack(second)
        await changes.ack(first)
        assert (await house.client.subscription_state("work")).dead == 0


async def test_states(house: House) -> None:
    await house.write("a")
    states: list[str] = []
    async with house.client.subscribe("*", name="work", start="beginning", on_state=states.append) as changes:
        await take(changes, 1)
        await until(lambda: changes._held)
        waiting = asyncio.ensure_future(anext(changes))
        await until(lambda: changes.live)
        assert changes.current
        waiting.cancel()
    assert states == ["live"]


async def test_refused_over_and_over(house: House) -> None:
    await house.write("a", "a", "a")
    async with house.client.subscribe("*", name="work", start="beginning", tries_max=2) as changes:
        first, second = await take(changes, 2)
        await changes.nack(first, reason="no")
        found = await take(changes, 3)
        assert said(found) == [("a", 1, 2), ("a", 2, 1), ("a", 3, 1)]
        await changes.nack(found[0])
        found = await take(changes, 2)
        assert said(found) == [("a", 2, 1), ("a", 3, 1)]
        assert second.version == 2


async def test_refused_for_a_while(house: House) -> None:
    await house.write("a")
    async with house.client.subscribe("*", name="work", start="beginning") as changes:
        (change,) = await take(changes, 1)
        await changes.nack(change, delay_seconds=60)
        await nothing_comes(changes, house.client)
        house.wait(60)
        assert said(await take(changes, 1)) == [("a", 1, 2)]


async def test_what_was_not_acknowledged_in_time_comes_again(house: House) -> None:
    await house.write("a", "a")
    async with house.client.subscribe("*", name="work", start="beginning", ack_seconds=10) as changes:
        (change,) = await take(changes, 1)
        await until(lambda: changes.held_bytes)
        house.wait(10)
        await house.client.ping()
        found = await take(changes, 2)
        assert said(found) == [("a", 1, 2), ("a", 2, 1)], "the second one once, though it was held already"
        await changes.ack(change)
        assert not isinstance(changes, NamedSubscription) or not changes.has(found[0])


async def test_without_a_name_nothing_is_acknowledged(house: House) -> None:
    await house.write("a")
    async with house.client.subscribe("*", start="beginning") as changes:
        (change,) = await take(changes, 1)
        for word in (changes.ack, changes.nack):
            with pytest.raises(InvalidRequest):
                await word(change)


@pytest.mark.parametrize(
    "options",
    [
        {"start": "snapshot"},
        {"policy": "disconnect"},
        {"speed": 1, "start": "beginning"},
        {"tries_max": 0},
        {"unacked_max": 0},
        {"ack_seconds": -1},
        {"ack_seconds": "1"},
        {"ack_seconds": float("inf")},
        {"name": 1},
    ],
)
async def test_what_makes_no_sense(house: House, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        house.client.subscribe("*", **{"name": "work", **options})


async def test_what_makes_no_sense_later(house: House) -> None:
    async with house.client.subscribe("*", name="work") as changes:
        with pytest.raises(InvalidRequest):
            changes.transactions()
        with pytest.raises(InvalidRequest):
            async with house.client.subscribe("a", name="work"):
                pass


async def test_changes_of_two_stores(house: House) -> None:
    await house.write("a", "b")
    async with house.client.subscribe("*", name="work", start="beginning") as changes:
        first, second = await take(changes, 2)
        second._epoch = "0" * 16
        with pytest.raises(InvalidRequest):
            await changes.ack(first, second)


async def test_deleted(house: House) -> None:
    async with house.connect() as client, client.subscribe("*", name="work") as changes:
        await house.client.delete_subscription("work")
        with pytest.raises(SubscriptionNotFound):
            await take(changes, 1)


# --- lost connections ------------------------------------------------------------------------------------------------


async def test_what_the_reader_has_does_not_come_to_it_again(house: House) -> None:
    await house.write("a", "b", "c")
    async with house.connect() as client, client.subscribe("*", name="work", start="beginning") as changes:
        first, second = await take(changes, 2)
        await until(lambda: changes.held_bytes)
        house.cut(client)
        await until(lambda: not changes.held_bytes)
        assert said(await take(changes, 1)) == [("c", 1, 2)]
        await nothing_comes(changes, client)
        await changes.ack(first)
        house.wait(30)
        assert said(await take(changes, 1)) == [("b", 1, 3)], "but once it was not acknowledged in time"
        await changes.ack(second)


async def test_an_acknowledgement_that_was_cut_is_sent_again(house: House) -> None:
    await house.write("a", "b")
    async with house.connect() as client, client.subscribe("*", name="work", start="beginning") as changes:
        (first,) = await take(changes, 1)
        await until(lambda: changes.held_bytes)
        house.cut(client)
        acknowledging = asyncio.ensure_future(changes.ack(first))
        await until(lambda: not changes.held_bytes)
        assert said(await take(changes, 1)) == [("b", 1, 2)]
        await acknowledging
        await nothing_comes(changes, client)


async def test_what_is_held_goes_to_another(house: House) -> None:
    await house.write("a", "b")
    async with house.connect() as client, client.subscribe("*", name="work", start="beginning") as changes:
        (first,) = await take(changes, 1)
        await until(lambda: changes.held_bytes)
        async with house.client.subscribe("*", name="work") as others:
            house.cut(client)
            assert said(await take(others, 2)) == [("a", 1, 2), ("b", 1, 2)]
            await until(lambda: changes._links == 1)
            assert changes.held_bytes == 0
            await changes.ack(first)
            state = await house.client.subscription_state("work")
            assert state.in_flight == 1


async def work(house: House, client: pal.Client, rng: random.Random, acknowledged: list[tuple[str, int]]) -> None:
    """Comes and goes, refuses some, and loses its connection now and then."""
    while True:
        async with client.subscribe("*", name="work", start="beginning", tries_max=1000) as changes:
            for _ in range(rng.randint(1, 30)):
                change = await anext(changes)
                fate = rng.random()
                if fate < 0.2:
                    await changes.nack(change, reason="no")
                    continue
                if fate > 0.9:
                    house.cut(client)
                await changes.ack(change)
                acknowledged.append((change.document, change.version))


async def walk(house: House, rng: random.Random, workers: int) -> list[tuple[str, int]]:
    """What was acknowledged, in that order, once that is all that was written."""
    acknowledged: list[tuple[str, int]] = []
    expected: set[tuple[str, int]] = set()
    clients = [await house.connect() for _ in range(workers)]
    tasks = [asyncio.ensure_future(work(house, client, rng, acknowledged)) for client in clients]
    versions = Counter[str]()
    for _ in range(60):
        document = f"d{rng.randint(0, 4)}"
        versions[document] += 1
        expected.add((document, versions[document]))
        await house.write(document)
    async with asyncio.timeout(10):
        while not expected.issubset(acknowledged):
            await asyncio.sleep(0)
            assert not any(task.done() for task in tasks), [task.exception() for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for client in clients:
        await client.close()
    assert expected.issuperset(acknowledged)
    return acknowledged


async def test_one_worker_that_fails_now_and_then_deals_with_each_change_once_and_in_order(house: House) -> None:
    acknowledged = await walk(house, random.Random(11), 1)
    for document in {document for document, _ in acknowledged}:
        versions = [version for name, version in acknowledged if name == document]
        assert versions == list(range(1, len(versions) + 1))


async def test_workers_that_come_and_go_and_fail_deal_with_all_changes(house: House) -> None:
    await walk(house, random.Random(12), 3)
    state = await house.client.subscription_state("work")
    assert (state.workers, state.in_flight, state.dead) == (0, 0, 0)


# --- restarts --------------------------------------------------------------------------------------------------------


async def test_a_server_that_is_restarted(tmp_path: Path) -> None:
    path = str(tmp_path / "state.db")
    async with pal.Server(path, archiver="inline") as server, server.connect() as client:
        await client.create("a", 1)
        await client.update("a", {"": 2})
        async with client.subscribe("*", name="work", start="beginning") as changes:
            first, _ = await take(changes, 2)
            await changes.ack(first)
    async with pal.Server(path, archiver="inline") as server, server.connect() as client:
        async with client.subscribe("*", name="work") as changes:
            found = await take(changes, 1)
            assert said(found) == [("a", 2, 1)]
            await changes.ack(*found)
        assert [state.name for state in await client.subscriptions()] == ["work"]


# --- reactions -------------------------------------------------------------------------------------------------------


async def test_a_reaction_acknowledges(house: House) -> None:
    await house.write("a", "b", "a")
    calls: list[tuple[str, int]] = []

    @house.client.on("*", name="work", start="beginning")
    async def handle(change: pal.Change) -> None:
        calls.append((change.document, change.version))

    async with handle:
        await until(lambda: len(calls) == 3)
        async with asyncio.timeout(5):
            while (await house.client.subscription_state("work")).in_flight:
                await asyncio.sleep(0)
        assert handle.cursor
    async with house.client.subscribe("*", name="work") as changes:
        await nothing_comes(changes, house.client)


async def test_a_reaction_refuses(house: House) -> None:
    await house.write("a", "a", "b")
    calls: list[tuple[str, int, int]] = []
    told: list[str] = []

    @house.client.on(
        "*",
        name="work",
        start="beginning",
        retries=0,
        tries_max=2,
        on_error=lambda change, error: told.append(repr(error)),
    )
    async def handle(change: pal.Change) -> None:
        calls.append((change.document, change.version, change.tries))
        if (change.document, change.version) == ("a", 1):
            raise KeyError("bad")

    async with handle:
        async with asyncio.timeout(5):
            while ("a", 2, 1) not in calls:
                await asyncio.sleep(0)
        assert sorted(calls) == [("a", 1, 1), ("a", 1, 2), ("a", 2, 1), ("b", 1, 1)]
        state = await house.client.subscription_state("work")
        assert [letter.reason for letter in state.dead_letters] == ["KeyError('bad')"]
    assert told == ["KeyError('bad')"] * 2


async def test_a_reaction_goes_on_where_nobody_hears_of_errors(house: House) -> None:
    await house.write("a", "b")
    done: list[str] = []

    @house.client.on("*", name="work", start="beginning", retries=0, tries_max=1)
    async def handle(change: pal.Change) -> None:
        if change.document == "a":
            raise KeyError("bad")
        done.append(change.document)

    async with handle:
        await until(lambda: done == ["b"])
        async with asyncio.timeout(5):
            while not (await house.client.subscription_state("work")).dead:
                await asyncio.sleep(0)


async def test_what_came_again_while_it_was_handled_is_not_handled_twice(house: House) -> None:
    await house.write("a")
    calls: list[int] = []
    go_on = asyncio.Event()

    @house.client.on("*", name="work", start="beginning", ack_seconds=10)
    async def handle(change: pal.Change) -> None:
        calls.append(change.tries)
        await go_on.wait()

    async with handle:
        await until(lambda: calls == [1])
        house.wait(10)
        await until(lambda: handle.waiting == 2)
        go_on.set()
        await until(lambda: handle.waiting == 0)
    assert calls == [1]


async def test_a_reaction_whose_subscription_is_deleted_stops(house: House) -> None:
    async def handle(change: pal.Change) -> None:
        await house.client.delete_subscription("work")

    async with AsyncExitStack() as exits:
        reaction = house.client.on("*", name="work")(handle)
        exits.push(_expecting(SubscriptionNotFound))
        await exits.enter_async_context(reaction)
        await house.write("a")
        with pytest.raises(SubscriptionNotFound):
            await reaction.wait()


def _expecting(kind: type[Exception]) -> Any:
    def leave(found: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        assert found is kind
        return True

    return leave
