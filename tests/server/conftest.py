"""A peer that speaks the protocol byte by byte over a real socket, so that it can also break it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from msgspec import Raw

from palimpsest import Server
from palimpsest.errors import PalimpsestError, from_wire
from palimpsest.protocol import messages as m
from palimpsest.protocol.connection import ClientConnection
from palimpsest.protocol.framing import encode_frames

sys.path.append(str(Path(__file__).parent))  # modules are imported one by one here, not from a package
pytest.register_assert_rewrite("feed_log_kit", "feed_readers_kit", "feed_writers_kit", "feed_campaign_kit")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Asyncio without its debug mode, which makes servers several times slower; the rooms below are tested with it."""
    return ("asyncio", {})


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


class RawPeer:
    """A socket, and what came over it. It reads only when it is asked to."""

    def __init__(self, client: str = "raw") -> None:
        self.client = client
        self.told: list[Any] = []
        """Messages that were read and not asked for yet."""
        self._connection = ClientConnection()
        self._next = 0
        self._socket: socket.socket

    async def connect(self, server: Server, *, receive_buffer_bytes: int | None = None) -> None:
        host, port = server.url.removeprefix("palimpsest://").split(":")
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        await asyncio.get_running_loop().sock_connect(self._socket, (host, int(port)))

    async def hello(self, *, attempt: int = 0) -> m.Welcome:
        await self.send_bytes(self._connection.hello(self.client, attempt=attempt))
        return await self.next(m.Welcome)

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def send(self, *messages: m.Message) -> None:
        await self.send_bytes(encode_frames(messages))

    async def read(self) -> bool:
        """Reads what there is, at least something. False at the end."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self._socket, 1 << 20)
        except ConnectionResetError:
            return False
        if not data:
            return False
        self.told += self._connection.receive_data(data)
        return True

    async def next(self, kind: type) -> Any:
        """The next message, which is of this kind."""
        while not self.told:
            assert await self.read(), f"the connection ended where a {kind.__name__} was due"
        message = self.told.pop(0)
        if isinstance(message, m.Failed | m.Goodbye) and kind not in (m.Failed, m.Goodbye):
            raise from_wire(message.code, message.message, message.data)
        assert isinstance(message, kind), message
        return message

    async def ask(self, kind: type, *arguments: Any, answer: type, **options: Any) -> Any:
        self._next += 1
        await self.send(kind(self._next, *arguments, **options))
        return await self.next(answer)

    async def end(self) -> PalimpsestError | None:
        """What the server said when it closed, once it has; whatever came before is in `told`."""
        while await self.read():
            pass
        if self.told and isinstance(self.told[-1], m.Goodbye):
            goodbye = self.told.pop()
            return from_wire(goodbye.code, goodbye.message, goodbye.data)
        return None

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self._socket.close()


@asynccontextmanager
async def _raw_peer(
    server: Server, client: str = "raw", *, greet: bool = True, receive_buffer_bytes: int | None = None
) -> AsyncIterator[RawPeer]:
    peer = RawPeer(client)
    with anyio.fail_after(20):
        await peer.connect(server, receive_buffer_bytes=receive_buffer_bytes)
        try:
            if greet:
                await peer.hello()
            yield peer
        finally:
            peer.close()


@pytest.fixture
def raw_peer() -> Callable[..., AbstractAsyncContextManager[RawPeer]]:
    """`async with raw_peer(server, "client id") as peer`: connected and, unless greet=False, welcomed."""
    return _raw_peer


@pytest.fixture(params=["memory", "sqlite"])
def make_server(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Server]:
    """Makes a server on either kind of store; options as `Server` takes them."""

    def make(**options: Any) -> Server:
        return Server.memory(**options) if request.param == "memory" else Server(tmp_path / "state.db", **options)

    return make


@pytest.fixture
def new_peer() -> Iterator[Callable[..., RawPeer]]:
    """`new_peer("client id")`: to be connected and welcomed by hand, and closed when the test ends."""
    peers: list[RawPeer] = []

    def new(client: str = "raw") -> RawPeer:
        peers.append(RawPeer(client))
        return peers[-1]

    yield new
    for peer in peers:
        peer.close()
