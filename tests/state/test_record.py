from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import InvalidValue
from palimpsest.state import apply_delta, freeze, ops, thaw
from palimpsest.state.ops import decode_delta, encode_delta
from palimpsest.state.record import check_record, label_ops, labels, labels_of, prune_of, prune_ops, pruned

RECORD: Any = {
    "main": {
        "tags": {"3": {"released": True, "old": False}, "12": {"x": True}},
        "pruned": {"until": 90, "tags": ["*"]},
    },
    "draft": {"tags": {}},
}


@pytest.mark.parametrize("value", [RECORD, freeze(RECORD)])
def test_says_what_was_said(value: Any) -> None:
    assert labels(value, "main") == {3: {"released": True, "old": False}, 12: {"x": True}}
    assert dict(labels_of(value, "main", 3)) == {"released": True, "old": False}
    assert pruned(value, "main") == (90, ("*",))
    check_record(value)


@pytest.mark.parametrize("value", [None, {}, freeze({}), RECORD, freeze(RECORD)])
@pytest.mark.parametrize("branch", ["draft", "other"])
def test_of_a_branch_of_which_nothing_was_said(value: Any, branch: str) -> None:
    assert labels(value, branch) == {}
    assert labels_of(value, branch, 3) == {}
    assert pruned(value, branch) == (0, ())


BRANCHES = st.sampled_from(["main", "a/b", "0", "odd.key"])
TAGS = st.sets(st.sampled_from(["released", "v1.0", "0", "*"]), max_size=3)
SAID = st.one_of(
    st.tuples(st.just("tags"), BRANCHES, st.integers(1, 3), TAGS, TAGS),
    st.tuples(st.just("pruned"), BRANCHES, st.integers(1, 99), st.lists(st.sampled_from(["*", "v*"]), max_size=2)),
)


@given(st.lists(SAID, max_size=8))
def test_the_ops_change_what_they_say_and_nothing_else(said: list[Any]) -> None:
    value: Any = freeze({})
    tags: dict[tuple[str, int], dict[str, bool]] = {}
    cuts: dict[str, tuple[int, tuple[str, ...]]] = {}
    for what, branch, number, *rest in said:
        if what == "tags":
            delta = label_ops(branch, number, *rest)
            tags.setdefault((branch, number), {}).update({tag: tag not in rest[1] for tag in rest[0] | rest[1]})
            assert prune_of(delta) is None
        else:
            delta = prune_ops(branch, number, rest[0])
            cuts[branch] = (number, tuple(rest[0]))
            assert prune_of([ops.Set((), {}), *decode_delta(encode_delta(delta))]) == (branch, *cuts[branch])
        value = apply_delta(value, delta)
    check_record(value)
    for branch in ("main", "a/b", "0", "odd.key"):
        mine = {number: said for (where, number), said in tags.items() if where == branch and said}
        assert labels(value, branch) == mine
        assert pruned(value, branch) == cuts.get(branch, (0, ()))


def test_a_decision_to_prune_among_other_ops() -> None:
    assert prune_of([]) is None
    assert prune_of([ops.Set((), thaw(freeze(RECORD)))]) is None
    assert prune_of(label_ops("main", 3, ["pruned"], [])) is None


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, ""),
        ([], ""),
        ({"main": []}, "main"),
        ({"main": {"other": {}}}, "main"),
        ({"main": {"tags": []}}, "main"),
        ({"main": {"tags": {"x": {}}}}, "main"),
        ({"main": {"tags": {"03": {}}}}, "main"),
        ({"main": {"tags": {"\u00b2": {}}}}, "main"),
        ({"main": {"tags": {"3": []}}}, "main"),
        ({"main": {"tags": {"3": {"a": 1}}}}, "main"),
        ({"main": {"pruned": 5}}, "main"),
        ({"main": {"pruned": {"until": 5}}}, "main"),
        ({"main": {"pruned": {"until": -1, "tags": []}}}, "main"),
        ({"main": {"pruned": {"until": True, "tags": []}}}, "main"),
        ({"main": {"pruned": {"until": 5, "tags": "*"}}}, "main"),
        ({"main": {"pruned": {"until": 5, "tags": [1]}}}, "main"),
        ({"x": {"lines": {}}}, "x"),
        ({"x": {"lines": [[]]}}, "x"),
        ({"x": {"lines": [{"base": None}]}}, "x"),
        ({"x": {"lines": [{"base": ["main"], "first": 1}]}}, "x"),
        ({"x": {"lines": [{"base": ["main", "1"], "first": 1}]}}, "x"),
        ({"x": {"lines": [{"base": None, "first": True}]}}, "x"),
        ({"x": {"lines": [{"base": None, "first": 1, "last": None}]}}, "x"),
        ({"x": {"lines": [{"base": None, "first": 1, "at": "now"}]}}, "x"),
        ({"x": {"lines": [{"base": None, "first": 1, "more": 1}]}}, "x"),
        ({"x": {"merges": []}}, "x"),
        ({"x": {"merges": {"3": ["main", 2]}}}, "x"),
        ({"x": {"merges": {"3": [["main", 2, 1]]}}}, "x"),
        ({"$held": []}, "$held"),
        ({"$held": {"m": [["main", None]]}}, "$held"),
        ({"$other": {"m": "text"}}, "$other"),
        ({"$taken": []}, "$taken"),
        ({"$taken": {"k": {"take": "ours", "n": 1}}}, "$taken"),
        ({"$taken": {"k": {"take": "base"}}}, "$taken"),
        ({"$taken": {"k": {"take": "base", "n": 1, "more": 1}}}, "$taken"),
    ],
)
def test_what_is_no_record(value: Any, path: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_record(freeze(value))
    assert caught.value.path == path
