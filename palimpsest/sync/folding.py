"""More ops than a delta may have, as fewer that do the same: most go into one merge patch.

A merge patch sets scalars and lists at keys, adds maps and deletes keys, of any number of objects; it cannot set null, and it merges maps
where a `set` replaces them. What it cannot do stays an op of its own, in front of the patch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from palimpsest.state.ops import Delete, MergePatch, Op, Set
from palimpsest.state.paths import Path


def folded(ops: Sequence[Op], new: Collection[Path]) -> list[Op]:
    """As ops, which are at paths of keys; of no two of them one is at a place inside the other's. new: where nothing is yet."""
    kept: list[Op] = []
    patch: dict[str, Any] = {}
    for op in ops:
        if isinstance(op, Delete):
            _put(patch, op.path, None)
        elif isinstance(op, Set) and _can_merge(op, op.path in new):
            _put(patch, op.path, op.value)
        else:
            kept.append(op)
    return [*kept, MergePatch(patch)] if patch else kept


def _can_merge(op: Set, is_new: bool) -> bool:
    """A map takes the place of nothing as it is where it has no null to set; a list takes any place as it is."""
    if isinstance(op.value, dict):
        return is_new and not _sets_null(op.value)
    return op.value is not None


def _sets_null(value: dict[str, Any]) -> bool:
    return any(item is None or (isinstance(item, dict) and _sets_null(item)) for item in value.values())


def _put(patch: dict[str, Any], path: Sequence[Any], value: Any) -> None:
    for key in path[:-1]:
        patch = patch.setdefault(key, {})
    patch[path[-1]] = value
