from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.state.conflicts import CONFLICT
from palimpsest.state.merge_lists import diff3, in_order, keyed, union
from palimpsest.state.merge_texts import merge_texts

ITEMS = st.lists(st.integers(0, 5), max_size=6)
UNIQUE = st.lists(st.integers(0, 8), max_size=6, unique=True)


@given(ITEMS, ITEMS, ITEMS)
def test_a_union_has_what_either_side_has_and_neither_took_away(
    base: list[int], ours: list[int], theirs: list[int]
) -> None:
    gone = {item for item in base if item not in ours or item not in theirs}
    assert set(union(base, ours, theirs)) == (set(ours) | set(theirs)) - gone
    assert union(base, ours, base) == ours
    assert set(union(base, ours, theirs)) == set(union(base, theirs, ours))


def test_a_union_knows_json() -> None:
    assert union([], [1, "1", None], [1.0, True, {"a": 1}]) == [1, "1", None, True, {"a": 1}]


@given(ITEMS, ITEMS, ITEMS)
def test_diff3_is_symmetric_and_takes_over_what_one_side_did(
    base: list[int], ours: list[int], theirs: list[int]
) -> None:
    assert diff3(base, ours, base) == ours
    assert diff3(base, base, theirs) == theirs
    assert diff3(base, ours, ours) == ours
    one, other = diff3(base, ours, theirs), diff3(base, theirs, ours)
    assert one is other is CONFLICT or one == other


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ("abcdef", "abXcdef", "abcdeYf", "abXcdeYf"),
        ("abcdef", "cdef", "abcd", "cd"),
        ("abc", "aXbc", "aXbc", "aXbc"),
        ("abc", "aXbc", "aYbc", None),
        ("abc", "ac", "aXc", None),
        ("abcd", "aXcd", "abYd", None),
        ("abcd", "aXcd", "abcY", "aXcY"),
    ],
)
def test_diff3(base: str, ours: str, theirs: str, expected: str | None) -> None:
    found = diff3(list(base), list(ours), list(theirs))
    assert found is CONFLICT if expected is None else found == list(expected)


def test_texts_by_lines() -> None:
    assert merge_texts("a\nb\nc\n", "a\nb\nC\n", "A\nb\nc\n") == "A\nb\nC\n"
    assert merge_texts("a\nb", "a\nb\n", "a\nB") is CONFLICT
    assert merge_texts("", "a\n", "") == "a\n"


def test_elements_by_key() -> None:
    assert keyed([{"id": 1, "x": 1}, {"id": "1"}], "id") == {(int, 1): {"id": 1, "x": 1}, (str, "1"): {"id": "1"}}
    bad: list[Any] = [[{"id": 1}, {"id": 1}], [{}], [3], [{"id": None}], [{"id": {}}]]
    assert [keyed(items, "id") for items in bad] == [None] * len(bad)


@given(UNIQUE, UNIQUE, UNIQUE)
def test_an_order_of_all_keys(base: list[int], ours: list[int], theirs: list[int]) -> None:
    found = in_order(set(base), ours, theirs)
    assert sorted(found) == sorted(set(ours) | set(theirs))
    assert [key for key in found if key in ours] == ours


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ("ab", "ab", "axb", "axb"),
        ("ab", "ba", "axb", "bax"),
        ("ab", "yab", "xab", "yxab"),
        ("", "y", "x", "yx"),
        ("ab", "b", "axb", "axb"),
    ],
)
def test_what_only_theirs_has_stands_behind_what_comes_before_it(
    base: str, ours: str, theirs: str, expected: str
) -> None:
    assert "".join(in_order(set(base), list(ours), list(theirs))) == expected
