"""Several documents that change as one: one request, one entry in the log, whole or not at all.

A transaction goes through the mailbox of each of its documents. Where one of them cannot decide at once, it waits at the
head of every inbox until it is at the head of all; they got it in one step, so that two transactions never wait for
each other in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from palimpsest.actors.commands import seen
from palimpsest.actors.committer import Asker
from palimpsest.actors.joining import SILENT_COMMANDS, Guard
from palimpsest.errors import PalimpsestError
from palimpsest.protocol.messages import GUARD, Create, Delete, Made, Part, Transact, Transacted, Update
from palimpsest.storage.events import Event
from palimpsest.words import Kind

if TYPE_CHECKING:
    from palimpsest.actors.document import DocumentActor, Write

Prepared = Callable[[], "Write"]
"""A write that follows from those before it, once they are decided."""


class Task(msgspec.Struct, frozen=True, gc=False):
    """One step of a transaction. told: the answer names the version that it makes. silent: what is prepared makes none."""

    actor: Any
    write: Any
    """A Write, or Prepared."""
    told: bool = True
    silent: bool = False

    @property
    def is_silent(self) -> bool:
        """It makes no version."""
        return self.silent or type(self.write) in SILENT_COMMANDS


class Transaction:
    """A transaction that is under way. request: its message, with id, key and repeat."""

    def __init__(self, request: Any, asker: Asker, now: int, tasks: Sequence[Task]) -> None:
        self.message = request
        self.asker = asker
        self.now = now
        self.tasks = tasks
        self.actors: list[DocumentActor] = list(dict.fromkeys(task.actor for task in tasks))
        self.arrived: set[DocumentActor] = set()
        """The actors whose inbox it heads."""
        self.looked_up = not request.repeat and request.key is None
        """It is known that this request was not applied before."""
        self.over = False

    @property
    def told(self) -> list[DocumentActor]:
        """The actors whose versions the answer names."""
        return [task.actor for task in self.tasks if task.told and not task.is_silent]

    def decide(self) -> list[tuple[DocumentActor, Event, bool]]:
        """Decides every task, or none: raises what a decision raises, when all is as it was. Events, and whether they are told of."""
        marks = [actor.mark() for actor in self.actors]
        left = sum(not task.is_silent for task in self.tasks)
        made: list[tuple[DocumentActor, Event, bool]] = []
        try:
            for task in self.tasks:
                left -= not task.is_silent
                write = task.write() if callable(task.write) else task.write
                event = task.actor.decisions[type(write)](task.actor, write, self.asker.client, self.now, left)
                if event is not None:
                    made.append((task.actor, event, task.told))
        except BaseException:
            for actor, mark in zip(self.actors, marks, strict=True):
                actor.restore(mark)
            raise
        return made


class SeenTransact(Transact, frozen=True):
    """A transaction in the words of a view. lens: what the view is."""

    lens: Any = None


def write_of(message: Transact, part: Part) -> Write:
    """What a part of a transaction asks of its document."""
    write = _write_of(message, part)
    lens = message.lens if type(message) is SeenTransact else None
    return write if lens is None or type(write) is Guard else seen(lens, write)  # type: ignore[arg-type]


def _write_of(message: Transact, part: Part) -> Write:
    id, meta, key = message.id, message.meta, message.key
    if part.kind == Kind.UPDATE:
        return Update(id, part.document, part.body, part.branch, part.expect, False, meta, key)
    if part.kind == Kind.CREATE:
        return Create(id, part.document, part.body, part.branch, False, meta, key)
    if part.kind == Kind.DELETE:
        return Delete(id, part.document, part.branch, part.expect, False, meta, key)
    assert part.kind == GUARD, part.kind
    return Guard(id, part.document, part.branch, expect=part.expect, told=True)


class TransactionAnswer:
    """Asks for the last event of a transaction, and answers for all of them."""

    def __init__(self, asker: Asker, events: Sequence[Any], repeat: bool = False) -> None:
        self.client = asker.client
        self._asker = asker
        self._events = events
        self._repeat = repeat

    def committed(self, id: int, version: int, at: int) -> None:
        self._asker.reply(self.message(id))

    def message(self, id: int) -> Transacted:
        made = tuple(Made(event.document, event.branch, event.version) for event in self._events)
        return Transacted(id, max((event.at for event in self._events), default=0), made, self._repeat)

    def reply(self, message: object) -> None:
        self._asker.reply(message)

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._asker.fail(id, error)


class Silent:
    """Asks for the other events of a transaction: the last one's asker speaks for them."""

    client = ""

    def committed(self, id: int, version: int, at: int) -> None:
        pass

    def reply(self, message: object) -> None:
        pass

    def fail(self, id: int, error: PalimpsestError) -> None:
        pass


SILENT = Silent()
