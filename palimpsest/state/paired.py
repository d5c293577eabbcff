"""Two values side by side, place by place: one that a version made, and what has become of it since.

Changing a place costs what its path is long, on either side; values are put together again only where somebody asks for a whole
container. The elements of two lists belong together where they are the same and lie in order from either end; or the same and only
once in what is left; or in equal number between those that are known. An element is gone where nothing is left in its place,
and in doubt otherwise.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pyrsistent import pvector

from palimpsest.state.draft import fold
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import CONTAINERS, FROZEN_LIST, FROZEN_MAP, encode_value, equal, freeze

_NOT_SETTLED: Any = object()


class Pair:
    """One place. base: what the version left there; now: what there is. Frozen values, or NOTHING."""

    __slots__ = ("_base", "_base_items", "_keys", "_left", "_now", "_now_items", "in_doubt")

    def __init__(self, base: Any, now: Any) -> None:
        self._base: Any = freeze(base)
        self._now: Any = freeze(now)
        self._keys: dict[str, Pair] = {}
        """The entries of the maps that were looked at: where there are any, the maps themselves may be out of date."""
        self._base_items: list[Pair] | None = None
        """The elements of the lists, once somebody has looked at one: the lists themselves may be out of date. What belongs
        together is the same object in both."""
        self._now_items: list[Pair] = []
        self.in_doubt = False
        """It is an element of the list in base, of which cannot be said which one it is now."""
        self._left: Any = _NOT_SETTLED
        """What base was when it was settled; see `become`."""

    @property
    def base(self) -> Any:
        self._refresh()
        return self._base

    @property
    def now(self) -> Any:
        self._refresh()
        return self._now

    @property
    def left(self) -> Any:
        """What the version left there, before anything of it was taken back without doing the same now."""
        return self._left if self.is_settled else self.base

    @property
    def is_settled(self) -> bool:
        """What is there now is not what the version left, and base says nothing about it any more."""
        return self._left is not _NOT_SETTLED

    @property
    def is_map(self) -> bool:
        """There is a map now."""
        return type(self._now) is FROZEN_MAP

    @property
    def is_list(self) -> bool:
        """There is a list now."""
        return type(self._now) is FROZEN_LIST

    @property
    def is_gone(self) -> bool:
        """There is nothing now."""
        return self._now is NOTHING

    def child(self, key: str) -> Pair:
        """What is at key, on a side that is a map."""
        pair = self._keys.get(key)
        if pair is None:
            pair = self._keys[key] = Pair(_entry(self._base, key), _entry(self._now, key))
        return pair

    def element(self, index: int) -> Pair:
        """What is at index of the list in base."""
        return self._open()[index]

    def position(self, element: Pair) -> int:
        """The index now of an element that is not gone."""
        self._open()
        return self._now_items.index(element)

    def place(self, index: int) -> int | None:
        """Before which index it is now that base has its place before `index`: behind the element that comes before it, or before
        the one that comes after it. None where neither can be told, and it is not the very first."""
        items = self._open()
        before = next((item for item in reversed(items[:index]) if _tells(item)), None)
        if before is not None and not before.in_doubt:
            return self._now_items.index(before) + 1
        after = next((item for item in items[index:] if _tells(item)), None)
        if after is not None and not after.in_doubt:
            return self._now_items.index(after)
        return 0 if before is None and (index == 0 or after is None) else None

    def insert(self, index: int, position: int | None, element: Pair) -> None:
        """element goes into the list in base before index, and into the one now before position; None: into none."""
        self._open().insert(index, element)
        if position is not None:
            self._now_items.insert(position, element)

    def remove(self, index: int, position: int | None) -> None:
        """As `insert`, for an element that goes."""
        del self._open()[index]
        if position is not None:
            del self._now_items[position]

    def become(self, base: Any, *, left: Any = _NOT_SETTLED) -> None:
        """base is that; now stays. left: what was left here; given where now has already become something else than that."""
        self.become_both(base, self.now)
        if left is not _NOT_SETTLED:
            self._left = left

    def become_both(self, base: Any, now: Any) -> None:
        self._keys, self._base_items = {}, None
        self._base, self._now = freeze(base), freeze(now)

    def _open(self) -> list[Pair]:
        if self._base_items is None:
            self._base_items, self._now_items = _align(list(self._base), list(self._now) if self.is_list else [])
        return self._base_items

    def _refresh(self) -> None:
        """The values have what was changed inside. Pairs that somebody holds stay good."""
        if self._keys:
            if type(self._base) is FROZEN_MAP:
                self._base = fold(self._base, {key: pair.base for key, pair in self._keys.items()})
            if self.is_map:
                self._now = fold(self._now, {key: pair.now for key, pair in self._keys.items()})
        elif self._base_items is not None:
            self._base = pvector([pair.base for pair in self._base_items])
            if self.is_list:
                self._now = pvector([pair.now for pair in self._now_items])


def same(a: Any, b: Any) -> bool:
    """Equal as JSON. NOTHING equals nothing else."""
    return a is b or (a is not NOTHING and b is not NOTHING and equal(a, b))


def exact(a: Any, b: Any) -> bool:
    """The same to the byte."""
    return a is b or (a is not NOTHING and b is not NOTHING and encode_value(a) == encode_value(b))


def _entry(value: Any, key: str) -> Any:
    return value.get(key, NOTHING) if type(value) is FROZEN_MAP else NOTHING


def _tells(element: Pair) -> bool:
    """Where it is now, or that this is not known; one that is gone says nothing."""
    return element.in_doubt or not element.is_gone


# --- lists -----------------------------------------------------------------------------------------------------------


def _align(base: list[Any], now: list[Any]) -> tuple[list[Pair], list[Pair]]:
    """The elements of both; what belongs together is one object."""
    partners, doubts = _partners([_token(item) for item in base], [_token(item) for item in now])
    now_pairs: list[Pair | None] = [None] * len(now)
    base_pairs: list[Pair] = []
    for index, item in enumerate(base):
        partner = partners[index]
        pair = Pair(item, NOTHING if partner is None else now[partner])
        pair.in_doubt = index in doubts
        base_pairs.append(pair)
        if partner is not None:
            now_pairs[partner] = pair
    return base_pairs, [pair or Pair(NOTHING, item) for pair, item in zip(now_pairs, now, strict=True)]


def _partners(a: list[Any], b: list[Any]) -> tuple[list[int | None], set[int]]:
    """For each of a the index in b, or None; and those for which None means that it is not known."""
    start, end, other_end = _trim(a, b)
    partners: list[int | None] = [*range(start), *[None] * (end - start), *range(other_end, len(b))]
    counts, other_counts = Counter(a[start:end]), Counter(b[start:other_end])
    places = {b[at]: at for at in range(start, other_end) if other_counts[b[at]] == 1}
    for at in range(start, end):
        if counts[a[at]] == 1:
            partners[at] = places.get(a[at])
    taken = {partner for partner in partners[start:end] if partner is not None}
    doubts: set[int] = set()
    first = start
    while first < end:
        if partners[first] is not None:
            first += 1
            continue
        last = next((at for at in range(first, end) if partners[at] is not None), end)
        before = partners[first - 1] if first else -1
        after = partners[last] if last < len(a) else len(b)
        assert before is not None
        assert after is not None
        between = range(before + 1, after)
        if len(between) == last - first and after > before and taken.isdisjoint(between):
            partners[first:last] = between
        elif after != before + 1:
            doubts.update(range(first, last))
        first = last
    return partners, doubts


def _trim(a: list[Any], b: list[Any]) -> tuple[int, int, int]:
    """(start, end of a, end of b) of what is left of both without what they have in common at either end."""
    start, end, other_end = 0, len(a), len(b)
    while start < end and start < other_end and a[start] == b[start]:
        start += 1
    while start < end and start < other_end and a[end - 1] == b[other_end - 1]:
        end, other_end = end - 1, other_end - 1
    return start, end, other_end


def _token(value: Any) -> Any:
    """Equal for two values only if they are equal, and hashable. Of numbers in containers, `1` and `1.0` differ."""
    kind = type(value)
    return encode_value(value) if kind in CONTAINERS else (kind, value) if kind is bool else value
