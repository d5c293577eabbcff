"""What differs between two values, for people: by path, and inside of texts by line or by word.

This is for reading only. The delta that turns one value into the other is the server's to say, and may put it otherwise.
Texts are strings of several lines, and long lists of strings, which is how files of a git repository are kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

import msgspec

from palimpsest.state.paths import Path
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import encode_value

CONTEXT_LINES = 3
LIST_AS_TEXT_ITEMS = 9
"""Shorter lists of strings, such as tags, are compared by element."""

_PAIRS_MAX = 200_000
"""Stretches with more pairs of equal lines, words or elements are not aligned: the time grows with the pairs, and nobody reads
what comes of it. So many take a quarter of a second at most."""

_SAME_MIN = 0.4
"""Two lines that have less than this share in common are one line for another."""

_WORD = re.compile(r"\w+\s*|\s+|[^\w\s]")
"""A word has the space behind it, so that spaces on their own, which are many and all alike, do not count as words."""


class Difference(msgspec.Struct, frozen=True):
    """What is at path on either side: plain values, or NOTHING where there is nothing.

    In a list, the index is the old one of what was there, and the new one of what was not.
    """

    path: Path
    old: Any
    new: Any


class Block(msgspec.Struct, frozen=True):
    """A stretch of lines. same: they are on both sides; otherwise old makes way for new, and either may be empty."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    same: bool


class Hunk(msgspec.Struct, frozen=True):
    """Blocks that lie close together. old_line, new_line: the number of the first line on either side, from 1 on."""

    old_line: int
    new_line: int
    blocks: tuple[Block, ...]

    @property
    def heading(self) -> str:
        """As in a unified diff: `@@ -1,3 +1,4 @@`; a side without lines names the line before."""
        old = sum(len(block.old) for block in self.blocks)
        new = sum(len(block.new) for block in self.blocks)
        return f"@@ -{self.old_line - (not old)},{old} +{self.new_line - (not new)},{new} @@"


class Stretch(msgspec.Struct, frozen=True):
    """Of one line. old and new are equal where nothing changed."""

    old: str
    new: str


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[Difference]:
    """In the order of paths, maps by key. old, new: plain values, or NOTHING. `1` and `1.0` differ, as in a delta."""
    if type(old) is dict and type(new) is dict:
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key, NOTHING), new.get(key, NOTHING), (*path, key))
    elif type(old) is list and type(new) is list and as_lines(old, new) is None:
        yield from _elements(old, new, path)
    elif old is NOTHING or new is NOTHING:
        if old is not new:
            yield Difference(path, old, new)
    elif encode_value(old) != encode_value(new):
        yield Difference(path, old, new)


def as_lines(old: Any, new: Any) -> tuple[list[str], list[str]] | None:
    """Both as lines, where what is there is text; None where it is not."""
    there = [value for value in (old, new) if value is not NOTHING]
    if all(type(value) is str for value in there):
        is_text = any("\n" in value for value in there)
        return (_split(old), _split(new)) if is_text else None
    if all(type(value) is list and all(map(_is_line, value)) for value in there):
        is_text = max(map(len, there)) >= LIST_AS_TEXT_ITEMS
        return ([] if old is NOTHING else old, [] if new is NOTHING else new) if is_text else None
    return None


def hunks(old: Sequence[str], new: Sequence[str]) -> list[Hunk]:
    """What differs, with at most CONTEXT_LINES lines around it."""
    return [
        Hunk(group[0][0] + 1, group[0][2] + 1, tuple(_block(old, new, span) for span in group))
        for group in _groups(_spans(old, new))
    ]


def words(old: str, new: str) -> list[Stretch] | None:
    """Two lines, word by word; None where they have too little in common to be read so."""
    ours, theirs = _WORD.findall(old), _WORD.findall(new)
    stretches = [Stretch("".join(ours[a:b]), "".join(theirs[c:d])) for a, b, c, d, _ in _spans(ours, theirs)]
    same = sum(len(stretch.old) for stretch in stretches if stretch.old == stretch.new)
    return stretches if same >= _SAME_MIN * max(len(old), len(new)) else None


# --- aligning --------------------------------------------------------------------------------------------------------

_Span = tuple[int, int, int, int, bool]
"""old[a:b], new[c:d], and whether they are the same."""


def _elements(old: list[Any], new: list[Any], path: Path) -> Iterator[Difference]:
    for a, b, c, d, same in _spans([encode_value(item) for item in old], [encode_value(item) for item in new]):
        if same:
            continue
        paired = min(b - a, d - c)
        for offset in range(paired):
            yield from differences(old[a + offset], new[c + offset], (*path, a + offset))
        for index in range(a + paired, b):
            yield Difference((*path, index), old[index], NOTHING)
        for index in range(c + paired, d):
            yield Difference((*path, index), NOTHING, new[index])


def _spans(old: Sequence[Any], new: Sequence[Any]) -> list[_Span]:
    """All of both, in order. What they have in common at either end need not be searched for."""
    shorter = min(len(old), len(new))
    start = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    end = next((at for at in range(shorter - start) if old[-1 - at] != new[-1 - at]), shorter - start)
    b, d = len(old) - end, len(new) - end
    spans = [
        (0, start, 0, start, True),
        *(
            (a + start, b + start, c + start, d + start, same)
            for a, b, c, d, same in _align(old[start:b], new[start:d])
        ),
        (b, len(old), d, len(new), True),
    ]
    return [span for span in spans if span[0] < span[1] or span[2] < span[3]]


def _align(old: Sequence[Any], new: Sequence[Any]) -> list[_Span]:
    if not old or not new or _pairs(old, new) > _PAIRS_MAX:
        return [(0, len(old), 0, len(new), False)]
    return [(a, b, c, d, word == "equal") for word, a, b, c, d in SequenceMatcher(None, old, new).get_opcodes()]


def _pairs(old: Sequence[Any], new: Sequence[Any]) -> int:
    ours, theirs = Counter(old), Counter(new)
    return sum(count * theirs[item] for item, count in ours.items())


def _groups(spans: list[_Span]) -> list[list[_Span]]:
    """Spans that are shown together; of the same ones between them only what is context."""
    groups: list[list[_Span]] = [[]]
    for a, b, c, d, same in spans:
        if not same:
            groups[-1].append((a, b, c, d, same))
            continue
        near = CONTEXT_LINES
        if groups[-1] and b - a > 2 * near:
            groups[-1].append((a, a + near, c, c + near, True))
            groups.append([])
        if not groups[-1]:
            a, c = max(a, b - near), max(c, d - near)
        groups[-1].append((a, b, c, d, True))
    if groups[-1] and groups[-1][-1][-1]:
        a, b, c, d, _ = groups[-1].pop()
        if groups[-1]:
            near = min(b - a, CONTEXT_LINES)
            groups[-1].append((a, a + near, c, c + near, True))
    return [group for group in groups if group]


def _block(old: Sequence[str], new: Sequence[str], span: _Span) -> Block:
    a, b, c, d, same = span
    return Block(tuple(old[a:b]), tuple(new[c:d]), same)


def _split(value: Any) -> list[str]:
    return [] if value is NOTHING else value.split("\n")


def _is_line(value: Any) -> bool:
    return type(value) is str and "\n" not in value
