from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import PATHS, any_op, plain_values, shown

from palimpsest.errors import InvalidDelta, InvalidPath, InvalidValue, LimitExceeded, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.state import decode_delta, encode_delta, freeze, ops

LIMITS = Limits()

WIRE: list[tuple[ops.Op, list[Any]]] = [
    (ops.Set(("a", 0), 1), [0, ["a", 0], 1]),
    (ops.Replace((), None), [1, [], None]),
    (ops.Delete(("a",)), [2, ["a"]]),
    (ops.Increment(("a",), -1.5), [3, ["a"], -1.5]),
    (ops.Insert(("a",), 2, "x"), [4, ["a"], 2, "x"]),
    (ops.Append(("a",), {"k": [1]}), [5, ["a"], {"k": [1]}]),
    (ops.Remove(("a",), 0), [6, ["a"], 0]),
    (ops.Move(("a",), ("b",)), [7, ["a"], ["b"]]),
    (ops.Copy(("a",), ("b",)), [8, ["a"], ["b"]]),
    (ops.Test(("a",), True), [9, ["a"], True]),
    (ops.Absent(("a",)), [10, ["a"]]),
    (ops.Splice(("a",), (ops.Edit(1, 2, "é"), ops.Edit(3, 0, ""))), [11, ["a"], [[1, 2, "é"], [3, 0, ""]]]),
    (ops.Erase(("a", "*")), [12, ["a", "*"]]),
    (ops.JsonPatch("move", "/b", None, "/a"), [20, "move", "/b", None, "/a"]),
    (ops.MergePatch({"a": None}), [21, {"a": None}]),
]


@pytest.mark.parametrize(("op", "wire"), WIRE, ids=shown)
def test_the_numbers_never_change(op: ops.Op, wire: list[Any]) -> None:
    assert msgspec.msgpack.decode(encode_delta([op])) == [wire]
    assert decode_delta(msgspec.msgpack.encode([wire])) == [op]
    if type(op) is not ops.Erase:
        assert decode_delta(msgspec.msgpack.encode([wire]), limits=LIMITS) == [op]
    assert ops.name_of(op) == type(op).__name__.lower().replace("patch", "_patch")


def test_every_op_is_in_the_table() -> None:
    assert {type(op) for op, _ in WIRE} == set(ops.Op.__args__)


@given(st.lists(plain_values().flatmap(any_op), max_size=5))
def test_there_and_back(delta: list[ops.Op]) -> None:
    data = encode_delta(delta)
    assert encode_delta(decode_delta(data, limits=LIMITS)) == encode_delta(decode_delta(msgspec.Raw(data))) == data


@given(PATHS, plain_values())
def test_frozen_values_travel_as_plain_ones(path: Any, value: Any) -> None:
    assert encode_delta([ops.Set(path, freeze(value))]) == encode_delta([ops.Set(path, value)])


@pytest.mark.parametrize(
    "wire",
    [
        [],
        [99],
        [11, ["a"]],
        [11, ["a"], [[0, 1]]],
        [11, ["a"], [[0, -1, "x"]]],
        [11, ["a"], [[0, 1, 2]]],
        [11, ["a"], [[0, 1, "x", 0]]],
        [12],
        [13, ["a"]],
        ["0", ["a"], 1],
        [0],
        [0, ["a"]],
        [0, ["a"], 1, 2],
        [0, "a", 1],
        [0, [-1], 1],
        [0, [1.0], 1],
        [0, [True], 1],
        [0, [None], 1],
        [0, [2**63], 1],
        [0, ["a"] * 1025, 1],
        [3, ["a"], True],
        [3, ["a"], "1"],
        [3, ["a"], None],
        [4, ["a"], -1, 1],
        [6, ["a"], 1.0],
        [7, ["a"]],
        [20, "add", "/a"],
        [20, 1, "/a", 1],
        [20, "add", ["a"], 1],
        5,
        None,
        {"op": "set"},
    ],
    ids=shown,
)
def test_what_is_no_op(wire: Any) -> None:
    data = msgspec.msgpack.encode([[2, ["ok"]], wire])
    for limits in (LIMITS, None):
        with pytest.raises(InvalidDelta) as caught:
            decode_delta(data, limits=limits)
        assert caught.value.op == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x80",
        b"\x91",
        b"\x90\x90",
        b"\xdc\xff",
        b"\xdd\x00\x00\x00\x05",
        b"\x91\x93\x00\x90" + b"\x91" * 100_000 + b"\xc0",
        b"\x91\x93\x00\x90\x81\x80\x01",
        b"\x91\x93\x00\x90\xa1\xff",
        b"\x91\x93\x00\x91\xa3\xed\xa0\x80\x01",
    ],
)
def test_what_is_no_delta(data: bytes) -> None:
    for limits in (LIMITS, None):
        with pytest.raises(InvalidDelta) as caught:
            decode_delta(data, limits=limits)
        assert caught.value.op is None


@given(st.one_of(st.binary(max_size=30), st.binary(max_size=20).map(lambda tail: b"\x92\x93\x00\x91\xa1a" + tail)))
def test_any_bytes_are_a_delta_or_an_error(data: bytes) -> None:
    try:
        delta = decode_delta(data, limits=LIMITS)
    except (InvalidDelta, InvalidValue, LimitExceeded):
        return
    assert encode_delta(decode_delta(encode_delta(delta), limits=LIMITS)) == encode_delta(delta)


@pytest.mark.parametrize("head", ["9{:x}", "dc{:04x}", "dd{:08x}"])
def test_the_number_of_ops_is_bounded_before_they_are_decoded(head: str) -> None:
    limits = Limits(delta_ops_max=3)
    delta = b"\x92\x02\x90"
    assert len(decode_delta(bytes.fromhex(head.format(3)) + 3 * delta, limits=limits)) == 3
    with pytest.raises(LimitExceeded) as caught:
        decode_delta(bytes.fromhex(head.format(4)), limits=limits)
    assert (caught.value.limit, caught.value.maximum, caught.value.actual) == ("delta_ops_max", 3, 4)
    assert len(decode_delta(bytes.fromhex(head.format(4)) + 4 * delta)) == 4


VALUED: list[ops.Op] = [op for op, _ in WIRE if hasattr(op, "value") and not isinstance(op, ops.JsonPatch)]


@pytest.mark.parametrize("op", [*VALUED, ops.JsonPatch("add", "/a", 1)], ids=shown)
@pytest.mark.parametrize("bad", [math.nan, b"", [b""], {"k": math.inf}, msgspec.msgpack.Ext(3, b""), {1: 2}], ids=shown)
def test_every_value_passes_the_door(op: ops.Op, bad: Any) -> None:
    bad_op = msgspec.structs.replace(op, value=bad)
    with pytest.raises(InvalidValue, match=rf"op 1 \({ops.name_of(op)} ") as caught:
        decode_delta(msgspec.msgpack.encode([ops.Delete(("ok",)), bad_op]), limits=LIMITS)
    assert caught.value.path == ("k" if bad == {"k": math.inf} else "0" if bad == [b""] else "")
    decode_delta(msgspec.msgpack.encode([bad_op]))  # our own log is trusted


def test_nobody_erases_from_outside() -> None:
    data = encode_delta([ops.Delete(("a",)), ops.Erase(("a",))])
    with pytest.raises(InvalidDelta, match=r"op 1 \(erase\)") as caught:
        decode_delta(data, limits=LIMITS)
    assert caught.value.op == 1
    assert decode_delta(data)[1] == ops.Erase(("a",))


@pytest.mark.parametrize("edits", [((2, 0, "x"), (1, 0, "y")), ((0, 2, ""), (1, 1, "")), ((3, 1, ""), (3, 0, "x"))])
def test_edits_rise(edits: Any) -> None:
    op = ops.Splice(("a",), tuple(ops.Edit(*edit) for edit in edits))
    with pytest.raises(InvalidDelta, match=r"op 1 \(splice\)") as caught:
        decode_delta(encode_delta([ops.Delete(("a",)), op]), limits=LIMITS)
    assert caught.value.op == 1
    ops.check_edits([ops.Edit(0, 1, "x"), ops.Edit(1, 0, "y"), ops.Edit(1, 2, "")])


def test_what_is_spliced_in_is_text() -> None:
    half = b"\x91\x93\x0b\x91\xa1a\x91\x93\x00\x00\xa3\xed\xa0\x80"
    with pytest.raises(InvalidDelta):
        decode_delta(half, limits=LIMITS)


@pytest.mark.parametrize("by", [math.nan, math.inf])
def test_an_increment_is_finite(by: float) -> None:
    with pytest.raises(InvalidValue, match=r"op 0 \(increment n\)"):
        decode_delta(encode_delta([ops.Increment(("n",), by)]), limits=LIMITS)


@pytest.mark.parametrize(
    ("op", "depth"),
    [
        (ops.Set(("a",), []), 2),
        (ops.Set((), {"a": [[]]}), 3),
        (ops.Replace(("a", "b"), [[]]), 4),
        (ops.Insert(("a",), 0, []), 3),
        (ops.Append((), [[]]), 3),
        (ops.JsonPatch("add", "/a/b", []), 3),
        (ops.MergePatch({"a": {"b": 1}}), 2),
    ],
    ids=shown,
)
def test_the_depth_is_that_of_the_place(op: ops.Op, depth: int) -> None:
    data = encode_delta([op])
    decode_delta(data, limits=Limits(depth_max=depth))
    with pytest.raises(LimitExceeded) as caught:
        decode_delta(data, limits=Limits(depth_max=depth - 1))
    assert caught.value.limit == "depth_max"


def test_ops_made_by_hand_are_checked_and_copied() -> None:
    value = [1]
    (op,) = ops.checked([ops.Set(("a",), value)])
    value.append(2)
    assert op == ops.Set(("a",), [1])
    for bad in [
        [1],
        [ops.Set(("a",), (1,))],
        [ops.Set("a", 1)],
        [ops.Set(["a"], 1)],
        [ops.Delete((-1,))],
        [ops.Increment((), True)],
        [ops.Increment((), math.nan)],
        [ops.Increment((), 2**64)],
        [ops.Increment((), "1")],
        [ops.Insert((), -1, 1)],
        [ops.Remove((), None)],
        [ops.Move(("a",), None)],
        [ops.Splice(("a",), (ops.Edit(0, 1, "\ud800"),))],
        [ops.Splice(("a",), (ops.Edit(0, -1, ""),))],
        [ops.Splice(("a",), (ops.Edit(2, 0, ""), ops.Edit(1, 0, "")))],
        [ops.Splice(("a",), ((0, 1, 2),))],
        [ops.Erase(("a",))],
        [ops.JsonPatch(1, "/a", 1)],
        [ops.MergePatch({1: 2})],
        [ops.Set(("\ud800",), 1)],
        [ops.JsonPatch("add", "\ud800", 1)],
        [ops.Set((), 2**64)],
    ]:
        with pytest.raises((InvalidDelta, InvalidPath, InvalidValue)):
            ops.checked(bad)  # type: ignore[arg-type]


def test_errors_travel() -> None:
    with pytest.raises(PalimpsestError) as caught:
        decode_delta(b"\x91\x05", limits=LIMITS)
    msgspec.msgpack.encode(caught.value.to_wire())
