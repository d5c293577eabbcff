from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import plain_values

from palimpsest.state import encode_value, freeze, thaw
from palimpsest.state.paired import Pair, exact, same
from palimpsest.state.tree import NOTHING

GONE, DOUBT = "gone", "doubt"


def positions(base: list[Any], now: list[Any]) -> list[Any]:
    """Where each element of base is now."""
    pair = Pair(base, now)
    elements = [pair.element(index) for index in range(len(base))]
    return [DOUBT if item.in_doubt else GONE if item.is_gone else pair.position(item) for item in elements]


@pytest.mark.parametrize(
    ("base", "now", "where"),
    [
        ([], [1, 2], []),
        ([1, 2, 3], [1, 2, 3], [0, 1, 2]),
        ([1, 2], [1, 2, 3], [0, 1]),
        ([1, 2], [0, 1, 2], [1, 2]),
        ([1, 2, 3], [1, 3], [0, GONE, 1]),
        ([1, 2, 3], [], [GONE, GONE, GONE]),
        ([1, 2, 3], [2, 3, 1], [2, 0, 1]),  # moved
        ([1, 2, 3], [1, 9, 3], [0, 1, 2]),  # changed in its place
        ([1, 2, 3, 4], [1, 8, 9, 4], [0, 1, 2, 3]),
        ([1, 2, 3], [1, 8, 9, 3], [0, DOUBT, 3]),  # which of the two it became cannot be said
        ([1, 2, 3, 4], [1, 9, 4], [0, DOUBT, DOUBT, 2]),
        ([1, 1, 1], [1, 1], [0, 1, GONE]),  # the same as what is there
        ([5, 1, 1, 6], [6, 1, 5], [2, DOUBT, DOUBT, 0]),
        ([5, 1, 6], [6, 7, 5], [2, DOUBT, 0]),
        ([1, True, 2], [2, True, 1], [2, 1, 0]),
        ([{"a": 1}, [1]], [[1], {"a": 1}], [1, 0]),
        ([{"a": 1}, {"a": 2}], [0, {"a": 1, "b": 1}, {"a": 2}], [DOUBT, 2]),
    ],
    ids=repr,
)  # fmt: skip
def test_which_elements_belong_together(base: list[Any], now: list[Any], where: list[Any]) -> None:
    assert positions(base, now) == where


@pytest.mark.parametrize(
    ("base", "now", "index", "place"),
    [
        ([1, 2], [1, 2, 3], 2, 2),
        ([1, 2], [0, 1, 2], 1, 2),
        ([1, 2], [0, 1, 2], 0, 1),
        ([1, 2], [1, 9, 2], 1, 1),
        ([1, 2], [2], 1, 0),
        ([1, 2], [1], 2, 1),
        ([1, 2], [], 1, 0),
        ([1, 2, 3], [8, 9, 3], 2, 2),
        ([1, 2, 3], [7, 8, 9, 3], 2, 3),
        ([1, 2], [7, 8, 9], 0, 0),
        ([1, 2], [7, 8, 9], 1, None),
        ([1, 2], [7, 8, 9], 2, None),
    ],
    ids=repr,
)
def test_which_places_between_elements(base: list[Any], now: list[Any], index: int, place: int | None) -> None:
    assert Pair(base, now).place(index) == place


@given(st.lists(plain_values(), max_size=8), st.lists(plain_values(), max_size=8))
def test_an_element_is_in_one_place(base: list[Any], now: list[Any]) -> None:
    there = [where for where in positions(base, now) if where not in (GONE, DOUBT)]
    assert len(set(there)) == len(there)
    pair = Pair(base, now)
    if base:
        pair.element(0)
    assert (encode_value(pair.base), encode_value(pair.now)) == (encode_value(base), encode_value(now))


@given(st.lists(st.integers(0, 40), unique=True), st.lists(st.integers(0, 40), unique=True))
def test_what_is_the_same_once_is_found(base: list[int], now: list[int]) -> None:
    for item, where in zip(base, positions(base, now), strict=True):
        assert item not in now or where == now.index(item)


def test_changes_inside_show_in_the_whole() -> None:
    pair = Pair({"a": {"b": 1}, "l": [{"x": 1}, 2], "s": 1}, {"a": {"b": 2, "c": 3}, "l": [0, {"x": 1}, 2], "s": 1})
    pair.child("a").child("b").become_both(5, NOTHING)
    pair.child("l").element(0).child("x").become(7)
    pair.child("l").insert(1, None, Pair(8, NOTHING))
    pair.child("l").insert(3, 3, Pair(9, 9))
    pair.child("l").remove(2, 2)
    pair.child("s").become_both(NOTHING, 2)
    for _ in range(2):
        assert thaw(pair.base) == {"a": {"b": 5}, "l": [{"x": 7}, 8, 9]}
        assert thaw(pair.now) == {"a": {"c": 3}, "l": [0, {"x": 1}, 9], "s": 2}
    pair.child("a").become_both(freeze({"z": 0}), 1)
    assert pair.child("a").child("z").base == 0
    assert pair.child("a").child("z").is_gone


def test_one_side_may_have_nothing_inside() -> None:
    pair = Pair({"k": {"x": 1}, "l": [1]}, {"k": 5})
    assert pair.is_map
    assert (pair.child("k").is_map, pair.child("l").is_list, pair.child("l").is_gone) == (False, False, True)
    pair.child("k").child("x").become(2)
    pair.child("l").element(0).become(3)
    assert thaw(pair.base) == {"k": {"x": 2}, "l": [3]}
    assert thaw(pair.now) == {"k": 5}


def test_what_was_left_is_remembered() -> None:
    pair = Pair(1, 2)
    assert (pair.left, pair.is_settled) == (1, False)
    pair.become(3)
    assert (pair.left, pair.is_settled) == (3, False)
    pair.become(2, left=3)
    assert (pair.base, pair.left, pair.is_settled) == (2, 3, True)
    pair.become(4)
    assert (pair.base, pair.left) == (4, 3)


@pytest.mark.parametrize(
    ("a", "b", "are_same", "are_exact"),
    [
        (1, 1, True, True),
        (1, 1.0, True, False),
        (1, True, False, False),
        ([1], [1.0], True, False),
        (None, NOTHING, False, False),
        (NOTHING, NOTHING, True, True),
        ({"a": [None]}, freeze({"a": [None]}), True, True),
    ],
)
def test_the_same_and_exactly_the_same(a: Any, b: Any, are_same: bool, are_exact: bool) -> None:
    assert (same(a, b), exact(a, b)) == (are_same, are_exact)
    assert (same(b, a), exact(b, a)) == (are_same, are_exact)
