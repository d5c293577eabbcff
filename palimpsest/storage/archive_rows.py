"""How an event and a snapshot are laid in the columns of the archive's tables, and read back from them.

An event found again equals the one that was put in, its delta byte for byte. What is looked for or sorted by is in columns of
its own; the delta comes last, so that a long one is not touched by who looks at the others.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.contracts import Row, Snapshot
from palimpsest.storage.events import CHECK_BYTES, Event, committed_meta
from palimpsest.storage.packing import pack, unpack
from palimpsest.storage.sqlite import INTEGER_MAX
from palimpsest.words import Kind, Meta, Parents

SNAPSHOT_FORMAT = 1
"""How snapshots are laid down by this release. An older one can still be read, and is made anew in time."""

_SUM_BYTES = 8

ROW_BYTES = 96
"""About what a row takes beside what is counted of it: its place, proof and time, and its entries in two indexes."""
SNAPSHOT_BYTES = 80

PUT_EVENT = (
    "INSERT INTO events (position, stream, version, origin, request, key, at, said, proof, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
SET_EVENT = (
    "UPDATE events SET origin = ?, request = ?, key = ?, at = ?, said = ?, proof = ?, body = ?"
    " WHERE position = ? AND stream = ? AND version = ?"
)
EVENT_BYTES = f"length(body) + ifnull(length(said), 0) + {ROW_BYTES}"
"""What `laid_bytes` says, for SQL. The length of a long delta is known without reading it."""

# Text that a client gave is read as bytes, so that damage to it is met where the event's place is known.
EVENT = (
    "SELECT e.position, s.document, s.branch, e.version, CAST(o.name AS BLOB), e.request, CAST(e.key AS BLOB), e.at, e.said,"
    " e.proof, e.body FROM events e JOIN streams s ON s.id = e.stream LEFT JOIN origins o ON o.id = e.origin"
)

_UPDATE = int(Kind.UPDATE)
_ERASED_BYTES = CHECK_BYTES + hashlib.sha256().digest_size


class _Said(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What an event says about itself. Fields are only ever added at the end, with a default. An update that says nothing more
    has none. These are one column because each one more costs 0.15 microseconds a row, of the 3 that a row takes."""

    kind: int = _UPDATE
    more: int = 0
    meta: Meta | None = None
    parents: Parents | None = None


_NOTHING_SAID = _Said()
_encoder = msgspec.msgpack.Encoder()
_delta_decoder = msgspec.msgpack.Decoder(Raw)
_said_decoder = msgspec.msgpack.Decoder(_Said)

Laid = tuple[bytes | None, bytes]
"""The columns `said` and `body`."""


def lay(event: Event) -> Laid:
    body = pack(bytes(event.delta))
    if event.meta is None and event.kind == _UPDATE and not event.more and event.parents is None:
        return None, body
    # As a `_Said`; its meta is that which the event is proved by, so that one who checks it need not know of later fields.
    return _encoder.encode((event.kind, event.more, committed_meta(event.meta), event.parents)), body


def laid_bytes(laid: Laid) -> int:
    """What a row counts as."""
    said, body = laid
    return len(body) + (0 if said is None else len(said)) + ROW_BYTES


def event_columns(row: Row, laid: Laid, stream: int, origin: int | None) -> tuple[Any, ...]:
    """For PUT_EVENT. origin: its id, None where the event has none."""
    event = row.event
    said, body = laid
    place = (row.position, stream, event.version)
    return (*place, origin, request_column(event.request), event.key, event.at, said, _proof(row), body)


def rewritten_columns(row: Row, laid: Laid, stream: int, origin: int | None) -> tuple[Any, ...]:
    """For SET_EVENT."""
    position, _, version, *content = event_columns(row, laid, stream, origin)
    return (*content, position, stream, version)


def request_column(request: int) -> int | str:
    # Special case: a client may count further than SQLite does.
    return request if -INTEGER_MAX <= request <= INTEGER_MAX else str(request)


def _proof(row: Row) -> bytes:
    """The check and the salt; of an event from which something was erased, the check and what it was committed to."""
    return row.check + (row.salt if row.committed is None else row.committed)


def row_of(columns: tuple[Any, ...]) -> Row:
    """columns: as EVENT gives them. Raises StoreCorrupt, which names the event, where they are no row of ours."""
    position, document, branch, version, origin, request, key, at, said_, proof, body = columns
    try:
        if not type(version) is type(at) is int or not type(proof) is type(body) is bytes:
            raise TypeError("a column is of another type")
        said = _NOTHING_SAID if said_ is None else _said_decoder.decode(said_)
        event = Event(
            document,
            branch,
            version,
            said.kind,
            at,
            _delta_decoder.decode(unpack(body)),
            "" if origin is None else origin.decode(),
            int(request),
            said.meta,
            None if key is None else key.decode(),
            said.more,
            said.parents,
        )
    except (msgspec.MsgspecError, TypeError, ValueError, AttributeError) as error:
        reason = f"version {version} of {document} ({branch}) at position {position} does not decode: {error}"
        raise StoreCorrupt(reason, reason=reason) from error
    check, rest = proof[:CHECK_BYTES], proof[CHECK_BYTES:]
    if len(proof) == _ERASED_BYTES:
        return Row(position, event, b"", check, rest)
    return Row(position, event, rest, check)


def tags_of(said: bytes | None) -> tuple[str, ...]:
    """Raises msgspec.MsgspecError where said is damaged."""
    meta = None if said is None else _said_decoder.decode(said).meta
    return () if meta is None else meta.tags


def lay_snapshot(snapshot: Snapshot) -> tuple[bytes, bytes]:
    """The columns `sum` and `value`."""
    return snapshot_sum(snapshot.value), pack(snapshot.value)


def snapshot_sum(value: bytes) -> bytes:
    """What tells whether a snapshot's value is the one that was put in: the first bytes of its SHA-256."""
    return hashlib.sha256(value).digest()[:_SUM_BYTES]


def snapshot_value(sum_: object, kept: object) -> bytes | None:
    """A snapshot's value; None where it is damaged."""
    try:
        value = unpack(kept)  # type: ignore[arg-type]  # a damaged file may hold anything
        return value if snapshot_sum(value) == sum_ else None
    except (TypeError, ValueError):
        return None
