"""Values and deltas without what is at one path, as if it had never been there.

In such a path `*` stands for every key and every index. What goes is the entry at a key; an element of a list becomes null, so that
the elements after it stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from palimpsest.state import ops
from palimpsest.state.diff import diff
from palimpsest.state.ops import Op, Set
from palimpsest.state.paths import Path
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import FROZEN_LIST, FROZEN_MAP, Value, thaw

ANY = "*"


def redact(value: Value, path: Path) -> Value:
    """value, which is frozen, without what is at path, which is not (). The same object where there is nothing."""
    return _without(value, path, 0)  # type: ignore[no-any-return]


def covered(value: Value, path: Path) -> Iterator[Path]:
    """Where there is something in value that `redact` takes out: paths without `*`. value: frozen; path: not ()."""
    return _covered(value, path, ())


def concerns(delta: Iterable[Op], path: Path) -> bool:
    """Whether any of the ops reads, sets, moves or may shift something at path, above it or inside it. Never a false no: where
    none does, delta makes of redacted values what it makes of whole ones, and holds nothing that path covers.

    delta: of our own log, in which ops of patches are compiled.
    """
    return any(meets(place, path) for op in delta for place in _places(op))


def redacted_delta(before: Any, after: Value, path: Path) -> list[Op]:
    """What is to be kept of a delta that turned before into after, which are frozen, and that concerns path, which is not ().

    before: NOTHING where the document did not exist, or where the delta set the whole of it and has to go on doing so.
    """
    if before is NOTHING:
        return [Set((), thaw(redact(after, path)))]
    return diff(redact(before, path), redact(after, path))


def meets(place: Path, path: Path) -> bool:
    """Whether one of the two paths lies at or inside the other; `*` in either stands for any step."""
    return all(a == b or ANY in (a, b) for a, b in zip(place, path, strict=False))


def _without(value: Any, path: Path, at: int) -> Any:
    last = at == len(path) - 1
    steps = _matching(value, path[at])
    if not steps:
        return value
    evolver = value.evolver()
    for step in steps:
        if last and type(step) is str:
            evolver.remove(step)
            continue
        new = None if last else _without(value[step], path, at + 1)
        if new is not value[step]:
            evolver[step] = new
    return evolver.persistent() if evolver.is_dirty() else value


def _covered(value: Any, path: Path, found: Path) -> Iterator[Path]:
    last = len(found) == len(path) - 1
    for step in _matching(value, path[len(found)]):
        if not last:
            yield from _covered(value[step], path, (*found, step))
        elif type(step) is str or value[step] is not None:
            yield (*found, step)


def _matching(value: Any, step: str | int) -> list[Any]:
    """The keys, in order, or the indexes that step stands for in value."""
    if type(value) is FROZEN_MAP:
        return sorted(value) if step == ANY else [step] if step in value else []
    if type(value) is FROZEN_LIST:
        return list(range(len(value))) if step == ANY else [step] if type(step) is int and step < len(value) else []
    return []


def _places(op: Any) -> list[Path]:
    """Where an op looks or changes something; of what goes into a list or out of it, the list: it shifts what comes after."""
    if type(op) is ops.Move or type(op) is ops.Copy:
        return [_shifted(op.source), _shifted(op.path)]
    return [op.path]


def _shifted(path: Path) -> Path:
    return path[:-1] if path and type(path[-1]) is int else path
