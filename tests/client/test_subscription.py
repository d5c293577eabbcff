"""Subscriptions over connections that break: no gap, no duplicate, and never more than was given credit for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from palimpsest.client import Change, Settings, Subscription
from palimpsest.client.feeds import Wish
from palimpsest.errors import (
    Compacted,
    ConnectionLost,
    CursorInvalid,
    InvalidRequest,
    Overloaded,
    PalimpsestError,
)
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import decode_cursor, encode_cursor
from palimpsest.state.delta import Delta
from palimpsest.words import Kind

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


@pytest.mark.parametrize("arguments", [{"start": "yesterday"}, {"resume_after": 5}, {"speed": 2}])
async def test_arguments_that_make_no_sense(scripted: Any, reach: Any, arguments: Any) -> None:
    async with reach() as client:
        with pytest.raises(InvalidRequest):
            client.subscribe("a", **arguments)


async def test_all_that_can_be_asked_for(scripted: Any, reach: Any) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    conditions: dict[str, Any] = {"tags": {"x"}, "tags_all": {"y"}, "by": "ana", "path": "a", "kinds": {Kind.CREATE}}
    async with reach() as client:
        async with client.subscribe("a", from_version=3, policy="disconnect", **conditions):
            pass
        async with client.subscribe("a", from_time=moment):
            pass
    one, two = subscribes(scripted)
    assert (one.from_version, one.policy, one.tags, one.tags_all) == (3, "disconnect", ("x",), ("y",))
    assert (one.by, one.path, one.kinds, one.snapshot) == ("ana", ("a",), (0,), False)
    assert (two.from_time, two.from_version) == (1_577_836_800_000_000, None)


def subscribes(scripted: Any) -> list[m.Subscribe]:
    return [message for message in scripted.received if isinstance(message, m.Subscribe)]


async def test_a_start_is_asked_for_once(scripted: Any, reach: Any) -> None:
    """What was made before the time is left out after a reconnection, too, as the server did before."""
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    asked = 1_577_836_800_000_000
    async with reach() as client, client.subscribe("a", from_time=moment, by="ana") as changes:
        scripted.publish("a", 1, at=asked)
        assert await take(changes, 1) == [1]
        await cut(scripted)
        scripted.publish("a", 2, at=asked - 1)
        scripted.publish("a", 3, at=asked)
        assert await take(changes, 1) == [3]
        again = subscribes(scripted)[1]
        assert (again.from_time, again.resume_after, again.by) == (None, encode_cursor(EPOCH, 1), "ana")


async def cut(scripted: Any) -> None:
    """Returns once the client is back."""
    asked = len(subscribes(scripted))
    scripted.peers[-1].cut()
    await scripted.until(lambda: len(subscribes(scripted)) > asked)


# --- states ----------------------------------------------------------------------------------------------------------


async def test_states_are_told_where_they_belong(scripted: Any, reach: Any) -> None:
    told: list[str] = []
    async with reach() as client, client.subscribe("a", on_state=told.append) as changes:
        (number,) = scripted.peers[0].subscriptions
        peer = scripted.peers[0]
        scripted.publish("a", 1)
        scripted.mark(peer, number, "behind", 1)
        scripted.mark(peer, number, "live", 1)
        scripted.publish("a", 2)
        scripted.mark(peer, number, "behind", 2)
        await client.ping()
        assert told == []
        assert await take(changes, 1) == [1]
        assert (told, changes.live) == ([], False)
        assert await take(changes, 1) == [2]
        assert told == ["live"]
        assert changes.live
        assert changes.current
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        assert told == ["live", "behind"]
        assert not changes.live
        assert changes.current
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_lost_connection_is_told_at_once(scripted: Any, reach: Any) -> None:
    told: list[str] = []
    async with reach() as client, client.subscribe("a", on_state=told.append) as changes:
        (number,) = scripted.peers[0].subscriptions
        scripted.publish("a", 1)
        scripted.mark(scripted.peers[0], number, "live", 1)
        await client.ping()
        await cut(scripted)
        await client.ping()
        assert told == ["disconnected", "reconnected"]
        assert await take(changes, 1) == [1]
        scripted.publish("a", 2)
        assert await take(changes, 1) == [2]
        assert told == ["disconnected", "reconnected"]  # what the old connection said is not so any more
        assert not changes.live


async def test_what_on_state_raises_ends_it(scripted: Any, reach: Any) -> None:
    def refuse(state: str) -> None:
        raise KeyError(state)

    async with reach() as client, client.subscribe("a", on_state=refuse) as changes:
        (number,) = scripted.peers[0].subscriptions
        scripted.publish("a", 1)
        scripted.mark(scripted.peers[0], number, "live", 1)
        assert await take(changes, 1) == [1]
        with pytest.raises(KeyError, match="live"):
            await anext(changes)
        await client.ping()
        assert scripted.peers[0].subscriptions == {}


async def test_what_on_state_raises_at_a_lost_connection_ends_it(scripted: Any, reach: Any) -> None:
    def refuse(state: str) -> None:
        raise KeyError(state)

    async with reach() as client, client.subscribe("a", on_state=refuse) as changes, client.subscribe("b"):
        await cut(scripted)
        with pytest.raises(KeyError, match="disconnected"):
            await anext(changes)
        await client.ping()
        assert [message.pattern for message in subscribes(scripted)] == ["a", "b", "b"]


# --- snapshots -------------------------------------------------------------------------------------------------------


async def test_a_snapshot_and_what_follows(scripted: Any, reach: Any) -> None:
    scripted.there = {"a": 3, "b": 1}
    told: list[str] = []
    scripted.publish("a", 3)
    async with reach() as client, client.subscribe("*", start="snapshot", on_state=told.append) as changes:
        assert (changes.cursor, changes.current) == ("", False)
        first, second = await anext(changes), await anext(changes)
        assert (first.document, first.version, first.snapshot, first.value) == ("a", 3, True, 7)
        assert (first.delta, first.cursor, changes.cursor) == (Delta(), "", "")
        assert (second.document, changes.current) == ("b", False)
        scripted.publish("a", 4)
        change = await anext(changes)
        assert (change.document, change.version, change.snapshot) == ("a", 4, False)
        assert (changes.current, changes.cursor) == (True, encode_cursor(EPOCH, 2))
        assert told == ["snapshot", "current", "live"]


async def test_what_the_snapshot_has_is_left_out(scripted: Any, reach: Any) -> None:
    """Its credit is given back all the same."""
    scripted.there = {"a": 2}
    scripted.interrupt = lambda peer, document: True
    async with reach(credit_bytes=400) as client, client.subscribe("a", start="snapshot") as changes:
        peer = scripted.peers[0]
        ((number, feed),) = peer.subscriptions.items()
        scripted.mark(peer, number, "current", 0)
        feed.showing = False
        for version in range(1, 9):
            scripted.publish("a", version if version < 7 else 2)
        scripted.publish("a", 7)
        assert await take(changes, 6) == [2, 3, 4, 5, 6, 7]
        scripted.mark(peer, number, "live", len(scripted.log))
        scripted.publish("a", 1)
        assert await take(changes, 1) == [1]  # it is no longer looked at


async def test_a_snapshot_that_is_cut_begins_again(scripted: Any, reach: Any) -> None:
    """`b` is deleted in between: the second snapshot does not show it, and the changes after the first one say so."""
    scripted.there = {"a": 1, "b": 1, "c": 1, "d": 1}

    scripted.interrupt = lambda peer, document: document == "b" and peer.number == 1
    told: list[str] = []
    async with reach() as client, client.subscribe("*", start="snapshot", on_state=told.append) as changes:
        shown = [await anext(changes), await anext(changes)]
        scripted.publish("a", 2)
        scripted.publish("b", 2)
        scripted.there = {"a": 2, "c": 1, "d": 1}
        await cut(scripted)
        async with asyncio.timeout(5):
            shown += [await anext(changes) for _ in range(4)]
        assert [(change.document, change.version, change.snapshot) for change in shown] == [
            ("a", 1, True),
            ("b", 1, True),
            ("a", 2, True),
            ("c", 1, True),
            ("d", 1, True),
            ("b", 2, False),
        ]
        assert [change for change in told if "connected" not in change] == ["snapshot", "current"]
        assert [message.resume_after for message in subscribes(scripted)] == [None, None, encode_cursor(EPOCH, 0)]
        scripted.publish("a", 3)
        assert await take(changes, 1) == [3]
        await client.ping()
        assert len(scripted.peers[-1].subscriptions) == 1


async def test_a_cursor_goes_before_a_snapshot(scripted: Any, reach: Any) -> None:
    scripted.there = {"a": 2}
    for version in (1, 2):
        scripted.publish("a", version)
    async with (
        reach() as client,
        client.subscribe("a", start="snapshot", resume_after=encode_cursor(EPOCH, 1)) as changes,
    ):
        assert not (change := await anext(changes)).snapshot
        assert change.version == 2


@pytest.mark.parametrize("cursor", ["nonsense", "", encode_cursor(EPOCH, 0)])
async def test_a_cursor_of_no_use_is_replaced_by_a_snapshot(scripted: Any, reach: Any, cursor: str) -> None:
    scripted.there = {"a": 2}
    scripted.compact()
    async with reach() as client, client.subscribe("a", start="snapshot", resume_after=cursor) as changes:
        assert (change := await anext(changes)).snapshot
        assert change.version == 2
        scripted.publish("a", 3)
        assert await take(changes, 1) == [3]


async def test_a_cursor_that_is_of_no_use_later(scripted: Any, reach: Any) -> None:
    told: list[str] = []
    async with reach() as client, client.subscribe("a", start="snapshot", on_state=told.append) as changes:
        scripted.publish("a", 1)
        assert await take(changes, 1) == [1]
        told.clear()
        scripted.there = {"a": 1, "b": 1}
        scripted.compact()
        await cut(scripted)
        found = [await anext(changes), await anext(changes)]
        assert [(change.document, change.snapshot) for change in found] == [("a", True), ("b", True)]
        scripted.publish("a", 2)
        assert await take(changes, 1) == [2]
        assert told == ["disconnected", "reconnected", "snapshot", "current", "live"]


async def test_a_server_that_ends_it_so_is_asked_for_a_snapshot(scripted: Any, reach: Any) -> None:
    scripted.there = {"a": 5}
    async with reach() as client, client.subscribe("a", start="snapshot") as changes:
        assert await take(changes, 1) == [5]
        ((number, _),) = scripted.peers[0].subscriptions.items()
        error = Compacted("gone", cursor="x", oldest="y")
        scripted.peers[0].send(m.Ended(number, *error.to_wire()))
        assert await take(changes, 1) == [5]
        assert subscribes(scripted)[1].subscription != number


async def test_errors_say_what_to_do_next(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        with pytest.raises(CursorInvalid, match="start='snapshot'"):
            async with client.subscribe("a", resume_after="nonsense"):
                raise AssertionError
        async with client.subscribe("a", policy="disconnect") as changes:
            (number,) = scripted.peers[0].subscriptions
            error = Overloaded("too slow", limit="subscription_bytes_max", maximum=5)
            scripted.peers[0].send(m.Ended(number, *error.to_wire()))
            with pytest.raises(Overloaded, match=r"resume_after=subscription\.cursor") as caught:
                await anext(changes)
            assert caught.value.maximum == 5


# --- at its own pace -------------------------------------------------------------------------------------------------


async def test_history_at_its_own_pace(scripted: Any, reach: Any) -> None:
    for version in (1, 2):
        scripted.publish("a", version, at=1_000_000_000 + 10_000 * version)
    scripted.publish("a", 3, at=1_000_000_000 + 3_600_000_000)
    loop = asyncio.get_running_loop()
    async with reach() as client, client.subscribe("a", start="beginning", speed=0.5) as changes:
        assert await take(changes, 1) == [1]
        started = loop.time()
        assert await take(changes, 1) == [2]
        assert loop.time() - started >= 0.019
        waiting = asyncio.ensure_future(anext(changes))
        await client.ping()
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert changes.cursor == encode_cursor(EPOCH, 2)
        assert changes.held_bytes > 0


async def test_it_goes_on_live_once_it_has_caught_up(scripted: Any, reach: Any) -> None:
    scripted.publish("a", 1, at=1_000_000_000)
    async with reach() as client, client.subscribe("a", start="beginning", speed=1) as changes:
        (number,) = scripted.peers[0].subscriptions
        scripted.mark(scripted.peers[0], number, "live", 1)
        assert await take(changes, 1) == [1]
        waiting = asyncio.ensure_future(anext(changes))
        await client.ping()
        scripted.publish("a", 2, at=9_000_000_000)
        async with asyncio.timeout(5):
            assert (await waiting).version == 2


async def test_leaving_ends_a_wait_for_the_time(scripted: Any, reach: Any) -> None:
    for version in (1, 2):
        scripted.publish("a", version, at=9_000_000_000 * version)
    async with reach() as client:
        async with client.subscribe("a", start="beginning", speed=1) as changes:
            assert await take(changes, 1) == [1]
            reader = asyncio.ensure_future(take_all(changes))
            await client.ping()
        assert await reader == []


# --- against a model -------------------------------------------------------------------------------------------------


class ModelServer:
    """A server and a session in one, without a socket: documents in a dict, a log, and one message at a time."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.limits: dict[str, int] = {}
        self.epoch = EPOCH
        self.blocked = False
        self.followers: dict[int, Any] = {}
        self.there: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.log: list[tuple[str, int, Kind]] = []
        self.oldest = 0
        self.up = True
        self._ids = 0
        self._number: int | None = None
        self._next = 0
        self._names: str | None = None
        """While a snapshot is shown, the last name that was."""
        self._told_live = False

    # What a subscription asks of its session.

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def ask(self, message: m.Subscribe) -> asyncio.Future[Any]:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answered.set_result(self.subscribe(message))
        return answered

    def tell(self, message: Any) -> None:
        if isinstance(message, m.Unsubscribe) and message.subscription == self._number:
            self._number = None

    def follow(self, number: int, follower: Any) -> None:
        self.followers[number] = follower
        if self.up:
            self.subscribe(follower.request())

    def nudge(self) -> None: ...

    # What a server does.

    def subscribe(self, message: m.Subscribe) -> m.Subscribed | None:
        resumed = message.resume_after
        epoch, position = (self.epoch, len(self.log)) if resumed is None else decode_cursor(resumed)
        if epoch != self.epoch:
            self.followers.pop(message.subscription).on_end(CursorInvalid("of another journal", cursor=resumed))
            return None
        self._number, self._next = message.subscription, position
        self._names = "" if message.snapshot else None
        self._told_live = False
        answer = m.Subscribed(message.id, message.subscription, encode_cursor(self.epoch, self._next))
        self.followers[message.subscription].on_subscribed(answer)
        return answer

    def write(self, document: str, *, delete: bool) -> None:
        exists = document in self.there
        if delete and not exists:
            return
        version = self.versions[document] = self.versions.get(document, 0) + 1
        self.log.append((document, version, Kind.DELETE if delete else Kind.UPDATE if exists else Kind.CREATE))
        if delete:
            del self.there[document]
        else:
            self.there[document] = version

    def restore(self) -> None:
        """Comes back with another journal, and other documents."""
        self.epoch = self.epoch[::-1]
        self.there, self.versions, self.log, self.oldest = {}, {}, [], 0
        self.write("b", delete=False)
        self.cut()

    def cut(self) -> None:
        for up in (False, True):
            self.up = up
            for follower in list(self.followers.values()):
                follower.on_link(up)
        for follower in list(self.followers.values()):
            self.subscribe(follower.request())

    def send(self) -> bool:
        """The next message; False where there is none."""
        if self._number is None:
            return False
        follower = self.followers[self._number]
        if self._names is not None:
            self._show(follower)
        elif self._next < self.oldest:
            self.followers.pop(self._number)
            self._number = None
            follower.on_end(Compacted("gone", cursor="x", oldest="y"))
        elif self._next < len(self.log):
            document, version, kind = self.log[self._next]
            self._next += 1
            follower.on_change(self._change(self._next, document, version, kind, snapshot=False), 10)
        elif not self._told_live:
            self._told_live = True
            follower.on_marker(m.Marker(self._number, "live", encode_cursor(self.epoch, self._next)))
        else:
            return False
        return True

    def _show(self, follower: Any) -> None:
        assert self._number is not None
        name = min((name for name in self.there if name > (self._names or "")), default=None)
        self._names = name
        if name is None:
            follower.on_marker(m.Marker(self._number, "current", encode_cursor(self.epoch, self._next)))
        else:
            shown = self._change(self._next, name, self.there[name], Kind.UPDATE, snapshot=True)
            follower.on_change(shown, 10)

    def _change(self, position: int, document: str, version: int, kind: Kind, *, snapshot: bool) -> m.Change:
        nothing = Raw(b"\x90"), None, 0, Raw(b"\xc0"), None, snapshot
        return m.Change((self._number or 0,), position, document, "main", version, int(kind), 5, *nothing)


class Reader:
    """What a program does that keeps the newest version of each document."""

    def __init__(self) -> None:
        self.there: dict[str, int] = {}
        self.given: dict[str, int] = {}
        self._shown: set[str] = set()

    def on_state(self, state: str) -> None:
        if state == "snapshot":
            self._shown, self.given = set(), {}
        elif state == "current":
            self.there = {name: version for name, version in self.there.items() if name in self._shown}

    def take(self, change: Change) -> None:
        name = change.document
        assert change.version > self.given.get(name, 0), "twice, or out of order"
        self.given[name] = change.version
        if change.snapshot:
            self._shown.add(name)
        if change.kind is Kind.DELETE:
            self.there.pop(name, None)
        else:
            self.there[name] = change.version


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("abcd")),
        st.tuples(st.just("delete"), st.sampled_from("abcd")),
        st.tuples(st.sampled_from(["send", "take"]), st.integers(1, 6)),
        st.tuples(st.sampled_from(["cut", "compact", "restore"]), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from(["snapshot", "beginning"]))
def test_a_reader_ends_with_what_is_there(steps: list[tuple[str, Any]], start: Any) -> None:
    asyncio.run(follow(steps, start))


async def follow(steps: list[tuple[str, Any]], start: Any) -> None:
    server, reader = ModelServer(), Reader()
    session: Any = server
    for document in "abc":
        server.write(document, delete=False)
    async with Subscription(session, Wish("*", start=start), reader.on_state) as changes:
        for step, what in steps:
            if step in ("write", "delete"):
                server.write(what, delete=step == "delete")
            elif step == "send":
                for _ in range(what):
                    server.send()
            elif step == "take":
                await take_held(changes, reader, what)
            elif step == "cut":
                server.cut()
            elif start == "snapshot" and step == "compact":
                server.oldest = len(server.log)
            elif start == "snapshot":
                server.restore()
        while server.send():
            pass
        await take_held(changes, reader, 10_000)
        assert reader.there == server.there
        assert changes.live
        assert changes.current
        assert changes.cursor == encode_cursor(server.epoch, len(server.log))
        assert changes.held_bytes == 0


async def take_held(changes: Subscription, reader: Reader, count: int) -> None:
    for _ in range(count):
        taking = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        if not taking.done():
            taking.cancel()
            await asyncio.wait([taking])
            return
        reader.take(taking.result())


async def test_what_has_arrived_is_taken_without_waiting(scripted: Any, reach: Any) -> None:
    async with reach() as client, client.subscribe("a") as changes:
        assert changes.take_arrived() is None
        scripted.publish("a", 1)
        scripted.publish("a", 2)
        found: list[int] = []
        while len(found) < 2:
            await changes.arrival()
            while (taken := changes.take_arrived()) is not None:
                message, epoch = taken
                assert changes.cursor == encode_cursor(epoch, message.position)
                found.append(message.version)
        assert found == [1, 2]
        waiting = asyncio.ensure_future(changes.arrival())
        await asyncio.sleep(0)
        assert not waiting.done()
        changes.wake()
        await waiting
        assert changes.take_arrived() is None
    await changes.arrival()  # nothing comes any more, and nobody waits for it
    with pytest.raises(StopAsyncIteration):
        changes.take_arrived()
