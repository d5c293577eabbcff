"""The difference of two values, as a small delta.

Maps are compared key by key. Lists are aligned: what they have in common at both ends, then what occurs once in each and in
the same order, then, in gaps that are small enough, the longest common subsequence; what is left in a gap is compared
element by element. All of that is close to linear in the size of the values; it gives a small delta, not the smallest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any

from palimpsest.state.ops import Append, Delete, Insert, Op, Remove, Set, encode_delta
from palimpsest.state.paths import Path
from palimpsest.state.values import CONTAINERS, LISTS, MAPS, as_dict, encode_value, thaw

OPS_MAX = 5_000
"""More changes than that inside one container are written as one that sets it: half of a delta's default bound."""

_FEW = 4
"""So few ops are not weighed against setting the whole container."""

_GAP_CELLS_MAX = 2_500
"""The largest table, in cells, that is filled for a longest common subsequence: half a millisecond."""

Gap = tuple[int, int, int, int]
"""Elements start:end of the one list, and start:end of the other, that have nothing in common."""


def diff(a: Any, b: Any) -> list[Op]:
    """The ops that turn a into exactly b: `1` into `1.0`, too. a, b: have passed the door; plain or frozen.

    What the ops hold is plain and shares nothing with b.
    """
    return _diff(a, b, ())


def _diff(a: Any, b: Any, path: Path) -> list[Op]:
    if a is b:  # frozen values share what they have in common
        return []
    if type(a) in MAPS and type(b) in MAPS:
        return _smaller(_diff_maps(as_dict(a), as_dict(b), path), b, path)
    if type(a) in LISTS and type(b) in LISTS:
        return _smaller(_diff_lists(list(a), list(b), path), b, path)
    return [] if type(a) is type(b) and _token(a) == _token(b) else [Set(path, thaw(b))]


def _smaller(ops: list[Op], b: Any, path: Path) -> list[Op]:
    """ops, or the one op that sets b where that is shorter."""
    if len(ops) <= _FEW:
        return ops
    whole: list[Op] = [Set(path, b)]
    if len(ops) <= OPS_MAX and len(encode_delta(ops)) <= len(encode_delta(whole)):
        return ops
    return [Set(path, thaw(b))]


def _diff_maps(a: dict[str, Any], b: dict[str, Any], path: Path) -> list[Op]:
    ops: list[Op] = []
    for key in sorted(a.keys() | b.keys()):
        if key not in b:
            ops.append(Delete((*path, key)))
        elif key not in a:
            ops.append(Set((*path, key), thaw(b[key])))
        else:
            ops += _diff(a[key], b[key], (*path, key))
    return ops


def _diff_lists(a: list[Any], b: list[Any], path: Path) -> list[Op]:
    # From right to left, so that the indexes to the left still mean what they meant in `a`.
    ops: list[Op] = []
    for gap in reversed(list(_gaps(_tokens(a), _tokens(b)))):
        ops += _fill(gap, a, b, path)
    return ops


def _fill(gap: Gap, a: list[Any], b: list[Any], path: Path) -> list[Op]:
    """Turns a's elements of the gap into b's, where all to the left of them is still as in a."""
    start, end, other, other_end = gap
    ops: list[Op] = []
    paired = min(end - start, other_end - other)
    for index in range(end - 1, start + paired - 1, -1):
        ops.append(Remove(path, index))
    for offset in range(paired, other_end - other):
        value = thaw(b[other + offset])
        ops.append(Append(path, value) if end == len(a) else Insert(path, start + offset, value))
    for offset in range(paired):
        ops += _diff(a[start + offset], b[other + offset], (*path, start + offset))
    return ops


def _token(value: Any) -> Any:
    """Equal for two values exactly if they are the same value of the same type, and hashable."""
    kind = type(value)
    if kind in CONTAINERS or kind is float:
        return encode_value(value)
    return (kind, value) if kind is not str else value


def _tokens(items: list[Any]) -> list[Any]:
    return [_token(item) for item in items]


# --- aligning ---------------------------------------------------------------------------------------------------------


def _gaps(a: list[Any], b: list[Any]) -> Iterator[Gap]:
    """What is left of two lists of tokens once they are aligned, from left to right."""
    todo: list[Gap] = [(0, len(a), 0, len(b))]
    while todo:
        gap = _trim(a, b, todo.pop())
        start, end, other, other_end = gap
        if start == end and other == other_end:
            continue
        anchors = [] if start == end or other == other_end else _anchors(a, b, gap)
        if not anchors:
            yield gap
        else:
            todo += reversed(_between(gap, anchors))


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
        gaps.append((start, at, other, other_at))
        start, other = at + 1, other_at + 1
    return [*gaps, (start, end, other, other_end)]


def _anchors(a: list[Any], b: list[Any], gap: Gap) -> list[tuple[int, int]]:
    """Pairs of indexes of the same token, rising in both; empty where none are found."""
    start, end, other, other_end = gap
    if (end - start) * (other_end - other) <= _GAP_CELLS_MAX:
        return _common_subsequence(a, b, gap)
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
