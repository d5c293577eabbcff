from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.text import Text

from palimpsest.cli.log import _is_drawable, _print_cut


def test_lines_are_cut_to_a_terminal_and_left_whole_elsewhere() -> None:
    for terminal, ascii_only, shown in (
        (True, False, "● main:12 a very lo…"),
        (True, True, "● main:12 a very lon"),
        (False, False, "● main:12 a very long description"),
    ):
        file = io.StringIO()
        out = Console(file=file, force_terminal=terminal, width=20, soft_wrap=True, color_system=None)
        _print_cut(out, Text("●"), Text("main:12 a very long description"), ascii_only=ascii_only)
        assert file.getvalue() == shown + "\n"


def test_what_an_encoding_can_draw() -> None:
    assert [_is_drawable(name) for name in ("utf-8", "ascii", "latin-1", "nonsense", None)] == [True, *4 * [False]]


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def story(palimpsest, palimpsest_clock) -> None:
    """A minute between versions: draft starts from main:1, is merged, and goes on; topic is merged and deleted."""
    for words in (
        ("set", "n", '{"a": 1}', "--by", "ana", "-m", "first\nmore"),
        ("branch", "n", "draft"),
        ("update", "n", "b=1", "--branch", "draft", "--by", "bo", "--tag", "x"),
        ("update", "n", "c=1"),
        ("branch", "n", "topic"),
        ("update", "n", "t=1", "--branch", "topic"),
        ("merge", "n", "draft", "--by", "ana"),
        ("update", "n", "b=2", "--branch", "draft"),
        ("merge", "n", "topic", "-m", "it is good"),
        ("branch", "n", "topic", "--delete", "--yes"),
        ("branch", "n", "idle", "--at", "draft"),
    ):
        assert palimpsest(*words).exit_code == 0
        palimpsest_clock.advance(60)


def lines(palimpsest, *words: str) -> list[str]:
    """Without times."""
    shown = palimpsest("log", "n", *words)
    assert shown.exit_code == 0, shown.stderr
    return [_timeless(line) for line in shown.stdout.splitlines()]


def _timeless(line: str) -> str:
    before, found, after = line.partition("  2020-01-01 ")
    return (before + after[len("00:00:00") :]).rstrip() if found else line


def test_the_lines_of_versions_are_drawn(palimpsest, story) -> None:
    """Of all branches that are not deleted, and of what was merged into them."""
    assert lines(palimpsest, "--graph") == [
        "● main:4 (main)  it is good  merges topic:3",
        "├─╮",
        "│ │ ● draft:3 (draft, idle)",
        "● │ │ main:3  ana  merges draft:2",
        "├─│─┤",
        "│ ● │ topic:3  from main:2",
        "├─╯ │",
        "●   │ main:2",
        "│   ● draft:2  bo  [x]  from main:1",
        "├───╯",
        "● main:1  ana  first",
    ]


def test_the_lines_of_one_branch_are_those_that_it_comes_from(palimpsest, story) -> None:
    assert lines(palimpsest, "--graph", "--branch", "draft", "--ascii") == [
        "  * draft:3 (draft, idle)",
        "  * draft:2  bo  [x]  from main:1",
        ".-'",
        "* main:1  ana  first",
    ]
    assert lines(palimpsest, "--graph", "--branch", "idle", "-n", "1") == ["● draft:3 (draft, idle)", "┊"]


def test_at_most_so_many(palimpsest, story) -> None:
    assert lines(palimpsest, "--graph", "-n", "3") == [
        "● main:4 (main)  it is good  merges topic:3",
        "├─╮",
        "│ │ ● draft:3 (draft, idle)",
        "● │ │ main:3  ana  merges draft:2",
        "├─│─┤",
        "┊ ┊ ┊",
    ]


def test_without_a_drawing_it_is_one_line_a_version(palimpsest, story) -> None:
    assert lines(palimpsest) == [
        "main:4 (main)  it is good  merges topic:3",
        "main:3  ana  merges draft:2",
        "main:2",
        "main:1  ana  first",
    ]
    assert lines(palimpsest, "--branch", "draft", "-n", "2") == [
        "draft:3 (draft, idle)",
        "draft:2  bo  [x]  from main:1",
    ]
    assert [line.split()[0] for line in lines(palimpsest, "--all")] == [
        *("main:4", "draft:3", "main:3", "topic:3", "main:2", "draft:2", "main:1")
    ]


def test_for_programs(palimpsest, story) -> None:
    for words, nodes in (
        (["--json"], ["main:4", "main:3", "main:2", "main:1"]),
        (["--all", "--json", "-n", "2"], ["main:4", "draft:3"]),
        (["--branch", "draft", "--graph", "--json"], ["draft:3", "draft:2", "main:1"]),
    ):
        found = [json.loads(line) for line in palimpsest("log", "n", *words).stdout.splitlines()]
        assert [f"{each['branch']}:{each['version']}" for each in found] == nodes
    (merged,) = (json.loads(line) for line in palimpsest("log", "n", "-n", "1", "--json").stdout.splitlines())
    assert merged["merged"] == ["topic:3"]
    assert "base" not in merged
    last = json.loads(palimpsest("log", "n", "--branch", "draft", "--json").stdout.splitlines()[1])
    assert (last["base"], last["merged"]) == ("main:1", [])


def test_what_is_deleted_says_so(palimpsest) -> None:
    palimpsest("set", "n", "1")
    palimpsest("delete", "n")
    assert lines(palimpsest, "--graph") == ["● main:2 (main)  delete", "● main:1"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nix"], 3),
        (["nix", "--graph"], 3),
        (["n", "--branch", "nix"], 3),
        (["n", "--branch", "nix", "--graph"], 3),
        (["n", "--all", "--branch", "main"], 2),
        (["n", "-n", "0"], 2),
    ],
)
def test_what_is_refused(palimpsest, words: list[str], code: int) -> None:
    palimpsest("set", "n", "1")
    assert palimpsest("log", *words).exit_code == code
