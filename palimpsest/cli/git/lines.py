"""Which line of development each commit of a history is on, and in which order commits are imported.

The first parents of the tip are the trunk. Every other run of first parents that a merge takes in is a line of its own, from
where it leaves another line (or from a root) to its newest commit. A line becomes a branch of the documents that its commits
change, so what a commit is called and when its turn comes must never change: a history is extended by one tip after the
other, each with the one before it on its trunk, and what was said of older commits stays. A line is named after its oldest
commit, because it may still grow at the other end.

A commit of a line comes before every commit of the trunk that it does not come from. So whatever the trunk holds when its
turn comes, it has among its ancestors, as long as the history is imported at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from palimpsest.words import MAIN

SIDE = "side/"
"""What the names of lines begin with that no ref names."""

_SHORT_HEXITS = 12

_TRUNK = ""


class Link(NamedTuple):
    """A commit among its parents; its own first parent first. committed: seconds since the epoch."""

    sha: str
    parents: tuple[str, ...]
    committed: int


class History:
    """The commits up to the last tip that it was extended to. trunk: the branch of its first parents.

    names: of lines that have one, by the oldest commit of each.
    """

    def __init__(self, trunk: str = MAIN, names: Mapping[str, str] | None = None) -> None:
        self.trunk = trunk
        self.names: dict[str, str] = dict(names or {})
        self.tip: str | None = None
        self.order: list[str] = []
        """All commits as they are imported: parents before children."""
        self.parents: dict[str, tuple[str, ...]] = {}
        self.times: dict[str, int] = {}
        """When each commit came to be on its line, in seconds since the epoch: the date that it was committed, and never before
        its first parent. Dates of git may run backwards."""
        self._lines: dict[str, str] = {}
        """The oldest commit of the line of each commit; of the trunk's, _TRUNK."""
        self._newest: dict[str, str] = {}
        self._levels: dict[str, int] = {}
        """How many commits of the trunk each comes from, itself included."""
        self._taken = {trunk, MAIN}

    def extend(self, links: Sequence[Link]) -> None:
        """links: all that the new tip comes from and the old one does not, parents before children, the tip last. The old tip
        must be among the first parents of the new one."""
        if not links:
            return
        known = len(self.parents)
        self.parents.update((link.sha, link.parents) for link in links)
        assert len(self.parents) == known + len(links), "a commit twice"
        self._draw(links[-1].sha, _TRUNK)
        for link in reversed(links):
            if link.sha not in self._lines:
                self._draw(link.sha, None)
        for link in links:
            first = link.parents[:1]
            self.times[link.sha] = max([max(0, link.committed), *(self.times[sha] for sha in first)])
            above = max((self._levels[sha] for sha in link.parents), default=0)
            self._levels[link.sha] = above + self.is_on_trunk(link.sha)
        self.order += sorted((link.sha for link in links), key=self._turn)
        self.tip = links[-1].sha

    def is_on_trunk(self, sha: str) -> bool:
        return self._lines[sha] == _TRUNK

    def branch(self, sha: str) -> str:
        """The branch that the commit's line becomes."""
        line = self._lines[sha]
        return self.trunk if line == _TRUNK else self.names[line]

    def name_lines(self, refs: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Names every line that has no name yet, and returns the names that come from refs, by the oldest commit of their
        lines. refs: names for branches, by the commit that they point at; the best one first."""
        from_refs: dict[str, str] = {}
        self._taken.update(self.names.values())
        for line in self._unnamed():
            ref = next((name for name in refs.get(self._newest[line], ()) if self._is_free(name)), None)
            if ref is not None:
                from_refs[line] = ref
            short = SIDE + line[:_SHORT_HEXITS]
            name = ref or (SIDE + line if short in self._taken else short)
            self.names[line] = name
            self._taken.add(name)
        return from_refs

    def _unnamed(self) -> Iterator[str]:
        """In the order of their oldest commits."""
        return (sha for sha in self.order if self._lines[sha] == sha and sha not in self.names)

    def _is_free(self, name: str) -> bool:
        return name not in self._taken and not name.startswith(SIDE)

    def _draw(self, newest: str, line: str | None) -> None:
        """Puts the first parents of newest that are on no line yet on this one; None: on the one that they continue, or on a new
        one where there is none."""
        run = [newest]
        for sha in self._first_parents(newest):
            if sha in self._lines:
                if line is None and self._newest[self._lines[sha]] == sha and not self.is_on_trunk(sha):
                    line = self._lines[sha]
                break
            run.append(sha)
        line = run[-1] if line is None else line
        self._lines.update((sha, line) for sha in run)
        self._newest[line] = newest

    def _first_parents(self, sha: str) -> Iterator[str]:
        parents = self.parents[sha]
        while parents:
            yield parents[0]
            parents = self.parents[parents[0]]

    def _turn(self, sha: str) -> tuple[int, bool]:
        """Sorting is stable: among equals, parents stay before children."""
        return self._levels[sha], not self.is_on_trunk(sha)


def children_counts(history: History) -> dict[str, int]:
    """How many commits each is a parent of; those that are no parent are left out."""
    counts: dict[str, int] = {}
    for sha in chain.from_iterable(map(_distinct, history.parents.values())):
        counts[sha] = counts.get(sha, 0) + 1
    return counts


def _distinct(parents: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(parents)
