"""Whether a delta touches something at a path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from palimpsest.state import ops
from palimpsest.state.ops import Op
from palimpsest.state.paths import Path
from palimpsest.state.redact import ANY, meets


def touches(delta: Iterable[Op], path: Path) -> bool:
    """Whether any of the ops touches something at path, above it or inside it; `*` in path stands for any step.

    Tests touch nothing. What goes into a list or out of it touches the elements from there on; an append, of which it is not
    known where, touches all of them. What is copied is touched, too.
    """
    return any(_touches(op, path) for op in delta)


def _touches(op: Any, path: Path) -> bool:
    kind = type(op)
    if kind is ops.Test or kind is ops.Absent:
        return False
    if kind is ops.Insert or kind is ops.Remove:
        return _from(op.path, op.index, path)
    if kind is ops.Move:
        return _placed(op.source, path) or _placed(op.path, path)
    if kind is ops.Copy:
        return meets(op.source, path) or _placed(op.path, path)
    return meets(op.path, path)


def _placed(place: Path, path: Path) -> bool:
    """What is moved or copied goes into lists and out of them, and is set at keys."""
    if place and type(place[-1]) is int:
        return _from(place[:-1], place[-1], path)
    return meets(place, path)


def _from(items: Path, index: int, path: Path) -> bool:
    """Whether path meets the list at items, at index or after it."""
    if not meets(items, path):
        return False
    if len(path) <= len(items):
        return True
    step = path[len(items)]
    return step == ANY or (type(step) is int and step >= index)
