"""What stands in for a value that is not to be seen."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from palimpsest.state.definitions import Mask
from palimpsest.state.values import FROZEN_LIST, FROZEN_MAP, INT_MAX, INT_MIN, Value, encode_value, freeze

STARS = "***"
HASH_DIGITS = 32

Masking = Callable[[Value], Value]


def masking(mask: Mask) -> Masking:
    """The function from a frozen value to what is shown in its place, frozen."""
    if mask.kind == "last":
        return lambda value: last(value, mask.characters)
    if mask.kind == "hash":
        key = mask.key.encode()
        return lambda value: digest(value, key)
    constant = freeze(mask.value)
    return lambda value: constant


def last(value: Value, characters: int) -> str:
    """The last characters of a text after `***`; `***` alone for anything else, and for a text of which that would be more than half."""
    if not isinstance(value, str) or len(value) < 2 * characters:
        return STARS
    return STARS + value[len(value) - characters :]


def digest(value: Value, key: bytes) -> str:
    """The first 32 hex digits of HMAC-SHA256 (RFC 2104). Values that are equal as JSON have the same: `1` and `1.0`, too."""
    return hmac.new(key, encode_value(_canonical(value)), hashlib.sha256).hexdigest()[:HASH_DIGITS]


def _canonical(value: Any) -> Any:
    """value with whole numbers as integers."""
    kind = type(value)
    if kind is FROZEN_MAP:
        return {name: _canonical(item) for name, item in value.iteritems()}
    if kind is FROZEN_LIST:
        return [_canonical(item) for item in value]
    if kind is float and INT_MIN <= value <= INT_MAX and value.is_integer():
        return int(value)
    return value
