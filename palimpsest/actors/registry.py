"""Finds and passivates actors, and routes commands to them.

A document that nobody asks for costs nothing. One that is asked for becomes an actor: see `waking`. An actor stays as long as the tail has events of its stream; after
that it goes when it is idle, or when memory is short.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from palimpsest.actors.asking import bug
from palimpsest.actors.building import Builder
from palimpsest.actors.committer import Asker, Committer, Entry
from palimpsest.actors.document import (
    UNKNOWN,
    DocumentActor,
    Key,
    Lookup,
    Request,
    Routed,
    Write,
    key_of,
    make_actor,
)
from palimpsest.actors.jobs import Job
from palimpsest.actors.stream import ends, is_whole
from palimpsest.actors.tail import Tail
from palimpsest.actors.transacting import Transactions
from palimpsest.actors.waking import Waking
from palimpsest.errors import (
    InvalidName,
    PalimpsestError,
)
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import Transact
from palimpsest.state.lines import live_line
from palimpsest.state.names import check_branch, check_name
from palimpsest.state.ops import decode_delta
from palimpsest.state.schemas import Schemas
from palimpsest.state.system import check_system
from palimpsest.state.working import apply_delta
from palimpsest.storage.contracts import Archive
from palimpsest.storage.events import Batch, Event
from palimpsest.words import MAIN, RECORD, Kind

log = get_logger("palimpsest.actors")

_UPDATE, _DELETE, _ERASE = int(Kind.UPDATE), int(Kind.DELETE), int(Kind.ERASE)


class Registry:
    """The actors of one partition. All of its methods run on the event loop."""

    def __init__(
        self,
        archive: Archive,
        tail: Tail,
        limits: Limits,
        start_job: Callable[[Job], None],
        look_up: Callable[[DocumentActor, Lookup, Asker, int], None],
        absent: Callable[[DocumentActor, Request, Asker, int], None],
        transact_slowly: Callable[[Transact, Asker, int], None],
    ) -> None:
        """absent: told of what is asked of a branch that the document does not have; it answers. transact_slowly: of a transaction in
        which a branch may have to be made, or versions joined."""
        self.limits = limits
        self.mailbox_items_max = limits.mailbox_items_max
        self.tail = tail
        self.committer: Committer
        """Set by the partition, which joins the two."""
        self.check_system: Callable[..., None] = check_system
        """What values of documents whose names begin with `$` have to pass."""
        self.schemas = Schemas()
        """Of all documents."""
        self.actors: dict[Key, DocumentActor] = {}
        self.existence: dict[str, tuple[int, bool]] = {}
        """Documents that the tail made or deleted: (position, whether it exists since)."""
        self.refusal: PalimpsestError | None = None
        """Why no write can be taken at the moment, if so."""
        self.tick = 0
        self.crashes = 0
        self.awake_bytes = 0
        """Of memory, estimated, as of the last sweep."""
        self.look_up = look_up
        self.on_absent = absent
        self.builder = Builder(
            archive, tail, limits, lambda document, branch: self.tail_positions(key_of(document, branch))
        )
        self.waking = Waking(self, archive, start_job)
        self.transactions = Transactions(self, archive, start_job, transact_slowly)
        self._branches: dict[str, dict[str, DocumentActor]] = {}
        """The actors of branches other than `main`, by document and by branch."""
        self._archive = archive
        self._start_job = start_job
        self._dropped: dict[Key, deque[int]] = {}
        """Of actors that were dropped: the tail's positions of their streams, for whoever is woken in their place."""
        self._stalled: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def look_again_at_schemas(self) -> None:
        """They have changed: what is written from now on is held to what they say now."""
        for actor in self.actors.values():
            if actor.branch is not RECORD and not actor.document.startswith("$"):
                actor.be_held(self.schemas.concerns(actor.document))

    # --- routing -------------------------------------------------------------------------------------------------

    def route(self, message: Routed, asker: Asker, now: int) -> None:
        """To the actor of message.document, which answers now or later. Raises nothing."""
        actor = self.actors.get(message.document)
        if actor is None or message.branch != MAIN:
            try:
                actor = self.actor(message.document, message.branch)
            except PalimpsestError as error:
                asker.fail(message.id, error)
                return
        self.hand(actor, message, asker, now)

    def hand(self, actor: DocumentActor, message: Request, asker: Asker, now: int) -> None:
        """As `route`, where the actor is known."""
        actor.used = self.tick
        try:
            actor.receive(message, asker, now)
        except PalimpsestError as error:
            log.debug("refused", document=actor.document, version=actor.version, code=error.code, request=message.id)
            asker.fail(message.id, error)
        except Exception as error:
            self._crash(actor, message.id, asker, error)

    def actor(self, document: str, branch: str) -> DocumentActor:
        """The actor, awake or about to be. Raises InvalidName."""
        key = key_of(document, branch)
        actor = self.actors.get(key)
        if actor is None:
            check_name(document, name_bytes_max=self.limits.name_bytes_max)
            if branch not in (MAIN, RECORD):
                self._check_branch(document, branch)
            actor = self._put(make_actor(document, branch, self))
            actor.positions = self._dropped.pop(key, actor.positions)
            self.waking.wake(actor)
        return actor

    def _check_branch(self, document: str, branch: str) -> None:
        check_branch(branch, name_bytes_max=self.limits.name_bytes_max)
        reason = "names that begin with `$` are the server's own"
        if branch.startswith("$"):
            raise InvalidName(f"{branch!r} is no name of a branch: {reason}", name=branch, reason=reason)
        if document.startswith("$"):
            raise InvalidName(f"{document!r} has no branches: {reason}", name=document, reason=reason)

    def _put(self, actor: DocumentActor) -> DocumentActor:
        self.actors[actor.key] = actor
        if actor.branch is not MAIN:
            self._branches.setdefault(actor.document, {})[actor.branch] = actor
        return actor

    def _remove(self, actor: DocumentActor) -> None:
        del self.actors[actor.key]
        others = self._branches.get(actor.document)
        if others is not None and others.get(actor.branch) is actor:
            del others[actor.branch]
            if not others:
                del self._branches[actor.document]

    def newest(self, document: str, branch: str) -> int:
        """The durable version of a document branch that is awake; 0 where it is not."""
        actor = self.actors.get(key_of(document, branch))
        return 0 if actor is None else actor.durable

    def names_awake(self, branch: str) -> list[str]:
        """Documents whose actor of that branch is there; among them are all of which the tail has anything."""
        if branch == MAIN:
            return [key for key in self.actors if type(key) is str]
        return [document for document, others in self._branches.items() if branch in others]

    def awake_branches(self, document: str) -> list[DocumentActor]:
        """The actors of all of its branches that there are, those of the record and of absent branches included."""
        main = self.actors.get(document)
        return [*([] if main is None else [main]), *self._branches.get(document, {}).values()]

    def guard(
        self,
        actor: DocumentActor,
        step: Callable[[Any, Asker, int], None],
        message: Any,
        asker: Asker,
        now: int,
    ) -> None:
        """A step of actor's with a command that waited in its inbox. Raises nothing; the asker hears."""
        try:
            step(message, asker, now)
        except PalimpsestError as error:
            asker.fail(message.id, error)
        except Exception as error:
            self._crash(actor, message.id, asker, error)

    # --- room in the batch ---------------------------------------------------------------------------------------

    def wait_for_room(self, actor: DocumentActor, message: Write, asker: Asker, now: int) -> None:
        actor.enqueue(message, asker, now)
        self.stall(actor.drain)

    def stall(self, step: Callable[..., None], *arguments: Any) -> None:
        """The step is done once there is room in the batch."""
        self._stalled.append((step, arguments))

    def on_room(self) -> None:
        for _ in range(len(self._stalled)):
            if self.committer.blocked:
                return
            step, arguments = self._stalled.popleft()
            step(*arguments)

    # --- repeats that memory does not know -----------------------------------------------------------------------

    def recall_archived(self, actor: DocumentActor, message: Write, asker: Asker) -> None:
        async def look() -> None:
            try:
                row = await self._archive.find_request(
                    actor.document, actor.branch, origin=asker.client, request=message.id, key=message.key
                )
            except PalimpsestError as error:
                actor.settle(message, None, error)
            else:
                actor.settle(message, row)

        self._start_job(look)

    # --- waking --------------------------------------------------------------------------------------------------

    def adopt(self, batch: Batch, events: list[Event]) -> None:
        """At the start: what the journal has beyond the archive. The actors that it concerns exist, asleep."""
        for position, event in enumerate(events, batch.position):
            key = key_of(event.document, event.branch)
            actor = self.actors.get(key)
            if actor is None:
                actor = self._put(make_actor(event.document, event.branch, self))
                actor.inbox = deque()
                self.waking.add(actor)
            actor.positions.append(position)
            self._note_existence(position, event)

    def _check_lines(self, document: str) -> None:
        """The document's record says something else about its branches: those that are not what it says are woken anew."""
        for actor in list(self._branches.get(document, {}).values()):
            if actor.branch == RECORD or actor.asleep:
                continue
            is_as_said = live_line(actor.record, actor.branch) == actor.line
            if is_as_said and actor.line is not None and actor.version < actor.line.first:
                actor.durable = actor.version  # the line is durable, and has no version of its own yet
                actor.release()
            elif not is_as_said and actor.is_still():  # one that is written to is further than what is durable
                self._forget(actor)  # whoever asks next wakes it as what it is

    def tail_positions(self, key: Key) -> Sequence[int]:
        """Of the events of a stream that the tail has, in order."""
        actor = self.actors.get(key)
        if actor is not None:
            return actor.tail_positions()
        return [position for position in self._dropped.get(key, ()) if position >= self.tail.start]

    # --- what the committer says ---------------------------------------------------------------------------------

    def on_durable(self, batch: Batch, entries: list[Entry]) -> None:
        """Durable values advance, and answers leave."""
        position = batch.position
        records: dict[str, None] = {}
        for actor, asker, id, event in entries:
            version = event.version
            actor.durable = version
            actor.pending -= 1
            actor.positions.append(position)
            asker.committed(id, version, event.at)
            if actor.waiting:
                actor.release()
            if event.kind != _UPDATE or not event.origin:
                self._note_existence(position, event)
                if event.kind == _ERASE:
                    self.tail.erased_at = position
                    self.builder.values.forget(event.document)
            if actor.branch is RECORD:
                self._note_record(event)
                records[event.document] = None
            position += 1
        for document in records:
            self._check_lines(document)

    def on_failed(self, entries: list[Entry], error: PalimpsestError) -> None:
        """Nothing of entries was written: their actors are dropped, and everyone who waits hears why."""
        failed: dict[Key, DocumentActor] = {}
        for actor, asker, id, _ in entries:
            asker.fail(id, error)
            failed[actor.key] = actor
        for key, actor in failed.items():
            if self.actors.get(key) is actor:
                self.drop(actor, error)
        for actor in failed.values():
            if actor.branch == RECORD:
                self._drop_unsaid(actor.document, error)

    def _drop_unsaid(self, document: str, error: PalimpsestError) -> None:
        """Branches that began or ended with what failed, and have no event of their own among it, are dropped, too."""
        for actor in list(self._branches.get(document, {}).values()):
            if actor.branch == RECORD or actor.asleep:
                continue
            if live_line(actor.record, actor.branch) != actor.line:
                self.drop(actor, error)

    def _note_existence(self, position: int, event: Event) -> None:
        """An update says that its document exists where it was taken over from elsewhere, after versions that were left out."""
        if event.branch == MAIN and (event.kind != _UPDATE or not event.origin):
            exists = event.kind != _DELETE and not (event.kind == _ERASE and is_whole(decode_delta(event.delta)))
            self.existence.pop(event.document, None)  # so that the order is that of positions
            self.existence[event.document] = (position, exists)

    def _note_record(self, event: Event) -> None:
        """What is said of a document's versions and branches is durable, and to be seen from now on."""
        actors = [actor for actor in self.awake_branches(event.document) if actor.record is not UNKNOWN]
        ops = decode_delta(event.delta)
        before: Any = UNKNOWN
        after: Any = None
        for actor in actors:
            if actor.branch == RECORD:
                continue
            if actor.record is not before:
                before = actor.record
                after = None if ends(event.kind, ops) else apply_delta(before, ops, depth_max=self.limits.depth_max)
            actor.record = after

    def on_archived(self, position: int) -> None:
        """Everything before position can be read from the archive."""
        self.tail.trim(position)
        archived = []
        for document, (place, _) in self.existence.items():
            if place >= position:
                break
            archived.append(document)
        for document in archived:
            del self.existence[document]

    # --- failing and passivating ---------------------------------------------------------------------------------

    def _crash(self, actor: DocumentActor, id: int, asker: Asker, error: Exception) -> None:
        """A bug while deciding. What the actor holds cannot be trusted: it is woken afresh, once the log is quiet."""
        self.log_crash(id, error, document=actor.document)
        internal = bug(error)
        asker.fail(id, internal)
        actor.abandon(internal)
        fresh = self._put(make_actor(actor.document, actor.branch, self))
        fresh.positions = actor.positions  # the committer's entries still speak of the old actor

        async def wake() -> None:
            await self.committer.quiet()
            if self.actors.get(fresh.key) is fresh:
                self.waking.wake(fresh)

        self._start_job(wake)

    def drop(self, actor: DocumentActor, error: PalimpsestError) -> None:
        """Forgets the actor, nothing of which is undecided; the next command wakes it from the log. Not sooner: what made
        it fail may still be so."""
        if self.actors.get(actor.key) is actor:
            self._forget(actor)
        actor.abandon(error)

    def drop_crashed(self, actor: DocumentActor, error: Exception) -> None:
        """A bug while waking: as `drop`."""
        self.log_crash(0, error)
        self.drop(actor, bug(error))

    def _forget(self, actor: DocumentActor) -> None:
        self._remove(actor)
        if positions := actor.tail_positions():
            self._dropped[actor.key] = deque(positions)

    def log_crash(self, id: int, error: Exception, **context: Any) -> None:
        self.crashes += 1
        log.error("actor_failed", request=id, exc_info=error, **context)

    async def sweep(self, interval_seconds: float) -> None:
        """Puts to sleep what is idle, until cancelled; a slice at a time, so that nobody waits for it."""
        while True:
            await anyio.sleep(interval_seconds)
            self.tick += 1
            await self.passivate(round(self.limits.awake_idle_seconds / interval_seconds))

    async def passivate(self, idle_ticks: int) -> None:
        """Actors that were not used for idle_ticks go; and if the others are too large together, the oldest of them."""
        self._dropped = {key: positions for key, positions in self._dropped.items() if positions[-1] >= self.tail.start}
        total = 0
        for index, actor in enumerate(list(self.actors.values())):
            if index % 200 == 199:
                await anyio.lowlevel.checkpoint()
            if self.tick - actor.used > idle_ticks and self._can_go(actor):
                self._remove(actor)
            else:
                if self.tick - actor.used > 1 and actor.is_still() and actor.exists:
                    actor.cool()
                    actor.seen = None
                actor.tail_positions()
                total += actor.estimated_bytes()
        maximum = self.limits.awake_bytes_max
        self.awake_bytes = total
        if total <= maximum:
            return
        for actor in sorted(self.actors.values(), key=lambda actor: actor.used):
            if self._can_go(actor):
                total -= actor.estimated_bytes()
                self._remove(actor)
                self.awake_bytes = total
                if total <= maximum:
                    return

    def _can_go(self, actor: DocumentActor) -> bool:
        return self.actors.get(actor.key) is actor and actor.is_still() and not actor.tail_positions()

    def statistics(self) -> dict[str, int]:
        return {
            "actors": len(self.actors),
            "asleep": len(self.waking),
            "stalled": len(self._stalled),
            "wakes": self.waking.count,
            "crashes": self.crashes,
        }
