"""Who is told that the connection was lost and is back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from palimpsest.client.reconnecting import Reconnected, next_number
from palimpsest.protocol import messages as m

pytestmark = pytest.mark.anyio


async def cut(scripted: Any) -> None:
    peers = len(scripted.peers)
    scripted.peers[-1].cut()
    await scripted.until(lambda: len(scripted.peers) > peers)


async def test_callbacks_are_told(scripted: Any, reach: Any) -> None:
    told: list[Reconnected] = []
    done = asyncio.Event()
    async with reach() as client, client.subscribe("a"), client.subscribe("b"):

        @client.on_reconnect
        async def later(event: Reconnected) -> None:
            await client.ping()
            done.set()

        assert client.on_reconnect(told.append) is not None
        assert told == []
        await cut(scripted)
        async with asyncio.timeout(5):
            await done.wait()
        assert client.statistics()["reconnections"] == 1
        (event,) = told
        assert (event.attempts, event.subscriptions) == (1, 2)
        assert 0 <= event.seconds < 5


async def test_attempts_are_counted(scripted: Any, reach: Any) -> None:
    told: asyncio.Queue[Reconnected] = asyncio.Queue()
    refused: list[Any] = []

    def refuse(peer: Any, message: Any) -> bool:
        if isinstance(message, m.Hello) and peer.number in (2, 3):
            refused.append(peer)
            peer.cut()
            return True
        return False

    scripted.trouble = refuse
    async with reach() as client:
        client.on_reconnect(told.put_nowait)
        scripted.peers[0].cut()
        async with asyncio.timeout(5):
            assert (await told.get()).attempts == 3
        assert len(refused) == 2


async def test_each_hello_says_a_higher_attempt(scripted: Any, reach: Any) -> None:
    """Also that of a client that comes later under the same client id, as a program does that is started again."""
    async with reach(client_id="kept"):
        await cut(scripted)
        await scripted.until(lambda: len(hellos(scripted)) == 2)
    async with reach(client_id="kept"):
        pass
    attempts = [hello.attempt for hello in hellos(scripted)]
    assert len(attempts) == 3
    assert attempts == sorted(set(attempts))
    assert attempts[0] > 0


def hellos(scripted: Any) -> list[m.Hello]:
    return [message for message in scripted.received if isinstance(message, m.Hello)]


@pytest.mark.parametrize(
    ("last", "now_nanoseconds", "number"),
    [
        pytest.param(0, 5_000_999, 5_000, id="the first is the time"),
        pytest.param(4_000, 5_000_000, 5_000, id="the time has gone on"),
        pytest.param(5_000, 5_000_999, 5_001, id="in the same microsecond"),
        pytest.param(9_000, 5_000_000, 9_001, id="the clock was set back"),
    ],
)
def test_numbers_of_attempts_rise(last: int, now_nanoseconds: int, number: int) -> None:
    assert next_number(last, now_nanoseconds) == number


async def test_what_a_callback_raises_is_logged(scripted: Any, reach: Any, caplog: pytest.LogCaptureFixture) -> None:
    told: asyncio.Queue[Reconnected] = asyncio.Queue()
    async with reach() as client:

        @client.on_reconnect
        def fails(event: Reconnected) -> None:
            raise KeyError("plain")

        @client.on_reconnect
        async def fails_later(event: Reconnected) -> None:
            raise KeyError("async")

        client.on_reconnect(told.put_nowait)
        await cut(scripted)
        async with asyncio.timeout(5):
            await told.get()
        await client.ping()
        events = [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]
        assert events == ["disconnected", "on_reconnect_failed", "on_reconnect_failed"]


async def test_closing_ends_callbacks_that_are_at_it(scripted: Any, reach: Any) -> None:
    at_it = asyncio.Event()
    ended: list[bool] = []
    async with reach() as client:

        @client.on_reconnect
        async def endless(event: Reconnected) -> None:
            at_it.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        await cut(scripted)
        async with asyncio.timeout(5):
            await at_it.wait()
    assert ended == [True]


async def test_states_are_logged(scripted: Any, reach: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "palimpsest.client")
    async with reach() as client:
        await cut(scripted)
        await client.ping()
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [(line["event"], line["level"]) for line in lines] == [("disconnected", "warning"), ("reconnected", "info")]
    assert lines[1]["attempts"] == 1
