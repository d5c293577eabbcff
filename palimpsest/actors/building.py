"""Values as of any durable version: what the archive knows, what only the tail has yet, and what a branch goes on from."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from palimpsest.actors.stream import Stream, ends, sets_all, starts_line
from palimpsest.actors.tail import Tail
from palimpsest.limits import Limits
from palimpsest.state.ops import decode_delta
from palimpsest.state.tree import NOTHING
from palimpsest.storage.contracts import Archive, Row
from palimpsest.storage.events import Event
from palimpsest.words import Node

_VALUES_BYTES_MAX = 64 * 1024 * 1024
"""Of memory, roughly, for values that merges are likely to start from."""
_VALUES_MAX = 1_024


class Values:
    """Frozen values of the past, the last that were asked for. They share what they have in common with those that are awake."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, Node], tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, document: str, node: Node) -> Any:
        """None where it is not known; NOTHING where the document did not exist."""
        key = (document, node)
        if key not in self._found:
            return None
        self._found.move_to_end(key)
        return self._found[key][0]

    def put(self, document: str, node: Node, stream: Stream) -> Any:
        """stream: as of node. Its value, NOTHING where it does not exist."""
        value = stream.value() if stream.exists else NOTHING
        self._drop((document, node))
        size = stream.estimated_bytes()
        self._found[document, node] = (value, size)
        self._bytes += size
        while self._bytes > _VALUES_BYTES_MAX or len(self._found) > _VALUES_MAX:
            self._drop(next(iter(self._found)))
        return value

    def forget(self, document: str) -> None:
        """Something was erased from it."""
        for key in [key for key in self._found if key[0] == document]:
            self._drop(key)

    def _drop(self, key: tuple[str, Node]) -> None:
        found = self._found.pop(key, None)
        if found is not None:
            self._bytes -= found[1]


class Builder:
    """positions: of the events of a stream (document, branch) that the tail has, in order."""

    def __init__(
        self, archive: Archive, tail: Tail, limits: Limits, positions: Callable[[str, str], Sequence[int]]
    ) -> None:
        self._archive = archive
        self._tail = tail
        self._limits = limits
        self._positions = positions
        self.values = Values()

    async def at(self, document: str, branch: str, version: int) -> Stream | None:
        """A stream of its own, as of a durable version that was made on this branch; None where that is not kept any more."""
        rows = self.tail_rows(document, branch, 1, version)
        stream = Stream(document, branch, self._limits)
        start = next((place for place in range(len(rows) - 1, -1, -1) if starts_line(rows[place].event)), None)
        if start is not None:
            rows = rows[start:]
            if not await self._begin(stream, rows[0].event):
                return None
        elif not await self._load(stream, rows, version):
            return None
        for row in rows:
            stream.replay(row)
        return stream if stream.version == version else None  # an import left it out

    def tail_rows(self, document: str, branch: str, first: int, last: int) -> list[Row]:
        """Those rows of versions first..last that the tail has, in order."""
        positions = self._positions(document, branch)
        start = bisect_left(positions, first, key=self._version)
        rows: list[Row] = []
        for place in range(start, len(positions)):
            row = self._tail.row(positions[place])
            if row.event.version > last:
                break
            rows.append(row)
        return rows

    def newest_until(self, document: str, branch: str, first: int, last: int, at: int) -> int:
        """The newest of versions first..last that the tail has and that was made then or before; 0 where there is none."""
        positions = self._positions(document, branch)
        place = bisect_right(positions, at, key=lambda position: self._tail.row(position).event.at)
        place = min(place, bisect_right(positions, last, key=self._version))
        found = self._version(positions[place - 1]) if place else 0
        return found if found >= first else 0

    def oldest_in_tail(self, document: str, branch: str) -> int | None:
        """The oldest version that the tail has."""
        positions = self._positions(document, branch)
        return self._version(positions[0]) if positions else None

    def newest_in_tail(self, document: str, branch: str) -> int | None:
        positions = self._positions(document, branch)
        return self._version(positions[-1]) if positions else None

    # --- inside --------------------------------------------------------------------------------------------------

    async def _begin(self, stream: Stream, event: Event) -> bool:
        """stream becomes what the first version of a branch goes on from. Whether that is kept."""
        assert event.parents is not None
        assert event.parents.base is not None
        if ends(event.kind, decode_delta(event.delta)):  # what it starts from may have been erased as a whole, too
            stream.begin(None, event.version - 1)
            return True
        base = await self.at(stream.document, *event.parents.base)
        if base is not None:
            stream.begin(base, event.version - 1)
        return base is not None

    async def _load(self, stream: Stream, rows: Sequence[Row], version: int) -> bool:
        """stream becomes what comes before rows, or version where there are none. Whether that is kept, or not needed."""
        archived = rows[0].event.version - 1 if rows else version
        if not archived:
            return True
        stretch = await self._archive.load_version(stream.document, stream.branch, archived)
        if stretch is not None:
            stream.load(stretch)
            return True
        if not rows or not sets_all(rows[0].event.kind, decode_delta(rows[0].event.delta)):
            return False
        stream.version = archived
        return True

    def _version(self, position: int) -> int:
        return self._tail.row(position).event.version
