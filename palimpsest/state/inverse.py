"""The exact inverse of a delta, worked out from the value that it met.

What the inverse gives back is the value itself: equal, and encoded to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from palimpsest.state import ops
from palimpsest.state.json_patch import without
from palimpsest.state.ops import Op
from palimpsest.state.paths import Path
from palimpsest.state.redact import covered
from palimpsest.state.splice import unsplice
from palimpsest.state.tree import NOTHING, find, find_or_nothing, first_missing
from palimpsest.state.values import INT_MIN, Value
from palimpsest.state.working import steps

_ANY_DEPTH = 1 << 30
"""What a delta made once was within the limits of then."""


def invert(value: Value, delta: Sequence[Op]) -> list[Op]:
    """The delta that turns what `delta` makes of value back into value. value: frozen.

    Raises what `Working.apply` raises where delta does not fit value.
    """
    return [op for _, inverse in reversed(inverses(value, delta)) for op in inverse]


def inverses(value: Value, delta: Sequence[Op]) -> list[tuple[Op, list[Op]]]:
    """Each op of delta in turn, with the ops that take it back. value: as in `invert`, and raises the same."""
    return [(op, _INVERSES[type(op)](op, before)) for before, op in steps(value, delta, depth_max=_ANY_DEPTH)]


def _put_back(op: ops.Set | ops.Replace, value: Value) -> list[Op]:
    return _unset(op.path, value)


def _undelete(op: ops.Delete, value: Value) -> list[Op]:
    old = find_or_nothing(value, op.path)
    return [] if old is NOTHING else [ops.Set(op.path, old)]


def _decrement(op: ops.Increment, value: Value) -> list[Op]:
    # Counting back is exact for integers alone, and lets increments that came in between stand.
    old = find_or_nothing(value, op.path)
    if type(old) is int and type(op.by) is int and -op.by >= INT_MIN:
        return [ops.Increment(op.path, -op.by)]
    return _unset(op.path, value)


def _uninsert(op: ops.Insert, value: Value) -> list[Op]:
    return [ops.Remove(op.path, op.index)]


def _unappend(op: ops.Append, value: Value) -> list[Op]:
    return [ops.Remove(op.path, len(find(value, op.path)))]


def _unremove(op: ops.Remove, value: Value) -> list[Op]:
    return [ops.Insert(op.path, op.index, find(value, (*op.path, op.index)))]


def _move_back(op: ops.Move, value: Value) -> list[Op]:
    source, path = op.source, op.path
    if source == path:
        return []
    between = without(value, source)
    if _is_index(path) or (path and first_missing(between, path) == path and find_or_nothing(between, path) is NOTHING):
        return [ops.Move(path, source)]
    # Special case: something was replaced, or parents were made; then it is taken apart into going and coming.
    return [*_unadd(path, between), _added(source, find(value, source))]


def _uncopy(op: ops.Copy, value: Value) -> list[Op]:
    return _unadd(op.path, value)


def _unsplice(op: ops.Splice, value: Value) -> list[Op]:
    return [ops.Splice(op.path, unsplice(find(value, op.path), op.edits))]


def _unerase(op: ops.Erase, value: Value) -> list[Op]:
    return [ops.Set(path, find(value, path)) for path in covered(value, op.path)]


def _nothing(op: Any, value: Value) -> list[Op]:
    return []


_INVERSES: dict[type, Callable[[Any, Value], list[Op]]] = {
    ops.Set: _put_back,
    ops.Replace: _put_back,
    ops.Delete: _undelete,
    ops.Increment: _decrement,
    ops.Insert: _uninsert,
    ops.Append: _unappend,
    ops.Remove: _unremove,
    ops.Move: _move_back,
    ops.Copy: _uncopy,
    ops.Test: _nothing,
    ops.Absent: _nothing,
    ops.Splice: _unsplice,
    ops.Erase: _unerase,
}


def _unset(path: Path, value: Value) -> list[Op]:
    """Takes back that something was set at path in value."""
    old = find_or_nothing(value, path)
    return [ops.Delete(first_missing(value, path)) if old is NOTHING else ops.Set(path, old)]


def _unadd(path: Path, value: Value) -> list[Op]:
    """Takes back that something was set at a key, or inserted before an index."""
    return [ops.Remove(path[:-1], path[-1])] if _is_index(path) else _unset(path, value)  # type: ignore[arg-type]


def _added(path: Path, value: Value) -> Op:
    return ops.Insert(path[:-1], path[-1], value) if _is_index(path) else ops.Set(path, value)  # type: ignore[arg-type]


def _is_index(path: Path) -> bool:
    return bool(path) and type(path[-1]) is int
