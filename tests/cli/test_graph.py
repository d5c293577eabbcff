from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.graph import CELL_CHARACTERS, Dot, Row, draw, newest_first
from palimpsest.words import Node


def node(text: str) -> Node:
    branch, _, version = text.partition(":")
    return branch, int(version)


def story(lines: str) -> list[Dot]:
    """One version a line, newest first: its node, the one before it, and what it merged."""
    rows = [tuple(map(node, line.split())) for line in lines.strip().splitlines()]
    return [Dot(row[0], row[1:], order=len(rows) - place) for place, row in enumerate(rows)]


def drawn(dots: list[Dot], **options: bool) -> str:
    rows = draw(newest_first(dots), **options)
    shown = (row.strokes if row.dot is None else f"{row.strokes} {row.dot.node[0]}:{row.dot.node[1]}" for row in rows)
    return "\n" + "\n".join(shown) + "\n"


STORIES: dict[str, tuple[str, str]] = {
    "linear": (
        """
main:3 main:2
main:2 main:1
main:1
""",
        """
● main:3
● main:2
● main:1
""",
    ),
    "a fork": (
        """
draft:4 draft:3
main:3 main:2
draft:3 main:2
main:2 main:1
main:1
""",
        """
  ● draft:4
● │ main:3
│ ● draft:3
├─╯
● main:2
● main:1
""",
    ),
    "a branch of which the parent has not gone on": (
        """
draft:3 main:2
main:2 main:1
main:1
""",
        """
  ● draft:3
╭─╯
● main:2
● main:1
""",
    ),
    "a merge": (
        """
main:4 main:3 draft:4
draft:4 draft:3
main:3 main:2
draft:3 main:2
main:2 main:1
main:1
""",
        """
● main:4
├─╮
│ ● draft:4
● │ main:3
│ ● draft:3
├─╯
● main:2
● main:1
""",
    ),
    "a branch that goes on after it was merged": (
        """
draft:5 draft:4
main:4 main:3 draft:4
draft:4 main:2
main:3 main:2
main:2 main:1
""",
        """
  ● draft:5
● │ main:4
├─┤
│ ● draft:4
● │ main:3
├─╯
● main:2
┊
""",
    ),
    "merged twice": (
        """
main:5 main:4 draft:4
draft:4 draft:3
main:4 main:2 draft:3
draft:3 main:2
main:2 main:1
main:1
""",
        """
● main:5
├─╮
│ ● draft:4
● │ main:4
├─┤
│ ● draft:3
├─╯
● main:2
● main:1
""",
    ),
    "criss-cross": (
        """
b:5 b:4
a:5 a:4
b:4 b:3 a:3
a:4 a:3 b:3
b:3 main:2
a:3 main:2
main:2 main:1
main:1
""",
        """
  ● b:5
  │ ● a:5
  ● │ b:4
  ├─│─╮
  │ ● │ a:4
  ├─┤ │
  ● │ │ b:3
  │ ├─╯
  │ ● a:3
╭─┴─╯
● main:2
● main:1
""",
    ),
    "an octopus": (
        """
main:3 main:2 a:3 b:3 c:3
a:3 main:2
b:3 main:2
c:3 main:2
main:2 main:1
main:1
""",
        """
● main:3
├─┬─┬─╮
│ ● │ │ a:3
│ │ ● │ b:3
│ │ │ ● c:3
├─┴─┴─╯
● main:2
● main:1
""",
    ),
    "a branch of a branch": (
        """
sub:5 sub:4
draft:4 draft:3
sub:4 draft:3
main:3 main:2
draft:3 main:2
main:2 main:1
main:1
""",
        """
  ● sub:5
  │ ● draft:4
  ● │ sub:4
● │ │ main:3
│ ╰─┤
│   ● draft:3
├───╯
● main:2
● main:1
""",
    ),
    "a branch that was made again under its name": (
        """
topic:7 main:4
main:4 main:3 topic:3
topic:3 main:2
main:3 main:2
main:2 main:1
main:1
""",
        """
  ● topic:7
╭─╯
● main:4
├─╮
│ ● topic:3
● │ main:3
├─╯
● main:2
● main:1
""",
    ),
    "what is older is not there": (
        """
d:9 d:8
c:9 main:2
main:3 main:2
""",
        """
  ● d:9
  │ ● c:9
● │ │ main:3
┊ ┊ ┊
""",
    ),
    "squashed, so that nothing leads to it": (
        """
main:4 main:3
draft:3 main:2
main:3 main:2
main:2 main:1
main:1
""",
        """
● main:4
│ ● draft:3
● │ main:3
├─╯
● main:2
● main:1
""",
    ),
    "merged into a branch and back": (
        """
main:5 main:4 draft:4
draft:4 draft:3 main:4
main:4 main:2
draft:3 main:2
main:2 main:1
main:1
""",
        """
● main:5
├─╮
│ ● draft:4
├─┤
● │ main:4
│ ● draft:3
├─╯
● main:2
● main:1
""",
    ),
    "two that come from nothing": (
        """
b:1
a:2 a:1
a:1
c:1
""",
        """
● b:1
  ● a:2
  ● a:1
● c:1
""",
    ),
    "only a branch, and main not at all": (
        """
b:3 b:2 a:2
b:2 b:1
a:2 b:1
b:1
""",
        """
● b:3
├─╮
● │ b:2
│ ● a:2
├─╯
● b:1
""",
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_a_drawing(name: str) -> None:
    lines, picture = STORIES[name]
    assert drawn(story(lines)) == picture


def test_a_drawing_in_ascii() -> None:
    assert drawn(story(STORIES["criss-cross"][0]), ascii_only=True) == (
        """
  * b:5
  | * a:5
  * | b:4
  +-|-.
  | * | a:4
  +-+ |
  * | | b:3
  | +-'
  | * a:3
.-+-'
* main:2
* main:1
"""
    )
    assert all(row.strokes.isascii() for row in draw(story(STORIES["what is older is not there"][0]), ascii_only=True))


def test_nothing_is_drawn_of_nothing() -> None:
    assert newest_first([]) == []
    assert draw([]) == []


def test_many_lines_end_where_they_start_from() -> None:
    lines = [f"b{number:02}:2 main:1" for number in range(40)]
    rows = draw(story("\n".join([*lines, "main:1"])))
    assert [row.strokes for row in rows[:2]] == ["  ●", "  │ ●"]
    assert rows[40].strokes == "╭─" + 39 * "┴─" + "╯"
    assert rows[41].strokes == "●"


def test_a_column_is_taken_again_once_its_line_has_ended() -> None:
    lines = []
    for version in range(40, 0, -1):
        lines += [f"main:{version + 1} main:{version} b{version}:1", f"b{version}:1 main:{version}"]
    rows = draw(story("\n".join([*lines, "main:1"])))
    assert max(len(row.strokes) for row in rows) == 3


def test_the_newest_come_first_but_never_before_their_children() -> None:
    dots = [
        Dot(("main", 1), order=9),
        Dot(("main", 2), (("main", 1),), order=5),
        Dot(("a", 2), (("main", 1),), order=7),
    ]
    assert [dot.node for dot in newest_first(dots)] == [("a", 2), ("main", 2), ("main", 1)]


# --- any past --------------------------------------------------------------------------------------------------------


@st.composite
def pasts(draw: st.DrawFn) -> list[Dot]:
    """Versions on up to four lines that start and merge anywhere, oldest first; some are left out."""
    dots: list[Dot] = [Dot(("main", 1), (), 0)]
    heads: dict[str, Node] = {"main": ("main", 1)}
    for order in range(1, draw(st.integers(0, 20))):
        name = draw(st.sampled_from(["main", "a", "b", "c"]))
        before = heads.get(name) or draw(st.sampled_from([*dots, Dot(("", 0))])).node
        merged = draw(st.lists(st.sampled_from(dots).map(lambda dot: dot.node), max_size=2, unique=True))
        made = (name, before[1] + 1)
        parents = (before, *(each for each in merged if each != before)) if before[1] else ()
        dots.append(Dot(made, parents, order))
        heads[name] = made
    return [dot for dot in dots if draw(st.integers(0, 9))]


@given(pasts())
def test_every_stroke_leads_from_a_version_to_one_of_its_parents(dots: list[Dot]) -> None:
    ordered = newest_first(dots)
    rows = draw(ordered)
    assert [row.dot for row in rows if row.dot] == ordered
    there = {dot.node for dot in dots}
    assert followed(rows) == {(dot.node, parent) for dot in dots for parent in dot.parents if parent in there}
    assert all(row.strokes == row.strokes.rstrip() for row in rows)


_SIDES = dict(zip(" ╵╷│╶╰╭├╴╯╮┤─┴┬┼", range(16), strict=True)) | {"●": 3, "┊": 1}
_JOINING = "╰╭├╯╮┤┴┬┼"


def followed(rows: list[Row]) -> set[tuple[Node, Node]]:
    """Reads a drawing from the top: which versions come from which. It knows nothing of how it was drawn."""
    found: set[tuple[Node, Node]] = set()
    coming: dict[int, set[Node]] = {}
    above: Node = ("", 0)
    for row in rows:
        cells = row.strokes[::CELL_CHARACTERS]
        if row.dot is not None:
            here = cells.index("●")
            found |= {(child, row.dot.node) for child in coming.get(here, ())}
            coming = {place: nodes for place, nodes in coming.items() if cells[place : place + 1].strip()}
            coming[here] = {row.dot.node}
            above = row.dot.node
            continue
        joined = {place for place, sign in enumerate(cells) if sign in _JOINING}
        going = {place for place, sign in enumerate(cells) if _SIDES[sign] & 2}
        below = {place: set(coming.get(place, ())) if _SIDES[cells[place]] & 1 else set() for place in going}
        if len(joined & going) == 1:  # a fork: what comes from above goes to the one that goes on
            (hub,) = joined & going
            for place in joined:
                below[hub] |= coming.get(place, set())
        elif joined:  # a merge: the version above goes to all of them
            for place in joined:
                below[place] |= {above}
        coming = below
    return found
