"""One connection: what a peer may do to it, and that nobody else ever notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest
from msgspec import Raw

import palimpsest as pal
from palimpsest.errors import (
    Conflict,
    FrameTooLarge,
    LimitExceeded,
    MalformedFrame,
    ProtocolError,
    RequestTimeout,
    TooManyConnections,
    UnexpectedMessage,
    UnsupportedProtocol,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.protocol.framing import encode_frames

pytestmark = pytest.mark.anyio


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def deep(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


HELLO = m.Hello("palimpsest", 1, 1, "broken")


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.001)


async def test_a_hello_is_welcomed_with_the_epoch_and_the_limits(make_server: Any, raw_peer: Any) -> None:
    async with make_server(limits=Limits(depth_max=7)) as server, raw_peer(server, greet=False) as peer:
        welcome = await peer.hello()
        assert welcome.protocol == 1
        assert welcome.epoch == server.epoch
        assert (welcome.limits["depth_max"], welcome.limits["peer_silence_seconds"]) == (7, 60)
        assert welcome.agent.startswith("palimpsest/")
        assert (await peer.ask(m.Ping, answer=m.Pong)).id == 1


BROKEN_BEFORE_HELLO = [
    pytest.param(encode_frames([m.Ping(1)]), UnexpectedMessage, id="no hello"),
    pytest.param(encode_frames([HELLO, m.Ping(1)]), UnexpectedMessage, id="hello not alone in its frame"),
    pytest.param(encode_frames([HELLO]) + encode_frames([m.Ping(1)]), UnexpectedMessage, id="no wait for the welcome"),
    pytest.param(encode_frames([HELLO]) * 2, UnexpectedMessage, id="two hellos"),
    pytest.param(encode_frames([m.Hello("palimpsest", 7, 9, "x")]), UnsupportedProtocol, id="a newer protocol"),
    pytest.param(encode_frames([m.Hello("redis", 1, 1, "x")]), MalformedFrame, id="another magic"),
    pytest.param(encode_frames([m.Hello("palimpsest", 1, 1, "")]), MalformedFrame, id="no client id"),
    pytest.param(encode_frames([m.Hello("palimpsest", 1, 1, "x" * 65)]), MalformedFrame, id="a long client id"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", FrameTooLarge, id="http"),
    pytest.param(frame(b""), MalformedFrame, id="an empty frame"),
]

BROKEN = [
    pytest.param(frame(b"\xc1"), MalformedFrame, id="no msgpack"),
    pytest.param(frame(b"\x90"), MalformedFrame, id="no message"),
    pytest.param(frame(b"\xc0"), MalformedFrame, id="nil"),
    pytest.param(frame(b"\x91\x92\x63\x01"), MalformedFrame, id="an unknown tag"),
    pytest.param(frame(b"\x91\x92\xa1x\x01"), MalformedFrame, id="a tag that is no integer"),
    pytest.param(frame(b"\x91\x91\x01"), MalformedFrame, id="a field is missing"),
    pytest.param(frame(b"\x91\x92\x01\xa1x"), MalformedFrame, id="a field of another type"),
    pytest.param(frame(b"\x91\x92\x01\xff"), MalformedFrame, id="a negative id"),
    pytest.param(frame(b"\x91\x92\x01\x01\x00"), MalformedFrame, id="trailing bytes"),
    pytest.param(frame(b"\x91\x93\x06\x01\xa1\xff"), MalformedFrame, id="no utf-8"),
    pytest.param(frame(b"\xdd\xff\xff\xff\xff"), MalformedFrame, id="a length without end"),
    pytest.param(frame(b"\x91\x94\x03\x01\xa1a" + deep(100_000)), MalformedFrame, id="far too deep"),
    pytest.param((1 << 31).to_bytes(4, "big"), FrameTooLarge, id="too large"),
    pytest.param(encode_frames([HELLO]), UnexpectedMessage, id="a second hello"),
]


@pytest.mark.parametrize(("data", "error"), BROKEN_BEFORE_HELLO)
async def test_a_stranger_is_answered_and_closed(data: bytes, error: type[ProtocolError], raw_peer: Any) -> None:
    async with pal.Server.memory() as server, raw_peer(server, greet=False) as peer:
        await peer.send_bytes(data)
        assert type(await peer.end()) is error
        await _until(lambda: server.statistics()["connections"] == 0)


@pytest.mark.parametrize(("data", "error"), BROKEN)
async def test_a_peer_that_breaks_the_protocol_is_answered_and_closed_and_nobody_else_notices(
    data: bytes, error: type[ProtocolError], raw_peer: Any
) -> None:
    async with pal.Server.memory() as server, server.connect() as client, raw_peer(server) as peer:
        await client.create("a", {"n": 0})
        before = m.Update(1, "a", raw([[3, ["n"], 1]]))
        await peer.send_bytes(encode_frames([before]) + data)
        assert type(await peer.end()) is error
        assert (await client.get("a")).value == {"n": 1}  # what came whole before it counts
        assert client.statistics()["reconnections"] == 0
        assert server.statistics()["connections"] == 1


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("cut", [1, 4, 9])
async def test_a_frame_that_ends_in_the_middle_is_dropped(cut: int, reset: bool, raw_peer: Any) -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await client.create("a", {"n": 0})
        async with raw_peer(server) as peer:
            await peer.send_bytes(encode_frames([m.Update(1, "a", raw([[3, ["n"], 1]]))])[:cut])
            peer.close(reset=reset)
        await _until(lambda: server.statistics()["connections"] == 1)
        assert (await client.get("a")).version == 1


async def test_a_frame_may_come_byte_by_byte(raw_peer: Any) -> None:
    async with pal.Server.memory() as server, raw_peer(server) as peer:
        for byte in encode_frames([m.Create(1, "a", raw({"n": 0})), m.Get(2, "a")]):
            await peer.send_bytes(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await peer.next(m.Committed)).version == 1
        assert (await peer.next(m.Document)).value == raw({"n": 0})


@pytest.mark.parametrize(
    "message",
    [
        m.Create(1, "a", Raw(b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00")),
        m.Create(1, "a", Raw(b"\x81\x01\x02")),
        m.Create(1, "a", Raw(b"\xc4\x01x")),
        m.Create(1, "a", Raw(deep(65))),
        m.Create(1, "", raw(1)),
        m.Create(1, "a/../\x00", raw(1)),
        m.Create(1, "there", raw(1), "no such branch"),
        m.Update(1, "there", raw({"not": "a delta"})),
        m.Update(1, "there", raw([[99, [], 1]])),
        m.Update(1, "there", raw([[3, ["n"], "one"]])),
        m.Update(1, "there", raw([[0, ["x"]]])),
        m.Update(1, "there", Raw(b"\x91\x93\x00\x91\xa1x" + deep(64))),
        m.Update(1, "there", raw([[3, ["n"], 1]]), expect=-1),
        m.Get(1, "there", version=-1),
        m.Get(1, "there", version=2**63 - 1),
        m.History(1, "there", limit=-1),
        m.List(1, "a/***"),
        m.List(1, "*", limit=0),
        m.GetMany(1, ("x",) * 1_001),
        m.Transact(1, ()),
        m.Transact(1, (m.Part(0, "b", raw(1)),), key="k" * 257),
        m.Update(1, "there", raw([[3, ["n"], 1]]), key="k" * 257),
        m.Subscribe(1, 1, "***"),
        m.Subscribe(1, 1, "*", resume_after="nonsense"),
        m.Update(1, "there", raw([[3, ["n"], 1]]), meta=pal.words.Meta(tags=("b", "a"))),
    ],
    ids=lambda message: type(message).__name__,
)
async def test_a_request_that_makes_no_sense_is_an_error_of_its_own_only(message: Any, raw_peer: Any) -> None:
    async with pal.Server.memory() as server, raw_peer(server) as peer:
        await peer.send(m.Create(7, "there", raw({"n": 0})))
        await peer.next(m.Committed)
        await peer.send(message, m.Update(2, "there", raw([[3, ["n"], 1]])))
        answers: dict[int, Any] = {}
        while len(answers) < 2:
            if not peer.told:
                assert await peer.read()
            while peer.told:
                answer = peer.told.pop(0)
                answers[answer.id] = answer
        assert isinstance(answers[1], m.Failed)
        assert answers[1].code != "internal"
        assert answers[2].version == 2
        assert server.statistics()["crashes"] == 0


async def test_there_is_a_bound_on_connections(raw_peer: Any) -> None:
    async with pal.Server.memory(limits=Limits(connections_max=2)) as server, server.connect() as client:
        async with raw_peer(server):
            for _ in range(3):
                async with raw_peer(server, "third", greet=False) as third:
                    refusal = await third.end()
                    assert isinstance(refusal, TooManyConnections)
                    assert refusal.maximum == 2
            with pytest.raises(pal.errors.ConnectionLost, match="2 connections are open"):
                await pal.connect(server.url, connect_seconds=0)
        await _until(lambda: server.statistics()["connections"] == 1)
        async with raw_peer(server, "third") as third:
            await third.ask(m.Ping, answer=m.Pong)
        assert client.statistics()["reconnections"] == 0


async def test_peers_that_say_nothing_are_let_go(raw_peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never says hello, one that never ends its hello, one that falls silent; and one that pings stays."""
    clock = pal.ManualClock()
    monkeypatch.setattr("palimpsest.server.server._SILENCE_CHECK_SECONDS", 0.01)
    async with (
        pal.Server.memory(clock=clock, limits=Limits(hello_seconds=10, peer_silence_seconds=60)) as server,
        raw_peer(server, greet=False) as mute,
        raw_peer(server, greet=False) as slow,
        raw_peer(server, "silent") as silent,
        raw_peer(server, "lively") as lively,
    ):
        await _until(lambda: server.statistics()["connections"] == 4)
        hello = encode_frames([HELLO])
        for byte in hello[:11]:
            clock.advance(1)
            await slow.send_bytes(bytes((byte,)))
            await lively.ask(m.Ping, answer=m.Pong)
        for late in (mute, slow):
            error = await late.end()
            assert isinstance(error, RequestTimeout)
            assert error.seconds == 10
        assert server.statistics()["connections"] == 2
        for _ in range(6):
            clock.advance(9)
            await lively.ask(m.Ping, answer=m.Pong)
        error = await silent.end()
        assert isinstance(error, RequestTimeout)
        assert error.seconds == 60
        await lively.ask(m.Ping, answer=m.Pong)
        assert server.statistics()["connections"] == 1


async def test_a_peer_that_does_not_take_its_goodbye_is_let_go_all_the_same(
    raw_peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = pal.ManualClock()
    monkeypatch.setattr("palimpsest.server.server._SILENCE_CHECK_SECONDS", 0.01)
    async with pal.Server.memory(clock=clock) as server, raw_peer(server, receive_buffer_bytes=4_096) as peer:
        await peer.send(m.Create(1, "a", raw("x" * 3_000_000)))
        await peer.next(m.Committed)
        await peer.send(m.Get(2, "a"))
        await peer.send_bytes(frame(b"\xc1"))
        await asyncio.sleep(0.05)
        assert server.statistics()["connections"] == 1
        clock.advance(61)
        await _until(lambda: server.statistics()["connections"] == 0)


async def test_a_peer_that_does_not_read_costs_a_bounded_number_of_bytes_and_slows_nobody(raw_peer: Any) -> None:
    limits = Limits(connection_out_bytes_max=1_000_000)
    async with (
        pal.Server.memory(limits=limits) as server,
        server.connect() as client,
        raw_peer(server, "deaf", receive_buffer_bytes=4_096) as deaf,
    ):
        await client.create("large", "x" * 1_000_000)
        await deaf.send(*[m.Get(id, "large") for id in range(1, 101)])
        session = server._by_client["deaf"]
        await _until(lambda: session.paused)
        for _ in range(20):
            assert (await client.get("large")).version == 1
            assert session._transport.get_write_buffer_size() < 4_000_000
        for id in range(1, 101):
            assert (await deaf.next(m.Document)).id == id
        assert (await deaf.ask(m.Ping, answer=m.Pong)).id == 1


async def test_an_answer_that_does_not_fit_into_a_frame_is_an_error_of_its_request(raw_peer: Any) -> None:
    limits = Limits(frame_bytes_max=10_000, document_bytes_max=100_000)
    async with pal.Server.memory(limits=limits) as server, raw_peer(server) as peer:
        await peer.ask(m.Create, "a", raw({"x": ""}), answer=m.Committed)
        for part in range(3):
            await peer.ask(m.Update, "a", raw([[0, [f"x{part}"], "y" * 5_000]]), answer=m.Committed)
        await peer.send(m.Ping(50), m.Get(51, "a"), m.Ping(52))
        assert (await peer.next(m.Pong)).id == 50
        failed = await peer.next(m.Failed)
        assert (failed.id, failed.code, failed.data["limit"]) == (51, LimitExceeded.code, "frame_bytes_max")
        assert (await peer.next(m.Pong)).id == 52
        entries = (await peer.ask(m.History, "a", answer=m.Versions)).entries
        assert [entry.version for entry in entries] == [4]


async def test_the_newer_connection_of_a_client_is_the_one_that_counts(make_server: Any, raw_peer: Any) -> None:
    """Bytes of the older one that are read after the newer one's retry are never applied: the retry has replaced them."""
    async with make_server() as server, raw_peer(server, "twin") as older:
        await older.ask(m.Create, "a", raw({"n": 0}), answer=m.Committed)
        server._by_client["twin"]._transport.pause_reading()  # its bytes wait in the socket
        late = m.Update(10, "a", raw([[3, ["n"], 1]]))
        await older.send(late)
        async with raw_peer(server, "twin") as newer:
            await newer.send(msgspec.structs.replace(late, repeat=True))
            assert (await newer.next(m.Committed)).version == 2
            assert isinstance(await older.end(), Conflict)
            document = await newer.ask(m.Get, "a", answer=m.Document)
            assert (document.version, document.value) == (2, raw({"n": 1}))
            await _until(lambda: server.statistics()["connections"] == 1)
        await _until(lambda: server._by_client == {})


async def test_a_hello_that_was_delayed_ends_no_newer_connection(make_server: Any, raw_peer: Any) -> None:
    """What follows it, in later segments, is not applied either."""
    async with (
        make_server() as server,
        raw_peer(server, "twin", greet=False) as delayed,
        raw_peer(server, "twin", greet=False) as newer,
    ):
        await newer.hello(attempt=6)
        await newer.ask(m.Create, "a", raw({"n": 0}), answer=m.Committed)
        with pytest.raises(Conflict, match="this hello is of attempt 5, that one of 6"):
            await delayed.hello(attempt=5)
        await delayed.send(m.Update(10, "a", raw([[3, ["n"], 1]])))
        await newer.ask(m.Ping, answer=m.Pong)
        assert await delayed.end() is None  # the goodbye was the last that it said
        document = await newer.ask(m.Get, "a", answer=m.Document)
        assert (document.version, document.value) == (1, raw({"n": 0}))
        assert server._by_client["twin"].attempt == 6
        await _until(lambda: server.statistics()["connections"] == 1)


async def test_what_comes_together_with_a_delayed_hello_is_not_applied(make_server: Any, raw_peer: Any) -> None:
    """Of a peer that does not wait for its welcome, not even the hello counts."""
    hello = encode_frames([m.Hello("palimpsest", 1, 1, "twin", attempt=5)])
    update = encode_frames([m.Update(10, "a", raw([[3, ["n"], 1]]))])
    async with (
        make_server() as server,
        raw_peer(server, "twin", greet=False) as newer,
        raw_peer(server, "twin", greet=False) as delayed,
    ):
        await newer.hello(attempt=6)
        await newer.ask(m.Create, "a", raw({"n": 0}), answer=m.Committed)
        await delayed.send_bytes(hello + update)
        assert isinstance(await delayed.end(), UnexpectedMessage)
        document = await newer.ask(m.Get, "a", answer=m.Document)
        assert (document.version, document.value) == (1, raw({"n": 0}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(5, 6, id="a later attempt"),
        pytest.param(5, 5, id="the same attempt"),
        pytest.param(5, 0, id="the second does not count"),
        pytest.param(0, 5, id="the first does not count"),
        pytest.param(0, 0, id="neither counts"),
    ],
)
async def test_what_arrives_last_counts_otherwise(first: int, second: int, make_server: Any, raw_peer: Any) -> None:
    async with (
        make_server() as server,
        raw_peer(server, "twin", greet=False) as older,
        raw_peer(server, "twin", greet=False) as newer,
    ):
        await older.hello(attempt=first)
        await newer.hello(attempt=second)
        ended = await older.end()
        assert isinstance(ended, Conflict)
        assert ended.message == "a newer connection has the same client id"
        await newer.ask(m.Ping, answer=m.Pong)
        assert server._by_client["twin"].attempt == second


async def test_attempts_are_forgotten_with_their_connection(make_server: Any, raw_peer: Any) -> None:
    """A hello that comes after all others is welcomed, and the next attempt takes its place."""
    async with make_server() as server:
        async with raw_peer(server, "twin", greet=False) as newer:
            await newer.hello(attempt=6)
        await _until(lambda: server._by_client == {})
        async with (
            raw_peer(server, "twin", greet=False) as delayed,
            raw_peer(server, "twin", greet=False) as next_one,
        ):
            await delayed.hello(attempt=5)
            await next_one.hello(attempt=7)
            assert isinstance(await delayed.end(), Conflict)
            await next_one.ask(m.Ping, answer=m.Pong)


async def test_a_peer_that_goes_away_leaves_nothing_behind(raw_peer: Any) -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await client.create("a", {"n": 0})
        for reset in (False, True):
            async with raw_peer(server) as peer:
                await peer.send(m.Subscribe(1, 1, "**"), m.Update(2, "a", raw([[3, ["n"], 1]])), m.Get(3, "a"))
                await peer.next(m.Subscribed)
                peer.close(reset=reset)
            await _until(lambda: server.statistics()["connections"] == 1)
            assert server.statistics()["subscriptions"] == 0
        assert (await client.get("a")).version == 3
