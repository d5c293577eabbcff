"""Transactions are taken: what one may ask, its way through the mailboxes of its documents, and what becomes of a repeat.

Nothing of one is decided before it heads the inbox of all of its actors, or all of them are free; then everything is, in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from palimpsest.actors.asking import bug
from palimpsest.actors.committer import Asker
from palimpsest.actors.document import DocumentActor, check_key, identity_of
from palimpsest.actors.jobs import Job
from palimpsest.actors.transaction import SILENT, Task, Transaction, TransactionAnswer, write_of
from palimpsest.errors import InvalidRequest, LimitExceeded, Overloaded, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.protocol.messages import GUARD, Part, Transact
from palimpsest.storage.contracts import Archive
from palimpsest.words import MAIN, Kind

if TYPE_CHECKING:
    from palimpsest.actors.registry import Registry

_WRITTEN = frozenset((int(Kind.CREATE), int(Kind.UPDATE), int(Kind.DELETE), GUARD))


def check_parts(message: Transact, limits: Limits) -> None:
    """Raises InvalidRequest or LimitExceeded."""
    parts = message.parts
    if not parts or all(part.kind == GUARD for part in parts):
        raise InvalidRequest("a transaction that changes nothing", reason="no parts")
    if message.at is not None and message.at < 0:
        raise InvalidRequest("a time before 1970", reason="at")
    check_key(message.key, limits)
    maximum = limits.transaction_documents_max
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


class Transactions:
    """Over a registry's actors. slowly: told of a transaction in which a branch may have to be made, or versions joined."""

    def __init__(
        self,
        registry: Registry,
        archive: Archive,
        start_job: Callable[[Job], None],
        slowly: Callable[[Transact, Asker, int], None],
    ) -> None:
        self._registry = registry
        self._archive = archive
        self._start_job = start_job
        self._slowly = slowly

    def ask(self, message: Transact, asker: Asker, now: int) -> None:
        """Raises nothing; the asker hears."""
        try:
            if self._registry.refusal is not None:
                raise self._registry.refusal
            check_parts(message, self._registry.limits)
            tasks = [
                Task(self._registry.actor(part.document, part.branch), write_of(message, part))
                for part in message.parts
            ]
        except PalimpsestError as error:
            asker.fail(message.id, error)
            return
        now = now if message.at is None else min(message.at, now)
        if any(_is_special(task.actor, part) for task, part in zip(tasks, message.parts, strict=True)):
            self._slowly(message, asker, now)
        else:
            self.together(message, tasks, asker, now)

    def together(self, request: Any, tasks: Sequence[Task], asker: Asker, now: int) -> None:
        """All of tasks or none, in their order. request: with id, key and repeat; answered by a `Transacted`. Raises nothing."""
        transaction = Transaction(request, asker, now, tasks)
        actors, maximum = transaction.actors, self._registry.mailbox_items_max
        for actor in actors:
            if actor.pending >= maximum:
                error = Overloaded(
                    f"the mailbox of {actor.document!r} is full",
                    limit="mailbox_items_max",
                    maximum=maximum,
                )
                asker.fail(request.id, error)
                return
            actor.used = self._registry.tick
        ready = transaction.looked_up and not self._registry.committer.blocked
        if ready and all(actor.inbox is None for actor in actors):
            self._execute(transaction)
            return
        free = [actor for actor in actors if actor.inbox is None]
        for actor in actors:
            actor.enqueue(transaction, asker, now)
        for actor in free:
            actor.drain()

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

    def abandon(self, transaction: Transaction, error: PalimpsestError) -> None:
        """One of its documents cannot go on: the others are freed."""
        if transaction.over:
            return
        transaction.over = True
        transaction.asker.fail(transaction.message.id, error)
        self._free(transaction)

    def _all_arrived(self, transaction: Transaction) -> None:
        if transaction.over:  # it waited for room, and the batch that it waited for failed
            return
        if not transaction.looked_up:
            transaction.looked_up = True
            self._recall(transaction)
        elif self._registry.committer.blocked:
            self._registry.stall(self._all_arrived, transaction)
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
            self._registry.log_crash(message.id, error)
            asker.fail(message.id, bug(error))
            return
        answer = TransactionAnswer(asker, [event for _, event, is_told in made if is_told])
        for index, (actor, event, _) in enumerate(made):
            actor.pending += 1
            last = index == len(made) - 1
            self._registry.committer.add((actor, answer if last else SILENT, message.id, event), actor.delta_bytes)
            if actor.seen is not None:
                actor._remember(event)

    def _free(self, transaction: Transaction) -> None:
        """It is over: every actor that it held goes on."""
        for actor in transaction.arrived:
            actor.drain()

    def _recall(self, transaction: Transaction) -> None:
        identity = identity_of(transaction.message, transaction.asker)
        found = [actor.recall(identity) for actor in transaction.told]
        if all(found):
            self._answer_repeat(transaction, found)
            return
        self._start_job(lambda: self._look(transaction))

    async def _look(self, transaction: Transaction) -> None:
        message, asker = transaction.message, transaction.asker
        made: list[tuple[int, int] | None] = []
        try:
            for actor in transaction.told:
                row = await self._archive.find_request(
                    actor.document, actor.branch, origin=asker.client, request=message.id, key=message.key
                )
                made.append(None if row is None else (row.event.version, row.event.at))
        except PalimpsestError as error:
            self.abandon(transaction, error)
            return
        if transaction.over:
            return
        if all(made):
            self._answer_repeat(transaction, made)
        else:
            self._all_arrived(transaction)

    def _answer_repeat(self, transaction: Transaction, made: list[tuple[int, int] | None]) -> None:
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
