"""One connection to a server: a thin asyncio shell over `ClientConnection`.

A link lives once, from the socket's connect to its end. What outlives it (requests without an answer, subscriptions) belongs
to the session.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Protocol, TypeAlias, cast

from palimpsest.errors import ConnectionLost, PalimpsestError, ProtocolError, RequestTimeout, from_wire
from palimpsest.protocol.connection import ClientConnection
from palimpsest.protocol.messages import Goodbye, Request, Response, Welcome

Greeting: TypeAlias = tuple[str, str | None, str, int]
"""What the hello says: client id, token, agent, and the number of the attempt."""


class LinkOwner(Protocol):
    def on_messages(self, messages: Sequence[Response]) -> None:
        """What the server says after its welcome, in order."""
        ...

    def on_writable(self, writable: bool) -> None:
        """Whether the socket's buffer has room."""
        ...


class Link(asyncio.Protocol):
    """Says hello as soon as the socket is connected. `welcomed` and `lost` are each set once."""

    def __init__(self, owner: LinkOwner, greeting: Greeting, *, out_bytes_max: int) -> None:
        loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[Welcome] = loop.create_future()
        """Fails with the reason where the server did not let this client in."""
        self.lost: asyncio.Future[PalimpsestError] = loop.create_future()
        """Why the link ended. Never fails."""
        self._gone: asyncio.Future[None] = loop.create_future()
        """The socket is closed, and asyncio has said so."""
        self.heard = True
        """Something has arrived since this was last cleared."""
        self.answered = False
        """Something other than the welcome has arrived."""
        self.writable = True
        self._owner = owner
        self._greeting = greeting
        self._out_bytes_max = out_bytes_max
        self._connection = ClientConnection()
        self._transport: asyncio.Transport | None = None

    # --- what the session does -----------------------------------------------------------------------------------

    def send(self, messages: Sequence[Request]) -> None:
        """Raises FrameTooLarge, or what the encoder raises for text that is none; nothing is sent then."""
        assert self._transport is not None
        self._transport.write(self._connection.send(messages))

    def close(self, reason: PalimpsestError) -> None:
        """Ends the link once what was sent has left."""
        self._end(reason)
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: PalimpsestError) -> None:
        """Ends the link at once."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    async def wait_gone(self, seconds: float) -> None:
        """After `close`: returns once the socket is closed, which it is by force after `seconds`."""
        await asyncio.wait((self._gone,), timeout=seconds)
        if not self._gone.done() and self._transport is not None:
            self._transport.abort()
            await asyncio.wait((self._gone,), timeout=seconds)

    # --- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast and no check: uvloop's transports keep the interface without the base class.
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=self._out_bytes_max)
        client, token, agent, attempt = self._greeting
        transport.write(self._connection.hello(client, token=token, agent=agent, attempt=attempt))

    def data_received(self, data: bytes) -> None:
        self.heard = True
        try:
            messages = self._connection.receive_data(data)
        except ProtocolError as error:
            self._deliver(self._connection.take_salvaged())
            self.abort(error)
            return
        if messages:
            self._deliver(messages)

    def eof_received(self) -> bool:
        inside_frame = self._connection.receive_eof()
        where = " in the middle of a frame" if inside_frame else ""
        self._end(ConnectionLost(f"the server closed the connection{where}"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionLost(f"the connection broke: {exc}" if exc else "the connection was closed"))
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        self.writable = False
        self._owner.on_writable(False)

    def resume_writing(self) -> None:
        self.writable = True
        self._owner.on_writable(True)

    # --- inside --------------------------------------------------------------------------------------------------

    def _deliver(self, messages: list[Response]) -> None:
        """What comes first is the welcome, and what comes last may be a goodbye; the connection has seen to that."""
        if not messages or self.lost.done():
            return
        first, last = messages[0], messages[-1]
        if isinstance(first, Welcome):
            del messages[0]
            if not self.welcomed.done():
                self.welcomed.set_result(first)
        if messages and isinstance(last, Goodbye):
            messages.pop()
        if messages:
            self.answered = True
            self._owner.on_messages(messages)
        if isinstance(last, Goodbye):
            self.close(from_wire(last.code, last.message, last.data))

    def _end(self, reason: PalimpsestError) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
        if not self.welcomed.done():
            self.welcomed.set_exception(reason)
            self.welcomed.exception()  # it is no mistake of anybody's not to have waited for it


async def open_link(
    owner: LinkOwner,
    host: str,
    port: int,
    greeting: Greeting,
    *,
    seconds: float,
    out_bytes_max: int,
    tls: ssl.SSLContext | None = None,
) -> tuple[Link, Welcome]:
    """Connects and is welcomed. Raises LinkError, or what the server gave as its reason to refuse."""
    loop = asyncio.get_running_loop()
    link = Link(owner, greeting, out_bytes_max=out_bytes_max)
    try:
        async with asyncio.timeout(seconds):
            await loop.create_connection(lambda: link, host, port, ssl=tls)
            return link, await link.welcomed
    except TimeoutError:
        error = RequestTimeout(f"no welcome within {seconds:g} s", seconds=seconds)
        link.abort(error)
        raise error from None
    except OSError as error:
        raise ConnectionLost(str(error)) from error
    except asyncio.CancelledError:
        link.abort(ConnectionLost("connecting was cancelled"))
        raise
