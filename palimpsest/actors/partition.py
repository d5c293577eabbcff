"""One journal, one archive, and the actors over them: everything that a message from a client can reach.

This is where the pieces of the room are joined. It is handed open stores and a task group, and knows no implementation of
either; whoever made the stores closes them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import anyio
import anyio.abc

from palimpsest.actors.archiver import PAUSE_SECONDS, Archiver
from palimpsest.actors.asking import Gathering, Question, internal_error
from palimpsest.actors.branches import Branches
from palimpsest.actors.catalog import Catalog
from palimpsest.actors.commands import Become, TakeBack
from palimpsest.actors.committer import Asker, Committer, Entry
from palimpsest.actors.document import DocumentActor, Lookup, Write
from palimpsest.actors.errands import Errands
from palimpsest.actors.feed import Feed
from palimpsest.actors.groups import Groups
from palimpsest.actors.importing import Importer
from palimpsest.actors.inline import InlineArchiving
from palimpsest.actors.insight import Insight
from palimpsest.actors.jobs import Job, Jobs
from palimpsest.actors.keeping import Keeper
from palimpsest.actors.listing import Listing
from palimpsest.actors.merging import Merger
from palimpsest.actors.previewing import Previewing
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Registry
from palimpsest.actors.starts import Starts
from palimpsest.actors.stream import check_meta
from palimpsest.actors.subscription import Subscriber
from palimpsest.actors.tail import Tail
from palimpsest.actors.trimming import Trimmer
from palimpsest.actors.views import Views
from palimpsest.clock import SystemClock
from palimpsest.errors import (
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
    Abandon,
    Ack,
    Backup,
    Blame,
    Branch,
    Create,
    Credit,
    Delete,
    DeleteBranch,
    DeleteSubscription,
    Diff,
    Digest,
    Document,
    Documents,
    Erase,
    Get,
    GetMany,
    GetMerge,
    History,
    Import,
    Label,
    List,
    ListBranches,
    ListMerges,
    ListSubscriptions,
    Measure,
    Merge,
    Nack,
    Observe,
    Observed,
    Pick,
    Ping,
    Pong,
    Prune,
    Rebase,
    Redrive,
    Resolve,
    Revert,
    Subscribe,
    Through,
    Transact,
    Undo,
    Unsubscribe,
    Update,
)
from palimpsest.state.definitions import PERSPECTIVES
from palimpsest.state.lens import Lens
from palimpsest.state.names import Pattern
from palimpsest.state.rules import Resolver
from palimpsest.state.schemas import SCHEMAS
from palimpsest.storage.contracts import Archive, Journal, JournalEnd
from palimpsest.storage.events import Batch, decode_events
from palimpsest.words import Meta, Parents

log = get_logger("palimpsest.actors")

_JOBS_TOGETHER = 16
_JOBS_WAITING_MAX = 65_536
_START_BYTES = 8 * 1024 * 1024
_SWEEP_SECONDS = 5.0


class Peer(Asker, Subscriber, Protocol):
    """A connection, as the partition sees it."""


class Partition:
    """journal, archive: open. end: what opening the journal gave.

    now: microseconds since the epoch; the machine's where none is given.
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
        now: Callable[[], int] | None = None,
        monotonic: Callable[[], float] | None = None,
        resolvers: Mapping[str, Resolver] | None = None,
    ) -> None:
        self.limits = limits
        self.journal = journal
        self.archive = archive
        self.tail = Tail(end.next)
        self._jobs = Jobs(_JOBS_TOGETHER)
        self._lookups = Jobs(_JOBS_TOGETHER)
        """What jobs wait for: actors to wake, and requests to be looked up."""
        self.registry = Registry(
            archive, self.tail, limits, self._lookups.start, self._look_up, self._on_absent, self._transact_slowly
        )
        self.monotonic = monotonic = monotonic or SystemClock().monotonic
        """Seconds."""
        self.committer = self.registry.committer = Committer(
            journal, end, limits, self._on_durable, self._on_failed, self.registry.on_room, monotonic
        )
        self.reader = Reader(archive, self.tail, limits, journal.epoch, self.registry.builder)
        self.branches = Branches(archive, self.registry, self.reader, self._start_read)
        self.previewing = Previewing(self.reader, self.registry)
        self.importer = Importer(self.registry, self.branches, self.reader, limits, self._start_read)
        self.insight = Insight(self.reader, limits, self.settled)
        self.merger = Merger(self.registry, self.reader, self.insight, self.branches, limits, resolvers or {})
        now = now or SystemClock().now
        self.keeper = Keeper(archive, self.registry, limits, now, self.settled)
        self.trimmer = Trimmer(journal, self.tail, self.committer, trim_keep_bytes)
        self.errands = Errands(self.registry, self.keeper, self.trimmer, limits, self.settled, self.branches)
        self.catalog = Catalog()
        self.listing = Listing(archive, self.registry, self.branches, limits)
        starts = Starts(self.reader, self.tail, journal.epoch, self.ask, self.registry.newest)
        self.groups = Groups(
            self.reader,
            self.tail,
            self.registry,
            limits,
            journal.epoch,
            self.ask,
            self.listing.answer,
            starts.find,
            now,
            monotonic,
        )
        self.feed = Feed(
            self.reader,
            self.tail,
            limits,
            journal.epoch,
            self.ask,
            self.listing.answer,
            self._ask_through,
            self._around,
            self.registry.newest,
            self._jobs.start,
            starts,
            self.groups,
        )
        self.on_commit: Callable[[], None] | None = None
        """Called after each commit: the archiver elsewhere may have work."""
        self.on_flush: Callable[[], None] | None = None
        """Called when the answers of a commit are ready to leave."""
        self.on_fatal: Callable[[BaseException], None] | None = None
        """Called once, when nothing more can be written: the StorageError, or a bug."""
        self.observe: Callable[[Observe], Awaitable[Observed]] = self._unobserved
        """Answers an `Observe`. Set by the server, which knows of connections and files."""
        self._end = end
        self._archiving: InlineArchiving | None = None
        if inline_archiver:
            archiver = Archiver(archive, snapshot_versions=snapshot_versions)
            self._archiving = InlineArchiving(archiver, self.tail, self.archived, archive_pause_seconds)
        self._tail_watch_bytes = limits.tail_bytes_max // 4
        self._reported = 0
        """How far the archiver has come, by its own word."""
        self._lags = False
        """The log has been told that the archiver is behind."""
        self._moved = anyio.Event()
        """Set, and replaced, each time that more is archived."""
        self.routes: dict[type, Callable[[Any, Any, int], None]] = {
            Update: self.registry.route,
            Create: self.registry.route,
            Delete: self.registry.route,
            Get: self.registry.route,
            History: self._history,
            Transact: self.registry.transactions.ask,
            GetMany: self._get_many,
            List: self._list,
            Subscribe: self._subscribe,
            Credit: self._credit,
            Unsubscribe: self._unsubscribe,
            Ping: self._ping,
            Diff: self._diff,
            Blame: self._about_place,
            Digest: self._about_place,
            Revert: self.registry.route,
            Undo: self.registry.route,
            Label: self._label,
            Erase: self.registry.route,
            Import: self.registry.route,
            Prune: self.errands.prune,
            Measure: self.errands.measure,
            Backup: self.errands.back_up,
            Branch: self._branch,
            DeleteBranch: self._delete_branch,
            ListBranches: self._list_branches,
            Merge: self._merge,
            Pick: self._merge,
            Rebase: self._merge,
            Resolve: self._merge,
            Abandon: self._merge,
            GetMerge: self._merge,
            ListMerges: self._merge,
            Ack: self.groups.ack,
            Nack: self.groups.nack,
            ListSubscriptions: self.groups.find,
            DeleteSubscription: self.groups.delete,
            Redrive: self.groups.redrive,
            Observe: self._observe,
        }
        """What is called for a request: (message, peer, now), by the message's type. now: microseconds since the epoch, by
        the server's clock. Every request that has an id is answered exactly once; nothing is raised."""
        self.views = Views(
            self.registry,
            self.registry.builder,
            limits,
            self.routes,
            self._start_answer,
            self.feed.subscribe,
            self._around,
        )
        self.routes[Through] = self._through
        self.registry.check_system = self.catalog.check
        self.registry.schemas = self.catalog.schemas
        self.catalog.watch(self._on_catalog)
        self._reads: dict[type, Callable[[DocumentActor, Any], Awaitable[object]]] = {
            Get: self.reader.document,
            History: self.reader.history,
            Diff: self._differences,
            Blame: self.insight.blame,
            Digest: self.insight.digest,
        }
        """What answers a lookup that is a read."""

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
                self.tail.append(batch, self.monotonic())
                self.registry.adopt(batch, decode_events(batch.body))
                position = batch.position + batch.count
        self._jobs.begin(tasks)
        self._lookups.begin(tasks)
        tasks.start_soon(self._guard, self.committer.run)
        tasks.start_soon(self._guard, self.feed.run)
        tasks.start_soon(self._guard, self.feed.relay)
        self.groups.start(tasks)
        tasks.start_soon(self._guard, self.groups.run)
        tasks.start_soon(self._guard, self.groups.write)
        tasks.start_soon(self._guard, self._sweep)
        tasks.start_soon(self._guard, self.trimmer.run)
        self.errands.start(tasks)
        tasks.start_soon(self._guard, self.errands.retain)
        if self._archiving is not None:
            tasks.start_soon(self._guard, self._archiving.run)
        self.registry.waking.start()
        await self.catalog.load(self.branches.names_of, self.ask)
        self.registry.look_again_at_schemas()
        if self._archiving is not None:
            self._archiving.on_durable()
        self._check_tail()

    async def ask(self, message: Get) -> Document:
        """A read from within. Raises what its caller would be answered."""
        question = Question()
        self.registry.route(message, question, 0)
        answer = await question.result()
        assert isinstance(answer, Document)
        return answer

    def archived(self, position: int) -> None:
        """Everything before position is durably archived."""
        self._reported = max(self._reported, position)
        position = min(position, self.tail.end)  # an archiver elsewhere may be ahead of what was told of here
        if position <= self.tail.start:
            return
        self.registry.on_archived(position)
        self.trimmer.on_archived()
        self._moved.set()
        self._moved = anyio.Event()
        self._check_tail()

    async def settled(self) -> None:
        """Returns once all that is durable now is archived."""
        position = self.tail.end
        while self.tail.start < position:
            await self._moved.wait()

    async def quiet(self) -> None:
        """Returns when everything that was asked is answered. To be called once nobody asks any more."""
        while self.committer.undecided() or self._is_at_it():
            await self.committer.quiet()
            await anyio.sleep(0.001 if self._is_at_it() else 0)

    def _is_at_it(self) -> bool:
        return bool(len(self._jobs) or len(self._lookups) or not self.groups.is_quiet)

    def close(self, error: PalimpsestError | None = None) -> None:
        """Answers everyone who still waits. No message may come after this."""
        error = error or ServerClosing("the server is shutting down")
        self.groups.close(error)
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
            "jobs": len(self._jobs) + len(self._lookups),
            **self.registry.statistics(),
            **self.feed.statistics(),
            **self.views.statistics(),
            **self.groups.statistics(),
        }

    # --- requests ------------------------------------------------------------------------------------------------

    def _diff(self, message: Diff, peer: Peer, now: int) -> None:
        """To the actor of `a`; the other one is woken by then."""
        self._to_branch(message, message.a.branch, peer, now)

    def _about_place(self, message: Blame | Digest, peer: Peer, now: int) -> None:
        self._to_branch(message, message.place.branch, peer, now)

    def _label(self, message: Label, peer: Peer, now: int) -> None:
        try:
            check_meta(Meta(tags=tuple(sorted({*message.add, *message.remove}))), self.limits)
            if set(message.add) & set(message.remove):
                raise InvalidRequest("a tag is given and taken away at once", reason="tags")
        except PalimpsestError as error:
            peer.fail(message.id, error)
        else:
            self.registry.route(message, peer, now)

    def _to_branch(self, message: Diff | Blame | Digest, branch: str, peer: Peer, now: int) -> None:
        try:
            actor = self.registry.actor(message.document, branch)
        except PalimpsestError as error:
            peer.fail(message.id, error)
        else:
            self.registry.hand(actor, message, peer, now)

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
        gathering = Gathering(message.id, peer, len(message.documents), self.limits)
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
        self._start_answer(message.id, peer, lambda: self.listing.names(message, pattern))

    def _subscribe(self, message: Subscribe, peer: Peer, now: int) -> None:
        try:
            self.feed.subscribe(message, peer)
        except PalimpsestError as error:
            peer.fail(message.id, error)

    def _through(self, message: Through, peer: Peer, now: int) -> None:
        try:
            lens = self.catalog.lens(message.perspective, message.level)
        except PalimpsestError as error:
            peer.fail(message.id, error)
        else:
            self.views.route(message.request, lens, peer, now)

    async def _ask_through(self, lens: Lens, message: Get) -> Document:
        return await self.views.ask(lens, message)

    async def _around(self, document: str, branch: str, version: int, parents: Parents | None) -> tuple[Any, Any]:
        actor = await self.branches.awake(document, branch)
        return await self.insight.around(actor, version, parents)

    def _on_catalog(self, name: str) -> None:
        if name.startswith(PERSPECTIVES):
            self.feed.look_again(self.catalog.lens)
        elif name.startswith(SCHEMAS):
            self.registry.look_again_at_schemas()

    def _credit(self, message: Credit, peer: Peer, now: int) -> None:
        self.feed.credit(message, peer)

    def _unsubscribe(self, message: Unsubscribe, peer: Peer, now: int) -> None:
        self.feed.unsubscribe(message.subscription, peer)

    def _ping(self, message: Ping, peer: Peer, now: int) -> None:
        peer.reply(Pong(message.id))
        self.feed.refresh(peer)

    async def _differences(self, actor: DocumentActor, message: Diff) -> object:
        same = message.b.branch == actor.branch
        other = actor if same else await self.branches.source(message.document, message.b)
        return await self.insight.diff(actor, other, message)

    def _observe(self, message: Observe, peer: Peer, now: int) -> None:
        self._start_answer(message.id, peer, lambda: self.observe(message))

    async def _unobserved(self, message: Observe) -> Observed:
        raise InvalidRequest("there is no server around this store that could be observed", reason="no server")

    # --- reads that take a while ---------------------------------------------------------------------------------

    def _look_up(self, actor: DocumentActor, message: Lookup, asker: Asker, now: int) -> None:
        """All that message may speak of is durable."""
        read = self._reads.get(type(message))
        if read is not None:
            self._start_answer(message.id, asker, lambda: read(actor, message))
        elif type(message) is Import:
            self.importer.take_over(actor, message, asker, now)
        elif type(message) is Erase:
            self.errands.erase(actor, message, asker, now)
        else:
            self._start_write(actor, message, asker, now)

    def _start_write(self, actor: DocumentActor, message: Any, asker: Asker, now: int) -> None:
        """A write that has to know something of the past first."""

        async def prepare() -> None:
            write: Write
            try:
                if type(message) is Revert:
                    source = await self.branches.source(message.document, message.to)
                    write = await self.insight.become(actor, source, message)
                elif type(message) is Undo:
                    write = await self.insight.take_back(actor, message)
                else:
                    write = await self.insight.note(actor, message)
                if isinstance(write, Become | TakeBack) and message.dry_run:
                    asker.reply(await self.previewing.preview(actor, write, now))
                    return
            except PalimpsestError as error:
                asker.fail(message.id, error)
            except Exception as error:
                asker.fail(message.id, internal_error(message.id, error))
            else:
                self.registry.route(write, asker, now)

        self._start_read(message.id, asker, prepare)

    def _on_absent(self, actor: DocumentActor, message: Any, asker: Asker, now: int) -> None:
        if type(message) is Import:
            self.importer.take_over_deleted(actor, message, asker, now)
        else:
            self.branches.on_absent(actor, message, asker, now)

    def _transact_slowly(self, message: Transact, asker: Asker, now: int) -> None:
        self.branches.transact(message, asker, now)

    def _branch(self, message: Branch, peer: Peer, now: int) -> None:
        self._start_answer(message.id, peer, lambda: self.branches.branch(message, peer.client, now))

    def _delete_branch(self, message: DeleteBranch, peer: Peer, now: int) -> None:
        self._start_answer(message.id, peer, lambda: self.branches.delete(message, peer.client, now))

    def _merge(self, message: Any, peer: Peer, now: int) -> None:
        merger, client = self.merger, peer.client
        answers: dict[type, Callable[[], Awaitable[object]]] = {
            Merge: lambda: merger.merge(message, client, now),
            Pick: lambda: merger.pick(message, client, now),
            Rebase: lambda: merger.rebase(message, client, now),
            Resolve: lambda: merger.resolve(message, client, now),
            Abandon: lambda: merger.abandon(message, client, now),
            GetMerge: lambda: merger.look(message, now),
            ListMerges: lambda: merger.pending(message),
        }
        self._start_answer(message.id, peer, answers[type(message)])

    def _list_branches(self, message: ListBranches, peer: Peer, now: int) -> None:
        self._start_answer(message.id, peer, lambda: self.branches.find(message))

    def _start_answer(self, id: int, asker: Asker, read: Callable[[], Awaitable[object]]) -> None:
        async def answer() -> None:
            try:
                asker.reply(await read())
            except PalimpsestError as error:
                asker.fail(id, error)
            except Exception as error:
                asker.fail(id, internal_error(id, error))

        self._start_read(id, asker, answer)

    def _start_read(self, id: int, asker: Asker, job: Job) -> None:
        """job: answers asker, and raises nothing."""
        if self._jobs.waiting >= _JOBS_WAITING_MAX:
            asker.fail(id, Overloaded("too many reads wait", limit="reads_waiting_max", maximum=_JOBS_WAITING_MAX))
        else:
            self._jobs.start(job)

    # --- after a commit ------------------------------------------------------------------------------------------

    def _on_durable(self, batch: Batch, entries: list[Entry]) -> None:
        self.tail.append(batch, self.committer.durable_at)
        for position, (_, _, _, event) in enumerate(entries, batch.position):
            self.views.on_durable(position, event)
        self.registry.on_durable(batch, entries)
        for _, _, _, event in entries:
            if event.document.startswith("$"):
                self.catalog.on_durable(event)
        self.feed.on_durable(batch, entries)
        if self._reported > self.tail.start:
            self.archived(self._reported)
        if self.on_flush is not None:
            self.on_flush()
        if self.tail.bytes > self._tail_watch_bytes:
            self._check_tail()
        if self._archiving is not None:
            self._archiving.on_durable()
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
