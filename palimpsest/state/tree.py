"""Walking values, and changing frozen ones at a path.

Nothing here changes anything: what is called a change gives a new value that shares all it can with the old one. Values may
be plain in places: ops bring plain values, which are frozen when something inside them changes. Where path and value do
not fit, `Misfit` is raised; it does not know yet of which op.
"""

from __future__ import annotations

from typing import Any, Final

from pyrsistent import PMap, pmap

from palimpsest.state.paths import Path, format_path
from palimpsest.state.values import FROZEN_LIST, FROZEN_MAP, LISTS, MAPS, PLAIN_CONTAINERS, Value, describe, freeze


class _Nothing:
    def __repr__(self) -> str:
        return "ABSENT"  # as the package calls it for its users

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING: Final[Any] = _Nothing()
"""What is at a path where there is nothing. Null is something."""


class Misfit(Exception):
    """A path, or what is to be done there, does not fit the value. reason: as in `DeltaFailed`; detail: a sentence."""

    def __init__(self, reason: str, detail: str, path: Path | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.path = path
        """The path in question, where it is not the op's own."""


def find(value: Any, path: Path, at: int = 0) -> Any:
    """What is at path[at:] in value. Raises Misfit: `absent` for a missing key, `index` for a missing element, `type`."""
    for position in range(at, len(path)):
        step = path[position]
        kind = type(value)
        if kind in MAPS and type(step) is str:
            value = value.get(step, NOTHING)
            if value is NOTHING:
                raise Misfit("absent", f"there is nothing at {written(path[: position + 1])}")
        elif kind in LISTS and type(step) is int:
            check_index(value, path, position)
            value = value[step]
        else:
            raise wrong_step(value, path, position)
    return value


def find_or_nothing(value: Any, path: Path) -> Any:
    """What is at path, or NOTHING wherever that cannot be reached."""
    try:
        return find(value, path)
    except Misfit:
        return NOTHING


def put(value: Any, path: Path, at: int, new: Value) -> Value:
    """value with `new`, which is frozen, at path[at:], which is not empty. Missing parents are made, as maps."""
    step = path[at]
    if type(value) in PLAIN_CONTAINERS:
        value = freeze(value)
    if type(value) is FROZEN_MAP and type(step) is str:
        if at + 1 < len(path):
            child = value.get(step, NOTHING)
            new = _made(path, at + 1, new) if child is NOTHING else put(child, path, at + 1, new)
        return value.set(step, new)  # type: ignore[no-any-return]
    if type(value) is FROZEN_LIST and type(step) is int:
        check_index(value, path, at)
        if at + 1 < len(path):
            new = put(value[step], path, at + 1, new)
        return value.set(step, new)  # type: ignore[no-any-return]
    if value is NOTHING:
        return _made(path, at, new)
    raise wrong_step(value, path, at)


def drop(value: Any, path: Path, at: int) -> Any:
    """value without the key at path[at:], which is not empty; value itself where there is nothing to drop."""
    step = path[at]
    last = at + 1 == len(path)
    if type(value) in PLAIN_CONTAINERS:
        value = freeze(value)
    if type(value) is FROZEN_MAP and type(step) is str:
        child = value.get(step, NOTHING)
        if child is NOTHING:
            return value
        if last:
            return value.discard(step)
        changed = drop(child, path, at + 1)
        return value if changed is child else value.set(step, changed)
    if type(value) is FROZEN_LIST and type(step) is int:
        if last:
            raise Misfit("type", f"{written(path)} is a list element, which `remove` takes out")
        if step >= len(value):
            return value
        changed = drop(value[step], path, at + 1)
        return value if changed is value[step] else value.set(step, changed)
    raise wrong_step(value, path, at)


def first_missing(value: Any, path: Path) -> Path:
    """The shortest part of path at which there is nothing, where only keys are missing; path where all is there."""
    for position, step in enumerate(path):
        value = value.get(step, NOTHING) if type(value) in MAPS else value[step]
        if value is NOTHING:
            return path[: position + 1]
    return path


def written(path: Path) -> str:
    """path, for a message."""
    return f"`{format_path(path)}`" if path else "the root"


def check_index(value: Any, path: Path, position: int) -> None:
    """Raises Misfit where path[position] is no index of the list `value`."""
    if path[position] >= len(value):  # type: ignore[operator]
        raise no_element(path[:position], value, path[position])


def no_element(path: Path, items: Any, index: int | str) -> Misfit:
    """The error for an index that the list `items`, at path, does not have."""
    return Misfit("index", f"the list at {written(path)} has {len(items)} elements, so there is no {index}")


def wrong_step(value: Any, path: Path, position: int) -> Misfit:
    """The error for a step that does not fit the kind of value that it meets."""
    step, where = path[position], written(path[:position])
    if type(value) in MAPS:
        key = written((*path[:position], str(step)))
        return Misfit("type", f"{where} is a map, which has keys and no index {step}; the key is written {key}")
    if type(value) in LISTS:
        return Misfit("type", f"{where} is a list, which has indexes and no keys")
    return Misfit("type", f"{where} is {describe(value)}, which has nothing inside")


def _made(path: Path, at: int, new: Value) -> Value:
    """Maps around `new`, one for each step of path[at:]."""
    for position in range(len(path) - 1, at - 1, -1):
        step = path[position]
        if type(step) is not str:
            raise Misfit(
                "absent", f"there is no list at {written(path[:position])}, and missing parents are made as maps"
            )
        made: PMap[str, Value] = pmap({step: new})
        new = made
    return new
