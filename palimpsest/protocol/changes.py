"""A change that goes to many is encoded once; only the list of subscriptions differs from connection to connection."""

from __future__ import annotations

import msgspec

from palimpsest.protocol.messages import Change

_encode = msgspec.msgpack.Encoder().encode
_PREFIX_BYTES = 3
"""The array's header, the tag, and an empty list of subscriptions."""


def encode_change(change: Change) -> tuple[bytes, bytes]:
    """change: its subscriptions are (). What is before the list of subscriptions, and what is after it."""
    whole = _encode(change)
    assert whole[_PREFIX_BYTES - 1] == 0x90, "the subscriptions of a shared change are empty"
    return whole[: _PREFIX_BYTES - 1], whole[_PREFIX_BYTES:]


def address(encoded: tuple[bytes, bytes], subscriptions: tuple[int, ...]) -> bytes:
    """The encoded message, for these subscriptions of one connection."""
    return encoded[0] + _encode(subscriptions) + encoded[1]
