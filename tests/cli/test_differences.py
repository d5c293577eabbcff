from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from palimpsest.cli.comparing import Difference, differences
from palimpsest.cli.differences import path_line, side_by_side, unified, value_lines
from palimpsest.state.tree import NOTHING


def lines(old: Any, new: Any) -> list[str]:
    return [line.plain for line in unified(Difference((), old, new))]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("A", "B", ['  - "A"', '  + "B"']),
        (NOTHING, 1, ["  + 1"]),
        (True, NOTHING, ["  - true"]),
        (None, {"a": [1]}, ["  - null", '  + {"a":[1]}']),
        ("a\nb\nc", "a\nB\nc", ["  @@ -1,3 +1,3 @@", "    a", "  - b", "  + B", "    c"]),
        (NOTHING, "a\nb", ["  @@ -0,0 +1,2 @@", "  + a", "  + b"]),
        (["same"] * 9, [*["same"] * 9, "new"], ["  @@ -7,3 +7,4 @@", *["    same"] * 3, "  + new"]),
        (
            "a sentence that is long enough to be read by word",
            "a sentence that is not so long to be read by word",
            ["  ~ a sentence that is {+not so +}long [-enough -]to be read by word"],
        ),
        ("x" * 50, "y" * 50, [f'  - "{"x" * 50}"', f'  + "{"y" * 50}"']),
    ],
)
def test_below_each_other(old: Any, new: Any, expected: list[str]) -> None:
    assert lines(old, new) == expected


def test_a_long_line_shows_what_is_near_to_the_change() -> None:
    before, after = "word " * 100, " more" * 100
    (line,) = lines(f"{before}old{after}", f"{before}new{after}")
    assert line == f"  ~ …{before[-30:]}[-old -]{{+new +}}{after[1:31]}…"


def test_a_large_value_is_indented_and_cut_off() -> None:
    shown = value_lines({f"key{number}": number for number in range(100)})
    assert shown[:2] == ["{", '  "key0": 0,']
    assert shown[-1] == "… and 62 more lines"
    assert len(shown) == 41
    assert value_lines("x" * 5_000) == ['"' + "x" * 999 + "…"]
    assert value_lines(NOTHING) == []


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert lines("a\n\x1b[31mred", "a\n\ttab") == ["  @@ -1,2 +1,2 @@", "    a", "  - \\x1b[31mred", "  + \ttab"]


def test_paths() -> None:
    assert path_line(Difference((), 1, 2)).plain == "the root"
    assert path_line(Difference(("a", "odd key", 0), 1, 2)).plain == 'a["odd key"].0'


def test_side_by_side() -> None:
    (difference,) = differences("a\nb\nc\n" + "long " * 5, "a\nB\nnew\nc\n" + "long " * 5)
    out = Console(width=43)
    with out.capture() as capture:
        out.print(side_by_side(difference, out.width))
    shown = [line.rstrip() for line in capture.get().splitlines()]
    assert shown == [
        "@@ -1,4 +1,5 @@",
        "a                      a",
        "b                      B",
        "                       new",
        "c                      c",
        "long long long long    long long long long",
        "long                   long",
    ]


def test_values_side_by_side() -> None:
    out = Console(width=23)
    with out.capture() as capture:
        out.print(side_by_side(Difference((), "A", {"b": 1}), out.width))
    assert capture.get().rstrip() == '"A"          {"b":1}'
