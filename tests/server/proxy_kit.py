"""A proxy of TCP connections that gives trouble: by chance, and by the same chance again for the same seed.

One proxy stands before the connections of one client, which comes back after each that was lost. How a connection's bytes are passed on
and how the connection ends are two things, chosen for each connection by itself.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Any, Self

_READ_BYTES = 16 * 1024
_PIECES_MAX = 12
_LATE_SECONDS_MAX = 0.5
_KEPT_SECONDS_MAX = 0.05
_CLOSE_SECONDS_MAX = 0.5
_HEADER_BYTES = 4
_GREETING_BYTES_MAX = 1024
"""What a hello and a welcome take together."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Manner(Enum):
    """How bytes are passed on."""

    PLAIN = "plain"
    CHOPPED = "chopped"
    """In pieces of any size, some of them joined with what comes after."""
    DELAYED = "delayed"
    """Each later than it came, and what comes meanwhile later, too."""
    CLOGGED = "clogged"
    """Now and then nothing is read from the server for a while, so that its buffers fill up."""
    DOUBLED = "doubled"
    """The client's hello goes over a connection that nobody reads from first, so that the one that counts takes its place."""


class End(Enum):
    """How a connection ends that has carried a number of bytes."""

    NONE = "none"
    """It does not."""
    CUT = "cut"
    """At once, most often in the middle of a frame."""
    STALLED = "stalled"
    """Bytes are taken and not passed on, in both directions, until the client has had enough."""
    KEPT = "kept"
    """To the client it is cut, to the server it is still there; what the client had sent last arrives there after the client's next
    connection has begun to speak, or a moment later."""


class Proxy:
    """An async context manager. bytes_mean: how much a connection carries before it ends; ends: how those do that end, one as likely
    as the other. seen: how often there was what."""

    def __init__(
        self,
        server_port: Callable[[], int],
        chance: random.Random,
        *,
        bytes_mean: int,
        manners: tuple[Manner, ...] = tuple(Manner),
        ends: tuple[End, ...] = (End.CUT, End.STALLED, End.KEPT),
        clog_seconds: float = 0.2,
    ) -> None:
        self.seen: Counter[Manner | End] = Counter()
        self.is_calm = False
        """Whether connections that come get no trouble."""
        self.port = 0
        self.chance = chance
        self.server_port = server_port
        self.bytes_mean = bytes_mean
        self.clog_seconds = clog_seconds
        self._manners = manners
        self._ends = ends
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: list[asyncio.Event] = []
        """Each lets go of bytes that were kept."""
        self._listener: asyncio.Server

    @property
    def url(self) -> str:
        return f"palimpsest://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_READ_BYTES)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        await self.cut_all()

    async def cut_all(self) -> None:
        """Ends every connection."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    async def calm(self) -> None:
        """Ends every connection, and gives no trouble to those that come."""
        self.is_calm = True
        await self.cut_all()

    # --- for its connections -------------------------------------------------------------------------------------

    def fate(self) -> tuple[Manner, End]:
        if self.is_calm:
            return Manner.PLAIN, End.NONE
        manner, end = self.chance.choice(self._manners), self.chance.choice(self._ends)
        self.seen[manner] += 1
        return manner, end

    def start(self, work: Coroutine[Any, Any, None], writer: asyncio.StreamWriter) -> asyncio.Task[None]:
        """A task that ends with the proxy at the latest, also before it has begun; writer: of a connection that ends with it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.transport.abort())
        return task

    def spoke(self) -> None:
        """A connection has passed on something of what its client said."""
        for event in self._late:
            event.set()

    async def deliver_late(self, streams: Streams, kept: bytes) -> None:
        """To the server, what was kept of a connection that the client has given up."""
        event = asyncio.Event()
        self._late.append(event)
        try:
            with suppress(OSError):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LATE_SECONDS_MAX):
                        await event.wait()
                await asyncio.sleep(self.chance.random() * 0.01)
                streams[1].write(kept)
                await _swallow(streams[0])
        finally:
            self._late.remove(event)
            await _close(streams[1])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._listener.is_serving():
            self.start(_Connection(self, (reader, writer)).carry(), writer)
        else:
            writer.transport.abort()


class _Way:
    """One direction of a connection."""

    def __init__(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_up: bool) -> None:
        self.source = source
        self.target = target
        self.is_up = is_up
        self.pending = b""
        """What was read and not passed on yet."""

    async def pass_on(self, size: int) -> None:
        """So many bytes of what is pending."""
        piece, self.pending = self.pending[:size], self.pending[size:]
        self.target.write(piece)
        await self.target.drain()


class _Connection:
    def __init__(self, proxy: Proxy, client: Streams) -> None:
        self._proxy = proxy
        self._chance = proxy.chance
        self._client = client
        self._server: Streams
        self._up: _Way
        self._manner, self._end = proxy.fate()
        self._left_bytes = round(self._chance.expovariate(1 / proxy.bytes_mean))
        """How much it still carries before it ends."""
        if self._end is End.KEPT:  # a hello that came late would be that of the newer connection
            self._left_bytes += _GREETING_BYTES_MAX

    async def carry(self) -> None:
        """Until one side has closed it, or it has ended as it was to."""
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                self._server = await self._connect()
                await self._carry_to(self._server)
        finally:
            await _close(self._client[1])

    async def _connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self._proxy.server_port(), limit=_READ_BYTES)

    async def _carry_to(self, server: Streams) -> None:
        handed_over = False
        try:
            if self._manner is Manner.DOUBLED:
                await self._double()
            if await self._pass_both():
                handed_over = await self._finish()
        finally:
            if not handed_over:
                await _close(server[1])

    async def _double(self) -> None:
        """Says the client's hello over a connection before this one, which stays there until the server closes it."""
        header = await self._client[0].readexactly(_HEADER_BYTES)
        hello = header + await self._client[0].readexactly(int.from_bytes(header, "big"))
        reader, writer = await self._connect()
        writer.write(hello)
        try:
            await reader.read(1)
        finally:
            self._proxy.start(_swallow_and_close(reader, writer), writer)
        self._server[1].write(hello)

    async def _pass_both(self) -> bool:
        """Until one side has closed, which is passed on, or it is to end otherwise, which is True."""
        self._up = _Way(self._client[0], self._server[1], is_up=True)
        down = _Way(self._server[0], self._client[1], is_up=False)
        passing = [asyncio.ensure_future(self._pass(way)) for way in (self._up, down)]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in passing:
                task.cancel()
            await asyncio.wait(passing)
        return any(not task.cancelled() and task.exception() is None and task.result() for task in passing)

    async def _pass(self, way: _Way) -> bool:
        """False when the source has closed, True once the connection has carried what it was to."""
        while await self._read(way):
            size = len(way.pending)
            if self._end is not End.NONE and size >= self._left_bytes:
                await way.pass_on(self._left_bytes)
                return True
            self._left_bytes -= size
            for piece_bytes in self._pieces(size):
                await way.pass_on(piece_bytes)
                await asyncio.sleep(0)
            if way.is_up:
                self._proxy.spoke()
        return False

    async def _read(self, way: _Way) -> bool:
        way.pending = await way.source.read(_READ_BYTES)
        chance = self._chance.random()
        if self._manner is Manner.DELAYED:
            await asyncio.sleep(chance * 0.01)
        elif self._manner is Manner.CLOGGED and not way.is_up and chance < 0.05:
            await asyncio.sleep(self._proxy.clog_seconds)
        elif self._manner is Manner.CHOPPED and way.pending and chance < 0.5:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.002):
                    way.pending += await way.source.read(_READ_BYTES)
        return bool(way.pending)

    def _pieces(self, size: int) -> list[int]:
        """Sizes that make it up."""
        if self._manner is not Manner.CHOPPED:
            return [size]
        places = sorted(self._chance.randrange(size) for _ in range(self._chance.randrange(_PIECES_MAX)))
        return [end - start for start, end in zip([0, *places], [*places, size], strict=True) if start < end]

    async def _finish(self) -> bool:
        """Whether the connection to the server is another's now."""
        self._proxy.seen[self._end] += 1
        if self._end is End.STALLED:
            swallowing = self._proxy.start(_swallow(self._server[0]), self._server[1])
            await _swallow(self._client[0])
            swallowing.cancel()
        elif self._end is End.KEPT:
            kept = self._up.pending
            with suppress(TimeoutError):
                async with asyncio.timeout(_KEPT_SECONDS_MAX):
                    kept += await self._client[0].read(_READ_BYTES)
            self._proxy.start(self._proxy.deliver_late(self._server, kept), self._server[1])
            self._client[1].transport.abort()
            return True
        else:
            self._client[1].transport.abort()
        return False


async def _swallow(reader: asyncio.StreamReader) -> None:
    """Until the other side has closed."""
    with suppress(OSError):
        while await reader.read(_READ_BYTES):
            pass


async def _swallow_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await _swallow(reader)
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    """What was written leaves, if it is taken within a moment."""
    writer.close()
    try:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS_MAX):
                await writer.wait_closed()
    finally:
        writer.transport.abort()
