"""RFC 6902, case by case. The cases are data, so that tests over the wire can read them too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from palimpsest.errors import DeltaFailed, InvalidDelta, InvalidValue, LimitExceeded, PalimpsestError
from palimpsest.state import Delta, decode_delta, encode_delta, encode_value, freeze, ops
from palimpsest.state.json_patch import format_pointer
from palimpsest.state.working import Working

CASES = json.loads((Path(__file__).parent / "json_patch_cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["comment"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    if "expected" in case:
        assert encode_value(Delta.from_json_patch(case["patch"]).apply(case["doc"])) == encode_value(case["expected"])
        return
    with pytest.raises(PalimpsestError) as caught:
        Delta.from_json_patch(case["patch"]).apply(case["doc"])
    assert caught.value.code == case["error"]
    if "reason" in case:
        assert caught.value.reason == case["reason"]
        assert caught.value.op == len(case["patch"]) - 1
        assert f"op {caught.value.op} (" in caught.value.message


def test_every_case_says_what_it_expects() -> None:
    assert all(("expected" in case) != ("error" in case) for case in CASES)


def test_compiles_into_ops_of_ours() -> None:
    value = {"tags": ["a", "b"], "0": 1}
    patch = [
        {"op": "add", "path": "/tags/-", "value": "c"},
        {"op": "add", "path": "/0", "value": 2},
        {"op": "remove", "path": "/tags/0"},
        {"op": "move", "from": "/tags/0", "path": "/first"},
        {"op": "remove", "path": "/0"},
    ]
    working = Working(freeze(value))
    applied = working.apply(Delta.from_json_patch(patch).ops)
    assert applied == [
        ops.Insert(("tags",), 2, "c"),
        ops.Set(("0",), 2),
        ops.Remove(("tags",), 0),
        ops.Move(("tags", 0), ("first",)),
        ops.Delete(("0",)),
    ]


def test_compiled_ops_keep_their_place_among_others() -> None:
    working = Working(freeze({"a": 1}))
    mixed = [ops.Set(("b",), 2), ops.JsonPatch("copy", "/c", None, "/b"), ops.Increment(("c",), 5)]
    assert working.apply(mixed) == [ops.Set(("b",), 2), ops.Copy(("b",), ("c",)), ops.Increment(("c",), 5)]
    assert working.freeze() == freeze({"a": 1, "b": 2, "c": 7})


@pytest.mark.parametrize(
    "op",
    [
        ops.JsonPatch("spam", "/a", 1),
        ops.JsonPatch("add", "a", 1),
        ops.JsonPatch("add", "/~", 1),
        ops.JsonPatch("move", "/a", None),
        ops.JsonPatch("copy", "/a", None, "b"),
    ],
)
def test_an_operation_from_the_wire_is_checked_again(op: ops.JsonPatch) -> None:
    working = Working(freeze({"a": 1, "b": 1}))
    with pytest.raises(InvalidDelta) as caught:
        working.apply(decode_delta(encode_delta([ops.Set(("a",), 2), op])))
    assert caught.value.op == 1
    assert working.freeze() == freeze({"a": 1, "b": 1})


def test_values_pass_the_door() -> None:
    with pytest.raises(InvalidValue):
        Delta.from_json_patch([{"op": "add", "path": "/a", "value": {"b": float("nan")}}])


def test_depth_is_held() -> None:
    deep: Any = []
    for _ in range(63):
        deep = [deep]
    Delta.from_json_patch([{"op": "add", "path": "", "value": deep}]).apply({})
    with pytest.raises(LimitExceeded) as caught:
        Delta.from_json_patch(
            [{"op": "add", "path": "", "value": deep}, {"op": "copy", "from": "", "path": "/0"}]
        ).apply({})
    assert caught.value.limit == "depth_max"


def test_errors_name_the_pointer() -> None:
    with pytest.raises(DeltaFailed, match=r"op 0 \(replace /a/b\)") as caught:
        Delta.from_json_patch([{"op": "replace", "path": "/a/b", "value": 1}]).apply({"a": {}})
    assert caught.value.path == "/a/b"


def test_pointers_are_written_with_escapes() -> None:
    assert format_pointer(()) == ""
    assert format_pointer(("a/b", "m~n", 0, "")) == "/a~1b/m~0n/0/"
