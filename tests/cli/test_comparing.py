from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.comparing import Block, Difference, as_lines, differences, hunks, words
from palimpsest.state.tree import NOTHING

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("ab\n ", max_size=4)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=4)
)
texts = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30)


def found(old: Any, new: Any) -> list[tuple[Any, ...]]:
    return [(each.path, each.old, each.new) for each in differences(old, new)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 2}, {"a": 3, "c": 4}, [(("a",), 1, 3), (("b",), 2, NOTHING), (("c",), NOTHING, 4)]),
        ({"m": {"x": {"y": 1}}}, {"m": {"x": {"y": 2}}}, [(("m", "x", "y"), 1, 2)]),
        ({"a": None}, {}, [(("a",), None, NOTHING)]),
        ({"a": 1}, {"a": 1.0}, [(("a",), 1, 1.0)]),
        ({"a": True}, {"a": 1}, [(("a",), True, 1)]),
        ({"a": {}}, {"a": []}, [(("a",), {}, [])]),
        (NOTHING, 1, [((), NOTHING, 1)]),
        (1, 2, [((), 1, 2)]),
        ([1, 2, 3], [1, 3], [((1,), 2, NOTHING)]),
        ([1, 3], [1, 2, 3], [((1,), NOTHING, 2)]),
        ([1, {"a": 1}, 3], [1, {"a": 2}, 3], [((1, "a"), 1, 2)]),
        (["x", "a"], ["x", "a", "new"], [((2,), NOTHING, "new")]),
        ({"t": "a\nb"}, {"t": "a\nc"}, [(("t",), "a\nb", "a\nc")]),
        ({"t": ["l"] * 10}, {"t": ["l"] * 11}, [(("t",), ["l"] * 10, ["l"] * 11)]),
    ],
)
def test_differences(old: Any, new: Any, expected: list[tuple[Any, ...]]) -> None:
    assert found(old, new) == expected


@given(values, values)
def test_there_is_a_difference_exactly_where_values_differ(old: Any, new: Any) -> None:
    assert found(old, old) == []
    assert bool(found(old, new)) == (repr_of(old) != repr_of(new))


def repr_of(value: Any) -> Any:
    """Equal exactly where the types are, too; the order of keys does not matter."""
    if isinstance(value, dict):
        return {key: repr_of(item) for key, item in value.items()}
    return [repr_of(item) for item in value] if isinstance(value, list) else repr(value)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a\nb", "a", (["a", "b"], ["a"])),
        ("a", "b", None),
        (NOTHING, "a\nb", ([], ["a", "b"])),
        (NOTHING, "a", None),
        ("a\nb", 1, None),
        (["a"] * 9, [], (["a"] * 9, [])),
        (["a"] * 9, NOTHING, (["a"] * 9, [])),
        (["a"] * 8, [], None),
        (["a"] * 9, [1], None),
        (["a\n"] * 9, [], None),
        ([], [], None),
    ],
)
def test_what_is_a_text(old: Any, new: Any, lines: Any) -> None:
    assert as_lines(old, new) == lines


def test_hunks_have_context_and_stand_apart() -> None:
    old = [str(number) for number in range(1, 31)]
    new = [*old[:4], "five", *old[5:19], *old[20:], "31"]
    first, second, third = hunks(old, new)
    assert first.heading == "@@ -2,7 +2,7 @@"
    assert first.blocks == (
        Block(("2", "3", "4"), ("2", "3", "4"), True),
        Block(("5",), ("five",), False),
        Block(("6", "7", "8"), ("6", "7", "8"), True),
    )
    assert second.heading == "@@ -17,7 +17,6 @@"
    assert third.heading == "@@ -28,3 +27,4 @@"


def test_changes_that_are_near_share_a_hunk() -> None:
    old = [str(number) for number in range(20)]
    new = [*old[:5], "x", *old[6:11], "y", *old[12:]]
    (hunk,) = hunks(old, new)
    assert [block.same for block in hunk.blocks] == [True, False, True, False, True]


def test_hunks_at_the_ends() -> None:
    assert hunks([], ["a"])[0].heading == "@@ -0,0 +1,1 @@"
    assert hunks(["a"], [])[0].heading == "@@ -1,1 +0,0 @@"
    assert hunks(["a"], ["a"]) == hunks([], []) == []


@given(texts, texts)
def test_hunks_and_what_lies_between_are_both_texts(old: list[str], new: list[str]) -> None:
    made, at = [], 0
    for hunk in hunks(old, new):
        between = old[at : hunk.old_line - 1]
        made += between
        at += len(between)
        assert len(made) == hunk.new_line - 1
        for block in hunk.blocks:
            assert tuple(old[at : at + len(block.old)]) == block.old
            assert not block.same or block.old == block.new
            at += len(block.old)
            made += block.new
    assert made + old[at:] == new


def test_words() -> None:
    stretches = words("the quick brown fox", "the quick red fox")
    assert stretches is not None
    assert [(each.old, each.new) for each in stretches] == [
        ("the quick ", "the quick "),
        ("brown ", "red "),
        ("fox", "fox"),
    ]
    assert words("one thing", "quite another matter") is None


@given(st.text("ab .", max_size=30), st.text("ab .", max_size=30))
def test_words_are_both_lines(old: str, new: str) -> None:
    stretches = words(old, new)
    if stretches is not None:
        assert ("".join(each.old for each in stretches), "".join(each.new for each in stretches)) == (old, new)


def test_large_texts_are_not_searched_through() -> None:
    old = [str(number % 97) for number in range(100_000)]
    new = [str(number % 89) for number in range(100_000)]
    assert hunks(old, [*old[:50_000], "x", *old[50_000:]])[0].heading == "@@ -49998,6 +49998,7 @@"
    assert len(hunks(old, new)) == 1
    assert words("a b " * 50_000, "c d " * 50_000) is None
    assert list(differences(list(range(20_000)), list(range(1, 20_001)))) == [
        Difference((0,), 0, NOTHING),
        Difference((19_999,), NOTHING, 20_000),
    ]
