"""Reads of the past: what the archive knows, joined with what only the tail has yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import anyio.lowlevel
import msgspec
from msgspec import Raw

from palimpsest.actors.building import Builder
from palimpsest.actors.chain import digest_at
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.stream import Stream, with_labels
from palimpsest.actors.tail import Tail
from palimpsest.errors import Compacted, InvalidRequest, VersionNotFound, VersionPruned
from palimpsest.limits import Limits
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.protocol.messages import Document, Entry, Get, History, Place, Versions
from palimpsest.state.lines import Segment, line_segments, locate, segments
from palimpsest.state.names import Pattern
from palimpsest.state.ops import decode_delta
from palimpsest.state.record import labels, labels_of
from palimpsest.state.touching import touches
from palimpsest.state.tree import NOTHING
from palimpsest.storage.contracts import Archive, Gap, Row
from palimpsest.storage.events import GENESIS, Event, commitment, link
from palimpsest.words import MAIN, Meta, Node

_PAGE_BYTES_MAX = 2 * 1024 * 1024
"""Of one page of a history with more than one version: it is to fit into a frame, and into memory many times over."""
_ENTRY_OVERHEAD_BYTES = 128
"""Of numbers and the request id."""
_ROWS_TOGETHER = 64
_ROWS_SEARCHED_MAX = 4_096
"""For one page of a history with conditions; where few versions meet them, the client asks for the next page sooner."""
_LATE_MICROSECONDS = 10_000_000
"""How much older than something before it in the log an event may be. Its time is that of its request's arrival; what waits then, for its
document to wake up or for others, is overtaken."""
_NOTHING_SAID = Meta()
_encode = msgspec.msgpack.Encoder().encode


class Reader:
    """Reads what is durable. epoch: the journal's.

    A node is a version where it was made. Where an actor is asked for, it is that of the branch that was asked about, whose history may
    begin on others.
    """

    def __init__(self, archive: Archive, tail: Tail, limits: Limits, epoch: str, builder: Builder) -> None:
        self.archive = archive
        self._tail = tail
        self._limits = limits
        self._epoch = epoch
        self._builder = builder

    # --- one version ---------------------------------------------------------------------------------------------

    async def document(self, actor: DocumentActor, message: Get) -> Document:
        """Raises DocumentNotFound where it was deleted then, and what `find` does."""
        node = await self.find(actor, Place(message.branch, message.version, message.at, message.tag))
        stream = await self.stream_at(actor, node)
        stream.record = actor.record
        found = stream.view(message.id)
        return found if node[0] == actor.branch else msgspec.structs.replace(found, branch=actor.branch)

    async def find(self, actor: DocumentActor, place: Place) -> Node:
        """The durable version that place speaks of. Raises VersionNotFound, VersionPruned or InvalidRequest."""
        if (place.version, place.at, place.tag).count(None) < 2:
            raise InvalidRequest("a version, a time or a tag: one of them says which version is meant", reason="place")
        if place.at is not None:
            return await self._find_time(actor, place.at)
        if place.tag is not None:
            return await self._find_tag(actor, place.tag)
        version = actor.durable if place.version is None else place.version
        node = locate(actor.record, actor.branch, version) if 1 <= version <= actor.durable else None
        if node is None:
            raise actor.no_such_version(version)
        return node

    async def stream_at(self, actor: DocumentActor, node: Node) -> Stream:
        """A stream of its own, as of a durable version. Raises VersionPruned."""
        stream = await self._builder.at(actor.document, *node)
        if stream is None:
            raise await self._gone(actor, node)
        return stream

    async def value_at(self, document: str, node: Node) -> Any:
        """The frozen value as of a durable version, NOTHING where the document did not exist then. Raises VersionPruned."""
        known = self._builder.values.get(document, node)
        if known is not None:
            return known
        archived = self._tail.start
        stream = await self._builder.at(document, *node)
        if stream is None:
            raise VersionPruned(
                f"version {node[1]} of {document!r}, on {node[0]!r}, is not kept any more",
                document=document,
                branch=node[0],
                version=node[1],
                newest=None,
                oldest=None,
            )
        if archived <= self._tail.erased_at:  # what was read may hold what is to be gone
            return stream.value() if stream.exists else NOTHING
        return self._builder.values.put(document, node, stream)

    def keep(self, actor: DocumentActor) -> None:
        """The newest value is remembered, where it is durable: a merge may ask for it when it is not the newest any more."""
        if not actor.asleep and actor.durable == actor.version and actor.version:
            node = locate(actor.record, actor.branch, actor.version)
            if node is not None and self._builder.values.get(actor.document, node) is None:
                self._builder.values.put(actor.document, node, actor)

    async def row(self, actor: DocumentActor, node: Node) -> Row:
        """The event of a durable version. Raises VersionPruned."""
        branch, version = node
        rows = self._builder.tail_rows(actor.document, branch, version, version)
        if not rows:
            rows = await self.archive.history(
                actor.document, branch, first=version, last=version, newest_first=False, limit=1
            )
        if not rows:
            raise await self._gone(actor, node)
        return rows[0]

    async def digest(self, actor: DocumentActor, node: Node) -> bytes:
        """The digest, as of a durable version, of the stream that it was made on. Raises VersionPruned."""
        branch, version = node
        rows = self._builder.tail_rows(actor.document, branch, 1, version)
        archived = rows[0].event.version - 1 if rows else version
        digest: bytes | None = GENESIS
        if archived:
            (head,) = await self.archive.heads([(actor.document, branch)])
            if head is not None:
                known = min(head.version, archived)
                digest = await digest_at(self.archive, actor.document, branch, known)
        if digest is None or (rows and rows[-1].event.version != version):
            raise await self._gone(actor, node)
        for row in rows:
            digest = link(digest, commitment(self._tail.salt(row.position), row.event))
        return digest

    def segments(self, actor: DocumentActor, last: int | None = None) -> list[Segment]:
        """What the history of the actor's branch consists of, the newest first. last: the number that is asked for at most: it may be of
        a branch of that name that was deleted."""
        if actor.branch is MAIN:
            return [Segment(MAIN, 1, actor.durable)]
        if last is not None and last < actor.durable:
            node = locate(actor.record, actor.branch, last)
            if node is not None and node[0] == actor.branch:
                return line_segments(actor.record, node)
        return segments(actor.record, actor.branch, actor.durable)

    async def _find_time(self, actor: DocumentActor, at: int) -> Node:
        for segment in self.segments(actor):
            version = await self._version_at(actor.document, segment, at)
            for gap in await self._gaps(actor.document, segment):
                if gap.first == max(version, segment.first - 1) + 1 and gap.at <= at:
                    raise await self._gone(actor, (segment.branch, gap.last))
            if version:
                return segment.branch, version
        raise VersionNotFound(
            f"{actor.document!r} had no version at that time yet",
            document=actor.document,
            branch=actor.branch,
            version=None,
            newest=actor.durable,
        )

    async def _version_at(self, document: str, segment: Segment, at: int) -> int:
        """The newest version of the segment that is kept and was made then or before; 0 where there is none."""
        newest = self._builder.newest_until(document, segment.branch, segment.first, segment.last, at)
        if newest:
            return newest
        found = await self.archive.find_time(document, segment.branch, at)
        if found is not None and found.event.version > segment.last:
            older = await self.archive.history(
                document, segment.branch, first=segment.first, last=segment.last, newest_first=True, limit=1
            )
            found = older[0] if older else None
        return 0 if found is None or found.event.version < segment.first else found.event.version

    async def _find_tag(self, actor: DocumentActor, tag: str) -> Node:
        """The newest version that has the tag and is kept."""
        for segment in self.segments(actor):
            version = await self._find_tag_in(actor, segment, tag)
            if version:
                return segment.branch, version
        raise VersionNotFound(
            f"{actor.document!r} has no version with the tag {tag!r}",
            document=actor.document,
            branch=actor.branch,
            version=None,
            newest=actor.durable,
        )

    async def _find_tag_in(self, actor: DocumentActor, segment: Segment, tag: str) -> int:
        """0 where there is none."""
        said = {} if actor.record is None else labels(actor.record, segment.branch)
        said = {version: tags for version, tags in said.items() if segment.first <= version <= segment.last}
        given = {version for version, tags in said.items() if tags.get(tag) is True}
        lost = {version for version, tags in said.items() if tags.get(tag) is False}
        for row in reversed(self._builder.tail_rows(actor.document, segment.branch, segment.first, segment.last)):
            version = row.event.version
            if version in given or (version not in lost and tag in (row.event.meta or _NOTHING_SAID).tags):
                return version
        made_with = await self._find_made_with(actor.document, segment, tag, lost)
        for version in sorted(given, reverse=True):
            if version <= made_with:
                break
            if await self.archive.load_version(actor.document, segment.branch, version) is not None:
                return version
        return made_with

    async def _find_made_with(self, document: str, segment: Segment, tag: str, lost: set[int]) -> int:
        last = segment.last
        while True:
            found = await self.archive.find_tag(document, segment.branch, tag, last=last)
            if found is None or found < segment.first:
                return 0
            if found not in lost:
                return found
            last = found - 1

    async def _gaps(self, document: str, segment: Segment) -> list[Gap]:
        """Those among the segment's versions; where another branch goes on, nothing is missing."""
        return [
            gap
            for gap in await self.archive.gaps(document, segment.branch)
            if segment.first <= gap.first <= segment.last
        ]

    async def _gone(self, actor: DocumentActor, node: Node) -> VersionPruned:
        branch, version = node
        gaps = await self.archive.gaps(actor.document, branch)
        oldest = gaps[-1].last + 1 if gaps else None
        return VersionPruned(
            f"version {version} of {actor.document!r} is not kept any more; from version {oldest} on, all are",
            document=actor.document,
            branch=branch,
            version=version,
            newest=actor.durable,
            oldest=oldest,
        )

    # --- many versions -------------------------------------------------------------------------------------------

    async def history(self, actor: DocumentActor, message: History) -> Versions:
        """One page, bounded in items, in bytes, and in what is searched for it."""
        newest = actor.durable
        first = max(1, message.first if message.first is not None else 1)
        last = min(newest, message.last if message.last is not None else newest)
        condition = Condition(actor, message)
        limit = min(message.limit, self._limits.page_items_max)
        bytes_max = min(_PAGE_BYTES_MAX, self._limits.frame_bytes_max // 2)
        entries: list[Entry] = []
        size = searched = 0
        more = True
        wanted = await self._wanted(actor, message, first, last)
        async for row in self._in_segments(actor.document, wanted, newest_first=message.newest_first):
            if len(entries) >= limit or searched >= _ROWS_SEARCHED_MAX:
                break
            searched += 1
            if condition.holds(row.event):
                size += _entry_bytes(row.event)
                if entries and size > bytes_max:
                    break
                entries.append(entry_of(row.event, condition.meta(row.event), message.branch))
            if message.newest_first:
                last = row.event.version - 1
            else:
                first = row.event.version + 1
        else:
            more = False
        next_ = last if message.newest_first else first
        return Versions(message.id, tuple(entries), more, newest, next_, await self._oldest(actor))

    async def versions(self, actor: DocumentActor, last: int) -> AsyncIterator[Row]:
        """Rows of durable versions, from `last` back to the first of the branch's history, as they are needed."""
        async for row in self._in_segments(actor.document, _clipped(self.segments(actor), 1, last), newest_first=True):
            yield row

    async def back_from(self, document: str, record: Any, node: Node) -> AsyncIterator[Row]:
        """Rows of durable versions, from node back to the first of its history, as they are needed."""
        async for row in self._in_segments(document, line_segments(record, node), newest_first=True):
            yield row

    async def rows_of(self, document: str, branch: str, first: int, last: int) -> AsyncIterator[Row]:
        """Rows of durable versions first..last that were made on a branch, rising."""
        async for row in self._in_segments(document, [Segment(branch, first, last)], newest_first=False):
            yield row

    async def _wanted(self, actor: DocumentActor, message: History, first: int, last: int) -> list[Segment]:
        found: list[Segment] = []
        for segment in _clipped(self.segments(actor, message.last), first, last):
            start, end = segment.first, segment.last
            if message.since is not None:
                start = max(start, await self._version_at(actor.document, segment, message.since - 1) + 1)
            if message.until is not None:
                end = min(end, await self._version_at(actor.document, segment, message.until))
            found.append(Segment(segment.branch, start, end))
        return found if message.newest_first else found[::-1]

    async def _oldest(self, actor: DocumentActor) -> int:
        """From there on no version is missing."""
        for segment in self.segments(actor):
            if gaps := await self._gaps(actor.document, segment):
                return gaps[-1].last + 1
        return 1

    async def _in_segments(self, document: str, wanted: Sequence[Segment], *, newest_first: bool) -> AsyncIterator[Row]:
        for segment in wanted:
            first, last = segment.first, segment.last
            while first <= last:
                rows = await self._rows(document, segment.branch, first, last, newest_first, _ROWS_TOGETHER)
                if not rows:
                    break
                for row in rows:
                    yield row
                if newest_first:
                    last = rows[-1].event.version - 1
                else:
                    first = rows[-1].event.version + 1

    async def rows(
        self, position: int, *, rows_max: int, bytes_max: int, pattern: Pattern | None, branch: str
    ) -> list[Row]:
        """Rows of all streams from `position` on, in order; empty only at the durable end.

        Raises Compacted where something of the pattern's documents on the branch, or without a pattern anything at all, that was at
        `position` or later is not kept any more.
        """
        while position < self._tail.start:
            start = self._tail.start
            rows = await self.archive.read(position, rows_max=rows_max, bytes_max=bytes_max)
            await self._check_compacted(position, pattern, branch)
            if rows:
                return rows
            position = start  # nothing is kept of what lay before
        return self._tail.rows(position, rows_max=rows_max, bytes_max=bytes_max)

    async def position_at(self, at: int) -> int:
        """The position of the first event that was made then or later; the end where there is none. Times rise with positions, but for
        _LATE_MICROSECONDS; those of imports may lie anywhere."""
        position = await self._position_about(at - _LATE_MICROSECONDS)
        while position < self._tail.end:
            await anyio.lowlevel.checkpoint()
            start = self._tail.start
            if position < start:
                rows = await self.archive.read(position, rows_max=_ROWS_SEARCHED_MAX, bytes_max=_PAGE_BYTES_MAX)
            else:
                rows = self._tail.rows(position, rows_max=_ROWS_SEARCHED_MAX, bytes_max=_PAGE_BYTES_MAX)
            for row in rows:
                if row.event.at >= at:
                    return row.position
            position = rows[-1].position + 1 if rows else start
        return position

    async def _position_about(self, at: int) -> int:
        """As if times rose with positions."""
        end = await self.archive.end()
        low, high = min(end.oldest, self._tail.start), self._tail.end
        while low < high:
            middle = (low + high) // 2
            row = await self._row_from(middle)
            if row is None or row.position >= high or row.event.at >= at:
                high = middle
            else:
                low = row.position + 1
        return low

    async def _row_from(self, position: int) -> Row | None:
        """The first row at that position or after it."""
        if position < self._tail.start:
            rows = await self.archive.read(position, rows_max=1, bytes_max=1)
            if rows:
                return rows[0]
            position = self._tail.start
        rows = self._tail.rows(position, rows_max=1, bytes_max=1)
        return rows[0] if rows else None

    async def position_of(self, document: str, branch: str, version: int, newest: int) -> int:
        """Of the event of a durable version that was made on the branch. Raises VersionNotFound or VersionPruned."""
        rows = self._builder.tail_rows(document, branch, version, version) or await self.archive.history(
            document, branch, first=version, last=version, newest_first=False, limit=1
        )
        if rows:
            return rows[0].position
        gaps = await self.archive.gaps(document, branch)
        # Special case: what lies before the first version of a branch is a gap that was never filled.
        if any(gap.first <= version <= gap.last and (branch == MAIN or gap.position) for gap in gaps):
            raise VersionPruned(
                f"version {version} of {document!r} on {branch!r} is not kept any more",
                document=document,
                branch=branch,
                version=version,
                newest=newest,
                oldest=gaps[-1].last + 1,
            )
        why = f"was not made on {branch!r}" if version <= newest else f"is not there on {branch!r}"
        raise VersionNotFound(
            f"version {version} of {document!r} {why}; the newest is {newest}",
            document=document,
            branch=branch,
            version=version,
            newest=newest,
        )

    async def _check_compacted(self, position: int, pattern: Pattern | None, branch: str) -> None:
        newest = (await self.archive.end()).pruned
        if newest < position:
            return
        if pattern is not None:
            gone = await self.archive.compacted(branch, prefix=pattern.prefix, position=position)
            newest = max((last for document, last in gone if pattern.matches(document)), default=0)
        if newest >= position:
            raise Compacted(
                "some of what follows this cursor is not kept any more",
                cursor=encode_cursor(self._epoch, position - 1),
                oldest=encode_cursor(self._epoch, newest),
            )

    # --- inside --------------------------------------------------------------------------------------------------

    async def _rows(
        self, document: str, branch: str, first: int, last: int, newest_first: bool, limit: int
    ) -> Sequence[Row]:
        """Some rows of first..last, at least one where there is one, beginning at the end that was asked for."""
        while True:
            start, oldest_in_tail = self._tail.start, self._builder.oldest_in_tail(document, branch) or last + 1
            if newest_first and last >= oldest_in_tail:
                rows = self._builder.tail_rows(document, branch, max(first, last - limit + 1), last)
                if rows:
                    return rows[::-1]
                last = oldest_in_tail - 1  # some were left out
            if not newest_first and first >= oldest_in_tail:
                return self._builder.tail_rows(document, branch, first, last)[:limit]
            found = await self.archive.history(
                document,
                branch,
                first=first,
                last=min(last, oldest_in_tail - 1),
                newest_first=newest_first,
                limit=limit,
            )
            if found or newest_first:
                return found
            if self._tail.start == start:
                # Nothing in the archive: what follows, if anything, is in the tail.
                return self._builder.tail_rows(document, branch, first, last)[:limit]


def _clipped(found: Sequence[Segment], first: int, last: int) -> list[Segment]:
    return [
        Segment(segment.branch, max(first, segment.first), min(last, segment.last))
        for segment in found
        if segment.first <= last and segment.last >= first
    ]


class Condition:
    """What a version has to meet to be in a history."""

    def __init__(self, actor: DocumentActor, message: History) -> None:
        self._actor = actor
        self._by = message.by
        self._any = frozenset(message.tags)
        self._all = frozenset(message.tags_all)
        self._path = message.path

    def meta(self, event: Event) -> Meta | None:
        """With the tags that the version has by now."""
        actor = self._actor
        return event.meta if actor.record is None else labelled(actor.record, event)

    def holds(self, event: Event) -> bool:
        meta = self.meta(event) if self._any or self._all else event.meta
        if not meets(meta, self._by, self._any, self._all):
            return False
        return self._path is None or touches(decode_delta(event.delta), self._path)


def meets(meta: Meta | None, by: str | None, tags: Collection[str], tags_all: Collection[str]) -> bool:
    """Whether a version of which that is said is by them, and has any of `tags`, and all of `tags_all`, where they name some."""
    said = meta or _NOTHING_SAID
    if by is not None and said.by != by:
        return False
    if tags and not any(tag in tags for tag in said.tags):
        return False
    return all(tag in said.tags for tag in tags_all)


def entry_of(event: Event, meta: Meta | None, branch: str) -> Entry:
    """branch: that was asked about."""
    made_on = "" if event.branch == branch else event.branch
    delta = Raw(bytes(event.delta))
    return Entry(event.version, event.kind, event.at, delta, meta, request_of(event), made_on, event.parents)


def request_of(event: Event) -> str:
    """The id of the request that made it, as histories show it."""
    return event.key if event.key is not None else f"{event.origin}:{event.request}"


def labelled(record: Any, event: Event) -> Meta | None:
    """What is said of an event by now."""
    return with_labels(event.meta, labels_of(record, event.branch, event.version))


def _entry_bytes(event: Event) -> int:
    said = 0 if event.meta is None else len(_encode(event.meta))
    return len(event.delta) + said + _ENTRY_OVERHEAD_BYTES
