"""What requests about branches are prepared with: actors that are awake, the branch that stands in for one of many documents, and
transactions that begin a branch with the first write to it.

All of it comes from durable versions, and is then decided in one transaction that holds what it was prepared with; where that has changed
meanwhile, it is prepared again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from palimpsest.actors.asking import Question
from palimpsest.actors.committer import Asker
from palimpsest.actors.document import DocumentActor, Ready, Write
from palimpsest.actors.jobs import Job
from palimpsest.actors.joining import Begin, Guard, Inscribe, Take
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Registry
from palimpsest.actors.transaction import Task
from palimpsest.errors import (
    BranchExists,
    BranchNotFound,
)
from palimpsest.protocol import messages as m
from palimpsest.state.branching import Fork, Join, Moved
from palimpsest.state.lines import Line, first_version, locate
from palimpsest.state.record import pruned
from palimpsest.state.system import BRANCHES, shared_base
from palimpsest.storage.contracts import Archive
from palimpsest.words import MAIN, RECORD, Meta, Node

_ATTEMPTS_MAX = 32
PAGE = 256
"""Of names that are looked through."""


class Wanted(msgspec.Struct, frozen=True):
    """A write, and where its branch begins, if it has to be made. base: None where that is not said; merged: what the version takes in."""

    document: str
    branch: str
    write: Any
    base: Node | None = None
    merged: tuple[Node, ...] = ()


class Start(msgspec.Struct, frozen=True):
    """Where a branch begins. base: None where value is the actor of the branch that stands in for it, which is held: then it is that one's
    newest version, whichever it is when all is decided; or where there is none. seen: see `Fork`."""

    branch: str
    base: Node | None
    value: Any
    seen: int
    meta: Meta | None
    at: int
    held: Sequence[Task] = ()

    def beginning(self, id: int, actor: DocumentActor) -> Callable[[], Begin]:
        """To be decided right before the write that begins the branch."""
        newest = actor.newest_own

        def begin() -> Begin:
            base = self.base
            if base is None and self.value is not None:
                base = head_of(self.value)
            line = Line(self.branch, first_version(base, newest), base, None, self.at, self.meta)
            return Begin(id, actor.document, actor.branch, expect=newest, line=line, value=self.value)

        return begin


class Preparing:
    """start_read: runs a job that answers asker; as the partition does."""

    def __init__(
        self,
        archive: Archive,
        registry: Registry,
        reader: Reader,
        start_read: Callable[[int, Asker, Job], None],
    ) -> None:
        self._archive = archive
        self._registry = registry
        self._reader = reader
        self._start_read = start_read

    async def awake(self, document: str, branch: str) -> DocumentActor:
        """The actor, with all durable that was asked of it before. Raises InvalidName, and what stands in the way of reading it."""
        question = Question()
        self._registry.hand(self._registry.actor(document, branch), Ready(0, document, branch), question, 0)
        actor = await question.result()
        assert isinstance(actor, DocumentActor)
        return actor

    async def present(self, document: str, branch: str) -> DocumentActor:
        """As `awake`, of the branch that stands in for one of many documents. Raises BranchNotFound."""
        actor = await self.awake(document, branch)
        passed = {branch}
        while actor.is_absent:
            other = await self.stand_in(document, actor.branch)
            if other is None or other in passed:
                raise no_branch(document, branch)
            passed.add(other)
            actor = await self.awake(document, other)
        return actor

    async def stand_in(self, document: str, branch: str) -> str | None:
        """The branch that stands in for one of many documents, and that it starts from when it is first written to; None: there is none."""
        shared = await self._shared_actor(branch)
        return None if shared is None or not shared.exists else shared_base(shared.value(), document)

    async def source(self, document: str, place: m.Place) -> DocumentActor:
        """As `present`, for reading from; a version of a deleted branch can be asked for by its number."""
        actor = await self.awake(document, place.branch)
        if actor.is_absent and place.version is not None and actor.newest_own:
            return actor
        return await self.present(document, place.branch)

    async def together(
        self, request: Any, prepare: Callable[[], Awaitable[Sequence[Task]]], client: str, now: int
    ) -> m.Transacted:
        """What prepare gives is decided as one; prepared again where Moved is raised. Raises what stands in the way."""
        made = await self.together_if_any(request, prepare, client, now)
        assert made is not None
        return made

    async def together_if_any(
        self, request: Any, prepare: Callable[[], Awaitable[Sequence[Task]]], client: str, now: int
    ) -> m.Transacted | None:
        """As `together`; None where there is nothing to be done."""
        for attempt in range(_ATTEMPTS_MAX):
            try:
                tasks = await prepare()
                if not tasks:
                    return None
                if all(self._registry.actors.get(task.actor.key) is task.actor for task in tasks):
                    question = Question(client)
                    self._registry.transactions.together(request, tasks, question, now)
                    answer = await question.result()
                    assert isinstance(answer, m.Transacted)
                    return answer
            except Moved:
                if attempt == _ATTEMPTS_MAX - 1:
                    raise
        raise Moved("what this was to be decided with changes all the time")

    async def tasks(self, request: Any, wanted: Iterable[Wanted], now: int) -> list[Task]:
        """What makes the writes, with the branches that they need. request: with id, meta and key."""
        found: list[Task] = []
        for one in wanted:
            actor = await self.awake(one.document, one.branch)
            merged = tuple([await self._node(actor, node) for node in one.merged])
            start = await self._start(actor, one, request.meta, now) if actor.is_absent else None
            if start is not None:
                found += start.held
                found.append(Task(actor, start.beginning(request.id, actor), silent=True))
            if merged:
                found.append(Task(actor, Take(request.id, one.document, one.branch, merged=merged)))
            found.append(Task(actor, one.write))
            if start is not None or merged:
                record = await self.awake(one.document, RECORD)
                found.append(Task(record, inscribing(request, actor, start, merged), told=False))
        return found

    async def _written(self, request: Any, wanted: Sequence[Wanted], client: str, now: int) -> m.Transacted:
        async def prepare() -> Sequence[Task]:
            if is_lookup_due(request):
                actors = [await self.awake(one.document, one.branch) for one in wanted]
                writes = [one.write for one in wanted]
                makes = [actor for actor, write in zip(actors, writes, strict=True) if type(write) is not Guard]
                if all([await self.made_by(actor, request, client) for actor in makes]):
                    # What it made is there, whatever has become of its branches since: it only has to be answered.
                    return [Task(actor, write) for actor, write in zip(actors, writes, strict=True)]
            return await self.tasks(request, wanted, now)

        return await self.together(request, prepare, client, now)

    async def fork(self, actor: DocumentActor, meta: Meta | None, now: int) -> None:
        """The branch is made from the one that stands in for it."""
        base = await self.present(actor.document, actor.branch)
        node = locate(base.record, base.branch, base.durable)
        line = Line(actor.branch, first_version(node, actor.newest_own), node, None, now, meta)
        record = await self.awake(actor.document, RECORD)
        question = Question()
        command = Inscribe(0, actor.document, RECORD, steps=(Fork(line, seen(base, node)),))
        self._registry.hand(record, command, question, now)
        try:
            await question.result()
        except BranchExists:
            return  # somebody else was faster

    async def _start(self, actor: DocumentActor, wanted: Wanted, meta: Meta | None, now: int) -> Start:
        """Where the branch begins that a write needs. Raises BranchNotFound where nothing says that, VersionPruned where it is gone."""
        document, branch = actor.document, actor.branch
        said = None if meta is None else Meta(meta.by, meta.description)
        if wanted.base is not None:
            node = await self._node(actor, wanted.base)
            value = await self._reader.stream_at(actor, node)
            return Start(branch, node, value, seen(actor, node), said, now)
        shared = await self._shared_actor(branch)
        if shared is not None and shared.exists and shared_base(shared.value(), document) is not None:
            said_so = Guard(0, shared.document, MAIN, expect=shared.version)
            base = await self.present(document, branch)
            held = [
                Task(shared, said_so),
                Task(base, Guard(0, document, base.branch)),
            ]
            return Start(branch, None, base if base.version else None, 0, said, now, held)
        main = await self.awake(document, MAIN)
        if main.version or type(getattr(wanted.write, "request", wanted.write)) is not m.Create:
            raise no_branch(document, branch)
        return Start(branch, None, None, 0, said, now, [Task(main, Guard(0, document, MAIN, expect=0))])

    async def _node(self, actor: DocumentActor, said: Node) -> Node:
        """The node of a durable version that somebody speaks of by a branch and a number."""
        of = await self.awake(actor.document, said[0])
        node = locate(actor.record, *said)
        newest = of.newest_own if node is not None and node[0] == of.branch else of.durable
        if node is None or not 1 <= said[1] <= max(newest, of.durable):
            raise of.no_such_version(said[1])
        return node

    async def made_by(self, actor: DocumentActor, request: Any, client: str) -> tuple[int, int] | None:
        """The version that a request has made there and when, None where it has made none."""
        found = actor.recall(request.key if request.key is not None else (client, request.id))
        if found is not None:
            return found
        row = await self._archive.find_request(
            actor.document, actor.branch, origin=client, request=request.id, key=request.key
        )
        return None if row is None else (row.event.version, row.event.at)

    async def names_of(self, prefix: str, after: str) -> AsyncIterator[str]:
        """Names of documents of the server's own that begin with prefix and come after `after`, by name, deleted ones included."""
        while True:
            heads = await self._archive.names(MAIN, prefix=prefix, after=after, limit=PAGE)
            last = heads[-1].document if len(heads) == PAGE else None
            names = {head.document for head in heads}
            recent = (name for name in self._registry.names_awake(MAIN) if name.startswith(prefix) and name > after)
            names.update(name for name in recent if last is None or name <= last)
            for name in sorted(names):
                yield name
            if last is None:
                return
            after = last

    async def _shared_actor(self, branch: str) -> DocumentActor | None:
        """Of the document that says of which documents it is a branch; None where it is too long a name for one of many."""
        name = BRANCHES + branch
        is_too_long = len(name.encode()) > self._registry.limits.name_bytes_max
        return None if is_too_long else await self.awake(name, MAIN)

    async def _was_made_by(self, document: str, branch: str, request: Any, client: str) -> bool:
        """Whether the request was sent before and has made something there."""
        if not is_lookup_due(request):
            return False
        return await self.made_by(await self.awake(document, branch), request, client) is not None

    async def _ask(self, message: Write, client: str, now: int) -> object:
        question = Question(client)
        self._registry.route(message, question, now)
        return await question.result()


def head_of(actor: DocumentActor) -> Node:
    """Where the newest version of a branch was made; (branch, 0) where there is none."""
    line = actor.line
    if line is not None and actor.version < line.first and line.base is not None:
        return line.base
    return actor.branch, actor.version


def is_lookup_due(request: Any) -> bool:
    """Whether the request may have been sent before."""
    return bool(request.repeat) or request.key is not None


def no_branch(document: str, branch: str) -> BranchNotFound:
    return BranchNotFound(f"{document!r} has no branch {branch!r}", document=document, branch=branch)


def seen(actor: DocumentActor, node: Node | None) -> int:
    """Up to where the node's branch is pruned, as of the actor's record."""
    return 0 if node is None else pruned(actor.record, node[0])[0]


def inscribing(
    request: Any, actor: DocumentActor, start: Start | None, merged: tuple[Node, ...]
) -> Callable[[], Inscribe]:
    """To the record, once it is known which version the write makes."""

    def inscribe() -> Inscribe:
        steps: list[Fork | Join] = []
        if start is not None:
            assert actor.line is not None
            steps.append(Fork(actor.line, start.seen))
        if merged:
            steps.append(Join(actor.branch, actor.version, merged))
        common = (request.id, actor.document, RECORD, False, request.meta, request.key)
        return Inscribe(*common, steps=tuple(steps))

    return inscribe
