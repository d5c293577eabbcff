"""What the log keeps: events, and the batches that one commit makes durable.

A batch is a value: it can be stored, shipped and replayed anywhere, and the same batches give the same archive. Deltas are
opaque here: msgpack whose meaning belongs to `state`.

What happened is proved by digests (SHA-256), in two chains: of batches in the journal, and of the events of each stream in the
archive. An event enters its chain as a commitment: the digest of its content behind a random salt. So an event that had to be
erased can leave its commitment behind, and the chain holds; and who has that commitment cannot find out by trying what was
erased, because the salt is gone with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from palimpsest.errors import StoreCorrupt
from palimpsest.words import Meta, Parents

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
    """1, 2, 3, ... without gaps in its stream; the log expects it to be one more than the last. Only the first version of a branch,
    which goes on from a version of another one, and an import may leave some out: what an import brings after them sets the
    whole value."""
    kind: int
    """As in `Kind`. A create's delta sets the root; a delete's is empty; an erasure's is one `erase` op."""
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
    parents: Parents | None = None
    """None for most: it comes from the version before it on its branch, and from nothing else."""


class Batch(msgspec.Struct, frozen=True):
    """What one commit makes durable.

    position: of the first event; the next batch's is position + count. count: at least 1. digest: chained, see
    `chain_digest`. body: the events, encoded as one msgpack array.
    """

    position: int
    count: int
    digest: bytes
    body: bytes
    """The batch's salt, and its events: two msgpack objects. Batches of the first release have no salt."""


SALT_BYTES = 16
CHECK_BYTES = 8


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Event])


def encode_events(events: Sequence[Event], salt: bytes) -> bytes:
    """The body of a batch. salt: SALT_BYTES random bytes, of this batch alone; b"" for one as the first release made it."""
    assert len(salt) in (0, SALT_BYTES), len(salt)
    return (_encoder.encode(salt) if salt else b"") + _encoder.encode(events)


def decode_events(body: bytes) -> list[Event]:
    """Raises StoreCorrupt where body is not what `encode_events` gives."""
    return decode_body(body)[1]


def decode_body(body: bytes) -> tuple[bytes, list[Event]]:
    """The batch's salt, b"" where it has none, and its events. Raises StoreCorrupt as `decode_events` does."""
    start = _SALT_HEADER_BYTES + SALT_BYTES
    salted = body[:_SALT_HEADER_BYTES] == _SALT_HEADER and len(body) > start
    salt = body[_SALT_HEADER_BYTES:start] if salted else b""
    try:
        return salt, _decoder.decode(memoryview(body)[start:] if salted else body)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"a batch does not decode: {error}", reason=str(error)) from error


_SALT_HEADER = bytes((0xC4, SALT_BYTES))
"""How msgpack begins SALT_BYTES bytes; an array of events begins otherwise."""
_SALT_HEADER_BYTES = len(_SALT_HEADER)


def chain_digest(previous: bytes, position: int, count: int, body: bytes) -> bytes:
    """SHA-256 over the digest before, position and count (8 bytes each, big-endian), and the body."""
    digest = hashlib.sha256(previous)
    digest.update(position.to_bytes(8, "big") + count.to_bytes(8, "big"))
    digest.update(body)
    return digest.digest()


# --- the chain of a stream -------------------------------------------------------------------------------------------


def event_salt(batch_salt: bytes, position: int) -> bytes:
    """The salt of the event at position: the first SALT_BYTES of SHA-256 over the batch's salt and position (8 bytes,
    big-endian); b"" where the batch has none."""
    if not batch_salt:
        return b""
    return hashlib.sha256(batch_salt + position.to_bytes(8, "big")).digest()[:SALT_BYTES]


def commitment(salt: bytes, event: Event) -> bytes:
    """SHA-256 over the salt and the event's content: the msgpack array of its fields, document to more. Fields that are
    added to `Event` later are part of it only where they are not their default, so that the digests of old events stay."""
    return hashlib.sha256(salt + _encoder.encode(_content(event))).digest()


def link(previous: bytes, committed: bytes) -> bytes:
    """The stream's digest at an event: SHA-256 over the digest before it (GENESIS before the first) and its commitment."""
    return hashlib.sha256(previous + committed).digest()


def check_bytes(digest: bytes, redacted: Event | None = None) -> bytes:
    """What an archive keeps of the stream's digest beside each event, so that the first that is broken can be named.

    redacted: what is left of an event of which something was erased, which the digest says nothing about.
    """
    if redacted is None:
        return digest[:CHECK_BYTES]
    return hashlib.sha256(digest + _encoder.encode(_content(redacted))).digest()[:CHECK_BYTES]


def committed_meta(meta: Meta | None) -> Meta | tuple[object, ...] | None:
    """As it is encoded where it is proved: without a trace, as it was before there were any."""
    return (meta.by, meta.description, meta.tags) if meta is not None and meta.trace is None else meta


def _content(event: Event) -> tuple[object, ...]:
    content = (
        event.document,
        event.branch,
        event.version,
        event.kind,
        event.at,
        event.delta,
        event.origin,
        event.request,
        committed_meta(event.meta),
        event.key,
        event.more,
    )
    return content if event.parents is None else (*content, event.parents)
