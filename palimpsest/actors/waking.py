"""Actors wake: a cold one is read from the archive, many in one hop, and goes on by what the tail has of it.

The actor of a branch becomes what the document's record says that the branch is: one that goes on from its own versions, one that has
none yet and shares its base's value, or one that is not there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from palimpsest.actors.document import UNKNOWN, DocumentActor, key_of
from palimpsest.actors.jobs import Job
from palimpsest.actors.stream import Stream
from palimpsest.errors import PalimpsestError, VersionPruned
from palimpsest.state.lines import live_line
from palimpsest.storage.contracts import Archive, Stretch
from palimpsest.words import MAIN, RECORD, Node

if TYPE_CHECKING:
    from palimpsest.actors.registry import Registry

_TOGETHER = 64


class Waking:
    """Of a registry's actors, those that are about to wake. Called when what they are made of can be read."""

    def __init__(self, registry: Registry, archive: Archive, start_job: Callable[[Job], None]) -> None:
        self._registry = registry
        self._tail = registry.tail
        self._builder = registry.builder
        self._limits = registry.limits
        self._archive = archive
        self._start_job = start_job
        self._asleep: deque[DocumentActor] = deque()
        self._is_at_it = False
        self.count = 0
        """Of actors that have woken since the start."""

    def __len__(self) -> int:
        """How many wait to be read."""
        return len(self._asleep)

    def add(self, actor: DocumentActor) -> None:
        """It wakes with the next that does, or at `start`."""
        self._asleep.append(actor)

    def wake(self, actor: DocumentActor) -> None:
        self._asleep.append(actor)
        self.start()

    def start(self) -> None:
        if self._asleep and not self._is_at_it:
            self._is_at_it = True
            self._start_job(self._wake_all)

    async def _wake_all(self) -> None:
        try:
            while self._asleep:
                together = [self._asleep.popleft() for _ in range(min(_TOGETHER, len(self._asleep)))]
                await self._wake_together(together)
        finally:
            self._is_at_it = False

    async def _wake_together(self, actors: list[DocumentActor]) -> None:
        streams = [(actor.document, actor.branch) for actor in actors]
        records = list({(actor.document, RECORD): None for actor in actors})
        try:
            stretches = await self._load(streams + records)
        except PalimpsestError as error:
            for actor in actors:
                self._registry.drop(actor, error)
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
                self._registry.drop_crashed(actor, error)
        for actor in actors:
            if self._registry.actors.get(actor.key) is actor:
                await self._rise(actor, found[actor.document, actor.branch])

    async def _rise(self, actor: DocumentActor, stretch: Stretch | None) -> None:
        """The last step of waking. stretch: what the archive knows of its stream."""
        try:
            if actor.branch not in (MAIN, RECORD):
                await self._find_line(actor, stretch)
        except PalimpsestError as error:
            self._registry.drop(actor, error)
            return
        except Exception as error:
            self._registry.drop_crashed(actor, error)
            return
        if self._registry.actors.get(actor.key) is actor:
            actor.durable = actor.version
            actor.asleep = False
            self.count += 1
            actor.drain()

    async def _find_line(self, actor: DocumentActor, stretch: Stretch | None) -> None:
        """The actor of a branch becomes what the branch is, as its record says at the end of it."""
        document, branch = actor.document, actor.branch
        archived, at = (0, 0) if stretch is None else (stretch.head.version, stretch.head.at)
        while True:
            line = live_line(actor.record, branch)
            newest = archived = max(archived, self._builder.newest_in_tail(document, branch) or 0)
            has_own = line is not None and newest >= line.first
            base = (branch, newest) if has_own or (line is None and newest) else None if line is None else line.base
            value = (
                None if base is None else self._standing_at(document, base) or await self._builder.at(document, *base)
            )
            again = self._builder.newest_in_tail(document, branch) or 0
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
            own = self._registry.tail_positions(actor.key)
            at = max(at, max((self._tail.row(position).event.at for position in own), default=0))
            actor.line, actor.newest_before, actor.at = None, newest, at
            actor.begin_line(line, value)

    def _standing_at(self, document: str, node: Node) -> Stream | None:
        """The actor whose newest version that is, so that the branch shares its value."""
        actor = self._registry.actors.get(key_of(document, node[0]))
        if actor is None or actor.asleep or actor.is_absent or (actor.version, actor.durable) != (node[1], node[1]):
            return None
        return actor

    async def _load(self, streams: list[tuple[str, str]]) -> list[Stretch | None]:
        """What the archive knows, all that the tail does not have any more included."""
        while True:
            start = self._tail.start
            stretches = await self._archive.load(streams)
            if self._tail.start == start:  # otherwise something may have left the tail that was not in the archive yet
                return stretches

    def _revive(self, stream: Stream, stretch: Stretch | None) -> None:
        """stream becomes what the archive knows, and what the tail has beyond it."""
        if stretch is not None:
            stream.load(stretch)
        for position in list(self._registry.tail_positions(key_of(stream.document, stream.branch))):
            row = self._tail.row(position)
            if row.event.version > stream.version:
                stream.replay(row)

    def _known_record(self, document: str) -> Any:
        """The record as another actor of the document has it, which all of them share; UNKNOWN where none has."""
        others = self._registry.awake_branches(document)
        return next(
            (actor.record for actor in others if actor.branch != RECORD and actor.record is not UNKNOWN), UNKNOWN
        )

    def _record(self, document: str, stretch: Stretch | None) -> Any:
        """The durable value of a document's record; None where it has none."""
        if stretch is None and not self._registry.tail_positions(key_of(document, RECORD)):
            return None
        record = Stream(document, RECORD, self._limits)
        self._revive(record, stretch)
        return record.value() if record.exists else None
