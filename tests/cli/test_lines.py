from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.git.lines import SIDE, History, Link, children_counts


def links(*said: str) -> list[Link]:
    """`"m: b c"` is a commit with two parents; a minute after the one before it."""
    found = (line.partition(":") for line in said)
    return [Link(sha, tuple(parents.split()), 60 * number) for number, (sha, _, parents) in enumerate(found)]


def history(*said: str, refs: dict[str, list[str]] | None = None) -> History:
    made = History()
    made.extend(links(*said))
    made.name_lines(refs or {})
    return made


def lines_of(made: History) -> dict[str, str]:
    """By branch, its commits, the oldest first."""
    found: dict[str, str] = {}
    for sha in made.order:
        found[made.branch(sha)] = found.get(made.branch(sha), "") + sha
    return found


def test_first_parents_are_the_trunk_and_what_is_merged_is_a_line() -> None:
    made = history("a", "b: a", "x: a", "y: x", "m: b y")
    assert lines_of(made) == {"main": "abm", "side/x": "xy"}
    assert made.order == ["a", "x", "y", "b", "m"]


def test_a_line_that_goes_on_after_it_was_merged_is_one_line() -> None:
    made = history("a", "x: a", "m: a x", "y: x", "n: m y")
    assert lines_of(made) == {"main": "amn", "side/x": "xy"}


def test_lines_leave_lines_and_several_are_merged_at_once() -> None:
    made = history("a", "x: a", "y: x", "p: x", "q: a", "m: a y p q")
    assert lines_of(made) == {"main": "am", "side/x": "xp", "side/y": "y", "side/q": "q"}


def test_a_line_that_takes_in_the_trunk_stays_one_line() -> None:
    made = history("a", "x: a", "b: a", "y: x b", "c: b", "m: c y")
    assert lines_of(made) == {"main": "abcm", "side/x": "xy"}
    assert made.order == ["a", "x", "b", "y", "c", "m"]


def test_another_root_comes_before_all_that_does_not_come_from_it() -> None:
    made = history("a", "b: a", "r", "s: r", "m: b s")
    assert lines_of(made) == {"main": "abm", "side/r": "rs"}
    assert made.order == ["r", "s", "a", "b", "m"]


def test_a_line_is_called_like_the_best_ref_at_its_end() -> None:
    said = ("a", "x: a", "y: x", "z: a", "v: a", "m: a y z v")
    refs = {"y": ["main", "topic", "later"], "x": ["within"], "z": ["topic", "side/other"], "v": ["topic", "origin/v"]}
    made = History()
    made.extend(links(*said))
    assert made.name_lines(refs) == {"x": "topic", "v": "origin/v"}
    assert lines_of(made) == {"main": "am", "topic": "xy", "side/z": "z", "origin/v": "v"}
    again = History(names={"x": "topic", "v": "origin/v"})
    again.extend(links(*said))
    assert again.name_lines({}) == {}
    assert lines_of(again) == lines_of(made)


def test_the_trunk_has_another_name_and_main_is_never_a_line() -> None:
    made = History("develop")
    made.extend(links("a", "x: a", "m: a x"))
    made.name_lines({"x": ["develop", "main"]})
    assert lines_of(made) == {"develop": "am", "side/x": "x"}


def test_names_that_would_be_the_same_are_written_out() -> None:
    first, second = "0123456789ab" + "1" * 28, "0123456789ab" + "2" * 28
    made = history("a", f"{first}: a", f"{second}: a", f"m: a {first} {second}")
    assert {made.branch(first), made.branch(second)} == {"side/0123456789ab", SIDE + second}


def test_a_later_tip_changes_nothing_about_older_commits() -> None:
    made = history("a", "x: a", "b: a x")
    made.extend(links("y: x", "z: x", "c: b y", "d: c z"))
    made.name_lines({"z": ["too-late"], "y": ["new"]})
    assert lines_of(made) == {"main": "abcd", "side/x": "xz", "new": "y"}
    assert made.order == ["a", "x", "b", "y", "z", "c", "d"]
    assert made.tip == "d"
    made.extend([])
    assert made.tip == "d"


def test_time_on_a_line_does_not_run_backwards() -> None:
    made = History()
    made.extend([Link("a", (), 100), Link("x", ("a",), 500), Link("b", ("a",), 40), Link("m", ("b", "x"), 200)])
    assert made.times == {"a": 100, "x": 500, "b": 100, "m": 200}


def test_children_are_counted_once_each() -> None:
    assert children_counts(history("a", "x: a", "b: a", "m: b x a")) == {"a": 3, "b": 1, "x": 1}


@st.composite
def graphs(draw: st.DrawFn) -> list[Link]:
    """Commits of which the last one comes from all others."""
    count = draw(st.integers(1, 25))
    made: list[Link] = []
    for number in range(count):
        some = st.lists(st.integers(0, max(0, number - 1)), unique=True, max_size=3 if number else 0)
        made.append(Link(f"c{number}", tuple(f"c{parent}" for parent in draw(some)), number))
    loose = [link.sha for link in made if not any(link.sha in other.parents for other in made)]
    return [*made, Link("tip", tuple(draw(st.permutations(loose))), count)]


def ancestors(parents: dict[str, tuple[str, ...]], sha: str) -> set[str]:
    found, todo = set[str](), [sha]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += parents[one]
    return found


def runs(made: History) -> Iterator[Sequence[str]]:
    yield from ([sha for sha in made.order if made.branch(sha) == branch] for branch in lines_of(made))


@given(graphs())
def test_every_commit_is_on_one_run_of_first_parents_and_has_its_turn(graph: list[Link]) -> None:
    made = History()
    made.extend(graph)
    made.name_lines({})
    assert sorted(made.order) == sorted(link.sha for link in graph)
    for link in graph:
        assert all(made.order.index(parent) < made.order.index(link.sha) for parent in link.parents)
        assert made.times[link.sha] >= link.committed
    for run in runs(made):
        assert all(made.parents[child][:1] == (parent,) for parent, child in itertools.pairwise(run))
    trunk = [sha for sha in made.order if made.is_on_trunk(sha)]
    for place, sha in enumerate(made.order):
        comes_from = ancestors(made.parents, sha)
        assert all(other in comes_from for other in trunk if made.order.index(other) < place)


@given(graphs(), st.data())
def test_a_history_in_several_steps_keeps_what_it_said(graph: list[Link], data: st.DataObject) -> None:
    parents = {link.sha: link.parents for link in graph}
    trunk = ["tip"]
    while parents[trunk[-1]]:
        trunk.append(parents[trunk[-1]][0])
    tips = [sha for sha in reversed(trunk) if sha == "tip" or data.draw(st.booleans())]
    made, known = History(), set[str]()
    for tip in tips:
        order, branches = list(made.order), {sha: made.branch(sha) for sha in made.order}
        wanted = ancestors(parents, tip)
        made.extend([link for link in graph if link.sha in wanted - known and link.sha != tip] + [find(graph, tip)])
        made.name_lines({})
        known = wanted
        assert made.order[: len(order)] == order
        assert {sha: made.branch(sha) for sha in order} == branches
        assert sorted(made.order) == sorted(wanted)
    for run in runs(made):
        assert all(made.parents[child][:1] == (parent,) for parent, child in itertools.pairwise(run))


def find(graph: list[Link], sha: str) -> Link:
    return next(link for link in graph if link.sha == sha)


@pytest.mark.parametrize("names", [{}, {"x": "topic"}])
def test_a_history_that_is_gone_through_again_is_the_same(names: dict[str, str]) -> None:
    said = ("a", "x: a", "y: a", "m: a x y")
    first, again = History(names=names), History(names=names)
    for made in (first, again):
        made.extend(links(*said))
        made.name_lines({})
    assert lines_of(first) == lines_of(again)
