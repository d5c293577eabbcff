from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import InvalidValue, LimitExceeded, Overloaded
from palimpsest.web.bodies import announced_bytes, check_encoding, decode_as, decode_body, decode_json, media_type_of
from palimpsest.web.budget import Budget
from palimpsest.web.problems import Refused

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_that_every_value_is_read_however_it_is_written(value: Any, is_ascii: bool) -> None:
    assert decode_json(json.dumps(value, ensure_ascii=is_ascii, indent=1).encode()) == value


@given(st.dictionaries(st.text(max_size=4), VALUES, min_size=1, max_size=3))
def test_that_a_key_that_is_there_twice_is_found_wherever_it_is(value: dict[str, Any]) -> None:
    key = next(iter(value))
    inner = json.dumps(value)
    raw = f'[{{"a:b\\"": "x:y"}}, {inner[:-1]}, {json.dumps(key)}: 1}}]'.encode()
    with pytest.raises(Refused) as refused:
        decode_json(raw)
    assert repr(key) in refused.value.answer.content.detail


def test_that_a_large_text_costs_no_stack() -> None:
    text = '"' * 3 + "\\" * 100_000 + ":" * 100_000
    assert decode_json(json.dumps([text, {text: 1}]).encode()) == [text, {text: 1}]


@pytest.mark.parametrize(
    ("raw", "path"), [(b"[18446744073709551616]", "0"), (b'{"a":-1e400}', "a"), (b"[[" + b"9" * 5_000 + b"]]", "0.0")]
)
def test_that_numbers_beyond_the_range_are_named_by_their_path(raw: bytes, path: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        decode_json(raw)
    assert refused.value.path == path


@pytest.mark.parametrize(
    "raw", [b"", b"nul", b"[1,]", b"'a'", b"\xef\xbb\xbf1", b"1 2", b'"\x00"', b"Infinity", b'{"a"}']
)
def test_that_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        decode_json(raw)
    assert refused.value.answer.status == 400


def test_that_what_nests_deeper_than_any_body_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        decode_json(b"[" * 80 + b"]" * 80)


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    count: int


def test_that_a_body_is_what_the_operation_takes() -> None:
    assert decode_body(b'{"count": 1}', _Body) == _Body(1)
    for raw in (b'{"count": "1"}', b"{}", b'{"count": 1, "more": 1}', b"null"):
        with pytest.raises(Refused) as refused:
            decode_body(raw, _Body)
        assert refused.value.answer.status == 422


def test_that_a_type_that_is_not_taken_is_told_which_are() -> None:
    bodies = {"application/json": Any, "application/x+json": Any}
    assert decode_as(b"1", "application/x+json", bodies) == 1
    with pytest.raises(Refused) as refused:
        decode_as(b"1", "text/plain", bodies)
    assert refused.value.answer.status == 415
    assert refused.value.answer.headers["Accept"] == "application/json, application/x+json"


def test_what_headers_say_of_a_body() -> None:
    assert media_type_of({"content-type": "Application/JSON; charset=utf-8"}) == "application/json"
    assert media_type_of({}) == ""
    assert announced_bytes({"content-length": "12"}) == 12
    assert announced_bytes({}) == 0
    check_encoding({"content-encoding": "Identity"})
    with pytest.raises(Refused):
        check_encoding({"content-encoding": "gzip"})


def test_that_a_budget_is_not_exceeded_and_comes_back() -> None:
    budget = Budget(10)
    budget.take(6)
    with pytest.raises(Overloaded) as refused:
        budget.take(5)
    assert (refused.value.limit, refused.value.maximum, budget.held_bytes) == ("bodies_bytes_max", 10, 6)
    budget.give(6)
    budget.take(10)
