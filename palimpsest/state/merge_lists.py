"""Three-way merges of lists, where a rule asks for one."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

from palimpsest.state.alignment import gaps
from palimpsest.state.conflicts import CONFLICT
from palimpsest.state.values import CONTAINERS, LISTS, MAPS, as_dict, encode_value, equal

_Chunk = tuple[int, int, int, int]
"""start, end in base; start, end in a side: what is in the one is replaced by what is in the other."""


def union(base: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    """What either side has and neither took away: ours in its order, then what theirs added, in its order. What occurs more than once in
    either does so as often."""
    before, mine, other = list(map(_token, base)), list(map(_token, ours)), list(map(_token, theirs))
    gone = set(before) - set(other)
    known = set(before) | set(mine)
    merged = [item for token, item in zip(mine, ours, strict=True) if token not in gone]
    return merged + [item for token, item in zip(other, theirs, strict=True) if token not in known]


def keyed(items: Sequence[Any], field: str) -> dict[Any, Any] | None:
    """The elements by what they have at field, in their order; None where that does not tell them apart: where one is no map, has nothing, null
    or a container there, or the same as another one."""
    found: dict[Any, Any] = {}
    for item in items:
        key = item.get(field) if type(item) in MAPS else None
        kind = int if type(key) is float and key.is_integer() else type(key)  # `1` and `1.0` are one key
        if key is None or kind in CONTAINERS or (kind, key) in found:
            return None
        found[kind, key] = item
    return found


def in_order(base: Container[Any], ours: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    """All keys: ours in its order, and what only theirs has behind what comes before it there; what comes first there, behind what ours
    has added in front."""
    mine = set(ours)
    behind: dict[Any, list[Any]] = {}
    anchor: Any = None
    for key in theirs:
        if key in mine:
            anchor = key
        else:
            behind.setdefault(anchor, []).append(key)
    other = set(theirs)
    added = next((at for at, key in enumerate(ours) if key in base or key in other), len(ours))
    merged = [*ours[:added], *behind.get(None, ())]
    for key in ours[added:]:
        merged += [key, *behind.get(key, ())]
    return merged


def diff3(base: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any]) -> Any:
    """The changes of both sides, where none overlaps or touches another one that is different; CONFLICT otherwise."""
    before, mine, other = (list(map(_exact_token, items)) for items in (base, ours, theirs))
    merged: list[Any] = []
    at = 0
    for (start, end, first, last), side in _in_turn(_chunks(before, mine), _chunks(before, other), ours, theirs):
        if side is None:
            return CONFLICT
        merged += base[at:start]
        merged += side[first:last]
        at = end
    return merged + list(base[at:])


def _in_turn(
    mine: list[_Chunk], other: list[_Chunk], ours: Sequence[Any], theirs: Sequence[Any]
) -> Iterator[tuple[_Chunk, Sequence[Any] | None]]:
    """The changes of both from left to right, with the side that each is taken from. None: the two sides clash there, and it ends.

    The changes of one side do not touch each other, so that no change of the other can touch one that was taken."""
    mine.reverse()
    other.reverse()
    while mine and other:
        a, b = mine[-1], other[-1]
        if a[1] < b[0]:
            yield mine.pop(), ours
        elif b[1] < a[0]:
            yield other.pop(), theirs
        elif a[:2] == b[:2] and _alike(ours[a[2] : a[3]], theirs[b[2] : b[3]]):
            other.pop()
            yield mine.pop(), ours
        else:
            yield a, None
            return
    for chunk in reversed(mine):
        yield chunk, ours
    for chunk in reversed(other):
        yield chunk, theirs


def _chunks(base: list[Any], side: list[Any]) -> list[_Chunk]:
    return sorted(gaps(base, side))


def _alike(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(map(equal, a, b))


def _token(item: Any) -> Any:
    """Hashable, and equal for what is equal as JSON."""
    kind = type(item)
    if kind in MAPS:
        return frozenset((key, _token(inner)) for key, inner in as_dict(item).items())
    if kind in LISTS:
        return tuple(map(_token, item))
    return (kind, item) if kind is bool else item


def _exact_token(item: Any) -> Any:
    """Hashable, and equal for what is the same to the byte."""
    kind = type(item)
    if kind in CONTAINERS or kind is float:
        return encode_value(item)
    return (kind, item) if kind is bool else item
