"""Which version last set what is in a value: worked out backwards, from the newest version, until everything is known.

What is still open is a tree of the value's places. Going back through an op, a place that the op set is taken out of the tree, and
what the op shifted in a list is shifted back; so an op costs as much as its path is long and its list has elements to shift, however
many places are open. A list that has something open in it is followed as a whole, because an `append` says
its index by the length of the list alone.

What counts as set: the place of a set, a replace, an increment or a splice, whether the value became another one or not, with all
that is inside; an element that was inserted or appended; and what was moved or copied, with all that is inside, by the version
that moved or copied it: where it came from is not followed. An empty map or list is set also by what took something out of it, and
by a delete in it of a key that was not there. An erasure sets the elements that it made null, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from palimpsest.state import ops
from palimpsest.state.ops import Op
from palimpsest.state.paths import Path
from palimpsest.state.redact import ANY
from palimpsest.state.tree import find
from palimpsest.state.values import LISTS, MAPS, as_dict
from palimpsest.words import Kind


class Blame:
    """Which version last set each leaf of a value: each scalar, empty map and empty list.

    value: frozen or plain. path: of what is asked about; there is something in value. The caller then calls `step` for each
    version from the value's own backwards, until `is_complete`, or `finish` where history ends before that.
    """

    def __init__(self, value: Any, path: Path = ()) -> None:
        self._paths: list[Path] = []
        self._version = 0
        """The version that `step` is at."""
        inner = self._plant(find(value, path), path)
        self._open = len(self._paths)
        self._versions = [0] * self._open
        """By leaf; 0: still open."""
        self._root = _around(inner, value, path, self._open)

    @property
    def is_complete(self) -> bool:
        """The version of every leaf is known."""
        return not self._open

    def step(self, version: int, kind: int, delta: Sequence[Op]) -> None:
        """Goes back by one version. kind, delta: what it was and did, as in the log; the value so far is the one that it made."""
        self._version = version
        for op in reversed(delta):
            if not self._open:
                return
            _STEPS[type(op)](self, op)
        if kind == Kind.CREATE:
            self.finish(version)

    def finish(self, version: int) -> None:
        """Everything that is still open was set by version, or before it, as far as can be known."""
        self._version = version
        self._close(self._root)
        self._root = None

    def result(self) -> list[tuple[Path, int]]:
        """Every leaf with its version, 0 while it is open: in the order of the encoded value, where a map's keys are sorted."""
        return list(zip(self._paths, self._versions, strict=True))

    # --- the tree ----------------------------------------------------------------------------------------------------

    def _plant(self, value: Any, path: Path) -> _Entry:
        """The tree of value, whose leaves get their numbers."""
        kind, first = type(value), len(self._paths)
        children: dict[Any, _Entry] | list[_Entry]
        if kind in MAPS and value:
            children = {key: self._plant(item, (*path, key)) for key, item in sorted(as_dict(value).items(), key=_key)}
        elif kind in LISTS and len(value):
            children = [self._plant(item, (*path, index)) for index, item in enumerate(value)]
        else:
            self._paths.append(path)
            return first
        return _Node(children, len(self._paths) - first)

    def _close(self, entry: _Entry) -> int:
        """All leaves of entry are blamed on the version that `step` is at. Returns how many there were."""
        closed = 0
        todo = [entry]
        while todo:
            entry = todo.pop()
            if type(entry) is int:
                self._versions[entry] = self._version
                closed += 1
            elif type(entry) is _Node:
                todo += entry.children.values() if type(entry.children) is dict else entry.children
        self._open -= closed
        return closed

    def _set(self, path: Path) -> None:
        """The version at hand has set what is at path."""
        if not path:
            self._close(self._root)
            self._root = None
        elif nodes := self._nodes(path[:-1]):
            closed = self._close(nodes[-1].get(path[-1]))
            nodes[-1].forget(path[-1])
            self._count(nodes, path, closed)

    def _nodes(self, path: Path) -> list[_Node]:
        """The nodes from the root to the one at path, inside of which something was set; none where nothing there is open.

        Special case: a leaf on the way, or at path. It is a container that is empty although something was put into it, so that
        an erasure has emptied it since; the version at hand has set it.
        """
        entry = self._root
        nodes: list[_Node] = []
        for position in range(len(path) + 1):
            if type(entry) is int:
                self._set(path[:position])
                return []
            if type(entry) is not _Node:
                return []
            nodes.append(entry)
            if position < len(path):
                entry = entry.get(path[position])
        return nodes

    def _count(self, nodes: list[_Node], path: Path, closed: int) -> None:
        """As many leaves fewer are open in each of nodes, those on the way to path; one with none left leaves the tree."""
        if not closed:
            return
        for position in range(len(nodes) - 1, -1, -1):
            nodes[position].open -= closed
            if not nodes[position].open:
                if not position:
                    self._root = None
                    return
                nodes[position - 1].forget(path[position - 1])

    def _find(self, path: Path) -> _Entry:
        entry = self._root
        for step in path:
            if type(entry) is not _Node:
                return None
            entry = entry.get(step)
        return entry

    # --- going back --------------------------------------------------------------------------------------------------

    def _take_out(self, path: Path, index: int | None) -> None:
        """The element at index (None: the last) of the list at path was not there before."""
        nodes = self._nodes(path)
        items = nodes[-1].children if nodes else None
        if type(items) is list:
            closed = self._close(items.pop(-1 if index is None else index))
            self._count(nodes, path, closed)

    def _put_back(self, path: Path, index: int) -> None:
        """An element was at index of the list at path, which is not there any more."""
        entry = self._find(path)
        if type(entry) is _Node and type(entry.children) is list:
            entry.children.insert(index, None)
        else:
            self._emptied(path)

    def _emptied(self, path: Path) -> None:
        """Something may have been taken out of what is at path; that matters where it is empty."""
        if type(self._find(path)) is int:
            self._set(path)

    def _added(self, path: Path) -> None:
        """What is at path was set at a key, or inserted before an index."""
        if path and type(path[-1]) is int:
            self._take_out(path[:-1], path[-1])
        else:
            self._set(path)

    def _moved(self, op: ops.Move) -> None:
        if op.source == op.path:
            return
        self._added(op.path)
        if type(op.source[-1]) is int:
            self._put_back(op.source[:-1], op.source[-1])
        else:
            self._emptied(op.source[:-1])

    def _erased(self, op: ops.Erase) -> None:
        for path in list(_matches(self._root, op.path, ())):
            self._set(path)


class _Node:
    """A map or a list with something open in it. children: by key, those that have something open; or all elements of the list,
    None where nothing is open. open: how many leaves are."""

    __slots__ = ("children", "open")

    def __init__(self, children: dict[Any, _Entry] | list[_Entry], leaves: int) -> None:
        self.children = children
        self.open = leaves

    def get(self, step: str | int) -> _Entry:
        children = self.children
        if type(children) is dict:
            return children.get(step)
        return children[step] if type(step) is int and step < len(children) else None

    def forget(self, step: str | int) -> None:
        children = self.children
        if type(children) is dict:
            children.pop(step, None)
        elif type(step) is int and step < len(children):
            children[step] = None


_Entry = int | _Node | None
"""A leaf, by its number; something with leaves inside; or nothing that is still open."""


def _around(inner: _Entry, value: Any, path: Path, leaves: int) -> _Entry:
    """The tree of value in which only `inner`, at path, is open. leaves: how many it has."""
    for position in range(len(path) - 1, -1, -1):
        container, step = find(value, path[:position]), path[position]
        if type(container) in MAPS:
            inner = _Node({step: inner}, leaves)
        else:
            inner = _Node([inner if index == step else None for index in range(len(container))], leaves)
    return inner


def _key(entry: tuple[str, Any]) -> str:
    return entry[0]


def _matches(entry: _Entry, pattern: Path, path: Path) -> Iterator[Path]:
    """The open elements of lists that pattern, in which `*` is any step, speaks of."""
    if type(entry) is not _Node or not pattern:
        return
    children, step = entry.children, pattern[0]
    steps: Any = [step]
    if step == ANY:
        steps = list(children) if type(children) is dict else range(len(children))
    for step in steps:
        child = entry.get(step)
        if len(pattern) > 1:
            yield from _matches(child, pattern[1:], (*path, step))
        elif child is not None and type(children) is list:
            yield (*path, step)


_STEPS: dict[type, Callable[[Blame, Any], None]] = {
    ops.Set: lambda blame, op: blame._set(op.path),
    ops.Replace: lambda blame, op: blame._set(op.path),
    ops.Delete: lambda blame, op: blame._emptied(op.path[:-1]),
    ops.Increment: lambda blame, op: blame._set(op.path),
    ops.Insert: lambda blame, op: blame._take_out(op.path, op.index),
    ops.Append: lambda blame, op: blame._take_out(op.path, None),
    ops.Remove: lambda blame, op: blame._put_back(op.path, op.index),
    ops.Move: Blame._moved,
    ops.Copy: lambda blame, op: blame._added(op.path),
    ops.Test: lambda blame, op: None,
    ops.Absent: lambda blame, op: None,
    ops.Splice: lambda blame, op: blame._set(op.path),
    ops.Erase: Blame._erased,
}
