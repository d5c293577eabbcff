"""Reads of the past: what the archive knows, joined with what only the tail has yet."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence

import msgspec
from msgspec import Raw

from palimpsest.actors.chain import digest_at
from palimpsest.actors.document import DocumentActor
from palimpsest.actors.stream import Stream, sets_all
from palimpsest.actors.tail import Tail
from palimpsest.errors import Compacted, InvalidRequest, VersionNotFound, VersionPruned
from palimpsest.limits import Limits
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.protocol.messages import Document, Entry, Get, History, Place, Versions
from palimpsest.state.names import Pattern
from palimpsest.state.ops import decode_delta
from palimpsest.state.record import labels
from palimpsest.state.touching import touches
from palimpsest.storage.contracts import Archive, Row
from palimpsest.storage.events import GENESIS, Event, commitment, link
from palimpsest.words import Meta

_PAGE_BYTES_MAX = 2 * 1024 * 1024
"""Of one page of a history with more than one version: it is to fit into a frame, and into memory many times over."""
_ENTRY_OVERHEAD_BYTES = 128
"""Of numbers and the request id."""
_ROWS_TOGETHER = 64
_ROWS_SEARCHED_MAX = 4_096
"""For one page of a history with conditions; where few versions meet them, the client asks for the next page sooner."""
_NOTHING_SAID = Meta()
_encode = msgspec.msgpack.Encoder().encode


class Reader:
    """Reads what is durable. epoch: the journal's."""

    def __init__(self, archive: Archive, tail: Tail, limits: Limits, epoch: str) -> None:
        self.archive = archive
        self._tail = tail
        self._limits = limits
        self._epoch = epoch

    # --- one version ---------------------------------------------------------------------------------------------

    async def document(self, actor: DocumentActor, message: Get) -> Document:
        """Raises DocumentNotFound where it was deleted then, and what `find` does."""
        place = Place(message.branch, message.version, message.at, message.tag)
        stream = await self.stream_at(actor, await self.find(actor, place))
        stream.record = actor.record
        return stream.view(message.id)

    async def find(self, actor: DocumentActor, place: Place) -> int:
        """The durable version that place speaks of. Raises VersionNotFound, VersionPruned or InvalidRequest."""
        if (place.version, place.at, place.tag).count(None) < 2:
            raise InvalidRequest("a version, a time or a tag: one of them says which version is meant", reason="place")
        if place.at is not None:
            return await self._find_time(actor, place.at)
        if place.tag is not None:
            return await self._find_tag(actor, place.tag)
        if place.version is None:
            return actor.durable
        if not 1 <= place.version <= actor.durable:
            raise actor.no_such_version(place.version)
        return place.version

    async def stream_at(self, actor: DocumentActor, version: int) -> Stream:
        """A stream of its own, as of a durable version. Raises VersionPruned."""
        rows = self._tail_rows(actor, 1, version)
        archived = rows[0].event.version - 1 if rows else version
        stream = Stream(actor.document, actor.branch, self._limits)
        if archived:
            stretch = await self.archive.load_version(actor.document, actor.branch, archived)
            if stretch is not None:
                stream.load(stretch)
            elif not rows or not _sets_all(rows[0].event):
                raise await self._gone(actor, version)
            else:
                stream.version = archived
        for row in rows:
            stream.replay(row)
        if stream.version != version:  # it was left out by an import
            raise await self._gone(actor, version)
        return stream

    async def row(self, actor: DocumentActor, version: int) -> Row:
        """The event of a durable version. Raises VersionPruned."""
        rows = self._tail_rows(actor, version, version)
        if not rows:
            rows = await self.archive.history(
                actor.document, actor.branch, first=version, last=version, newest_first=False, limit=1
            )
        if not rows:
            raise await self._gone(actor, version)
        return rows[0]

    async def digest(self, actor: DocumentActor, version: int) -> bytes:
        """The stream's digest as of a durable version. Raises VersionPruned."""
        rows = self._tail_rows(actor, 1, version)
        archived = rows[0].event.version - 1 if rows else version
        digest: bytes | None = GENESIS
        if archived:
            (head,) = await self.archive.heads([(actor.document, actor.branch)])
            if head is not None:
                known = min(head.version, archived)
                digest = await digest_at(self.archive, actor.document, actor.branch, known)
        if digest is None or (rows and rows[-1].event.version != version):
            raise await self._gone(actor, version)
        for row in rows:
            digest = link(digest, commitment(self._tail.salt(row.position), row.event))
        return digest

    async def _find_time(self, actor: DocumentActor, at: int) -> int:
        version = await self.version_at(actor, at)
        for gap in await self.archive.gaps(actor.document, actor.branch):
            if gap.first == version + 1 and gap.at <= at:
                raise await self._gone(actor, gap.last)
        if version == 0:
            raise VersionNotFound(
                f"{actor.document!r} had no version at that time yet",
                document=actor.document,
                branch=actor.branch,
                version=None,
                newest=actor.durable,
            )
        return version

    async def version_at(self, actor: DocumentActor, at: int) -> int:
        """The newest version that is kept and was made then or before; 0 where there is none."""
        positions = actor.tail_positions()
        if positions and self._tail.row(positions[0]).event.at <= at:
            place = bisect_right(positions, at, key=lambda position: self._tail.row(position).event.at)
            newest = self._tail.row(positions[place - 1])
            return newest.event.version
        row = await self.archive.find_time(actor.document, actor.branch, at)
        return 0 if row is None else row.event.version

    async def _find_tag(self, actor: DocumentActor, tag: str) -> int:
        """The newest version that has the tag and is kept."""
        said = {} if actor.record is None else labels(actor.record, actor.branch)
        given = {version for version, tags in said.items() if tags.get(tag) is True}
        lost = {version for version, tags in said.items() if tags.get(tag) is False}
        for row in reversed(self._tail_rows(actor, 1, actor.durable)):
            version = row.event.version
            if version in given or (version not in lost and tag in (row.event.meta or _NOTHING_SAID).tags):
                return version
        made_with = await self._find_made_with(actor, tag, lost)
        for version in sorted(given, reverse=True):
            if version <= made_with:
                break
            if await self.archive.load_version(actor.document, actor.branch, version) is not None:
                return version
        if made_with:
            return made_with
        raise VersionNotFound(
            f"{actor.document!r} has no version with the tag {tag!r}",
            document=actor.document,
            branch=actor.branch,
            version=None,
            newest=actor.durable,
        )

    async def _find_made_with(self, actor: DocumentActor, tag: str, lost: set[int]) -> int:
        last = actor.durable
        while True:
            found = await self.archive.find_tag(actor.document, actor.branch, tag, last=last)
            if found is None:
                return 0
            if found not in lost:
                return found
            last = found - 1

    async def _gone(self, actor: DocumentActor, version: int) -> VersionPruned:
        gaps = await self.archive.gaps(actor.document, actor.branch)
        oldest = gaps[-1].last + 1 if gaps else None
        return VersionPruned(
            f"version {version} of {actor.document!r} is not kept any more; from version {oldest} on, all are",
            document=actor.document,
            branch=actor.branch,
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
        if message.since is not None:
            first = max(first, await self.version_at(actor, message.since - 1) + 1)
        if message.until is not None:
            last = min(last, await self.version_at(actor, message.until))
        condition = Condition(actor, message)
        limit = min(message.limit, self._limits.page_items_max)
        bytes_max = min(_PAGE_BYTES_MAX, self._limits.frame_bytes_max // 2)
        entries: list[Entry] = []
        size = searched = 0
        more = True
        async for row in self.versions(actor, first, last, newest_first=message.newest_first):
            if len(entries) >= limit or searched >= _ROWS_SEARCHED_MAX:
                break
            searched += 1
            if condition.holds(row.event):
                size += _entry_bytes(row.event)
                if entries and size > bytes_max:
                    break
                entries.append(entry_of(row.event, condition.meta(row.event)))
            if message.newest_first:
                last = row.event.version - 1
            else:
                first = row.event.version + 1
        else:
            more = False
        gaps = await self.archive.gaps(actor.document, actor.branch)
        oldest = gaps[-1].last + 1 if gaps else 1
        next_ = last if message.newest_first else first
        return Versions(message.id, tuple(entries), more, newest, next_, oldest)

    async def versions(self, actor: DocumentActor, first: int, last: int, *, newest_first: bool) -> AsyncIterator[Row]:
        """Rows of durable versions first..last, as they are needed."""
        while first <= last:
            rows = await self._rows(actor, first, last, newest_first, _ROWS_TOGETHER)
            if not rows:
                return
            for row in rows:
                yield row
            if newest_first:
                last = rows[-1].event.version - 1
            else:
                first = rows[-1].event.version + 1

    async def rows(self, position: int, *, rows_max: int, bytes_max: int, pattern: Pattern, branch: str) -> list[Row]:
        """Rows of all streams from `position` on, in order; empty only at the durable end.

        Raises Compacted where something of the pattern's documents at `position` or later is not kept any more.
        """
        while position < self._tail.start:
            start = self._tail.start
            rows = await self.archive.read(position, rows_max=rows_max, bytes_max=bytes_max)
            await self._check_compacted(position, pattern, branch)
            if rows:
                return rows
            position = start  # nothing is kept of what lay before
        return self._tail.rows(position, rows_max=rows_max, bytes_max=bytes_max)

    async def _check_compacted(self, position: int, pattern: Pattern, branch: str) -> None:
        if (await self.archive.end()).pruned < position:
            return
        gone = await self.archive.compacted(branch, prefix=pattern.prefix, position=position)
        newest = max((last for document, last in gone if pattern.matches(document)), default=0)
        if newest >= position:
            raise Compacted(
                "some of what follows this cursor is not kept any more",
                cursor=encode_cursor(self._epoch, position - 1),
                oldest=encode_cursor(self._epoch, newest),
            )

    # --- inside --------------------------------------------------------------------------------------------------

    async def _rows(self, actor: DocumentActor, first: int, last: int, newest_first: bool, limit: int) -> Sequence[Row]:
        """Some rows of first..last, at least one where there is one, beginning at the end that was asked for."""
        while True:
            start, oldest_in_tail = self._tail.start, self._oldest_in_tail(actor)
            if newest_first and last >= oldest_in_tail:
                rows = self._tail_rows(actor, max(first, last - limit + 1), last)
                if rows:
                    return rows[::-1]
                last = oldest_in_tail - 1  # an import left some out
            if not newest_first and first >= oldest_in_tail:
                return self._tail_rows(actor, first, last)[:limit]
            found = await self.archive.history(
                actor.document,
                actor.branch,
                first=first,
                last=min(last, oldest_in_tail - 1),
                newest_first=newest_first,
                limit=limit,
            )
            if found or newest_first:
                return found
            if self._tail.start == start:
                # Nothing in the archive: what follows, if anything, is in the tail.
                return self._tail_rows(actor, first, last)[:limit]

    def _oldest_in_tail(self, actor: DocumentActor) -> int:
        """The oldest version that the tail has; durable + 1 where it has none."""
        positions = actor.tail_positions()
        return self._tail.row(positions[0]).event.version if positions else actor.durable + 1

    def _tail_rows(self, actor: DocumentActor, first: int, last: int) -> list[Row]:
        """Those rows of versions first..last that the tail has, in order."""
        positions = actor.tail_positions()
        oldest = self._oldest_in_tail(actor)
        if oldest + len(positions) - 1 != actor.durable:  # an import left some out
            rows = [self._tail.row(position) for position in positions]
            return [row for row in rows if first <= row.event.version <= last]
        return [
            self._tail.row(positions[version - oldest])
            for version in range(max(first, oldest), min(last, actor.durable) + 1)
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
        return event.meta if actor.record is None else actor.labelled(event.version, event.meta)

    def holds(self, event: Event) -> bool:
        if self._by is not None and (event.meta is None or event.meta.by != self._by):
            return False
        if self._any or self._all:
            tags = (self.meta(event) or _NOTHING_SAID).tags
            if (self._any and self._any.isdisjoint(tags)) or not self._all.issubset(tags):
                return False
        return self._path is None or touches(decode_delta(event.delta), self._path)


def entry_of(event: Event, meta: Meta | None) -> Entry:
    return Entry(event.version, event.kind, event.at, Raw(bytes(event.delta)), meta, request_of(event))


def request_of(event: Event) -> str:
    """The id of the request that made it, as histories show it."""
    return event.key if event.key is not None else f"{event.origin}:{event.request}"


def _sets_all(event: Event) -> bool:
    return sets_all(event.kind, decode_delta(event.delta))


def _entry_bytes(event: Event) -> int:
    said = 0 if event.meta is None else len(_encode(event.meta))
    return len(event.delta) + said + _ENTRY_OVERHEAD_BYTES
