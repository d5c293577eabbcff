"""Drawing lines of versions: which strokes stand before each version, newest first. Pure; it knows nothing of documents.

Every line of versions has a column of its own for as long as it lasts: from its newest version down to the one that it starts from.
`main` keeps the first. Where a column ends, an older line may take it.

    ● main:5          a merge: its further parents branch off below it
    ├─╮
    │ ● draft:4
    ● │ main:4
    ├─╯               a fork: the lines that start from a version end above it
    ● main:3

Where strokes cross without meeting, the vertical one is drawn.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from palimpsest.words import MAIN, Node

_NORTH, _SOUTH, _EAST, _WEST = 1, 2, 4, 8

_BOXES = " ╵╷│╶╰╭├╴╯╮┤─┴┬┼"
"""By the sides that a stroke leaves a cell on, added up."""

_ASCII = " ||||'.+-'.+-+++"
_ASCII_OF = str.maketrans({"●": "*", "┊": ":", **dict(zip(_BOXES, _ASCII, strict=True))})

CELL_CHARACTERS = 2
"""A column takes so many characters of a row; the last one of a row takes one."""


class Dot(msgspec.Struct, frozen=True):
    """A version to be drawn. node: its branch and number. parents: the version before it first, then what it merged. order: of two
    that do not come from each other, the one with the greater is the newer. label: what stands beside it; of no concern here."""

    node: Node
    parents: tuple[Node, ...] = ()
    order: int = 0
    label: object = None


class Row(msgspec.Struct, frozen=True):
    """strokes: without spaces at the end; the character at place i belongs to column i // CELL_CHARACTERS. dot: that is in this row;
    None where there are only strokes."""

    strokes: str
    dot: Dot | None = None


def newest_first(dots: Iterable[Dot]) -> list[Dot]:
    """In the order in which they can be drawn: none before what comes from it, and of the rest the newest first. Nodes are distinct."""
    found = {dot.node: dot for dot in dots}
    children = dict.fromkeys(found, 0)
    for dot in found.values():
        for parent in dot.parents:
            if parent in children:
                children[parent] += 1
    ready = [_urgency(dot) for dot in found.values() if not children[dot.node]]
    heapq.heapify(ready)
    ordered = []
    while ready:
        dot = found[heapq.heappop(ready)[-1]]
        ordered.append(dot)
        for parent in dot.parents:
            if parent in children:
                children[parent] -= 1
                if not children[parent]:
                    heapq.heappush(ready, _urgency(found[parent]))
    return ordered


def draw(dots: Sequence[Dot], *, ascii_only: bool = False) -> list[Row]:
    """dots: in the order of `newest_first`. Parents that are not among them leave open ends, which the last row shows."""
    rows: list[Row] = []
    columns = _Columns(MAIN if any(dot.node[0] == MAIN for dot in dots) else None)
    for dot in dots:
        rows += columns.draw(dot)
    rows += columns.open_ends()
    return [Row(row.strokes.translate(_ASCII_OF), row.dot) for row in rows] if ascii_only else rows


def _urgency(dot: Dot) -> tuple[int, bool, str, int, Node]:
    branch, version = dot.node
    return (-dot.order, branch != MAIN, branch, -version, dot.node)


class _Column(msgspec.Struct):
    """line: the branch whose column it is; None: it is free. next: the version that its stroke leads to; None: no stroke yet."""

    line: str | None = None
    next: Node | None = None


class _Columns:
    """Where each line stands, between two rows. first: the line that keeps the first column."""

    def __init__(self, first: str | None) -> None:
        self._columns = [] if first is None else [_Column(first)]
        self._ended: int | None = None
        """Where the last dot came from nothing. Its column stays empty beside the next, which would look like its parent."""

    def draw(self, dot: Dot) -> Iterator[Row]:
        """What is drawn between the row of the dot before and the next one: joining strokes, the dot, parting strokes."""
        mine, others = self._take(dot.node)
        before = self._strokes()
        for place in others:
            self._columns[place] = _Column()
        self._columns[mine].next = dot.node
        if others:
            yield _connect(before, self._strokes(), mine, others)
        yield Row(self._vertical("●", mine), dot)
        before = self._strokes()
        self._columns[mine].next = dot.parents[0] if dot.parents else None
        merged = [self._place_for(parent, mine) for parent in dict.fromkeys(dot.parents[1:])]
        if merged:
            yield _connect(before, self._strokes(), mine, merged)
        if self._ended is not None:
            self._columns[self._ended] = _Column()
        self._ended = None if dot.parents else mine
        while self._columns and self._columns[-1].line is None:
            self._columns.pop()

    def open_ends(self) -> list[Row]:
        ends = "".join("┊ " if column.next else "  " for column in self._columns).rstrip()
        return [Row(ends)] if ends else []

    def _take(self, node: Node) -> tuple[int, list[int]]:
        """The column for a node, and the others whose strokes lead to it, too. Its own line's comes before any other."""
        leading = [place for place, column in enumerate(self._columns) if column.next == node]
        own = [place for place in leading if self._columns[place].line == node[0]]
        waiting = [place for place, column in enumerate(self._columns) if column.line == node[0] and not column.next]
        mine = next(iter([*own, *waiting, *leading]), None)
        if mine is None:
            mine = self._free(-1)
        self._columns[mine].line = node[0]
        return mine, [place for place in leading if place != mine]

    def _place_for(self, parent: Node, merging: int) -> int:
        """The column whose stroke leads to a parent that is merged; a free one where there is none yet."""
        for place, column in enumerate(self._columns):
            if column.next == parent and place != merging:
                return place
        waiting = [place for place, column in enumerate(self._columns) if column.line == parent[0] and not column.next]
        place = waiting[0] if waiting else self._free(merging)
        self._columns[place] = _Column(parent[0], parent)
        return place

    def _free(self, beside: int) -> int:
        """The first free column to the right of `beside`, or a new one."""
        for place in range(beside + 1, len(self._columns)):
            if self._columns[place].line is None:
                return place
        self._columns.append(_Column())
        return len(self._columns) - 1

    def _strokes(self) -> list[bool]:
        return [column.next is not None for column in self._columns]

    def _vertical(self, mark: str, at: int) -> str:
        cells = [mark if place == at else "│" if there else " " for place, there in enumerate(self._strokes())]
        return " ".join(cells).rstrip()


def _connect(above: Sequence[bool], below: Sequence[bool], hub: int, ends: Sequence[int]) -> Row:
    """A row in which strokes go from the column `hub` to each of `ends`. above, below: which columns have strokes there."""
    first, last = min(hub, *ends), max(hub, *ends)
    cells = []
    for place in range(max(len(above), len(below))):
        sides = (_NORTH if place < len(above) and above[place] else 0) + (
            _SOUTH if place < len(below) and below[place] else 0
        )
        if place == hub or place in ends:
            sides += (_WEST if place > first else 0) + (_EAST if place < last else 0)
        elif not sides and first < place < last:
            sides = _WEST + _EAST
        cells.append(_BOXES[sides] + ("─" if first <= place < last else " "))
    return Row("".join(cells).rstrip())
