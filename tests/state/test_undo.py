"""Taking one version back, and keeping those after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import documents, model_apply_fitting, plain_values, some_op

from palimpsest.errors import DeltaFailed
from palimpsest.state import apply_delta, encode_value, freeze, ops, thaw
from palimpsest.state.conflicts import Conflict
from palimpsest.state.ops import Edit, Op
from palimpsest.state.tree import NOTHING
from palimpsest.state.undo import undo


def made(value: Any, *deltas: Sequence[Op]) -> list[Any]:
    """value, and what each delta in turn makes of it; frozen."""
    values = [freeze(value)]
    for delta in deltas:
        values.append(apply_delta(values[-1], list(delta)))
    return values


def undone(value: Any, delta: Sequence[Op], *later: Sequence[Op]) -> Any:
    """value after delta and what came later, with delta taken back; or the kinds and paths of the conflicts."""
    before, after, *rest = made(value, delta, *later)
    current = rest[-1] if rest else after
    inverse, conflicts = undo(before, delta, after, current)
    if conflicts:
        return [(each.kind, each.path) for each in conflicts]
    return thaw(apply_delta(current, inverse))


@given(st.data(), documents())
def test_of_the_newest_version_gives_what_was_before(data: st.DataObject, value: Any) -> None:
    _, delta = model_apply_fitting(value, data.draw(st.lists(some_op(value), max_size=6)))
    before, after = made(value, delta)
    inverse, conflicts = undo(before, delta, after, after)
    assert not conflicts
    assert encode_value(apply_delta(after, inverse)) == encode_value(value)


@given(st.data(), documents(), plain_values())
def test_beside_a_change_elsewhere(data: st.DataObject, value: Any, other: Any) -> None:
    """What was done to the one half is taken back, and what was done to the other half stays."""
    _, mine = model_apply_fitting(value, data.draw(st.lists(some_op(value), max_size=6)))
    _, theirs = model_apply_fitting(other, data.draw(st.lists(some_op(other), max_size=4)))
    both = {"mine": value, "theirs": other}
    mine, theirs = within("mine", mine), within("theirs", theirs)
    before, after, current = made(both, mine, theirs)
    inverse, conflicts = undo(before, mine, after, current)
    assert not conflicts
    assert encode_value(apply_delta(current, inverse)) == encode_value(apply_delta(before, theirs))


def within(key: str, delta: Sequence[Op]) -> list[Op]:
    """The same ops, for the value at key."""
    found: list[Any] = []
    for op in delta:
        changes: dict[str, Any] = {"path": (key, *op.path)}  # type: ignore[union-attr]
        if type(op) is ops.Move or type(op) is ops.Copy:
            changes["source"] = (key, *op.source)
        fields = {name: getattr(op, name) for name in op.__struct_fields__}
        found.append(type(op)(**{**fields, **changes}))
    return found


@given(st.data(), documents())
def test_never_does_anything_by_half(data: st.DataObject, value: Any) -> None:
    """Whatever came after: either there is a conflict, or the ops fit; and then what the version did alone is gone."""
    after_mine, mine = model_apply_fitting(value, data.draw(st.lists(some_op(value), max_size=4)))
    _, later = model_apply_fitting(after_mine, data.draw(st.lists(some_op(after_mine), max_size=4)))
    before, after, current = made(value, mine, later)
    inverse, conflicts = undo(before, mine, after, current)
    assert len({each.path for each in conflicts}) == len(conflicts)
    if not conflicts:
        there = apply_delta(current, inverse)
        again, conflicts = undo(current, inverse, there, there)
        assert not conflicts
        assert encode_value(apply_delta(there, again)) == encode_value(current)


KEYS = st.sampled_from("abc")
CHANGES = st.lists(st.tuples(KEYS, KEYS, st.integers(1, 9)), min_size=1, max_size=8)


@given(CHANGES, st.data())
def test_of_disjoint_changes_gives_what_all_others_make(
    changes: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    """Each counts in a place that others count in too, or sets one of its own, and makes the maps that these need."""
    deltas: list[list[Op]] = [
        [ops.Increment(("n", a, b), by) if by % 2 else ops.Set(("m", a, b, str(at)), by)]
        for at, (a, b, by) in enumerate(changes)
    ]
    at = data.draw(st.integers(0, len(deltas) - 1))
    values = made({}, *deltas)
    inverse, conflicts = undo(values[at], deltas[at], values[at + 1], values[-1])
    assert not conflicts
    others = made({}, *deltas[:at], *deltas[at + 1 :])[-1]
    assert encode_value(apply_delta(values[-1], inverse)) == encode_value(others)


@given(st.lists(st.integers(0, 30), unique=True, min_size=2, max_size=8), st.data())
def test_elements_that_are_told_apart(items: list[int], data: st.DataObject) -> None:
    """Of distinct elements, one goes and some others come and go since: the one comes back, next to what was before it."""
    gone = data.draw(st.sampled_from(items))
    rest = [item for item in items if item != gone]
    now = [item for item in rest if data.draw(st.booleans())]
    for new in data.draw(st.lists(st.integers(100, 130), unique=True, max_size=4)):
        now.insert(data.draw(st.integers(0, len(now))), new)
    removed = [ops.Remove(("l",), items.index(gone))]
    found = undone({"l": items}, removed, [ops.Set(("l",), now)])
    if isinstance(found, dict):
        assert [item for item in found["l"] if item != gone] == now
        added = [ops.Insert(("l",), items.index(gone), gone)]
        back = undone({"l": rest}, added, [ops.Set(("l",), found["l"])])
        assert back == {"l": now}


VALUE: Any = {"n": 1, "s": "one two three", "l": [1, 2, 3], "m": {"k": "v", "x": {"y": 1}}, "z": None}


@pytest.mark.parametrize(
    ("delta", "later", "result"),
    [
        # What came later lies elsewhere, or does not mind.
        ([ops.Set(("n",), 2)], [ops.Set(("z",), 1)], {"n": 1, "z": 1}),
        ([ops.Set(("n",), 2)], [ops.Set(("n",), 1)], {"n": 1}),
        ([ops.Set(("n",), 1)], [ops.Set(("n",), 7)], {"n": 7}),
        ([ops.Increment(("n",), 4)], [ops.Increment(("n",), 5)], {"n": 6}),
        ([ops.Increment(("n",), 4)], [ops.Increment(("n",), -4)], {"n": -3}),
        ([ops.Increment(("c",), 4)], [ops.Increment(("c",), 5)], {"c": 5}),
        ([ops.Increment(("d", "c"), 4)], [ops.Increment(("d", "c"), 5)], {"d": {"c": 5}}),
        ([ops.Increment(("d", "c"), 4)], [ops.Increment(("d", "e"), 5)], {"d": {"e": 5}}),
        ([ops.Set(("new", "a"), 1)], [ops.Set(("new", "b"), 2)], {"new": {"b": 2}}),
        ([ops.Set(("new", "a"), 1)], [ops.Delete(("new", "a"))], {"new": NOTHING}),
        ([ops.Set(("new", "a"), 1)], [ops.Delete(("new",))], {"new": NOTHING}),
        ([ops.Set(("m", "k"), 1)], [ops.Set(("m", "x", "y"), 2)], {"m": {"k": "v", "x": {"y": 2}}}),
        ([ops.Set(("m",), {"k": 1, "x": {"y": 1}})], [ops.Set(("m", "a"), 2)], {"m": {"k": "v", "x": {"y": 1}, "a": 2}}),
        ([ops.Set((), {"m": 1})], [ops.Set(("b",), 2)], {**VALUE, "b": 2}),
        ([ops.Append(("l",), 4)], [ops.Append(("l",), 5)], {"l": [1, 2, 3, 5]}),
        ([ops.Append(("l",), 4)], [ops.Insert(("l",), 0, 0)], {"l": [0, 1, 2, 3]}),
        ([ops.Append(("l",), 4)], [ops.Remove(("l",), 3)], {"l": [1, 2, 3]}),
        ([ops.Append(("l",), 4)], [ops.Delete(("l",))], {"l": NOTHING}),
        ([ops.Remove(("l",), 1)], [ops.Append(("l",), 4)], {"l": [1, 2, 3, 4]}),
        ([ops.Remove(("l",), 1)], [ops.Insert(("l",), 0, 0)], {"l": [0, 1, 2, 3]}),
        ([ops.Remove(("l",), 1)], [ops.Remove(("l",), 0)], {"l": [2, 3]}),
        ([ops.Remove(("l",), 0)], [ops.Set(("l",), [])], {"l": [1]}),
        ([ops.Set(("l", 1), 9)], [ops.Insert(("l",), 0, 0)], {"l": [0, 1, 2, 3]}),
        ([ops.Set(("l", 1), 9)], [ops.Move(("l", 1), ("l", 0))], {"l": [2, 1, 3]}),
        ([ops.Move(("l", 0), ("l", 2))], [ops.Append(("l",), 4)], {"l": [1, 2, 3, 4]}),
        ([ops.Move(("l", 0), ("l", 2))], [ops.Insert(("l",), 0, 0)], {"l": [0, 1, 2, 3]}),
        ([ops.Move(("n",), ("o",))], [ops.Set(("z",), 1)], {"n": 1, "o": NOTHING, "z": 1}),
        ([ops.Move(("n",), ("z",))], [ops.Append(("l",), 4)], {"l": [1, 2, 3, 4]}),
        ([ops.Copy(("n",), ("l", 0))], [ops.Append(("l",), 4)], {"l": [1, 2, 3, 4]}),
        ([ops.Test(("n",), 1)], [ops.Set(("n",), 2)], {"n": 2}),
        ([ops.Set(("n",), 2), ops.Set(("n",), 1)], [ops.Set(("n",), 5)], {"n": 5}),
        ([ops.Splice(("s",), (Edit(0, 3, "1"),))], [ops.Splice(("s",), (Edit(6, 5, "3"),))], {"s": "one two 3"}),
        ([ops.Splice(("s",), (Edit(8, 5, "3"),))], [ops.Splice(("s",), (Edit(0, 3, "1"),))], {"s": "1 two three"}),
        ([ops.Splice(("s",), (Edit(0, 3, "1"),))], [ops.Set(("s",), "one two three")], {}),
        # Conflicts.
        ([ops.Set(("n",), 2)], [ops.Set(("n",), 3)], [("edit/edit", ("n",))]),
        ([ops.Set(("n",), 2)], [ops.Delete(("n",))], [("delete/edit", ("n",))]),
        ([ops.Set(("a",), 2)], [ops.Set(("a",), 3)], [("edit/delete", ("a",))]),
        ([ops.Delete(("n",))], [ops.Set(("n",), 3)], [("add/add", ("n",))]),
        ([ops.Delete(("m", "k"))], [ops.Delete(("m",))], [("delete/edit", ("m",))]),
        ([ops.Set(("m", "k"), 1)], [ops.Set(("m",), 5)], [("type", ("m",))]),
        ([ops.Remove(("l",), 0)], [ops.Set(("l",), {})], [("type", ("l",))]),
        ([ops.Set(("m",), {"k": 1})], [ops.Set(("m", "k"), 2)], [("edit/edit", ("m", "k"))]),
        ([ops.Set(("m",), 5)], [ops.Set(("m",), 6)], [("edit/edit", ("m",))]),
        ([ops.Increment(("n",), 4)], [ops.Set(("n",), "x")], [("edit/edit", ("n",))]),
        ([ops.Increment(("n",), 0.5)], [ops.Increment(("n",), 1)], [("edit/edit", ("n",))]),
        ([ops.Set(("l", 1), 9)], [ops.Set(("l", 1), 8)], [("edit/edit", ("l", 1))]),
        ([ops.Set(("l", 1), 9)], [ops.Remove(("l",), 1)], [("delete/edit", ("l", 1))]),
        ([ops.Set(("l", 1), 9)], [ops.Set(("l",), [7, 7])], [("list", ("l",))]),
        ([ops.Append(("l",), 4)], [ops.Set(("l", 3), 5)], [("edit/delete", ("l", 3))]),
        ([ops.Append(("l",), 4)], [ops.Set(("l", 3), 5), ops.Insert(("l",), 3, 6)], [("list", ("l",))]),
        ([ops.Remove(("l",), 2)], [ops.Set(("l",), [5, 6, 7])], [("list", ("l",))]),
        ([ops.Move(("n",), ("o",))], [ops.Set(("n",), 5)], [("add/add", ("n",))]),
        ([ops.Move(("n",), ("o",))], [ops.Set(("o",), 5)], [("edit/delete", ("o",))]),
        ([ops.Move(("n",), ("o",))], [ops.Delete(("o",))], [("delete/edit", ("n",))]),
        ([ops.Splice(("s",), (Edit(0, 3, "1"),))], [ops.Splice(("s",), (Edit(0, 1, "9"),))], [("edit/edit", ("s",))]),
        ([ops.Splice(("s",), (Edit(0, 3, "1"),))], [ops.Splice(("s",), (Edit(1, 0, "0"),))], [("edit/edit", ("s",))]),
        ([ops.Splice(("s",), (Edit(0, 4, ""),))], [ops.Splice(("s",), (Edit(0, 0, "a"),))], [("edit/edit", ("s",))]),
        ([ops.Splice(("s",), (Edit(0, 3, "1"),))], [ops.Delete(("s",))], [("delete/edit", ("s",))]),
        ([ops.Set(("n",), 2), ops.Set(("n",), 3)], [ops.Set(("n",), 5)], [("edit/edit", ("n",))]),
        ([ops.Set(("n",), 2), ops.Set(("n",), 3)], [ops.Set(("n",), 2)], [("edit/edit", ("n",))]),
        ([ops.Set(("n",), 7), ops.Increment(("n",), 1), ops.Set(("n",), 1)], [ops.Set(("n",), 5)], {"n": 5}),
        ([ops.Increment(("n",), 1), ops.Set(("n",), 5)], [ops.Set(("n",), 2)], [("edit/edit", ("n",))]),
        ([ops.Append(("l",), 4), ops.Set(("l", 3), 5)], [ops.Set(("l", 3), 4)], [("edit/delete", ("l", 3))]),
    ],
    ids=repr,
)  # fmt: skip
def test_each_op(delta: list[Op], later: list[Op], result: Any) -> None:
    if isinstance(result, dict):
        result = {key: value for key, value in {**VALUE, **result}.items() if value is not NOTHING}
    assert undone(VALUE, delta, later) == result


def test_what_a_conflict_says() -> None:
    before, after, current = made({"a": 0}, [ops.Set(("a",), 1), ops.Set(("a",), 2)], [ops.Set(("a",), 9)])
    _, conflicts = undo(before, [ops.Set(("a",), 1), ops.Set(("a",), 2)], after, current)
    assert conflicts == [Conflict(("a",), "edit/edit", 2, 9, 0)]


def test_lines_next_to_each_other() -> None:
    mine = [ops.Splice(("t",), (Edit(2, 0, "b\n"),))]
    later = [ops.Splice(("t",), (Edit(4, 0, "c\n"), Edit(6, 0, "z")))]
    assert undone({"t": "a\nd\n"}, mine, later) == {"t": "a\nc\nd\nz"}


@pytest.mark.parametrize(
    ("before", "after", "current", "expected"),
    [
        (NOTHING, {}, {}, ([], [])),
        (NOTHING, {}, NOTHING, ([], [])),
        (NOTHING, {}, {"a": 1}, ([], ["edit/delete"])),
        ({}, NOTHING, NOTHING, ([ops.Set((), freeze({}))], [])),
        ({}, NOTHING, {"a": 1}, ([], ["add/add"])),
        ({}, {"a": 1}, NOTHING, ([], ["delete/edit"])),
    ],
)
def test_documents_that_come_and_go(before: Any, after: Any, current: Any, expected: Any) -> None:
    frozen = [side if side is NOTHING else freeze(side) for side in (before, after, current)]
    inverse, conflicts = undo(frozen[0], [ops.Set(("a",), 1)] if after == {"a": 1} else [], *frozen[1:])
    assert (inverse, [each.kind for each in conflicts]) == expected
    assert all((each.path, each.base, each.ours, each.theirs) == ((), *frozen[1:], frozen[0]) for each in conflicts)


@pytest.mark.parametrize("path", [("a",), ("*", "b"), ()])
def test_what_was_erased_is_not_brought_back(path: Any) -> None:
    before, after = freeze({"a": "secret", "c": {"b": 1}}), NOTHING if not path else freeze({})
    inverse, conflicts = undo(before, [ops.Erase(path)], after, after)
    assert inverse == []
    assert conflicts == [Conflict(path, "edit/delete", NOTHING, NOTHING, NOTHING)]


def test_a_delta_of_another_value() -> None:
    with pytest.raises(DeltaFailed):
        undo(freeze({}), [ops.Replace(("a",), 1)], freeze({"a": 1}), freeze({"a": 2}))


def test_many_elements_of_a_list_that_grew_since() -> None:
    delta = [ops.Append(("l",), number) for number in range(2_000)]
    before, after, current = made({"l": ["x"]}, delta, [ops.Append(("l",), "y")])
    inverse, conflicts = undo(before, delta, after, current)
    assert not conflicts
    assert thaw(apply_delta(current, inverse)) == {"l": ["x", "y"]}
