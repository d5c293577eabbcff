"""Our ops written as JSON Patch (RFC 6902).

It takes the value that a delta meets: whether a `set` adds or replaces depends on it, what an `increment` comes to, and
which parents are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from palimpsest.state import ops
from palimpsest.state.draft import total
from palimpsest.state.json_patch import format_pointer, without
from palimpsest.state.ops import Op
from palimpsest.state.paths import Path
from palimpsest.state.redact import covered
from palimpsest.state.splice import spliced
from palimpsest.state.tree import NOTHING, find, find_or_nothing, first_missing
from palimpsest.state.values import Value, thaw
from palimpsest.state.working import steps

Operation = dict[str, Any]


def to_json_patch(value: Value, delta: Sequence[Op]) -> list[Operation]:
    """The JSON Patch that does to value, which is frozen, what delta does.

    An `absent` op has no counterpart: it holds for value, and is left out. Raises what `Working.apply` raises where delta
    does not fit value.
    """
    return [operation for before, op in steps(value, delta) for operation in _WRITERS[type(op)](op, before)]


def _set(op: ops.Set | ops.Replace, value: Value) -> list[Operation]:
    return [_put(op.path, value, op.value)]


def _splice(op: ops.Splice, value: Value) -> list[Operation]:
    return [_operation("replace", op.path, value=spliced(find(value, op.path), op.edits))]


def _erase(op: ops.Erase, value: Value) -> list[Operation]:
    return [
        _operation("replace", path, value=None) if type(path[-1]) is int else _operation("remove", path)
        for path in covered(value, op.path)
    ]


def _delete(op: ops.Delete, value: Value) -> list[Operation]:
    return [] if find_or_nothing(value, op.path) is NOTHING else [_operation("remove", op.path)]


def _increment(op: ops.Increment, value: Value) -> list[Operation]:
    current = find_or_nothing(value, op.path)
    return [_put(op.path, value, total(0 if current is NOTHING else current, op.by))]


def _insert(op: ops.Insert, value: Value) -> list[Operation]:
    return [_operation("add", (*op.path, op.index), value=thaw(op.value))]


def _append(op: ops.Append, value: Value) -> list[Operation]:
    return [_operation("add", (*op.path, "-"), value=thaw(op.value))]


def _remove(op: ops.Remove, value: Value) -> list[Operation]:
    return [_operation("remove", (*op.path, op.index))]


def _move(op: ops.Move, value: Value) -> list[Operation]:
    source, path = op.source, op.path
    if source == path:
        return []
    between = without(value, source)
    if _has_parent(path, between):
        return [_operation("move", path, **{"from": format_pointer(source)})]
    return [_operation("remove", source), _put(path, between, find(value, source))]


def _copy(op: ops.Copy, value: Value) -> list[Operation]:
    if _has_parent(op.path, value):
        return [_operation("copy", op.path, **{"from": format_pointer(op.source)})]
    return [_put(op.path, value, find(value, op.source))]


def _test(op: ops.Test, value: Value) -> list[Operation]:
    return [_operation("test", op.path, value=thaw(op.value))]


def _nothing(op: ops.Absent, value: Value) -> list[Operation]:
    return []


_WRITERS: dict[type, Callable[[Any, Value], list[Operation]]] = {
    ops.Set: _set,
    ops.Replace: _set,
    ops.Delete: _delete,
    ops.Increment: _increment,
    ops.Insert: _insert,
    ops.Append: _append,
    ops.Remove: _remove,
    ops.Move: _move,
    ops.Copy: _copy,
    ops.Test: _test,
    ops.Absent: _nothing,
    ops.Splice: _splice,
    ops.Erase: _erase,
}


def _put(path: Path, value: Value, new: Any) -> Operation:
    """Sets what is at path in value; missing parents come with it."""
    if find_or_nothing(value, path) is not NOTHING:
        return _operation("replace", path, value=thaw(new))
    start = first_missing(value, path)
    made = thaw(new)
    for key in reversed(path[len(start) :]):
        assert type(key) is str
        made = {key: made}
    return _operation("add", start, value=made)


def _has_parent(path: Path, value: Value) -> bool:
    return not path or find_or_nothing(value, path[:-1]) is not NOTHING


def _operation(name: str, path: Path, **members: Any) -> Operation:
    return {"op": name, "path": format_pointer(path), **members}
