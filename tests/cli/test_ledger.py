from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.git.ledger import Ledger, Origin
from palimpsest.cli.git.lines import History, Link
from palimpsest.cli.git.repository import File
from palimpsest.words import MAIN, Node

Tree = dict[str, str]


class Story:
    """Commits with their whole trees. `commit("m", "b", "x", d="3")`: the first parent's tree, with another file. Files that begin
    with "no" are no documents."""

    def __init__(self, trunk: str = MAIN) -> None:
        self.trunk = trunk
        self.links: list[Link] = []
        self.trees: dict[str, Tree] = {}

    def commit(self, sha: str, *parents: str, **changes: str | None) -> None:
        tree: Tree = dict(self.trees[parents[0]]) if parents else {}
        for document, content in changes.items():
            tree.pop(document, None)
            if content is not None:
                tree[document] = content
        self.links.append(Link(sha, parents, len(self.links)))
        self.trees[sha] = tree

    def follow(self) -> Followed:
        history = History(self.trunk)
        history.extend(self.links)
        history.name_lines({})
        followed = Followed(history)
        for sha in history.order:
            followed.commit(sha, self.trees)
        return followed


class Followed:
    """What a ledger said of each commit, checked against the trees and against what a server would do."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.ledger = Ledger(history)
        self.origins: dict[tuple[str, str], Origin | None] = {}
        """By commit and document."""
        self.contents: dict[tuple[str, Node], str | None] = {}
        self.heads: dict[tuple[str, str], int] = {}
        """By document and branch, the newest version that a server would have."""
        self.makers: dict[tuple[str, Node], str] = {}

    def commit(self, sha: str, trees: dict[str, Tree]) -> None:
        parents = self.history.parents[sha]
        before, after = trees[parents[0]] if parents else {}, trees[sha]
        page = self.ledger.follow(sha)
        for document in sorted(before.keys() | after.keys()):
            if before.get(document) != after.get(document):
                content = after.get(document)
                content = None if content is None or content.startswith("no") else content
                origin = page.change(document, None if content is None else File("100644", content))
                self.origins[sha, document] = origin
                if origin is not None:
                    self._write(sha, document, content, origin)
        page.close()
        self._check_tree(after)

    def _write(self, sha: str, document: str, content: str | None, origin: Origin) -> None:
        branch, version = origin.node
        assert branch == self.history.branch(sha)
        starts = (document, branch) not in self.heads
        if starts and branch != MAIN and (document, MAIN) in self.heads:
            assert origin.base is not None  # a server would refuse it
        assert starts or origin.base is None
        before = self.heads.get((document, branch), 0 if origin.base is None else origin.base[1])
        assert version == before + 1
        previous = origin.base if starts else (branch, before)
        held = None if previous is None else self.contents[document, previous]
        assert (None if origin.before is None else origin.before.file) == (
            None if held is None else File("100644", held)
        )
        assert held != content
        assert all(self.contents.get((document, node), "missing") != "missing" for node in origin.merged)
        assert origin.base not in origin.merged
        self.heads[document, branch] = version
        self.contents[document, origin.node] = content
        self.makers[document, origin.node] = sha

    def _check_tree(self, tree: Tree) -> None:
        there = {document: entry for document, entry in self.ledger.entries.items() if entry.file is not None}
        assert {document: entry.file.blob for document, entry in there.items() if entry.file} == {
            document: content for document, content in tree.items() if not content.startswith("no")
        }
        for document, entry in there.items():
            assert self.contents[document, entry.node] == tree[document]


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_branch_is_made_where_a_line_first_writes(story: Story) -> None:
    story.commit("a", d="1", e="1")
    story.commit("x", "a", e="2")
    story.commit("y", "x", d="2")
    story.commit("z", "y", d="3")
    story.commit("b", "a", e="3")
    story.commit("m", "b", "z", d="3", e="4")
    origins = story.follow().origins
    first, second = origins["y", "d"], origins["z", "d"]
    assert (first.node, first.base, first.merged) == (("side/x", 2), ("main", 1), ())
    assert (second.node, second.base, second.merged) == (("side/x", 3), None, ())
    assert origins["m", "d"].merged == (("side/x", 3),)
    assert (origins["m", "e"].node, origins["m", "e"].merged) == (("main", 3), (("side/x", 2),))


def test_what_a_merge_leaves_as_it_was_is_no_version(story: Story) -> None:
    story.commit("a", d="1", e="1")
    story.commit("x", "a", d="2")
    story.commit("m", "a", "x", e="2")
    followed = story.follow()
    assert ("m", "d") not in followed.origins
    assert followed.origins["m", "e"].merged == ()


def test_a_line_is_brought_to_newer_versions_without_making_any(story: Story) -> None:
    story.commit("a", d="1", e="1")
    story.commit("x", "a", e="2")
    story.commit("b", "a", d="2", f="new")
    story.commit("y", "x", "b", d="2", f="new")
    story.commit("z", "y", d="3", f="newer")
    story.commit("m", "b", "z", d="3", e="2", f="newer")
    origins = story.follow().origins
    assert origins["y", "d"] is None
    assert origins["y", "f"] is None
    assert origins["z", "d"].base == ("main", 2)
    assert origins["z", "f"].base == ("main", 1)


def test_a_line_that_has_a_branch_of_it_takes_newer_versions_in(story: Story) -> None:
    story.commit("a", d="1")
    story.commit("x", "a", d="x")
    story.commit("b", "a", "x", d="x2")
    story.commit("y", "x", "b", d="x2")
    story.commit("c", "b", "y")
    taken = story.follow().origins["y", "d"]
    assert (taken.node, taken.base, taken.merged) == (("side/x", 3), None, (("main", 2),))


def test_a_document_that_only_lines_have_starts_from_nothing(story: Story) -> None:
    story.commit("a", d="1")
    story.commit("x", "a", new="1")
    story.commit("y", "a", new="2")
    story.commit("m", "a", "x", "y", new="3")
    origins = story.follow().origins
    assert [origins[sha, "new"].base for sha in "xym"] == [None, None, None]
    assert [origins[sha, "new"].node for sha in "xym"] == [("side/x", 1), ("side/y", 1), ("main", 1)]
    assert origins["m", "new"].merged == (("side/x", 1), ("side/y", 1))


def test_a_document_that_comes_back_goes_on_where_it_was_deleted(story: Story) -> None:
    story.commit("a", d="1")
    story.commit("b", "a", d=None)
    story.commit("x", "b", d="2")
    story.commit("m", "b", "x", d="2")
    origins = story.follow().origins
    assert (origins["x", "d"].node, origins["x", "d"].base) == (("side/x", 3), ("main", 2))
    assert (origins["m", "d"].node, origins["m", "d"].merged) == (("main", 3), (("side/x", 3),))


def test_what_a_merge_threw_away_is_where_a_new_branch_starts(story: Story) -> None:
    story.commit("a")
    story.commit("x", "a", e="1")
    story.commit("b", "a", d="1")
    story.commit("y", "x", "b")
    story.commit("z", "y", d="2")
    story.commit("m", "b", "z", d="2", e="1")
    assert story.follow().origins["z", "d"].base == ("main", 1)


def test_a_merge_that_changes_what_it_takes_in_starts_from_there(story: Story) -> None:
    story.commit("a")
    story.commit("x", "a", e="1")
    story.commit("b", "a", d="1")
    story.commit("y", "x", "b", d="2")
    story.commit("m", "b", "y", d="2", e="1")
    made = story.follow().origins["y", "d"]
    assert (made.node, made.base, made.merged) == (("side/x", 2), ("main", 1), ())


def test_on_another_trunk_all_may_start_from_nothing() -> None:
    story = Story("develop")
    story.commit("a", d="1")
    story.commit("x", "a", e="1")
    story.commit("b", "a", e="2")
    story.commit("m", "b", "x", e="3")
    origins = story.follow().origins
    assert [origins[sha, "e"].node for sha in "xbm"] == [("side/x", 1), ("develop", 1), ("develop", 2)]
    assert [origins[sha, "e"].base for sha in "xbm"] == [None, None, None]


def test_entries_are_let_go_once_no_commit_to_come_needs_them(story: Story) -> None:
    story.commit("a", d="1")
    for number in range(9):
        story.commit(f"x{number}", "a", d=str(number + 2))
    story.commit("m", "a", *(f"x{number}" for number in range(9)))
    followed = story.follow()
    assert followed.ledger._open == {}
    assert followed.ledger.trunk == followed.ledger.entries


def test_what_was_and_is_no_document_makes_nothing(story: Story) -> None:
    story.commit("a")
    story.commit("x", "a", e="1")
    story.commit("b", "a", d="1")
    story.commit("y", "x", "b", d="no 1")
    story.commit("z", "y", d="no 2")
    story.commit("m", "b", "z", d=None, e="1")
    origins = story.follow().origins
    assert (origins["y", "d"], origins["z", "d"]) == (None, None)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Merges take each document from one of their parents, or make something of it. Few contents, so that many are the same."""
    story = Story(draw(st.sampled_from([MAIN, "develop"])))
    contents = st.sampled_from([None, "1", "2", "3", "no 1", "no 2"])

    def commit(sha: str, parents: list[str]) -> None:
        changes: dict[str, Any] = {}
        for document in "de":
            choices = [st.just(story.trees[parent].get(document)) for parent in parents]
            changes[document] = draw(st.one_of(*choices, contents))
        story.commit(sha, *parents, **changes)

    count = draw(st.integers(1, 15))
    for number in range(count):
        some = st.lists(st.integers(0, max(0, number - 1)), unique=True, max_size=3 if number else 0)
        commit(f"c{number}", [f"c{parent}" for parent in draw(some)])
    loose = [link.sha for link in story.links if not any(link.sha in other.parents for other in story.links)]
    commit("tip", draw(st.permutations(loose)))
    return story


@given(stories())
def test_every_tree_is_there_and_every_origin_is_an_ancestor(story: Story) -> None:
    followed = story.follow()
    parents = followed.history.parents
    for (sha, document), origin in followed.origins.items():
        if origin is not None:
            before = () if origin.before is None else (origin.before.node,)
            for node in (*before, *origin.merged):
                assert is_ancestor(parents, followed.makers[document, node], sha)


def is_ancestor(parents: dict[str, tuple[str, ...]], sha: str, of: str) -> bool:
    return sha == of or any(is_ancestor(parents, sha, parent) for parent in parents[of])
