"""What a run found, as data: it is printed, drawn and kept as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from bench.peer import PALIMPSEST, REDIS

Figures = dict[str, float]
"""What one turn measured, by name; the unit ends the name."""


class Goal(msgspec.Struct, frozen=True):
    """What Palimpsest's figure divided by Redis's is to be."""

    sense: Literal["at_least", "at_most"]
    ratio: float

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.ratio if self.sense == "at_least" else ratio <= self.ratio

    def __str__(self) -> str:
        return f"{'at least' if self.sense == 'at_least' else 'at most'} {self.ratio:g}x"


class Comparison(msgspec.Struct, frozen=True):
    """One thing that was measured with each peer in turn, several times over.

    metric: the name of the figure that is compared, `per_second` or `p50_us`. rounds: by peer, in order. median: by peer, of
    each figure on its own. ratio: of the medians of `metric`, Palimpsest's over Redis's; None where a peer is missing.
    """

    part: str
    key: str
    title: str
    metric: str
    goal: Goal | None
    rounds: Mapping[str, Sequence[Figures]]
    median: Mapping[str, Figures]
    ratio: float | None
    goal_met: bool | None


class Single(msgspec.Struct, frozen=True):
    """A figure that stands alone."""

    key: str
    title: str
    value: float
    unit: str


class Results(msgspec.Struct, frozen=True):
    """A whole run. at: when it began, ISO 8601 in UTC. skipped: in plain words, what was not measured and why."""

    at: str
    size: str
    machine: Mapping[str, str | int]
    work: str
    comparisons: Sequence[Comparison]
    floor: Sequence[Single]
    documents: Sequence[Single]
    skipped: Sequence[str]
    history: Sequence[Single] = ()
    branches: Sequence[Single] = ()
    feeds: Sequence[Single] = ()
    perspectives: Sequence[Single] = ()
    sync: Sequence[Single] = ()
    gateway: Sequence[Single] = ()

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def compare(
    part: str, key: str, title: str, metric: str, goal: Goal | None, rounds: Mapping[str, Sequence[Figures]]
) -> Comparison:
    """Medians and the ratio. rounds: of each peer, the same number, at least one."""
    median = {
        peer: {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
        for peer, turns in rounds.items()
    }
    ratio = None
    if PALIMPSEST in median and REDIS in median:
        ratio = median[PALIMPSEST][metric] / median[REDIS][metric]
    goal_met = None if goal is None or ratio is None else goal.is_met(ratio)
    return Comparison(part, key, title, metric, goal, rounds, median, ratio, goal_met)
