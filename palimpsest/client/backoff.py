"""How long to wait before the next attempt: exponential backoff with full jitter, as in Brooker's "Exponential Backoff And
Jitter". Clients that lost the same server come back spread out, and not all at once."""

from __future__ import annotations

import random


class Backoff:
    """delays are drawn from 0 to a bound that doubles from `minimum` to `maximum`, both in seconds."""

    def __init__(self, minimum: float, maximum: float, *, source: random.Random | None = None) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._bound = minimum
        self._random = source if source is not None else random.Random()

    def next_seconds(self) -> float:
        seconds = self._random.uniform(0.0, self._bound)
        self._bound = min(self._maximum, self._bound * 2)
        return seconds

    def reset(self) -> None:
        """An attempt has succeeded: the next failure is a first one again."""
        self._bound = self._minimum
