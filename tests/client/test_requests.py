from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client.requests import check_numbers, encode_changes, encode_new_value, make_meta
from palimpsest.errors import InvalidPath, InvalidRequest, InvalidValue
from palimpsest.state.delta import Delta, Increment
from palimpsest.words import Meta


def test_changes_are_a_mapping_or_a_delta() -> None:
    expected = Raw(Delta().set("a", 1).increment("b").encode())
    mapping = {"a": 1, "b": Increment()}
    assert encode_changes(mapping) == encode_changes(MappingProxyType(mapping)) == expected
    assert encode_changes(Delta.from_mapping(mapping)) == expected
    with pytest.raises(InvalidRequest, match="not a list"):
        encode_changes([("a", 1)])  # type: ignore[arg-type]
    with pytest.raises(InvalidPath):
        encode_changes({"a..b": 1})


def test_values_pass_the_door() -> None:
    assert encode_new_value({"a": [1]}) == Raw(b"\x81\xa1a\x91\x01")
    with pytest.raises(InvalidValue):
        encode_new_value({"a": {1, 2}})


def test_what_is_said_about_a_version() -> None:
    assert make_meta(None, None, ()) is None
    assert make_meta("ana", None, ["b", "a", "b"]) == Meta("ana", None, ("a", "b"))
    for said in [("ana", None, "tag"), (5, None, ()), (None, b"x", ()), (None, None, {1})]:
        with pytest.raises((InvalidRequest, TypeError)):
            make_meta(*said)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", ["1", 1.0, True, 2**63, -(2**63) - 1])
def test_numbers_fit_into_a_message(number: Any) -> None:
    with pytest.raises(InvalidRequest, match="expect"):
        check_numbers(expect=number)
