"""Reads a whole store and says what is wrong with it.

It asks through the contracts alone, so that every implementation is held to the same, and each may add what only it can see.
A finding is a sentence; a store without any is sound.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

from palimpsest.errors import StorageError
from palimpsest.storage.chains import Chains
from palimpsest.storage.contracts import Archive, Head, Journal, Row, Stream, Stretch
from palimpsest.storage.events import (
    GENESIS,
    Batch,
    Event,
    chain_digest,
    commitment,
    decode_body,
    decode_events,
    event_salt,
)
from palimpsest.storage.rules import delta_bytes, name_of

_CHUNK = 256
"""Streams asked for at once."""
_READ_ROWS = 4_096
_READ_BYTES = 4 * 1024 * 1024


@runtime_checkable
class SelfChecking(Protocol):
    """What has more to say about itself than its contract shows."""

    async def check(self) -> list[str]: ...


async def check_journal(journal: Journal) -> list[str]:
    """journal: open. Findings: its batches are chained and without a gap up to its end, each decodes and holds what it says;
    versions of a stream follow one another, and their times never go back; transactions lie within one batch."""
    try:
        findings = await _check_itself(journal)
        return findings + await _check_batches(journal)
    except StorageError as error:
        return [error.message]


async def check_archive(archive: Archive, journal: Journal | None = None, *, requests: bool = True) -> list[str]:
    """archive: open. Findings: every version of every stream is there or lies in a gap, and is linked to the one before it; times
    never go back; heads, names, tags, snapshots and requests say what the rows say. journal: open; what both have is the same.
    requests: False leaves out looking every request up, which takes a call for each row."""
    findings: list[str] = []
    chains = Chains(archive)
    try:
        findings += await _check_itself(archive)
        async for row in _rows(archive, chains):
            await chains.follow(row)
            if requests:
                findings += await _check_request(archive, row)
        await chains.close()
        findings += await _check_heads(archive, chains.last)
        findings += await _check_names(archive, chains.last)
        if journal is not None:
            findings += await _check_against(archive, journal)
    except StorageError as error:
        return [*findings, *chains.findings, error.message]
    return [*findings, *chains.findings]


class _Streams:
    """Follows the events of a journal, and keeps the last of every stream."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self._last: dict[Stream, Row] = {}

    def follow(self, row: Row) -> None:
        event = row.event
        before = self._last.get((event.document, event.branch))
        self._last[event.document, event.branch] = row
        if before is None:
            return
        if event.version <= before.event.version:
            self.findings.append(f"{name_of(row)} follows version {before.event.version}")
        if event.at < before.event.at:
            self.findings.append(f"{name_of(row)} is dated before the version before it")


async def _check_itself(store: object) -> list[str]:
    return await store.check() if isinstance(store, SelfChecking) else []


# --- the journal -----------------------------------------------------------------------------------------------------


async def _check_batches(journal: Journal) -> list[str]:
    end = await journal.end()
    streams = _Streams()
    position = end.oldest
    digest = GENESIS if position == 1 else None
    async for batch in _batches(journal, position):
        streams.findings += _check_batch(batch, position, digest)
        for place, event in enumerate(decode_events(batch.body), batch.position):
            streams.follow(Row(place, event))
        position, digest = batch.position + batch.count, batch.digest
    if position != end.next or (digest is not None and digest != end.digest):
        streams.findings.append(f"the journal ends at position {position}, and says that it ends at {end.next}")
    return streams.findings


def _check_batch(batch: Batch, position: int, previous: bytes | None) -> Iterator[str]:
    events = decode_events(batch.body)
    if batch.position != position:
        yield f"the batch at position {position} is missing; {batch.position} comes next"
    if batch.count < 1 or len(events) != batch.count:
        yield f"the batch at position {batch.position} holds {len(events)} events and says {batch.count}"
    if previous is not None and chain_digest(previous, batch.position, batch.count, batch.body) != batch.digest:
        yield f"the batch at position {batch.position} does not match its digest"
    yield from _check_transactions(batch, events)


def _check_transactions(batch: Batch, events: Sequence[Event]) -> Iterator[str]:
    expected = 0
    for place, event in enumerate(events, batch.position):
        if expected and event.more != expected - 1:
            yield f"the event at position {place} is not the next one of its transaction"
        expected = event.more
    if expected:
        yield f"a transaction goes on beyond the batch at position {batch.position}"


async def _batches(journal: Journal, position: int) -> AsyncIterator[Batch]:
    while batches := await journal.read(position, bytes_max=_READ_BYTES):
        for batch in batches:
            yield batch
        position = batches[-1].position + batches[-1].count


# --- the archive -----------------------------------------------------------------------------------------------------


async def _rows(archive: Archive, chains: Chains) -> AsyncIterator[Row]:
    """All rows in order of position. What is missing between them is counted, and must lie in gaps."""
    end = await archive.end()
    position = end.oldest
    while rows := await archive.read(position, rows_max=_READ_ROWS, bytes_max=_READ_BYTES):
        for row in rows:
            chains.skip(position, row.position)
            yield row
            position = row.position + 1
    chains.skip(position, end.next)


async def _check_request(archive: Archive, row: Row) -> list[str]:
    event = row.event
    if event.key is None and not event.origin:
        return []
    found = await archive.find_request(
        event.document, event.branch, origin=event.origin, request=event.request, key=event.key
    )
    if found is None or found.position > row.position or _identity(found.event) != _identity(event):
        return [f"{name_of(row)} is not found by its request"]
    return []


def _identity(event: Event) -> tuple[object, ...]:
    request = (event.origin, event.request) if event.key is None else event.key
    return event.document, event.branch, request


async def _check_heads(archive: Archive, last: dict[Stream, Row]) -> list[str]:
    findings: list[str] = []
    streams = iter(last)
    while chunk := list(islice(streams, _CHUNK)):
        heads = await archive.heads(chunk)
        stretches = await archive.load(chunk)
        for stream, head, stretch in zip(chunk, heads, stretches, strict=True):
            findings += _check_head(last[stream], head)
            findings += _check_stretch(last[stream], head, stretch)
    return findings


def _check_head(row: Row, head: Head | None) -> Iterator[str]:
    event = row.event
    if head is None:
        yield f"{name_of(row)} belongs to a stream without a head"
    elif (head.version, head.position, head.kind, head.at) != (event.version, row.position, event.kind, event.at):
        yield f"{name_of(row)} is the newest, and the head of its stream says otherwise: {head}"


def _check_stretch(row: Row, head: Head | None, stretch: Stretch | None) -> Iterator[str]:
    if head is None or stretch is None or not stretch.rows or stretch.head != head or stretch.rows[-1] != row:
        yield f"{name_of(row)} is the newest, and is not what loading its stream ends with"
        return
    since_bytes = sum(delta_bytes(found.event) for found in stretch.rows if found.event.version > head.snapshot)
    # What was pruned or erased since may still be counted: it says when the next snapshot is due, and no more.
    if head.since_bytes < since_bytes:
        yield f"{name_of(row)} has {since_bytes} bytes after its newest snapshot, and the head says: {head}"


async def _check_names(archive: Archive, last: dict[Stream, Row]) -> list[str]:
    findings: list[str] = []
    for branch in sorted({branch for _, branch in last}):
        expected = sorted(document for document, found in last if found == branch)
        names: list[str] = []
        while heads := await archive.names(branch, prefix="", after=names[-1] if names else "", limit=_CHUNK):
            names += [head.document for head in heads]
        if names != expected:
            findings.append(f"the names of branch {branch} are not those of its streams")
    return findings


async def _check_against(archive: Archive, journal: Journal) -> list[str]:
    archived, kept = await archive.end(), await journal.end()
    if archived.next > kept.next or archived.next < kept.oldest:
        return [f"the archive ends at {archived.next}, and the journal has {kept.oldest} to {kept.next}"]
    findings: list[str] = []
    async for batch in _batches(journal, kept.oldest):
        if batch.position >= archived.next:
            break
        findings += await _compare(archive, batch, archived.next)
        if batch.position + batch.count == archived.next and batch.digest != archived.digest:
            findings.append(f"the archive ends at {archived.next} with another digest than the journal")
    return findings


async def _compare(archive: Archive, batch: Batch, next_: int) -> list[str]:
    salt, events = decode_body(batch.body)
    end = min(batch.position + batch.count, next_)
    found: dict[int, Row] = {}
    position = batch.position
    while position < end:
        rows = await archive.read(position, rows_max=end - position, bytes_max=_READ_BYTES)
        found |= {row.position: row for row in rows if row.position < end}
        position = rows[-1].position + 1 if rows else end
    for place, event in enumerate(events[: end - batch.position], batch.position):
        expected = Row(place, event, event_salt(salt, place))
        if place in found:
            same = _is_same(found[place], expected)
        else:
            gaps = await archive.gaps(event.document, event.branch)
            same = any(gap.first <= event.version <= gap.last for gap in gaps)
        if not same:
            return [f"the batch at position {batch.position} is not what the archive has in its place"]
    return []


def _is_same(row: Row, expected: Row) -> bool:
    if row.committed is not None:
        return row.committed == commitment(expected.salt, expected.event)
    return (row.salt, row.event) == (expected.salt, expected.event)
