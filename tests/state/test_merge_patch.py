"""RFC 7396, case by case. The cases are data, so that tests over the wire can read them too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from state_strategies import plain_values

from palimpsest.errors import LimitExceeded
from palimpsest.state import Delta, encode_delta, encode_value, freeze, ops
from palimpsest.state.merge_patch import OPS_MAX, merge
from palimpsest.state.working import Working

CASES = json.loads((Path(__file__).parent / "merge_patch_cases.json").read_text())


def model_merge(target: Any, patch: Any) -> Any:
    """The pseudocode of RFC 7396, section 2, word by word."""
    if isinstance(patch, dict):
        if not isinstance(target, dict):
            target = {}
        for name, value in patch.items():
            if value is None:
                if name in target:
                    del target[name]
            else:
                target[name] = model_merge(target.get(name), value)
        return target
    return patch


@pytest.mark.parametrize("case", CASES, ids=[case["comment"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    assert encode_value(Delta.from_merge_patch(case["patch"]).apply(case["doc"])) == encode_value(case["expected"])
    assert encode_value(merge(case["doc"], case["patch"])) == encode_value(case["expected"])


@given(plain_values(), plain_values())
def test_is_the_function_of_the_rfc(value: Any, patch: Any) -> None:
    before = encode_value(value)
    merged = encode_value(Delta.from_merge_patch(patch).apply(value))
    assert encode_value(value) == before
    assert merged == encode_value(model_merge(value, patch))


def test_compiles_into_small_ops() -> None:
    working = Working(freeze({"a": {"b": 1, "c": 2}, "d": 3}))
    patch = {"a": {"b": None, "c": {"x": None, "y": 1}}, "none": None}
    assert working.apply([ops.MergePatch(patch)]) == [ops.Delete(("a", "b")), ops.Set(("a", "c"), {"y": 1})]
    assert working.copied_bytes == 0


def test_many_changes_become_one() -> None:
    value = {f"key{number}": number for number in range(OPS_MAX + 1)}
    patch = {key: -number for key, number in value.items()}
    working = Working(freeze(value))
    applied = working.apply([ops.MergePatch(patch)])
    assert len(applied) == 1
    assert working.freeze() == freeze(patch)
    assert working.copied_bytes == len(encode_value(patch))


def test_a_small_patch_does_not_become_a_large_delta() -> None:
    """Each op repeats the keys that lead to it; a long key over many short ones would multiply."""
    long = "k" * 10_000
    value = {long: {str(number): 0 for number in range(500)}}
    patch = {long: {str(number): 1 for number in range(500)}}
    applied = Working(freeze(value)).apply([ops.MergePatch(patch)])
    assert len(encode_delta(applied)) < 2 * len(encode_value(patch))


def test_what_it_adds_beyond_the_patch_is_bounded() -> None:
    value = {"large": "x" * 10_000} | {f"key{number}": number for number in range(OPS_MAX + 1)}
    patch = {key: 0 for key in value if key != "large"}
    working = Working(freeze(value))
    with pytest.raises(LimitExceeded):
        working.apply([ops.MergePatch(patch)], copy_bytes_max=10_000)
    assert working.freeze() == freeze(value)
