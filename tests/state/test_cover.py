"""Patterns that cover others, against all names of a small world."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.state.cover import covers
from palimpsest.state.names import Pattern

_WORDS = ("a", "b", "$a", "other")
_NAMES = [
    "/".join(segments)
    for length in range(1, 6)
    for segments in product(_WORDS, repeat=length)
    if length < 5 or "$a" not in segments[1:]
]
_PATTERNS = st.lists(st.sampled_from(("a", "b", "$a", "*", "**", "**")), min_size=1, max_size=3).map("/".join)


@given(_PATTERNS, _PATTERNS)
def test_it_is_so_exactly_where_every_name_of_the_one_is_one_of_the_other(wide: str, narrow: str) -> None:
    part, whole = Pattern(narrow), Pattern(wide)
    assert covers(wide, narrow) == all(whole.matches(name) for name in _NAMES if part.matches(name))


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("**", "notes/**", True),
        ("**", "**", True),
        ("**", "$system/roles/*", False),
        ("$system/**", "$system/roles/*", True),
        ("**", "$system/roles/x", False),
        ("notes/**", "notes", False),
        ("notes/**", "notes/*", True),
        ("notes/*", "notes/**", False),
        ("notes/*", "notes/1", True),
        ("notes/1", "notes/*", False),
        ("**/a", "**/b/a", True),
        ("*/**", "**", False),
        ("a/**/b", "a/b", True),
        ("**/**", "**", True),
    ],
)
def test_examples(wide: str, narrow: str, expected: bool) -> None:
    assert covers(wide, narrow) is expected


def test_a_pair_without_end_is_not_covered() -> None:
    wide = "**/a" + "/*" * 24
    assert not covers(wide, "**/a/" + wide)
