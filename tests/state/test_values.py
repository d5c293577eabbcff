from __future__ import annotations

import datetime
import enum
import math
from collections import OrderedDict
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import pmap, pset, pvector
from state_strategies import model_equal, plain_values, shown

from palimpsest.errors import InvalidValue, LimitExceeded
from palimpsest.state.values import (
    check_value,
    decode_plain,
    decode_value,
    depth_of,
    encode_value,
    equal,
    freeze,
    thaw,
)


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    pass


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**63), 2**64 - 1, 1.5, -0.0, "", "é☃", "\x00", [], {}, {"": [None]}, pmap({"a": pvector([1])})],
    ids=shown,
)
def test_what_passes_the_door(value: Any) -> None:
    check_value(value)
    check_value([{"k": value}])
    assert equal(decode_value(encode_value(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        -(2**63) - 1,
        2**64,
        math.nan,
        math.inf,
        -math.inf,
        "\ud800",
        b"",
        bytearray(),
        (),
        (1,),
        set(),
        frozenset(),
        pset(),
        1j,
        object(),
        datetime.datetime(2020, 1, 1),
        msgspec.msgpack.Ext(5, b""),
        msgspec.Raw(b"\xc0"),
        msgspec.UNSET,
        Number.ONE,
        Text("a"),
        OrderedDict(),
        {1: 2},
        {None: 2},
        {True: 2},
        {b"a": 2},
        {Text("a"): 2},
        {"\ud800": 2},
        pmap({1: 2}),
    ],
    ids=shown,
)
def test_what_does_not(value: Any) -> None:
    for outside, path in [(value, ""), ([0, value], "1"), ({"a": {"odd.key": [value]}}, 'a["odd.key"].0')]:
        with pytest.raises(InvalidValue) as caught:
            check_value(outside)
        assert caught.value.path == path
        assert caught.value.reason in caught.value.message
        caught.value.message.encode()
    with pytest.raises(InvalidValue):
        check_value(pvector([pmap({"a": value})]))


def test_the_first_offender_is_named() -> None:
    with pytest.raises(InvalidValue) as caught:
        check_value({"a": [1, 2, {"b": [math.nan]}, (1,)], "c": [b""]})
    assert caught.value.path == "a.3"


@pytest.mark.parametrize("depth", [0, 1, 2, 64])
def test_depth(depth: int) -> None:
    assert depth_of(nested(depth)) == depth_of(freeze(nested(depth))) == depth
    check_value(nested(depth), depth_max=depth)
    check_value(nested(depth), depth_max=depth + 3, depth=3)
    if depth:
        with pytest.raises(LimitExceeded) as caught:
            check_value(nested(depth), depth_max=depth - 1)
        assert (caught.value.limit, caught.value.maximum) == ("depth_max", depth - 1)
        with pytest.raises(LimitExceeded):
            check_value(nested(depth), depth_max=depth + 2, depth=3)


def test_hostile_depth_is_an_error_like_any_other() -> None:
    with pytest.raises(LimitExceeded):
        check_value(nested(100_000))
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(LimitExceeded):
        check_value(circle)
    with pytest.raises(InvalidValue, match="too deep"):
        decode_plain(b"\x91" * 1_000_000 + b"\xc0")


@given(plain_values())
def test_all_forms_say_the_same(value: Any) -> None:
    check_value(value)
    frozen = freeze(value)
    assert encode_value(frozen) == encode_value(value) == encode_value(thaw(frozen))
    assert decode_plain(encode_value(value)) == value == thaw(frozen)
    assert encode_value(decode_value(encode_value(frozen))) == encode_value(value)
    assert freeze(frozen) is frozen
    assert equal(frozen, value)
    assert equal(value, frozen)


@given(plain_values(), plain_values())
def test_equality_is_that_of_json(a: Any, b: Any) -> None:
    expected = model_equal(a, b)
    for first in (a, freeze(a)):
        for second in (b, freeze(b)):
            assert equal(first, second) == equal(second, first) == expected


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, 1.0, True),
        (0.0, -0.0, True),
        (True, 1, False),
        (False, 0, False),
        (None, False, False),
        ("1", 1, False),
        (2**53 + 1, float(2**53), False),
        (2**64 - 1, float(2**64), False),
        ([1], [1.0], True),
        ([], {}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": None}, {}, False),
        ({"a": None}, {"b": None}, False),
    ],
)
def test_equality_table(a: Any, b: Any, same: bool) -> None:
    assert equal(a, b) == equal(b, a) == same


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=8))
def test_the_order_of_keys_does_not_show(value: dict[str, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert encode_value(value) == encode_value(backwards) == encode_value(freeze(backwards))


def test_types_stay_what_they_are() -> None:
    assert len({encode_value(value) for value in (1, 1.0, True, "1")}) == 4
    assert encode_value({"b": 1, "a": [True, None]}) == bytes.fromhex("82a16192c3c0a16201")


def test_mixtures_are_encoded_and_thawed() -> None:
    mixture = {"a": pvector([{"b": [1]}, pmap({"c": 2})])}
    assert encode_value(mixture) == encode_value({"a": [{"b": [1]}, {"c": 2}]})
    assert thaw(mixture) == {"a": [{"b": [1]}, {"c": 2}]}


def test_thawing_copies() -> None:
    plain = {"a": [1]}
    thaw(plain)["a"].append(2)  # type: ignore[index,call-overload,union-attr]
    assert plain == {"a": [1]}


@pytest.mark.parametrize(
    "data", [b"", b"\x91", b"\xc1", b"\x01\x02", b"\xa1\xff", b"\x81\x80\x01", b"\xdd\xff\xff\xff\xff"]
)
def test_bytes_that_are_no_value(data: bytes) -> None:
    with pytest.raises(InvalidValue):
        decode_plain(data)
    with pytest.raises(InvalidValue):
        decode_value(msgspec.Raw(data))


@given(st.binary(max_size=24))
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    try:
        value = decode_plain(data)
        check_value(value)
    except InvalidValue:
        return
    assert equal(decode_plain(encode_value(freeze(value))), value)


def test_what_never_passed_the_door_is_not_encoded() -> None:
    with pytest.raises(InvalidValue):
        encode_value({"a": object()})
