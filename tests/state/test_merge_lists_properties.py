"""Lists merged as sets, by elements that have a key, and by their order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import plain_values

from palimpsest.state import encode_value, equal, freeze
from palimpsest.state.conflicts import CONFLICT
from palimpsest.state.merge_lists import diff3, in_order, keyed, union

LISTS = st.lists(plain_values(), max_size=5)
FEW = st.lists(st.sampled_from([0, 1, 1.0, True, "x", [1], [1.0], {"a": 1}]), max_size=6)


def has(items: list[Any], item: Any) -> bool:
    return any(equal(item, other) for other in items)


# --- as sets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        ([], ["a"], ["b"], ["a", "b"]),
        (["a", "b", "c"], ["b", "c"], ["a", "b"], ["b"]),
        (["a", "b"], ["b", "x", "a"], ["y", "a", "b", "z"], ["b", "x", "a", "y", "z"]),
        (["a"], ["a", "x"], ["x"], ["x"]),
        (["a"], ["a", "a"], ["a", "b", "b"], ["a", "a", "b", "b"]),
        ([], [True], [1], [True, 1]),
        ([], [1], [1.0], [1]),
        ([], [{"a": [1]}], [{"a": [1.0]}], [{"a": [1]}]),
        ([], [[True]], [[1]], [[True], [1]]),
        ([], [[]], [{}], [[], {}]),
        ([None], [], [None, "n"], ["n"]),
    ],
)
def test_union(base: list[Any], ours: list[Any], theirs: list[Any], merged: list[Any]) -> None:
    assert encode_value(union(base, ours, theirs)) == encode_value(merged)
    assert encode_value(union(*map(freeze, (base, ours, theirs)))) == encode_value(merged)  # type: ignore[arg-type]


@given(st.one_of(FEW, LISTS), st.one_of(FEW, LISTS), st.one_of(FEW, LISTS))
def test_a_union_is_one_of_sets(base: list[Any], ours: list[Any], theirs: list[Any]) -> None:
    merged = union(base, ours, theirs)
    for item in [*base, *ours, *theirs]:
        in_all = has(ours, item) and has(theirs, item)
        assert has(merged, item) == (in_all or not has(base, item))
    assert all(has(union(base, theirs, ours), item) for item in merged)


# --- by key ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        [1],
        ["id"],
        [{}],
        [{"id": None}],
        [{"id": [1]}],
        [{"id": {}}],
        [{"id": 1}, {"id": 1}],
        [{"id": 1}, {"id": 1.0}],
        [{"id": "a"}, [], {"id": "b"}],
    ],
    ids=repr,
)
def test_what_a_key_does_not_tell_apart(items: list[Any]) -> None:
    assert keyed(items, "id") is None
    assert keyed(freeze(items), "id") is None  # type: ignore[arg-type]


def test_what_a_key_tells_apart() -> None:
    items = [{"id": "1"}, {"id": 1}, {"id": True}, {"id": 0.5}, {"id": ""}]
    found = keyed(items, "id")
    assert found is not None
    assert list(found.values()) == items
    assert keyed([], "id") == {}


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "order"),
    [
        ("abc", "abc", "abc", "abc"),
        ("abc", "cba", "abc", "cba"),
        ("ab", "axb", "ab", "axb"),
        ("ab", "ab", "axb", "axb"),
        ("ab", "axb", "ayzb", "ayzxb"),
        ("ab", "abx", "aby", "abyx"),
        ("ab", "xab", "yab", "xyab"),
        ("ab", "ab", "xab", "xab"),
        ("", "xy", "zw", "xyzw"),
        ("abc", "ac", "abxc", "abxc"),
        ("ab", "ba", "abx", "bxa"),
    ],
)
def test_order(base: str, ours: str, theirs: str, order: str) -> None:
    assert "".join(in_order(base, ours, theirs)) == order


# --- by order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        ([1, 2, 3], [0, 1, 2, 3], [1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ([1, 2, 3], [2, 3], [1, 2], [2]),
        ([1, 2, 3], [9, 2, 3], [1, 2, 8], [9, 2, 8]),
        ([1, 2], [9, 2], [1, 8], CONFLICT),
        ([1, 2, 3], [1, 3], [1, 8, 3], CONFLICT),
        ([1, 3], [1, 2, 3], [1, 8, 3], CONFLICT),
        ([1, 2], [1, 5, 2], [1, 5, 2], [1, 5, 2]),
        ([1, 2], [1, 5, 2], [1, 5.0, 2], [1, 5, 2]),
        ([1, 2], [1, True, 2], [1, 1, 2], CONFLICT),
        ([1, 2], [1.0, 2], [1, 2, 3], [1.0, 2, 3]),
        ([[1], {}], [[1.0], {}], [[1], {}, 3], [[1.0], {}, 3]),
        ([], [1], [2], CONFLICT),
        ([], [1], [1], [1]),
        ([1, 2, 3], [], [1, 2, 3, 4], CONFLICT),
        ([1, 2, 3], [], [], []),
    ],
)
def test_diff3(base: list[Any], ours: list[Any], theirs: list[Any], merged: Any) -> None:
    found, mirrored = diff3(base, ours, theirs), diff3(base, theirs, ours)
    if merged is CONFLICT:
        assert found is mirrored is CONFLICT
    else:
        assert encode_value(found) == encode_value(merged)
        assert equal(mirrored, merged)


@given(st.one_of(FEW, LISTS), st.one_of(FEW, LISTS), st.one_of(FEW, LISTS))
def test_of_diff3_the_sides_may_be_exchanged(base: list[Any], ours: list[Any], theirs: list[Any]) -> None:
    merged, other = diff3(base, ours, theirs), diff3(base, theirs, ours)
    assert merged is other is CONFLICT or equal(merged, other)
    assert encode_value(diff3(base, base, theirs)) == encode_value(theirs)
    assert encode_value(diff3(base, ours, base)) == encode_value(ours)


@given(st.data())
def test_what_does_not_meet_is_merged(data: st.DataObject) -> None:
    """Between any two changes there is an element of base that both sides left alone."""
    fresh = iter(range(1_000))
    base, ours, theirs, merged = [], [], [], []
    for by in data.draw(st.lists(st.sampled_from(["ours", "theirs", "both", "neither"]), max_size=8)):
        removed, inserted = ([next(fresh) for _ in range(data.draw(st.integers(0, 3)))] for _ in range(2))
        kept = next(fresh)
        base += [*removed, kept]
        ours += [*(inserted if by in ("ours", "both") else removed), kept]
        theirs += [*(inserted if by in ("theirs", "both") else removed), kept]
        merged += [*(removed if by == "neither" else inserted), kept]
    assert diff3(base, ours, theirs) == merged


def test_many_changes_in_long_lists() -> None:
    base = list(range(10_000))
    ours = [-number if number % 10 == 0 else number for number in base]
    theirs = [number + 0.5 if number % 10 == 5 else number for number in base]
    merged = diff3(base, ours, theirs)
    assert merged == [mine if mine != before else other for before, mine, other in zip(base, ours, theirs, strict=True)]
