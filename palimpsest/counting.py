"""Histograms: how often a number fell into which range, since the start.

They only ever grow, so that whoever looks twice knows what came between the two looks: nothing is sampled, and nothing has to be asked
at a certain time. What a histogram says of a quantile is as exact as its ranges are narrow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec

SECONDS: Final = (
    0.000_1,
    0.000_25,
    0.000_5,
    0.001,
    0.002_5,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""Bounds for what takes from a tenth of a millisecond to ten seconds."""

EVENTS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
"""Bounds for how many events a batch has."""


class HistogramData(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A histogram as of a moment.

    bounds: rising. counts: one more than there are bounds: of what was at most the first, of what was above it and at most the second,
    and so on; the last of what was above all. sum: of everything that was counted.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self.counts)


class Histogram:
    """One that is being counted. Costs a search among its bounds for each number."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """bounds: rising."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def add(self, number: float) -> None:
        self._counts[bisect_left(self._bounds, number)] += 1
        self._sum += number

    def data(self) -> HistogramData:
        return HistogramData(self._bounds, tuple(self._counts), self._sum)


def since(before: HistogramData | None, now: HistogramData) -> HistogramData:
    """What was counted between the two. before: None for the start; where it is no earlier state of now, as after a restart, it counts
    as the start, too."""
    if before is None or before.bounds != now.bounds:
        return now
    counts = tuple(new - old for old, new in zip(before.counts, now.counts, strict=True))
    if min(counts) < 0:
        return now
    return HistogramData(now.bounds, counts, max(0.0, now.sum - before.sum))


def quantile(data: HistogramData, q: float) -> float | None:
    """About the number that a share q, 0 to 1, of all are not above, as if each range were filled evenly. None where nothing was
    counted; the last bound where it is above all."""
    rank = q * data.count
    if not data.count:
        return None
    below, start = 0, 0.0
    for bound, count in zip(data.bounds, data.counts, strict=False):
        if count and below + count >= rank:
            return start + (bound - start) * (rank - below) / count
        below, start = below + count, bound
    return start
