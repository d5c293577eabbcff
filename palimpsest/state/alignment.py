"""Aligning two lists: what they have in common at both ends, then what occurs once in each and in the same order, then, in gaps
that are small enough, the longest common subsequence. Close to linear in their length; not the smallest that there is."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any

_GAP_CELLS_MAX = 2_500
"""The largest table, in cells, that is filled for a longest common subsequence: half a millisecond."""

_ELEMENT_LOOKS = 4
"""What it takes to look for one element in the other list, where filling a cell of a table is one look."""

_PIECE_ITEMS = 4_096

Gap = tuple[int, int, int, int]
"""Elements start:end of the one list, and start:end of the other, that have nothing in common."""


class Looks:
    """How much comparing may still be done, in looks of some 0.25 us; shared by all that is aligned in one go. Counted, not timed:
    the same lists are always aligned in the same way."""

    __slots__ = ("left",)

    left: int
    """0 or less: none."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int) -> bool:
        """Whether there were as many left; they are then gone."""
        if count > self.left:
            return False
        self.left -= count
        return True


def gaps(a: list[Any], b: list[Any], looks: Looks | None = None) -> Iterator[Gap]:
    """What is left of two lists of tokens once they are aligned, from left to right. Once the looks are used up (None: a number
    that is enough for lists of that length), what is left of a gap stays one gap."""
    looks = looks or Looks(_looks_for(a, b))
    todo: list[Gap] = [_ends(a, b)]
    while todo:
        gap = _trim(a, b, todo.pop())
        start, end, other, other_end = gap
        if start == end and other == other_end:
            continue
        anchors = [] if start == end or other == other_end else _anchors(a, b, gap, looks)
        if not anchors:
            yield gap
        else:
            todo += reversed(_between(gap, anchors))


def common_start(a: Any, b: Any, longest: int, at: int = 0, other: int = 0) -> int:
    """How many items two lists, or two texts, have in common from these places on; at most `longest`. Compared in large pieces."""
    same, piece = 0, _PIECE_ITEMS
    while same < longest:
        until = same + piece
        if until <= longest and a[at + same : at + until] == b[other + same : other + until]:
            same = until
        elif piece > 1:
            piece //= 2
        else:
            break
    return same


def common_end(a: Any, b: Any, longest: int) -> int:
    """As `common_start`, at the ends."""
    same, piece, end, other_end = 0, _PIECE_ITEMS, len(a), len(b)
    while same < longest:
        until = same + piece
        if until <= longest and a[end - until : end - same] == b[other_end - until : other_end - same]:
            same = until
        elif piece > 1:
            piece //= 2
        else:
            break
    return same


def _looks_for(a: list[Any], b: list[Any]) -> int:
    return 20 * _GAP_CELLS_MAX + 3 * _ELEMENT_LOOKS * (len(a) + len(b))


def _ends(a: list[Any], b: list[Any]) -> Gap:
    longest = min(len(a), len(b))
    start = common_start(a, b, longest)
    same = common_end(a, b, longest - start)
    return start, len(a) - same, start, len(b) - same


def _trim(a: list[Any], b: list[Any], gap: Gap) -> Gap:
    start, end, other, other_end = gap
    while start < end and other < other_end and a[start] == b[other]:
        start, other = start + 1, other + 1
    while start < end and other < other_end and a[end - 1] == b[other_end - 1]:
        end, other_end = end - 1, other_end - 1
    return start, end, other, other_end


def _between(gap: Gap, anchors: list[tuple[int, int]]) -> list[Gap]:
    start, end, other, other_end = gap
    gaps: list[Gap] = []
    for at, other_at in anchors:
        if start < at or other < other_at:
            gaps.append((start, at, other, other_at))
        start, other = at + 1, other_at + 1
    return [*gaps, (start, end, other, other_end)]


def _anchors(a: list[Any], b: list[Any], gap: Gap, looks: Looks) -> list[tuple[int, int]]:
    """Pairs of indexes of the same token, rising in both; empty where none are found."""
    start, end, other, other_end = gap
    cells = (end - start) * (other_end - other)
    if cells <= _GAP_CELLS_MAX:
        return _common_subsequence(a, b, gap) if looks.take(cells) else []
    if not looks.take(_ELEMENT_LOOKS * (end - start + other_end - other)):
        return []
    counts, other_counts = Counter(a[start:end]), Counter(b[other:other_end])
    places = {token: index for index, token in enumerate(b[other:other_end], other) if other_counts[token] == 1}
    unique = [(at, places[a[at]]) for at in range(start, end) if counts[a[at]] == 1 and a[at] in places]
    return _longest_rising(unique)


def _longest_rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence of pairs, whose first numbers rise, in which the second numbers rise as well."""
    tails: list[int] = []
    chosen: list[int] = []
    before: list[int] = []
    for index, (_, second) in enumerate(pairs):
        length = bisect_left(tails, second)
        before.append(chosen[length - 1] if length else -1)
        tails[length : length + 1] = [second]
        chosen[length : length + 1] = [index]
    rising: list[tuple[int, int]] = []
    index = chosen[-1] if chosen else -1
    while index >= 0:
        rising.append(pairs[index])
        index = before[index]
    return rising[::-1]


def _common_subsequence(a: list[Any], b: list[Any], gap: Gap) -> list[tuple[int, int]]:
    """The longest common subsequence, by the table of the lengths of what follows each pair."""
    start, end, other, other_end = gap
    width = other_end - other
    below = [0] * (width + 1)
    table = [below]
    for at in range(end - 1, start - 1, -1):
        row = [0] * (width + 1)
        for column in range(width - 1, -1, -1):
            same = a[at] == b[other + column]
            row[column] = below[column + 1] + 1 if same else max(below[column], row[column + 1])
        table.append(row)
        below = row
    return _read_table(table[::-1], a, b, gap)


def _read_table(table: list[list[int]], a: list[Any], b: list[Any], gap: Gap) -> list[tuple[int, int]]:
    start, end, other, other_end = gap
    at, other_at = start, other
    pairs: list[tuple[int, int]] = []
    while at < end and other_at < other_end:
        if a[at] == b[other_at]:
            pairs.append((at, other_at))
            at, other_at = at + 1, other_at + 1
        elif table[at + 1 - start][other_at - other] >= table[at - start][other_at + 1 - other]:
            at += 1
        else:
            other_at += 1
    return pairs
