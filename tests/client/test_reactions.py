"""Handlers that are called with each change: in order per document, bounded, and again where they fail."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.client import Change, Client, Reaction
from palimpsest.embedded import Server
from palimpsest.errors import ConnectionLost, InvalidName, InvalidRequest
from palimpsest.protocol.cursor import encode_cursor

pytestmark = pytest.mark.anyio

EPOCH = "0123456789abcdef"


class Gate:
    """A handler that is let go on document by document, and knows what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.running: Counter[str] = Counter()
        self.most = 0
        self.open: dict[str, asyncio.Event] = {}
        self.fails: Counter[tuple[str, int]] = Counter()
        self._news = asyncio.Event()

    async def __call__(self, change: Change) -> None:
        document = change.document
        self.calls.append((document, change.version))
        self.running[document] += 1
        self.most = max(self.most, self.running.total())
        assert self.running[document] == 1, "two at once on one document"
        self._news.set()
        try:
            await self.open.setdefault(document, asyncio.Event()).wait()
        finally:
            self.running[document] -= 1
        if self.fails[document, change.version] > 0:
            self.fails[document, change.version] -= 1
            raise KeyError(document)

    def let(self, *documents: str) -> None:
        for document in documents:
            self.open.setdefault(document, asyncio.Event()).set()

    async def called(self, count: int) -> list[tuple[str, int]]:
        async with asyncio.timeout(5):
            while len(self.calls) < count:
                self._news.clear()
                await self._news.wait()
        return self.calls


async def settled(client: Client) -> None:
    """What was sent has arrived, and who can go on has done so."""
    for _ in range(3):
        await client.ping()


async def run(reaction: Reaction, *acts: Callable[[], object]) -> None:
    """Until it stops by itself. Leaving the block raises what waiting did."""
    async with reaction:
        for act in acts:
            answer = act()
            if inspect.isawaitable(answer):
                await answer
        with suppress(Exception):
            await reaction.wait()


async def test_in_order_per_document_and_at_once_across(scripted: Any, reach: Any) -> None:
    gate = Gate()
    async with reach() as client, client.on("*")(gate) as reaction:
        for document, version in (("a", 1), ("a", 2), ("b", 1), ("a", 3)):
            scripted.publish(document, version)
        assert await gate.called(2) == [("a", 1), ("b", 1)]
        await settled(client)
        assert (len(gate.calls), reaction.waiting) == (2, 4)
        gate.let("a", "b")
        assert (await gate.called(4))[2:] == [("a", 2), ("a", 3)]


async def test_the_cursor_passes_what_is_handled_with_all_before_it(scripted: Any, reach: Any) -> None:
    gate = Gate()
    scripted.publish("x", 1)
    async with reach() as client, client.on("*")(gate) as reaction:
        assert reaction.cursor == encode_cursor(EPOCH, 1)
        for document in ("a", "b", "c"):
            scripted.publish(document, 1)
        await gate.called(3)
        gate.let("b", "c")
        await settled(client)
        assert reaction.cursor == encode_cursor(EPOCH, 1)
        gate.let("a")
        await settled(client)
        assert reaction.cursor == encode_cursor(EPOCH, 4)
        assert reaction.waiting == 0
        (number,) = scripted.peers[0].subscriptions
        scripted.mark(scripted.peers[0], number, "live", 9)
        await settled(client)
        assert reaction.cursor == encode_cursor(EPOCH, 9)


async def test_leaving_ends_what_is_at_it_and_the_cursor_stays_before_it(scripted: Any, reach: Any) -> None:
    gate = Gate()
    async with reach() as client:
        async with client.on("*")(gate) as reaction:
            scripted.publish("a", 1)
            scripted.publish("b", 1)
            gate.let("a")
            await gate.called(2)
            await settled(client)
        assert gate.running.total() == 0
        assert reaction.cursor == encode_cursor(EPOCH, 1)
        again = Gate()
        async with client.on("*", resume_after=reaction.cursor)(again):
            assert await again.called(1) == [("b", 1)]
        await reaction.wait()


async def test_no_more_at_once_than_allowed(scripted: Any, reach: Any) -> None:
    gate = Gate()
    async with reach() as client, client.on("*", concurrency_max=2)(gate) as reaction:
        for number in range(50):
            scripted.publish(f"n{number}", 1)
        await gate.called(2)
        await settled(client)
        assert len(gate.calls) == 2
        assert reaction.waiting == 32
        gate.let(*[f"n{number}" for number in range(50)])
        await gate.called(50)
        assert gate.most == 2


async def test_what_fails_is_tried_again(scripted: Any, reach: Any, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    gate.let("a")
    gate.fails["a", 1] = 2
    async with reach() as client, client.on("a", retries=2)(gate) as reaction:
        scripted.publish("a", 1)
        scripted.publish("a", 2)
        assert await gate.called(4) == [("a", 1)] * 3 + [("a", 2)]
        await settled(client)
        assert reaction.cursor == encode_cursor(EPOCH, 2)
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [(line["event"], line["tries"]) for line in lines] == [("reaction_failed", 1), ("reaction_failed", 2)]


async def test_it_stops_with_what_keeps_failing(scripted: Any, reach: Any, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    gate.let("a", "b")
    gate.fails["b", 1] = 2
    async with reach() as client:
        reaction = client.on("*", retries=1)(gate)
        with pytest.raises(KeyError, match="b"):
            await run(reaction, lambda: [scripted.publish(document, 1) for document in "abc"])
        assert client.statistics()["subscriptions"] == 0
        assert reaction.cursor == encode_cursor(EPOCH, 1)
        assert gate.running.total() == 0
    assert caplog.records[-1].msg["event"] == "reaction_stopped"  # type: ignore[index]


async def test_what_the_block_raises_comes_first(scripted: Any, reach: Any) -> None:
    gate = Gate()
    gate.let("a")
    gate.fails["a", 1] = 1

    async def block(client: Any) -> None:
        async with client.on("a", retries=0)(gate) as reaction:
            scripted.publish("a", 1)
            with pytest.raises(KeyError):
                await reaction.wait()
            raise ValueError("mine")

    async with reach() as client:
        with pytest.raises(ValueError, match="mine"):
            await block(client)


@pytest.mark.parametrize("is_async", [True, False])
async def test_on_error_takes_what_keeps_failing(scripted: Any, reach: Any, is_async: bool) -> None:
    gate = Gate()
    gate.let("a")
    gate.fails["a", 1] = 9
    taken: list[tuple[int, str]] = []

    def take(change: Change, error: Exception) -> None:
        taken.append((change.version, repr(error)))

    async def take_later(change: Change, error: Exception) -> None:
        take(change, error)

    on_error = take_later if is_async else take
    async with reach() as client, client.on("a", retries=1, on_error=on_error)(gate) as reaction:
        scripted.publish("a", 1)
        scripted.publish("a", 2)
        assert await gate.called(3) == [("a", 1), ("a", 1), ("a", 2)]
        await settled(client)
        assert taken == [(1, "KeyError('a')")]
        assert reaction.cursor == encode_cursor(EPOCH, 2)


async def test_what_on_error_raises_stops_it(scripted: Any, reach: Any) -> None:
    gate = Gate()
    gate.let("a")
    gate.fails["a", 1] = 1

    def refuse(change: Change, error: Exception) -> None:
        raise ValueError("no room")

    async with reach() as client:
        with pytest.raises(ValueError, match="no room"):
            await run(client.on("a", retries=0, on_error=refuse)(gate), lambda: scripted.publish("a", 1))


async def test_the_end_of_the_subscription_is_its_end(scripted: Any, reach: Any) -> None:
    client = await reach()
    with pytest.raises(ConnectionLost):
        await run(client.on("a")(Gate()), scripted.peers[0].cut, client.close)


async def test_a_snapshot_has_no_cursor(scripted: Any, reach: Any) -> None:
    scripted.there = {"a": 1, "b": 1}
    gate = Gate()
    async with reach() as client, client.on("*", start="snapshot")(gate) as reaction:
        await gate.called(2)
        gate.let("b")
        await settled(client)
        assert reaction.cursor == ""
        gate.let("a")
        await settled(client)
        assert reaction.cursor == encode_cursor(EPOCH, 0)


async def test_as_a_decorator() -> None:
    found: list[tuple[str, int]] = []
    done = asyncio.Event()
    async with Server.memory() as server, server.connect() as client:

        @client.on("notes/*", tags={"publish"}, start="beginning")
        async def publish(change: Change) -> str:
            """Puts it on the wall."""
            found.append((change.document, change.version))
            done.set()
            return change.document

        assert publish.__doc__ == "Puts it on the wall."
        await client.create("notes/1", {})
        await client.create("notes/2", {}, tags={"publish"})
        async with publish:
            async with asyncio.timeout(5):
                await done.wait()
            assert found == [("notes/2", 1)]
            with pytest.raises(InvalidRequest, match="once"):
                await publish.__aenter__()
        async with client.subscribe("notes/1", start="beginning") as changes:
            assert await publish(await anext(changes)) == "notes/1"


async def test_arguments_that_make_no_sense(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        for arguments in ({"concurrency_max": 0}, {"retries": -1}, {"retries": "3"}, {"start": "x"}):
            with pytest.raises(InvalidRequest):
                client.on("a", **arguments)
        with pytest.raises(InvalidName):
            client.on(5)
        for handler in (lambda change: None, 5):
            with pytest.raises(InvalidRequest, match="async function"):
                client.on("a")(handler)
        with pytest.raises(InvalidRequest, match="async with"):
            await client.on("a")(partial(Gate.__call__, Gate())).wait()


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2)), max_size=30), st.integers(1, 4))
def test_every_change_once_and_in_order(changes: list[tuple[str, int]], concurrency: int) -> None:
    """Each change is handled as often as it fails, and once more; the cursor names the end of what is handled without a gap."""
    asyncio.run(react(changes, concurrency))


async def react(changes: list[tuple[str, int]], concurrency: int) -> None:
    handled: list[int] = []
    fails = {}
    quick: dict[str, Any] = {"backoff_seconds_min": 1e-6, "backoff_seconds_max": 1e-6}
    async with Server.memory() as server, server.connect(**quick) as client:
        done = asyncio.Event()

        @client.on("*", start="beginning", concurrency_max=concurrency, retries=2)
        async def handle(change: Change) -> None:
            number = int(next(iter(change.tags)))
            await asyncio.sleep(0)
            if fails[number] > 0:
                fails[number] -= 1
                raise KeyError(number)
            handled.append(number)
            if len(handled) == len(changes):
                done.set()

        last = ""
        for number, (document, failures) in enumerate(changes):
            fails[number] = failures
            exists = document in dict(changes[:number])
            write = client.update if exists else client.create
            await write(document, {"n": number}, tags={str(number)})
        async with handle:
            if changes:
                async with asyncio.timeout(5):
                    await done.wait()
            while handle.waiting:
                await asyncio.sleep(0)
            last = handle.cursor
        for document in "abcd":
            mine = [number for number in handled if changes[number][0] == document]
            assert mine == [number for number, (name, _) in enumerate(changes) if name == document]
        async with client.subscribe("*", resume_after=last) as rest:
            await client.create("end", {})
            assert (await anext(rest)).document == "end"
