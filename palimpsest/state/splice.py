"""Edits of strings: what turns one text into another, and applying it.

What both have in common at their ends is found first, by comparing in large pieces: one word of a megabyte costs some 0.2 ms. What
is left is aligned by lines, if there are not too many, and in what is then left the two texts are brought together again by
looking for a few characters of the one in what comes next in the other. Looks and searches are counted, so that a megabyte never
takes longer than some 30 ms, and the same texts always give the same edits. They are few where the change was small; they are
not the fewest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from palimpsest.state.alignment import Gap, Looks, common_end, common_start, gaps
from palimpsest.state.ops import Edit
from palimpsest.state.tree import Misfit

LOOKS_MAX = 100_000
"""25 ms of aligning."""

_SHORT_CHARACTERS = 64
"""A difference that short is one edit, whatever it has in common inside."""

_SAMPLE_CHARACTERS = 32
"""What is looked for. Texts that have so much in common are taken to go on together from there."""

_SKIPS = (0, 16, 64, 256, 1_024, 4_096, 16_384)
"""How far behind a difference samples are taken."""

_REACH_CHARACTERS = 16_384
"""How far beyond where it would lie a sample is looked for: some 5 us."""

_SAMPLE_LOOKS = 40


def edits(old: str, new: str, looks: Looks | None = None) -> tuple[Edit, ...]:
    """Edits that turn old into new; none where they are equal. looks: what comparing may take, if not LOOKS_MAX."""
    return tuple(_edits(old, new, looks or Looks(LOOKS_MAX)))


def spliced(text: str, changes: Sequence[Edit]) -> str:
    """text after the edits. Raises Misfit where they do not rise, overlap, or reach beyond the text."""
    parts: list[str] = []
    at = 0
    for edit in changes:
        end = edit.offset + edit.removed
        if edit.offset < at:
            raise Misfit("range", f"an edit at {edit.offset} lies before the end of the last one, {at}")
        if end > len(text):
            raise Misfit("range", f"the text has {len(text)} characters, and an edit reaches to {end}")
        parts += (text[at : edit.offset], edit.inserted)
        at = end
    parts.append(text[at:])
    return "".join(parts)


def unsplice(text: str, changes: Sequence[Edit]) -> tuple[Edit, ...]:
    """The edits that turn `spliced(text, changes)` back into text. Raises as that does."""
    spliced(text, changes)
    inverse: list[Edit] = []
    shift = 0
    for edit in changes:
        removed = text[edit.offset : edit.offset + edit.removed]
        inverse.append(Edit(edit.offset + shift, len(edit.inserted), removed))
        shift += len(edit.inserted) - edit.removed
    return tuple(inverse)


# --- finding them ----------------------------------------------------------------------------------------------------


def _edits(old: str, new: str, looks: Looks) -> Iterator[Edit]:
    start, end, other_end = _trim(old, new)
    if min(end, other_end) - start <= _SHORT_CHARACTERS:
        if max(end, other_end) > start:
            yield Edit(start, end - start, new[start:other_end])
        return
    rest, other_rest = old[start:end], new[start:other_end]
    for first, last, other_first, other_last in _gaps_of_lines(rest, other_rest, looks):
        for edit in _rejoined(rest[first:last], other_rest[other_first:other_last], looks):
            yield Edit(start + first + edit.offset, edit.removed, edit.inserted)


def _trim(old: str, new: str) -> tuple[int, int, int]:
    """(start, end in old, end in new) of what differs, where all before and after is the same."""
    longest = min(len(old), len(new))
    start = common_start(old, new, longest)
    same = common_end(old, new, longest - start)
    return start, len(old) - same, len(new) - same


def _gaps_of_lines(old: str, new: str, looks: Looks) -> Iterator[Gap]:
    """Characters of old and of new that are left once lines are aligned; all of them where there are too many lines."""
    if not looks.take(old.count("\n") + new.count("\n") + 2):
        yield 0, len(old), 0, len(new)
        return
    lines, places = _lines(old)
    other_lines, other_places = _lines(new)
    for start, end, other, other_end in gaps(lines, other_lines, looks):
        yield places[start], places[end], other_places[other], other_places[other_end]


def _lines(text: str) -> tuple[list[Any], list[int]]:
    """The lines, and where each begins and the last one ends. The last has no line feed: wrapped, it equals none that has one."""
    lines: list[Any] = text.split("\n")
    places = list(accumulate(map(len, lines), lambda at, length: at + length + 1, initial=0))
    places[-1] -= 1
    lines[-1] = (lines[-1],)
    return lines, places


def _rejoined(old: str, new: str, looks: Looks) -> Iterator[Edit]:
    """Edits up to each place from which both go on together, and from the last such place to the end."""
    at, end, other_end = _trim(old, new)
    other = at
    while at < end or other < other_end:
        found, other_found = _next_common(old, new, (at, end, other, other_end), looks)
        found_before = common_end(old[at:found], new[other:other_found], min(found - at, other_found - other))
        yield Edit(at, found - found_before - at, new[other : other_found - found_before])
        longest = min(end - found, other_end - other_found)
        same = common_start(old, new, longest, found, other_found)
        at, other = found + same, other_found + same


def _next_common(old: str, new: str, gap: Gap, looks: Looks) -> tuple[int, int]:
    """Where old and new go on together; the ends of the gap where no such place is found."""
    at, end, other, other_end = gap
    for skip in _SKIPS:
        start = at + skip
        if start + _SAMPLE_CHARACTERS > end or not looks.take(_SAMPLE_LOOKS):
            break
        sample = old[start : start + _SAMPLE_CHARACTERS]
        found = new.find(sample, other, min(other_end, other + skip + _REACH_CHARACTERS))
        if found >= 0:
            return start, found
    return end, other_end
