"""One journal, one archive, and the actors over them: everything that a message from a client can reach.

This is where the pieces of the room are joined. It is handed open stores and a task group, and knows no implementation of
either; whoever made the stores closes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import anyio
import anyio.abc

from palimpsest.actors.archiver import PAUSE_SECONDS, STEP_BYTES, Archiver, is_large, pause_seconds
from palimpsest.actors.committer import Asker, Committer, Entry
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.feed import Feed, Subscriber
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Job, Registry
from palimpsest.actors.tail import Tail
from palimpsest.errors import (
    CommitFailed,
    DocumentNotFound,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    Overloaded,
    PalimpsestError,
    ServerClosing,
    StoreCorrupt,
)
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import (
    Create,
    Credit,
    Delete,
    Document,
    Documents,
    Get,
    GetMany,
    History,
    List,
    Names,
    Ping,
    Pong,
    Subscribe,
    Transact,
    Unsubscribe,
    Update,
)
from palimpsest.state.names import Pattern
from palimpsest.storage.contracts import Archive, Journal, JournalEnd
from palimpsest.storage.events import Batch, decode_events
from palimpsest.words import MAIN, Kind

log = get_logger("palimpsest.actors")

_JOBS_TOGETHER = 16
_JOBS_WAITING_MAX = 65_536
_START_BYTES = 8 * 1024 * 1024
_ARCHIVE_AGAIN_SECONDS = 1.0
_TRIM_BATCHES_MAX = 64
_TRIM_BYTES = 1024 * 1024
"""Roughly of one step. A step holds up the commits: 512 batches at a time cost some 4 ms, and quadrupled the p99."""
_TRIM_PAUSE_SECONDS, _TRIM_STEP_PAUSE_SECONDS = 0.5, 0.02
_EVENT_BYTES = 128
"""What an event takes in the journal, as long as nothing has been measured."""
_SWEEP_SECONDS = 5.0
_DELETE = int(Kind.DELETE)


class Peer(Asker, Subscriber, Protocol):
    """A connection, as the partition sees it."""


class Partition:
    """journal, archive: open. end: what opening the journal gave.

    inline_archiver: archive in this process, a step after each commit; otherwise someone else archives, and says how far by
    `archived`. Whatever runs, runs in the task group given to `start`, and ends with it.
    """

    def __init__(
        self,
        journal: Journal,
        archive: Archive,
        end: JournalEnd,
        limits: Limits,
        *,
        inline_archiver: bool,
        snapshot_versions: int = 128,
        archive_pause_seconds: float = PAUSE_SECONDS,
        trim_keep_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self.limits = limits
        self.journal = journal
        self.archive = archive
        self.tail = Tail(end.next)
        self.registry = Registry(archive, self.tail, limits, self._start_job, self._look_up)
        self.committer = self.registry.committer = Committer(
            journal, end, limits, self._on_durable, self._on_failed, self.registry.on_room
        )
        self.reader = Reader(archive, self.tail, limits, journal.epoch)
        self.feed = Feed(self.reader, self.tail, limits, journal.epoch, self.ask)
        self.on_commit: Callable[[], None] | None = None
        """Called after each commit: the archiver elsewhere may have work."""
        self.on_flush: Callable[[], None] | None = None
        """Called when the answers of a commit are ready to leave."""
        self.on_fatal: Callable[[BaseException], None] | None = None
        """Called once, when nothing more can be written: the StorageError, or a bug."""
        self._end = end
        self._archiver = Archiver(archive, snapshot_versions=snapshot_versions) if inline_archiver else None
        self._archive_pause_seconds = archive_pause_seconds
        self._trim_keep_bytes = trim_keep_bytes
        """How much of what is archived stays in the journal, roughly: trimming costs the commits less the later it is."""
        self._tail_watch_bytes = limits.tail_bytes_max // 4
        self._reported = 0
        """How far the archiver has come, by its own word."""
        self._lags = False
        """The log has been told that the archiver is behind."""
        self._to_archive = anyio.Event()
        self._archived = anyio.Event()
        self._jobs: deque[Job] = deque()
        self._jobs_running = 0
        self._tasks: anyio.abc.TaskGroup
        self.routes: dict[type, Callable[[Any, Any, int], None]] = {
            Update: self.registry.route,
            Create: self.registry.route,
            Delete: self.registry.route,
            Get: self.registry.route,
            History: self._history,
            Transact: self.registry.transact,
            GetMany: self._get_many,
            List: self._list,
            Subscribe: self._subscribe,
            Credit: self._credit,
            Unsubscribe: self._unsubscribe,
            Ping: self._ping,
        }
        """What is called for a request: (message, peer, now), by the message's type. now: microseconds since the epoch, by
        the server's clock. Every request that has an id is answered exactly once; nothing is raised."""

    async def start(self, tasks: anyio.abc.TaskGroup) -> None:
        """Rebuilds the tail from the journal and begins to work. Raises StoreCorrupt where archive and journal do not
        belong together, or the archive was lost and the journal does not reach back."""
        archived = await self.archive.end()
        if not self._end.oldest <= archived.next <= self._end.next:
            raise StoreCorrupt(
                f"the archive ends at position {archived.next}, the journal holds {self._end.oldest} to {self._end.next}",
                path="",
                reason="archive and journal do not meet",
            )
        self.tail.start = self.tail.end = archived.next
        position = archived.next
        while position < self._end.next:
            for batch in await self.journal.read(position, bytes_max=_START_BYTES):
                self.tail.append(batch)
                self.registry.adopt(batch, decode_events(batch.body))
                position = batch.position + batch.count
        self._tasks = tasks
        tasks.start_soon(self._guard, self.committer.run)
        tasks.start_soon(self._guard, self.feed.run)
        tasks.start_soon(self._guard, self._sweep)
        tasks.start_soon(self._guard, self._trim)
        if self._archiver is not None:
            tasks.start_soon(self._guard, self._archive_inline)
        self.registry.start_waking()
        self._to_archive.set()
        self._check_tail()

    async def ask(self, message: Get) -> Document:
        """A read from within. Raises what its caller would be answered."""
        question = _Question()
        self.registry.route(message, question, 0)
        await question.answered.wait()
        if question.error is not None:
            raise question.error
        assert isinstance(question.answer, Document)
        return question.answer

    def archived(self, position: int) -> None:
        """Everything before position is durably archived."""
        self._reported = max(self._reported, position)
        position = min(position, self.tail.end)  # an archiver elsewhere may be ahead of what was told of here
        if position <= self.tail.start:
            return
        self.registry.on_archived(position)
        self._archived.set()
        self._check_tail()

    async def quiet(self) -> None:
        """Returns when everything that was asked is answered. To be called once nobody asks any more."""
        while self.committer.undecided() or self._jobs_running:
            await self.committer.quiet()
            await anyio.sleep(0.001 if self._jobs_running else 0)

    def close(self, error: PalimpsestError | None = None) -> None:
        """Answers everyone who still waits. No message may come after this."""
        error = error or ServerClosing("the server is shutting down")
        self.registry.refusal = error  # what is freed by the end of something else is not begun any more
        for _, asker, id, _ in self.committer.undecided():
            asker.fail(id, error)
        for actor in list(self.registry.actors.values()):
            if actor.waiting or actor.inbox:
                actor.abandon(error)

    def statistics(self) -> dict[str, int]:
        """Counts and sizes, by name with the unit last; cheap."""
        return {
            "events": self.committer.events,
            "batches": self.committer.batches,
            "next_position": self.committer.next,
            "tail_events": self.tail.end - self.tail.start,
            "tail_bytes": self.tail.bytes,
            "jobs": self._jobs_running + len(self._jobs),
            **self.registry.statistics(),
            **self.feed.statistics(),
        }

    # --- requests ------------------------------------------------------------------------------------------------

    def _history(self, message: History, peer: Peer, now: int) -> None:
        if message.limit < 1:
            peer.fail(message.id, InvalidRequest(f"a limit of {message.limit}", reason="limit"))
        else:
            self.registry.route(message, peer, now)

    def _get_many(self, message: GetMany, peer: Peer, now: int) -> None:
        maximum = self.limits.page_items_max
        if len(message.documents) > maximum:
            error = LimitExceeded(
                f"{len(message.documents)} documents at once; page_items_max is {maximum}",
                limit="page_items_max",
                maximum=maximum,
                actual=len(message.documents),
            )
            peer.fail(message.id, error)
            return
        gathering = _Gathering(message.id, peer, len(message.documents), self.limits)
        for index, name in enumerate(message.documents):
            self.registry.route(Get(index, name, message.branch), gathering, now)
        if not message.documents:
            peer.reply(Documents(message.id, ()))

    def _list(self, message: List, peer: Peer, now: int) -> None:
        try:
            if message.limit < 1:
                raise InvalidRequest(f"a limit of {message.limit}", reason="limit")
            pattern = Pattern.parse(message.pattern)
        except PalimpsestError as error:
            peer.fail(message.id, error)
            return
        self._start_answer(message.id, peer, lambda: self._names(message, pattern))

    def _subscribe(self, message: Subscribe, peer: Peer, now: int) -> None:
        try:
            self.feed.subscribe(message, peer)
        except PalimpsestError as error:
            peer.fail(message.id, error)

    def _credit(self, message: Credit, peer: Peer, now: int) -> None:
        self.feed.credit(message, peer)

    def _unsubscribe(self, message: Unsubscribe, peer: Peer, now: int) -> None:
        self.feed.unsubscribe(message.subscription, peer)

    def _ping(self, message: Ping, peer: Peer, now: int) -> None:
        peer.reply(Pong(message.id))

    # --- reads that take a while ---------------------------------------------------------------------------------

    def _look_up(self, actor: DocumentActor, message: Get | History, asker: Asker) -> None:
        if type(message) is Get:
            self._start_answer(message.id, asker, lambda: self.reader.version(actor, message))
        elif type(message) is History:
            self._start_answer(message.id, asker, lambda: self.reader.history(actor, message))

    def _start_answer(self, id: int, asker: Asker, read: Callable[[], Awaitable[object]]) -> None:
        async def answer() -> None:
            try:
                asker.reply(await read())
            except PalimpsestError as error:
                asker.fail(id, error)
            except Exception as error:
                log.error("read_failed", request=id, exc_info=error)
                asker.fail(id, InternalError(f"the server failed: {type(error).__name__}; it is logged there"))

        if len(self._jobs) >= _JOBS_WAITING_MAX:
            asker.fail(id, Overloaded("too many reads wait", limit="reads_waiting_max", maximum=_JOBS_WAITING_MAX))
        else:
            self._start_job(answer)

    def _start_job(self, job: Job) -> None:
        """job: raises nothing."""
        if self._jobs_running < _JOBS_TOGETHER:
            self._jobs_running += 1
            self._tasks.start_soon(self._work, job)
        else:
            self._jobs.append(job)

    async def _work(self, job: Job) -> None:
        try:
            await job()
            while self._jobs:
                await self._jobs.popleft()()
        finally:
            self._jobs_running -= 1

    async def _names(self, message: List, pattern: Pattern) -> Names:
        limit = min(message.limit, self.limits.page_items_max)
        if message.branch != MAIN:
            return Names(message.id, (), False)
        after, found, exhausted = message.after, list[str](), False
        while len(found) <= limit and not exhausted:
            # What the tail has made is read before the archive: it may be archived in between, never the other way round.
            recent = {name: exists for name, (_, exists) in self.registry.existence.items() if name > after}
            heads = await self.archive.names(message.branch, prefix=pattern.prefix, after=after, limit=limit + 1)
            exhausted = len(heads) <= limit
            names = {head.document for head in heads if head.kind != _DELETE and recent.get(head.document, True)}
            last = None if exhausted else heads[-1].document
            names.update(name for name, exists in recent.items() if exists and (last is None or name <= last))
            found += sorted(name for name in names if pattern.matches(name))
            after = after if last is None else last
        return Names(message.id, tuple(found[:limit]), len(found) > limit)

    # --- after a commit ------------------------------------------------------------------------------------------

    def _on_durable(self, batch: Batch, entries: list[Entry]) -> None:
        self.tail.append(batch)
        self.registry.on_durable(batch, entries)
        self.feed.on_durable(batch, entries)
        if self._reported > self.tail.start:
            self.archived(self._reported)
        if self.on_flush is not None:
            self.on_flush()
        if self.tail.bytes > self._tail_watch_bytes:
            self._check_tail()
        if self._archiver is not None:
            self._to_archive.set()
        elif self.on_commit is not None:
            self.on_commit()

    def _check_tail(self) -> None:
        """Writes are refused while the archiver is too far behind: memory has an end."""
        self._tell_lag()
        maximum = self.limits.tail_bytes_max
        if self.registry.refusal is not None and not isinstance(self.registry.refusal, Overloaded):
            return  # nothing is written any more, whatever the archiver does
        if self.tail.bytes > maximum:
            self.registry.refusal = Overloaded(
                f"{self.tail.bytes} bytes wait to be archived; tail_bytes_max is {maximum}",
                limit="tail_bytes_max",
                maximum=maximum,
            )
        elif self.registry.refusal is not None and self.tail.bytes < maximum * 3 // 4:
            self.registry.refusal = None

    def _tell_lag(self) -> None:
        """One line in the log when the archiver has fallen behind, and one when it has caught up."""
        tail = self.tail
        if not self._lags and tail.bytes > self._tail_watch_bytes:
            self._lags = True
            log.warning("archiver_behind", tail_events=tail.end - tail.start, tail_bytes=tail.bytes)
        elif self._lags and tail.bytes < self._tail_watch_bytes // 2:
            self._lags = False
            log.info("archiver_caught_up", tail_events=tail.end - tail.start)

    def _on_failed(self, entries: list[Entry], error: PalimpsestError) -> None:
        log.error("commit_failed", events=len(entries), error=str(error))
        self.registry.on_failed(entries, error)
        if self.on_flush is not None:
            self.on_flush()

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """A task of the partition that fails takes the partition with it, and nothing else."""
        try:
            await task()
        except Exception as error:
            self.registry.refusal = ServerClosing("the store can no longer be written to")
            if self.on_fatal is None:
                raise
            self.on_fatal(error)

    async def _sweep(self) -> None:
        await self.registry.sweep(_SWEEP_SECONDS)

    async def _archive_inline(self) -> None:
        archiver = self._archiver
        assert archiver is not None
        while True:
            await self._to_archive.wait()
            self._to_archive = anyio.Event()
            while self.tail.start < self.tail.end:
                batches = self.tail.batches(self.tail.start, bytes_max=STEP_BYTES)
                started = anyio.current_time()
                try:
                    self.archived(await archiver.write(batches))
                except CommitFailed as error:
                    log.warning("archiving_failed", reason=error.reason)
                    await anyio.sleep(_ARCHIVE_AGAIN_SECONDS)
                if is_large(batches):
                    await anyio.sleep(pause_seconds(anyio.current_time() - started, self.tail.bytes))
                else:
                    await anyio.sleep(self._archive_pause_seconds)

    async def trim_once(self) -> None:
        """Forgets what is archived of the journal, some way behind, in steps that leave room for commits."""
        while await self.journal.trim(self._trim_end(), batches_max=(step := self._trim_step())) == step:
            await anyio.sleep(_TRIM_STEP_PAUSE_SECONDS)

    async def _trim(self) -> None:
        while True:
            await self._archived.wait()
            self._archived = anyio.Event()
            await anyio.sleep(_TRIM_PAUSE_SECONDS)
            try:
                await self.trim_once()
            except CommitFailed as error:
                log.warning("trimming_failed", reason=error.reason)

    def _trim_end(self) -> int:
        """What is archived, less what is kept of it."""
        event_bytes = self.committer.bytes // max(1, self.committer.events) or _EVENT_BYTES
        return self.tail.start - self._trim_keep_bytes // event_bytes

    def _trim_step(self) -> int:
        """How many batches are about as large as a step may be."""
        batch_bytes = self.committer.bytes // max(1, self.committer.batches) or _EVENT_BYTES
        return max(1, min(_TRIM_BATCHES_MAX, _TRIM_BYTES // batch_bytes))


class _Question:
    """Asks from within, for one answer."""

    client = ""

    def __init__(self) -> None:
        self.answer: object = None
        self.error: PalimpsestError | None = None
        self.answered = anyio.Event()

    def committed(self, id: int, version: int, at: int) -> None:
        raise AssertionError("a question does not write")

    def reply(self, message: object) -> None:
        self.answer = message
        self.answered.set()

    def fail(self, id: int, error: PalimpsestError) -> None:
        self.error = error
        self.answered.set()


class _Gathering:
    """Asks for many documents, and answers when all are there. Ids are places in the list."""

    def __init__(self, id: int, peer: Asker, count: int, limits: Limits) -> None:
        self.client = peer.client
        self._id = id
        self._peer = peer
        self._limits = limits
        self._found: list[Document | None] = [None] * count
        self._missing = count
        self._bytes = 0
        self._error: PalimpsestError | None = None

    def committed(self, id: int, version: int, at: int) -> None:
        raise AssertionError("reads only")

    def reply(self, message: object) -> None:
        assert isinstance(message, Document)
        self._found[message.id] = Document(
            self._id,
            message.document,
            message.branch,
            message.version,
            message.kind,
            message.at,
            message.value,
            message.meta,
        )
        self._bytes += len(message.value)
        self._one_less()

    def fail(self, id: int, error: PalimpsestError) -> None:
        if not isinstance(error, DocumentNotFound):
            self._error = error
        self._one_less()

    def _one_less(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._answer()

    def _answer(self) -> None:
        maximum = self._limits.frame_bytes_max * 3 // 4
        if self._error is None and self._bytes > maximum:
            self._error = LimitExceeded(
                f"these documents are {self._bytes} bytes together; ask for fewer at once",
                limit="frame_bytes_max",
                maximum=maximum,
                actual=self._bytes,
            )
        if self._error is not None:
            self._peer.fail(self._id, self._error)
        else:
            self._peer.reply(Documents(self._id, tuple(self._found)))
