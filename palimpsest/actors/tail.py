"""What is durable and not archived yet, in memory.

Encoded as it was committed: a hundred bytes an event, where decoded events would take six hundred.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Batch, Event, decode_body, decode_events, event_salt


class Tail:
    """Batches from `start` (included) to `end` (excluded), without a gap."""

    def __init__(self, start: int) -> None:
        self.start = start
        """The first position that is not archived; batches may reach back before it."""
        self.end = start
        """The first position that is not durable."""
        self.erased_at = start - 1
        """The position of the newest erasure, or of what may be one. What was read before that is archived may hold what is to be gone."""
        self.bytes = 0
        self._batches: deque[Batch] = deque()
        self._durable_at: deque[float] = deque()
        """When each became durable, in monotonic seconds."""
        self._decoded: tuple[int, list[Event]] = (0, [])

    @property
    def oldest_at(self) -> float | None:
        """When the oldest that is not archived became durable, or was read from the journal at the start; None where all is archived."""
        return self._durable_at[0] if self.start < self.end else None

    def append(self, batch: Batch, durable_at: float = 0.0) -> None:
        """batch: durable since durable_at, in monotonic seconds; it follows the last."""
        self._batches.append(batch)
        self._durable_at.append(durable_at)
        self.bytes += len(batch.body)
        self.end = batch.position + batch.count

    def trim(self, position: int) -> None:
        """Everything before `position` is durably archived."""
        self.start = max(self.start, position)
        batches = self._batches
        while batches and batches[0].position + batches[0].count <= position:
            self.bytes -= len(batches.popleft().body)
            self._durable_at.popleft()

    def batches(self, position: int, *, bytes_max: int) -> list[Batch]:
        """Batches from the one that holds `position`; at least one where there is one, then as fit into bytes_max."""
        found: list[Batch] = []
        size = 0
        for index in range(self._index(position), len(self._batches)):
            batch = self._batches[index]
            size += len(batch.body)
            if found and size > bytes_max:
                break
            found.append(batch)
        return found

    def row(self, position: int) -> Row:
        """start <= position < end."""
        batch = self._batches[self._index(position)]
        return Row(position, self._events(batch)[position - batch.position])

    def salt(self, position: int) -> bytes:
        """Of the event at position. start <= position < end."""
        return event_salt(decode_body(self._batches[self._index(position)].body)[0], position)

    def rows(self, position: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """Rows from `position` on; at least one where there is one, then as both bounds allow, by whole batches."""
        found: list[Row] = []
        for batch in self.batches(position, bytes_max=bytes_max):
            if found and len(found) + batch.count > rows_max:
                break
            for place, event in enumerate(self._events(batch), batch.position):
                if place >= position:
                    found.append(Row(place, event))
        return found

    def _index(self, position: int) -> int:
        return max(0, bisect_right(self._batches, position, key=_first_position) - 1)

    def _events(self, batch: Batch) -> list[Event]:
        # Readers of one stream ask for neighbours, which often lie in the same batch.
        position, events = self._decoded
        if position != batch.position or not events:
            events = decode_events(batch.body)
            self._decoded = (batch.position, events)
        return events


def _first_position(batch: Batch) -> int:
    return batch.position
