"""Lines of versions, held against a graph in which every version knows all that it comes from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.limits import Limits
from palimpsest.state import apply_delta, freeze
from palimpsest.state.branching import Drop, Fork, Hold, Join, Step, step_ops
from palimpsest.state.lines import (
    Line,
    Segment,
    ancestors,
    branches,
    common_ancestors,
    first_version,
    holds,
    is_ancestor,
    line_at,
    line_segments,
    lines_of,
    live_line,
    locate,
    merges_into,
    needed,
    segments,
    to_entry,
)
from palimpsest.state.record import check_record
from palimpsest.words import Meta, Node

MAIN = Line("main")

RECORD: Any = {
    "draft": {
        "lines": [
            {"base": ["main", 2], "first": 3, "last": 5, "at": 7, "by": "ana"},
            {"base": ["main", 4], "first": 7, "description": "again"},
        ],
        "merges": {"8": [["main", 6]]},
    },
    "deep": {"lines": [{"base": ["draft", 5], "first": 6}]},
    "alone": {"lines": [{"base": None, "first": 1}]},
    "main": {"merges": {"5": [["draft", 4]], "9": [["draft", 8]]}, "tags": {}},
    "said": {"tags": {}},
    "$held": {"m1": [["main", 1], ["draft", 7]]},
}


@pytest.mark.parametrize("record", [RECORD, freeze(RECORD)])
def test_what_a_record_says(record: Any) -> None:
    check_record(freeze(RECORD))
    assert branches(record) == ["main", "alone", "deep", "draft"]
    first, second = lines_of(record, "draft")
    assert first == Line("draft", 3, ("main", 2), 5, 7, Meta("ana"))
    assert second == Line("draft", 7, ("main", 4), None, 0, Meta(None, "again"))
    assert live_line(record, "draft") == second
    assert [to_entry(line) for line in (first, second)] == RECORD["draft"]["lines"]
    assert (live_line(record, "said"), live_line(record, "none")) == (None, None)
    assert [lines_of(record, name) for name in ("main", "$versions", "none")] == [(MAIN,), (Line("$versions"),), ()]
    assert merges_into(record, "draft") == {8: [("main", 6)]}
    assert merges_into(record, "deep") == {}
    assert holds(record) == {"m1": [("main", 1), ("draft", 7)]}


@pytest.mark.parametrize("record", [None, {}, freeze({})])
def test_a_document_of_which_nothing_was_said(record: Any) -> None:
    assert branches(record) == ["main"]
    assert live_line(record, "main") == MAIN
    assert segments(record, "main", 3) == [Segment("main", 1, 3)]
    assert (locate(record, "main", 3), locate(record, "x", 3)) == (("main", 3), None)
    assert ancestors(record, ("main", 3)) == {("main", 1): 3}
    assert common_ancestors(record, ("main", 3), ("main", 2)) == [("main", 2)]
    assert (needed(record, "main"), holds(record)) == (set(), {})


@pytest.mark.parametrize(
    ("branch", "newest", "expected"),
    [
        ("main", 9, [("main", 1, 9)]),
        ("draft", 8, [("draft", 7, 8), ("main", 1, 4)]),
        ("draft", 6, [("main", 1, 4)]),  # no version of its own yet
        ("deep", 5, [("draft", 3, 5), ("main", 1, 2)]),
        ("deep", 6, [("deep", 6, 6), ("draft", 3, 5), ("main", 1, 2)]),
        ("alone", 2, [("alone", 1, 2)]),
        ("alone", 0, []),
    ],
)
def test_a_history_in_segments(branch: str, newest: int, expected: list[tuple[str, int, int]]) -> None:
    assert segments(RECORD, branch, newest) == [Segment(*one) for one in expected]


def test_the_history_of_a_version_of_a_deleted_branch() -> None:
    assert line_segments(RECORD, ("draft", 4)) == [Segment("draft", 3, 4), Segment("main", 1, 2)]
    assert line_at(RECORD, ("draft", 4)).last == 5
    assert line_at(RECORD, ("nowhere", 4)) == Line("nowhere")


@pytest.mark.parametrize(
    ("branch", "version", "node"),
    [
        ("draft", 8, ("draft", 8)),
        ("draft", 99, ("draft", 99)),  # whether it was made is not known here
        ("draft", 6, ("main", 4)),  # what a branch is called before it has a version of its own
        ("draft", 5, ("draft", 5)),
        ("draft", 3, ("draft", 3)),
        ("draft", 2, ("main", 2)),
        ("draft", 1, ("main", 1)),
        ("draft", 0, None),
        ("deep", 5, ("draft", 5)),
        ("deep", 4, ("draft", 4)),
        ("deep", 2, ("main", 2)),
        ("alone", 1, ("alone", 1)),
        ("alone", 0, None),
        ("none", 1, None),
    ],
)
def test_where_a_number_was_made(branch: str, version: int, node: Node | None) -> None:
    assert locate(RECORD, branch, version) == node


def test_numbers_of_a_name_are_never_used_twice() -> None:
    assert first_version(("main", 7), 0) == 8
    assert first_version(("main", 7), 5) == 8
    assert first_version(("main", 7), 7) == 9  # 8 would look like the one after 7
    assert first_version(("main", 2), 12) == 14
    assert (first_version(None, 0), first_version(None, 3)) == (1, 5)


def test_what_is_not_to_be_pruned() -> None:
    assert needed(RECORD, "main") == {1, 4, 6}  # a pending merge; where a live branch starts; what one took in
    assert needed(RECORD, "draft") == {5, 7, 8}
    assert needed(RECORD, "alone") == set()


# --- against a graph -------------------------------------------------------------------------------------------------


class Graph:
    """A record that grows by steps, and beside it every version with the set of all that it comes from, itself included."""

    def __init__(self) -> None:
        self.record: Any = freeze({})
        self.known: dict[Node, frozenset[Node]] = {("main", 1): frozenset([("main", 1)])}
        self.heads: dict[str, Node] = {"main": ("main", 1)}
        self.next = {"main": 2}

    def say(self, step: Step) -> None:
        self.record = apply_delta(self.record, step_ops(self.record, "d", step, Limits()))

    def write(self, branch: str, merged: tuple[Node, ...] = ()) -> None:
        node = (branch, self.next[branch])
        parents = [self.heads[branch], *merged]
        self.known[node] = frozenset([node]).union(*(self.known[parent] for parent in parents))
        self.heads[branch] = node
        self.next[branch] += 1
        if merged:
            self.say(Join(*node, merged))

    def fork(self, branch: str, base: Node) -> None:
        newest = max((number for of, number in self.known if of == branch), default=0)
        self.next[branch] = first_version(base, newest)
        self.heads[branch] = base
        self.say(Fork(Line(branch, self.next[branch], base)))

    def drop(self, branch: str) -> None:
        self.say(Drop(branch, self.next.pop(branch) - 1))
        del self.heads[branch]

    def nearest(self, a: Node, b: Node) -> set[Node]:
        shared = self.known[a] & self.known[b]
        return {one for one in shared if not any(one != other and one in self.known[other] for other in shared)}


STEP = st.tuples(
    st.sampled_from(["write", "write", "write", "fork", "merge", "merge", "merge", "drop", "hold"]),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
)


def grown(steps: list[tuple[str, int, int, int]]) -> Graph:
    graph = Graph()
    for what, a, b, c in steps:
        names = sorted(graph.heads)
        branch = names[a % len(names)]
        history = sorted(graph.known[graph.heads[names[b % len(names)]]])
        node = history[c % len(history)]
        other = ("x", "y", "z")[b % 3]
        if what == "write":
            graph.write(branch)
        elif what == "fork" and other not in graph.heads:
            graph.fork(other, node)
        elif what == "merge" and node not in graph.known[graph.heads[branch]]:
            graph.write(branch, (node,))
        elif what == "drop" and branch != "main":
            graph.drop(branch)
        elif what == "hold":
            graph.say(Hold(f"m{c % 3}", (node,)))
    return graph


@given(st.lists(STEP, max_size=30))
def test_ancestors_are_those_of_the_graph(steps: list[tuple[str, int, int, int]]) -> None:
    graph = grown(steps)
    check_record(graph.record)
    for node, expected in graph.known.items():
        of = ancestors(graph.record, node)
        assert {other for other in graph.known if is_ancestor(graph.record, other, of)} == expected
        made = [
            (one.branch, number)
            for one in line_segments(graph.record, node)
            for number in range(one.first, one.last + 1)
        ]
        assert set(made) <= expected
        assert node in made


@given(st.lists(STEP, max_size=30), st.integers(0, 99), st.integers(0, 99))
def test_common_ancestors_are_those_of_the_graph(steps: list[tuple[str, int, int, int]], a: int, b: int) -> None:
    graph = grown(steps)
    known = sorted(graph.known)
    one, other = known[a % len(known)], known[b % len(known)]
    found = common_ancestors(graph.record, one, other)
    assert set(found) == graph.nearest(one, other)
    assert len(found) == len(set(found))
    assert found == common_ancestors(graph.record, other, one)


@given(st.lists(STEP, max_size=30))
def test_numbers_lead_to_the_versions_of_a_branch(steps: list[tuple[str, int, int, int]]) -> None:
    graph = grown(steps)
    for branch, head in graph.heads.items():
        newest = graph.next[branch] - 1
        line = live_line(graph.record, branch)
        assert line is not None
        history: list[Node] = [
            (one.branch, number)
            for one in segments(graph.record, branch, newest)
            for number in range(one.last, one.first - 1, -1)
        ]
        assert history[0] == head
        assert [locate(graph.record, branch, number) for _, number in history if number >= line.first] == [
            node for node in history if node[0] == branch and node[1] >= line.first
        ]
        assert locate(graph.record, branch, newest) == head
        # A branch has its base's versions under their numbers, but for those that one of its own name had.
        own = {number for of, number in graph.known if of == branch}
        for node in history:
            if node[1] not in own or node[0] == branch:
                assert locate(graph.record, branch, node[1]) == node


@given(st.lists(STEP, max_size=40))
def test_what_a_later_merge_may_start_from_is_needed(steps: list[tuple[str, int, int, int]]) -> None:
    """Of two branches that are there: their nearest common ancestors are needed, or are one of the two newest versions."""
    graph = grown(steps)
    heads = list(graph.heads.values())
    for one in heads:
        for other in heads:
            for of, number in graph.nearest(one, other):
                assert (of, number) in (one, other) or number in needed(graph.record, of)
