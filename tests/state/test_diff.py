"""The difference of two values turns the one into exactly the other, and is small where the change was."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import any_op, documents, model_apply_fitting, plain_values

from palimpsest.state import apply_delta, diff, encode_delta, encode_value, freeze, ops, thaw
from palimpsest.state.alignment import Looks
from palimpsest.state.diff import OPS_MAX, quick_difference


def check(a: Any, b: Any) -> list[ops.Op]:
    delta = diff(a, b)
    assert encode_value(apply_delta(freeze(a), delta)) == encode_value(b)
    return delta


@given(plain_values(), plain_values())
def test_turns_any_value_into_any_other(a: Any, b: Any) -> None:
    check(a, b)
    assert diff(a, a) == diff(freeze(b), thaw(freeze(b))) == []


@given(st.data(), documents())
def test_turns_a_value_into_what_ops_made_of_it(data: st.DataObject, value: Any) -> None:
    changed, _ = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=4)))
    delta = check(value, changed)
    assert encode_delta(diff(freeze(value), freeze(changed))) == encode_delta(delta)


@given(st.lists(st.integers(0, 5), max_size=30), st.lists(st.integers(0, 5), max_size=30))
def test_turns_lists_into_one_another(a: list[int], b: list[int]) -> None:
    check(a, b)


@pytest.mark.parametrize("size", [120, 3_000])
def test_scattered_changes_in_a_long_list(size: int) -> None:
    generator = random.Random(size)
    a: list[Any] = [{"id": number, "text": f"element {number}"} for number in range(size)]
    b = list(a)
    for _ in range(20):
        place = generator.randrange(len(b))
        b[place : place + generator.randrange(2)] = [{"new": place}] * generator.randrange(2)
    assert len(check(a, b)) <= 40


@pytest.mark.parametrize(
    ("a", "b", "delta"),
    [
        (1, 1.0, [ops.Set((), 1.0)]),
        (0.0, -0.0, [ops.Set((), -0.0)]),
        (1, True, [ops.Set((), True)]),
        ({"a": 1}, {"a": 1.0}, [ops.Set(("a",), 1.0)]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, [ops.Set(("a", "c"), 3)]),
        ({"a": 1, "b": 2}, {"b": 2, "c": 3}, [ops.Delete(("a",)), ops.Set(("c",), 3)]),
        ({"a": {}}, {"a": []}, [ops.Set(("a",), [])]),
        ([1, 2, 3], [1, 3], [ops.Remove((), 1)]),
        ([1, 3], [1, 2, 3], [ops.Insert((), 1, 2)]),
        ([1, 2], [1, 2, 3, 4], [ops.Append((), 3), ops.Append((), 4)]),
        ([1, 2, 3], [1, 9, 3], [ops.Set((1,), 9)]),
        ([{"a": 1, "b": 2}, 3], [{"a": 1, "b": 4}, 3], [ops.Set((0, "b"), 4)]),
        ({"a": None}, {}, [ops.Delete(("a",))]),
    ],
    ids=repr,
)
def test_table(a: Any, b: Any, delta: list[ops.Op]) -> None:
    assert encode_delta(check(a, b)) == encode_delta(delta)


def test_one_insertion_into_a_long_list_is_one_op() -> None:
    a = [number % 7 for number in range(10_000)]
    assert check(a, [*a[:5_000], "new", *a[5_000:]]) == [ops.Insert((), 5_000, "new")]


def test_what_is_shorter_as_a_whole_is_set_as_a_whole() -> None:
    assert check({"l": list(range(100))}, {"l": list(range(100, 200))}) == [ops.Set(("l",), list(range(100, 200)))]


def test_no_delta_is_longer_than_its_bound() -> None:
    a = {f"key {number}": "a long value that did not change" for number in range(OPS_MAX)} | {"n": 0}
    b = {f"other {number}": 0 for number in range(OPS_MAX)} | a
    assert len(check({"m": a}, {"m": dict.fromkeys(b, 1)})) == 1


def test_shares_nothing_with_its_arguments() -> None:
    b = {"a": [1, {"b": 2}]}
    delta = diff({}, b)
    b["a"].append(3)
    assert delta == [ops.Set(("a",), [1, {"b": 2}])]


# --- long strings --------------------------------------------------------------------------------------------------

TEXT = "".join(f"line {number} of a text that is not short\n" for number in range(40))


@pytest.mark.parametrize("path", [(), ("body",), (0, "body")], ids=repr)
def test_a_long_string_is_spliced(path: Any) -> None:
    a: Any = TEXT
    b: Any = TEXT.replace("line 7 of", "word").replace("line 30", "")
    for step in reversed(path):
        a, b = ({step: a}, {step: b}) if isinstance(step, str) else ([a, 0], [b, 0])
    (op,) = check(a, b)
    assert isinstance(op, ops.Splice)
    assert op.path == path
    assert [edit.inserted for edit in op.edits] == ["word", ""]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("a short text", "a short word"),
        (TEXT, "something else"),
        (TEXT, TEXT.swapcase()),
        ("", TEXT),
        (TEXT, 5),
    ],
    ids=["short", "other", "all of it", "new", "no string"],
)
def test_what_is_not_clearly_shorter_is_set(a: Any, b: Any) -> None:
    assert check({"t": a}, {"t": b}) == [ops.Set(("t",), b)]


# --- in haste ------------------------------------------------------------------------------------------------------


@given(st.data(), documents(), st.integers(-1, 200))
def test_haste_makes_no_mistakes(data: st.DataObject, value: Any, looks: int) -> None:
    """Whatever is given up for want of looks, the delta leads to the same value, and its size is known."""
    many = st.dictionaries(st.integers(0, 300).map(str), st.sampled_from([value, 1, "x", [1, 2]]), max_size=300)
    a, b = data.draw(many), data.draw(many)
    for old, new in ((a, b), (list(a.values()), list(b.values())), ({"m": a, "v": value}, {"m": b, "v": value})):
        found, size = quick_difference(freeze({"p": old}), {"p": new}, ("at",), Looks(looks))
        assert len(encode_delta(found)) - len(encode_delta([])) - size in (
            0,
            2,
            4,
        )  # a longer array has a longer header
        changed = apply_delta(freeze({"at": {"p": old}}), found)
        assert encode_value(changed) == encode_value({"at": {"p": new}})


def test_what_seems_to_be_new_is_set() -> None:
    old = {f"key {number}": {"n": number, "text": "some text"} for number in range(1_000)}
    new = {key: {"n": entry["n"] + 1, "text": "other words"} for key, entry in old.items()}
    for a, b in ((old, new), (list(old.values()), list(new.values()))):
        looks = Looks(1_000_000)
        assert quick_difference(freeze(a), b, (), looks)[0] == [ops.Set((), b)]
    few = old | {"key 700": {"n": -1, "text": "some text"}}
    assert quick_difference(freeze(old), few, (), Looks(1_000_000))[0] == [ops.Set(("key 700", "n"), -1)]


def test_what_is_gone_for_the_most_part_is_set() -> None:
    entries = {f"key {number}": [number, "text"] for number in range(2_000)}
    left = dict(list(entries.items())[:150])
    for a, b in ((entries, left), (list(entries.values()), list(left.values()))):
        looks = Looks(1_000)
        assert quick_difference(freeze(a), b, (), looks)[0] == [ops.Set((), b)]
        assert looks.left == 1_000


def test_a_sample_of_a_sample_is_not_taken() -> None:
    """Each container is in the sample of the one around it: were all of them sampled, that would take 2^40 steps."""
    old: Any = "x"
    new: Any = "y"
    for _ in range(40):
        others = {f"{number:03}": 0 for number in range(1, 120)}
        old, new = {"000": old, **others}, {"000": new, **others}
    assert quick_difference(freeze(old), new, (), Looks(100_000))[0] == [ops.Set(("000",) * 40, "y")]
