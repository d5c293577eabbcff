"""Both roles of the protocol, driven against each other and against hostile bytes."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from palimpsest.errors import (
    FrameTooLarge,
    MalformedFrame,
    PalimpsestError,
    ProtocolError,
    ServerClosing,
    UnexpectedMessage,
    UnsupportedProtocol,
)
from palimpsest.protocol import connection as c
from palimpsest.protocol import messages as m
from palimpsest.protocol.connection import TRANSITIONS, ClientConnection, ServerConnection, State, Step
from palimpsest.protocol.framing import encode_frames

EPOCH = "0123456789abcdef"
WELCOME = m.Welcome(1, EPOCH)
UPDATE = m.Update(1, "notes/1", Raw(b"\x90"))
HELLO = m.Hello("palimpsest", 1, 1, "me")


def pair() -> tuple[ClientConnection, ServerConnection]:
    """A client and a server that have said hello."""
    client, server = ClientConnection(), ServerConnection()
    server.receive_data(client.hello("me"))
    client.receive_data(server.send([WELCOME]))
    return client, server


def in_state(connection: Any, state: State) -> Any:
    connection.state = state
    return connection


def frame(*arrays: object) -> bytes:
    payload = msgspec.msgpack.encode(list(arrays))
    return len(payload).to_bytes(4, "big") + payload


def test_the_handshake() -> None:
    client, server = ClientConnection(), ServerConnection()
    assert (client.state, server.state) == (State.NEW, State.NEW)
    (hello,) = server.receive_data(client.hello("me", token="secret", agent="test/1", attempt=7))
    assert hello == m.Hello("palimpsest", 1, 1, "me", (), "secret", "test/1", 7)
    assert server.hello == hello
    assert (client.state, server.state) == (State.GREETED, State.GREETED)
    welcome = m.Welcome(1, EPOCH, ("x",), {"frame_bytes_max": 1_000}, "server/1")
    assert client.receive_data(server.send([welcome])) == [welcome]
    assert client.welcome == welcome
    assert client.frame_bytes_max == 1_000
    assert (client.state, server.state) == (State.OPEN, State.OPEN)
    assert (client.protocol, server.protocol) == (1, 1)
    assert server.receive_data(client.send([UPDATE, m.Ping(2)])) == [UPDATE, m.Ping(2)]
    assert client.receive_data(server.send([m.Pong(2)])) == [m.Pong(2)]


def test_a_goodbye_ends_it_for_both() -> None:
    client, server = pair()
    messages = client.receive_data(server.send([m.Pong(1)]) + server.goodbye(ServerClosing("bye")))
    assert messages == [m.Pong(1), m.Goodbye("server_closing", "bye", {})]
    assert (client.state, server.state) == (State.CLOSED, State.CLOSED)
    assert server.goodbye(ServerClosing("again")) == b""
    assert client.send([UPDATE]) == b""
    assert client.receive_data(encode_frames([m.Pong(2)])) == []


def test_what_follows_a_goodbye_in_the_same_bytes_is_dropped() -> None:
    client, server = pair()
    data = server.goodbye(ServerClosing("bye")) + encode_frames([m.Pong(1)])
    assert client.receive_data(data) == [m.Goodbye("server_closing", "bye", {})]


@pytest.mark.parametrize("before", [State.NEW, State.GREETED, State.OPEN])
def test_a_server_may_say_goodbye_at_any_time(before: State) -> None:
    client, server = in_state(ClientConnection(), before), in_state(ServerConnection(), before)
    (goodbye,) = client.receive_data(server.goodbye(ServerClosing("no")))
    assert goodbye.code == "server_closing"
    assert client.state is State.CLOSED


EXAMPLES: dict[Step, tuple[list[m.Message], list[m.Message]]] = {
    Step.HELLO: ([HELLO], []),
    Step.WELCOME: ([], [WELCOME]),
    Step.GOODBYE: ([], [m.Goodbye("server_closing", "bye", {})]),
    Step.OTHER: ([UPDATE, m.Ping(1)], [m.Pong(1)]),
}


@pytest.mark.parametrize("state", [State.NEW, State.GREETED, State.OPEN])
@pytest.mark.parametrize("step", Step)
def test_the_table_holds_for_what_is_received(state: State, step: Step) -> None:
    for messages, connection in zip(EXAMPLES[step], (ServerConnection(), ClientConnection()), strict=True):
        for message in messages:
            in_state(connection, state)
            data = encode_frames([message])
            if (state, step) in TRANSITIONS:
                assert connection.receive_data(data) == [message]
                assert connection.state is TRANSITIONS[state, step]
            else:
                with pytest.raises(UnexpectedMessage, match=state.value) as caught:
                    connection.receive_data(data)
                assert caught.value.kind == type(message).__name__
                assert connection.state is State.FAILED


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("step", Step)
def test_the_table_holds_for_what_is_sent(state: State, step: Step) -> None:
    for messages, connection in zip(EXAMPLES[step], (ClientConnection(), ServerConnection()), strict=True):
        for message in messages:
            in_state(connection, state)
            if state is State.CLOSED:
                assert connection.send([message]) == b""
            elif (state, step) in TRANSITIONS:
                assert connection.send([message]) == encode_frames([message])
                assert connection.state is TRANSITIONS[state, step]
            else:
                with pytest.raises(UnexpectedMessage):
                    connection.send([message])
                assert connection.state is state


def test_every_message_is_known_to_its_decoder() -> None:
    for union, ordinary, special in (
        (m.Request, c.OrdinaryRequest, {m.Hello}),
        (m.Response, c.OrdinaryResponse, {m.Welcome, m.Goodbye}),
    ):
        assert set(typing.get_args(union)) == set(typing.get_args(ordinary)) | special


def test_the_hello_comes_alone() -> None:
    server = ServerConnection()
    with pytest.raises(UnexpectedMessage):
        server.receive_data(encode_frames([HELLO, UPDATE]))


def test_nothing_may_follow_the_hello_before_the_welcome() -> None:
    server = ServerConnection()
    with pytest.raises(UnexpectedMessage):
        server.receive_data(encode_frames([HELLO]) + encode_frames([UPDATE]))
    assert server.take_salvaged() == [HELLO]


@pytest.mark.parametrize(
    ("hello", "error"),
    [
        (m.Hello("redis", 1, 1, "me"), MalformedFrame),
        (m.Hello("palimpsest", 1, 1, ""), MalformedFrame),
        (m.Hello("palimpsest", 1, 1, "x" * 65), MalformedFrame),
        (m.Hello("palimpsest", 2, 9, "me"), UnsupportedProtocol),
        (m.Hello("palimpsest", 0, 0, "me"), UnsupportedProtocol),
        (m.Hello("palimpsest", 2, 1, "me"), UnsupportedProtocol),
    ],
)
def test_a_hello_that_cannot_be_answered(hello: m.Hello, error: type[PalimpsestError]) -> None:
    server = ServerConnection()
    with pytest.raises(error) as caught:
        server.receive_data(encode_frames([hello]))
    if isinstance(caught.value, UnsupportedProtocol):
        assert (caught.value.oldest, caught.value.newest) == (1, 1)
    (goodbye,) = ClientConnection().receive_data(server.goodbye(caught.value))
    assert goodbye.code == error.code


def test_a_newer_client_is_answered_in_our_version() -> None:
    server = ServerConnection()
    server.receive_data(encode_frames([m.Hello("palimpsest", 0, 7, "me")]))
    assert server.protocol == 1


@pytest.mark.parametrize(
    ("welcome", "error"),
    [(m.Welcome(2, EPOCH), UnsupportedProtocol), (m.Welcome(1, "nonsense"), MalformedFrame)],
)
def test_a_welcome_that_makes_no_sense(welcome: m.Welcome, error: type[PalimpsestError]) -> None:
    client = ClientConnection()
    client.hello("me")
    with pytest.raises(error):
        client.receive_data(encode_frames([welcome]))


HOSTILE = {
    "no messages": frame(),
    "no array": b"\x00\x00\x00\x01\xc0",
    "no payload": b"\x00\x00\x00\x00",
    "trailing junk": b"\x00\x00\x00\x05\x91\x92\x01\x01\x00",
    "cut short": b"\x00\x00\x00\x03\x91\x92\x01",
    "unknown tag": frame([99, 1]),
    "tag of a wrong type": frame(["ping", 1]),
    "no tag": frame([]),
    "too few fields": frame([2, 1]),
    "wrong type": frame([2, 1, 5, []]),
    "negative id": frame([1, -1]),
    "giant id": frame([1, 2**63]),
    "giant expect": frame([2, 1, "a", [], "main", 2**63]),
    "bad utf-8": b"\x00\x00\x00\x06\x91\x94\x02\x01\xa1\xff",
    "nested": (200_006).to_bytes(4, "big") + b"\x91\x94\x02\x01\xa1a" + b"\x91" * 200_000,
    "giant list": b"\x00\x00\x00\x05\xdd\xff\xff\xff\xff",
    "giant tuple": b"\x00\x00\x00\x09\x91\x93\x07\x01\xdd\xff\xff\xff\xff",
    "giant string": b"\x00\x00\x00\x09\x91\x93\x06\x01\xdb\xff\xff\xff\xff",
    "reserved byte": b"\x00\x00\x00\x07\x91\x94\x02\x01\xa1a\xc1",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_frames(name: str) -> None:
    client, server = pair()
    with pytest.raises(MalformedFrame) as caught:
        server.receive_data(client.send([UPDATE]) + HOSTILE[name])
    assert caught.value.reason
    assert server.take_salvaged() == [UPDATE]
    assert server.take_salvaged() == []
    assert server.state is State.FAILED
    assert server.receive_data(client.send([UPDATE])) == []
    (goodbye,) = client.receive_data(server.goodbye(caught.value))
    assert goodbye.code == "malformed_frame"


def test_a_frame_that_is_too_large() -> None:
    client, server = pair()
    with pytest.raises(FrameTooLarge) as caught:
        server.receive_data(client.send([UPDATE]) + b"\x01\x00\x00\x01")
    assert caught.value.frame_bytes == 2**24 + 1
    assert server.take_salvaged() == [UPDATE]


def test_answers_may_still_leave_before_the_goodbye() -> None:
    client, server = pair()
    with pytest.raises(ProtocolError):
        server.receive_data(HOSTILE["no array"])
    data = server.send([m.Committed(1, 2, 3)]) + server.goodbye(MalformedFrame("x", reason="x"))
    assert [type(message) for message in client.receive_data(data)] == [m.Committed, m.Goodbye]


def test_the_end_of_the_stream() -> None:
    client, server = pair()
    assert server.receive_eof() is False
    assert server.state is State.CLOSED
    client, server = pair()
    server.receive_data(client.send([UPDATE])[:-1])
    assert server.buffered_bytes > 0
    assert server.receive_eof() is True


def test_raw_fields_survive_the_buffer() -> None:
    client, server = pair()
    data = bytearray(client.send([m.Update(1, "a", Raw(b"\x91\x05")), m.Update(2, "b", Raw(b"\x91\x06"))]))
    first, second = server.receive_data(bytes(data))
    data[:] = bytes(len(data))
    assert (bytes(first.delta), bytes(second.delta)) == (b"\x91\x05", b"\x91\x06")


# --- every message, however its bytes are cut --------------------------------------------------------------------

names = st.text(max_size=10)
numbers = st.integers(0, 2**63 - 1)
integers = st.integers(-(2**63), 2**63 - 1)
raws = st.sampled_from([b"\x90", b"\xc0", b"\x81\xa1a\x01", b"\x93\x01\xa1x\xcb" + bytes(8)]).map(Raw)
metas = st.builds(
    m.Meta, by=st.none() | names, description=st.none() | names, tags=st.tuples(names), trace=st.none() | names
)
data = st.dictionaries(names, st.none() | st.booleans() | names | integers, max_size=3)


def built(kind: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Every field of kind, by the type it is declared with; `fields` says otherwise."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: fields.get(name) or by_type(hints[name]) for name in kind.__struct_fields__})


def by_type(hint: Any) -> st.SearchStrategy[Any]:
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: names,
        int: numbers,
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
        bytes: st.binary(max_size=8),
        Raw: raws,
        m.Meta: metas,
        type(None): st.none(),
        dict[str, Any]: data,
        dict[str, int]: st.dictionaries(names, integers, max_size=3),
        dict[str, str]: st.dictionaries(names, names, max_size=3),
    }
    if hint in simple:
        return simple[hint]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(*map(by_type, arguments), max_size=3)
    if typing.get_origin(hint) is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(by_type, arguments))
    if typing.get_origin(hint) is tuple:
        return st.lists(by_type(arguments[0]), max_size=3).map(tuple)
    if arguments:
        return st.one_of([by_type(argument) for argument in arguments])
    return built(hint)


ordinary_requests = st.one_of([built(kind) for kind in typing.get_args(c.OrdinaryRequest)])
ordinary_responses = st.one_of([built(kind) for kind in typing.get_args(c.OrdinaryResponse)])


@given(st.lists(st.lists(ordinary_requests, min_size=1, max_size=3), max_size=4), st.integers(1, 64))
def test_requests_round_trip_whole_and_in_pieces(batches: list[list[Any]], piece: int) -> None:
    round_trip(batches, piece, *pair())


@given(st.lists(st.lists(ordinary_responses, min_size=1, max_size=3), max_size=4), st.integers(1, 64))
def test_responses_round_trip_whole_and_in_pieces(batches: list[list[Any]], piece: int) -> None:
    round_trip(batches, piece, *reversed(pair()))


def round_trip(batches: list[list[Any]], piece: int, sender: Any, receiver: Any) -> None:
    stream = b"".join(sender.send(batch) for batch in batches)
    expected = [message for batch in batches for message in batch]
    assert receiver.receive_data(stream) == expected
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    assert [message for part in pieces for message in receiver.receive_data(part)] == expected
    assert receiver.receive_eof() is False


@given(st.binary(max_size=200), st.sampled_from([State.NEW, State.GREETED, State.OPEN]), st.booleans())
def test_any_bytes_give_messages_or_a_protocol_error(junk: bytes, state: State, framed: bool) -> None:
    data = len(junk).to_bytes(4, "big") + junk if framed else junk
    for connection in (ServerConnection(), ClientConnection()):
        in_state(connection, state)
        try:
            connection.receive_data(data)
        except ProtocolError:
            assert connection.state is State.FAILED


@given(st.lists(ordinary_requests, min_size=1, max_size=3), st.data())
def test_a_damaged_frame_gives_messages_or_a_protocol_error(messages: list[Any], draw: st.DataObject) -> None:
    client, server = pair()
    damaged = bytearray(client.send(messages))
    place = draw.draw(st.integers(0, len(damaged) - 1))
    damaged[place] = draw.draw(st.integers(0, 255))
    try:
        server.receive_data(bytes(damaged))
    except ProtocolError:
        assert server.state is State.FAILED
