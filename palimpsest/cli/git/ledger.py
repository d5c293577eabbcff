"""Which version of which branch each document is at, as of each commit; and what new versions come from.

A commit's documents are those of its first parent, but for what it changes. A document that a line changes for the first time
gets a branch of the line's name there, which starts from the version that the line had until then; a line that never changes
a document has no branch of it. A merge says of each document that it changes which versions it takes in. Where it brings a
line nothing but another line's newer version of a document that the line has not changed itself, no version is made: the line
is at that version from then on, as git does not count such a merge into a file's history either. The trunk is never moved so:
whatever is on it can be read under its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pyrsistent import PMap, pmap
from pyrsistent.typing import PMapEvolver

from palimpsest.cli.git.lines import History, children_counts
from palimpsest.cli.git.repository import File
from palimpsest.words import MAIN, Node


class Entry(NamedTuple):
    """Where a document is. file: what git holds there; None where the document does not exist at that version."""

    node: Node
    file: File | None


class Origin(NamedTuple):
    """What a version comes from. node: the version itself. before: what it changes, None where that is nothing.

    base: of the first version of a branch: the version that the branch starts from. merged: the versions that it takes in.
    """

    node: Node
    before: Entry | None
    base: Node | None
    merged: tuple[Node, ...]


Entries = PMap[str, Entry]
"""By document, those that were deleted included."""


class Ledger:
    """Follows a history commit by commit, in its order.

    What it holds: the entries of the commits that are still a parent of one to come, which share what they have in common, and
    where each branch of each document starts.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.entries: Entries = pmap()
        """As of the last commit that was followed."""
        self.trunk: Entries = pmap()
        """As of the newest commit of the trunk."""
        self._open: dict[str, Entries] = {}
        self._to_come = children_counts(history)
        self._starts: dict[tuple[str, str], Node | None] = {}
        """By document and branch, for all branches that were made: where they start; None: from nothing."""

    def follow(self, sha: str) -> Page:
        """The next commit: its page is to be filled, and closed."""
        return Page(self, sha)

    def parents(self, sha: str) -> list[Entries]:
        return [self._open[parent] for parent in self.history.parents[sha]]

    def has_branch(self, document: str, branch: str) -> bool:
        return (document, branch) in self._starts

    def start(self, document: str, branch: str, base: Node | None) -> None:
        self._starts[document, branch] = base

    def is_among(self, document: str, node: Node, other: Node) -> bool:
        """Whether the history of `other` goes through `node`; merges do not count."""
        at: Node | None = other
        while at is not None:
            if at[0] == node[0]:
                return node[1] <= at[1]
            at = self._starts[document, at[0]]
        return False

    def close(self, sha: str, entries: Entries) -> None:
        self.entries = entries
        if self.history.is_on_trunk(sha):
            self.trunk = entries
        if sha in self._to_come:
            self._open[sha] = entries
        for parent in set(self.history.parents[sha]):
            self._to_come[parent] -= 1
            if not self._to_come[parent]:
                del self._to_come[parent], self._open[parent]


class Page:
    """One commit in a ledger, under way."""

    def __init__(self, ledger: Ledger, sha: str) -> None:
        self._ledger = ledger
        self._sha = sha
        self._branch = ledger.history.branch(sha)
        self._is_on_trunk = ledger.history.is_on_trunk(sha)
        first, *self._others = ledger.parents(sha) or [pmap()]
        self._own: Entries = first
        self._entries: PMapEvolver[str, Entry] = first.evolver()

    def change(self, document: str, file: File | None) -> Origin | None:
        """The commit leaves the document with this file, other than its first parent; None: without a document. Returns where
        the version comes from that this makes, or None where it makes none."""
        own = self._own.get(document)
        if file == (None if own is None else own.file):
            return None
        theirs = self._theirs(document, own)
        if self._is_on_trunk or self._ledger.has_branch(document, self._branch):
            return self._write(document, file, own, theirs)
        before = own or self._instead(document, theirs)
        reached = self._reached(document, file, before, theirs)
        if reached is None:
            return self._write(document, file, before, theirs)
        self._entries[document] = reached
        return None

    def close(self) -> None:
        self._ledger.close(self._sha, self._entries.persistent())

    def _theirs(self, document: str, own: Entry | None) -> list[Entry]:
        """Where the other parents have the document, without what the first one has."""
        found = (entries.get(document) for entries in self._others)
        return list(dict.fromkeys(entry for entry in found if entry is not None and entry != own))

    def _instead(self, document: str, theirs: Sequence[Entry]) -> Entry | None:
        """What a branch of the document starts from that the first parent does not have: another parent's, or `main`'s; a server
        wants no document of `main` to start from nothing elsewhere."""
        if theirs:
            return theirs[0]
        return self._ledger.trunk.get(document) if self._ledger.history.trunk == MAIN else None

    def _reached(self, document: str, file: File | None, before: Entry | None, theirs: Sequence[Entry]) -> Entry | None:
        """The one that has this file and comes from all of the others; else the one before, if it has it."""
        known = theirs if before is None else [*theirs, before]
        for entry in known:
            if entry.file == file and all(self._ledger.is_among(document, other.node, entry.node) for other in known):
                return entry
        return before if before is not None and before.file == file else None

    def _write(self, document: str, file: File | None, before: Entry | None, theirs: Iterable[Entry]) -> Origin:
        ledger, branch = self._ledger, self._branch
        base: Node | None = None
        if not ledger.has_branch(document, branch):
            base = None if before is None else before.node
            ledger.start(document, branch, base)
        node = (branch, 1 if before is None else before.node[1] + 1)
        self._entries[document] = Entry(node, file)
        merged = (
            entry.node for entry in theirs if before is None or not ledger.is_among(document, entry.node, before.node)
        )
        return Origin(node, before, base, tuple(merged))
