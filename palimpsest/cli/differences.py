"""How differences look: below each other as in a unified diff, or side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from palimpsest.cli.comparing import Block, Difference, Stretch, as_lines, hunks, words
from palimpsest.state.paths import format_path
from palimpsest.state.tree import NOTHING

if TYPE_CHECKING:
    from rich.table import Table

_OLD, _NEW, _PATH, _QUIET = "red", "green", "bold blue", "dim"

_ONE_LINE_MAX = 100
"""A value whose JSON has more characters is shown indented, on lines of its own."""

_VALUE_LINES_MAX = 40
_VALUE_LINE_MAX = 1_000
"""What is shown of a value that is no text; `--json` has all of it."""

_WORDS_MIN = 40
"""Shorter strings are shown whole, old and new."""

_AROUND = 30
"""Characters that are shown on either side of what changed in a long line."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), *range(127, 160))}
"""Control characters are shown and not obeyed, but for the tab."""


def path_line(difference: Difference) -> Text:
    return Text(format_path(difference.path) or "the root", style=_PATH)


def unified(difference: Difference) -> Iterator[Text]:
    """The lines below its path: `-` is what was, `+` what is, `~` one line with its changed words marked."""
    old, new = difference.old, difference.new
    lines = as_lines(old, new)
    if lines is not None:
        for hunk in hunks(*lines):
            yield Text(f"  {hunk.heading}", style="cyan")
            for block in hunk.blocks:
                yield from _block_lines(block)
        return
    stretches = _words(old, new)
    if stretches is not None:
        yield _word_line(stretches)
    else:
        yield from _block_lines(Block(tuple(value_lines(old)), tuple(value_lines(new)), False))


def side_by_side(difference: Difference, width: int) -> Table:
    """The rows below its path. width: of the whole, in characters."""
    from rich.table import Table  # here: few commands need it

    half = (width - 3) // 2
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(width=half, overflow="fold")
    table.add_column(width=half, overflow="fold")
    for old, new in _rows(difference):
        table.add_row(old, new)
    return table


def value_lines(value: Any) -> list[str]:
    """A value for people: on one line where it is short, else indented and cut off; none for NOTHING."""
    if value is NOTHING:
        return []
    encoded = msgspec.json.encode(value)
    text = encoded.decode()
    if len(text) <= _ONE_LINE_MAX:
        return [text]
    if type(value) in (dict, list):
        text = msgspec.json.format(encoded, indent=2).decode()
    lines = [line if len(line) <= _VALUE_LINE_MAX else line[:_VALUE_LINE_MAX] + "…" for line in text.split("\n")]
    if len(lines) > _VALUE_LINES_MAX:
        lines[_VALUE_LINES_MAX:] = [f"… and {len(lines) - _VALUE_LINES_MAX} more lines"]
    return lines


def _words(old: Any, new: Any) -> list[Stretch] | None:
    if type(old) is not str or type(new) is not str or max(len(old), len(new)) < _WORDS_MIN:
        return None
    return words(old, new)


def _block_lines(block: Block) -> Iterator[Text]:
    if block.same:
        for line in block.old:
            yield Text(f"    {_visible(line)}", style=_QUIET)
        return
    for line in block.old:
        yield Text(f"  - {_visible(line)}", style=_OLD)
    for line in block.new:
        yield Text(f"  + {_visible(line)}", style=_NEW)


def _word_line(stretches: list[Stretch]) -> Text:
    line = Text("  ~ ")
    for place, stretch in enumerate(stretches):
        if stretch.old == stretch.new:
            line.append(_visible(_shortened(stretch.old, first=place == 0, last=place == len(stretches) - 1)))
            continue
        if stretch.old:
            line.append(f"[-{_visible(stretch.old)}-]", style=_OLD)
        if stretch.new:
            line.append(f"{{+{_visible(stretch.new)}+}}", style=_NEW)
    return line


def _shortened(text: str, *, first: bool, last: bool) -> str:
    """Text that did not change: what is near to something that did. first, last: of the line."""
    if len(text) <= 3 * _AROUND:
        return text
    return ("" if first else text[:_AROUND]) + "…" + ("" if last else text[-_AROUND:])


def _rows(difference: Difference) -> Iterator[tuple[Text, Text]]:
    lines = as_lines(difference.old, difference.new)
    if lines is None:
        old, new = value_lines(difference.old), value_lines(difference.new)
        yield from _paired(Block(tuple(old), tuple(new), False))
        return
    for hunk in hunks(*lines):
        yield Text(hunk.heading, style="cyan"), Text("")
        for block in hunk.blocks:
            yield from _paired(block)


def _paired(block: Block) -> Iterable[tuple[Text, Text]]:
    old_style, new_style = (_QUIET, _QUIET) if block.same else (_OLD, _NEW)
    for old, new in zip_longest(block.old, block.new, fillvalue=""):
        yield Text(_visible(old), style=old_style), Text(_visible(new), style=new_style)


def _visible(text: str) -> str:
    return text.translate(_CONTROLS)
