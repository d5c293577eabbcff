"""One connection: its socket, its hello, and the answers that wait to leave.

The answers of one tick of the event loop, or of one commit, leave in one write. A peer that does not read its answers is not
read from any more, so that it can neither fill our memory nor slow anyone else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from palimpsest.errors import FrameTooLarge, LimitExceeded, PalimpsestError, ProtocolError, RequestTimeout
from palimpsest.logs import get_logger
from palimpsest.protocol.connection import ServerConnection
from palimpsest.protocol.framing import encode_frames, encode_message, join_frames
from palimpsest.protocol.messages import (
    Blamed,
    Branches,
    Committed,
    Differences,
    Document,
    Documents,
    Failed,
    Goodbye,
    Hello,
    Merged,
    MergedPart,
    Message,
    Through,
    Versions,
    Welcome,
)
from palimpsest.server.access import NEVER
from palimpsest.server.tls import common_name

if TYPE_CHECKING:
    from palimpsest.server.accounts import Account
    from palimpsest.server.gate import Gate
    from palimpsest.server.server import Server
    from palimpsest.state.rights import Rights

log = get_logger("palimpsest.server")

_LARGE = frozenset((Documents, Versions, Differences, Blamed, Merged, Branches))
"""Answers that may be large, beside `Document`, which is looked at first."""

_PATH_BYTES = 64
"""What a path, or a branch, takes, roughly."""

Routes = dict[type, Callable[[Any, Any, int], None]]
"""As those of a partition."""

_COMMITTED: int = Committed.__struct_config__.tag  # type: ignore[assignment]

_CLIENT_LIMITS = (
    "frame_bytes_max",
    "document_bytes_max",
    "depth_max",
    "delta_ops_max",
    "name_bytes_max",
    "meta_bytes_max",
    "meta_tags_max",
    "request_id_characters_max",
    "transaction_documents_max",
    "branches_max",
    "merge_conflicts_max",
    "page_items_max",
    "subscription_bytes_max",
)


class Session(asyncio.Protocol):
    """What the event loop calls for one connection; to the partition, the one who asks."""

    def __init__(self, server: Server) -> None:
        self.client = ""
        """The client id; "" before the hello."""
        self.attempt = 0
        """The number that the client gave its attempt to connect; 0: it does not count, or has not said hello."""
        self.heard = 0.0
        """When the peer gave its last sign of life, by the monotonic clock: until the hello is whole, when it connected."""
        self.principal = ""
        """Who it is; "" before the hello."""
        self.rights: Rights
        """As of now, from the hello on; `Access` sees to this and to what follows."""
        self.gate: Gate | None = None
        """What requests are held to; None where its principal has always been free to do everything."""
        self.routes = server.partition.routes
        self.account: Account
        self.expires_at = NEVER
        """When the token that was shown ends, in microseconds since the epoch."""
        self._server = server
        self._traffic = server.traffic
        self._connection = ServerConnection(frame_bytes_max=server.limits.frame_bytes_max)
        self._transport: asyncio.Transport
        self._out: list[Any] = []
        """Messages, what encodes as one, and messages that are encoded already."""
        self._out_encoded = False
        """Something in `_out` is encoded already."""
        self._out_bytes = 0
        """Of what is large in `_out`: values, histories and changes."""
        self.paused = False
        """The peer does not take what it was sent: nothing more is encoded for it."""
        self._held = False
        """Nothing is read from it until it has taken what waits."""
        self._farewell: PalimpsestError | None = None
        """Why the connection is to be closed once everything before that has been written."""
        self._deaf = False
        """What still comes from the peer is dropped."""
        self._over = False
        """Nothing more is written."""
        self._resting: asyncio.TimerHandle | None = None
        """Nothing is read until then, because its principal has sent more than it may."""

    # --- what the event loop calls -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._server.limits.connection_out_bytes_max)
        self.heard = self._server.clock.monotonic()
        refusal = self._server.add_session(self)
        if refusal is not None:
            self.close(refusal)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._traffic.received_bytes += len(data)
        if self.client:
            self.heard = self._server.clock.monotonic()
        try:
            messages = self._connection.receive_data(data)
        except ProtocolError as error:
            if self.client:
                self._handle(self._connection.take_salvaged())
            log.warning("protocol_error", client=self.client, peer=self.peer(), code=error.code, reason=error.message)
            self.close(error)
            return
        self._handle(messages)
        if self.principal:
            rate = self.rights.limits.bytes_per_second_max
            if rate is not None:
                self._rest(self.account.received(len(data), rate, self._server.clock.monotonic()))

    def _handle(self, messages: Sequence[Message]) -> None:
        if not self.client:
            for message in messages:  # there is one at most: the hello is alone
                self._welcome(cast(Hello, message))
            return
        routes, now = self.routes, self._server.clock.now()
        if now >= self.expires_at:
            self._server.access.expire(self)
            return
        if messages:
            self._route(messages, routes, now)

    def _route(self, messages: Sequence[Message], routes: Routes, now: int) -> None:
        """Each goes where messages of its kind go; how many there were is counted by runs of one kind."""
        traffic = self._traffic
        kind, count = type(messages[0]), 0
        route = routes[kind]
        for message in messages:
            if type(message) is not kind:
                traffic.came(kind, count)
                kind, count = type(message), 0
                route = routes[kind]
            count += 1
            route(message, self, now)
        traffic.came(kind, count)
        if Through in traffic.requests:
            traffic.unwrap(messages)

    def pause_writing(self) -> None:
        self.paused = self._held = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        self.heard = self._server.clock.monotonic()
        self._server.flush_soon(self)  # not now: the transport, which calls this, must not be closed meanwhile

    def eof_received(self) -> bool:
        self._connection.receive_eof()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._deaf = self._over = True
        self._out.clear()
        if self._resting is not None:
            self._resting.cancel()
        self._server.remove_session(self)
        log.debug("connection_lost", client=self.client)

    # --- what the partition calls --------------------------------------------------------------------------------

    def committed(self, id: int, version: int, at: int) -> None:
        out = self._out
        if not out:
            self._server.flush_soon(self)
        out.append((_COMMITTED, id, version, at, False))  # as a `Committed`, at a third of its cost

    def reply(self, message: object) -> None:
        if not self._out:
            self._server.flush_soon(self)
        self._out.append(message)
        kind = type(message)
        if kind is Document:
            self._out_bytes += len(message.value)  # type: ignore[attr-defined]
        elif kind in _LARGE:
            self._out_bytes += _weight(message)
        elif kind is Failed:
            self._traffic.refused(message.code)  # type: ignore[attr-defined]

    def fail(self, id: int, error: PalimpsestError) -> None:
        self.reply(Failed(id, *error.to_wire()))

    def push(self, encoded: bytes) -> None:
        if not self._out:
            self._server.flush_soon(self)
        self._out_encoded = True
        self._out_bytes += len(encoded)
        self._out.append(encoded)

    def flush(self) -> None:
        """Writes what waits, in one write. What is too much for the socket's buffer waits, not encoded yet, until the peer
        has taken what came before it."""
        if self._over:
            self._out.clear()
            return
        while self._out and not self.paused:
            data = self._encode(self._take())
            self._traffic.sent_bytes += len(data)
            self._transport.write(data)
        if self.paused:
            return
        if self._farewell is not None:
            self._part(self._farewell)
        elif self._held:
            self._held = False
            self._server.partition.feed.resume(self)
            if self._resting is None:
                self._transport.resume_reading()

    def _take(self) -> list[Any]:
        """From the front of what waits, as much as is written at once."""
        out, maximum = self._out, self._server.limits.connection_out_bytes_max
        if self._out_bytes <= maximum:
            self._out, self._out_bytes = [], 0
            return out
        size = count = 0
        while count < len(out) and size < maximum:
            size += _weight(out[count])
            count += 1
        self._out = out[count:]
        self._out_bytes -= size
        return out[:count]

    def _encode(self, out: list[Any]) -> bytes:
        frame_bytes_max = self._connection.frame_bytes_max
        try:
            if not self._out_encoded:
                return encode_frames(out, frame_bytes_max=frame_bytes_max)
            self._out_encoded = bool(self._out)
            if len(out) == 1 and type(out[0]) is bytes:
                return self._server.frame(out[0], frame_bytes_max)
            encoded = [message if type(message) is bytes else encode_message(message) for message in out]
            return join_frames(encoded, frame_bytes_max=frame_bytes_max)
        except FrameTooLarge:
            return b"".join(self._encode_one(message) for message in out)

    def _encode_one(self, message: Any) -> bytes:
        """A message for itself; for an answer that does not fit into a frame, the error that says so."""
        try:
            encoded = message if type(message) is bytes else encode_message(message)
            return join_frames([encoded], frame_bytes_max=self._connection.frame_bytes_max)
        except FrameTooLarge as error:
            failure = LimitExceeded(
                f"the answer is {error.frame_bytes} bytes; frame_bytes_max is {error.frame_bytes_max}",
                limit="frame_bytes_max",
                maximum=error.frame_bytes_max,
                actual=error.frame_bytes,
            )
            if not hasattr(message, "id"):  # a change, which must not be missing: the connection cannot go on
                self._farewell = self._farewell or failure
                return b""
            return encode_frames([Failed(message.id, *failure.to_wire())])

    # --- beginning and end ---------------------------------------------------------------------------------------

    def _welcome(self, hello: Hello) -> None:
        server = self._server
        try:
            identity = server.access.identify(hello.token, common_name(self._transport.get_extra_info("peercert")))
            self.client, self.attempt = hello.client, hello.attempt
            server.take_client(self, identity.principal)
            server.access.enter(self, identity)
        except PalimpsestError as error:
            log.info("turned_away", client=hello.client, peer=self.peer(), code=error.code)
            self.close(error)
            return
        self.heard = server.clock.monotonic()
        limits = msgspec.structs.asdict(server.limits)
        shown = {name: limits[name] for name in _CLIENT_LIMITS}
        shown["peer_silence_seconds"] = round(server.limits.peer_silence_seconds)
        assert self._connection.protocol is not None
        features = ("subscribe", "transact", "history")
        welcome = Welcome(self._connection.protocol, server.epoch, features, shown, server.agent, self.principal)
        self._transport.write(self._connection.send([welcome]))
        log.debug("hello", client=self.client, principal=self.principal, agent=hello.agent, peer=self.peer())

    def stop_listening(self) -> None:
        """What still comes is dropped: read, so that the connection is not reset under the last answers, and not heard."""
        self._deaf = True

    def close(self, error: PalimpsestError) -> None:
        """Says goodbye and closes, once what waits has been taken by the peer. Nothing that comes is heard any more."""
        if self._over or self._farewell is not None:
            return
        self._deaf = True
        self._farewell = error
        self._traffic.refused(error.code)
        self.heard = self._server.clock.monotonic()
        self.flush()

    def _part(self, error: PalimpsestError) -> None:
        self._deaf = self._over = True
        self._transport.write(self._connection.send([Goodbye(*error.to_wire())]))
        self._transport.close()

    def abort(self) -> None:
        """Ends at once; what has not left is lost."""
        self._deaf = self._over = True
        self._transport.abort()

    def _rest(self, seconds: float) -> None:
        """Nothing is read for so long."""
        if seconds <= 0 or self._resting is not None or self._over:
            return
        self._resting = asyncio.get_running_loop().call_later(seconds, self._go_on)
        self._transport.pause_reading()

    def _go_on(self) -> None:
        self._resting = None
        self.heard = self._server.clock.monotonic()
        if not self._held and not self._over:
            self._transport.resume_reading()

    def check_time(self, now: float) -> None:
        """Closes a peer that did not say hello in time, or has been silent for too long, or whose token has ended. now: monotonic
        seconds."""
        if self._server.clock.now() >= self.expires_at:
            self._server.access.expire(self)
        if self._resting is not None:
            return
        limits = self._server.limits
        bound = limits.peer_silence_seconds if self.client else limits.hello_seconds
        if now - self.heard <= bound:
            return
        if self._over or self.paused:
            self.abort()  # it reads nothing: a goodbye would wait behind the rest
        else:
            self.close(RequestTimeout(f"nothing came for {bound:g} seconds", seconds=bound))

    def peer(self) -> str:
        return str(self._transport.get_extra_info("peername"))


def _weight(message: Any) -> int:
    """Bytes of what may be large in a message; 0 for what never is."""
    kind = type(message)
    if kind is bytes:
        return len(message)
    if kind is Document:
        return len(message.value)
    if kind is Documents:
        return sum(len(document.value) for document in message.documents if document is not None)
    if kind is Versions:
        return sum(len(entry.delta) for entry in message.entries)
    if kind is Differences:
        return len(message.delta)
    if kind is Blamed:
        return _PATH_BYTES * len(message.paths)
    if kind is Merged:
        return sum(map(_part_weight, message.parts))
    if kind is Branches:
        return _PATH_BYTES * len(message.branches)
    return 0


def _part_weight(part: MergedPart) -> int:
    sides = (raw for conflict in part.conflicts for raw in (*conflict.base, *conflict.ours, *conflict.theirs))
    return len(part.delta) + _PATH_BYTES * len(part.conflicts) + sum(map(len, sides))
