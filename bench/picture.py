"""The figures as a picture, for the README and the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.peer import PALIMPSEST, REDIS
from bench.report import readable
from bench.results import Comparison, Results

_COLOURS = {PALIMPSEST: "#2a6f97", REDIS: "#c0a080"}
_LABELS = {PALIMPSEST: "Palimpsest", REDIS: "Redis 7, log fsynced"}
_INK = "#404040"


def draw(results: Results, path: Path) -> None:
    """Writes path, in the format that its ending names (svg, png, pdf). The same results give the same bytes."""
    rates = [comparison for comparison in results.comparisons if comparison.metric == "per_second"]
    waits = [comparison for comparison in results.comparisons if comparison.metric == "p50_us"]
    with mpl.rc_context({"svg.hashsalt": "palimpsest", "font.size": 9, "text.color": _INK, "ytick.color": _INK}):
        figure = Figure(figsize=(8, 1.6 + 0.5 * (len(rates) + len(waits))), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=[max(len(rates), 1), max(len(waits), 1)])
        _bars(above, rates, "/s", "per second: longer is better")
        _bars(below, waits, "us", "median wait for one durable update: shorter is better")
        figure.suptitle("Every update is on disk before it is answered", fontsize=11)
        above.legend(loc="upper right", frameon=False)
        figure.supxlabel(_footnote(results), fontsize=7)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


def _bars(axes: Axes, comparisons: Sequence[Comparison], unit: str, title: str) -> None:
    height = 0.38
    for offset, peer in ((-height / 2, PALIMPSEST), (height / 2, REDIS)):
        values = [comparison.median.get(peer, {}).get(comparison.metric, 0.0) for comparison in comparisons]
        places = [place + offset for place in range(len(comparisons))]
        bars = axes.barh(places, values, height, color=_COLOURS[peer], label=_LABELS[peer])
        texts = [_text(comparison, peer, value, unit) for comparison, value in zip(comparisons, values, strict=True)]
        axes.bar_label(bars, texts, padding=3, fontsize=8)
    axes.set_yticks(range(len(comparisons)), [f"{comparison.title}\n{comparison.part}" for comparison in comparisons])
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.set_title(title, fontsize=9, loc="left")
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _text(comparison: Comparison, peer: str, value: float, unit: str) -> str:
    if not value:
        return "not measured"
    if peer == PALIMPSEST and comparison.ratio is not None:
        return f"{readable(value, unit)}  ({comparison.ratio:.2g}x)"
    return readable(value, unit)


def _footnote(results: Results) -> str:
    machine = results.machine
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['filesystem']}; {machine['python']}; "
        f"Redis {machine['redis-server']} does the same by a script of HSET, HINCRBY, XADD and PUBLISH."
    )
