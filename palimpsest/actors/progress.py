"""How far a reader of the log has come that deals with what it reads in any order.

Known are the positions that are open alone, and how many were followed before each: everything else that was looked at is done. So what is
kept grows with what is open, and not with what was done behind a change that takes long.
"""

from __future__ import annotations

import bisect
from itertools import pairwise

from palimpsest.state.subscriptions import Runs


class Progress:
    """floor: everything up to there is done. done: what is, too, after it."""

    def __init__(self, floor: int, done: Runs = ()) -> None:
        self.next = floor + 1
        """The first position that was not looked at."""
        self._ahead = list(done)
        """What is done of what was not looked at yet, or is being looked at."""
        self._open: dict[int, int] = {}
        """By position that is open, rising: how many were followed before it."""
        self._count = 0
        """How many were followed."""

    @property
    def floor(self) -> int:
        """Everything up to there is done."""
        return next(iter(self._open), self.next) - 1

    def done(self) -> Runs:
        """What is done after the floor."""
        runs = [
            (before + 1, position - 1)
            for (before, index), (position, following) in pairwise(self._open.items())
            if following - index > 1
        ]
        if self._open:
            last, index = next(reversed(self._open.items()))
            if self._count - index > 1:
                runs.append((last + 1, self.next - 1))
        runs += [(max(first, self.next), last) for first, last in self._ahead if last >= self.next]
        return tuple(runs)

    def follow(self, position: int) -> bool:
        """The next position that is followed, at least `next`. Whether it is open from now on: it may be done already."""
        index, self._count = self._count, self._count + 1
        self.next = position + 1
        if self._ahead and self._take_ahead(position):
            return False
        self._open[position] = index
        return True

    def passed(self, position: int) -> None:
        """Whatever lies before position and was not followed needs nothing to be done."""
        self.next = max(self.next, position)

    def close(self, position: int) -> None:
        """It is done with, if it was open."""
        self._open.pop(position, None)

    def close_ahead(self, position: int) -> bool:
        """It is done, and is not open. Whether that is news: of what was looked at, it was known."""
        if position < self.next or self._is_ahead(position):
            return False
        bisect.insort(self._ahead, (position, position))
        return True

    def _take_ahead(self, position: int) -> bool:
        """Whether it was done before it was looked at. position: rises with each call."""
        passed = 0
        while passed < len(self._ahead) and self._ahead[passed][1] < position:
            passed += 1
        del self._ahead[:passed]
        return bool(self._ahead) and self._ahead[0][0] <= position

    def _is_ahead(self, position: int) -> bool:
        at = bisect.bisect_right(self._ahead, (position, 1 << 63))
        return at > 0 and self._ahead[at - 1][1] >= position
