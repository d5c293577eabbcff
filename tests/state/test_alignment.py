"""Aligning: what is said to be left is all that differs, however little comparing is allowed."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from palimpsest.state.alignment import Looks, common_end, common_start, gaps

LISTS = st.lists(st.integers(0, 5), max_size=30)


def check(a: list[Any], b: list[Any], looks: Looks | None = None) -> list[Any]:
    """What lies between the gaps is the same in both, and no gap begins or ends with the same element."""
    found = list(gaps(a, b, looks))
    at = other_at = 0
    for start, end, other, other_end in found:
        assert a[at:start] == b[other_at:other]
        assert a[start : start + 1] != b[other : other + 1] or start == end or other == other_end
        assert start < end or other < other_end
        at, other_at = end, other_end
    assert a[at:] == b[other_at:]
    return found


@given(LISTS, LISTS, st.integers(-1, 300))
def test_between_the_gaps_all_is_the_same(a: list[int], b: list[int], looks: int) -> None:
    check(a, b)
    check(a, b, Looks(looks))


def test_without_looks_only_the_ends_are_compared() -> None:
    assert check([1, 2, 3, 4, 5], [1, 9, 3, 8, 5], Looks(0)) == [(1, 4, 1, 4)]
    assert check([1, 2, 3, 4, 5], [1, 9, 3, 8, 5]) == [(1, 2, 1, 2), (3, 4, 3, 4)]


def test_looks_are_counted() -> None:
    looks = Looks(10)
    assert [looks.take(6), looks.take(6), looks.take(4), looks.take(1)] == [True, False, True, False]
    assert looks.left == 0


def test_lists_that_are_aligned_again_and_again() -> None:
    """In each gap there is one more element that occurs once in it: without a bound, that is quadratic."""
    a = [number // 2 for number in range(20_000)]
    b = [number // 2 for number in range(1, 20_001)]
    random.Random(1).shuffle(a)
    looks = Looks(200_000)
    check(a, b, looks)
    assert looks.left >= 0


@given(st.text("ab", max_size=9), st.text("ab", max_size=9), st.integers(0, 9), st.integers(0, 3), st.integers(0, 3))
def test_common_ends(a: str, b: str, longest: int, at: int, other: int) -> None:
    longest = min(longest, len(a), len(b))
    same = 0
    while same < longest and a[same] == b[same]:
        same += 1
    assert common_start(a, b, longest) == common_start(list(a), list(b), longest) == same
    assert common_start("xxx"[:at] + a, "yyy"[:other] + b, longest, at, other) == same
    assert common_end(a[::-1], b[::-1], longest) == same


def test_long_common_ends() -> None:
    for length in (1, 4_095, 4_096, 4_097, 12_345):
        assert common_start("x" * length + "a", "x" * length + "b", length + 1) == length
        assert common_end("a" + "x" * length, "b" + "x" * length, length + 1) == length
        assert common_start("x" * length, "x" * length, length) == length
