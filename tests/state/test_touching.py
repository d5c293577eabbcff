"""Which deltas touch a path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import any_op, documents, model_apply_fitting, paths_about

from palimpsest.state import encode_value, freeze, ops
from palimpsest.state.touching import touches
from palimpsest.state.tree import NOTHING, find_or_nothing

EDIT = (ops.Edit(0, 0, "x"),)


@pytest.mark.parametrize(
    ("op", "touched", "others"),
    [
        (
            ops.Set(("a", "b"), 1),
            [(), ("a",), ("a", "b"), ("a", "b", "c"), ("*", "b")],
            [("b",), ("a", "c"), ("*", "c")],
        ),
        (ops.Set((), 1), [(), ("a",), ("a", 0)], []),
        (ops.Set(("l", 1), 1), [("l",), ("l", 1), ("l", 1, "x"), ("l", "*")], [("l", 0), ("l", 2)]),
        (ops.Replace(("a",), 1), [("a", "b")], [("b",)]),
        (ops.Delete(("a",)), [("a", "b")], [("b",)]),
        (ops.Increment(("a",), 1), [("a",), ()], [("b",)]),
        (ops.Splice(("a",), EDIT), [("a",), ()], [("b",)]),
        (ops.Insert(("l",), 1, 1), [(), ("l",), ("l", 1), ("l", 2, "x"), ("l", "*")], [("l", 0), ("m",)]),
        (ops.Remove(("l",), 1), [(), ("l",), ("l", 1), ("l", 2, "x")], [("l", 0, "x"), ("m",)]),
        (ops.Append(("l",), 1), [(), ("l",), ("l", 0)], [("m",)]),
        (ops.Move(("a",), ("b",)), [("a",), ("a", "x"), ("b", "x")], [("c",)]),
        (ops.Move(("l", 1), ("b",)), [("l",), ("l", 1), ("l", 5), ("b",)], [("l", 0)]),
        (ops.Copy(("l", 1), ("m", 2)), [("l", 1), ("m",), ("m", 2), ("m", 5)], [("l", 0), ("l", 2), ("m", 1)]),
        (ops.Erase(("*", "b")), [(), ("a",), ("a", "b"), ("c", "b", "d")], [("a", "c")]),
        (ops.Erase(()), [(), ("a",)], []),
        (ops.Test(("a",), 1), [], [(), ("a",)]),
        (ops.Absent(("a",)), [], [(), ("a",)]),
    ],
    ids=repr,
)
def test_table(op: ops.Op, touched: list[Any], others: list[Any]) -> None:
    assert [path for path in touched + others if touches([op], path)] == touched
    assert [path for path in touched + others if touches([ops.Test((), 1), op], path)] == touched


@given(st.data(), documents())
def test_what_changed_was_touched(data: st.DataObject, value: Any) -> None:
    path = data.draw(paths_about(value))
    changed, delta = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=4)))
    before, after = (find_or_nothing(freeze(each), path) for each in (value, changed))
    if (before is NOTHING) != (after is NOTHING) or (
        before is not NOTHING and encode_value(before) != encode_value(after)
    ):
        assert touches(delta, path)


def test_nothing_touches_nothing() -> None:
    assert not touches([], ())
