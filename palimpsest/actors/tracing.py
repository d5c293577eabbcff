"""Who set what, back through merges: a version that took something over from another branch did not make it.

A merge is blamed for what it decided itself, where two sides were brought together. What it has as the version that was merged has it
is followed there, from that version back to where the two branches have everything in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palimpsest.actors.reading import Reader
from palimpsest.actors.stream import starts_line
from palimpsest.errors import VersionPruned
from palimpsest.state.blame import Blame
from palimpsest.state.lines import Ancestors, ancestors, is_ancestor
from palimpsest.state.ops import decode_delta
from palimpsest.state.paths import Path
from palimpsest.state.tree import NOTHING, find_or_nothing
from palimpsest.state.values import equal
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event
from palimpsest.words import Node

_DEPTH_MAX = 64
"""Merges of merges of merges; what is deeper is blamed on the merge."""

Traced = tuple[Path, Row]
"""A path, and the version that last set what is there."""


class Tracing:
    """Of one document, by its record."""

    def __init__(self, reader: Reader, document: str, record: Any) -> None:
        self.is_exact = True
        """False once history does not reach back far enough somewhere."""
        self._reader = reader
        self._document = document
        self._record = record

    async def trace(
        self, node: Node, value: Any, path: Path = (), *, known: Ancestors | None = None, depth: int = 0
    ) -> list[Traced]:
        """For every leaf of value at path. value: as of node. known: versions at which to stop; what is open then is left out."""
        blame = Blame(value, path)
        rows: list[Row] = []
        async for row in self._reader.back_from(self._document, self._record, node):
            event = row.event
            if known is not None and is_ancestor(self._record, (event.branch, event.version), known):
                break
            if blame.is_complete or (rows and not _follows(event, rows[-1].event)):
                break  # what came between is not kept
            rows.append(row)
            blame.step(len(rows), event.kind, decode_delta(event.delta))
        if known is None and not blame.is_complete:
            self.is_exact = False
            if rows:
                blame.finish(len(rows))
        found = [(leaf, rows[place - 1]) for leaf, place in blame.result() if place]
        return await self._through_merges(found, value, depth)

    async def _through_merges(self, found: list[Traced], value: Any, depth: int) -> list[Traced]:
        merges: dict[int, tuple[Row, list[Path]]] = {}
        for path, row in found:
            parents = row.event.parents
            if parents is not None and parents.merged and depth < _DEPTH_MAX:
                merges.setdefault(row.position, (row, []))[1].append(path)
        taken: dict[Path, Row] = {}
        for row, paths in merges.values():
            taken.update(await self._behind(row, paths, value, depth))
        return [(path, taken.get(path, row)) for path, row in found]

    async def _behind(self, row: Row, paths: Sequence[Path], value: Any, depth: int) -> dict[Path, Row]:
        """What of paths, which a merge has set, it has from a version that it took in, and who made it."""
        event = row.event
        assert event.parents is not None
        before = event.parents.base if starts_line(event) else (event.branch, event.version - 1)
        known = {} if before is None else ancestors(self._record, before)
        found: dict[Path, Row] = {}
        for node in event.parents.merged:
            try:
                theirs = await self._reader.value_at(self._document, node)
            except VersionPruned:
                self.is_exact = False
                continue
            same = {path for path in paths if path not in found and _same(value, theirs, path)}
            if same:
                traced = await self.trace(node, theirs, known=known, depth=depth + 1)
                found.update((path, source) for path, source in traced if path in same)
        return found


def _follows(older: Event, newer: Event) -> bool:
    """Whether nothing came between two versions of one history."""
    if starts_line(newer):
        assert newer.parents is not None
        return newer.parents.base == (older.branch, older.version)
    return (older.branch, older.version + 1) == (newer.branch, newer.version)


def _same(value: Any, theirs: Any, path: Path) -> bool:
    ours, found = find_or_nothing(value, path), find_or_nothing(theirs, path)
    return ours is not NOTHING and found is not NOTHING and equal(ours, found)
