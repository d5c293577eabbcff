"""What can be said of branches and merges in a document's record: each a small step, decided against the record's value.

A record decides one after another, so that there is one order between making a branch, pruning what it would start from, and merging.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from palimpsest.errors import BranchExists, BranchNotFound, Conflict, LimitExceeded
from palimpsest.limits import Limits
from palimpsest.state import lines
from palimpsest.state.lines import HELD, Line
from palimpsest.state.ops import Delete, Op, Set
from palimpsest.state.record import pruned
from palimpsest.state.resolutions import remember_ops
from palimpsest.words import MAIN, Node


class Moved(Conflict):
    """What a decision was prepared with is not so any more: it is prepared again, a few times, before anyone hears of it."""

    code = "moved"


class Fork(msgspec.Struct, frozen=True):
    """There is a branch from now on. seen: up to where the base's branch was pruned when the base was found to be there."""

    line: Line
    seen: int = 0


class Drop(msgspec.Struct, frozen=True):
    """A branch is deleted. last: its newest version."""

    branch: str
    last: int


class Join(msgspec.Struct, frozen=True):
    """A version of a branch took in others."""

    branch: str
    version: int
    merged: tuple[Node, ...]


class Hold(msgspec.Struct, frozen=True):
    """A pending merge needs these versions."""

    merge: str
    nodes: tuple[Node, ...]


class Release(msgspec.Struct, frozen=True):
    """A pending merge is over. Nothing is left to say of one whose document was erased meanwhile."""

    merge: str


class Remember(msgspec.Struct, frozen=True):
    """How a conflict was resolved; see `resolutions`. key: of the conflict; entry: the resolution."""

    key: str
    entry: dict[str, Any]


Step = Fork | Drop | Join | Hold | Release | Remember


def step_ops(record: Any, document: str, step: Step, limits: Limits) -> list[Op]:
    """The ops of a step. record: the value of the document's record. Raises BranchExists, BranchNotFound, LimitExceeded or Moved."""
    if isinstance(step, Fork):
        return _fork(record, document, step, limits)
    if isinstance(step, Drop):
        return _drop(record, document, step)
    if isinstance(step, Join):
        nodes = [list(node) for node in step.merged]
        return [Set((step.branch, "merges", str(step.version)), nodes)]
    if isinstance(step, Hold):
        return [Set((HELD, step.merge), [list(node) for node in step.nodes])]
    if isinstance(step, Remember):
        return remember_ops(record, step.key, step.entry)
    return [Delete((HELD, step.merge))] if step.merge in lines.holds(record) else []


def _fork(record: Any, document: str, step: Fork, limits: Limits) -> list[Op]:
    line = step.line
    before = lines.lines_of(record, line.branch)
    if line.branch == MAIN or (before and before[-1].last is None):
        raise BranchExists(
            f"{document!r} has a branch {line.branch!r} already", document=document, branch=line.branch, version=None
        )
    if len(lines.branches(record)) > limits.branches_max:
        raise LimitExceeded(
            f"{document!r} has {limits.branches_max} branches",
            limit="branches_max",
            maximum=limits.branches_max,
            actual=limits.branches_max + 1,
        )
    if line.base is not None:
        until, _ = pruned(record, line.base[0])
        if line.base[1] <= until != step.seen:
            raise Moved(f"version {line.base[1]} of {document!r} may have been pruned meanwhile")
    return _put_lines(line.branch, [*before, line])


def _drop(record: Any, document: str, step: Drop) -> list[Op]:
    before = lines.lines_of(record, step.branch)
    if step.branch == MAIN or not before or before[-1].last is not None:
        raise BranchNotFound(f"{document!r} has no branch {step.branch!r}", document=document, branch=step.branch)
    ended = msgspec.structs.replace(before[-1], last=step.last)
    return _put_lines(step.branch, [*before[:-1], ended])


def _put_lines(branch: str, found: Sequence[Line]) -> list[Op]:
    return [Set((branch, "lines"), [lines.to_entry(line) for line in found])]
