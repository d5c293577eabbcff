"""What the log keeps: events, and the batches that one commit makes durable.

A batch is a value: it can be stored, shipped and replayed anywhere, and the same batches give the same archive. Deltas are
opaque here: msgpack whose meaning belongs to `state`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from palimpsest.errors import StoreCorrupt
from palimpsest.words import Meta

GENESIS = bytes(32)
"""The digest before the first batch."""

NO_DELTA = Raw(b"\x90")


class Event(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One version of a document branch, as the log keeps it.

    Fields are only ever added at the end, with a default: every event ever written decodes as this type.
    """

    document: str
    branch: str
    version: int
    """1, 2, 3, ... without gaps in its stream; the log expects it to be one more than the last."""
    kind: int
    """As in `Kind`. A create's delta sets the root; a delete's is empty."""
    at: int
    """Microseconds since the epoch. Never less than that of the event before it in its stream."""
    delta: Raw
    origin: str
    """The client id that asked, or "" where `key` tells the request apart."""
    request: int
    """The client's number of the request."""
    meta: Meta | None = None
    key: str | None = None
    """A request id of the caller's own."""
    more: int = 0
    """How many events of the same transaction follow this one, in the same batch."""


class Batch(msgspec.Struct, frozen=True):
    """What one commit makes durable.

    position: of the first event; the next batch's is position + count. count: at least 1. digest: chained, see
    `chain_digest`. body: the events, encoded as one msgpack array.
    """

    position: int
    count: int
    digest: bytes
    body: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Event])


def encode_events(events: Sequence[Event]) -> bytes:
    return _encoder.encode(events)


def decode_events(body: bytes) -> list[Event]:
    """Raises StoreCorrupt where body is not what `encode_events` gives."""
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"a batch does not decode: {error}", reason=str(error)) from error


def chain_digest(previous: bytes, position: int, count: int, body: bytes) -> bytes:
    """SHA-256 over the digest before, position and count (8 bytes each, big-endian), and the body."""
    digest = hashlib.sha256(previous)
    digest.update(position.to_bytes(8, "big") + count.to_bytes(8, "big"))
    digest.update(body)
    return digest.digest()
