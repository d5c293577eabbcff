"""Requests over connections that break: what is sent again, in which order, and who is told."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from palimpsest.client import Client, connect
from palimpsest.errors import (
    ConnectionLost,
    InvalidRequest,
    LimitExceeded,
    MalformedFrame,
    Overloaded,
    PalimpsestError,
    RequestTimeout,
    ServerClosing,
    TooManyConnections,
    UnexpectedMessage,
)
from palimpsest.protocol import messages as m
from palimpsest.protocol.connection import State

pytestmark = pytest.mark.anyio


def first_time(kind: type[Any], act: Any) -> Any:
    """Trouble for the first message of a kind: act(peer, message), once."""
    seen: list[Any] = []

    def trouble(peer: Any, message: Any) -> bool:
        if not isinstance(message, kind) or seen:
            return False
        seen.append(message)
        act(peer, message)
        return True

    return trouble


async def test_requests_of_one_turn_leave_in_one_frame(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        versions = await asyncio.gather(*[client.update("a", {"n": n}) for n in range(50)])
    assert sorted(version.version for version in versions) == list(range(1, 51))
    frames = [frame for frame in scripted.peers[0].frames if isinstance(frame[0], m.Update)]
    assert [len(frame) for frame in frames] == [50]
    ids = [message.id for message in frames[0]]
    assert ids == sorted(set(ids))


async def test_a_write_that_was_not_applied_is_sent_again(scripted: Any, reach: Any) -> None:
    scripted.trouble = first_time(m.Update, lambda peer, message: peer.cut())
    async with reach() as client:
        version = await client.update("a", {"n": 1})
        assert client.statistics()["reconnections"] == 1
    assert (version.version, version.repeat) == (1, False)
    original, again = scripted.writes()
    assert (original.repeat, again.repeat) == (False, True)
    assert again.id == original.id
    assert {peer.client for peer in scripted.peers} == {client.client_id}


async def test_a_write_whose_answer_was_lost_is_applied_once(scripted: Any, reach: Any) -> None:
    def apply_and_cut(peer: Any, message: Any) -> None:
        scripted.apply(peer.client, message)
        peer.cut()

    scripted.trouble = first_time(m.Update, apply_and_cut)
    async with reach() as client:
        version = await client.update("a", {"n": 1})
    assert (version.version, version.repeat) == (1, True)
    assert scripted.versions == {"a": 1}


async def test_everything_without_an_answer_is_sent_again_in_its_order(scripted: Any, reach: Any) -> None:
    scripted.trouble = first_time(m.Get, lambda peer, message: peer.cut())
    async with reach() as client:
        await client.update("a", {"n": 0})
        calls = [client.get("a"), client.update("a", {"n": 1}), client.get("a"), client.update("b", {"n": 2})]
        results = await asyncio.gather(*calls)
    assert [result.version for result in results] == [1, 2, 2, 1]
    asked = scripted.peers[0].frames[-1]
    again = scripted.peers[1].frames[-1]
    assert [message.id for message in again] == [message.id for message in asked]
    assert [getattr(message, "repeat", None) for message in again] == [None, True, None, True]


async def test_what_is_asked_while_there_is_no_connection_comes_after_and_is_no_repeat(
    scripted: Any, reach: Any
) -> None:
    welcome = asyncio.Event()

    def trouble(peer: Any, message: Any) -> bool:
        if peer.number == 1 and isinstance(message, m.Update):
            peer.cut()
            return True
        if peer.number == 2 and isinstance(message, m.Hello):
            held.append((peer, message))
            welcome.set()
            return True
        return False

    held: list[Any] = []
    scripted.trouble = trouble
    async with reach() as client:
        first = asyncio.ensure_future(client.update("a", {"n": 1}))
        await welcome.wait()
        assert client.statistics()["connected"] == 0
        second = asyncio.ensure_future(client.update("a", {"n": 2}))
        await asyncio.sleep(0)
        scripted.answer(*held[0])
        assert [(await first).version, (await second).version] == [1, 2]
    _, again, new = scripted.writes()
    assert (again.repeat, new.repeat) == (True, False)


async def test_many_cuts_lose_nothing_and_apply_nothing_twice(scripted: Any, reach: Any) -> None:
    count = 0

    def trouble(peer: Any, message: Any) -> bool:
        nonlocal count
        if not isinstance(message, m.Update):
            return False
        count += 1
        if count % 7 == 0:
            peer.cut()
        elif count % 11 == 0:
            scripted.apply(peer.client, message)
            peer.cut()
        else:
            return False
        return True

    scripted.trouble = trouble

    async def work(client: Client, name: str) -> list[int]:
        return [(await client.update(name, {"n": n})).version for n in range(10)]

    async with reach() as client:
        made = await asyncio.gather(*[work(client, f"d/{n}") for n in range(8)])
    assert made == [list(range(1, 11))] * 8
    assert len(scripted.peers) > 5


async def test_a_server_that_is_closing_leaves_requests_to_the_next(scripted: Any, reach: Any) -> None:
    def close(peer: Any, message: Any) -> None:
        peer.send(m.Failed(message.id, *ServerClosing("closing").to_wire()))
        peer.send(m.Goodbye(*ServerClosing("closing").to_wire()))

    scripted.trouble = first_time(m.Update, close)
    async with reach() as client:
        assert (await client.update("a", {"n": 1})).version == 1
    assert len(scripted.peers) == 2


async def test_a_resume_without_an_answer_is_tried_over_another_connection(scripted: Any, reach: Any) -> None:
    """A server that says nothing is no reason to end a subscription."""
    scripted.trouble = lambda peer, message: isinstance(message, m.Subscribe) and peer.number == 2
    async with reach(timeout_seconds=0.05) as client, client.subscribe("a") as changes:
        scripted.peers[0].cut()
        await scripted.until(lambda: len(scripted.peers) == 3)
        scripted.publish("a", 1)
        assert (await anext(changes)).version == 1


async def test_a_subscription_that_is_left_meanwhile_is_not_asked_for_again(scripted: Any, reach: Any) -> None:
    scripted.trouble = lambda peer, message: isinstance(message, m.Subscribe) and peer.number == 2
    async with reach() as client:
        async with client.subscribe("a"):
            scripted.peers[0].cut()
            await scripted.until(lambda: sum(isinstance(message, m.Subscribe) for message in scripted.received) == 2)
            scripted.peers[1].cut()
        await scripted.until(lambda: len(scripted.peers) == 3)
        await client.ping()
        assert scripted.peers[2].subscriptions == {}


async def test_overload_is_the_callers_to_handle(scripted: Any, reach: Any) -> None:
    def refuse(peer: Any, message: Any) -> None:
        peer.send(m.Failed(message.id, *Overloaded("full", limit="mailbox_items_max", maximum=3).to_wire()))

    scripted.trouble = first_time(m.Update, refuse)
    async with reach() as client:
        with pytest.raises(Overloaded) as caught:
            await client.update("a", {"n": 1})
    assert (caught.value.limit, caught.value.maximum) == ("mailbox_items_max", 3)
    assert len(scripted.writes()) == 1


async def test_a_request_times_out_and_its_late_answer_is_dropped(scripted: Any, reach: Any) -> None:
    held: list[Any] = []
    scripted.trouble = first_time(m.Update, lambda peer, message: held.append((peer, message)))
    async with reach(timeout_seconds=0.5) as client:
        with pytest.raises(RequestTimeout, match="update") as caught:
            await client.update("a", {"n": 1})
        assert caught.value.seconds == 0.5
        assert caught.value.request == f"{client.client_id}:{held[0][1].id}"
        scripted.answer(*held[0])
        assert (await client.get("a")).version == 1
        assert client.statistics()["in_flight_requests"] == 0


async def test_a_cancelled_wait_is_forgotten(scripted: Any, reach: Any) -> None:
    held: list[Any] = []
    scripted.trouble = first_time(m.Update, lambda peer, message: held.append((peer, message)))
    async with reach() as client:
        call = asyncio.ensure_future(client.update("a", {"n": 1}))
        await scripted.until(lambda: held)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        scripted.answer(*held[0])
        assert (await client.get("a")).version == 1


async def test_a_cancelled_write_is_not_sent_again(scripted: Any, reach: Any) -> None:
    held: list[Any] = []
    scripted.trouble = first_time(m.Update, lambda peer, message: held.append((peer, message)))
    async with reach() as client:
        call = asyncio.ensure_future(client.update("a", {"n": 1}))
        await scripted.until(lambda: held)
        call.cancel()
        await asyncio.wait([call])
        held[0][0].cut()
        assert (await client.update("b", {"n": 1})).version == 1
    assert [message.document for message in scripted.writes()] == ["a", "b"]


async def test_requests_in_flight_are_bounded(scripted: Any, reach: Any) -> None:
    held: list[Any] = []

    def hold(peer: Any, message: Any) -> bool:
        if isinstance(message, m.Update) and len(held) < 2:
            held.append((peer, message))
            return True
        return False

    scripted.trouble = hold
    async with reach(in_flight_requests_max=2) as client:
        calls = [asyncio.ensure_future(client.update("a", {"n": n})) for n in range(6)]
        await scripted.until(lambda: len(held) == 2)
        assert client.statistics()["in_flight_requests"] == 2
        assert len(scripted.writes()) == 2
        calls[3].cancel()
        for peer, message in held:
            scripted.answer(peer, message)
        done = await asyncio.gather(*calls, return_exceptions=True)
    assert [getattr(result, "version", None) for result in done] == [1, 2, 3, None, 4, 5]
    assert len(scripted.writes()) == 5


async def test_waiting_for_a_place_times_out(scripted: Any, reach: Any) -> None:
    scripted.trouble = lambda peer, message: isinstance(message, m.Update)
    async with reach(in_flight_requests_max=1, timeout_seconds=0.05) as client:
        results = await asyncio.gather(*[client.update("a", {}) for _ in range(2)], return_exceptions=True)
    assert [type(result) for result in results] == [RequestTimeout, RequestTimeout]


async def test_a_peer_that_does_not_read_makes_callers_wait(scripted: Any, reach: Any) -> None:
    text = "x" * 1_000_000
    async with reach(out_bytes_max=1_000) as client:
        await client.update("a", {})
        scripted.peers[0].transport.pause_reading()
        calls = []
        while not client._session.blocked:
            calls.append(asyncio.ensure_future(client.update("a", {"text": text})))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(calls) < 100
        before = client.statistics()["in_flight_requests"]
        calls.append(asyncio.ensure_future(client.update("a", {"text": text})))
        await asyncio.sleep(0)
        assert client.statistics()["in_flight_requests"] == before
        scripted.peers[0].transport.resume_reading()
        versions = [version.version for version in await asyncio.gather(*calls)]
    assert versions == list(range(2, len(calls) + 2))


async def test_a_request_that_is_too_large_is_refused_alone(scripted: Any, reach: Any) -> None:
    scripted.limits = {"frame_bytes_max": 1_000}
    async with reach() as client:
        calls = [client.update("a", {}), client.update("a", {"text": "x" * 2_000}), client.update("a", {})]
        first, large, last = await asyncio.gather(*calls, return_exceptions=True)
        assert client.statistics()["in_flight_requests"] == 0
    assert (first.version, last.version) == (1, 2)  # type: ignore[union-attr]
    assert isinstance(large, LimitExceeded)
    assert (large.limit, large.maximum) == ("frame_bytes_max", 1_000)


async def test_text_that_is_none_is_refused_alone(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        good, bad = await asyncio.gather(client.update("a", {}), client.update("\ud800", {}), return_exceptions=True)
    assert good.version == 1  # type: ignore[union-attr]
    assert isinstance(bad, InvalidRequest)


async def test_closing_tells_everyone_who_waits(scripted: Any, reach: Any) -> None:
    scripted.trouble = lambda peer, message: isinstance(message, m.Update)
    client = await reach()
    call = asyncio.ensure_future(client.update("a", {}))
    await scripted.until(scripted.writes)
    await client.close()
    with pytest.raises(ConnectionLost, match="closed") as caught:
        await call
    assert caught.value.request.startswith(client.client_id)
    with pytest.raises(ConnectionLost, match="closed"):
        await client.get("a")
    await client.close()


async def test_an_error_in_the_block_is_not_wrapped(scripted: Any, reach: Any) -> None:
    with pytest.raises(KeyError):
        async with reach():
            raise KeyError


async def test_bytes_that_are_no_protocol_end_the_client(scripted: Any, reach: Any) -> None:
    scripted.trouble = first_time(m.Update, lambda peer, message: peer.transport.write(b"\x00\x00\x00\x01\xc0"))
    async with reach() as client:
        with pytest.raises(MalformedFrame):
            await client.update("a", {})
        with pytest.raises(MalformedFrame):
            await client.get("a")
    assert len(scripted.peers) == 1


async def test_an_answer_of_the_wrong_kind(scripted: Any, reach: Any) -> None:
    scripted.trouble = first_time(m.Update, lambda peer, message: peer.send(m.Names(message.id, (), False)))
    async with reach() as client:
        with pytest.raises(UnexpectedMessage) as caught:
            await client.update("a", {})
    assert caught.value.kind == "Names"


async def test_a_goodbye_for_good_is_not_answered_by_coming_back(scripted: Any, reach: Any) -> None:
    reason = InvalidRequest("another connection has your id", reason="client id")
    scripted.trouble = first_time(m.Update, lambda peer, message: peer.send(m.Goodbye(*reason.to_wire())))
    async with reach() as client:
        with pytest.raises(InvalidRequest, match="your id"):
            await client.update("a", {})
    assert len(scripted.peers) == 1


# --- connecting --------------------------------------------------------------------------------------------------


async def test_nobody_listens(scripted: Any) -> None:
    await scripted.stop()
    with pytest.raises(ConnectionLost) as caught:
        await connect(scripted.url, connect_seconds=0)
    assert scripted.url in str(caught.value)
    assert caught.value.url == scripted.url
    assert "Connect" in caught.value.reason


async def test_a_refusal_is_raised_at_once(scripted: Any, reach: Any) -> None:
    reason = InvalidRequest("who are you?", reason="token")
    scripted.trouble = lambda peer, message: peer.send(m.Goodbye(*reason.to_wire())) is None
    with pytest.raises(InvalidRequest, match="who are you"):
        await reach()


async def test_a_server_that_is_full_is_tried_again(scripted: Any, reach: Any) -> None:
    full = TooManyConnections("full", maximum=1)
    scripted.trouble = first_time(m.Hello, lambda peer, message: peer.send(m.Goodbye(*full.to_wire())))
    async with reach() as client:
        assert await client.ping() > 0
        assert client.statistics()["reconnections"] == 0
    assert len(scripted.peers) == 2


async def test_a_server_that_says_nothing(scripted: Any, reach: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palimpsest.client.session._ATTEMPT_SECONDS_MIN", 0.01)
    scripted.trouble = lambda peer, message: True
    with pytest.raises(ConnectionLost, match="no welcome"):
        await reach(connect_seconds=0.01)
    await scripted.until(lambda: all(peer.transport.is_closing() for peer in scripted.peers))


async def test_connecting_can_be_cancelled(scripted: Any, reach: Any) -> None:
    scripted.trouble = lambda peer, message: True
    call = asyncio.ensure_future(reach().open())
    await scripted.until(lambda: scripted.received or scripted.peers)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_silent_server_is_taken_for_dead(scripted: Any, reach: Any) -> None:
    mute = lambda peer, message: peer.number == 1 and not isinstance(message, m.Hello)  # noqa: E731
    scripted.trouble = mute
    async with reach(peer_silence_seconds=0.05) as client:
        assert (await client.update("a", {})).version == 1
    pings = [message for message in scripted.received if isinstance(message, m.Ping)]
    assert pings
    assert len(scripted.peers) == 2


async def test_a_server_that_answers_pings_is_alive(scripted: Any, reach: Any) -> None:
    async with reach(peer_silence_seconds=0.05):
        await scripted.until(lambda: sum(isinstance(message, m.Ping) for message in scripted.received) >= 5)
    assert len(scripted.peers) == 1


async def test_the_welcome_says_how_long_silence_may_be(scripted: Any, reach: Any) -> None:
    scripted.limits = {"peer_silence_seconds": 7}
    async with reach() as client:
        assert client._session._silence_seconds() == 7


async def test_the_server_sees_the_end_of_a_client(scripted: Any, reach: Any) -> None:
    async with reach():
        pass
    await scripted.until(scripted.peers[0].transport.is_closing)
    assert scripted.peers[0].connection.state is State.OPEN


@pytest.mark.parametrize("error", [PalimpsestError("unheard of"), UnexpectedMessage("x", kind="y")])
async def test_an_error_that_would_come_again_ends_the_client(scripted: Any, reach: Any, error: Any) -> None:
    scripted.trouble = first_time(m.Get, lambda peer, message: peer.send(m.Goodbye(*error.to_wire())))
    async with reach() as client:
        with pytest.raises(type(error)):
            await client.get("a")


# --- requests that may take long -------------------------------------------------------------------------------------


PRUNED = m.Pruned(0, 1, 2, 3, (), True)


async def test_progress_is_told_and_ends_nothing(scripted: Any, reach: Any) -> None:
    def work(peer: Any, message: Any) -> None:
        peer.send(m.Progress(message.id, 1, 3), m.Progress(message.id + 100, 9, 9), m.Progress(message.id, 2, 3))
        peer.send(msgspec.structs.replace(PRUNED, id=message.id))

    scripted.trouble = first_time(m.Prune, work)
    told: list[tuple[int, int]] = []
    async with reach() as client:
        report = await client.prune(on_progress=lambda done, total: told.append((done, total)))
        assert client._session._patient == {}
    assert (report.documents, told) == (1, [(1, 3), (2, 3)])


async def test_progress_that_nobody_wants_to_hear_of(scripted: Any, reach: Any) -> None:
    def work(peer: Any, message: Any) -> None:
        peer.send(m.Progress(message.id, 1, 0), msgspec.structs.replace(PRUNED, id=message.id))

    scripted.trouble = first_time(m.Prune, work)
    async with reach() as client:
        assert (await client.prune()).events == 2


async def test_what_is_raised_over_progress_is_the_callers(scripted: Any, reach: Any) -> None:
    scripted.trouble = first_time(m.Prune, lambda peer, message: peer.send(m.Progress(message.id, 1, 0)))

    def refuse(done: int, total: int) -> None:
        raise KeyError("no more")

    async with reach() as client:
        with pytest.raises(KeyError):
            await client.prune(on_progress=refuse)
        assert (await client.update("a", {})).version == 1
        assert client.statistics()["reconnections"] == 0


async def test_what_takes_long_is_waited_for_while_the_server_is_there(scripted: Any, reach: Any) -> None:
    held: list[Any] = []
    scripted.trouble = first_time(m.Backup, lambda peer, message: held.append((peer, message)))
    async with reach(timeout_seconds=0.2) as client:
        call = asyncio.ensure_future(client.backup("/backup"))
        await scripted.until(lambda: sum(isinstance(message, m.Ping) for message in scripted.received) == 5)
        peer, message = held[0]
        peer.send(m.Saved(message.id, message.path, 7, 9))
        assert (await call).position == 7


async def test_what_takes_long_is_given_up_once_the_server_is_silent(scripted: Any, reach: Any) -> None:
    scripted.trouble = lambda peer, message: not isinstance(message, m.Hello)
    async with reach(timeout_seconds=0.05) as client:
        with pytest.raises(RequestTimeout, match="erase") as caught:
            await client.erase("a", "b")
        assert caught.value.request.startswith(client.client_id)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (m.Revert, lambda client: client.revert("a", 1)),
        (m.Undo, lambda client: client.undo("a", 1)),
        (m.Label, lambda client: client.tag("a", 1, {"x"})),
        (m.Erase, lambda client: client.erase("a")),
    ],
)
async def test_the_rarer_writes_are_repeated_as_such(scripted: Any, reach: Any, kind: Any, call: Any) -> None:
    scripted.trouble = first_time(kind, lambda peer, message: peer.cut())
    scripted.replies[kind] = lambda message: m.Committed(message.id, 3, 5, message.repeat)
    async with reach() as client:
        made = await call(client)
    assert [message.repeat for message in scripted.received if isinstance(message, kind)] == [False, True]
    assert made is None or made.repeat


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (m.GetMerge, lambda client: client.merge_state("m-1")),
        (m.ListMerges, lambda client: client.merges()),
        (m.ListBranches, lambda client: client.branches("a")),
    ],
)
async def test_reads_of_branches_are_sent_again_as_they_were(scripted: Any, reach: Any, kind: Any, call: Any) -> None:
    answers = {m.GetMerge: m.Merged, m.ListMerges: m.Merges, m.ListBranches: m.Branches}
    scripted.replies[kind] = lambda message: answers[kind](message.id, ())
    scripted.trouble = first_time(kind, lambda peer, message: peer.cut())
    async with reach() as client:
        await call(client)
    first, again = [message for message in scripted.received if isinstance(message, kind)]
    assert first == again


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (m.Branch, lambda client: client.branch("a", "draft")),
        (m.DeleteBranch, lambda client: client.delete_branch("a", "draft")),
        (m.Merge, lambda client: client.merge("a", "draft")),
        (m.Pick, lambda client: client.cherry_pick("a", "draft:9")),
        (m.Rebase, lambda client: client.rebase("a", "draft")),
        (m.Resolve, lambda client: client.resolve("m-1", {})),
        (m.Abandon, lambda client: client.abandon("m-1")),
    ],
)
async def test_writes_of_branches_are_repeated_as_such(scripted: Any, reach: Any, kind: Any, call: Any) -> None:
    def answer(message: Any) -> Any:
        if kind in (m.Branch, m.DeleteBranch):
            return m.Branches(message.id, (m.BranchInfo("a", "draft", ("main", 3), 3, 5),))
        if kind is m.Abandon:
            return m.Committed(message.id, 3, 5, message.repeat)
        return m.Merged(message.id, (), repeat=message.repeat)

    scripted.replies[kind] = answer
    scripted.trouble = first_time(kind, lambda peer, message: peer.cut())
    async with reach() as client:
        await call(client)
    assert [message.repeat for message in scripted.received if isinstance(message, kind)] == [False, True]


async def test_a_write_through_a_perspective_is_repeated_as_such(scripted: Any, reach: Any) -> None:
    scripted.trouble = first_time(m.Through, lambda peer, message: peer.cut())
    scripted.replies[m.Through] = lambda message: m.Committed(message.id, 3, 5, message.request.repeat)
    async with reach() as client:
        made = await client.update("a", {"n": 1}, family="note", level=2)
    assert made.repeat
    first, second = [message for message in scripted.received if isinstance(message, m.Through)]
    assert (first.perspective, first.level, first.request.repeat) == ("note", 2, False)
    assert second == m.Through("note", 2, msgspec.structs.replace(first.request, repeat=True))


async def test_a_read_through_a_perspective_is_sent_again_as_it_was(scripted: Any, reach: Any) -> None:
    scripted.trouble = first_time(m.Through, lambda peer, message: peer.cut())
    scripted.replies[m.Through] = lambda message: m.Names(message.id, ("a",), False)
    async with reach() as client:
        assert [name async for name in client.list(perspective="public")] == ["a"]
    first, second = [message for message in scripted.received if isinstance(message, m.Through)]
    assert first == second


async def test_what_was_asked_through_a_perspective_is_named_where_it_fails(scripted: Any, reach: Any) -> None:
    scripted.trouble = lambda peer, message: isinstance(message, m.Through)
    async with reach(timeout_seconds=0.05) as client:
        with pytest.raises(RequestTimeout, match="the update") as caught:
            await client.update("a", {"n": 1}, perspective="public", request_id="mine")
        assert caught.value.request == "mine"
        with pytest.raises(RequestTimeout, match="the get") as caught:
            await client.get("a", perspective="public")
        assert caught.value.request is None
