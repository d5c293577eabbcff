from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client.requests import Create, check_numbers, encode_changes, encode_new_value, make_meta, make_parts
from palimpsest.errors import InvalidName, InvalidPath, InvalidRequest, InvalidValue
from palimpsest.protocol.messages import Part
from palimpsest.state.delta import DELETE, Delta, Increment
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


def test_parts_of_a_transaction() -> None:
    parts = make_parts({"a": {"x": 1}, "b": Create(5), "c": DELETE, "d": Delta()}, "main", {"a": 4})
    assert parts == (
        Part(1, "a", Raw(Delta().set("x", 1).encode()), "main", 4),
        Part(0, "b", Raw(b"\x05"), "main", None),
        Part(2, "c", Raw(b"\xc0"), "main", None),
        Part(1, "d", Raw(b"\x90"), "main", None),
    )
    with pytest.raises(InvalidRequest, match="'z'"):
        make_parts({"a": {}}, "main", {"z": 1})
    with pytest.raises(InvalidName):
        make_parts({5: {}}, "main", {})  # type: ignore[dict-item]
