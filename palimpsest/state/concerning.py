"""Whether a delta may change what an outline lets through, told by its paths alone."""

from __future__ import annotations

from collections.abc import Iterable

from palimpsest.state import ops
from palimpsest.state.ops import Op
from palimpsest.state.outline import HIDDEN, Place
from palimpsest.state.paths import Path
from palimpsest.state.redact import ANY

_MAKING = frozenset((ops.Set, ops.Increment))
"""These make parents that are missing: where a map is shown, a key that is hidden inside of it can bring it about."""

_CHANGING = _MAKING | {ops.Replace, ops.Delete, ops.Insert, ops.Append, ops.Remove, ops.Splice}
_LOOKING = frozenset((ops.Test, ops.Absent))


def concerns(root: Place, delta: Iterable[Op]) -> bool:
    """Never a false no. delta: any ops; what a patch does is not known before it is compiled."""
    for op in delta:
        kind = type(op)
        if kind in _CHANGING:
            if _meets(root, op.path, kind in _MAKING):  # type: ignore[union-attr, arg-type]
                return True
        elif kind not in _LOOKING and _others(root, op):
            return True
    return False


def _others(root: Place, op: Op) -> bool:
    if isinstance(op, ops.Erase):
        return _erases(root, op.path, 0)
    if isinstance(op, ops.Copy):
        return _arrives(root, op.path)
    if isinstance(op, ops.Move):
        source = op.source
        taken = source[:-1] if source and type(source[-1]) is int else source
        return _meets(root, taken, False) or _arrives(root, op.path)
    return True


def _arrives(root: Place, path: Path) -> bool:
    """What is moved or copied goes before an index of a list, which shifts what follows, or to a key."""
    if path and type(path[-1]) is int:
        return _meets(root, path[:-1], False)
    return _meets(root, path, True)


def _meets(root: Place, path: Path, makes: bool) -> bool:
    """makes: missing parents. These are maps: where an index follows, there was a list."""
    place, is_made = root, False
    last = len(path) - 1
    for at, step in enumerate(path):
        if place.is_loud:
            return True
        if type(step) is int:
            place, is_made = place.other, False
        else:
            place = place.named.get(step, place.other)  # type: ignore[arg-type]
            if place.is_made and at < last:
                is_made = True
        if place is HIDDEN:
            return makes and is_made and not any(type(later) is int for later in path[at + 1 :])
    return True


def _erases(place: Place, path: Path, at: int) -> bool:
    if place is HIDDEN:
        return False
    if place.is_loud or at == len(path):
        return True
    step = path[at]
    places = [place.at(step)] if step != ANY else [place.other, *place.named.values()]
    return any(_erases(each, path, at + 1) for each in places)
