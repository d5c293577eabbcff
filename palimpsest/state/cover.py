"""Whether everything that one pattern matches is matched by another one, too."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from palimpsest.state.names import Pattern

_STEPS_MAX = 4_096
"""Beyond it the answer is no. Patterns that people write need a few dozen; one with many `*` after a `**` can ask for as many as two to
the power of its length."""

_ANY = ("*", "**")
_OTHER = "\0"
"""Stands for every segment that neither pattern names."""


@lru_cache(maxsize=4096)
def covers(wide: str, narrow: str) -> bool:
    """Whether every name that `narrow` matches is matched by `wide`. Both well formed, as `Pattern.parse` sees to.

    Never true where it is not so; false for a pair of patterns that is too intricate to be looked at to the end.
    """
    if wide == narrow:
        return True
    whole, part = Pattern(wide), Pattern(narrow)
    if part.exact is not None:
        return whole.matches(part.exact)
    if whole.exact is not None:
        return False
    return _includes(_segments(wide), _segments(narrow))


def _segments(text: str) -> list[str]:
    # `**` in the middle may stand for no level, at the end it may not: there it says the same as `**/*`.
    segments = text.split("/")
    return [*segments, "*"] if segments[-1] == "**" else segments


def _includes(wide: list[str], narrow: list[str]) -> bool:
    """Walks through both at once: one place in narrow, and all places in wide that the same name can have led to. A name that ends in
    narrow and nowhere in wide is one that only narrow matches."""
    words = {_OTHER, *(segment for segment in wide if segment not in _ANY)}
    waiting = [(place, _rest(wide, [0]), True) for place in _rest(narrow, [0])]
    seen = set(waiting)
    while waiting:
        place, places, is_first = waiting.pop()
        if place == len(narrow):
            if len(wide) not in places:
                return False
            continue
        for word in words if narrow[place] in _ANY else (narrow[place],):
            after = _step(wide, places, word, is_first)
            for next_place in _step(narrow, (place,), word, is_first):
                pair = (next_place, after, False)
                if pair not in seen:
                    seen.add(pair)
                    waiting.append(pair)
        if len(seen) > _STEPS_MAX:
            return False
    return True


def _step(segments: list[str], places: Iterable[int], word: str, is_first: bool) -> frozenset[int]:
    """Where a name that was at one of places may be after word."""
    if is_first and word.startswith("$") and segments[0] in _ANY:
        return frozenset()
    after = []
    for place in places:
        if place == len(segments):
            continue
        if segments[place] == "**":
            after.append(place)
        elif segments[place] in ("*", word):
            after.append(place + 1)
    return _rest(segments, after)


def _rest(segments: list[str], places: Iterable[int]) -> frozenset[int]:
    """places, and those that a `**` which stands for nothing more leads to."""
    found = set()
    for place in places:
        found.add(place)
        while place < len(segments) and segments[place] == "**":
            place += 1
            found.add(place)
    return frozenset(found)
