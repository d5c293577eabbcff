"""The three-way merge of values, its rules, and what it costs where only some places were touched."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_strategies import any_op, documents, model_apply_fitting

from palimpsest.state import encode_value, equal, freeze, ops, thaw
from palimpsest.state.conflicts import CONFLICT, Conflict
from palimpsest.state.diff import OPS_MAX, diff
from palimpsest.state.merge import Merged, merge, touched_by
from palimpsest.state.ops import decode_delta, encode_delta
from palimpsest.state.paths import format_path
from palimpsest.state.rules import parse_rules
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import INT_MAX
from palimpsest.state.working import apply_delta

MIRRORED = {"edit/delete": "delete/edit", "delete/edit": "edit/delete"}
RULES = st.dictionaries(
    st.sampled_from(["", "a", "b", "*", "*.a", "a.b", "*.*"]),
    st.sampled_from(["fail", "base", "sum", "max", "min", "diff3", "atomic", "union", "key:a", "ours", "theirs"]),
    max_size=3,
)
Trees = tuple[Any, Any, Any]
"""Base, ours, theirs: plain, or NOTHING."""
FAIR = ("fail", "base", "sum", "max", "min", "diff3", "atomic")
"""Rules under which neither side comes first."""


def frozen(value: Any) -> Any:
    return value if value is NOTHING else freeze(value)


def merged(base: Any, ours: Any, theirs: Any, rules: dict[str, str] | None = None, **more: Any) -> Merged:
    """Of plain values; checks what holds for every merge."""
    resolvers = {"longest": longest, "nobody": lambda conflict: CONFLICT}
    mine = frozen(ours)
    found = merge(frozen(base), mine, frozen(theirs), rules=parse_rules(rules or {}, resolvers), **more)
    delta = decode_delta(encode_delta(found.delta))
    if found.value is NOTHING:
        assert found.delta == []
    elif mine is NOTHING:
        (op,) = delta
        assert op == ops.Set((), thaw(found.value))
    else:
        assert encode_value(apply_delta(mine, delta)) == encode_value(found.value)
    for conflicts in (found.conflicts, found.settled):
        written = [[(type(step) is str, step) for step in conflict.path] for conflict in conflicts]
        assert written == sorted(written)
    return found


def longest(conflict: Conflict) -> Any:
    sides = [side for side in (conflict.ours, conflict.theirs) if side is not NOTHING]
    return max(sides, key=len)


def same(a: Any, b: Any) -> bool:
    """To the byte."""
    return a is b or (a is not NOTHING and b is not NOTHING and encode_value(a) == encode_value(b))


def kinds(found: Merged) -> dict[str, str]:
    return {format_path(conflict.path): conflict.kind for conflict in found.conflicts}


# --- without rules ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "value"),
    [
        ({"a": 1}, {"a": 1}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {}, {}),
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 1, "b": 2}, {"a": 1, "c": 3}, {"a": 1, "b": 2, "c": 3}),
        ({"a": None}, {}, {"a": None}, {}),
        ({}, {"a": None}, {}, {"a": None}),
        ({}, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": [1]}, {"a": {"x": {"p": 1}}}, {"a": {"x": {"q": 1}}}, {"a": {"x": {"p": 1, "q": 1}}}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 2, "y": 1}}, {"a": {"x": 1, "y": 2}}, {"a": {"x": 2, "y": 2}}),
        ({"a": {"x": 1}}, {"a": {"x": 1}}, {"a": 1}, {"a": 1}),
        ({"a": {"x": 1}}, {}, {"a": {"x": 1}}, {}),
        ({"a": [1, 2]}, {"a": [1, 2]}, {"a": [2, 3]}, {"a": [2, 3]}),
        ({"a": [1, 2]}, {"a": [2]}, {"a": [2]}, {"a": [2]}),
        ({"a": 1}, {"a": 1.0}, {"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": 1}, {"a": 1.0}, {"a": 1.0}),
        ({"a": [1]}, {"a": [1]}, {"a": [1.0]}, {"a": [1.0]}),
        ({"a": 2}, {"a": 1}, {"a": 1.0}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {"a": True}, {"a": True}),
        (1, 1, 2, 2),
        ("x", "y", "x", "y"),
        ([1], [1], [2], [2]),
        ([1], [1], {"a": 1}, {"a": 1}),
        (NOTHING, NOTHING, NOTHING, NOTHING),
        (NOTHING, NOTHING, {"a": 1}, {"a": 1}),
        (NOTHING, {"a": 1}, NOTHING, {"a": 1}),
        (NOTHING, {"a": 1}, {"a": 1}, {"a": 1}),
        (NOTHING, {"a": 1}, {"b": 1}, {"a": 1, "b": 1}),
        (NOTHING, NOTHING, None, None),
        ({"a": 1}, {"a": 1}, NOTHING, NOTHING),
        ({"a": 1}, NOTHING, {"a": 1}, NOTHING),
        ({"a": 1}, NOTHING, NOTHING, NOTHING),
    ],
)
def test_no_conflict(base: Any, ours: Any, theirs: Any, value: Any) -> None:
    found = merged(base, ours, theirs)
    assert (found.conflicts, found.settled) == ([], [])
    assert same(found.value, value)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "conflicts"),
    [
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": "edit/edit"}),
        ({"a": "x"}, {"a": "y"}, {"a": 3}, {"a": "edit/edit"}),
        ({"a": 1}, {"a": 1.0}, {"a": 3}, {"a": "edit/edit"}),
        ({"a": 1}, {"a": True}, {"a": 1.0}, {"a": "edit/edit"}),
        ({"a": 1}, {"a": None}, {}, {"a": "edit/delete"}),
        ({"a": 1}, {}, {"a": None}, {"a": "delete/edit"}),
        ({"a": {"x": 1}}, {"a": {"x": 2}}, {}, {"a": "edit/delete"}),
        ({"a": {"x": 1}}, {}, {"a": {"x": 1, "y": 2}}, {"a": "delete/edit"}),
        ({}, {"a": 1}, {"a": 2}, {"a": "add/add"}),
        ({}, {"a": 1}, {"a": None}, {"a": "add/add"}),
        ({}, {"a": {}}, {"a": []}, {"a": "add/add"}),
        ({}, {"a": [1]}, {"a": [2]}, {"a": "add/add"}),
        ({}, {"a": {"x": 1, "y": 0}}, {"a": {"x": 2, "z": 0}}, {"a.x": "add/add"}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 2}}, {"a.x": "add/add"}),
        ({"a": {"x": 1}}, {"a": {"x": 2}}, {"a": 1}, {"a": "type"}),
        ({"a": {"x": 1}}, {"a": [1]}, {"a": {"x": 2}}, {"a": "type"}),
        ({"a": [1]}, {"a": "1"}, {"a": [2]}, {"a": "type"}),
        ({"a": {"x": 1}}, {"a": 1}, {"a": 2}, {"a": "edit/edit"}),
        ({"a": {"x": 1}}, {"a": [1]}, {"a": [2]}, {"a": "edit/edit"}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [0, 1]}, {"a": "list"}),
        ({"a": [1]}, {"a": 1}, {"a": 2}, {"a": "edit/edit"}),
        (
            {"b": 1, "a": {"10": 1, "9": 1}, '"': 1},
            {"b": 2, "a": {"10": 2, "9": 2}, '"': 2},
            {"b": 3, "a": {"10": 3, "9": 3}, '"': 3},
            {'["\\""]': "edit/edit", 'a["10"]': "edit/edit", 'a["9"]': "edit/edit", "b": "edit/edit"},
        ),
        (1, 2, 3, {"": "edit/edit"}),
        ([1], [2], [3], {"": "list"}),
        ({"a": 1}, [1], {"a": 2}, {"": "type"}),
        ({"a": 1}, {"a": 2}, NOTHING, {"": "edit/delete"}),
        ({"a": 1}, NOTHING, {"a": 2}, {"": "delete/edit"}),
        (NOTHING, 1, 2, {"": "add/add"}),
        (NOTHING, {"a": 1}, {"a": 2}, {"a": "add/add"}),
    ],
)
def test_conflicts(base: Any, ours: Any, theirs: Any, conflicts: dict[str, str]) -> None:
    found = merged(base, ours, theirs)
    assert list(kinds(found).items()) == list(conflicts.items())
    assert (found.delta, found.settled) == ([], []) or len(found.conflicts) == 1
    mirrored = merged(base, theirs, ours)
    assert kinds(mirrored) == {path: MIRRORED.get(kind, kind) for path, kind in conflicts.items()}


def test_what_a_conflict_holds() -> None:
    (conflict,) = merged({"a": {"x": 1}}, {"a": {"x": 2}, "b": 1}, {"c": 1}).conflicts
    assert conflict.path == ("a",)
    assert (thaw(conflict.base), thaw(conflict.ours), conflict.theirs) == ({"x": 1}, {"x": 2}, NOTHING)


def test_where_a_conflict_is_open_the_value_has_what_ours_has() -> None:
    found = merged({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 3, "c": 3})
    assert thaw(found.value) == {"a": 2, "b": 3}
    assert kinds(found) == {"a": "edit/edit", "c": "delete/edit"}
    assert found.delta == [ops.Set(("b",), 3)]


# --- rules -----------------------------------------------------------------------------------------------------------

ABC = [{"id": "a", "n": 1}, {"id": "b", "n": 1}, {"id": "c", "n": 1}]


@pytest.mark.parametrize(
    ("rules", "base", "ours", "theirs", "value", "conflicts"),
    [
        ({"": "ours"}, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 3}, {"a": 2, "b": 3}, {}),
        ({"": "theirs"}, {"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 1}, {"a": 3, "b": 2}, {}),
        ({"": "base"}, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 3}, {"a": 1, "b": 3}, {}),
        ({"": "base"}, {}, {"a": 1}, {"a": 2}, {}, {}),
        ({"": "theirs"}, {"a": 1}, {"a": 2}, {}, {}, {}),
        ({"": "theirs"}, {"a": 1}, {}, {"a": 2}, {"a": 2}, {}),
        ({"": "theirs", "a": "fail"}, {"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}, {"a": "edit/edit"}),
        ({"": "theirs"}, {"a": 1}, NOTHING, {"a": 2}, {"a": 2}, {}),
        ({"": "theirs"}, {"a": 1}, {"a": 2}, NOTHING, NOTHING, {}),
        ({"": "base"}, NOTHING, 1, 2, NOTHING, {}),
        # counters
        ({"*": "sum"}, {"a": 5}, {"a": 6}, {"a": 8}, {"a": 9}, {}),
        ({"*": "sum"}, {"a": 5}, {"a": 6}, {"a": 6}, {"a": 7}, {}),
        ({"*": "sum"}, {"a": 5}, {"a": 5}, {"a": 6}, {"a": 6}, {}),
        ({"*": "sum"}, {}, {"a": 1}, {"a": 1}, {"a": 2}, {}),
        ({"*": "sum"}, {}, {"a": 1}, {}, {"a": 1}, {}),
        ({"*": "sum"}, {"a": 1}, {"a": 1.5}, {"a": 3}, {"a": 3.5}, {}),
        ({"*": "sum"}, {"a": 0}, {"a": INT_MAX}, {"a": INT_MAX}, {"a": INT_MAX}, {"a": "edit/edit"}),
        ({"*": "sum"}, {"a": 0.0}, {"a": 1e308}, {"a": 1e308}, {"a": 1e308}, {"a": "edit/edit"}),
        ({"*": "sum"}, {"a": 5}, {"a": 6}, {}, {"a": 6}, {"a": "edit/delete"}),
        ({"*": "sum"}, {"a": "x"}, {"a": 6}, {"a": 7}, {"a": 6}, {"a": "edit/edit"}),
        ({"*": "sum"}, {"a": "x"}, {"a": 6}, {"a": 6}, {"a": 6}, {}),
        ({"*": "sum"}, {"a": False}, {"a": True}, {"a": 2}, {"a": True}, {"a": "edit/edit"}),
        ({"*": "sum"}, {"a": "x"}, {"a": "y"}, {"a": "z"}, {"a": "y"}, {"a": "edit/edit"}),
        ({"*": "max"}, {"a": 5}, {"a": 6}, {"a": 4}, {"a": 6}, {}),
        ({"*": "min"}, {"a": 5}, {"a": 6}, {"a": 4.5}, {"a": 4.5}, {}),
        ({"*": "max"}, {"a": 5}, {"a": 5}, {"a": 4}, {"a": 4}, {}),
        ({"*": "max"}, {}, {"a": 5}, {"a": 6}, {"a": 6}, {}),
        ({"*": "max"}, {"a": 5}, {"a": True}, {"a": 6}, {"a": True}, {"a": "edit/edit"}),
        # one thing
        ({"a": "atomic"}, {"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}, {"a": {"x": 2}}, {"a": {"x": 1, "y": 2}}, {"a": "edit/edit"}),
        ({"a": "atomic"}, {"a": {"x": 1}}, {"a": {"x": 2}}, {"a": {"x": 2}}, {"a": {"x": 2}}, {}),
        ({"a": "atomic"}, {"a": {"x": 1}}, {"a": {"x": 1}}, {"a": {"x": 2}}, {"a": {"x": 2}}, {}),
        ({"a": "atomic"}, {"a": [1]}, {"a": [2]}, {"a": [3]}, {"a": [2]}, {"a": "list"}),
        ({"a": "atomic"}, {}, {"a": {"x": 2}}, {"a": {"y": 3}}, {"a": {"x": 2}}, {"a": "add/add"}),
        ({"": "atomic"}, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"": "edit/edit"}),
        ({"a": "atomic"}, {"a": {"x": {"p": 1}}}, {"a": {"x": {"p": 2}}}, {"a": {"x": {"q": 1}}}, {"a": {"x": {"p": 2}}}, {"a": "edit/edit"}),
        ({"*": "atomic"}, {"a": {}, "b": {}}, {"a": {"x": 1}, "b": {}}, {"a": {}, "b": {"x": 1}}, {"a": {"x": 1}, "b": {"x": 1}}, {}),
        # lists and texts
        ({"a": "union"}, {"a": ["p", "q"]}, {"a": ["q", "x"]}, {"a": ["p", "q", "y"]}, {"a": ["q", "x", "y"]}, {}),
        ({"a": "union"}, {}, {"a": ["x"]}, {"a": ["y"]}, {"a": ["x", "y"]}, {}),
        ({"a": "union"}, {"a": ["x"]}, {"a": ["y"]}, {}, {"a": ["y"]}, {"a": "edit/delete"}),
        ({"a": "union"}, {"a": ["x"]}, {"a": ["y"]}, {"a": "z"}, {"a": ["y"]}, {"a": "type"}),
        ({"a": "union"}, {"a": "x"}, {"a": "y"}, {"a": "z"}, {"a": "y"}, {"a": "edit/edit"}),
        ({"": "union"}, {"a": {"b": [1]}}, {"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, {"a": {"b": [1, 2, 3]}}, {}),
        ({"a": "diff3"}, {"a": [1, 2, 3]}, {"a": [0, 1, 2, 3]}, {"a": [1, 2]}, {"a": [0, 1, 2]}, {}),
        ({"a": "diff3"}, {"a": [1, 2, 3]}, {"a": [1, 9, 3]}, {"a": [1, 8, 3]}, {"a": [1, 9, 3]}, {"a": "list"}),
        ({"a": "diff3"}, {"a": "p\nq\nr\n"}, {"a": "P\nq\nr\n"}, {"a": "p\nq\nR\n"}, {"a": "P\nq\nR\n"}, {}),
        ({"a": "diff3"}, {"a": "p\n"}, {"a": "q\n"}, {"a": "r\n"}, {"a": "q\n"}, {"a": "edit/edit"}),
        ({"a": "diff3"}, {}, {"a": "q\n"}, {"a": "r\n"}, {"a": "q\n"}, {"a": "add/add"}),
        # elements
        (
            {"l": "key:id"},
            {"l": ABC},
            {"l": [{"id": "x"}, {"id": "a", "n": 2}, {"id": "c", "n": 1}]},
            {"l": [{"id": "a", "n": 1, "m": 1}, {"id": "y"}, {"id": "b", "n": 1}, {"id": "c", "n": 3}]},
            {"l": [{"id": "x"}, {"id": "a", "n": 2, "m": 1}, {"id": "y"}, {"id": "c", "n": 3}]},
            {},
        ),
        (
            {"l": "key:id"},
            {"l": ABC},
            {"l": [{"id": "c", "n": 2}, {"id": "a", "n": 1}]},
            {"l": [{"id": "b", "n": 5}, {"id": "c", "n": 3}]},
            {"l": [{"id": "c", "n": 2}]},
            {"l.0": "delete/edit", "l.0.n": "edit/edit"},
        ),
        ({"l": "key:id"}, {}, {"l": ABC[:1]}, {"l": ABC[1:]}, {"l": ABC}, {}),
        ({"l": "key:id"}, {}, {"l": [{"id": 1, "n": 1}]}, {"l": [{"id": 1, "n": 2}]}, {"l": [{"id": 1, "n": 1}]}, {"l.0.n": "add/add"}),
        ({"l": "key:id"}, {"l": [1]}, {"l": ABC[:1]}, {"l": ABC[1:]}, {"l": ABC[:1]}, {"l": "list"}),
        ({"l": "key:id"}, {"l": [1]}, {"l": [2]}, {"l": [2]}, {"l": [2]}, {}),
        ({"l": "key:id", "l.*.n": "sum"}, {"l": ABC[:1]}, {"l": [{"id": "a", "n": 3}]}, {"l": [{"id": "a", "n": 4}]}, {"l": [{"id": "a", "n": 6}]}, {}),
        ({"l": "key:id", "l.*.n": "sum"}, {"l": ABC[:1]}, {"l": [{"id": "a", "n": 2}]}, {"l": [{"id": "a", "n": 2}]}, {"l": [{"id": "a", "n": 3}]}, {}),
        ({"l": "key:id", "l.*": "atomic"}, {"l": ABC[:1]}, {"l": [{"id": "a", "n": 1, "x": 1}]}, {"l": [{"id": "a", "n": 1, "y": 1}]}, {"l": [{"id": "a", "n": 1, "x": 1}]}, {"l.0": "edit/edit"}),
        ({"": "key:id"}, [{"id": 1, "l": [{"id": 2}]}], [{"id": 1, "l": [{"id": 2}, {"id": 3}]}], [{"id": 1, "l": [{"id": 2, "x": 0}]}], [{"id": 1, "l": [{"id": 2, "x": 0}, {"id": 3}]}], {}),
        ({"l": "key:id", "l.0": "theirs"}, {"l": ABC[:1]}, {"l": []}, {"l": [{"id": "a", "n": 2}]}, {"l": [{"id": "a", "n": 2}]}, {}),
        ({"l": "key:id", "l.0": "theirs"}, {"l": ABC[:1]}, {"l": [{"id": "a", "n": 2}]}, {"l": []}, {"l": []}, {}),
        # resolvers
        ({"*": "longest"}, {"a": "x"}, {"a": "xx"}, {"a": "xxx"}, {"a": "xxx"}, {}),
        ({"*": "longest"}, {}, {"a": [1, 2, 3]}, {"a": [1]}, {"a": [1, 2, 3]}, {}),
        ({"*": "nobody"}, {"a": "x"}, {"a": "xx"}, {"a": "xxx"}, {"a": "xx"}, {"a": "edit/edit"}),
    ],
)  # fmt: skip
def test_rules(rules: dict[str, str], base: Any, ours: Any, theirs: Any, value: Any, conflicts: dict[str, str]) -> None:
    found = merged(base, ours, theirs, rules)
    assert kinds(found) == conflicts
    assert same(found.value, value)


def test_floats_add_up_alike_in_either_direction() -> None:
    sides = [{"a": 0.3}, {"a": 0.7000000000000001}]
    values = [merged({"a": 0.1}, *pair, {"": "sum"}).value["a"] for pair in (sides, sides[::-1])]
    assert values[0] == values[1]


def test_what_rules_decide_is_told() -> None:
    found = merged({"b": 1, "a": 1, "c": 1}, {"b": 2, "a": 2, "c": 2}, {"b": 3, "c": 3}, {"": "ours", "c": "fail"})
    assert [(conflict.path, conflict.kind) for conflict in found.settled] == [
        (("a",), "edit/delete"),
        (("b",), "edit/edit"),
    ]
    assert kinds(found) == {"c": "edit/edit"}


# --- settling --------------------------------------------------------------------------------------------------------


def test_settle_is_asked_where_rules_leave_a_conflict_open() -> None:
    asked: list[Conflict] = []

    def settle(conflict: Conflict) -> Any:
        asked.append(conflict)
        return {"a": CONFLICT, "b": NOTHING, "c": {"plain": [1]}, "d": conflict.theirs}[conflict.path[-1]]  # type: ignore[index]

    sides = [{key: [number] for key in "abcde"} for number in range(3)]
    found = merged(*sides, {"e": "theirs"}, settle=settle)
    assert [conflict.path for conflict in asked] == [("a",), ("b",), ("c",), ("d",)]
    assert thaw(found.value) == {"a": [1], "c": {"plain": [1]}, "d": [2], "e": [2]}
    assert kinds(found) == {"a": "list"}
    assert [conflict.path for conflict in found.settled] == [("b",), ("c",), ("d",), ("e",)]


def test_settling_the_whole() -> None:
    for value in (NOTHING, {"x": [1]}, 5):
        found = merged({"a": 1}, NOTHING, {"a": 2}, settle=lambda conflict, value=value: value)
        assert same(found.value, value)
        found = merged({"a": 1}, {"a": 2}, NOTHING, settle=lambda conflict, value=value: value)
        assert same(found.value, value)


def test_settling_an_element() -> None:
    sides = {"l": ABC}, {"l": ABC[1:]}, {"l": [{"id": "a", "n": 7}, *ABC[1:]]}
    for value, expected in ((NOTHING, ABC[1:]), ({"id": "a", "n": 0}, [{"id": "a", "n": 0}, *ABC[1:]])):
        found = merged(*sides, {"l": "key:id"}, settle=lambda conflict, value=value: value)
        assert thaw(found.value) == {"l": expected}
        assert [conflict.path for conflict in found.settled] == [("l", 0)]


# --- what always holds -----------------------------------------------------------------------------------------------


SCALARS = (None, True, 1, 1.0, 2, 0.5, -3, "", "x", "p\nq\nr\n", "P\nq\nr\n", "p\nq\nR\n")


def some_value(chance: random.Random, depth: int) -> Any:
    form = chance.randrange(depth + 2)
    if form < 2:
        return chance.choice(SCALARS)
    if chance.random() < 0.4:
        return [some_value(chance, depth - 1) for _ in range(chance.randint(0, 4))]
    return {key: some_value(chance, depth - 1) for key in chance.sample("abcd", chance.randint(0, 4))}


def some_edits(value: Any, chance: random.Random) -> Any:
    """value with something else at a place here and there, or more, or less."""
    if chance.random() < 0.1 or not isinstance(value, dict | list):
        return some_value(chance, 2) if chance.random() < 0.3 else value
    if isinstance(value, list):
        kept = [some_edits(item, chance) for item in value if chance.random() < 0.9]
        return [*kept, *(some_value(chance, 1) for _ in range(chance.randint(-2, 1)))]
    kept = {key: some_edits(item, chance) for key, item in value.items() if chance.random() < 0.9}
    return kept | {chance.choice("abcd"): some_value(chance, 2) for _ in range(chance.randint(-2, 1))}


def some_trees(seed: int) -> Trees:
    """A base and two sides that changed a few things; any of them may not exist."""
    chance = random.Random(seed)
    base = {key: some_value(chance, 3) for key in "abcd"} if chance.random() < 0.9 else some_value(chance, 2)
    return tuple(
        NOTHING if chance.random() < 0.05 else side
        for side in (base, some_edits(base, chance), some_edits(base, chance))
    )  # type: ignore[return-value]


TREES = st.integers(0, 2**32).map(some_trees)
"""Drawn by their seeds, which takes a hundredth of the time."""


@given(TREES, RULES)
def test_merging_nothing_changes_nothing(sides: Trees, rules: dict[str, str]) -> None:
    base, side, _ = sides
    for found, value in ((merged(base, side, base, rules), side), (merged(base, base, side, rules), side)):
        assert found.conflicts == []
        assert same(found.value, value)
    assert merged(base, side, base, rules).delta == []


@given(TREES)
def test_what_both_sides_did_is_agreed_on(sides: Trees) -> None:
    base, side, _ = sides
    found = merged(base, side, side)
    assert (found.delta, found.conflicts) == ([], [])


@given(TREES, RULES)
def test_after_a_merge_there_is_nothing_to_be_merged(sides: Trees, rules: dict[str, str]) -> None:
    base, ours, theirs = sides
    value = merged(base, ours, theirs, rules).value
    again = merged(theirs, value, theirs, rules)
    assert (again.delta, again.conflicts) == ([], [])
    assert same(again.value, value)
    assert same(merged(theirs, theirs, value, rules).value, value)


@given(TREES)
def test_the_same_merge_again_finds_the_same_conflicts(sides: Trees) -> None:
    base, ours, theirs = sides
    first = merged(base, ours, theirs)
    again = merged(base, first.value, theirs)
    assert again.delta == []
    assert kinds(again) == kinds(first)


@given(TREES, RULES)
def test_the_sides_may_be_exchanged(sides: Trees, rules: dict[str, str]) -> None:
    fair = {pattern: name if name in FAIR else "fail" for pattern, name in rules.items()}
    base, ours, theirs = sides
    found, other = merged(base, ours, theirs, fair), merged(base, theirs, ours, fair)
    assert kinds(other) == {path: MIRRORED.get(kind, kind) for path, kind in kinds(found).items()}
    for one, two in zip(found.conflicts, other.conflicts, strict=True):
        assert same(one.base, two.base)
        assert same(one.ours, two.theirs)
        assert same(one.theirs, two.ours)
    if not found.conflicts:
        assert found.value is other.value is NOTHING or equal(found.value, other.value)


@given(TREES)
def test_ours_and_theirs_are_mirrored(sides: Trees) -> None:
    base, ours, theirs = sides
    found, other = merged(base, ours, theirs, {"": "ours"}), merged(base, theirs, ours, {"": "theirs"})
    assert found.conflicts == other.conflicts == []
    assert found.value is other.value is NOTHING or equal(found.value, other.value)


@given(st.integers(0, 2**32), RULES)
def test_disjoint_edits_never_conflict(seed: int, rules: dict[str, str]) -> None:
    """Of the entries of one map, a few levels down, one side changes some, and the other one others."""
    chance = random.Random(seed)
    base, ours, theirs, both = {}, {}, {}, {}
    for key in "abcd":
        before = chance.choice((NOTHING, some_value(chance, 2)))
        after = chance.choice((NOTHING, some_value(chance, 2)))
        changed = chance.choice(((ours, both), (theirs, both)))
        for side in (base, ours, theirs, both):
            value = after if any(side is one for one in changed) else before
            if value is not NOTHING:
                side[key] = value
    for key in chance.sample("ab", chance.randint(0, 2)):
        base, ours, theirs, both = ({key: side, "other": 1} for side in (base, ours, theirs, both))
    fine = {pattern: "fail" if name == "atomic" else name for pattern, name in rules.items()}
    found = merged(base, ours, theirs, fine)
    assert found.conflicts == []
    assert same(found.value, both)


@given(TREES)
def test_a_dumb_model(sides: Trees) -> None:
    conflicts: list[Any] = []
    value = model(*sides, (), conflicts)
    found = merged(*sides)
    assert [conflict.path for conflict in found.conflicts] == sorted(conflicts)
    assert same(found.value, value)


def model(base: Any, ours: Any, theirs: Any, path: Any, conflicts: list[Any]) -> Any:
    if same(base, theirs) or same(base, ours):
        return ours if same(base, theirs) else theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        before = base if isinstance(base, dict) else {}
        entries = {
            key: model(*(side.get(key, NOTHING) for side in (before, ours, theirs)), (*path, key), conflicts)
            for key in {**before, **ours, **theirs}
        }
        return {key: item for key, item in entries.items() if item is not NOTHING}
    if not (ours is theirs or (NOTHING not in (ours, theirs) and equal(ours, theirs))):
        conflicts.append(path)
    return ours


@given(st.integers(0, 2**32), RULES)
def test_elements_by_key_merge_as_maps_do(seed: int, rules: dict[str, str]) -> None:
    """A list of maps that have a key each is merged as the map of these maps."""
    chance = random.Random(seed)
    base = {key: {"a": some_value(chance, 2), "b": some_value(chance, 2)} for key in "pqr"}
    maps = [{key: {**item, "id": key} for key, item in base.items()} for _ in range(3)]
    for side in maps[1:]:
        for key in chance.sample("pqrst", 3):
            side[key] = {name: some_edits(item, chance) for name, item in base.get(key, {"c": 1}).items()} | {"id": key}
        side.pop(chance.choice("pqrst"), None)
    lists = [chance.sample(list(side.values()), len(side)) for side in maps]
    inside = {"*.*": "fail", **{f"*.{pattern}": name for pattern, name in rules.items() if pattern}}
    as_maps, as_lists = merged(*maps, inside), merged(*lists, {"": "key:id", **inside})
    assert len(as_lists.conflicts) == len(as_maps.conflicts)
    assert len(as_lists.settled) == len(as_maps.settled)
    assert same({item["id"]: item for item in as_lists.value}, as_maps.value)


# --- what was touched ------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.data(), documents(), RULES)
def test_touched_changes_nothing_whatever_the_ops(data: st.DataObject, base: Any, rules: dict[str, str]) -> None:
    (ours, mine), (theirs, other) = (
        model_apply_fitting(base, data.draw(st.lists(any_op(base), max_size=5))) for _ in range(2)
    )
    found = merged(base, ours, theirs, rules)
    for touched in (touched_by([other]), touched_by([mine, other]), touched_by([[op] for op in other])):
        limited = merged(base, ours, theirs, rules, touched=touched)
        assert encode_delta(limited.delta) == encode_delta(found.delta)
        assert same(limited.value, found.value)
        assert kinds(limited) == kinds(found)


@given(TREES, RULES)
def test_touched_changes_nothing(sides: Trees, rules: dict[str, str]) -> None:
    base, ours, theirs = sides
    if NOTHING in sides:
        return
    found = merged(base, ours, theirs, rules)
    for deltas in ([diff(base, theirs)], [diff(base, ours), diff(base, theirs)]):
        limited = merged(base, ours, theirs, rules, touched=touched_by(deltas))
        assert encode_delta(limited.delta) == encode_delta(found.delta)
        assert same(limited.value, found.value)
        assert kinds(limited) == kinds(found)


@pytest.mark.parametrize(
    ("delta", "touched"),
    [
        ([], {}),
        ([ops.Set(("a", "b"), 1)], {"a": {"b": None}}),
        ([ops.Set(("a", "b"), 1), ops.Delete(("a", "c")), ops.Increment(("d",), 1)], {"a": {"b": None, "c": None}, "d": None}),
        ([ops.Set(("a", "b"), 1), ops.Replace(("a",), 1)], {"a": None}),
        ([ops.Replace(("a",), 1), ops.Set(("a", "b"), 1)], {"a": None}),
        ([ops.Set(("a", "l", 0, "b"), 1)], {"a": {"l": None}}),
        ([ops.Append(("l",), 1)], {"l": None}),
        ([ops.Insert(("a", "l"), 0, 1), ops.Remove(("a", "m"), 0)], {"a": {"l": None, "m": None}}),
        ([ops.Move(("a", "b"), ("c",)), ops.Copy(("l", 0), ("d",))], {"a": {"b": None}, "c": None, "l": None, "d": None}),
        ([ops.Splice(("t",), (ops.Edit(0, 0, "x"),))], {"t": None}),
        ([ops.Test(("a",), 1), ops.Absent(("b",))], {}),
        ([ops.Set(("a",), 1), ops.Set((), 1)], None),
        ([ops.Set((0, "a"), 1)], None),
        ([ops.Append((), 1)], None),
        ([ops.Erase(("a",))], None),
    ],
    ids=repr,
)  # fmt: skip
def test_touched_by(delta: list[Any], touched: Any) -> None:
    assert touched_by([delta]) == touched
    assert touched_by([[op] for op in delta]) == touched


def test_nothing_is_looked_at_but_what_was_touched() -> None:
    base = {"a": {"b": 1, "c": 1}, "d": 1}
    theirs = {"a": {"b": 2, "c": 2}, "d": 2}
    found = merged(base, base, theirs, touched={"a": {"b": None, "gone": None}})
    assert thaw(found.value) == {"a": {"b": 2, "c": 1}, "d": 1}


def test_where_base_has_no_map_everything_is_looked_at() -> None:
    for base in ({}, {"a": 1}, {"a": []}):
        found = merged(base, {"a": {"x": 1}}, {"a": {"y": 1}}, touched={"a": {"y": None}})
        assert thaw(found.value) == {"a": {"x": 1, "y": 1}}


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_the_value_shares_what_did_not_change() -> None:
    base: Any = freeze({"a": {"x": [1]}, "b": {"y": 1}, "l": [{"z": 1}, 2]})
    ours = apply_delta(base, [ops.Set(("b", "y"), 2)])
    theirs = apply_delta(base, [ops.Set(("c",), 3), ops.Append(("l",), 3)])
    value = merge(base, ours, theirs).value
    assert value["a"] is ours["a"]
    assert value["b"] is ours["b"]
    assert value["l"][0] is ours["l"][0]
    assert merge(base, ours, base).value is ours


def test_the_delta_of_a_long_list_or_text_is_small() -> None:
    lines = [f"line {number} of a long text\n" for number in range(1_000)]
    base = {"l": list(range(1_000)), "t": "".join(lines)}
    ours = {"l": [-1, *range(1_000)], "t": "".join(["first\n", *lines])}
    theirs = {"l": [*range(999)], "t": "".join(lines[:-1])}
    for rules in ({}, {"": "diff3"}):
        mine = base if not rules else ours
        found = merged(base, mine, theirs, rules)
        assert found.conflicts == []
        assert len(encode_delta(found.delta)) < 100
        assert len(found.value["l"]) == (999 if not rules else 1_000)


def test_more_changes_than_a_delta_holds() -> None:
    base = {"n": 0, **{f"k{number}": number for number in range(OPS_MAX + 1)}}
    theirs = {key: number + 1 for key, number in base.items()}
    found = merged(base, {**base, "n": 7, "own": 1}, {**theirs, "n": 0})
    assert len(found.delta) <= OPS_MAX
    assert thaw(found.value) == {**theirs, "n": 7, "own": 1}


def test_as_deep_as_the_sides_are() -> None:
    def deep(inner: Any) -> Any:
        for _ in range(200):
            inner = {"a": inner}
        return inner

    found = merge(*(freeze(deep(inner)) for inner in ({}, {"x": 1}, {"y": 1})))
    assert same(found.value, deep({"x": 1, "y": 1}))
