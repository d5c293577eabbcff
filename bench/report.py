"""The table that people read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.peer import PALIMPSEST, REDIS
from bench.results import Comparison, Results, Single


def print_results(results: Results, console: Console) -> None:
    machine = results.machine
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['filesystem']}, {machine['kernel']}, "
        f"{machine['python']}, redis-server {machine['redis-server']}, size {results.size}",
        style="dim",
    )
    console.print(results.work, style="dim")
    if results.comparisons:
        console.print(_comparison_table(results.comparisons))
    for title, figures in (
        ("The floor", results.floor),
        ("Documents", results.documents),
        ("History", results.history),
        ("Branches", results.branches),
        ("Feeds", results.feeds),
        ("Perspectives", results.perspectives),
        ("Synchronizing", results.sync),
        ("HTTP and the console", results.gateway),
    ):
        if figures:
            console.print(_single_table(title, figures))
    for line in results.skipped:
        console.print(f"skipped: {line}")


def _comparison_table(comparisons: Sequence[Comparison]) -> Table:
    table = Table(title="Palimpsest and Redis, both durable before they answer", title_justify="left")
    table.add_column("what")
    for peer in (PALIMPSEST, REDIS):
        table.add_column(peer, justify="right")
        table.add_column("p50 / p99", justify="right", style="dim")
    table.add_column("ratio", justify="right")
    table.add_column("goal")
    part = ""
    for comparison in comparisons:
        if comparison.part != part:
            part = comparison.part
            table.add_section()
            table.add_row(part, style="bold")
        table.add_row(comparison.title, *_peers(comparison), _ratio(comparison), _goal(comparison))
    return table


def _peers(comparison: Comparison) -> list[str]:
    cells: list[str] = []
    for peer in (PALIMPSEST, REDIS):
        figures = comparison.median.get(peer)
        if figures is None:
            cells += ["-", "-"]
            continue
        unit = "us" if comparison.metric.endswith("_us") else "/s"
        cells += [readable(figures[comparison.metric], unit), f"{figures['p50_us']:,.0f} / {figures['p99_us']:,.0f} us"]
    return cells


def _ratio(comparison: Comparison) -> str:
    return "-" if comparison.ratio is None else f"{comparison.ratio:.2f}x"


def _goal(comparison: Comparison) -> str:
    if comparison.goal is None:
        return ""
    verdict = {None: "", True: ": [green]met[/green]", False: ": [red]not met[/red]"}[comparison.goal_met]
    return f"{comparison.goal}{verdict}"


def _single_table(title: str, figures: Sequence[Single]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for figure in figures:
        table.add_row(figure.title, readable(figure.value, figure.unit))
    return table


def readable(value: float, unit: str) -> str:
    """Three digits that matter: `134k/s`, `4.31 ms`, `2.7 KB`."""
    if unit == "us":
        return f"{value / 1000:,.2f} ms" if value >= 1000 else f"{value:,.0f} us"
    if unit == "bytes":
        if abs(value) >= 1e6:
            return f"{value / 1e6:,.1f} MB"
        return f"{value / 1000:,.1f} KB" if abs(value) >= 1000 else f"{value:,.0f} bytes"
    if unit == "x" and value < 10:
        return f"{value:.2f}x"
    if unit == "/s" and value >= 10_000:
        return f"{value / 1000:,.0f}k/s"
    return f"{value:,.0f}{unit}"
