"""How far something is that takes long: a bar on stderr, drawn on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from palimpsest.cli.output import console

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

OnProgress = Callable[[int, int], None]
"""To be called with (done, total); a total of 0 is not known."""


@contextmanager
def progress_bar(doing: str, unit: str, *, hidden: bool = False) -> Iterator[OnProgress]:
    """unit: what is counted, in the plural; "bytes" are shown as sizes. hidden: no bar after all."""
    errors = console(stderr=True)
    if hidden or not errors.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import Progress, TextColumn, TimeRemainingColumn  # here: it takes 20 ms that few commands need

    columns = [TextColumn(doing), *_counters(unit), TimeRemainingColumn()]
    with Progress(*columns, console=errors, transient=True) as progress:
        bar = progress.add_task(doing, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total or None)


def _counters(unit: str) -> list[ProgressColumn]:
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn

    if unit == "bytes":
        return [BarColumn(), DownloadColumn()]
    return [BarColumn(), MofNCompleteColumn(), TextColumn(unit)]
