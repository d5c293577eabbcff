"""The protocol as a state machine: bytes in, messages out, and back. No sockets, no clocks, no waiting.

Both sides walk through the same states, by what one sends and the other receives:

    state      Hello      Welcome    Goodbye    any other message
    NEW        GREETED    -          CLOSED     -
    GREETED    -          OPEN       CLOSED     -
    OPEN       -          -          CLOSED     OPEN
    FAILED     -          -          CLOSED     FAILED (sent only)

What the table does not have is an `UnexpectedMessage`. A connection that could not read its stream is FAILED: it may still
say why, and reads nothing any more.

Messages that change the state are rare, and the decoder of an open connection does not know them: it decodes a frame of
ordinary messages in one call and nothing is looked up. A frame that it refuses is decoded again with every message of the
direction, walked through the table, and refused with the reason if that fails too.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from palimpsest.errors import MalformedFrame, PalimpsestError, ProtocolError, UnexpectedMessage, UnsupportedProtocol
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import is_epoch
from palimpsest.protocol.framing import FRAME_BYTES_MAX, FrameReader, encode_frames

MAGIC = "palimpsest"
CLIENT_ID_CHARACTERS_MAX = 64


class State(Enum):
    NEW = "new"
    GREETED = "greeted"
    OPEN = "open"
    FAILED = "failed"
    CLOSED = "closed"


class Step(Enum):
    """What a message is to the state machine."""

    HELLO = "hello"
    WELCOME = "welcome"
    GOODBYE = "goodbye"
    OTHER = "other"


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.NEW, Step.HELLO): State.GREETED,
    (State.NEW, Step.GOODBYE): State.CLOSED,
    (State.GREETED, Step.WELCOME): State.OPEN,
    (State.GREETED, Step.GOODBYE): State.CLOSED,
    (State.OPEN, Step.OTHER): State.OPEN,
    (State.OPEN, Step.GOODBYE): State.CLOSED,
    (State.FAILED, Step.OTHER): State.FAILED,
    (State.FAILED, Step.GOODBYE): State.CLOSED,
}

_STEPS: dict[type[m.Message], Step] = {m.Hello: Step.HELLO, m.Welcome: Step.WELCOME, m.Goodbye: Step.GOODBYE}

OrdinaryRequest = (
    m.Ping
    | m.Update
    | m.Create
    | m.Delete
    | m.Transact
    | m.Get
    | m.GetMany
    | m.List
    | m.History
    | m.Subscribe
    | m.Credit
    | m.Unsubscribe
    | m.Diff
    | m.Blame
    | m.Revert
    | m.Undo
    | m.Label
    | m.Digest
    | m.Erase
    | m.Prune
    | m.Measure
    | m.Backup
    | m.Import
    | m.Branch
    | m.DeleteBranch
    | m.ListBranches
    | m.Merge
    | m.Pick
    | m.Rebase
    | m.Resolve
    | m.Abandon
    | m.GetMerge
    | m.ListMerges
    | m.Ack
    | m.Nack
    | m.ListSubscriptions
    | m.DeleteSubscription
    | m.Redrive
    | m.Observe
    | m.Through
)
"""What an open connection says to the server."""

OrdinaryResponse = (
    m.Pong
    | m.Committed
    | m.Transacted
    | m.Document
    | m.Documents
    | m.Names
    | m.Versions
    | m.Subscribed
    | m.Change
    | m.Marker
    | m.Ended
    | m.Failed
    | m.Differences
    | m.Blamed
    | m.Digested
    | m.Pruned
    | m.Measured
    | m.Saved
    | m.Imported
    | m.Progress
    | m.Branches
    | m.Merged
    | m.Merges
    | m.Acknowledged
    | m.Subscriptions
    | m.Observed
)
"""What an open connection says to the client."""

_AT_LEAST_ONE = msgspec.Meta(min_length=1)
_any_request = msgspec.msgpack.Decoder(Annotated[list[m.Request], _AT_LEAST_ONE])
_any_response = msgspec.msgpack.Decoder(Annotated[list[m.Response], _AT_LEAST_ONE])
_ordinary_request = msgspec.msgpack.Decoder(Annotated[list[OrdinaryRequest], _AT_LEAST_ONE])
_ordinary_response = msgspec.msgpack.Decoder(Annotated[list[OrdinaryResponse], _AT_LEAST_ONE])

# What a decoder raises for bytes of a stranger: its own errors and those of bad UTF-8 are ValueErrors, nesting without end
# is a RecursionError, a length without end a MemoryError.
_DECODING_ERRORS = (ValueError, TypeError, RecursionError, MemoryError, OverflowError)

In = TypeVar("In", bound=m.Message)
Out = TypeVar("Out", bound=m.Message)


class _Connection(Generic[In, Out]):
    """What both sides have in common."""

    _ordinary: msgspec.msgpack.Decoder[Any]
    _any: msgspec.msgpack.Decoder[Any]

    def __init__(self, *, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.state = State.NEW
        self.protocol: int | None = None
        """The protocol version that both speak, once the hello was answered."""
        self._reader = FrameReader(frame_bytes_max=frame_bytes_max)
        self._salvaged: list[In] = []

    @property
    def frame_bytes_max(self) -> int:
        return self._reader.frame_bytes_max

    @property
    def buffered_bytes(self) -> int:
        """Of a frame that has begun to arrive."""
        return self._reader.buffered_bytes

    def receive_data(self, data: bytes) -> list[In]:
        """All messages that data completes, in order; none is a result, too. `Raw` fields refer to bytes that never change.

        Raises a ProtocolError once, at the first thing that makes no sense; the connection is FAILED from then on, and
        what else arrives is dropped. Messages that data completed before it are not lost: `take_salvaged` has them. The
        caller's next duty is to send the `goodbye` and close.
        """
        if self.state is State.FAILED or self.state is State.CLOSED:
            return []
        payloads = self._reader.receive(data)
        if len(payloads) == 1 and self._reader.error is None:
            return self._decode(payloads[0], [])
        messages: list[In] = []
        for payload in payloads:
            messages += self._decode(payload, messages)
        if self._reader.error is not None:
            raise self._fail(self._reader.error, messages)
        return messages

    def take_salvaged(self) -> list[In]:
        """The messages that came whole before what `receive_data` raised an error about. Empty when asked again."""
        salvaged, self._salvaged = self._salvaged, []
        return salvaged

    def receive_eof(self) -> bool:
        """The stream has ended: the connection is CLOSED. True where it ended inside a frame."""
        inside_frame = self.buffered_bytes > 0
        self.state = State.CLOSED
        return inside_frame

    def send(self, messages: Sequence[Out]) -> bytes:
        """The bytes that say this; b"" once the connection is CLOSED. messages: at least one.

        Raises UnexpectedMessage where the state does not allow one of them, and FrameTooLarge where a single message
        exceeds a frame; nothing is encoded then, and the state is as before.
        """
        if self.state is State.CLOSED:
            return b""
        if self.state is State.OPEN and type(messages[-1]) not in _STEPS:
            return encode_frames(messages, frame_bytes_max=self._reader.frame_bytes_max)
        state: State = self.state
        for message in messages:
            state = _next_state(state, message)
        data = encode_frames(messages, frame_bytes_max=self._reader.frame_bytes_max)
        self.state = state
        return data

    def _decode(self, payload: bytes, before: list[In]) -> list[In]:
        """before: what came whole before this payload, in the same data."""
        if self.state is State.OPEN:
            try:
                messages: list[In] = self._ordinary.decode(payload)
                return messages
            except _DECODING_ERRORS:
                pass
        if self.state is State.CLOSED:
            return []
        return self._decode_any(payload, before)

    def _decode_any(self, payload: bytes, before: list[In]) -> list[In]:
        try:
            messages: list[In] = self._any.decode(payload)
        except _DECODING_ERRORS as error:
            reason = str(error) or type(error).__name__
            failure = MalformedFrame(f"a frame that does not decode: {reason}", reason=reason)
            raise self._fail(failure, before) from error
        try:
            for message in messages:
                state = _next_state(self.state, message)
                self._receive_step(message)
                self.state = state
        except ProtocolError as error:
            raise self._fail(error, before) from None
        return messages

    def _receive_step(self, message: In) -> None:
        """Checks what a message that changes the state says, and keeps it. Raises ProtocolError."""

    def _fail(self, error: ProtocolError, before: list[In]) -> ProtocolError:
        self.state = State.FAILED
        self._salvaged = before
        return error


class ServerConnection(_Connection[m.Request, m.Response]):
    """The server's side of one connection.

    `receive_data` gives `Hello` first, alone; `protocol` and `hello` are set then. Answer it with a `Welcome` by `send`, or
    with `goodbye`. From then on it gives `OrdinaryRequest`s.
    """

    _ordinary = _ordinary_request
    _any = _any_request

    def __init__(self, *, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        super().__init__(frame_bytes_max=frame_bytes_max)
        self.hello: m.Hello | None = None

    def goodbye(self, error: PalimpsestError) -> bytes:
        """The last bytes of this connection, which say why; b"" where it was said before."""
        code, message, data = error.to_wire()
        return self.send([m.Goodbye(code, message, data)])

    def _receive_step(self, message: m.Message) -> None:
        if type(message) is m.Hello:
            self.protocol = _choose_protocol(message)
            self.hello = message


class ClientConnection(_Connection[m.Response, m.Request]):
    """The client's side of one connection.

    Begin by sending what `hello` gives. `receive_data` gives a `Welcome` or a `Goodbye` first; after the welcome, which is
    kept in `welcome`, requests may be sent, and `OrdinaryResponse`s come, and a `Goodbye` last.
    """

    _ordinary = _ordinary_response
    _any = _any_response

    def __init__(self, *, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        super().__init__(frame_bytes_max=frame_bytes_max)
        self.welcome: m.Welcome | None = None

    def hello(
        self,
        client: str,
        *,
        token: str | None = None,
        features: tuple[str, ...] = (),
        agent: str = "",
        attempt: int = 0,
    ) -> bytes:
        """The first bytes of this connection. client: the client id, 1 to 64 characters. attempt: its number, as in `Hello`."""
        oldest, newest = m.PROTOCOL_OLDEST, m.PROTOCOL_NEWEST
        return self.send([m.Hello(MAGIC, oldest, newest, client, features, token, agent, attempt)])

    def _receive_step(self, message: m.Message) -> None:
        if type(message) is not m.Welcome:
            return
        if not m.PROTOCOL_OLDEST <= message.protocol <= m.PROTOCOL_NEWEST:
            raise UnsupportedProtocol(
                f"the server chose protocol {message.protocol}, which was not offered",
                oldest=message.protocol,
                newest=message.protocol,
            )
        if not is_epoch(message.epoch):
            raise _malformed(f"the welcome's epoch is {message.epoch!r}, not 16 hex digits")
        self.protocol = message.protocol
        self.welcome = message
        # The server's setting bounds both directions.
        self._reader.frame_bytes_max = message.limits.get("frame_bytes_max", self._reader.frame_bytes_max)


def _next_state(state: State, message: m.Message) -> State:
    following = TRANSITIONS.get((state, _STEPS.get(type(message), Step.OTHER)))
    if following is None:
        kind = type(message).__name__
        raise UnexpectedMessage(f"{kind} makes no sense on a connection that is {state.value}", kind=kind)
    return following


def _choose_protocol(hello: m.Hello) -> int:
    """The newest version that both speak. Raises UnsupportedProtocol, or MalformedFrame for a hello that is none."""
    if hello.magic != MAGIC:
        raise _malformed(f"the hello begins with {hello.magic[:32]!r}, not {MAGIC!r}")
    if not 1 <= len(hello.client) <= CLIENT_ID_CHARACTERS_MAX:
        raise _malformed(f"a client id has 1 to {CLIENT_ID_CHARACTERS_MAX} characters, this one {len(hello.client)}")
    protocol = min(hello.newest, m.PROTOCOL_NEWEST)
    if protocol < max(hello.oldest, m.PROTOCOL_OLDEST):
        raise UnsupportedProtocol(
            f"the client speaks protocols {hello.oldest} to {hello.newest}, "
            f"the server {m.PROTOCOL_OLDEST} to {m.PROTOCOL_NEWEST}",
            oldest=m.PROTOCOL_OLDEST,
            newest=m.PROTOCOL_NEWEST,
        )
    return protocol


def _malformed(reason: str) -> MalformedFrame:
    return MalformedFrame(f"a frame that makes no sense: {reason}", reason=reason)
