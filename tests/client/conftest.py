"""A scripted server: the protocol over real sockets, documents in a dict, and trouble at chosen moments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from msgspec import Raw

from palimpsest.client import Client, connect
from palimpsest.errors import Compacted, DocumentNotFound, PalimpsestError
from palimpsest.protocol import messages as m
from palimpsest.protocol.connection import ServerConnection
from palimpsest.protocol.cursor import decode_cursor, encode_cursor
from palimpsest.protocol.framing import encode_message

EPOCH = "0123456789abcdef"
AT = 1_600_000_000_000_000
NO_DELTA = Raw(b"\x90")


class Peer(asyncio.Protocol):
    """One connection of the scripted server."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.connection = ServerConnection()
        self.number = 0
        self.client = ""
        self.frames: list[list[Any]] = []
        """What each read from the socket held."""
        self.subscriptions: dict[int, Feed] = {}
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.peers.append(self)
        self.number = len(self.server.peers)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.lost(self)

    def data_received(self, data: bytes) -> None:
        messages = self.connection.receive_data(data)
        if messages:
            self.frames.append(messages)
        for message in messages:
            self.server.received.append(message)
            if self.transport.is_closing() or self.server.trouble(self, message):
                continue
            self.server.answer(self, message)
        self.server.look()

    def send(self, *messages: Any) -> None:
        self.transport.write(self.connection.send(messages))

    def cut(self) -> None:
        self.transport.abort()


class Feed:
    """One subscription: where it is, and what it may still be sent."""

    def __init__(self, message: m.Subscribe, position: int) -> None:
        self.message = message
        self.position = position
        self.credit_bytes = message.credit_bytes
        self.showing = message.snapshot
        """Changes wait until the snapshot is through."""


class ScriptedServer:
    """trouble: asked before each message is answered; True means that it has been seen to."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.received: list[Any] = []
        self.limits: dict[str, int] = {}
        self.trouble: Callable[[Peer, Any], bool] = lambda peer, message: False
        self.replies: dict[type, Callable[[Any], Any]] = {}
        """By the type of a request, what gives the answer, or raises the error, where this server has no answer of its own."""
        self.versions: dict[str, int] = {}
        self.applied: dict[tuple[str, int], m.Committed] = {}
        """By client id and request id; a repeat gets the first answer."""
        self.log: list[m.Change] = []
        self.there: dict[str, int] = {}
        """The documents that a snapshot shows, and their versions."""
        self.oldest = 0
        """A cursor before this position is of no use any more."""
        self.interrupt: Callable[[Peer, str], bool] = lambda peer, document: False
        """Asked after each document of a snapshot that is shown; True ends it there."""
        self.url = ""
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._listener: asyncio.Server

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Peer(self), "127.0.0.1", 0)
        self.url = f"palimpsest://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._listener.close()
        for peer in self.peers:
            peer.cut()
        await self.until(lambda: all(peer.transport.is_closing() for peer in self.peers))

    async def until(self, happened: Callable[[], bool]) -> None:
        """Returns once `happened`, which is asked whenever a message has come or a connection has gone."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((happened, future))
        self.look()
        async with asyncio.timeout(5):
            await future

    def writes(self) -> list[Any]:
        return [message for message in self.received if isinstance(message, m.Update)]

    # --- answers -------------------------------------------------------------------------------------------------

    def answer(self, peer: Peer, message: Any) -> None:
        reply = self.replies.get(type(message))
        try:
            if reply is not None:
                peer.send(reply(message))
            else:
                getattr(self, f"_on_{type(message).__name__.lower()}")(peer, message)
        except PalimpsestError as error:
            peer.send(m.Failed(message.id, *error.to_wire()))

    def lost(self, peer: Peer) -> None:
        self.look()

    def _on_hello(self, peer: Peer, message: m.Hello) -> None:
        peer.client = message.client
        peer.send(m.Welcome(1, EPOCH, (), self.limits, "scripted"))

    def _on_ping(self, peer: Peer, message: m.Ping) -> None:
        peer.send(m.Pong(message.id))

    def _on_update(self, peer: Peer, message: m.Update) -> None:
        peer.send(self.apply(peer.client, message))

    def apply(self, client: str, message: m.Update) -> m.Committed:
        """As a server does: a repeat is looked up, anything else is applied."""
        known = self.applied.get((client, message.id))
        if known is not None and message.repeat:
            return m.Committed(message.id, known.version, known.at, True)
        version = self.versions[message.document] = self.versions.get(message.document, 0) + 1
        answer = self.applied[client, message.id] = m.Committed(message.id, version, AT)
        self.publish(message.document, version, message.delta)
        return answer

    def publish(self, document: str, version: int, delta: Raw = NO_DELTA, *, more: int = 0, at: int = AT) -> None:
        position = len(self.log) + 1
        self.log.append(m.Change((), position, document, "main", version, 1, at, delta, None, more))
        for peer in self.peers:
            if not peer.transport.is_closing():
                self.feed(peer)

    def compact(self) -> None:
        """All that was published is not kept any more."""
        self.log.extend([self.log[-1]] if self.log else [m.Change((), 1, "other", "main", 1, 1, AT, NO_DELTA)])
        self.oldest = len(self.log)

    def feed(self, peer: Peer) -> None:
        """Sends each subscription what it may have."""
        for number, feed in peer.subscriptions.items():
            while not feed.showing and feed.credit_bytes > 0 and feed.position < len(self.log):
                change = self.log[feed.position]
                feed.position += 1
                sent = m.Change((number,), *[getattr(change, name) for name in change.__struct_fields__[1:]])
                feed.credit_bytes -= len(encode_message(sent))
                peer.send(sent)

    def _on_get(self, peer: Peer, message: m.Get) -> None:
        version = self.versions.get(message.document)
        if version is None:
            raise DocumentNotFound("none", document=message.document, branch="main", version=None)
        peer.send(m.Document(message.id, message.document, "main", version, 1, AT, Raw(b"\x80")))

    def _on_subscribe(self, peer: Peer, message: m.Subscribe) -> None:
        position = len(self.log) if message.resume_after is None else decode_cursor(message.resume_after)[1]
        if message.resume_after is not None and position < self.oldest:
            raise Compacted("gone", cursor=message.resume_after, oldest=encode_cursor(EPOCH, self.oldest))
        peer.subscriptions[message.subscription] = Feed(message, position)
        peer.send(m.Subscribed(message.id, message.subscription, encode_cursor(EPOCH, position)))
        if message.snapshot:
            self._show(peer, message.subscription)
        self.feed(peer)

    def _show(self, peer: Peer, number: int) -> None:
        position = len(self.log)
        for document, version in list(self.there.items()):
            shown = (number,), position, document, "main", version, 1, AT, NO_DELTA, None, 0, Raw(b"\x07"), None, True
            peer.send(m.Change(*shown))
            if self.interrupt(peer, document):
                return
        peer.subscriptions[number].showing = False
        for state in ("current", "live"):
            self.mark(peer, number, state, position)

    def mark(self, peer: Peer, number: int, state: str, position: int) -> None:
        peer.send(m.Marker(number, state, encode_cursor(EPOCH, position)))

    def _on_credit(self, peer: Peer, message: m.Credit) -> None:
        peer.subscriptions[message.subscription].credit_bytes += message.credit_bytes
        self.feed(peer)

    def _on_unsubscribe(self, peer: Peer, message: m.Unsubscribe) -> None:
        if peer.subscriptions.pop(message.subscription, None) is not None:
            peer.send(m.Ended(message.subscription, "", "", {}))

    def look(self) -> None:
        for happened, future in self._waiting:
            if not future.done() and happened():
                future.set_result(None)


@pytest.fixture
async def scripted(anyio_backend: object) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def reach(scripted: ScriptedServer) -> Callable[..., Client]:
    """Connects to the scripted server, with settings that do not wait."""

    def connected(**options: Any) -> Client:
        quick: dict[str, Any] = {"backoff_seconds_min": 0.001, "backoff_seconds_max": 0.002, "timeout_seconds": 5.0}
        return connect(scripted.url, **(quick | options))

    return connected
