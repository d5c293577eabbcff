"""Several documents that change as one: one request, one entry in the log, whole or not at all.

A transaction goes through the mailbox of each of its documents. Where one of them cannot decide at once, it waits at the
head of every inbox until it is at the head of all; they got it in one step, so that two transactions never wait for
each other in a circle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from palimpsest.actors.commands import Remove
from palimpsest.actors.committer import Asker
from palimpsest.errors import PalimpsestError
from palimpsest.protocol.messages import Create, Delete, Made, Part, Transact, Transacted, Update
from palimpsest.storage.events import Event
from palimpsest.words import Kind

if TYPE_CHECKING:
    from palimpsest.actors.document import DocumentActor, Write


class Transaction:
    """A transaction that is under way. actors: in the order of its parts, none twice."""

    def __init__(self, message: Transact, asker: Asker, now: int, actors: list[DocumentActor]) -> None:
        self.message = message
        self.asker = asker
        self.now = now
        self.actors = actors
        self.arrived: set[DocumentActor] = set()
        """The actors whose inbox it heads."""
        self.looked_up = not message.repeat and message.key is None
        """It is known that this request was not applied before."""
        self.over = False

    def decide(self) -> list[tuple[DocumentActor, Event]]:
        """Decides every part, or none: raises what a part's decision raises, when all is as it was."""
        message, last = self.message, len(self.actors) - 1
        marks = [actor.mark() for actor in self.actors]
        made: list[tuple[DocumentActor, Event]] = []
        try:
            for index, (actor, part) in enumerate(zip(self.actors, message.parts, strict=True)):
                made.append((actor, self._decide_part(actor, part, last - index)))
        except BaseException:
            for actor, mark in zip(self.actors, marks, strict=True):
                actor.restore(mark)
            raise
        return made

    def _decide_part(self, actor: DocumentActor, part: Part, more: int) -> Event:
        message, origin, now = self.message, self.asker.client, self.now
        id, meta, key = message.id, message.meta, message.key
        write: Write
        if part.kind == Kind.UPDATE:
            write = Update(id, part.document, part.body, part.branch, part.expect, False, meta, key)
        elif part.kind == Kind.CREATE:
            write = Create(id, part.document, part.body, part.branch, False, meta, key)
        elif part.kind == Kind.DELETE:
            write = Delete(id, part.document, part.branch, part.expect, False, meta, key)
        else:
            write = Remove(id, part.document, part.branch, False, meta, key, part.expect)
        return actor.decisions[type(write)](actor, write, origin, now, more)


class TransactionAnswer:
    """Asks for the last event of a transaction, and answers for all of them."""

    def __init__(self, asker: Asker, events: list[Event], repeat: bool = False) -> None:
        self.client = asker.client
        self._asker = asker
        self._events = events
        self._repeat = repeat

    def committed(self, id: int, version: int, at: int) -> None:
        self._asker.reply(self.message(id))

    def message(self, id: int) -> Transacted:
        made = tuple(Made(event.document, event.branch, event.version) for event in self._events)
        return Transacted(id, max(event.at for event in self._events), made, self._repeat)

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
