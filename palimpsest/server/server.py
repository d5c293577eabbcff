"""The server: who owns the store, the sockets and the tasks, and in which order they come and go."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import anyio
import anyio.abc

from palimpsest.actors.partition import Partition
from palimpsest.actors.proof import Kept, Progress, Verdict, verify
from palimpsest.clock import Clock, SystemClock
from palimpsest.errors import (
    Conflict,
    InvalidRequest,
    PalimpsestError,
    ServerClosing,
    StoreCorrupt,
    StoreLocked,
    TooManyConnections,
)
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol.framing import join_frames
from palimpsest.protocol.messages import Observe, Observed
from palimpsest.server.access import Access
from palimpsest.server.addresses import is_loopback
from palimpsest.server.archiving import ArchiverProcess
from palimpsest.server.observing import observe
from palimpsest.server.session import Session
from palimpsest.server.tls import ReloadableTls, TlsFiles
from palimpsest.server.traffic import Traffic
from palimpsest.state.rules import Resolver
from palimpsest.storage.backup import back_up
from palimpsest.storage.contracts import Archive, Journal
from palimpsest.storage.memory import MemoryArchive, MemoryJournal
from palimpsest.storage.sqlite_archive import SqliteArchive, archive_path
from palimpsest.storage.sqlite_journal import SqliteJournal

log = get_logger("palimpsest.server")

ArchiverPlace = Literal["inline", "process"]
_SILENCE_CHECK_SECONDS = 1.0
_ARCHIVER_LEAVES_SECONDS = 10.0
"""How long an archiver whose server was killed may take to notice."""


class Server:
    """A store and the server on it, for as long as its `async with` block lasts.

    path: the store's file, made where it does not exist; its archive and its lock lie beside it. port: 0 for any free one.
    archiver: "inline" archives in this process, "process" in one of its own, as is right beside a busy server.
    snapshot_versions: how many versions apart the archive keeps whole values. resolvers: functions that rules of merges call by name: from a
    `Conflict` to the value for its place, or ABSENT for none, or CONFLICT where they do not decide; called on the event loop, so to be quick.

    tls: connections are encrypted; where clients are asked for certificates, these can stand in for tokens. Without any token in the
    store the server is open to all who reach it, and listens on loopback only.

    Entering raises InvalidRequest where it would be open to other machines, StoreLocked, SchemaTooNew, StoreCorrupt, or OSError where the address cannot be had. Leaving stops
    accepting, finishes and answers what was accepted, and closes; it raises the StorageError that made the server stop, if
    one did.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        clock: Clock | None = None,
        archiver: ArchiverPlace = "inline",
        snapshot_versions: int = 128,
        resolvers: Mapping[str, Resolver] | None = None,
        tls: ssl.SSLContext | TlsFiles | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.clock = clock or SystemClock()
        self.agent = f"palimpsest/{version('palimpsest')}"
        self.partition: Partition
        self.access: Access
        self._path = None if path is None else os.fspath(path)
        self._reloadable_tls: ReloadableTls | None = None
        if isinstance(tls, TlsFiles):
            self._reloadable_tls = ReloadableTls(tls)
            tls = self._reloadable_tls.context
        self._tls = tls
        self._host, self._port = host, port
        self._archiver_place = archiver
        self._archiver: ArchiverProcess | None = None
        self._snapshot_versions = snapshot_versions
        self._resolvers = dict(resolvers or {})
        self.traffic = Traffic()
        self._started_at = 0
        self._sessions: set[Session] = set()
        self._by_client: dict[str, Session] = {}
        self._to_flush: list[Session] = []
        self._flush_scheduled = False
        self._framed = (b"", b"")
        self._loop: asyncio.AbstractEventLoop
        self._tasks: anyio.abc.TaskGroup
        self._exits = AsyncExitStack()
        self._entered = False
        self._closing = False
        self._stop = asyncio.Event()
        self._fatal: BaseException | None = None

    @classmethod
    def memory(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        clock: Clock | None = None,
        snapshot_versions: int = 128,
        resolvers: Mapping[str, Resolver] | None = None,
        tls: ssl.SSLContext | TlsFiles | None = None,
    ) -> Self:
        """A server whose store is in memory, and gone when the block is left."""
        return cls(
            None,
            host=host,
            port=port,
            limits=limits,
            clock=clock,
            snapshot_versions=snapshot_versions,
            resolvers=resolvers,
            tls=tls,
        )

    @property
    def url(self) -> str:
        """Where clients connect to, once the block is entered."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'palimpsest' if self._tls is None else 'palimpsests'}://{host}:{self._port}"

    @property
    def epoch(self) -> str:
        """Of the journal."""
        return self.partition.journal.epoch

    # --- coming and going ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._entered:
            raise InvalidRequest("a Server is entered once; make another one on the same path", reason="entered twice")
        self._entered = True
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as exits:
            journal, archive = self._stores()
            end = await journal.open()
            exits.push_async_callback(_close, journal)
            await self._open_archive(exits, journal, archive)
            self._tasks = await self._start_tasks(exits)
            self.partition = Partition(
                journal,
                archive,
                end,
                self.limits,
                inline_archiver=self._archiver_place == "inline" or self._path is None,
                snapshot_versions=self._snapshot_versions,
                now=self.clock.now,
                monotonic=self.clock.monotonic,
                resolvers=self._resolvers,
            )
            self._started_at = self.clock.now()
            self.partition.observe = self.observed
            if self._path is not None:
                self.partition.errands.save = self._back_up
            self.partition.on_flush = self._flush
            self.partition.on_fatal = self._on_fatal
            try:
                await self.partition.start(self._tasks)
            except StoreCorrupt as error:
                raise StoreCorrupt(error.message, path=self._path or "memory", reason=error.reason) from error
            if self._archiver_place == "process" and self._path is not None:
                process = self._archiver = ArchiverProcess(self._path, self.partition.archived, self._snapshot_versions)
                self.partition.on_commit = process.poke
                await self._tasks.start(process.run)
            await self._start_access()
            listener = await self._loop.create_server(
                lambda: Session(self),
                self._host,
                self._port,
                backlog=1024,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else self.limits.hello_seconds,
            )
            exits.push_async_callback(self._shut_down, listener)
            self._port = listener.sockets[0].getsockname()[1]
            self._tasks.start_soon(self._watch_silence)
            self._exits = exits.pop_all()
        log.info("listening", url=self.url, store=self._path, next_position=end.next)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(None, None, None)
        log.info("stopped", store=self._path)
        if self._fatal is not None and error is None:
            raise self._fatal

    def stop(self) -> None:
        """Makes `wait` return. May be called from a signal handler of the event loop."""
        self._stop.set()

    async def wait(self) -> None:
        """Returns when `stop` was called, or when the store can no longer be written to."""
        await self._stop.wait()

    def reload_tls(self) -> None:
        """Reads the files for TLS again, for the connections that come from now on; those that are there stay as they are.

        Raises InvalidRequest where they cannot be used, and those that were read before stay; and where the server was given none.
        """
        if self._reloadable_tls is None:
            raise InvalidRequest("the server was not given the files for TLS (TlsFiles)", reason="tls")
        self._reloadable_tls.reload()

    async def verify(
        self, *, against: Iterable[Kept] = (), progress: Progress | None = None, values: bool = True
    ) -> Verdict:
        """As `palimpsest.verify`, of the store that is served here, which may be in memory; all that is durable is archived
        first."""
        await self.partition.settled()
        partition = self.partition
        return await verify(partition.archive, partition.journal, progress=progress, against=against, values=values)

    async def _start_access(self) -> None:
        """Raises InvalidRequest where everybody on the network could do everything."""
        is_local = await is_loopback(self._host)
        self.access = Access(self.partition, self.clock, is_local=is_local, principal_of=self._principal_of)
        if self.access.is_open:
            if not is_local:
                raise InvalidRequest(
                    f"the store has no token, and {self._host!r} can be reached from other machines: whoever does could do "
                    "everything. Serve it on 127.0.0.1 first, and make a token there",
                    reason="no token",
                )
            log.info("open", reason="there is no token: whoever reaches this server may do everything")
        self._tasks.start_soon(self.access.audit.run)

    def _principal_of(self, client: str) -> str:
        session = self._by_client.get(client)
        return "" if session is None else session.principal

    async def _start_tasks(self, exits: AsyncExitStack) -> anyio.abc.TaskGroup:
        """A task group with a task of its own around it: whoever is cancelled in the server's block does not cancel what has
        to make the accepted durable, and what raises while the block is entered comes out as it is."""
        started: asyncio.Future[anyio.abc.TaskGroup] = self._loop.create_future()

        async def host() -> None:
            try:
                async with anyio.create_task_group() as tasks:
                    started.set_result(tasks)
                    await anyio.sleep_forever()
            except BaseExceptionGroup as group:
                self._on_fatal(group.exceptions[0])

        hosting = asyncio.create_task(host(), name="palimpsest.server")

        async def end() -> None:
            started.result().cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([hosting])

        tasks = await started
        exits.push_async_callback(end)
        return tasks

    def _stores(self) -> tuple[Journal, Archive]:
        if self._path is None:
            return MemoryJournal(), MemoryArchive()
        writer = self._archiver_place == "inline"
        return SqliteJournal(self._path), SqliteArchive(self._path, writer=writer)

    async def _open_archive(self, exits: AsyncExitStack, journal: Journal, archive: Archive) -> None:
        if self._archiver_place == "process" and self._path is not None:
            maker = SqliteArchive(self._path)  # makes or migrates it; the archiver is not there yet
            await self._open_after_archiver(maker, journal.epoch)
            await maker.close()
            await archive.open(epoch=journal.epoch)
        else:
            await self._open_after_archiver(archive, journal.epoch)
        exits.push_async_callback(_close, archive)

    async def _open_after_archiver(self, archive: Archive, epoch: str) -> None:
        """The store is ours, so that whoever still has its archive is the archiver of a server that was killed, and is about
        to end."""
        deadline = anyio.current_time() + _ARCHIVER_LEAVES_SECONDS
        while True:
            try:
                await archive.open(epoch=epoch)
                return
            except StoreLocked:
                if anyio.current_time() >= deadline:
                    raise
            await anyio.sleep(0.02)

    async def _back_up(self, target: str, progress: Callable[[int, int], None]) -> tuple[int, int]:
        assert self._path is not None
        saved = await back_up(Path(self._path), archive_path(self._path), Path(target), progress=progress)
        log.info("backed_up", path=target, position=saved.position, bytes=saved.bytes)
        return saved.position, saved.bytes

    async def _shut_down(self, listener: asyncio.Server) -> None:
        """Graceful: nobody new, then what was accepted, then goodbye. Bounded by shutdown_seconds."""
        self._closing = True
        listener.close()
        for session in self._sessions:
            session.stop_listening()
        deadline = anyio.current_time() + self.limits.shutdown_seconds
        with anyio.CancelScope(deadline=deadline, shield=True):
            if self._fatal is None:
                await self.access.audit.flush()
                await self.partition.quiet()
        closing = ServerClosing("the server is shutting down")
        self.partition.close(closing)
        for session in list(self._sessions):
            session.close(closing)
        with anyio.CancelScope(deadline=deadline, shield=True):
            while self._sessions:
                await anyio.sleep(0.005)
        for session in list(self._sessions):
            session.abort()

    def _on_fatal(self, error: BaseException) -> None:
        """Nothing can be written any more: everyone hears, and the server stops."""
        log.critical("store_failed", error=str(error), exc_info=error)
        self._fatal = error
        self._closing = True
        self._stop.set()
        reason = error if isinstance(error, PalimpsestError) else ServerClosing("the server failed; see its log")
        self.partition.close(reason)
        for session in list(self._sessions):
            session.close(reason)

    # --- sessions ------------------------------------------------------------------------------------------------

    def add_session(self, session: Session) -> PalimpsestError | None:
        """Why the session is not wanted, if it is not."""
        if self._closing:
            return ServerClosing("the server is shutting down")
        maximum = self.limits.connections_max
        if len(self._sessions) >= maximum:
            return TooManyConnections(f"{maximum} connections are open", maximum=maximum)
        self._sessions.add(session)
        self.traffic.accepted += 1
        return None

    def remove_session(self, session: Session) -> None:
        self._sessions.discard(session)
        self.access.leave(session)
        if self._by_client.get(session.client) is session:
            del self._by_client[session.client]
        self.partition.feed.forget(session)

    def take_client(self, session: Session, principal: str) -> None:
        """The newest connection of a client id is the one that counts: what an older one still sends was sent again here,
        so it is not to be read any more. Raises Conflict where the other one is another principal's, or of a later attempt: then this
        hello was delayed on its way.

        Attempts are forgotten with their connection. A hello that comes after the end of the one that overtook it ends nothing, as there is
        nothing to end, and has nothing behind it, as requests wait for the welcome; the client's next attempt takes its place.
        """
        client = session.client
        older = self._by_client.get(client)
        if older is not None:
            if older.principal != principal:
                raise Conflict("another connection has the same client id")
            if 0 < session.attempt < older.attempt:
                raise Conflict(
                    f"a newer connection has the same client id: this hello is of attempt {session.attempt}, that one of {older.attempt}"
                )
        self._by_client[client] = session
        if older is not None and older is not session:
            log.info("connection_replaced", client=client)
            self.access.leave(older)
            older.close(Conflict("a newer connection has the same client id"))

    def frame(self, encoded: bytes, frame_bytes_max: int) -> bytes:
        """The frame of one encoded message. The last one is kept: a change to one document goes to many connections."""
        if encoded is not self._framed[0]:
            self._framed = (encoded, join_frames([encoded], frame_bytes_max=frame_bytes_max))
        return self._framed[1]

    def flush_soon(self, session: Session) -> None:
        """session has something to say; it is written at the end of this commit or of this tick."""
        self._to_flush.append(session)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        sessions, self._to_flush = self._to_flush, []
        for session in sessions:
            session.flush()

    async def _watch_silence(self) -> None:
        while True:
            await anyio.sleep(_SILENCE_CHECK_SECONDS)
            now = self.clock.monotonic()
            for session in list(self._sessions):
                session.check_time(now)

    # --- what an operator sees -----------------------------------------------------------------------------------

    @property
    def path(self) -> str | None:
        """The store's file; None: it is in memory."""
        return self._path

    @property
    def sessions(self) -> Collection[Session]:
        return self._sessions

    @property
    def closing(self) -> bool:
        """Nobody new is served."""
        return self._closing

    @property
    def archiver_is_alive(self) -> bool:
        """One that archives in this process is, as long as the server is."""
        return self._archiver is None or self._archiver.is_alive

    async def observed(self, message: Observe) -> Observed:
        """The answer to an `Observe`."""
        return await observe(self, message, self._started_at)

    def statistics(self) -> dict[str, int]:
        """Counts and sizes of this server, by name."""
        restarts = self._archiver.restarts if self._archiver is not None else 0
        return {"connections": len(self._sessions), "archiver_restarts": restarts, **self.partition.statistics()}


async def _close(store: Journal | Archive) -> None:
    """Also where whoever leaves the block is being cancelled."""
    with anyio.CancelScope(shield=True):
        await store.close()
