"""Whether everything that one pattern matches is matched by another one, too."""

from __future__ import annotations

from functools import lru_cache

from palimpsest.state.names import Pattern

_STEPS_MAX = 4_096
"""Beyond it the answer is no. Patterns that people write need a few dozen; one with many `*` after a `**` can ask for as many as two to
the power of its length."""

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
    words = sorted({_OTHER, *(segment for segment in wide if segment not in ("*", "**"))})
    begin = [(place, _rest(wide, {0})) for place in _rest(narrow, {0})]
    seen = set(begin)
    waiting = list(begin)
    while waiting:
        place, places = waiting.pop()
        if place == len(narrow):
            if len(wide) not in places:
                return False
            continue
        if len(seen) > _STEPS_MAX:
            return False
        segment = narrow[place]
        is_first = len(seen) == len(begin) and place in _rest(narrow, {0})
        for word in words if segment in ("*", "**") else (segment,):
            if word.startswith("$") and segment in ("*", "**") and is_first:
                continue
            after = _rest(wide, _step(wide, places, word))
            for next_place in _rest(narrow, _step(narrow, frozenset((place,)), word)):
                pair = (next_place, after)
                if pair not in seen:
                    seen.add(pair)
                    waiting.append(pair)
    return True
