"""Reads of the past: what the archive knows, joined with what only the tail has yet."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from palimpsest.actors.document import DocumentActor
from palimpsest.actors.stream import Stream
from palimpsest.actors.tail import Tail
from palimpsest.errors import Compacted, DocumentNotFound
from palimpsest.limits import Limits
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.protocol.messages import Document, Entry, Get, History, Versions
from palimpsest.storage.contracts import Archive, Row
from palimpsest.storage.events import Event

_PAGE_BYTES_MAX = 2 * 1024 * 1024
"""Of one page of a history with more than one version: it is to fit into a frame, and into memory many times over."""
_ENTRY_OVERHEAD_BYTES = 128
"""Of numbers and the request id."""
_ROWS_TOGETHER = 64
_encode = msgspec.msgpack.Encoder().encode


class Reader:
    """Reads what is durable. epoch: the journal's."""

    def __init__(self, archive: Archive, tail: Tail, limits: Limits, epoch: str) -> None:
        self._archive = archive
        self._tail = tail
        self._limits = limits
        self._epoch = epoch

    async def version(self, actor: DocumentActor, message: Get) -> Document:
        """The document as of message.version, which is durable. Raises DocumentNotFound where it was deleted then."""
        assert message.version is not None
        stream = await self.stream_at(actor, message.version)
        return stream.view(message.id)

    async def stream_at(self, actor: DocumentActor, version: int) -> Stream:
        """A stream of its own, as of a durable version."""
        rows = self._tail_rows(actor, 1, version)
        archived = rows[0].event.version - 1 if rows else version
        stream = Stream(actor.document, actor.branch, self._limits)
        if archived:
            stretch = await self._archive.load_version(actor.document, actor.branch, archived)
            if stretch is None:
                raise DocumentNotFound(
                    f"version {version} of {actor.document!r} is not in the archive",
                    document=actor.document,
                    branch=actor.branch,
                    version=version,
                )
            stream.load(stretch)
        for row in rows:
            stream.replay(row)
        return stream

    async def history(self, actor: DocumentActor, message: History) -> Versions:
        """One page, bounded in items and in bytes."""
        newest = actor.durable
        first = max(1, message.first if message.first is not None else 1)
        last = min(newest, message.last if message.last is not None else newest)
        limit = min(message.limit, self._limits.page_items_max)
        bytes_max = min(_PAGE_BYTES_MAX, self._limits.frame_bytes_max // 2)
        entries: list[Entry] = []
        size = 0
        while first <= last and len(entries) < limit and size <= bytes_max:
            wanted = min(_ROWS_TOGETHER, limit - len(entries))
            rows = await self._rows(actor, first, last, message.newest_first, wanted)
            if not rows:
                break
            for row in rows:
                size += _entry_bytes(row.event)
                if entries and size > bytes_max:
                    break
                entries.append(_entry(row.event))
            if message.newest_first:
                last = entries[-1].version - 1
            else:
                first = entries[-1].version + 1
        return Versions(message.id, tuple(entries), first <= last, newest)

    async def rows(self, position: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """Rows of all streams from `position` on, in order; empty only at the durable end.

        Raises Compacted where history does not reach back to `position`.
        """
        if position >= self._tail.start:
            return self._tail.rows(position, rows_max=rows_max, bytes_max=bytes_max)
        rows = await self._archive.read(position, rows_max=rows_max, bytes_max=bytes_max)
        if not rows or rows[0].position != position:
            end = await self._archive.end()
            oldest = encode_cursor(self._epoch, end.oldest - 1)
            raise Compacted(
                "history does not reach back to this cursor any more",
                cursor=encode_cursor(self._epoch, position - 1),
                oldest=oldest,
            )
        return rows

    # --- inside --------------------------------------------------------------------------------------------------

    async def _rows(self, actor: DocumentActor, first: int, last: int, newest_first: bool, limit: int) -> Sequence[Row]:
        """Some rows of first..last, at least one where there is one, beginning at the end that was asked for."""
        oldest_in_tail = actor.durable - len(actor.tail_positions()) + 1
        if newest_first and last >= oldest_in_tail:
            rows = self._tail_rows(actor, max(first, last - limit + 1), last)
            return rows[::-1]
        if not newest_first and first >= oldest_in_tail:
            return self._tail_rows(actor, first, min(last, first + limit - 1))
        return await self._archive.history(
            actor.document,
            actor.branch,
            first=first,
            last=min(last, oldest_in_tail - 1),
            newest_first=newest_first,
            limit=limit,
        )

    def _tail_rows(self, actor: DocumentActor, first: int, last: int) -> list[Row]:
        """Those rows of versions first..last that the tail has, in order."""
        positions = actor.tail_positions()
        oldest = actor.durable - len(positions) + 1
        return [
            self._tail.row(positions[version - oldest])
            for version in range(max(first, oldest), min(last, actor.durable) + 1)
        ]


def _entry(event: Event) -> Entry:
    request = event.key if event.key is not None else f"{event.origin}:{event.request}"
    return Entry(event.version, event.kind, event.at, Raw(bytes(event.delta)), event.meta, request)


def _entry_bytes(event: Event) -> int:
    said = 0 if event.meta is None else len(_encode(event.meta))
    return len(event.delta) + said + _ENTRY_OVERHEAD_BYTES
