"""One connection: its socket, its hello, and the answers that wait to leave.

The answers of one tick of the event loop, or of one commit, leave in one write. A peer that does not read its answers is not
read from any more, so that it can neither fill our memory nor slow anyone else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from palimpsest.errors import PalimpsestError, ProtocolError, RequestTimeout, TooManyConnections
from palimpsest.logs import get_logger
from palimpsest.protocol.connection import ServerConnection
from palimpsest.protocol.framing import encode_frames, encode_message, join_frames
from palimpsest.protocol.messages import Committed, Failed, Goodbye, Hello, Message, Welcome

if TYPE_CHECKING:
    from palimpsest.server.server import Server

log = get_logger("palimpsest.server")

_COMMITTED: int = Committed.__struct_config__.tag  # type: ignore[assignment]

_CLIENT_LIMITS = (
    "frame_bytes_max",
    "document_bytes_max",
    "depth_max",
    "delta_ops_max",
    "transaction_documents_max",
    "page_items_max",
    "subscription_bytes_max",
)


class Session(asyncio.Protocol):
    """What the event loop calls for one connection; to the partition, the one who asks."""

    def __init__(self, server: Server) -> None:
        self.client = ""
        """The client id; "" before the hello."""
        self.heard = 0.0
        """When something came from the peer last, by the monotonic clock."""
        self._server = server
        self._routes = server.partition.routes
        self._connection = ServerConnection(frame_bytes_max=server.limits.frame_bytes_max)
        self._transport: asyncio.Transport
        self._out: list[Any] = []
        """Messages, what encodes as one, and messages that are encoded already."""
        self._out_encoded = False
        """Something in `_out` is encoded already."""
        self._paused = False
        self._over = False

    # --- what the event loop calls -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._server.limits.connection_out_bytes_max)
        self.heard = self._server.clock.monotonic()
        maximum = self._server.limits.connections_max
        if not self._server.add_session(self):
            self.close(TooManyConnections(f"{maximum} connections are open", maximum=maximum))

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        server = self._server
        self.heard = server.clock.monotonic()
        try:
            messages = self._connection.receive_data(data)
        except ProtocolError as error:
            messages = self._connection.take_salvaged()
            self._handle(messages)
            log.warning("protocol_error", client=self.client, peer=self.peer(), code=error.code, reason=error.message)
            self.close(error)
            return
        self._handle(messages)

    def _handle(self, messages: Sequence[Message]) -> None:
        if not self.client:
            for message in messages:  # there is one at most: the hello is alone
                self._welcome(cast(Hello, message))
            return
        routes, now = self._routes, self._server.clock.now()
        for message in messages:
            routes[type(message)](message, self, now)

    def pause_writing(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        if not self._over:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        self._connection.receive_eof()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._over = True
        self._out.clear()
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

    def fail(self, id: int, error: PalimpsestError) -> None:
        self.reply(Failed(id, *error.to_wire()))

    def push(self, encoded: bytes) -> None:
        if not self._out:
            self._server.flush_soon(self)
        self._out_encoded = True
        self._out.append(encoded)

    def flush(self) -> None:
        """Writes what waits, in one write."""
        out = self._out
        if self._over or not out:
            return
        self._out = []
        if self._out_encoded:
            self._out_encoded = False
            data = join_frames(
                [message if type(message) is bytes else encode_message(message) for message in out],
                frame_bytes_max=self._connection.frame_bytes_max,
            )
        else:
            data = encode_frames(out, frame_bytes_max=self._connection.frame_bytes_max)
        self._transport.write(data)

    # --- beginning and end ---------------------------------------------------------------------------------------

    def _welcome(self, hello: Hello) -> None:
        server = self._server
        self.client = hello.client
        server.take_client(self)
        limits = msgspec.structs.asdict(server.limits)
        shown = {name: limits[name] for name in _CLIENT_LIMITS}
        shown["peer_silence_seconds"] = round(server.limits.peer_silence_seconds)
        assert self._connection.protocol is not None
        welcome = Welcome(self._connection.protocol, server.epoch, ("subscribe", "transact"), shown, server.agent)
        self._transport.write(self._connection.send([welcome]))
        log.debug("hello", client=self.client, agent=hello.agent, peer=self.peer())

    def close(self, error: PalimpsestError) -> None:
        """Says goodbye and closes, once what is written has left."""
        if self._over:
            return
        self.flush()
        self._over = True
        self._transport.write(self._connection.send([Goodbye(*error.to_wire())]))
        self._transport.close()

    def abort(self) -> None:
        """Ends at once; what has not left is lost."""
        self._over = True
        self._transport.abort()

    def check_silence(self, now: float) -> None:
        """Closes a peer that did not say hello in time, or has been silent for too long. now: monotonic seconds."""
        limits = self._server.limits
        bound = limits.peer_silence_seconds if self.client else limits.hello_seconds
        if now - self.heard > bound and not self._over:
            if self._paused:
                self.abort()  # it reads nothing: a goodbye would wait behind the rest
            else:
                self.close(RequestTimeout(f"nothing came for {bound:g} seconds", seconds=bound))

    def peer(self) -> str:
        return str(self._transport.get_extra_info("peername"))
