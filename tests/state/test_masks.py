"""What stands in for values, and how little of them can be told from it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from state_strategies import model_equal, plain_values

from palimpsest.state import freeze, thaw
from palimpsest.state.masks import digest, last, masking
from palimpsest.state.perspectives import Mask


@pytest.mark.parametrize("value", ["a text", 7, None, {"a": [1]}, [1, 2]])
def test_a_constant_takes_the_place_of_anything(value: Any) -> None:
    assert masking(Mask())(freeze(value)) == "***"
    assert thaw(masking(Mask(value={"hidden": [True]}))(freeze(value))) == {"hidden": [True]}
    assert masking(Mask(value=None))(freeze(value)) is None


@pytest.mark.parametrize(
    ("value", "characters", "shown"),
    [
        ("4111111111111111", 4, "***1111"),
        ("12345678", 4, "***5678"),
        ("1234567", 4, "***"),
        ("", 1, "***"),
        ("née☃", 1, "***☃"),
        (4111111111111111, 4, "***"),
        (["4111111111111111"], 4, "***"),
        (None, 1, "***"),
    ],
)
def test_the_last_characters_of_a_text(value: Any, characters: int, shown: str) -> None:
    assert last(freeze(value), characters) == shown
    assert masking(Mask(kind="last", characters=characters))(freeze(value)) == shown


def test_a_hash_is_hmac_sha256() -> None:
    expected = hmac.new(b"key", b"\xa5value", hashlib.sha256).hexdigest()[:32]
    assert masking(Mask(kind="hash", key="key"))("value") == expected == digest("value", b"key")
    assert digest("value", b"other") != expected


@given(plain_values(), plain_values())
def test_hashes_are_equal_where_values_are(a: Any, b: Any) -> None:
    assert (digest(freeze(a), b"k") == digest(freeze(b), b"k")) == model_equal(a, b)


def test_a_whole_number_is_one_number() -> None:
    assert digest(1, b"k") == digest(1.0, b"k") != digest(1.5, b"k")
    assert digest(0, b"k") == digest(-0.0, b"k") != digest(False, b"k")
    assert digest(2**64 - 1, b"k") != digest(1e19, b"k") == digest(10**19, b"k")
