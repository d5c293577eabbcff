"""What comes first, of names whose keys change: a heap, where an entry that is no longer so is passed over.

A name that moves gets an entry more, and the old one is dropped when it comes to the front, or with all others of its kind once they
are too many. So a move costs the same for any number of names.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=float)

_SPARE = 64
"""So many entries may be no longer so, and as many again as were so when they were last looked through."""


class Agenda(Generic[K]):
    """key_of: where a name is now; None where it is not to come at all."""

    __slots__ = ("_entries_max", "_key_of", "entries")

    def __init__(self, key_of: Callable[[str], K | None]) -> None:
        self._key_of = key_of
        self.entries: list[tuple[K, str]] = []
        """A heap, those included that are no longer so: where it is empty, nothing is to come."""
        self._entries_max = _SPARE

    def put(self, key: K, name: str) -> None:
        """The name is at key from now on, as `key_of` says."""
        heapq.heappush(self.entries, (key, name))
        if len(self.entries) > self._entries_max:
            self.entries = list(self._current())
            heapq.heapify(self.entries)
            self._entries_max = _SPARE + 2 * len(self.entries)

    def first(self) -> tuple[K, str] | None:
        """The lowest key and its name, which stay; None where nothing is to come."""
        entries = self.entries
        while entries:
            key, name = entries[0]
            if self._key_of(name) == key:
                return entries[0]
            heapq.heappop(entries)
        return None

    def drop_first(self) -> None:
        """What `first` has just given is no longer so."""
        heapq.heappop(self.entries)

    def names(self) -> set[str]:
        """All that are to come."""
        return {name for _, name in self._current()}

    def _current(self) -> Iterator[tuple[K, str]]:
        return (entry for entry in set(self.entries) if self._key_of(entry[1]) == entry[0])
