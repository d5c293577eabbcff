"""Blame goes backwards; a dumb model, in which every leaf carries the version that set it, goes forwards."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import PATHS, documents, model_apply_fitting, paths_in, some_op

from palimpsest.state import diff, freeze, ops
from palimpsest.state.blame import Blame
from palimpsest.state.ops import Edit
from palimpsest.state.redact import meets, redact
from palimpsest.state.tree import find
from palimpsest.words import Kind

CREATE, UPDATE = Kind.CREATE, Kind.UPDATE


class Marked:
    """A value and the version that set it. inside: a dict or a list of others, or a scalar."""

    def __init__(self, value: Any, version: int) -> None:
        self.version = version
        self.inside: Any = value
        if isinstance(value, dict):
            self.inside = {key: Marked(item, version) for key, item in value.items()}
        elif isinstance(value, list):
            self.inside = [Marked(item, version) for item in value]

    def plain(self) -> Any:
        if isinstance(self.inside, dict):
            return {key: item.plain() for key, item in self.inside.items()}
        return [item.plain() for item in self.inside] if isinstance(self.inside, list) else self.inside

    def leaves(self, path: Any = ()) -> list[tuple[Any, int]]:
        if isinstance(self.inside, dict) and self.inside:
            steps: Any = sorted(self.inside.items())
        elif isinstance(self.inside, list) and self.inside:
            steps = enumerate(self.inside)
        else:
            return [(path, self.version)]
        return [leaf for step, item in steps for leaf in item.leaves((*path, step))]


class Model:
    """The root of a marked value. Every op is known to fit."""

    def __init__(self, value: Any) -> None:
        self.root = Marked(value, 1)

    def find(self, path: Any) -> Any:
        marked: Any = self.root
        for step in path:
            inside = marked.inside
            if isinstance(inside, dict) and step not in inside:
                return None
            marked = inside[step]
        return marked

    def put(self, path: Any, value: Any, version: int) -> None:
        if not path:
            self.root = Marked(value, version)
            return
        parent = self.root
        for step in path[:-1]:
            if isinstance(parent.inside, dict) and step not in parent.inside:
                parent.inside[step] = Marked({}, version)
            parent = parent.inside[step]
        parent.inside[path[-1]] = Marked(value, version)

    def add(self, path: Any, value: Any, version: int) -> None:
        if path and isinstance(path[-1], int):
            self.find(path[:-1]).inside.insert(path[-1], Marked(value, version))
        else:
            self.put(path, value, version)

    def take(self, path: Any, version: int) -> None:
        parent = self.find(path[:-1])
        if parent is None:
            return
        if isinstance(path[-1], int):
            del parent.inside[path[-1]]
        else:
            parent.inside.pop(path[-1], None)
        if not parent.inside:
            parent.version = version

    def apply(self, op: Any, version: int) -> None:
        kind = type(op)
        if kind is ops.Set or kind is ops.Replace:
            self.put(op.path, op.value, version)
        elif kind is ops.Delete:
            self.take(op.path, version)
        elif kind is ops.Increment:
            there = self.find(op.path)
            self.put(op.path, (0 if there is None else there.inside) + op.by, version)
        elif kind is ops.Insert:
            self.add((*op.path, op.index), op.value, version)
        elif kind is ops.Append:
            self.add((*op.path, len(self.find(op.path).inside)), op.value, version)
        elif kind is ops.Remove:
            self.take((*op.path, op.index), version)
        elif kind is ops.Copy:
            self.add(op.path, self.find(op.source).plain(), version)
        elif kind is ops.Move and op.source != op.path:
            value = self.find(op.source).plain()
            self.take(op.source, version)
            self.add(op.path, value, version)


History = list[tuple[int, int, list[ops.Op]]]


def blamed(value: Any, history: History, path: Any = ()) -> Blame:
    blame = Blame(value, path)
    for version, kind, delta in reversed(history):
        blame.step(version, kind, delta)
    return blame


@given(st.data(), documents())
def test_says_what_the_model_says(data: st.DataObject, value: Any) -> None:
    model = Model(value)
    history: History = [(1, CREATE, [ops.Set((), value)])]
    for version in range(2, 6):
        value, delta = model_apply_fitting(value, data.draw(st.lists(some_op(value), max_size=4)))
        history.append((version, UPDATE, delta))
        for op in delta:
            model.apply(op, version)
    path = data.draw(st.sampled_from(paths_in(value)))
    for form in (value, freeze(value)):
        assert blamed(form, history).result() == model.root.leaves()
        assert blamed(form, history, path).result() == model.find(path).leaves(path)


def test_stops_as_soon_as_all_is_known() -> None:
    blame = Blame(freeze({"a": 1, "b": [1, 2]}))
    blame.step(9, UPDATE, [ops.Set(("b",), [1, 2])])
    assert not blame.is_complete
    assert blame.result() == [(("a",), 0), (("b", 0), 9), (("b", 1), 9)]
    blame.step(8, UPDATE, [ops.Increment(("a",), 1), ops.Set(("c",), 1), ops.Delete(("c",))])
    assert blame.is_complete
    assert blame.result() == [(("a",), 8), (("b", 0), 9), (("b", 1), 9)]


def test_history_that_does_not_reach_back_far_enough() -> None:
    blame = Blame(freeze({"a": 1, "b": 2}))
    blame.step(9, UPDATE, [ops.Set(("b",), 2)])
    blame.finish(9)
    assert blame.is_complete
    assert blame.result() == [(("a",), 9), (("b",), 9)]


def test_what_was_before_a_create_is_another_document() -> None:
    blame = Blame(freeze({"a": 1, "b": 2}))
    blame.step(5, CREATE, [ops.Set((), {}), ops.Set(("a",), 1), ops.Set(("b",), 2)])
    assert blame.result() == [(("a",), 5), (("b",), 5)]


@pytest.mark.parametrize(
    ("value", "versions", "result"),
    [
        ({"l": [1, 2, 3]}, [[ops.Insert(("l",), 1, 2)]], {("l", 0): 1, ("l", 1): 2, ("l", 2): 1}),
        ({"l": [1, 2]}, [[ops.Append(("l",), 2)], [ops.Remove(("l",), 0)]], {("l", 0): 1, ("l", 1): 2}),
        ({"l": [1, 2]}, [[ops.Remove(("l",), 2)], [ops.Append(("l",), 2)]], {("l", 0): 1, ("l", 1): 3}),
        ({"l": [3, 1]}, [[ops.Move(("l", 1), ("l", 0))]], {("l", 0): 2, ("l", 1): 1}),
        ({"a": {"b": 1}}, [[ops.Move(("x",), ("a",))]], {("a", "b"): 2}),
        ({"a": 1}, [[ops.Move(("a",), ("a",))]], {("a",): 1}),
        ({"a": 1, "b": 1}, [[ops.Copy(("a",), ("b",))]], {("a",): 1, ("b",): 2}),
        ({"a": {}}, [[ops.Delete(("a", "b"))]], {("a",): 2}),
        ({"a": {}}, [[ops.Delete(("a",)), ops.Set(("a",), {})], [ops.Delete(("c",))]], {("a",): 2}),
        ({"a": []}, [[ops.Remove(("a",), 0)]], {("a",): 2}),
        ({}, [[ops.Delete(("a",))]], {(): 2}),
        ({"a": 1}, [[ops.Set(("a",), 1)], [ops.Test(("a",), 1), ops.Absent(("b",))]], {("a",): 2}),
        ({"a": "xy"}, [[ops.Splice(("a",), (Edit(0, 0, "x"),))]], {("a",): 2}),
        ({"l": [None, 5, None]}, [[ops.Erase(("l", 0))]], {("l", 0): 2, ("l", 1): 1, ("l", 2): 1}),
        ({"a": {"l": [None]}, "b": {"l": [1, None]}}, [[ops.Erase(("*", "l", "*"))]], {("a", "l", 0): 2, ("b", "l", 0): 2, ("b", "l", 1): 2}),
        ({"a": 5, "b": {"d": 1}}, [[ops.Erase(("*", "c"))]], {("a",): 1, ("b", "d"): 1}),
        (None, [[ops.Replace((), None)]], {(): 2}),
    ],
    ids=repr,
)  # fmt: skip
def test_each_op(value: Any, versions: list[list[ops.Op]], result: dict[Any, int]) -> None:
    history: History = [(version, UPDATE, delta) for version, delta in enumerate(versions, 2)]
    blame = blamed(freeze(value), [(1, CREATE, []), *history])
    assert dict(blame.result()) == result


@given(documents(), PATHS.filter(bool))
def test_an_erasure_has_set_nulls_and_nothing_else(value: Any, path: Any) -> None:
    before = freeze(value)
    after = redact(before, path)
    blame = Blame(after)
    blame.step(2, Kind.ERASE, [ops.Erase(path)])
    blame.step(1, CREATE, [ops.Set((), value)])
    made = [leaf for leaf, version in blame.result() if version == 2]
    assert all(find(after, leaf) is None and type(leaf[-1]) is int and meets(leaf, path) for leaf in made)
    changed = [op.path for op in diff(before, after) if type(op) is ops.Set]
    assert after is before or {leaf for leaf in changed if find(after, leaf) is None} <= set(made)


def test_a_list_that_grew_version_by_version() -> None:
    blame = Blame({"l": [{"a": 1, "b": 2}] * 2_000})
    for version in range(2_000, 0, -1):
        assert not blame.is_complete
        blame.step(version, UPDATE, [ops.Append(("l",), {})])
    assert [version for _, version in blame.result()] == [version for version in range(1, 2_001) for _ in "ab"]
