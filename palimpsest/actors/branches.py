"""Making, deleting and listing branches, and what is asked of a branch that a document does not have.

All of it is prepared from durable versions, and then decided in one transaction that holds what it was prepared with; where that has
changed meanwhile, it is prepared again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.asking import Question, internal_error
from palimpsest.actors.committer import Asker
from palimpsest.actors.document import DocumentActor, Ready, Request, Write
from palimpsest.actors.jobs import Job
from palimpsest.actors.joining import Begin, End, Guard, Inscribe, Take
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Registry
from palimpsest.actors.transaction import Task, write_of
from palimpsest.errors import (
    BranchExists,
    BranchNotFound,
    DocumentNotFound,
    InvalidRequest,
    PalimpsestError,
    TestFailed,
)
from palimpsest.protocol import messages as m
from palimpsest.state import lines
from palimpsest.state.branching import Drop, Fork, Join, Moved
from palimpsest.state.lines import Line, first_version, locate
from palimpsest.state.names import Pattern, check_branch
from palimpsest.state.ops import Absent, Delete, Op, Set, encode_delta
from palimpsest.state.record import pruned
from palimpsest.state.system import BRANCHES, shared_base
from palimpsest.state.values import as_dict, encode_value
from palimpsest.storage.contracts import Archive
from palimpsest.words import MAIN, RECORD, Meta, Node

_ATTEMPTS_MAX = 32
_PAGE = 256

_PLACED_READS = (m.Blame, m.Digest)
_TOLD_READS = (m.History, m.Blame, m.Digest)
_WRITES = (m.Update, m.Create, m.Delete)


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


class Branches:
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

    # --- what others build on ------------------------------------------------------------------------------------

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
                    self._registry.together(request, tasks, question, now)
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
                found.append(Task(record, _inscribing(request, actor, start, merged), told=False))
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
            heads = await self._archive.names(MAIN, prefix=prefix, after=after, limit=_PAGE)
            last = heads[-1].document if len(heads) == _PAGE else None
            names = {head.document for head in heads}
            recent = (name for name in self._registry.names_awake(MAIN) if name.startswith(prefix) and name > after)
            names.update(name for name in recent if last is None or name <= last)
            for name in sorted(names):
                yield name
            if last is None:
                return
            after = last

    # --- what is asked of a branch that is not there -------------------------------------------------------------

    def on_absent(self, actor: DocumentActor, message: Request, asker: Asker, now: int) -> None:
        async def answer() -> None:
            try:
                await self._answer_absent(actor.document, actor.branch, message, asker, now)
            except PalimpsestError as error:
                asker.fail(message.id, error)
            except Exception as error:
                asker.fail(message.id, internal_error(message.id, error))

        self._start_read(message.id, asker, answer)

    def transact(self, message: m.Transact, asker: Asker, now: int) -> None:
        """A transaction in which branches may have to be made, or versions are joined."""
        wanted = [
            Wanted(part.document, part.branch, write_of(message, part), part.base, part.merged)
            for part in message.parts
        ]

        async def answer() -> None:
            try:
                asker.reply(await self._written(message, wanted, asker.client, now))
            except PalimpsestError as error:
                asker.fail(message.id, error)
            except Exception as error:
                asker.fail(message.id, internal_error(message.id, error))

        self._start_read(message.id, asker, answer)

    async def _answer_absent(self, document: str, branch: str, message: Any, asker: Asker, now: int) -> None:
        await self.awake(document, RECORD)  # what was decided about the branch before is durable
        actor = await self.awake(document, branch)
        if not actor.is_absent:
            self._registry.hand(actor, message, asker, now)
        elif isinstance(message, _WRITES):
            await self._write(actor, message, asker, now)
        elif (_asks_for_a_version(message) or _may_have_ended(message)) and actor.newest_own:
            self._registry.look_up(actor, message, asker, now)
        elif isinstance(message, m.Revert | m.Undo) and await self.stand_in(document, branch) is not None:
            await self.fork(actor, message.meta, now)
            self._registry.hand(await self.awake(document, branch), message, asker, now)
        elif isinstance(message, _TOLD_READS):
            # Each version says where it was made, wherever it was asked about.
            self._registry.look_up(await self.present(document, branch), message, asker, now)
        else:
            other = await self.present(document, branch)
            self._registry.hand(other, _elsewhere(message, branch, other.branch), asker, now)

    async def _write(self, actor: DocumentActor, message: Any, asker: Asker, now: int) -> None:
        wanted = [Wanted(actor.document, actor.branch, message)]
        answer = await self._written(message, wanted, asker.client, now)
        asker.reply(m.Committed(message.id, answer.made[0].version, answer.at, answer.repeat))

    async def fork(self, actor: DocumentActor, meta: Meta | None, now: int) -> None:
        """The branch is made from the one that stands in for it."""
        base = await self.present(actor.document, actor.branch)
        node = locate(base.record, base.branch, base.durable)
        line = Line(actor.branch, first_version(node, actor.newest_own), node, None, now, meta)
        record = await self.awake(actor.document, RECORD)
        question = Question()
        command = Inscribe(0, actor.document, RECORD, steps=(Fork(line, _seen(base, node)),))
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
            return Start(branch, node, value, _seen(actor, node), said, now)
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
        if main.version or type(wanted.write) is not m.Create:
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

    # --- requests ------------------------------------------------------------------------------------------------

    async def branch(self, message: m.Branch, client: str, now: int) -> m.Branches:
        self._check_name(message.name)
        pattern = Pattern.parse(message.pattern)
        if pattern.exact is None:
            return await self._share(message, client, now)
        document = message.pattern
        await self.together(message, lambda: self._forking(message, now), client, now)
        return await self._told(message.id, document, message.name)

    async def delete(self, message: m.DeleteBranch, client: str, now: int) -> m.Branches:
        self._check_name(message.name)
        pattern = Pattern.parse(message.pattern)
        if pattern.exact is not None:
            await self.together(message, lambda: self._dropping(message, message.pattern), client, now)
            return await self._told(message.id, message.pattern, message.name)
        shared = await self._unshare(message, client, now)
        gone: list[m.BranchInfo] = [] if shared is None else [shared]
        async for document in self.documents(pattern):
            actor = await self.awake(document, message.name)
            if not actor.is_absent or await self._was_made_by(document, RECORD, message, client):
                each = msgspec.structs.replace(message, pattern=document)
                await self.together(each, lambda each=each: self._dropping(each, each.pattern), client, now)  # type: ignore[misc]
                gone += (await self._told(message.id, document, message.name)).branches
        if not gone:
            raise no_branch(message.pattern, message.name)
        return m.Branches(message.id, tuple(gone))

    async def find(self, message: m.ListBranches) -> m.Branches:
        pattern = Pattern.parse(message.pattern)
        if message.limit < 1:
            raise InvalidRequest(f"a limit of {message.limit}", reason="limit")
        found: list[m.BranchInfo] = [] if message.after else await self._shared(pattern)
        limit = min(message.limit, self._registry.limits.page_items_max)
        count = 0
        async for document in self.documents(pattern, message.after):
            if count == limit or len(found) > limit + self._registry.limits.branches_max:
                return m.Branches(message.id, tuple(found), True)
            of = await self._of(document, message.deleted)
            if len(of) > 1 or pattern.exact is not None:
                found += of
                count += 1
        return m.Branches(message.id, tuple(found))

    async def documents(self, pattern: Pattern, after: str = "") -> AsyncIterator[str]:
        """Names of documents that match and have, or had, anything said about their versions; by name."""
        if pattern.exact is not None:
            if (await self.awake(pattern.exact, MAIN)).version or (await self.awake(pattern.exact, RECORD)).version:
                yield pattern.exact
            else:
                raise DocumentNotFound(
                    f"there is no document {pattern.exact!r}", document=pattern.exact, branch=MAIN, version=None
                )
            return
        while True:
            recent = self._registry.names_awake(RECORD)
            heads = await self._archive.names(RECORD, prefix=pattern.prefix, after=after, limit=_PAGE)
            last = heads[-1].document if len(heads) == _PAGE else None
            names = {head.document for head in heads}
            names.update(name for name in recent if name > after and (last is None or name <= last))
            for name in sorted(names):
                if pattern.matches(name):
                    yield name
            if last is None:
                return
            after = last

    async def names(self, message: m.List, pattern: Pattern) -> m.Names:
        """Of documents that exist on a branch other than `main`, those of which another branch stands in for it included."""
        branch, found = message.branch, list[str]()
        limit = min(message.limit, self._registry.limits.page_items_max)
        shared = await self._shared_by(branch)
        async for document in self._candidates(pattern, shared, message.after):
            try:
                actor = await self.present(document, branch)
            except BranchNotFound:
                continue
            if actor.exists or (message.deleted and actor.version):
                found.append(document)
            if len(found) > limit:
                break
        return m.Names(message.id, tuple(found[:limit]), len(found) > limit)

    async def _candidates(self, pattern: Pattern, shared: dict[str, str], after: str) -> AsyncIterator[str]:
        """Names of documents that may have a branch, or something that stands in for it; by name."""
        if pattern.exact is not None:
            if pattern.exact > after:
                yield pattern.exact
            return
        bases = sorted({RECORD, *shared.values()})
        while True:
            last: str | None = None
            names: set[str] = set()
            for base in bases:
                heads = await self._archive.names(base, prefix=pattern.prefix, after=after, limit=_PAGE)
                names.update(head.document for head in heads)
                names.update(name for name in self._registry.names_awake(base) if name > after)
                if len(heads) == _PAGE:
                    last = heads[-1].document if last is None else min(last, heads[-1].document)
            for name in sorted(names):
                if pattern.matches(name) and (last is None or name <= last):
                    yield name
            if last is None:
                return
            after = last

    async def _shared_actor(self, branch: str) -> DocumentActor | None:
        """Of the document that says of which documents it is a branch; None where it is too long a name for one of many."""
        name = BRANCHES + branch
        is_too_long = len(name.encode()) > self._registry.limits.name_bytes_max
        return None if is_too_long else await self.awake(name, MAIN)

    async def _shared_by(self, branch: str) -> dict[str, str]:
        """Where the branch is one of many documents: the branch that stands in for it, by pattern."""
        shared = await self._shared_actor(branch)
        value = as_dict(shared.value()) if shared is not None and shared.exists else {}
        return {pattern: str(entry["base"]) for pattern, entry in value.items()}

    # --- inside --------------------------------------------------------------------------------------------------

    def _check_name(self, name: str) -> None:
        check_branch(name, name_bytes_max=self._registry.limits.name_bytes_max)
        if name == MAIN:
            raise InvalidRequest(f"every document has {MAIN!r}, always", reason="main")

    async def _forking(self, message: m.Branch, now: int) -> list[Task]:
        document, said = message.pattern, message.meta
        target, record = await self.awake(document, message.name), await self.awake(document, RECORD)
        steps: tuple[Fork, ...] = ()
        refusal: PalimpsestError | None = None
        try:
            source = await self.source(document, message.at)
            if not source.version:
                raise DocumentNotFound(
                    f"there is no document {document!r}", document=document, branch=source.branch, version=None
                )
            node = await self._reader.find(source, message.at)
            await self._reader.row(source, node)
            self._reader.keep(source)
            meta = None if said is None else Meta(said.by, said.description)
            line = Line(message.name, first_version(node, target.newest_own), node, None, now, meta)
            steps = (Fork(line, _seen(source, node)),)
        except PalimpsestError as error:
            refusal = error
        guard = Guard(message.id, document, message.name, expect=target.version)
        common = (message.id, document, RECORD, message.repeat, message.meta, message.key)
        return [Task(target, guard), Task(record, Inscribe(*common, refusal=refusal, steps=steps))]

    async def _dropping(self, message: m.DeleteBranch, document: str) -> list[Task]:
        target, record = await self.awake(document, message.name), await self.awake(document, RECORD)
        common = (message.id, document, RECORD, message.repeat, message.meta, message.key)
        line = target.line
        if line is None:
            return [Task(record, Inscribe(*common, refusal=no_branch(document, message.name)))]
        last = max(target.version, line.first - 1)
        end = End(message.id, document, message.name, expect=target.version)
        return [Task(target, end), Task(record, Inscribe(*common, steps=(Drop(message.name, last),)))]

    async def _told(self, id: int, document: str, branch: str) -> m.Branches:
        found = [info for info in await self._of(document, True) if info.branch == branch]
        return m.Branches(id, tuple(found[-1:]))

    async def _of(self, document: str, deleted: bool) -> list[m.BranchInfo]:
        """The branches of a document, `main` first."""
        record = (await self.awake(document, MAIN)).record
        found = [line for name in lines.branches(record) for line in lines.lines_of(record, name)]
        names = list(dict.fromkeys(line.branch for line in found))
        heads = dict(zip(names, await self._archive.heads([(document, name) for name in names]), strict=True))
        infos: list[m.BranchInfo] = []
        for line in found:
            head = heads[line.branch]
            newest = self._registry.builder.newest_in_tail(document, line.branch) or (
                0 if head is None else head.version
            )
            newest = line.last if line.last is not None else max(newest, line.first - 1)
            if line.last is None or deleted:
                is_deleted = line.last is not None
                infos.append(m.BranchInfo(document, line.branch, line.base, newest, line.at, line.meta, is_deleted))
        return infos

    # --- branches of many documents ------------------------------------------------------------------------------

    async def _share(self, message: m.Branch, client: str, now: int) -> m.Branches:
        at = message.at
        if (at.version, at.at, at.tag) != (None, None, None):
            reason = "a branch of many documents starts from the newest version of each, when it is written to"
            raise InvalidRequest(reason, reason="at")
        said = message.meta or Meta()
        entry: dict[str, Any] = {"base": at.branch, "at": now, "by": said.by, "description": said.description}
        entry = {name: value for name, value in entry.items() if value is not None}
        name = BRANCHES + message.name
        common = (message.repeat, message.meta, message.key)
        try:
            made = m.Create(message.id, name, Raw(encode_value({message.pattern: entry})), MAIN, *common)
            await self._ask(made, client, now)
        except PalimpsestError as error:
            if error.code != "document_exists":
                raise
            ops: list[Op] = [Absent((message.pattern,)), Set((message.pattern,), entry)]
            update = m.Update(message.id, name, Raw(encode_delta(ops)), MAIN, None, *common)
            try:
                await self._ask(update, client, now)
            except TestFailed:
                raise BranchExists(
                    f"{message.pattern!r} has a branch {message.name!r} already",
                    document=message.pattern,
                    branch=message.name,
                    version=None,
                ) from None
        return m.Branches(message.id, (_shared_info(message.pattern, message.name, entry),))

    async def _unshare(self, message: m.DeleteBranch, client: str, now: int) -> m.BranchInfo | None:
        name = BRANCHES + message.name
        shared = await self.awake(name, MAIN)
        value = as_dict(shared.value()) if shared.exists else {}
        if message.pattern not in value:
            return await self._unshared(shared, message, client)
        common = (message.repeat, message.meta, message.key)
        if len(value) == 1:
            await self._ask(m.Delete(message.id, name, MAIN, shared.version, *common), client, now)
        else:
            delta = Raw(encode_delta([Delete((message.pattern,))]))
            await self._ask(m.Update(message.id, name, delta, MAIN, None, *common), client, now)
        return msgspec.structs.replace(
            _shared_info(message.pattern, message.name, value[message.pattern]), deleted=True
        )

    async def _unshared(self, shared: DocumentActor, message: m.DeleteBranch, client: str) -> m.BranchInfo | None:
        """What a repeat is told of the branch of many documents that the request has deleted; None: it has not."""
        made = await self.made_by(shared, message, client) if is_lookup_due(message) else None
        if made is None or made[0] < 2:
            return None
        before = await self._reader.stream_at(shared, (MAIN, made[0] - 1))
        entry = as_dict(before.value()).get(message.pattern)
        info = None if entry is None else _shared_info(message.pattern, message.name, entry)
        return None if info is None else msgspec.structs.replace(info, deleted=True)

    async def _was_made_by(self, document: str, branch: str, request: Any, client: str) -> bool:
        """Whether the request was sent before and has made something there."""
        if not is_lookup_due(request):
            return False
        return await self.made_by(await self.awake(document, branch), request, client) is not None

    async def _shared(self, pattern: Pattern) -> list[m.BranchInfo]:
        """Branches of many documents, those whose own pattern is this one or speaks of the document that this one names."""
        found: list[m.BranchInfo] = []
        async for name in self.names_of(BRANCHES, ""):
            shared = await self.awake(name, MAIN)
            for text, entry in sorted((as_dict(shared.value()) if shared.exists else {}).items()):
                exact = pattern.exact
                if pattern.text in ("**", text) or (exact is not None and Pattern.parse(text).matches(exact)):
                    found.append(_shared_info(text, name.removeprefix(BRANCHES), entry))
        return found

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


def _seen(actor: DocumentActor, node: Node | None) -> int:
    """Up to where the node's branch is pruned, as of the actor's record."""
    return 0 if node is None else pruned(actor.record, node[0])[0]


def _inscribing(
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


def _shared_info(pattern: str, branch: str, entry: Any) -> m.BranchInfo:
    by, description = entry.get("by"), entry.get("description")
    meta = None if by is None and description is None else Meta(by, description)
    return m.BranchInfo(pattern, branch, (str(entry["base"]), 0), 0, entry.get("at", 0), meta)


def _may_have_ended(message: Any) -> bool:
    """Whether it may be a repeat of what the branch was deleted by."""
    return isinstance(message, m.Erase) and not message.path and is_lookup_due(message)


def _asks_for_a_version(message: Any) -> bool:
    """Whether it says by number which version it means: those of a deleted branch can be asked for."""
    if isinstance(message, m.Get):
        return message.version is not None
    if isinstance(message, m.History):
        return message.last is not None or message.first is not None
    if isinstance(message, _PLACED_READS):
        return message.place.version is not None
    return isinstance(message, m.Diff) and message.a.version is not None


def _elsewhere(message: Any, branch: str, other: str) -> Any:
    """The same, asked of another branch. Raises InvalidRequest for what cannot be."""
    if isinstance(message, m.Get | m.Label):
        return msgspec.structs.replace(message, branch=other)
    if isinstance(message, m.Diff):
        a = msgspec.structs.replace(message.a, branch=other)
        b = msgspec.structs.replace(message.b, branch=other) if message.b.branch == branch else message.b
        return msgspec.structs.replace(message, a=a, b=b)
    raise InvalidRequest(f"the branch {branch!r} is not made yet", reason="branch")
