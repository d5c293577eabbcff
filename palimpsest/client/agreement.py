"""Where a source and a document agree: the branch `sync/<source>` of the document, which is as the source has it.

What is taken in from the source is written to the branch and merged into `main`. So the version that both last agreed on is the merge base, and
nothing else has to be remembered; blame leads to what the source said and when; and what both sides changed differently waits as a pending
merge, like that of any branch. So that one conflict does not hold up the rest, the branch first gets what is free of conflicts, which is
merged, and then the rest, which is pending.

Special case: the first time, nothing is agreed on, but a branch starts from all that the document has. What only the document has would then
look as if the source had deleted it. So the branch becomes as the source is, and a second one, `sync/<source>/first`, takes both: the
merge of the branch, and then all that the document has beside it. Merging that one into `main` takes nothing away, and leaves `sync/<source>` as
the base of what comes later. While the second one is there, the first time is not over, and is begun again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from palimpsest.client.merging import MergePart, MergeResult
from palimpsest.client.results import Document
from palimpsest.errors import BranchNotFound, DocumentNotFound, MergeNotFound
from palimpsest.state.delta import Delta
from palimpsest.state.diff import diff
from palimpsest.state.paired import exact
from palimpsest.state.reconciliation import Owed
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import thaw

if TYPE_CHECKING:
    from palimpsest.client.client import Client

_FIRST = "/first"
_AT_ONCE = 50
"""Documents that are asked about at the same time."""

_PUSHED = {"": "ours"}
"""For what was done outside: where the document has gone on since, it stays as it is."""


class Seen(msgspec.Struct, frozen=True):
    """A document, and what is known of it at the source. Values are plain, or NOTHING, and not to be changed."""

    document: str
    version: int = 0
    """Of `main`; 0 where there is no document."""
    ours: Any = NOTHING
    branch_version: int = 0
    """Of the source's branch; 0 where the document does not exist there."""
    theirs: Any = NOTHING
    """What the branch has: the source as it was last taken in."""
    base: Any = NOTHING
    is_first: bool = True
    """Nothing is agreed on yet."""
    is_begun: bool = False
    """The first time was interrupted."""


class Settled(msgspec.Struct, frozen=True):
    """What came of one document. version: made on `main`; merge_id: of what waits for a decision."""

    version: int | None = None
    merge_id: str | None = None


class Agreement:
    """Of one source, with any number of documents."""

    def __init__(self, client: Client, branch: str, documents: str, rules: Mapping[str, str], said: str) -> None:
        """documents: a name or a pattern. said: why its versions are made."""
        self._client = client
        self._branch = branch
        self._documents = documents
        self._rules = dict(rules)
        self._said: dict[str, Any] = {"by": branch, "description": said}
        self._pending: dict[str, list[str]] = {}
        """By document, the pending merges of the branch, as `known` found them."""

    # --- looking -------------------------------------------------------------------------------------------------------

    async def known(self) -> dict[str, bool]:
        """The documents that have the branch, with whether the first time is over. Comes before all else."""
        try:
            branches = await self._client.branches(self._documents)
        except DocumentNotFound:
            return {}
        for merge in await self._client.merges(self._documents):
            if merge.source == self._branch:
                for document in merge.documents:
                    self._pending.setdefault(document, []).append(merge.merge_id)
        names = {(found.document, found.name) for found in branches if "*" not in found.document}
        return {
            document: (document, self._branch + _FIRST) not in names
            for document, name in sorted(names)
            if name == self._branch
        }

    async def look(self, names: Sequence[str], known: Mapping[str, bool]) -> list[Seen]:
        """The documents of these names as they are now. known: what `known` gave."""
        agreed = [name for name in names if known.get(name)]
        ours = await self._client.get_many(names)
        theirs = dict(zip(agreed, await self._client.get_many(agreed, branch=self._branch), strict=True))
        parts = await self._parts(agreed, len(known))
        found: list[Seen] = []
        for name, document in zip(names, ours, strict=True):
            version, value = _taken(document)
            if name not in theirs:
                found.append(Seen(name, version, value, is_begun=name in known))
                continue
            branch_version, head = _taken(theirs[name])
            base = await self._base(parts.get(name), name, branch_version, head)
            found.append(Seen(name, version, value, branch_version, head, base, is_first=False))
        return found

    async def _parts(self, agreed: Sequence[str], there_are: int) -> dict[str, MergePart]:
        """What a merge would be, of each document. there_are: documents that have the branch; a merge of very many is refused."""
        if len(agreed) > _AT_ONCE and there_are <= self._client.limits.get("transaction_documents_max", 0):
            return {part.document: part for part in await self._prospect(self._documents)}
        found: dict[str, MergePart] = {}
        for start in range(0, len(agreed), _AT_ONCE):
            names = agreed[start : start + _AT_ONCE]
            for parts in await asyncio.gather(*map(self._prospect, names)):
                found |= {part.document: part for part in parts}
        return found

    async def _prospect(self, documents: str) -> list[MergePart]:
        result = await self._client.merge(documents, source=self._branch, rules=self._rules, dry_run=True)
        return result.parts

    async def _base(self, part: MergePart | None, name: str, branch_version: int, head: Any) -> Any:
        node = None if part is None else part.base
        if node is None:
            return head if part is None else NOTHING
        if node == (self._branch, branch_version):
            return head
        try:
            return (await self._client.get(name, branch=node[0], version=node[1])).value
        except DocumentNotFound:  # the version deleted it
            return NOTHING

    # --- taking in -----------------------------------------------------------------------------------------------------

    async def take_in(self, seen: Seen, owed: Owed) -> Settled:
        """What the source has goes into the document, as far as it is free of conflicts; what is left is pending.

        Raises VersionConflict where the document, or its branch, is not as it was seen; the document is then as it was.
        """
        current, result = owed.clean, None
        if seen.is_first and seen.ours is not NOTHING:
            result = await self._begin(seen, owed)
        elif same(owed.clean, seen.base):
            current = seen.theirs
        else:
            await self._write(seen.document, seen.theirs, owed.clean, seen.branch_version)
            result = await self._merge(seen)
        if result is not None and result.conflicts:  # the document was made meanwhile, where there was none
            return Settled(None, result.merge_id)
        return await self._leave(seen.document, current, owed, None if result is None else result.version)

    async def _begin(self, seen: Seen, owed: Owed) -> MergeResult:
        client, name, first = self._client, seen.document, self._branch + _FIRST
        await self._delete_branches(name)
        made = await client.branch(name, first, at=seen.version, by=self._branch)
        theirs = await client.branch(name, self._branch, at=seen.version, by=self._branch)
        await self._write(name, seen.ours, owed.clean, theirs.head)
        taken = await client.merge(name, source=self._branch, into=first, **self._said)
        await self._write(name, owed.clean, owed.merged, taken.version or made.head, first)
        result = await client.merge(name, source=first, rules=self._rules, expect=seen.version, **self._said)
        await client.delete_branch(name, first)
        return result

    async def _delete_branches(self, name: str) -> None:
        for branch in (self._branch, self._branch + _FIRST):
            with suppress(BranchNotFound):
                await self._client.delete_branch(name, branch)

    async def _merge(self, seen: Seen) -> MergeResult:
        expect = seen.version or None
        return await self._client.merge(
            seen.document, source=self._branch, rules=self._rules, expect=expect, **self._said
        )

    async def _leave(self, name: str, current: Any, owed: Owed, version: int | None) -> Settled:
        """The branch, which has `current`, becomes as the source is. What is in conflict becomes pending, unless it is already."""
        await self._write(name, current, owed.theirs)
        pending = self._pending.get(name, [])
        if not owed.conflicts:
            for merge_id in pending:
                with suppress(MergeNotFound):
                    await self._client.abandon(merge_id, by=self._branch, description="agreed on meanwhile")
            self._pending.pop(name, None)
            return Settled(version)
        if pending:
            return Settled(version, pending[0])
        result = await self._client.merge(name, source=self._branch, rules=self._rules, **self._said)
        if result.merge_id is not None:
            self._pending[name] = [result.merge_id]
        return Settled(result.version or version, result.merge_id)

    # --- giving out ----------------------------------------------------------------------------------------------------

    async def note(self, name: str, theirs: Any) -> None:
        """The source has this by now. theirs: frozen, or NOTHING."""
        head = await self._head(name)
        await self._write(name, head[1], theirs, head[0])

    async def settle(self, name: str, owed: Owed, given: Any, theirs: Any) -> Settled:
        """What was done outside is agreed on. given: the source without what is in conflict; theirs: all of it."""
        head = await self._head(name)
        await self._write(name, head[1], given, head[0])
        result = await self._client.merge(name, source=self._branch, rules=_PUSHED, **self._said)
        return await self._leave(name, given, msgspec.structs.replace(owed, theirs=theirs), result.version)

    async def _head(self, name: str) -> tuple[int, Any]:
        return _taken((await self._client.get_many([name], branch=self._branch))[0])

    # --- writing -------------------------------------------------------------------------------------------------------

    async def prepare(self, seen: Sequence[Seen]) -> None:
        """Makes room for documents that are not there yet: those of a pattern get the branch when they are first written."""
        if not any(one.is_first and one.ours is NOTHING for one in seen):
            return
        if "*" in self._documents:
            if not any(found.document == self._documents for found in await self._of_many()):
                await self._client.branch(self._documents, self._branch, by=self._branch)
        else:
            await self._client.create(self._documents, {}, **self._said)

    async def _of_many(self) -> list[Any]:
        return [found for found in await self._client.branches(self._documents) if found.name == self._branch]

    async def _write(self, name: str, before: Any, after: Any, expect: int | None = None, branch: str = "") -> None:
        """On the branch. Raises VersionConflict."""
        branch = branch or self._branch
        if after is NOTHING:
            if before is not NOTHING:
                await self._client.delete(name, branch=branch, expect=expect, **self._said)
        elif before is NOTHING:
            await self._client.create(name, thaw(after), branch=branch, **self._said)
        elif ops := diff(before, after):
            await self._client.update(name, Delta(ops), branch=branch, expect=expect, **self._said)


def same(a: Any, b: Any) -> bool:
    """To the byte. a, b: plain or frozen, or NOTHING."""
    return a is b or (a is not NOTHING and b is not NOTHING and exact(a, b))


def _taken(document: Document | None) -> tuple[int, Any]:
    return (0, NOTHING) if document is None else (document.version, document.value)
