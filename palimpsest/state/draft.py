"""What each op does: a value on its way through one delta.

A draft over a map keeps the changed top-level entries apart from the map, in two layers: `changed`, which is the
owner's and only read here, and `staged`, which is this delta's. Dropping a draft undoes everything; nobody else has seen it.

A list that elements go into or out of is held open, as a Python list, for as long as ops change it: a hundred such ops in a
row cost one copy of the list, not a hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from pyrsistent import pvector

from palimpsest.errors import DeltaFailed, LimitExceeded, TestFailed
from palimpsest.state import ops
from palimpsest.state.ops import Op
from palimpsest.state.paths import Path, format_path
from palimpsest.state.redact import redact
from palimpsest.state.splice import spliced
from palimpsest.state.tree import NOTHING, Misfit, drop, find, no_element, put, written, wrong_step
from palimpsest.state.values import (
    FROZEN_MAP,
    INT_MAX,
    INT_MIN,
    LISTS,
    PLAIN_CONTAINERS,
    Value,
    depth_of,
    describe,
    encode_value,
    equal,
    freeze,
    too_deep,
)

UNCHANGED: Any = object()
"""What a layer says of an entry that it knows nothing of. NOTHING says that it is gone."""


_SHORT_STEPS = 8
"""Each parent that is made adds a byte of its own, which the op does not hold. In a path as short as that they do not count."""


class Draft:
    """A value that ops are applied to, one after the other.

    depth_max: of containers. copy_bytes_max: how much `copy` may add, encoded; None: as much as it likes.
    """

    __slots__ = (
        "changed",
        "copied_bytes",
        "copy_bytes_max",
        "depth_max",
        "open_items",
        "open_path",
        "root",
        "staged",
    )

    def __init__(
        self,
        root: Value,
        changed: dict[str, Any],
        staged: dict[str, Any],
        *,
        depth_max: int,
        copy_bytes_max: int | None,
    ) -> None:
        self.root = root
        self.changed = changed
        self.staged = staged
        self.depth_max = depth_max
        self.copy_bytes_max = copy_bytes_max
        self.copied_bytes = 0
        self.open_path: Path | None = None
        """Where the open list is; what the layers have there is out of date. None: no list is open."""
        self.open_items: list[Value] = []

    def apply(self, index: int, op: Op, *, origin: Op | None = None) -> None:
        """op is not one of those that are compiled. For errors: index, of op in its delta; origin: what it was compiled
        from.

        Raises DeltaFailed, TestFailed or LimitExceeded; the draft is then of no more use.
        """
        if self.open_path is not None and not _keeps_open(self.open_path, op):
            self.close()
        try:
            _STEPS[type(op)](self, op)
        except Misfit as misfit:
            raise failure(index, origin or op, misfit) from None

    def fold(self) -> Value:
        """The frozen value; the layers are then empty, and no list is open."""
        self.close()
        if self.changed or self.staged:
            self.root = fold(self.root, {**self.changed, **self.staged})
            self.changed, self.staged = {}, {}
        return self.root

    def opened(self, path: Path) -> list[Value]:
        """The list at path, open: it may be changed, frozen values going in. Raises Misfit where there is none."""
        if self.open_path is None:
            self.open_items = self.list_at(path).tolist()
            self.open_path = path
        return self.open_items

    def close(self) -> None:
        """Puts the open list back, if there is one."""
        if self.open_path is not None:
            path, self.open_path = self.open_path, None
            self.put(path, pvector(self.open_items))

    # --- the value, whatever layer it is in --------------------------------------------------------------------------

    def find(self, path: Path) -> Any:
        if not path or type(self.root) is not FROZEN_MAP or type(path[0]) is not str:
            return find(self.fold() if not path else self.root, path)
        top = self._top(path[0])
        if top is NOTHING:
            raise Misfit("absent", f"there is nothing at {written(path[:1])}")
        return find(top, path, 1)

    def put(self, path: Path, new: Any) -> None:
        """Sets what is at path. Missing parents are made, as maps."""
        if len(path) > self.depth_max:
            raise too_deep(len(path), self.depth_max)
        if not path:
            self.root, self.changed, self.staged = freeze(new), {}, {}
        elif type(self.root) is not FROZEN_MAP:
            self.root = put(self.root, path, 0, freeze(new))
        elif type(path[0]) is not str:
            raise wrong_step(self.root, path, 0)
        elif len(path) == 1:
            self.staged[path[0]] = new
        else:
            self.staged[path[0]] = put(self._top(path[0]), path, 1, freeze(new))
        if len(path) > _SHORT_STEPS:
            self.copied_bytes += len(path)

    def drop(self, path: Path) -> None:
        """Nothing is at the key at path from here on."""
        if not path:
            raise Misfit("type", "the root cannot be deleted; deleting a document is a request of its own")
        if type(self.root) is not FROZEN_MAP:
            self.root = drop(self.root, path, 0)
            return
        if type(path[0]) is not str:
            raise wrong_step(self.root, path, 0)
        top = self._top(path[0])
        if len(path) == 1:
            self.staged[path[0]] = NOTHING
        elif top is not NOTHING:
            self.staged[path[0]] = drop(top, path, 1)

    def list_at(self, path: Path) -> Any:
        """The list at path, frozen. Raises Misfit where there is none."""
        items = self.find(path)
        if type(items) not in LISTS:
            raise Misfit("type", f"{written(path)} is {describe(items)}, not a list", path)
        return freeze(items)

    def insert(self, path: Path, index: int, new: Any) -> None:
        """index: 0 to the length of the list at path."""
        items = self.opened(path)
        if index > len(items):
            raise Misfit(
                "index", f"the list at {written(path)} has {len(items)} elements, so nothing goes before {index}"
            )
        items.insert(index, freeze(new))

    def append(self, path: Path, new: Any) -> None:
        # A list that is not open is not opened for this: what a vector does best is to grow.
        if self.open_path is not None:
            self.open_items.append(freeze(new))
        else:
            self.put(path, self.list_at(path).append(freeze(new)))

    def remove(self, path: Path, index: int) -> None:
        """index: of an element of the list at path."""
        items = self.opened(path)
        if index >= len(items):
            raise no_element(path, items, index)
        del items[index]

    def set_element(self, index: int, new: Any) -> None:
        """index: of an element of the open list."""
        assert self.open_path is not None
        if index >= len(self.open_items):
            raise no_element(self.open_path, self.open_items, index)
        self.open_items[index] = freeze(new)

    def add(self, path: Path, new: Any, *, source: Path) -> None:
        """new, which was at source, goes to path: set at a key, inserted before an index."""
        if len(path) > len(source) and len(path) + (depth := depth_of(new)) > self.depth_max:
            raise too_deep(len(path) + depth, self.depth_max)
        if path and type(path[-1]) is int:
            self.insert(path[:-1], path[-1], new)
            self.close()
        else:
            self.put(path, new)

    def take(self, path: Path) -> Any:
        """What is at path, which is not there any more."""
        taken = self.find(path)
        if type(path[-1]) is int:
            self.remove(path[:-1], path[-1])
            self.close()
        else:
            self.drop(path)
        return taken

    def charge(self, size: int) -> None:
        """size: bytes that the value grows by without having been sent. Raises LimitExceeded."""
        self.copied_bytes += size
        if self.copy_bytes_max is not None and self.copied_bytes > self.copy_bytes_max:
            raise LimitExceeded(
                f"copies of {self.copied_bytes} bytes would make the document larger than document_bytes_max",
                limit="document_bytes_max",
                maximum=self.copy_bytes_max,
                actual=self.copied_bytes,
            )

    def _top(self, key: str) -> Any:
        value = self.staged.get(key, UNCHANGED)
        if value is UNCHANGED:
            value = self.changed.get(key, UNCHANGED)
            if value is UNCHANGED:
                return self.root.get(key, NOTHING)  # type: ignore[union-attr]
        return value


def fold(root: Any, entries: dict[str, Any]) -> Value:
    """The map with these entries in place of its own; NOTHING takes one out. Plain values are frozen."""
    evolver = root.evolver()
    for key, value in entries.items():
        if value is NOTHING:
            if key in evolver:
                evolver.remove(key)
        else:
            evolver.set(key, freeze(value) if type(value) in PLAIN_CONTAINERS else value)
    return evolver.persistent()  # type: ignore[no-any-return]


def failure(index: int, op: Op, misfit: Misfit) -> DeltaFailed:
    """The error for the op with this index in its delta."""
    if type(op) is ops.JsonPatch:  # its path is a JSON Pointer, which is what its author will look for
        name, where = op.op, op.path
    else:
        path = misfit.path if misfit.path is not None else getattr(op, "path", ())
        name, where = ops.name_of(op), format_path(path)
    kind = TestFailed if name in _TESTS else DeltaFailed
    message = f"op {index} ({name} {where or 'the root'}): {misfit.detail}"
    return kind(message, op=index, path=where, reason=misfit.reason)


_TESTS = frozenset(("test", "absent"))


def total(current: Any, by: int | float) -> int | float:
    """The sum. Raises Misfit where current is no number, or the sum is no value."""
    if type(current) is not int and type(current) is not float:
        raise Misfit("type", f"what is there is {describe(current)}, not a number")
    if type(current) is int and type(by) is int:
        exact = current + by
        if not INT_MIN <= exact <= INT_MAX:
            raise Misfit("range", "the sum lies outside of -2^63 to 2^64-1")
        return exact
    rounded = float(current) + float(by)
    if not isfinite(rounded):
        raise Misfit("range", "the sum is not finite")
    return rounded


def _keeps_open(path: Path, op: Op) -> bool:
    """op changes nothing but the elements of the list at path."""
    kind = type(op)
    if kind is ops.Insert or kind is ops.Append or kind is ops.Remove:
        return op.path == path  # type: ignore[union-attr]
    return kind is ops.Set and op.path[:-1] == path and op.path != () and type(op.path[-1]) is int  # type: ignore[union-attr]


# --- one function an op ----------------------------------------------------------------------------------------------


def _set(draft: Draft, op: ops.Set) -> None:
    if draft.open_path is not None:
        draft.set_element(op.path[-1], op.value)  # type: ignore[arg-type]
    else:
        draft.put(op.path, op.value)


def _replace(draft: Draft, op: ops.Replace) -> None:
    draft.find(op.path)
    draft.put(op.path, op.value)


def _delete(draft: Draft, op: ops.Delete) -> None:
    draft.drop(op.path)


def _increment(draft: Draft, op: ops.Increment) -> None:
    try:
        current = draft.find(op.path)
    except Misfit as misfit:
        if misfit.reason != "absent":
            raise
        current = 0
    draft.put(op.path, total(current, op.by))


def _insert(draft: Draft, op: ops.Insert) -> None:
    draft.insert(op.path, op.index, op.value)


def _append(draft: Draft, op: ops.Append) -> None:
    draft.append(op.path, op.value)


def _remove(draft: Draft, op: ops.Remove) -> None:
    draft.remove(op.path, op.index)


def _move(draft: Draft, op: ops.Move) -> None:
    _check_source(draft, op.source)
    if op.source == op.path:
        return
    if op.path[: len(op.source)] == op.source:
        raise Misfit(
            "move_into_itself", f"{written(op.path)} lies inside of {written(op.source)}, which is moved there"
        )
    draft.add(op.path, draft.take(op.source), source=op.source)


def _copy(draft: Draft, op: ops.Copy) -> None:
    value = _check_source(draft, op.source)
    draft.charge(len(encode_value(value)))
    draft.add(op.path, value, source=op.source)


def _test(draft: Draft, op: ops.Test) -> None:
    if not equal(draft.find(op.path), op.value):
        raise Misfit("test", "the value there is another one")


def _absent(draft: Draft, op: ops.Absent) -> None:
    try:
        draft.find(op.path)
    except Misfit:
        return
    raise Misfit("present", "there is something")


def _splice(draft: Draft, op: ops.Splice) -> None:
    text = draft.find(op.path)
    if type(text) is not str:
        raise Misfit("type", f"what is there is {describe(text)}, not a string")
    draft.put(op.path, spliced(text, op.edits))


def _erase(draft: Draft, op: ops.Erase) -> None:
    if not op.path:
        raise Misfit("type", "a whole document is erased with its history, which no delta does")
    draft.put((), redact(draft.fold(), op.path))


def _check_source(draft: Draft, source: Path) -> Any:
    try:
        return draft.find(source)
    except Misfit as misfit:
        raise Misfit(misfit.reason, misfit.detail, source) from None


_STEPS: dict[type, Callable[[Draft, Any], None]] = {
    ops.Set: _set,
    ops.Replace: _replace,
    ops.Delete: _delete,
    ops.Increment: _increment,
    ops.Insert: _insert,
    ops.Append: _append,
    ops.Remove: _remove,
    ops.Move: _move,
    ops.Copy: _copy,
    ops.Test: _test,
    ops.Absent: _absent,
    ops.Splice: _splice,
    ops.Erase: _erase,
}
