"""What time it is: the one place that asks the machine.

Times of events are whole microseconds since the Unix epoch (UTC), so that they compare, encode and subtract as ints.
Durations are measured in seconds by a monotonic clock. Everything that needs a time is given a `Clock`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    def now(self) -> int:
        """Microseconds since the Unix epoch, UTC. May step backwards, as clocks of machines do."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never runs backwards."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> int:
        return time.time_ns() // 1000

    monotonic = staticmethod(time.monotonic)


class ManualClock:
    """A clock that stands still until it is told to go on, for tests."""

    def __init__(self, start: datetime = datetime(2020, 1, 1, tzinfo=UTC)) -> None:
        self._microseconds = to_microseconds(start)
        self._seconds = 0.0

    def now(self) -> int:
        return self._microseconds

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Both clocks go on. seconds: at least 0."""
        if seconds < 0:
            raise ValueError(f"a clock does not advance by {seconds} seconds; use step() to set it back")
        self._microseconds += round(seconds * 1_000_000)
        self._seconds += seconds

    def step(self, seconds: float) -> None:
        """The wall clock alone is set, forwards or backwards, as by an operator or NTP."""
        self._microseconds += round(seconds * 1_000_000)


def to_microseconds(moment: datetime) -> int:
    """moment: with a time zone. Exact."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(microseconds: int) -> datetime:
    """The moment, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)
