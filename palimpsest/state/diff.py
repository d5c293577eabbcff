"""The difference of two values, as a small delta.

Maps are compared key by key. Lists are aligned, and what is left in a gap is compared element by element. Long strings become
edits where these are shorter. What would take more than setting a container is given up, as soon as that is seen, for the one op that
sets it. All of that is close to linear in the size of the values; it gives a small delta, not the smallest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any, TypeVar

from msgspec.structs import replace

from palimpsest.state.alignment import Gap, Looks, gaps
from palimpsest.state.ops import Append, Delete, Insert, Op, Remove, Set, Splice, encode_delta
from palimpsest.state.paths import Path
from palimpsest.state.splice import edits
from palimpsest.state.values import CONTAINERS, LISTS, MAPS, as_dict, encode_value, thaw

OPS_MAX = 5_000
"""More changes than that inside one container are written as one that sets it: half of a delta's default bound."""

LOOKS_MAX = 4_000_000
"""A second of aligning: for lists and strings of many megabytes."""

_LONG_CHARACTERS = 128
"""A shorter string is set: what is readable is worth some bytes."""

_EDIT_CHARACTERS = 8
"""What an edit takes beside what it inserts."""

_FEW = 4
"""So few ops are not weighed against setting the whole container."""

_LOOK_BYTES = 16
"""As many bytes are encoded in the time of one look."""

_PLAIN = frozenset((str, int, bool, NoneType))
"""Of one of these types, two values are the same if they are equal."""

_TOKENS = frozenset((str, int, NoneType))
"""Of any mixture of these, too."""

_SAMPLES = 24
"""So many entries stand for all of a container, in haste."""

_FEW_ENTRIES = 100
"""In haste, a container that lost nine tenths of its entries, of more than so many, is set."""

Found = tuple[list[Op], int]
"""Ops, and how many bytes they take, encoded."""

_Item = TypeVar("_Item")


def diff(a: Any, b: Any) -> list[Op]:
    """The ops that turn a into exactly b: `1` into `1.0`, too. a, b: have passed the door; plain or frozen.

    What the ops hold is plain and shares nothing with b.
    """
    return [_apart(op) for op in _Differ(Looks(LOOKS_MAX)).difference(a, b, ())[0]]


def quick_difference(a: Any, b: Any, path: Path, looks: Looks) -> Found:
    """As `diff`, of values that are at path, within these looks. What seems to be new for the most part, going by samples, is set
    without a closer look. The ops may share with b what they hold."""
    return _Differ(looks, is_hasty=True).difference(a, b, path)


class _Differ:
    """looks: for all that is compared; once they are used up, lists are compared element by element. is_hasty: what seems to be new
    for the most part is not looked at closely."""

    def __init__(self, looks: Looks, *, is_hasty: bool = False) -> None:
        self._looks = looks
        self._is_hasty = is_hasty

    def difference(self, a: Any, b: Any, path: Path) -> Found:
        if a is b:  # frozen values share what they have in common
            return [], 0
        if self._is_hasty and type(a) in CONTAINERS and type(b) in CONTAINERS and len(a) > _FEW_ENTRIES + 10 * len(b):
            return _one(Set(path, b))
        if type(a) in MAPS and type(b) in MAPS:
            return self._weighed(self._in_maps(as_dict(a), as_dict(b), path), b, path)
        if type(a) in LISTS and type(b) in LISTS:
            return self._weighed(self._in_lists(list(a), list(b), path), b, path)
        if type(a) is str and type(b) is str:
            return self._in_strings(a, b, path)
        return ([], 0) if type(a) is type(b) and _token(a) == _token(b) else _one(Set(path, b))

    def _weighed(self, changes: Iterator[Found], b: Any, path: Path) -> Found:
        """All of the changes of a container, or the one op that sets it where that is shorter."""
        ops: list[Op] = []
        size = 0
        whole: Found | None = None
        for found, found_size in changes:
            ops += found
            size += found_size
            if len(ops) <= _FEW:
                continue
            if len(ops) > OPS_MAX:
                return whole or _one(Set(path, b))
            if whole is None and self._looks.left > 0:
                whole = _one(Set(path, b))
                self._looks.left -= whole[1] // _LOOK_BYTES
            if whole is not None and size > whole[1]:
                return whole
        return ops, size

    def _in_maps(self, a: dict[str, Any], b: dict[str, Any], path: Path) -> Iterator[Found]:
        keys = sorted(a.keys() | b.keys())
        self._looks.left -= len(keys)
        if self._is_new([(key, a.get(key), b[key]) for key in self._sample(keys) if key in b], path):
            yield _one(Set(path, b))
            return
        for key in keys:
            if key not in b:
                yield _one(Delete((*path, key)))
            elif key not in a:
                yield _one(Set((*path, key), b[key]))
            elif not _same(a[key], b[key]):
                yield self.difference(a[key], b[key], (*path, key))

    def _in_lists(self, a: list[Any], b: list[Any], path: Path) -> Iterator[Found]:
        # From right to left, so that the indexes to the left still mean what they meant in `a`.
        for gap in reversed(list(self._gaps(a, b))):
            yield from self._in_gap(gap, a, b, path)

    def _gaps(self, a: list[Any], b: list[Any]) -> Iterator[Gap]:
        start, end, other_end = _trim(a, b)
        if start in (end, other_end) or self._looks.left < end - start + other_end - start:
            yield start, end, start, other_end
            return
        tokens, other_tokens = self._tokens(a[start:end], b[start:other_end])
        for first, last, other, other_last in gaps(tokens, other_tokens, self._looks):
            yield start + first, start + last, start + other, start + other_last

    def _tokens(self, a: list[Any], b: list[Any]) -> tuple[list[Any], list[Any]]:
        if _TOKENS.issuperset(map(type, a)) and _TOKENS.issuperset(map(type, b)):
            return a, b
        tokens, other_tokens = list(map(_token, a)), list(map(_token, b))
        encoded = sum(len(token) for token in (*tokens, *other_tokens) if type(token) is bytes)
        self._looks.left -= encoded // _LOOK_BYTES
        return tokens, other_tokens

    def _in_gap(self, gap: Gap, a: list[Any], b: list[Any], path: Path) -> Iterator[Found]:
        """Turns a's elements of the gap into b's, where all to the left of them is still as in a."""
        start, end, other, other_end = gap
        paired = min(end - start, other_end - other)
        for index in range(end - 1, start + paired - 1, -1):
            yield _one(Remove(path, index))
        for offset in range(paired, other_end - other):
            value = b[other + offset]
            yield _one(Append(path, value) if end == len(a) else Insert(path, start + offset, value))
        places = range(paired)
        is_new = self._is_new([(start + at, a[start + at], b[other + at]) for at in self._sample(places)], path)
        for offset in places:
            if is_new:
                yield _one(Set((*path, start + offset), b[other + offset]))
            elif not _same(a[start + offset], b[other + offset]):
                yield self.difference(a[start + offset], b[other + offset], (*path, start + offset))

    def _sample(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """Some of them, evenly spread; none where there are few, or where there is time for all."""
        return items[:: len(items) // _SAMPLES] if self._is_hasty and len(items) >= 4 * _SAMPLES else items[:0]

    def _is_new(self, sample: list[tuple[str | int, Any, Any]], path: Path) -> bool:
        """Whether most of these takes as much to change as to set. sample: steps, with what was there and what is to be there."""
        if not sample or self._looks.left <= 0:
            return False
        whole = sum(len(encode_value(new)) for _, _, new in sample)
        self._looks.left -= whole // _LOOK_BYTES
        careful = _Differ(self._looks)  # a sample of a sample of a sample would never end
        changed = sum(careful.difference(old, new, (*path, step))[1] for step, old, new in sample)
        return 4 * changed >= 3 * whole

    def _in_strings(self, a: str, b: str, path: Path) -> Found:
        if len(b) >= _LONG_CHARACTERS and len(a) >= _LONG_CHARACTERS and a != b:
            changed = edits(a, b, self._looks)
            if sum(_EDIT_CHARACTERS + len(edit.inserted) for edit in changed) <= len(b) // 2:
                return _one(Splice(path, changed))
        return ([], 0) if a == b else _one(Set(path, b))


def _one(op: Op) -> Found:
    return [op], len(encode_delta([op])) - 1


def _apart(op: Op) -> Op:
    """op, with a plain value of its own."""
    value = getattr(op, "value", None)
    return replace(op, value=thaw(value)) if type(value) in CONTAINERS else op


def _same(a: Any, b: Any) -> bool:
    """Whether they are, without a closer look."""
    return a is b or (type(a) is type(b) and type(a) in _PLAIN and a == b)


def _trim(a: list[Any], b: list[Any]) -> tuple[int, int, int]:
    """(start, end in a, end in b) of what is left without the very same elements at both ends."""
    start, end, other_end = 0, len(a), len(b)
    while start < end and start < other_end and a[start] is b[start]:
        start += 1
    while start < end and start < other_end and a[end - 1] is b[other_end - 1]:
        end, other_end = end - 1, other_end - 1
    return start, end, other_end


def _token(value: Any) -> Any:
    """Equal for two values exactly if they are the same value of the same type, and hashable."""
    kind = type(value)
    if kind in CONTAINERS or kind is float:
        return encode_value(value)
    return (kind, value) if kind is not str else value
