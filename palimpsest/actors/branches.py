"""Making, deleting and listing branches, and what is asked of a branch that a document does not have.

All of it is prepared from durable versions, and then decided in one transaction that holds what it was prepared with; where that has
changed meanwhile, it is prepared again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.actors.asking import internal_error
from palimpsest.actors.commands import Seen
from palimpsest.actors.committer import Asker
from palimpsest.actors.document import DocumentActor, Request
from palimpsest.actors.joining import End, Guard, Inscribe
from palimpsest.actors.preparing import (
    PAGE,
    Preparing,
    Wanted,
    is_lookup_due,
    no_branch,
    seen,
)
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
from palimpsest.state.branching import Drop, Fork
from palimpsest.state.lines import Line, first_version
from palimpsest.state.names import Pattern, check_branch
from palimpsest.state.ops import Absent, Delete, Op, Set, encode_delta
from palimpsest.state.system import BRANCHES
from palimpsest.state.values import as_dict, encode_value
from palimpsest.words import MAIN, RECORD, Meta

_PLACED_READS = (m.Blame, m.Digest)
_TOLD_READS = (m.History, m.Blame, m.Digest)
_WRITES = (m.Update, m.Create, m.Delete, Seen)


class Branches(Preparing):
    """start_read: runs a job that answers asker; as the partition does."""

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
        elif isinstance(message, m.Revert | m.Undo) and message.dry_run:
            other = await self.present(document, branch)
            self._registry.look_up(other, _elsewhere(message, branch, other.branch), asker, now)
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
            heads = await self._archive.names(RECORD, prefix=pattern.prefix, after=after, limit=PAGE)
            last = heads[-1].document if len(heads) == PAGE else None
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
                heads = await self._archive.names(base, prefix=pattern.prefix, after=after, limit=PAGE)
                names.update(head.document for head in heads)
                names.update(name for name in self._registry.names_awake(base) if name > after)
                if len(heads) == PAGE:
                    last = heads[-1].document if last is None else min(last, heads[-1].document)
            for name in sorted(names):
                if pattern.matches(name) and (last is None or name <= last):
                    yield name
            if last is None:
                return
            after = last

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
            steps = (Fork(line, seen(source, node)),)
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
    if isinstance(message, m.Get | m.Label | m.Undo):
        return msgspec.structs.replace(message, branch=other)
    if isinstance(message, m.Revert):
        to = msgspec.structs.replace(message.to, branch=other) if message.to.branch == branch else message.to
        return msgspec.structs.replace(message, branch=other, to=to)
    if isinstance(message, m.Diff):
        a = msgspec.structs.replace(message.a, branch=other)
        b = msgspec.structs.replace(message.b, branch=other) if message.b.branch == branch else message.b
        return msgspec.structs.replace(message, a=a, b=b)
    raise InvalidRequest(f"the branch {branch!r} is not made yet", reason="branch")
