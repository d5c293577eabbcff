"""Finds, wakes and passivates actors, and routes commands to them.

A document that nobody asks for costs nothing. One that is asked for becomes an actor: a cold one is read from the archive,
many in one hop, and goes on by what the tail has of it. An actor stays as long as the tail has events of its stream; after
that it goes when it is idle, or when memory is short.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import anyio

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
    check_key,
    identity_of,
    key_of,
    make_actor,
)
from palimpsest.actors.jobs import Job
from palimpsest.actors.stream import Stream, ends, is_whole
from palimpsest.actors.tail import Tail
from palimpsest.actors.transaction import SILENT, Task, Transaction, TransactionAnswer, write_of
from palimpsest.errors import (
    InternalError,
    InvalidName,
    InvalidRequest,
    LimitExceeded,
    Overloaded,
    PalimpsestError,
    VersionPruned,
)
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import GUARD, Part, Transact
from palimpsest.state.lines import live_line
from palimpsest.state.names import check_branch, check_name
from palimpsest.state.ops import decode_delta
from palimpsest.state.schemas import Schemas
from palimpsest.state.system import check_system
from palimpsest.state.working import apply_delta
from palimpsest.storage.contracts import Archive, Stretch
from palimpsest.storage.events import Batch, Event
from palimpsest.words import MAIN, RECORD, Kind, Node

log = get_logger("palimpsest.actors")

_WAKE_TOGETHER = 64
_UPDATE, _DELETE, _ERASE = int(Kind.UPDATE), int(Kind.DELETE), int(Kind.ERASE)
_WRITTEN = frozenset((int(Kind.CREATE), int(Kind.UPDATE), int(Kind.DELETE), GUARD))


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
        self.wakes = 0
        self.awake_bytes = 0
        """Of memory, estimated, as of the last sweep."""
        self.look_up = look_up
        self.on_absent = absent
        self.builder = Builder(
            archive, tail, limits, lambda document, branch: self.tail_positions(key_of(document, branch))
        )
        self._transact_slowly = transact_slowly
        self._branches: dict[str, dict[str, DocumentActor]] = {}
        """The actors of branches other than `main`, by document and by branch."""
        self._archive = archive
        self._start_job = start_job
        self._dropped: dict[Key, deque[int]] = {}
        """Of actors that were dropped: the tail's positions of their streams, for whoever is woken in their place."""
        self._asleep: deque[DocumentActor] = deque()
        self._waking = False
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
            self._wake(actor)
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

    def transact(self, message: Transact, asker: Asker, now: int) -> None:
        """Raises nothing; the asker hears."""
        try:
            if self.refusal is not None:
                raise self.refusal
            self._check_parts(message)
            tasks = [Task(self.actor(part.document, part.branch), write_of(message, part)) for part in message.parts]
        except PalimpsestError as error:
            asker.fail(message.id, error)
            return
        now = now if message.at is None else min(message.at, now)
        if any(_is_special(task.actor, part) for task, part in zip(tasks, message.parts, strict=True)):
            self._transact_slowly(message, asker, now)
        else:
            self.together(message, tasks, asker, now)

    def together(self, request: Any, tasks: Sequence[Task], asker: Asker, now: int) -> None:
        """All of tasks or none, in their order. request: with id, key and repeat; answered by a `Transacted`. Raises nothing."""
        transaction = Transaction(request, asker, now, tasks)
        actors = transaction.actors
        for actor in actors:
            if actor.pending >= self.mailbox_items_max:
                error = Overloaded(
                    f"the mailbox of {actor.document!r} is full",
                    limit="mailbox_items_max",
                    maximum=self.mailbox_items_max,
                )
                asker.fail(request.id, error)
                return
            actor.used = self.tick
        ready = transaction.looked_up and not self.committer.blocked
        if ready and all(actor.inbox is None for actor in actors):
            self._execute(transaction)
            return
        free = [actor for actor in actors if actor.inbox is None]
        for actor in actors:
            actor.enqueue(transaction, asker, now)
        for actor in free:
            actor.drain()

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
        self._stalled.append((actor.drain, ()))

    def on_room(self) -> None:
        for _ in range(len(self._stalled)):
            if self.committer.blocked:
                return
            step, arguments = self._stalled.popleft()
            step(*arguments)

    # --- transactions --------------------------------------------------------------------------------------------

    def arrive(self, actor: DocumentActor, transaction: Transaction) -> bool:
        """The transaction heads actor's inbox. True: it was over before, and the inbox goes on. False: it waits, or this
        was the last actor that it needed; then everything is done, the rest of this inbox included."""
        if transaction.over:
            assert actor.inbox is not None
            actor.inbox.popleft()
            actor.pending -= 1
            return True
        transaction.arrived.add(actor)
        if len(transaction.arrived) == len(transaction.actors):
            self._all_arrived(transaction)
        return False

    def abandon_transaction(self, transaction: Transaction, error: PalimpsestError) -> None:
        """One of its documents cannot go on: the others are freed."""
        if transaction.over:
            return
        transaction.over = True
        transaction.asker.fail(transaction.message.id, error)
        self._free(transaction)

    def _check_parts(self, message: Transact) -> None:
        parts = message.parts
        if not parts or all(part.kind == GUARD for part in parts):
            raise InvalidRequest("a transaction that changes nothing", reason="no parts")
        if message.at is not None and message.at < 0:
            raise InvalidRequest("a time before 1970", reason="at")
        check_key(message.key, self.limits)
        maximum = self.limits.transaction_documents_max
        if len(parts) > maximum:
            raise LimitExceeded(
                f"a transaction of {len(parts)} documents; transaction_documents_max is {maximum}",
                limit="transaction_documents_max",
                maximum=maximum,
                actual=len(parts),
            )
        for part in parts:
            if part.kind not in _WRITTEN:
                raise InvalidRequest(f"{part.document!r}: no kind {part.kind}", reason="kind")
            if part.kind == GUARD and (part.expect is None or part.base is not None or part.merged):
                raise InvalidRequest(f"{part.document!r}: a guard has a version to expect, and no more", reason="guard")
        if len({(part.document, part.branch) for part in parts}) < len(parts):
            raise InvalidRequest("a document branch twice in one transaction", reason="twice")

    def _all_arrived(self, transaction: Transaction) -> None:
        if transaction.over:  # it waited for room, and the batch that it waited for failed
            return
        if not transaction.looked_up:
            transaction.looked_up = True
            self._recall_transaction(transaction)
        elif self.committer.blocked:
            self._stalled.append((self._all_arrived, (transaction,)))
        else:
            transaction.over = True
            self._execute(transaction)
            self._free(transaction)

    def _execute(self, transaction: Transaction) -> None:
        message, asker = transaction.message, transaction.asker
        try:
            made = transaction.decide()
        except PalimpsestError as error:
            asker.fail(message.id, error)
            return
        except Exception as error:
            self._log_crash(message.id, error)
            asker.fail(message.id, _internal_error(error))
            return
        answer = TransactionAnswer(asker, [event for _, event, is_told in made if is_told])
        for index, (actor, event, _) in enumerate(made):
            actor.pending += 1
            last = index == len(made) - 1
            self.committer.add((actor, answer if last else SILENT, message.id, event), actor.delta_bytes)
            if actor.seen is not None:
                actor._remember(event)

    def _free(self, transaction: Transaction) -> None:
        """It is over: every actor that it held goes on."""
        for actor in transaction.arrived:
            actor.drain()

    def _recall_transaction(self, transaction: Transaction) -> None:
        identity = identity_of(transaction.message, transaction.asker)
        found = [actor.recall(identity) for actor in transaction.told]
        if all(found):
            self._answer_transaction_repeat(transaction, found)
            return
        self._start_job(lambda: self._look_for_transaction(transaction))

    async def _look_for_transaction(self, transaction: Transaction) -> None:
        message, asker = transaction.message, transaction.asker
        made: list[tuple[int, int] | None] = []
        try:
            for actor in transaction.told:
                row = await self._archive.find_request(
                    actor.document, actor.branch, origin=asker.client, request=message.id, key=message.key
                )
                made.append(None if row is None else (row.event.version, row.event.at))
        except PalimpsestError as error:
            self.abandon_transaction(transaction, error)
            return
        if transaction.over:
            return
        if all(made):
            self._answer_transaction_repeat(transaction, made)
        else:
            self._all_arrived(transaction)

    def _answer_transaction_repeat(self, transaction: Transaction, made: list[tuple[int, int] | None]) -> None:
        """Once the last of the versions is durable, all are: they are in one batch."""
        transaction.over = True
        id, asker = transaction.message.id, transaction.asker
        events: list[Any] = []
        for actor, found in zip(transaction.told, made, strict=True):
            assert found is not None
            events.append(_Version(actor.document, actor.branch, found[0], found[1]))
        answer = TransactionAnswer(asker, events, repeat=True).message(id)
        last, version = transaction.told[-1], events[-1].version
        if version <= last.durable:
            asker.reply(answer)
        else:
            last.pending += 1
            last._wait(version, asker, answer)
        self._free(transaction)

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
                self._asleep.append(actor)
            actor.positions.append(position)
            self._note_existence(position, event)

    def start_waking(self) -> None:
        if self._asleep and not self._waking:
            self._waking = True
            self._start_job(self._wake_all)

    def _wake(self, actor: DocumentActor) -> None:
        self._asleep.append(actor)
        self.start_waking()

    async def _wake_all(self) -> None:
        try:
            while self._asleep:
                together = [self._asleep.popleft() for _ in range(min(_WAKE_TOGETHER, len(self._asleep)))]
                await self._wake_together(together)
        finally:
            self._waking = False

    async def _wake_together(self, actors: list[DocumentActor]) -> None:
        streams = [(actor.document, actor.branch) for actor in actors]
        records = list({(actor.document, RECORD): None for actor in actors})
        try:
            stretches = await self._load(streams + records)
        except PalimpsestError as error:
            for actor in actors:
                self._drop(actor, error)
            return
        found = dict(zip(streams + records, stretches, strict=True))
        for actor in actors:
            try:
                if actor.branch == RECORD:
                    actor.record = None
                    self._revive(actor, found[actor.document, RECORD])
                    continue
                known = self._known_record(actor.document)
                actor.record = (
                    self._record(actor.document, found[actor.document, RECORD]) if known is UNKNOWN else known
                )
                if actor.branch == MAIN:
                    self._revive(actor, found[actor.document, MAIN])
            except Exception as error:
                self._log_crash(0, error)
                self._drop(actor, _internal_error(error))
        for actor in actors:
            if self.actors.get(actor.key) is actor:
                await self._rise(actor, found[actor.document, actor.branch])

    async def _rise(self, actor: DocumentActor, stretch: Stretch | None) -> None:
        """The last step of waking. stretch: what the archive knows of its stream."""
        try:
            if actor.branch not in (MAIN, RECORD):
                await self._find_line(actor, stretch)
        except PalimpsestError as error:
            self._drop(actor, error)
            return
        except Exception as error:
            self._log_crash(0, error)
            self._drop(actor, _internal_error(error))
            return
        if self.actors.get(actor.key) is actor:
            actor.durable = actor.version
            actor.asleep = False
            self.wakes += 1
            actor.drain()

    async def _find_line(self, actor: DocumentActor, stretch: Stretch | None) -> None:
        """The actor of a branch becomes what the branch is, as its record says at the end of it."""
        document, branch = actor.document, actor.branch
        archived, at = (0, 0) if stretch is None else (stretch.head.version, stretch.head.at)
        while True:
            line = live_line(actor.record, branch)
            newest = archived = max(archived, self.builder.newest_in_tail(document, branch) or 0)
            has_own = line is not None and newest >= line.first
            base = (branch, newest) if has_own or (line is None and newest) else None if line is None else line.base
            value = (
                None if base is None else self._standing_at(document, base) or await self.builder.at(document, *base)
            )
            again = self.builder.newest_in_tail(document, branch) or 0
            if live_line(actor.record, branch) == line and again <= newest:
                break
        if base is not None and value is None:
            raise VersionPruned(
                f"version {base[1]} of {document!r}, on {base[0]!r}, is not kept any more",
                document=document,
                branch=base[0],
                version=base[1],
                newest=newest,
                oldest=None,
            )
        if line is None:
            actor.be_absent(value, newest)
        elif has_own:
            actor.go_on(line, value, newest)
        else:
            # What was made under the name before is older than what is made now, whatever the clock says.
            at = max(at, max((self.tail.row(place).event.at for place in self.tail_positions(actor.key)), default=0))
            actor.line, actor.newest_before, actor.at = None, newest, at
            actor.begin_line(line, value)

    def _standing_at(self, document: str, node: Node) -> Stream | None:
        """The actor whose newest version that is, so that the branch shares its value."""
        actor = self.actors.get(key_of(document, node[0]))
        if actor is None or actor.asleep or actor.is_absent or (actor.version, actor.durable) != (node[1], node[1]):
            return None
        return actor

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

    async def _load(self, streams: list[tuple[str, str]]) -> list[Stretch | None]:
        """What the archive knows, all that the tail does not have any more included."""
        while True:
            start = self.tail.start
            stretches = await self._archive.load(streams)
            if self.tail.start == start:  # otherwise something may have left the tail that was not in the archive yet
                return stretches

    def _revive(self, stream: Stream, stretch: Stretch | None) -> None:
        """stream becomes what the archive knows, and what the tail has beyond it."""
        if stretch is not None:
            stream.load(stretch)
        for position in list(self.tail_positions(key_of(stream.document, stream.branch))):
            row = self.tail.row(position)
            if row.event.version > stream.version:
                stream.replay(row)

    def tail_positions(self, key: Key) -> Sequence[int]:
        """Of the events of a stream that the tail has, in order."""
        actor = self.actors.get(key)
        if actor is not None:
            return actor.tail_positions()
        return [position for position in self._dropped.get(key, ()) if position >= self.tail.start]

    def _known_record(self, document: str) -> Any:
        """The record as another actor of the document has it, which all of them share; UNKNOWN where none has."""
        others = self.awake_branches(document)
        return next(
            (actor.record for actor in others if actor.branch != RECORD and actor.record is not UNKNOWN), UNKNOWN
        )

    def _record(self, document: str, stretch: Stretch | None) -> Any:
        """The durable value of a document's record; None where it has none."""
        if stretch is None and not self.tail_positions(key_of(document, RECORD)):
            return None
        record = Stream(document, RECORD, self.limits)
        self._revive(record, stretch)
        return record.value() if record.exists else None

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
                self._drop(actor, error)
        for actor in failed.values():
            if actor.branch == RECORD:
                self._drop_unsaid(actor.document, error)

    def _drop_unsaid(self, document: str, error: PalimpsestError) -> None:
        """Branches that began or ended with what failed, and have no event of their own among it, are dropped, too."""
        for actor in list(self._branches.get(document, {}).values()):
            if actor.branch == RECORD or actor.asleep:
                continue
            if live_line(actor.record, actor.branch) != actor.line:
                self._drop(actor, error)

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
        self._log_crash(id, error, document=actor.document)
        internal = _internal_error(error)
        asker.fail(id, internal)
        actor.abandon(internal)
        fresh = self._put(make_actor(actor.document, actor.branch, self))
        fresh.positions = actor.positions  # the committer's entries still speak of the old actor

        async def wake() -> None:
            await self.committer.quiet()
            if self.actors.get(fresh.key) is fresh:
                self._wake(fresh)

        self._start_job(wake)

    def _drop(self, actor: DocumentActor, error: PalimpsestError) -> None:
        """Forgets the actor, nothing of which is undecided; the next command wakes it from the log. Not sooner: what made
        it fail may still be so."""
        if self.actors.get(actor.key) is actor:
            self._forget(actor)
        actor.abandon(error)

    def _forget(self, actor: DocumentActor) -> None:
        self._remove(actor)
        if positions := actor.tail_positions():
            self._dropped[actor.key] = deque(positions)

    def _log_crash(self, id: int, error: Exception, **context: Any) -> None:
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
            "asleep": len(self._asleep),
            "stalled": len(self._stalled),
            "wakes": self.wakes,
            "crashes": self.crashes,
        }


def _is_special(actor: DocumentActor, part: Part) -> bool:
    """Whether a transaction's part may need more than its actor: a branch to be made, or versions to be looked up."""
    if part.base is not None or part.merged:
        return True
    return actor.branch is not MAIN and (actor.asleep or actor.is_absent)


class _Version:
    """What `TransactionAnswer` asks of an event, for one that is not at hand."""

    __slots__ = ("at", "branch", "document", "version")

    def __init__(self, document: str, branch: str, version: int, at: int) -> None:
        self.document = document
        self.branch = branch
        self.version = version
        self.at = at


def _internal_error(error: Exception) -> InternalError:
    return InternalError(f"the server failed: {type(error).__name__}; it is logged there")
