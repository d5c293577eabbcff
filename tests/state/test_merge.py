from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import documents, plain_values, some_op

from palimpsest.errors import DeltaFailed, InvalidDelta, LimitExceeded
from palimpsest.state.conflicts import CONFLICT, Conflict
from palimpsest.state.merge import Merged, merge, touched_by
from palimpsest.state.ops import Append, Copy, Delete, Erase, Increment, Insert, Move, Op, Set, Test
from palimpsest.state.rules import parse_rules
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import encode_value, equal, freeze, thaw
from palimpsest.state.working import apply_delta

MAYBE = st.one_of(documents().map(freeze), documents().map(freeze), documents().map(freeze), st.just(NOTHING))
MIRRORED = {"edit/delete": "delete/edit", "delete/edit": "edit/delete"}


def merged(base: Any, ours: Any, theirs: Any, **options: Any) -> Merged:
    """What `merge` says, with the delta held against the value."""
    found = merge(freeze(base), freeze(ours), freeze(theirs), **options)
    if found.value is NOTHING:
        assert found.delta == []
    elif ours is NOTHING:
        assert apply_delta(None, found.delta) == found.value
    else:
        assert encode_value(apply_delta(freeze(ours), found.delta)) == encode_value(found.value)
    return found


def value(found: Merged) -> Any:
    assert found.conflicts == []
    return found.value if found.value is NOTHING else thaw(found.value)


def same(a: Any, b: Any) -> bool:
    return a is b or (a is not NOTHING and b is not NOTHING and equal(a, b))


def clash(base: Any, ours: Any, theirs: Any, **options: Any) -> Conflict:
    found = merged(base, ours, theirs, **options)
    (conflict,) = found.conflicts
    assert same(found.value, freeze(ours))
    return conflict


# --- laws ------------------------------------------------------------------------------------------------------------


@given(MAYBE, MAYBE, MAYBE)
def test_exchanging_the_sides_exchanges_them_in_what_comes_out(base: Any, a: Any, b: Any) -> None:
    one, other = merged(base, a, b), merged(base, b, a)
    mirrored = [
        Conflict(found.path, MIRRORED.get(found.kind, found.kind), found.base, found.theirs, found.ours)  # type: ignore[arg-type]
        for found in other.conflicts
    ]
    assert one.conflicts == mirrored
    if not one.conflicts:
        assert same(one.value, other.value)


@given(MAYBE, MAYBE)
def test_merging_nothing_changes_nothing(base: Any, ours: Any) -> None:
    assert merged(base, ours, base) == Merged([], ours, [], [])
    taken = merged(base, base, ours)
    assert taken.conflicts == []
    assert taken.value is ours is NOTHING or encode_value(taken.value) == encode_value(ours)
    assert merged(base, ours, ours).delta == []


@given(MAYBE, MAYBE, MAYBE)
def test_a_merge_after_a_merge_changes_nothing(base: Any, ours: Any, theirs: Any) -> None:
    found = merged(base, ours, theirs)
    again = merged(theirs, found.value, theirs)
    assert (again.delta, again.conflicts) == ([], [])
    # And into the other direction it gives the same value: what was merged is the base there.
    if not found.conflicts:
        assert same(merged(theirs, theirs, found.value).value, found.value)


@given(st.dictionaries(st.sampled_from("abcdef"), plain_values()), st.data())
def test_what_does_not_meet_never_conflicts(base: dict[str, Any], data: st.DataObject) -> None:
    keys = data.draw(st.permutations("abcdefgh"))
    mine, other = keys[:4], keys[4:]
    sides: list[dict[str, Any]] = []
    for own in (mine, other):
        side = dict(base)
        for key in own:
            change = data.draw(st.sampled_from(["keep", "delete", "set"]))
            if change == "delete":
                side.pop(key, None)
            elif change == "set":
                side[key] = data.draw(plain_values())
        sides.append(side)
    expected = {key: sides[0][key] for key in mine if key in sides[0]} | {
        key: sides[1][key] for key in other if key in sides[1]
    }
    assert encode_value(freeze(value(merged(base, *sides)))) == encode_value(freeze(expected))


@given(documents(), st.data())
def test_looking_only_where_something_was_touched_gives_the_same(plain: Any, data: st.DataObject) -> None:
    base = freeze(plain)
    ours, _ = some_change(base, data)
    theirs, delta = some_change(base, data)
    whole = merged(base, ours, theirs)
    some = merged(base, ours, theirs, touched=touched_by([delta]))
    assert (some.conflicts, encode_value(some.value)) == (whole.conflicts, encode_value(whole.value))


def some_change(base: Any, data: st.DataObject) -> tuple[Any, list[Op]]:
    applied: list[Op] = []
    value = base
    for _ in range(data.draw(st.integers(0, 4))):
        op = data.draw(some_op(thaw(value)).filter(lambda op: type(op).__name__ not in ("JsonPatch", "MergePatch")))
        try:
            value = apply_delta(value, [op])
        except (DeltaFailed, InvalidDelta, LimitExceeded):
            continue
        applied.append(op)
    return value, applied


# --- conflicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "path", "kind"),
    [
        ({"a": 1}, {"a": 2}, {"a": 3}, ("a",), "edit/edit"),
        ({"a": 1}, {"a": 2}, {}, ("a",), "edit/delete"),
        ({"a": 1}, {}, {"a": 2}, ("a",), "delete/edit"),
        ({}, {"a": 1}, {"a": 2}, ("a",), "add/add"),
        ({}, {"a": None}, {"a": 0}, ("a",), "add/add"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {"a": 7}, ("a",), "type"),
        ({"a": [1]}, {"a": {}}, {"a": [2]}, ("a",), "type"),
        ({"a": [1]}, {"a": [2]}, {"a": [3]}, ("a",), "list"),
        ({"a": [1]}, {"a": 1}, {"a": 2}, ("a",), "edit/edit"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {}, ("a",), "edit/delete"),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 1}}, {"a": {"b": 3, "c": 4}}, ("a", "b"), "edit/edit"),
        ({"a": 1}, {"a": 2}, NOTHING, (), "edit/delete"),
        (NOTHING, 1, 2, (), "add/add"),
    ],
)
def test_conflicts_are_at_the_innermost_place(base: Any, ours: Any, theirs: Any, path: Any, kind: str) -> None:
    found = merged(base, ours, theirs)
    (conflict,) = found.conflicts
    assert (conflict.path, conflict.kind) == (path, kind)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {}, {}),
        ({"a": None}, {}, {"a": None}, {}),
        ({}, {"a": None}, {}, {"a": None}),
        ({"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}, {"a": {}}, {"a": {"y": 2}}),
        (NOTHING, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": 1}, NOTHING, {"a": 1}, NOTHING),
        ({"a": 1}, {"a": 1}, NOTHING, NOTHING),
        (NOTHING, NOTHING, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {"a": 1.0}, {"a": 1.0}),
        ({"a": 1}, {"a": True}, {"a": 1}, {"a": True}),
    ],
)
def test_what_agrees(base: Any, ours: Any, theirs: Any, expected: Any) -> None:
    found = value(merged(base, ours, theirs))
    assert found is expected or encode_value(freeze(found)) == encode_value(freeze(expected))


def test_the_delta_is_as_small_as_the_change() -> None:
    base = {"text": "x" * 1_000, "list": list(range(100)), "map": {"a": 1}}
    theirs = {"text": "x" * 500 + "y" + "x" * 500, "list": [*range(100), 100], "map": {"a": 1, "b": {"c": 2}}}
    found = merged(base, {**base, "more": 1}, theirs)
    assert [type(op).__name__ for op in found.delta] == ["Append", "Set", "Splice"]


# --- rules and resolutions -------------------------------------------------------------------------------------------


def ruled(base: Any, ours: Any, theirs: Any, **rules: str) -> Merged:
    return merged(base, ours, theirs, rules=parse_rules({name.replace("_", "."): rule for name, rule in rules.items()}))


@pytest.mark.parametrize(
    ("rule", "expected"), [("ours", 2), ("theirs", 3), ("base", 1), ("max", 3), ("min", 2), ("sum", 4)]
)
def test_a_rule_decides(rule: str, expected: int) -> None:
    assert value(ruled({"a": 1}, {"a": 2}, {"a": 3}, a=rule)) == {"a": expected}
    only = ruled({"a": 1}, {"a": 1}, {"a": 3}, a=rule)
    assert value(only) == {"a": 3}, "a rule is for what both sides changed"


def test_a_rule_that_takes_a_side_may_delete() -> None:
    assert value(ruled({"a": 1}, {"a": 2}, {}, a="theirs")) == {}
    assert value(ruled({}, {"a": 1}, {"a": 2}, a="base")) == {}
    assert value(merged({"a": 1}, {"a": 2}, NOTHING, rules=parse_rules({"": "theirs"}))) is NOTHING


def test_counters_add_up() -> None:
    assert value(ruled({"n": 5}, {"n": 6}, {"n": 6}, n="sum")) == {"n": 7}
    assert value(ruled({}, {"n": 2}, {"n": 3}, n="sum")) == {"n": 5}
    assert value(ruled({"n": 1.5}, {"n": 2}, {"n": 1.0}, n="sum")) == {"n": 1.5}
    assert ruled({"n": 0}, {"n": 2**64 - 1}, {"n": 1}, n="sum").conflicts
    assert ruled({"n": 0}, {"n": "x"}, {"n": 1}, n="sum").conflicts
    assert ruled({"n": True}, {"n": 2}, {"n": 3}, n="sum").conflicts


def test_a_container_can_be_one_thing() -> None:
    base, ours, theirs = {"m": {"a": 1, "b": 1}}, {"m": {"a": 2, "b": 1}}, {"m": {"a": 1, "b": 2}}
    assert value(merged(base, ours, theirs)) == {"m": {"a": 2, "b": 2}}
    (conflict,) = ruled(base, ours, theirs, m="atomic").conflicts
    assert (conflict.path, conflict.kind) == (("m",), "edit/edit")


def test_lists_as_sets() -> None:
    assert value(ruled({"t": ["a", "b"]}, {"t": ["a", "c"]}, {"t": ["d", "a", "b"]}, t="union")) == {
        "t": ["a", "c", "d"]
    }
    assert value(ruled({}, {"t": [1]}, {"t": [2]}, t="union")) == {"t": [1, 2]}
    assert ruled({"t": 1}, {"t": [1]}, {"t": [2]}, t="union").conflicts


def test_lists_of_maps_by_key() -> None:
    base = {"l": [{"id": 1, "n": 1, "m": 1}, {"id": 2}]}
    ours = {"l": [{"id": 2}, {"id": 1, "n": 2, "m": 1}, {"id": 3}]}
    theirs = {"l": [{"id": 1, "n": 1, "m": 5}, {"id": 4}]}
    expected = {"l": [{"id": 1, "n": 2, "m": 5}, {"id": 4}, {"id": 3}]}
    assert value(ruled(base, ours, theirs, l="key:id")) == expected
    clashing = ruled(base, ours, {"l": [{"id": 1, "n": 9, "m": 1}, {"id": 2}]}, l="key:id")
    assert [(conflict.path, conflict.kind) for conflict in clashing.conflicts] == [(("l", 1, "n"), "edit/edit")]
    gone = ruled(base, ours, {"l": [{"id": 2}]}, l="key:id")
    assert [(conflict.path, conflict.kind) for conflict in gone.conflicts] == [(("l", 1), "edit/delete")]
    for bad in ([{"id": 1}, {"id": 1}], [{"x": 1}], [1], [{"id": []}]):
        assert [found.kind for found in ruled(base, ours, {"l": bad}, l="key:id").conflicts] == ["list"]


def test_an_element_that_is_one_thing_and_goes() -> None:
    base, ours, theirs = ({"l": [{"id": 1, "n": n}, {"id": 2}]} for n in (1, 2, 3))
    rules = parse_rules({"l": "key:id", "l.*": "atomic"})
    found = merged(base, ours, theirs, rules=rules, settle=lambda conflict: NOTHING)
    assert value(found) == {"l": [{"id": 2}]}
    assert [conflict.path for conflict in found.settled] == [("l", 0)]


def test_changes_of_lists_and_texts_that_do_not_meet() -> None:
    assert value(ruled({"l": [1, 2, 3, 4]}, {"l": [0, 1, 2, 3, 4]}, {"l": [1, 2, 3, 5]}, l="diff3")) == {
        "l": [0, 1, 2, 3, 5]
    }
    text = value(ruled({"t": "a\nb\nc\nd\n"}, {"t": "A\nb\nc\nd\n"}, {"t": "a\nb\nc\nD"}, t="diff3"))
    assert text == {"t": "A\nb\nc\nD"}
    assert [found.kind for found in ruled({"t": "a\nb\n"}, {"t": "A\nb\n"}, {"t": "a\nB\n"}, t="diff3").conflicts] == [
        "edit/edit"
    ]
    assert [found.kind for found in ruled({"l": [1]}, {"l": [1, 2]}, {"l": [1, 3]}, l="diff3").conflicts] == ["list"]
    assert value(ruled({"l": [1, 2, 3]}, {"l": [9, 2, 3, 4]}, {"l": [9, 2, 3]}, l="diff3")) == {"l": [9, 2, 3, 4]}


def test_a_rule_holds_inside_and_the_longer_one_wins() -> None:
    base, ours, theirs = ({"m": {"a": n, "b": {"c": n}}} for n in (1, 2, 3))
    assert value(ruled(base, ours, theirs, m="ours", m_b_c="theirs")) == {"m": {"a": 2, "b": {"c": 3}}}
    rules = parse_rules({"m.*": "ours", "m.a": "theirs"})
    assert value(merged(base, ours, theirs, rules=rules)) == {"m": {"a": 3, "b": {"c": 2}}}


def test_a_resolver_decides_or_does_not() -> None:
    def longest(conflict: Conflict) -> Any:
        if type(conflict.ours) is not str:
            return CONFLICT
        return max(conflict.ours, conflict.theirs, key=len)

    rules = parse_rules({"": "longest"}, {"longest": longest})
    found = merged({"a": "", "b": 0}, {"a": "xx", "b": 1}, {"a": "y", "b": 2}, rules=rules)
    assert found.value["a"] == "xx"
    assert [conflict.path for conflict in found.conflicts] == [("b",)]
    assert [conflict.path for conflict in found.settled] == [("a",)]


def test_what_was_decided_before_is_asked_for() -> None:
    answers: dict[Any, Any] = {("a",): 9, ("b",): NOTHING, ("c",): {"x": 1}}
    sides = (dict.fromkeys("abcd", n) for n in (1, 2, 3))
    found = merged(*sides, settle=lambda conflict: answers.get(conflict.path, CONFLICT))
    assert thaw(found.value) == {"a": 9, "c": {"x": 1}, "d": 2}
    assert [conflict.path for conflict in found.conflicts] == [("d",)]


# --- what was touched ------------------------------------------------------------------------------------------------


def test_what_ops_touch() -> None:
    delta: list[Op] = [
        Set(("a", "b"), 1),
        Increment(("n",), 1),
        Append(("l",), 1),
        Insert(("m", "l"), 0, 1),
        Delete(("x", "y", 3, "z")),
        Test(("t",), 1),
        Move(("to",), ("from", "here")),
        Copy(("copied",), ("from", "there")),
    ]
    touched = {"a": {"b": None}, "n": None, "l": None, "m": {"l": None}, "x": {"y": None}, "to": None, "copied": None}
    assert touched_by([delta[:3], delta[3:]]) == {**touched, "from": {"here": None, "there": None}}
    assert touched_by([[Set(("a",), 1), Set(("a", "b"), 1)]]) == {"a": None}
    assert touched_by([]) == {}


@pytest.mark.parametrize("op", [Set((), 1), Append((), 1), Set((0, "a"), 1), Erase(("a",))])
def test_what_touches_everything(op: Op) -> None:
    assert touched_by([[Set(("a",), 1)], [op]]) is None


def test_the_cost_follows_what_was_touched() -> None:
    """Counted in entries that are looked at, not in time: of ten thousand, the other ones are in nobody's way."""
    base = freeze({f"k{number}": {"n": number} for number in range(10_000)})
    theirs_delta: list[Op] = [Set(("k5", "n"), -1)]
    ours, theirs = apply_delta(base, [Set(("k7", "n"), -1)]), apply_delta(base, theirs_delta)
    found = merge(base, ours, theirs, touched=touched_by([theirs_delta]))
    assert found.delta == [Set(("k5", "n"), -1)]
    assert found.value["k9"] is base["k9"]
