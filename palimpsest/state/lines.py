"""The lines of versions of a document: which branches there are, where each starts, and what was merged into which.

All of it is read from the value of the document's record, see `record`. A branch that is deleted and made again is two lines under one
name; the numbers of the second begin above those of the first, so that a node, a branch and a number, always means the same version. The
ancestors of a version lie in each line from its first version up to some version, so that one number a line says them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from palimpsest.state.values import MAPS, as_dict
from palimpsest.words import MAIN, Meta, Node


class Line(msgspec.Struct, frozen=True):
    """A branch from its making to its end. base: where it starts from; None: from nothing. first: the number of its first own version,
    whether there is one yet or not. last: of its newest when it was deleted; None: it is there. at: microseconds; 0: not known."""

    branch: str
    first: int = 1
    base: Node | None = None
    last: int | None = None
    at: int = 0
    meta: Meta | None = None


class Segment(msgspec.Struct, frozen=True):
    """Versions first..last that were made on a branch, both included."""

    branch: str
    first: int
    last: int


Ancestors = Mapping[tuple[str, int], int]
"""By the branch of a line and its first number, the newest of its versions that is among the ancestors."""

_MAIN = Line(MAIN)


# --- branches --------------------------------------------------------------------------------------------------------


def branches(record: Any) -> list[str]:
    """The names of all branches that ever were, `main` first."""
    known = as_dict(record) if type(record) in MAPS else {}
    return [MAIN, *sorted(name for name in known if name != MAIN and _entries(record, name, "lines"))]


def lines_of(record: Any, branch: str) -> Sequence[Line]:
    """The oldest first. `main` is one line, and so is a branch of the server's own."""
    if branch == MAIN:
        return (_MAIN,)
    if branch.startswith("$"):
        return (Line(branch),)
    return tuple(_line(branch, said) for said in _entries(record, branch, "lines"))


def live_line(record: Any, branch: str) -> Line | None:
    """None: the document has no such branch."""
    lines = lines_of(record, branch)
    return lines[-1] if lines and lines[-1].last is None else None


def to_entry(line: Line) -> dict[str, Any]:
    """As the record keeps it."""
    said = line.meta or Meta()
    fields = {"at": line.at or None, "by": said.by, "description": said.description, "last": line.last}
    base = None if line.base is None else list(line.base)
    return {"base": base, "first": line.first} | {name: value for name, value in fields.items() if value is not None}


def first_version(base: Node | None, newest: int) -> int:
    """The number that a branch goes on with. newest: of the versions that were made under its name, 0 where there are none.

    One number is left out after those of a deleted branch, so that they are never taken for the beginning of this one.
    """
    return max(0 if base is None else base[1], newest + 1 if newest else 0) + 1


# --- from numbers to nodes -------------------------------------------------------------------------------------------


def line_at(record: Any, node: Node) -> Line:
    """The line that a version was made on."""
    branch, version = node
    return next((line for line in reversed(lines_of(record, branch)) if line.first <= version), Line(branch))


def segments(record: Any, branch: str, newest: int) -> list[Segment]:
    """What the history of a branch consists of, the newest first. newest: its newest version, which may be one of its parent's."""
    lines = lines_of(record, branch)
    return _back(record, lines[-1] if lines else Line(branch), newest)


def line_segments(record: Any, node: Node) -> list[Segment]:
    """As `segments`, of the history of a version."""
    return _back(record, line_at(record, node), node[1])


def _back(record: Any, line: Line, newest: int) -> list[Segment]:
    found: list[Segment] = []
    while True:
        if newest >= line.first:
            found.append(Segment(line.branch, line.first, newest))
        if line.base is None:
            return found
        newest = line.base[1]
        line = line_at(record, line.base)


def locate(record: Any, branch: str, version: int) -> Node | None:
    """Where the version of that number, as the branch counts, was made. None: it has none. Whether it was made yet is not known here."""
    lines = lines_of(record, branch)
    for line in reversed(lines):
        if line.first <= version and (line.last is None or version <= line.last):
            return branch, version
    if not lines or lines[-1].base is None:
        return None
    base = lines[-1].base
    if version >= base[1]:
        return base if version < lines[-1].first else None
    for segment in segments(record, branch, base[1]):
        if segment.first <= version <= segment.last:
            return segment.branch, version
    return None


# --- ancestors -------------------------------------------------------------------------------------------------------


def ancestors(record: Any, node: Node) -> Ancestors:
    """Of a version, itself included."""
    reached: dict[tuple[str, int], int] = {}
    merges: dict[str, list[tuple[int, list[Node]]]] = {}
    todo = [node]
    while todo:
        branch, version = todo.pop()
        line = line_at(record, (branch, version))
        key = (branch, line.first)
        before = reached.get(key)
        if before is not None and before >= version:
            continue
        reached[key] = version
        if before is None and line.base is not None:
            todo.append(line.base)
        if branch not in merges:
            merges[branch] = sorted(merges_into(record, branch).items())
        start = line.first if before is None else before + 1
        todo += [parent for at, parents in merges[branch] if start <= at <= version for parent in parents]
    return reached


def is_ancestor(record: Any, node: Node, of: Ancestors) -> bool:
    return of.get((node[0], line_at(record, node).first), 0) >= node[1]


def common_ancestors(record: Any, a: Node, b: Node) -> list[Node]:
    """The nearest versions that both come from: none of them is an ancestor of another. Several after merges in both directions that
    did not know of each other; none where the branches have nothing in common. In no order of time."""
    ours, theirs = ancestors(record, a), ancestors(record, b)
    shared = [
        (branch, min(ours[branch, first], theirs[branch, first])) for branch, first in ours.keys() & theirs.keys()
    ]
    left = sorted(shared, key=lambda node: (node[0] != MAIN, -node[1], node[0]))
    nearest: list[Node] = []
    while left:
        node, *rest = left
        of = ancestors(record, node)
        left = [other for other in rest if not is_ancestor(record, other, of)]
        nearest = [other for other in nearest if not is_ancestor(record, other, of)] + [node]
    return nearest


def merges_into(record: Any, branch: str) -> dict[int, list[Node]]:
    """By version of the branch, the versions that it took in."""
    found = _get(_get(record, branch), "merges")
    if found is None:
        return {}
    return {int(version): _nodes(nodes) for version, nodes in as_dict(found).items()}


def needed(record: Any, branch: str) -> set[int]:
    """Versions of the branch that are not to be pruned: where a branch starts from, what later merges may find to be their common
    ancestor, and what pending merges hold."""
    found: set[int] = set()
    for name in branches(record):
        line = live_line(record, name)
        if line is None:
            continue
        nodes = [] if line.base is None else [line.base]
        for version, parents in merges_into(record, name).items():
            if version >= line.first:
                nodes += [node for node in parents if line_at(record, node).last is None]
        found.update(number for of, number in nodes if of == branch)
    return found | {number for nodes in holds(record).values() for of, number in nodes if of == branch}


def holds(record: Any) -> dict[str, list[Node]]:
    """By pending merge, the versions that it needs."""
    found = _get(record, HELD)
    return {} if found is None else {id: _nodes(nodes) for id, nodes in as_dict(found).items()}


HELD = "$held"
"""Where a record keeps what pending merges need."""


# --- inside ----------------------------------------------------------------------------------------------------------


def _line(branch: str, said: Any) -> Line:
    base, by, description = said["base"], said.get("by"), said.get("description")
    meta = None if by is None and description is None else Meta(by, description)
    node = None if base is None else (str(base[0]), int(base[1]))
    return Line(branch, said["first"], node, said.get("last"), said.get("at", 0), meta)


def _nodes(nodes: Any) -> list[Node]:
    return [(str(of), int(number)) for of, number in nodes]


def _entries(record: Any, branch: str, name: str) -> Iterable[Any]:
    return _get(_get(record, branch), name) or ()


def _get(value: Any, key: str) -> Any:
    return value.get(key) if type(value) in MAPS else None
