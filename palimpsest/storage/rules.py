"""The rules of the contracts that every archive follows in the same way."""

from __future__ import annotations

from collections.abc import Iterable

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.contracts import ArchiveEnd, Row, Step
from palimpsest.storage.events import Event


def check_step(end: ArchiveEnd, step: Step, archive: str) -> None:
    """Raises StoreCorrupt where step does not continue, without a gap, what ends at `end`. archive: its name, for messages.

    That heads are given for every stream that rows or snapshots touch is the archiver's duty.
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
    assert touched <= {(head.document, head.branch) for head in step.heads}, "a stream of the step has no head"


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
