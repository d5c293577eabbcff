"""Plain data that every room speaks of: what kind of version it is, and what its author said about it."""

from __future__ import annotations

from enum import IntEnum

import msgspec

MAIN = "main"
"""The branch that every document has."""

RECORD = "$versions"
"""The branch of a document that keeps what is said of its versions: which branches there are and what was merged into them, the tags
that versions were given and lost, and up to where each branch was pruned; see `state.record`. It is a stream like any other, and
written by the server alone."""

ERASED = "$erased"
"""The tag of every version that erased something. Whatever a policy says, it keeps its version: who erased what and why stays."""


Node = tuple[str, int]
"""A version where it was made: its branch and its number. A branch has the versions of its parent up to where it starts, too; these
are the parent's nodes."""


class Kind(IntEnum):
    """What an event does to its document. The numbers are on disk and on the wire, and never change."""

    CREATE = 0
    UPDATE = 1
    DELETE = 2
    ERASE = 3
    """A path, or the whole document, is gone from this version and from all before it."""


class Meta(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an author says about a version. Kept with the event; never interpreted by the server.

    by: who, as claimed. description: why. tags: words to find it by, sorted and without repeats. trace: what it was written in the course
    of, as a W3C `traceparent`.
    """

    by: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    trace: str | None = None

    @property
    def is_silent(self) -> bool:
        """Nothing is said but what the version was written in the course of, which is the program's to say, and not its author's."""
        return self.by is None and self.description is None and not self.tags


def said_again(said: Meta | None, before: Meta | None) -> Meta | None:
    """What is said of something that is done over again: `said`, or, where that is nothing, what was said before."""
    if said is None or not said.is_silent:
        return before if said is None else said
    return said if before is None else Meta(before.by, before.description, before.tags, said.trace)


class Parents(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a version comes from beside the version before it on its branch.

    base: of the first version of a branch: the version that the branch starts from. merged: the versions whose changes it takes in.
    """

    base: Node | None = None
    merged: tuple[Node, ...] = ()
