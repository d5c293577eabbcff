"""History at its own pace: when each change is due, if the time between changes is to pass as it did, or n times as fast."""

from __future__ import annotations


class Pace:
    """speed: 1 is as fast as it was. The first change is due at once, and the others from there."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first: tuple[int, float] | None = None
        """The time of the first change, in microseconds since the epoch, and when it was asked about, in seconds."""

    def wait_seconds(self, at_microseconds: int, now: float) -> float:
        """How long until a change that was made at `at_microseconds` is due; 0 or less: it is. now: by a clock that does not
        jump, in seconds. A reader that was held up gets what it missed at once, and is on time again."""
        if self._first is None:
            self._first = (at_microseconds, now)
        first, started = self._first
        return started + (at_microseconds - first) / 1e6 / self._speed - now
