"""The gateway's life: its socket, its callers, and the order in which they come and go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import anyio
import uvicorn

from palimpsest.client import Client, connect
from palimpsest.client.tracing import PassedOn
from palimpsest.errors import InvalidRequest, PalimpsestError, Unauthenticated
from palimpsest.limits import HttpLimits
from palimpsest.logs import get_logger
from palimpsest.server import TlsFiles
from palimpsest.web.app import make_app
from palimpsest.web.callers import Callers
from palimpsest.web.heads import bounded_protocol
from palimpsest.web.services import Services

log = get_logger("palimpsest.web")


class Gateway:
    """HTTP for the server at url, for as long as its `async with` block lasts; `url` is where it is then.

    host, port: where it listens; port 0 is any free one. tls: it speaks HTTPS. ca, client_tls: as `ca` and `tls` of `palimpsest.connect`, for the way
    to the server. is_ready: None, or why the server is not ready; without it, the server is said hello to.

    Whoever has no token is let in from this machine alone, and only where the server lets whoever has none in. names: of this
    gateway, beside its host and those of this machine: a browser that comes by another name was led here by someone else's
    page, and is turned away.

    Entering raises OSError where the address cannot be had.
    """

    def __init__(
        self,
        url: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | TlsFiles | None = None,
        names: Sequence[str] = (),
        limits: HttpLimits | None = None,
        ca: str | os.PathLike[str] | None = None,
        client_tls: ssl.SSLContext | None = None,
        is_ready: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        self.limits = limits or HttpLimits()
        self.names = frozenset({host, *names})
        self._server_url = url
        self._host, self._port = host, port
        self._tls = tls.context() if isinstance(tls, TlsFiles) else tls
        self._ca, self._client_tls = ca, client_tls
        self._is_ready = is_ready or self._says_hello
        self._exits = AsyncExitStack()
        self._callers: Callers
        self._services: Services

    @property
    def url(self) -> str:
        """Once the block is entered."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            callers = self._callers = Callers(self._connect, self.limits.callers_max, self.limits.openings_max)
            exits.push_async_callback(callers.close)
            readiness = _Together(self._is_ready)
            exits.push_async_callback(readiness.close)
            services = self._services = Services(self.limits, readiness)
            services.is_somebody = self._client_tls is not None
            app = make_app(services, callers, self.names)
            listening = await _bind(self._host, self._port)
            self._port = listening.getsockname()[1]
            await exits.enter_async_context(_served(self._config(app), listening, services))
            self._exits = exits.pop_all()
        log.info("http", url=self.url, server=self._server_url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._exits.__aexit__(None, None, None)

    def statistics(self) -> dict[str, int]:
        """Once the block is entered. callers: whose connection to the server is kept; opening: of these, that are being opened; uses: requests
        and streams under way that have one; body_bytes: held for them."""
        return self._callers.statistics() | {"body_bytes": self._services.bodies.held_bytes}

    def _connect(self, token: str | None) -> Client:
        return connect(
            self._server_url,
            token=token,
            ca=self._ca,
            tls=self._client_tls,
            connect_seconds=0,
            tracing=PassedOn(),
            credit_bytes=self.limits.event_queue_bytes_max,
        )

    async def _says_hello(self) -> str | None:
        try:
            async with self._connect(None):
                return None
        except Unauthenticated:
            return None  # it is there, and wants a token
        except PalimpsestError as error:
            return error.message

    def _config(self, app: Any) -> uvicorn.Config:
        config = uvicorn.Config(
            app,
            http=bounded_protocol(self.limits.head_bytes_max, self.limits.head_seconds),
            log_config=None,
            log_level="warning",  # that it starts and stops is told by us
            access_log=False,
            lifespan="off",
            interface="asgi3",
            ws="none",
            proxy_headers=False,  # anybody may write them; who asks is known by a token
            server_header=False,
            limit_concurrency=self.limits.connections_max + 1,  # it refuses from so many on
            timeout_graceful_shutdown=max(1, round(self.limits.shutdown_seconds)),
        )
        config.load()
        config.ssl = self._tls
        return config


class _Together:
    """A question that is asked once for all who ask meanwhile, however many they are."""

    def __init__(self, ask: Callable[[], Awaitable[str | None]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[str | None] | None = None

    async def __call__(self) -> str | None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answer())
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))

    async def _answer(self) -> str | None:
        return await self._ask()


class _Quiet(uvicorn.Server):
    """Signals belong to the process that embeds it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def _served(config: uvicorn.Config, listening: socket.socket, services: Services) -> AsyncIterator[None]:
    server = _Quiet(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup([listening])
    ticking = asyncio.create_task(server.main_loop(), name="palimpsest.web")
    try:
        yield
    finally:
        services.closing.set()
        server.should_exit = True
        with anyio.CancelScope(shield=True):
            await server.shutdown([listening])
            await ticking
            for connection in list(server.server_state.connections):
                connection.transport.abort()  # its peer does not take what it was sent


async def _bind(host: str, port: int) -> socket.socket:
    """Raises InvalidRequest for a host that is nothing at all, and OSError where the address cannot be had."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise InvalidRequest(f"{host!r} is no address to listen on: {error.strerror}", reason="host") from error
    family, _, _, _, address = found[0]
    # Special case: asyncio sends small answers at once only where the socket says that it speaks TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
