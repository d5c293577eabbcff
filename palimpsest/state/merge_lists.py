"""Three-way merges of lists, where a rule asks for one."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from palimpsest.state.alignment import gaps
from palimpsest.state.conflicts import CONFLICT
from palimpsest.state.values import CONTAINERS, MAPS, as_dict, encode_value

_Chunk = tuple[int, int, int, int]
"""start, end in base; start, end in a side: what is in the one is replaced by what is in the other."""


def union(base: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    """What either side has and neither took away: ours in its order, then what theirs added, in its order."""
    before, mine, other = _tokens(base), _tokens(ours), _tokens(theirs)
    gone = (set(before) - set(mine)) | (set(before) - set(other))
    merged = [item for token, item in zip(mine, ours, strict=True) if token not in gone]
    known = set(before) | set(mine)
    return merged + [item for token, item in zip(other, theirs, strict=True) if token not in known]


def keyed(items: Sequence[Any], field: str) -> dict[Any, Any] | None:
    """The elements by what they have at field; None where that does not tell them apart."""
    found: dict[Any, Any] = {}
    for item in items:
        key = as_dict(item).get(field) if type(item) in MAPS else None
        if key is None or type(key) in CONTAINERS or (type(key), key) in found:
            return None
        found[type(key), key] = item
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
    """The changes of both sides, where none meets another one that is different; CONFLICT otherwise."""
    before, mine, other = _tokens(base), _tokens(ours), _tokens(theirs)
    merged: list[Any] = []
    at = 0
    for start, end, side, first, last in _changes(before, mine, other):
        if side < 0 or start < at:
            return CONFLICT
        merged += base[at:start]
        merged += (ours if side == 0 else theirs)[first:last]
        at = end
    return merged + list(base[at:])


def _changes(base: list[Any], ours: list[Any], theirs: list[Any]) -> list[tuple[int, int, int, int, int]]:
    """(start and end in base, which side, start and end there), in order; side -1: both sides, differently, at the same place."""
    mine, other = list(_chunks(base, ours)), list(_chunks(base, theirs))
    found: list[tuple[int, int, int, int, int]] = []
    while mine and other:
        a, b = mine[0], other[0]
        if _apart(a, b):
            chunk = mine.pop(0) if (a[0], a[1]) <= (b[0], b[1]) else other.pop(0)
            found.append((*chunk[:2], 0 if chunk is a else 1, *chunk[2:]))
        elif a[:2] == b[:2] and ours[a[2] : a[3]] == theirs[b[2] : b[3]]:
            found.append((*a[:2], 0, *a[2:]))
            del mine[0], other[0]
        else:
            return [*found, (a[0], a[1], -1, 0, 0)]
    found += [(*chunk[:2], 0, *chunk[2:]) for chunk in mine]
    return found + [(*chunk[:2], 1, *chunk[2:]) for chunk in other]


def _apart(a: _Chunk, b: _Chunk) -> bool:
    """Whether two changes do not meet: something of base that neither of them touches lies between them."""
    return a[1] < b[0] or b[1] < a[0]


def _chunks(base: list[Any], side: list[Any]) -> list[_Chunk]:
    return sorted(gaps(base, side))


def _tokens(items: Sequence[Any]) -> list[Any]:
    """Hashable, and the same for what is equal as JSON."""
    return [_token(item) for item in items]


def _token(item: Any) -> Any:
    kind = type(item)
    if kind in CONTAINERS:
        return encode_value(item)
    return (kind, item) if kind is bool else item
