"""The value that is written, compared with a dumb model, through every layer that a change can be in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import ModelError, any_op, documents, model_apply, model_apply_fitting, paths_about, plain_values

from palimpsest.errors import DeltaFailed, InvalidValue, LimitExceeded, TestFailed
from palimpsest.limits import Limits
from palimpsest.state import apply_delta, encode_value, freeze, ops, thaw
from palimpsest.state.values import FROZEN_MAP
from palimpsest.state.working import OVERLAY_KEYS_MAX, Working, steps


def encoded(working: Working) -> bytes:
    return encode_value(working.copy().freeze())


def model_delta(value: Any, delta: list[ops.Op]) -> tuple[Any, int, str | None]:
    """What the delta makes of value; or the index of the op that does not fit, and why."""
    for index, op in enumerate(delta):
        try:
            value = model_apply(value, op)
        except ModelError as error:
            return None, index, error.args[0]
    return value, 0, None


@given(st.data(), documents())
def test_deltas_do_what_the_model_does(data: st.DataObject, value: Any) -> None:
    working = Working(freeze(value))
    for _ in range(data.draw(st.integers(1, 4))):
        delta = data.draw(st.lists(any_op(value), max_size=4))
        before = encoded(working)
        expected, failed_at, reason = model_delta(value, delta)
        if reason is None:
            assert working.apply(delta) is delta
            value = expected
        else:
            with pytest.raises(DeltaFailed) as caught:
                working.apply(delta)
            assert (caught.value.op, caught.value.reason) == (failed_at, reason)
            assert isinstance(caught.value, TestFailed) == isinstance(delta[failed_at], ops.Test | ops.Absent)
            assert encoded(working) == before
        if data.draw(st.booleans()):
            working.freeze()
    assert encoded(working) == encode_value(value)


@given(st.data(), st.lists(plain_values(), max_size=5), st.sampled_from([(), ("l",), ("m", "l"), (0,)]))
def test_changing_one_list_again_and_again(data: st.DataObject, items: list[Any], path: tuple[Any, ...]) -> None:
    """A list is held open over several ops; other ops in between see what they are to see."""
    value: Any = items
    for step in reversed(path):
        value = {step: value, "other": [1]} if isinstance(step, str) else [value, 1]
    indexes, elements = st.integers(0, 6), st.sampled_from([0, [], {"k": 1}, [1, [2]]])
    on_the_list = st.one_of(
        st.builds(ops.Insert, st.just(path), indexes, elements),
        st.builds(ops.Remove, st.just(path), indexes),
        st.builds(ops.Append, st.just(path), elements),
        st.builds(lambda index, new: ops.Set((*path, index), new), indexes, elements),
        st.builds(lambda index, new: ops.Append((*path, index), new), indexes, elements),
        st.builds(lambda source, target: ops.Move((*path, source), (*path, target)), indexes, indexes),
    )
    delta = data.draw(st.lists(st.one_of(on_the_list, on_the_list, on_the_list, any_op(value)), max_size=12))
    expected, fitting = model_apply_fitting(value, delta)
    assert encode_value(apply_delta(freeze(value), fitting)) == encode_value(expected)
    working = Working(freeze(value))
    expected, failed_at, reason = model_delta(value, delta)
    if reason is not None:
        with pytest.raises(DeltaFailed) as caught:
            working.apply(delta)
        assert (caught.value.op, caught.value.reason) == (failed_at, reason)
        assert encoded(working) == encode_value(value)


@given(st.data(), documents())
def test_snapshots_and_copies_do_not_change(data: st.DataObject, value: Any) -> None:
    working = Working(freeze(value))
    kept: list[tuple[Any, bytes]] = []
    for _ in range(3):
        _, delta = model_apply_fitting(thaw(working.copy().freeze()), data.draw(st.lists(any_op(value), max_size=3)))
        working.apply(delta)
        kept.append((working.copy(), encoded(working)))
        if data.draw(st.booleans()):
            kept.append((working.freeze(), encoded(working)))
    for snapshot, bytes_then in kept:
        assert encode_value(snapshot.freeze() if isinstance(snapshot, Working) else snapshot) == bytes_then


@given(st.data(), documents())
def test_ops_do_not_share_what_they_bring(data: st.DataObject, value: Any) -> None:
    """A value that came with an op may be walked into and changed later; the op stays what it was."""
    delta = [ops.Set(("a",), data.draw(plain_values())), ops.Set(("b",), data.draw(plain_values()))]
    if not isinstance(value, dict):
        value = {}
    before = ops.encode_delta(delta)
    working = Working(freeze(value))
    working.apply(delta)
    now = thaw(working.copy().freeze())
    _, more = model_apply_fitting(now, data.draw(st.lists(any_op(now), max_size=4)))
    working.apply(more)
    assert ops.encode_delta(delta) == before


@given(st.data(), documents())
def test_what_is_frozen_is_frozen_all_the_way_down(data: st.DataObject, value: Any) -> None:
    _, delta = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=4)))
    todo = [apply_delta(freeze(value), delta)]
    for item in todo:
        assert not isinstance(item, dict | list)
        if type(item) is FROZEN_MAP:
            todo += item.values()
        elif not isinstance(item, str | int | float | None):
            todo += item


@given(st.data(), documents())
def test_steps_gives_each_op_the_value_that_it_meets(data: st.DataObject, value: Any) -> None:
    _, delta = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=4)))
    for (before, op), expected in zip(steps(freeze(value), delta), delta, strict=True):
        assert op is expected
        assert encode_value(before) == encode_value(value)
        value = model_apply(value, op)


@given(st.data(), documents())
def test_copies_are_counted(data: st.DataObject, value: Any) -> None:
    """The encoded value never grows by more than the delta, what copies add, and some bytes of headers to each op."""
    _, delta = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=4)))
    working = Working(freeze(value))
    working.apply(delta)
    bound = len(encode_value(value)) + len(ops.encode_delta(delta)) + 16 * len(delta) + working.copied_bytes
    assert len(encoded(working)) <= bound


@given(st.integers(1, 64), st.sampled_from(["", "k", "k" * 40]))
def test_parents_that_are_made_are_counted(length: int, key: str) -> None:
    value = {f"other{number}": 0 for number in range(15)}
    delta: list[ops.Op] = [ops.Increment((key,) * length, 1)]
    working = Working(freeze(value))
    working.apply(delta)
    bound = len(encode_value(value)) + len(ops.encode_delta(delta)) + 16 + working.copied_bytes
    assert len(encoded(working)) <= bound


@given(st.data(), documents())
def test_applying_what_is_encoded_is_the_same(data: st.DataObject, value: Any) -> None:
    delta = data.draw(st.lists(any_op(value), max_size=4))
    first, second = Working(freeze(value)), Working(freeze(value))
    errors = []
    for apply in (
        lambda: first.apply(delta),
        lambda: second.apply_encoded(ops.encode_delta(delta), Limits(), 1_000_000),
    ):
        try:
            apply()
        except DeltaFailed as error:
            errors.append(error.to_wire())
    assert errors in ([], errors[:1] * 2)
    assert encoded(first) == encoded(second)
    assert first.copied_bytes == second.copied_bytes


@pytest.mark.parametrize("bad", [float("nan"), [b""], {1: 2}], ids=repr)
def test_what_is_encoded_passes_the_door(bad: Any) -> None:
    working = Working(freeze({"n": 1}))
    for wire in ([[0, ["n"], 2], [0, ["a"], bad]], [[0, ["n"], 2], [5, ["l"], bad]]):
        with pytest.raises(InvalidValue):
            working.apply_encoded(msgspec.msgpack.encode(wire), Limits(), 0)
    with pytest.raises(InvalidValue):
        working.apply_encoded(ops.encode_delta([ops.Increment(("n",), float("inf"))]), Limits(), 0)
    assert working.freeze() == freeze({"n": 1})


def test_says_whether_it_compiled() -> None:
    working = Working(freeze({"n": 1}))
    working.apply([ops.MergePatch({"n": 2})])
    assert working.compiled
    working.apply([ops.Set(("n",), [])])
    assert not working.compiled


def test_many_changed_keys_are_folded() -> None:
    working = Working(freeze({}))
    for number in range(3 * OVERLAY_KEYS_MAX):
        working.apply([ops.Set((f"key{number}",), [number])])
    for number in range(0, 3 * OVERLAY_KEYS_MAX, 2):
        working.apply([ops.Delete((f"key{number}",))])
    expected = {f"key{number}": [number] for number in range(1, 3 * OVERLAY_KEYS_MAX, 2)}
    assert working.freeze() == freeze(expected)


def test_freezing_twice_gives_the_same_object() -> None:
    working = Working(freeze({"a": 1}))
    working.apply([ops.Set(("b",), {"c": 2})])
    assert working.freeze() is working.freeze()


def test_the_root_may_change_its_type() -> None:
    working = Working(freeze({"a": 1}))
    working.apply(
        [ops.Set(("b",), 1), ops.Set((), [1]), ops.Append((), 2), ops.Set((), {"c": 3}), ops.Increment(("c",), 1)]
    )
    assert working.freeze() == freeze({"c": 4})
    working.apply([ops.Set((), 7), ops.Increment((), 1)])
    assert working.freeze() == 8


def test_a_failure_after_the_root_was_replaced_changes_nothing() -> None:
    working = Working(freeze({"a": 1}))
    working.apply([ops.Set(("b",), 2)])
    with pytest.raises(DeltaFailed):
        working.apply([ops.Set((), {"x": 1}), ops.Set(("y",), 1), ops.Replace(("a",), 1)])
    assert working.freeze() == freeze({"a": 1, "b": 2})


def test_copies_are_bounded() -> None:
    """Each copy of the root doubles it: without a bound, a delta of 300 bytes makes a value of gigabytes."""
    working = Working(freeze({"text": "x" * 1000}))
    doubling = [ops.Copy((), (f"copy{number}",)) for number in range(30)]
    with pytest.raises(LimitExceeded) as caught:
        working.apply(doubling, copy_bytes_max=1_000_000)
    assert caught.value.limit == "document_bytes_max"
    assert working.freeze() == freeze({"text": "x" * 1000})
    working.apply(doubling[:3], copy_bytes_max=1_000_000)
    assert working.copied_bytes > 7000
    working.apply([])
    assert working.copied_bytes == 0


@given(st.data())
def test_paths_of_a_deep_value_are_bounded(data: st.DataObject) -> None:
    depth_max = data.draw(st.integers(1, 6))
    length = data.draw(st.integers(1, 8))
    working = Working(freeze({}))
    delta = [ops.Set(("a",) * length, 1)]
    if length <= depth_max:
        working.apply(delta, depth_max=depth_max)
    else:
        with pytest.raises(LimitExceeded) as caught:
            working.apply(delta, depth_max=depth_max)
        assert (caught.value.limit, caught.value.maximum, caught.value.actual) == ("depth_max", depth_max, length)


@pytest.mark.parametrize("op", [ops.Move(("deep",), ("a", "b", "c")), ops.Copy(("deep",), ("a", "b", "c"))])
def test_moving_cannot_pass_the_depth(op: ops.Op) -> None:
    working = Working(freeze({"deep": [[[1]]]}))
    with pytest.raises(LimitExceeded) as caught:
        working.apply([op], depth_max=5)
    assert (caught.value.limit, caught.value.actual) == ("depth_max", 6)
    working.apply([op], depth_max=6)


def test_moving_up_needs_no_look_at_the_depth() -> None:
    working = Working(freeze({"a": {"b": [[1]]}}))
    working.apply([ops.Move(("a", "b"), ("c",))], depth_max=3)
    assert working.freeze() == freeze({"a": {}, "c": [[1]]})


@given(st.data(), documents())
def test_paths_about_a_value_meet_it(data: st.DataObject, value: Any) -> None:
    """The strategy is worth its name: with it, most deltas of one `set` fit."""
    assert isinstance(data.draw(paths_about(value)), tuple)
