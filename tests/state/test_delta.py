from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import any_op, documents, model_apply_fitting, shown

from palimpsest.errors import DeltaFailed, InvalidDelta, InvalidPath, InvalidValue, LimitExceeded
from palimpsest.limits import Limits
from palimpsest.state import DELETE, Append, Delta, Increment, Insert, Remove, encode_value, freeze, ops


def test_one_method_an_op() -> None:
    delta = (
        Delta()
        .set("a.b", 1)
        .replace(("a", "c"), [1])
        .delete('["odd.key"]')
        .increment("n")
        .increment("n", 0.5)
        .insert("tags", 0, "x")
        .append("tags", {"k": None})
        .remove("tags", 2)
        .move("a", "b")
        .copy("a", "b")
        .splice("body", (0, 3, "The"), (7, 0, "!"))
        .test("title", "B")
        .absent("x.0")
    )
    assert delta.ops == [
        ops.Set(("a", "b"), 1),
        ops.Replace(("a", "c"), [1]),
        ops.Delete(("odd.key",)),
        ops.Increment(("n",), 1),
        ops.Increment(("n",), 0.5),
        ops.Insert(("tags",), 0, "x"),
        ops.Append(("tags",), {"k": None}),
        ops.Remove(("tags",), 2),
        ops.Move(("a",), ("b",)),
        ops.Copy(("a",), ("b",)),
        ops.Splice(("body",), (ops.Edit(0, 3, "The"), ops.Edit(7, 0, "!"))),
        ops.Test(("title",), "B"),
        ops.Absent(("x", 0)),
    ]
    assert len(delta) == 13
    assert eval(repr(delta)) == delta


def test_a_delta_does_not_change() -> None:
    first = Delta().set("a", 1)
    second = first.set("b", 2)
    assert (len(Delta()), len(first), len(second)) == (0, 1, 2)


def test_mapping() -> None:
    mapping = {
        "title": "B",
        "é": "ü",
        "meta.stars": Increment(),
        "n": Increment(0.5),
        "draft": DELETE,
        "tags": Append("x"),
        "tags2": Insert(0, ["x"]),
        "t3": Remove(2),
        ("tuple", "path.x", 0): 5,
        "nested": {"a": [None, True, 1.5]},
        "": None,
    }
    assert Delta.from_mapping(mapping).ops == [
        ops.Set(("title",), "B"),
        ops.Set(("é",), "ü"),
        ops.Increment(("meta", "stars"), 1),
        ops.Increment(("n",), 0.5),
        ops.Delete(("draft",)),
        ops.Append(("tags",), "x"),
        ops.Insert(("tags2",), 0, ["x"]),
        ops.Remove(("t3",), 2),
        ops.Set(("tuple", "path.x", 0), 5),
        ops.Set(("nested",), {"a": [None, True, 1.5]}),
        ops.Set((), None),
    ]


@pytest.mark.parametrize("mapping", [None, [], [("a", 1)], "a", 1])
def test_what_is_no_mapping(mapping: Any) -> None:
    with pytest.raises(InvalidDelta):
        Delta.from_mapping(mapping)


def test_values_are_copied() -> None:
    tags = ["a"]
    built, mapped = Delta().set("tags", tags), Delta.from_mapping({"tags": tags, "more": Append(tags)})
    patched, merged = (
        Delta.from_json_patch([{"op": "add", "path": "/t", "value": tags}]),
        Delta.from_merge_patch({"t": tags}),
    )
    before = [delta.encode() for delta in (built, mapped, patched, merged)]
    tags.append("b")
    assert [delta.encode() for delta in (built, mapped, patched, merged)] == before


@pytest.mark.parametrize(
    "bad", [math.nan, (1,), {1, 2}, b"x", 2**64, "\ud800", object(), Increment(1), DELETE], ids=shown
)
def test_values_pass_the_door_at_once(bad: Any) -> None:
    for make in [
        lambda: Delta().set("a.b", bad),
        lambda: Delta().replace("a.b", bad),
        lambda: Delta().insert("a.b", 0, bad),
        lambda: Delta().append("a.b", bad),
        lambda: Delta().test("a.b", bad),
        lambda: Delta.from_mapping({"a.b": Append(bad)}),
        lambda: Delta.from_mapping({"a.b": Insert(0, bad)}),
    ]:
        with pytest.raises(InvalidValue) as caught:
            make()
        assert caught.value.path == "a.b"
    with pytest.raises(InvalidValue) as caught:
        Delta().set("a.b", {"c": [0, bad]})
    assert caught.value.path == "a.b.c.1"
    with pytest.raises(InvalidValue):
        Delta.from_mapping({"a": [bad]})
    with pytest.raises(InvalidValue):
        Delta.from_merge_patch({"a": bad})


@pytest.mark.parametrize("by", ["1", None, True, math.nan, math.inf, 2**64, [1]])
def test_increments_are_numbers(by: Any) -> None:
    with pytest.raises(InvalidValue):
        Delta().increment("n", by)
    with pytest.raises(InvalidValue) as caught:
        Delta.from_mapping({"n": Increment(by)})
    assert caught.value.path == "n"


@pytest.mark.parametrize("path", ["a..b", "a[0]", 7, None, ["a"], ("a", -1), ("a", True), b"a"])
def test_paths_are_checked(path: Any) -> None:
    for make in (lambda: Delta().set(path, 1), lambda: Delta().move("a", path), lambda: Delta().copy(path, "a")):
        with pytest.raises(InvalidPath):
            make()
    with pytest.raises((InvalidPath, TypeError)):
        Delta.from_mapping({path: 1})


@pytest.mark.parametrize("index", [-1, True, "0", None, 1.0])
def test_indexes_are_checked(index: Any) -> None:
    for make in (
        lambda: Delta().insert("l", index, 1),
        lambda: Delta().remove("l", index),
        lambda: Delta.from_mapping({"l": Remove(index)}),
    ):
        with pytest.raises((InvalidDelta, InvalidPath)):
            make()


@pytest.mark.parametrize(
    "edits",
    [
        [(0, 1)],
        [5],
        [(0, 1, 2)],
        [(-1, 1, "")],
        [(0, -1, "")],
        [(True, 1, "")],
        [(0, "1", "")],
        [(2, 1, ""), (1, 1, "")],
        [(0, 2, ""), (1, 1, "")],
    ],
    ids=shown,
)
def test_edits_are_checked(edits: Any) -> None:
    with pytest.raises((InvalidDelta, InvalidPath)):
        Delta().splice("a", *edits)


def test_what_is_spliced_in_is_text() -> None:
    with pytest.raises(InvalidValue) as caught:
        Delta().splice("a.b", (0, 1, "\ud800"))
    assert caught.value.path == "a.b"
    assert Delta().splice("", (1, 1, "E")).apply("text") == "tExt"


def test_depth_is_that_of_the_place() -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    Delta().set("", deep)
    with pytest.raises(LimitExceeded):
        Delta().set("a", deep)
    with pytest.raises(LimitExceeded):
        Delta().append("", deep)


def test_equality_is_exact() -> None:
    assert Delta().set("a", 1) == Delta.from_mapping({"a": 1}) == Delta.from_ops([ops.Set(("a",), 1)])
    assert Delta().set("a", 1) != Delta().set("a", True)
    assert Delta().set("a", 1) != Delta().set("a", 1.0)
    assert Delta().set("a", 1) != [ops.Set(("a",), 1)]
    assert len({Delta().set("a", 1), Delta().set("a", 1), Delta()}) == 2


def test_apply_takes_and_gives_plain_values() -> None:
    before = {"a": {"b": [1]}, "c": {}}
    delta = Delta().append("a.b", 2).set("c.d", {"e": []})
    after = delta.apply(before)
    assert after == {"a": {"b": [1, 2]}, "c": {"d": {"e": []}}}
    after["c"]["d"]["e"].append(1)
    after["a"]["b"].append(3)
    assert before == {"a": {"b": [1]}, "c": {}}
    assert delta.apply(freeze(before)) == {"a": {"b": [1, 2]}, "c": {"d": {"e": []}}}
    with pytest.raises(InvalidValue):
        delta.apply({"a": (1,)})
    with pytest.raises(DeltaFailed):
        delta.apply({})


@given(st.data(), documents())
def test_there_and_back(data: st.DataObject, value: Any) -> None:
    _, fitting = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=4)))
    delta = Delta.from_ops(fitting)
    assert delta.ops == fitting
    assert Delta.decode(delta.encode()) == Delta.decode(delta.encode(), limits=Limits()) == delta
    after = delta.apply(value)
    assert encode_value(delta.inverse(value).apply(after)) == encode_value(value)
    assert encode_value(Delta.from_json_patch(delta.to_json_patch(value)).apply(value)) == encode_value(after)
    assert repr(delta).startswith("Delta()")


def test_repr_is_short_where_values_are_long() -> None:
    assert len(repr(Delta().set("a", "x" * 10_000).set("b", list(range(1000))))) < 200
    assert len(repr(Delta().splice("a", *[(number, 0, "x" * 100) for number in range(1000)]))) < 300


def test_a_json_patch_shows_what_it_is() -> None:
    delta = Delta.from_json_patch([{"op": "add", "path": "/a", "value": 1}])
    assert repr(delta) == "Delta().json_patch('add', '/a', 1, None)"
    assert delta.inverse({}) == Delta().delete("a")


def test_markers() -> None:
    assert repr(DELETE) == "DELETE"
    assert pickle.loads(pickle.dumps(DELETE)) is DELETE
    assert Increment() == Increment(1)
    assert repr(Append("x")) == "Append(value='x')"
