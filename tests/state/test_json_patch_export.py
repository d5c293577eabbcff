"""Our ops as JSON Patch: what it does to the value is what they do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import any_op, documents, model_apply_fitting

from palimpsest.state import Delta, encode_value, freeze, ops, to_json_patch


@given(st.data(), documents())
def test_there_and_back(data: st.DataObject, value: Any) -> None:
    expected, delta = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=6)))
    patch = to_json_patch(freeze(value), delta)
    assert encode_value(Delta.from_json_patch(patch).apply(value)) == encode_value(expected)


@given(st.data(), documents())
def test_what_was_compiled_from_it_is_written_the_same_again(data: st.DataObject, value: Any) -> None:
    _, delta = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=6)))
    patch = to_json_patch(freeze(value), delta)
    again = Delta.from_json_patch(patch).to_json_patch(value)
    assert encode_value(Delta.from_json_patch(again).apply(value)) == encode_value(Delta(delta).apply(value))


VALUE = {"n": 1, "l": [1, 2], "m": {"k": "v"}, "t": "the old word"}


@pytest.mark.parametrize(
    ("op", "patch"),
    [
        (ops.Set((), 1), [{"op": "replace", "path": "", "value": 1}]),
        (ops.Set(("n",), 2), [{"op": "replace", "path": "/n", "value": 2}]),
        (ops.Set(("a/b",), 2), [{"op": "add", "path": "/a~1b", "value": 2}]),
        (ops.Set(("x", "y", "z"), 2), [{"op": "add", "path": "/x", "value": {"y": {"z": 2}}}]),
        (ops.Replace(("l", 0), 2), [{"op": "replace", "path": "/l/0", "value": 2}]),
        (ops.Delete(("m", "k")), [{"op": "remove", "path": "/m/k"}]),
        (ops.Delete(("m", "x")), []),
        (ops.Increment(("n",), 2), [{"op": "replace", "path": "/n", "value": 3}]),
        (ops.Increment(("m", "n"), 2), [{"op": "add", "path": "/m/n", "value": 2}]),
        (ops.Insert(("l",), 1, {"a": 1}), [{"op": "add", "path": "/l/1", "value": {"a": 1}}]),
        (ops.Append(("l",), 3), [{"op": "add", "path": "/l/-", "value": 3}]),
        (ops.Remove(("l",), 0), [{"op": "remove", "path": "/l/0"}]),
        (ops.Move(("n",), ("m", "n")), [{"op": "move", "from": "/n", "path": "/m/n"}]),
        (ops.Move(("n",), ("n",)), []),
        (
            ops.Move(("n",), ("x", "y")),
            [{"op": "remove", "path": "/n"}, {"op": "add", "path": "/x", "value": {"y": 1}}],
        ),
        (ops.Copy(("m",), ("l", 0)), [{"op": "copy", "from": "/m", "path": "/l/0"}]),
        (ops.Copy(("m",), ("x", "y")), [{"op": "add", "path": "/x", "value": {"y": {"k": "v"}}}]),
        (
            ops.Splice(("t",), (ops.Edit(4, 3, "new"), ops.Edit(7, 0, "est"))),
            [{"op": "replace", "path": "/t", "value": "the newest word"}],
        ),
        (ops.Erase(("*", "k")), [{"op": "remove", "path": "/m/k"}]),
        (ops.Erase(("l", "*")), [{"op": "replace", "path": f"/l/{index}", "value": None} for index in (0, 1)]),
        (ops.Test(("m",), {"k": "v"}), [{"op": "test", "path": "/m", "value": {"k": "v"}}]),
        (ops.Absent(("x",)), []),
    ],
    ids=repr,
)
def test_table(op: ops.Op, patch: list[dict[str, Any]]) -> None:
    assert to_json_patch(freeze(VALUE), [op]) == patch
