"""A large set is kept as what it changes, and does what it would have done."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import any_op, documents, model_apply_fitting

from palimpsest.errors import DeltaFailed
from palimpsest.limits import Limits
from palimpsest.state import encode_value, freeze, ops
from palimpsest.state.draft import Draft
from palimpsest.state.narrowing import NARROW_BYTES, looks_for
from palimpsest.state.narrowing import narrowed as narrow_one
from palimpsest.state.working import Working

TEXT = "".join(f"line {number} of a text that is long\n" for number in range(200))
PAD = "x" * NARROW_BYTES


def encoded(working: Working) -> bytes:
    return encode_value(working.copy().freeze())


def narrowed(value: Any, delta: list[ops.Op]) -> list[ops.Op]:
    """What is kept of the delta; it does to value what delta does."""
    working = Working(freeze(value))
    kept = working.apply_encoded(ops.encode_delta(delta), Limits(), 10_000_000)
    replayed = Working(freeze(value))
    assert replayed.apply(kept) is kept
    plain = Working(freeze(value))
    assert plain.apply(delta) is delta
    assert encoded(working) == encoded(replayed) == encoded(plain)
    assert working.compiled == (kept != delta)
    return kept


@given(st.data(), documents(), documents())
def test_large_sets_are_kept_as_what_they_change(data: st.DataObject, value: Any, other: Any) -> None:
    before = {"at": {"v": value, "pad": PAD}, "l": [value, PAD], "t": PAD}
    changed, _ = model_apply_fitting(value, data.draw(st.lists(any_op(value), max_size=3)))
    large = [
        ops.Set(("at",), {"v": changed, "pad": PAD}),
        ops.Replace(("at",), {"v": other, "pad": PAD}),
        ops.Set(("l",), [changed, other, PAD]),
        ops.Insert(("l",), 0, other),
        ops.Set(("l", 1), {"v": changed, "pad": PAD}),
        ops.Set(("t",), f"{PAD}y"),
        ops.Set((), before | {"more": other}),
        ops.Increment(("n",), 1),
    ]
    delta = data.draw(st.lists(st.sampled_from(large), min_size=1, max_size=4))
    kept = narrowed(before, delta)
    assert len(ops.encode_delta(kept)) <= len(ops.encode_delta(delta))


@pytest.mark.parametrize("path", [("t",), ("m", "t"), ("l", 0), ()], ids=repr)
@pytest.mark.parametrize("kind", [ops.Set, ops.Replace])
def test_a_word_of_a_text(kind: Any, path: Any) -> None:
    value: Any = TEXT
    if path:
        value = {"t": TEXT, "m": {"t": TEXT}, "l": [TEXT]}
    kept = narrowed(value, [kind(path, TEXT.replace("line 70 of", "line 70, of"))])
    assert [type(op) for op in kept] == [ops.Splice]
    assert len(ops.encode_delta(kept)) < 40


def test_a_leaf_of_a_map_and_an_element_of_a_list() -> None:
    value = {"m": {f"key {number}": {"n": number} for number in range(500)}, "l": [[number] for number in range(3_000)]}
    assert narrowed(value, [ops.Set(("m",), value["m"] | {"key 70": {"n": 0}})]) == [ops.Set(("m", "key 70", "n"), 0)]
    elements: Any = value["l"]
    assert narrowed(value, [ops.Set(("l",), elements[:70] + elements[71:])]) == [ops.Remove(("l",), 70)]
    assert narrowed(value, [ops.Set((), value | {"new": 1})]) == [ops.Set(("new",), 1)]
    assert narrowed(value, [ops.Replace(("m",), value["m"])]) == []


@pytest.mark.parametrize(
    ("value", "op"),
    [
        ({"t": "short"}, ops.Set(("t",), TEXT)),
        ({"t": 5}, ops.Set(("t",), TEXT)),
        ({}, ops.Set(("t",), TEXT)),
        ({"t": ["short"]}, ops.Set(("t",), {"k": TEXT})),
        ({"t": TEXT}, ops.Set(("t",), TEXT.swapcase())),
        ({"t": TEXT}, ops.Set(("u",), TEXT)),
    ],
    ids=["short", "number", "nothing", "list", "all of it", "elsewhere"],
)
def test_what_would_not_be_shorter_is_set_as_it_came(value: Any, op: ops.Op) -> None:
    assert narrowed(value, [op]) == [op]


def test_small_deltas_are_kept_as_they_came() -> None:
    text = TEXT[:2_000]
    op = ops.Set(("t",), f"{text}.")
    assert narrowed({"t": text}, [op]) == [op]


def test_small_containers_are_set_as_they_came() -> None:
    delta: list[ops.Op] = [ops.Set((f"m{number}",), {"a": number, "b": 2, "c": 3}) for number in range(400)]
    assert narrowed({f"m{number}": {"a": -1, "b": 2, "c": 3} for number in range(400)}, delta) == delta


def test_many_texts_share_what_comparing_may_take() -> None:
    """Each of them could be narrowed; aligning the lines of all of them would take too long."""
    old = {f"t{number}": "".join(f"{number % 9}{line % 8}\n" for line in range(400)) for number in range(300)}
    new = {key: "".join(f"{line}\n" for line in reversed(text.split("\n"))) for key, text in old.items()}
    delta: list[ops.Op] = [ops.Set((key,), text) for key, text in new.items()]
    looks = looks_for(delta, len(ops.encode_delta(delta)))
    assert looks is not None
    draft = Draft(freeze(old), {}, {}, depth_max=64, copy_bytes_max=None)
    for op in delta:
        narrow_one(draft, op, looks)
    assert -10 <= looks.left < 2_500
    narrowed(old, delta)


def test_very_large_containers_are_set_as_they_came() -> None:
    items = [f"element {number}" for number in range(80_000)]
    op = ops.Set(("l",), [*items, "new"])
    assert len(ops.encode_delta([op])) > 1024 * 1024
    assert narrowed({"l": items}, [op]) == [op]


def test_replaying_never_narrows() -> None:
    working = Working(freeze({"t": TEXT}))
    delta: list[ops.Op] = [ops.Set(("t",), f"{TEXT}.")]
    assert working.apply(delta) is delta
    assert not working.compiled


def test_errors_are_those_of_what_came() -> None:
    """A replace must still find something; the index is that of the caller's op, and nothing has changed."""
    value = {"t": TEXT, "m": {f"key {number}": number for number in range(500)}}
    for op, reason in [
        (ops.Replace(("no",), TEXT), "absent"),
        (ops.Set(("t", "x"), TEXT), "type"),
        (ops.Increment(("t",), 1), "type"),
    ]:
        working = Working(freeze(value))
        delta = [ops.Set(("m",), value["m"] | {"key 0": 1, "key 1": 0}), op]
        with pytest.raises(DeltaFailed) as caught:
            working.apply_encoded(ops.encode_delta([*delta, ops.Set(("p",), PAD)]), Limits(), 10_000_000)
        assert (caught.value.op, caught.value.reason) == (1, reason)
        assert encoded(working) == encode_value(value)


def test_an_open_list_is_seen_as_it_is_by_then() -> None:
    value = {"l": [TEXT, "b"]}
    kept = narrowed(value, [ops.Insert(("l",), 0, "a"), ops.Set(("l", 1), f"{TEXT}."), ops.Set(("l", 0), TEXT)])
    assert [type(op) for op in kept] == [ops.Insert, ops.Splice, ops.Set]
