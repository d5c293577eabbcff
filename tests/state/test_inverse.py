"""Every delta can be taken back, to the byte."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import any_op, documents, model_apply_fitting, plain_values

from palimpsest.errors import DeltaFailed
from palimpsest.state import apply_delta, encode_value, freeze, invert, ops


@given(st.data(), documents())
def test_the_inverse_gives_the_same_value_back(data: st.DataObject, value: Any) -> None:
    before = freeze(value)
    _, delta = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=6)))
    inverse = invert(before, delta)
    assert encode_value(apply_delta(apply_delta(before, delta), inverse)) == encode_value(value)
    assert not any(type(op) in ops.COMPILED for op in inverse)


@given(documents(), plain_values())
def test_a_merge_patch_can_be_taken_back(value: Any, patch: Any) -> None:
    before, delta = freeze(value), [ops.MergePatch(patch)]
    assert encode_value(apply_delta(apply_delta(before, delta), invert(before, delta))) == encode_value(value)


VALUE = {"n": 1, "f": 0.5, "l": [1, 2, 3], "m": {"k": "v"}, "z": None, "t": "the old word"}


@pytest.mark.parametrize(
    ("op", "inverse"),
    [
        (ops.Set(("n",), 2), [ops.Set(("n",), 1)]),
        (ops.Set(("new",), 2), [ops.Delete(("new",))]),
        (ops.Set(("new", "x", "y"), 2), [ops.Delete(("new",))]),
        (ops.Set(("m", "x", "y"), 2), [ops.Delete(("m", "x"))]),
        (ops.Set(("l", 1), 9), [ops.Set(("l", 1), 2)]),
        (ops.Set(("z",), 9), [ops.Set(("z",), None)]),
        (ops.Replace(("m",), 9), [ops.Set(("m",), freeze({"k": "v"}))]),
        (ops.Delete(("m",)), [ops.Set(("m",), freeze({"k": "v"}))]),
        (ops.Delete(("z",)), [ops.Set(("z",), None)]),
        (ops.Delete(("no", "such")), []),
        (ops.Increment(("n",), 4), [ops.Increment(("n",), -4)]),
        (ops.Increment(("n",), 2**63 + 1), [ops.Set(("n",), 1)]),
        (ops.Increment(("n",), 0.1), [ops.Set(("n",), 1)]),
        (ops.Increment(("f",), 1), [ops.Set(("f",), 0.5)]),
        (ops.Increment(("no", "such"), 1), [ops.Delete(("no",))]),
        (ops.Insert(("l",), 0, 9), [ops.Remove(("l",), 0)]),
        (ops.Append(("l",), 9), [ops.Remove(("l",), 3)]),
        (ops.Remove(("l",), 1), [ops.Insert(("l",), 1, 2)]),
        (ops.Move(("n",), ("x",)), [ops.Move(("x",), ("n",))]),
        (ops.Move(("l", 0), ("l", 2)), [ops.Move(("l", 2), ("l", 0))]),
        (ops.Move(("n",), ("z",)), [ops.Set(("z",), None), ops.Set(("n",), 1)]),
        (ops.Move(("n",), ("x", "y")), [ops.Delete(("x",)), ops.Set(("n",), 1)]),
        (ops.Move(("l", 0), ("z",)), [ops.Set(("z",), None), ops.Insert(("l",), 0, 1)]),
        (ops.Move(("n",), ("n",)), []),
        (ops.Copy(("n",), ("x",)), [ops.Delete(("x",))]),
        (ops.Copy(("n",), ("l", 1)), [ops.Remove(("l",), 1)]),
        (
            ops.Splice(("t",), (ops.Edit(0, 4, ""), ops.Edit(4, 3, "new"))),
            [ops.Splice(("t",), (ops.Edit(0, 0, "the "), ops.Edit(0, 3, "old")))],
        ),
        (ops.Erase(("m", "*")), [ops.Set(("m", "k"), "v")]),
        (ops.Erase(("*", 1)), [ops.Set(("l", 1), 2)]),
        (ops.Erase(("z",)), [ops.Set(("z",), None)]),
        (ops.Erase(("no",)), []),
        (ops.Test(("n",), 1), []),
        (ops.Absent(("x",)), []),
    ],
    ids=repr,
)
def test_is_small(op: ops.Op, inverse: list[ops.Op]) -> None:
    assert invert(freeze(VALUE), [op]) == inverse


def test_a_delta_that_does_not_fit_has_none() -> None:
    with pytest.raises(DeltaFailed) as caught:
        invert(freeze({}), [ops.Set(("a",), 1), ops.Replace(("b",), 1)])
    assert caught.value.op == 1
