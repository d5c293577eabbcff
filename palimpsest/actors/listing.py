"""Which documents there are: what the archive knows, and what only the tail has made or deleted yet."""

from __future__ import annotations

from palimpsest.actors.branches import Branches
from palimpsest.actors.registry import Registry
from palimpsest.actors.stream import is_whole
from palimpsest.limits import Limits
from palimpsest.protocol.messages import List, Names
from palimpsest.state.names import Pattern
from palimpsest.state.ops import decode_delta
from palimpsest.storage.contracts import Archive, Head
from palimpsest.words import MAIN, Kind

_DELETE, _ERASE = int(Kind.DELETE), int(Kind.ERASE)


class Listing:
    """branches: lists documents on branches other than `main`."""

    def __init__(self, archive: Archive, registry: Registry, branches: Branches, limits: Limits) -> None:
        self._archive = archive
        self._registry = registry
        self._branches = branches
        self._limits = limits

    async def answer(self, message: List) -> Names:
        """As `names`. Raises InvalidName for a pattern that is none."""
        return await self.names(message, Pattern.parse(message.pattern))

    async def names(self, message: List, pattern: Pattern) -> Names:
        """A page of those that the pattern matches, in order. pattern: of the message, parsed. Raises what reading a branch does."""
        limit = min(message.limit, self._limits.page_items_max)
        if message.branch != MAIN:
            return await self._branches.names(message, pattern)
        after, found, exhausted = message.after, list[str](), False
        while len(found) <= limit and not exhausted:
            # What the tail has made is read before the archive: it may be archived in between, never the other way round.
            recent = {name: exists for name, (_, exists) in self._registry.existence.items() if name > after}
            heads = await self._archive.names(message.branch, prefix=pattern.prefix, after=after, limit=limit + 1)
            exhausted = len(heads) <= limit
            deleted = message.deleted
            names = {
                head.document
                for head in heads
                if deleted or recent.get(head.document, head.kind != _DELETE and not await self._is_erased(head))
            }
            last = None if exhausted else heads[-1].document
            names.update(
                name for name, exists in recent.items() if (exists or deleted) and (last is None or name <= last)
            )
            found += sorted(name for name in names if pattern.matches(name))
            after = after if last is None else last
        return Names(message.id, tuple(found[:limit]), len(found) > limit)

    async def _is_erased(self, head: Head) -> bool:
        """Whether the newest version is the erasure of the whole document."""
        if head.kind != _ERASE:
            return False
        (stretch,) = await self._archive.load([(head.document, head.branch)])
        return stretch is not None and is_whole(decode_delta(stretch.rows[-1].event.delta))
