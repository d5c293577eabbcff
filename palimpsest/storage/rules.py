"""The rules of the contracts that every archive follows in the same way."""

from __future__ import annotations

from collections.abc import Iterable

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.contracts import ArchiveEnd, Gap, Row, Step
from palimpsest.storage.events import Event


def check_step(end: ArchiveEnd, step: Step, archive: str) -> None:
    """Raises StoreCorrupt where step does not continue, without a gap, what ends at `end`. archive: its name, for messages.

    That heads are given for every stream that rows or snapshots touch, or whose snapshots go, is the archiver's duty.
    """
    expected = end.next
    for row in step.rows:
        if row.position != expected:
            raise _broken(f"position {row.position} was to be archived where {expected} comes next", archive)
        expected += 1
    if step.next != expected:
        raise _broken(f"a step that ends at {expected} says that it ends at {step.next}", archive)
    touched = {(row.event.document, row.event.branch) for row in step.rows}
    touched.update((snapshot.document, snapshot.branch) for snapshot in step.snapshots)
    touched.update(step.forget)
    assert touched <= {(head.document, head.branch) for head in step.heads}, "a stream of the step has no head"


def takes_in(gap: Gap, other: Gap) -> bool:
    """Whether the two, of one stream, overlap or touch, so that they are one gap."""
    return other.first <= gap.last + 1 and other.last >= gap.first - 1


def join_gaps(gap: Gap, others: Iterable[Gap]) -> Gap:
    """What becomes of a new gap and those that it takes in: what it says of the first version is the first one's, of the last
    version the last one's, and of what a subscriber may miss that of all."""
    gaps = [*others, gap]
    first = min(gaps, key=_first)
    last = max(gaps, key=_last)
    position = max(found.position for found in gaps)
    return Gap(gap.document, gap.branch, first.first, last.last, first.at, last.digest, position)


def _first(gap: Gap) -> int:
    return gap.first


def _last(gap: Gap) -> int:
    return gap.last


def not_there(row: Row, archive: str) -> StoreCorrupt:
    """For a rewrite of what is not there."""
    return _broken(f"{name_of(row)} was to be rewritten, and is not there", archive)


def name_of(row: Row) -> str:
    """For messages."""
    event = row.event
    return f"version {event.version} of {event.document} ({event.branch}) at position {row.position}"


def within_bytes(rows: Iterable[Row], bytes_max: int) -> list[Row]:
    """The first of rows, and those after it for as long as their deltas fit into bytes_max together."""
    found: list[Row] = []
    size = 0
    for row in rows:
        size += delta_bytes(row.event)
        if found and size > bytes_max:
            break
        found.append(row)
    return found


def delta_bytes(event: Event) -> int:
    """The size that heads and bounds count an event with."""
    return len(memoryview(event.delta))


def _broken(reason: str, archive: str) -> StoreCorrupt:
    return StoreCorrupt(f"{archive}: {reason}", path=archive, reason=reason)
