"""What a document and a source outside owe each other: the three-way comparison of the two, as rows that can be chosen from.

What both last agreed on is the base, the document is our side, and the source is theirs. What only one side changed is to be done on the
other; what both changed alike is agreed on; what both changed differently is a conflict, unless a rule decides it: all of that is told by
`merge`. Here it is cut into rows, one for each object and direction, and the source's side is parted into what can be taken in (`clean`) and
what waits for a decision: in `clean`, each place of a conflict is as in the base, as if the source had not touched it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from palimpsest.state.conflicts import Conflict
from palimpsest.state.merge import merge
from palimpsest.state.paired import exact, same
from palimpsest.state.paths import Path
from palimpsest.state.rules import NO_RULES, Rules, parse_rules
from palimpsest.state.tree import NOTHING, drop, find_or_nothing, put
from palimpsest.state.values import MAPS, as_dict, encode_value, freeze, thaw

Direction = Literal["in", "out"]
Action = Literal["create", "update", "delete"]
Outcome = Literal["apply", "agreed", "conflict"]

_OURS = parse_rules({"": "ours"})


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done about one object, on the document (`in`) or outside (`out`)."""

    document: str
    path: tuple[str, ...] = ()
    """Of the object in its document; () is the whole of it."""
    model: str = ""
    id: str = ""
    direction: Direction = "in"
    action: Action = "update"
    outcome: Outcome = "apply"
    """Where it is `in`. "agreed": the document has it already; "conflict": some of it, or all, waits for a decision."""
    before: Any = msgspec.UNSET
    """The object as it was agreed on, or, where it is `out`, as the source has it, plain; left out of a `create`."""
    after: Any = msgspec.UNSET
    """The object as it is to be, plain; left out of a `delete`."""


class Owed(msgspec.Struct, frozen=True):
    """What a comparison gives. All values are frozen, or NOTHING.

    rows: `in`, then `out`. theirs: the source as it is. clean: the source without what is in conflict. merged: the document once clean is
    taken in. wanted: the source once the `out` rows are done outside.
    """

    rows: list[Row]
    conflicts: list[Conflict]
    theirs: Any
    clean: Any
    merged: Any
    wanted: Any


class Place(msgspec.Struct, frozen=True):
    """Which document it is, and where the objects are in it. depth: how many keys lead to one; 0 where the document is one itself. model, id: its
    name then."""

    document: str
    depth: int = 2
    model: str = ""
    id: str = ""


def compare(place: Place, base: Any, ours: Any, theirs: Any, rules: Rules = NO_RULES) -> Owed:
    """base, ours, theirs: plain or frozen, or NOTHING. With nothing agreed on yet, base is NOTHING: each side then keeps what it has alone."""
    base, ours, theirs = shared(place.depth, base, ours, theirs)
    clean, conflicts = theirs, merge(base, ours, theirs, rules=rules).conflicts
    open_conflicts = conflicts
    while open_conflicts:  # a place in a list takes the whole list with it, which may end what was agreed on around it
        clean = restore(clean, base, [conflict.path for conflict in open_conflicts])
        open_conflicts = merge(base, ours, clean, rules=rules).conflicts
    merged = merge(base, ours, clean, rules=rules).value
    wanted = restore(merged, theirs, [conflict.path for conflict in conflicts])
    incoming = [_judged(row, ours, conflicts) for row in rows_between(place, base, theirs)]
    outgoing = [replace(row, direction="out") for row in rows_between(place, theirs, wanted)]
    return Owed([*incoming, *outgoing], conflicts, theirs, clean, merged, wanted)


def shared(depth: int, *sides: Any) -> list[Any]:
    """The sides, frozen, or NOTHING. What is the same to the byte in all of them is one value: most objects, which need no closer look then.
    depth: how many keys lead to an object."""
    if depth and all(side is NOTHING or type(side) in MAPS for side in sides):
        maps = [{} if side is NOTHING else as_dict(side) for side in sides]
        made: list[dict[str, Any]] = [{} for _ in sides]
        for key in dict.fromkeys(key for inside in maps for key in inside):
            for values, value in zip(
                made, shared(depth - 1, *[inside.get(key, NOTHING) for inside in maps]), strict=True
            ):
                if value is not NOTHING:
                    values[key] = value
        return [side if side is NOTHING else freeze(values) for side, values in zip(sides, made, strict=True)]
    if all(side is not NOTHING for side in sides) and len({encode_value(side) for side in sides}) == 1:
        return [freeze(sides[0])] * len(sides)
    return [side if side is NOTHING else freeze(side) for side in sides]


# --- rows --------------------------------------------------------------------------------------------------------------


def rows_between(place: Place, before: Any, after: Any) -> list[Row]:
    """What turns one value into the other, object by object, in the order of their paths. A container of objects that comes or goes is a
    row of its own, without an id."""
    return list(_rows(place, (), before, after))


def with_rows(before: Any, rows: Iterable[Row]) -> Any:
    """The value once the rows are done; frozen, or NOTHING. A container that still has objects stays."""
    value = NOTHING if before is NOTHING else thaw(before)
    for row in sorted(rows, key=_containers_first):
        value = _done(value, row)
    return value if value is NOTHING else freeze(value)


def _rows(place: Place, path: tuple[str, ...], before: Any, after: Any) -> Iterator[Row]:
    if before is after:
        return
    maps = (before is NOTHING or type(before) in MAPS) and (after is NOTHING or type(after) in MAPS)
    if len(path) >= place.depth or not maps:
        if not exact(before, after):
            yield _row(place, path, before, after)
        return
    if before is NOTHING:
        yield _row(place, path, NOTHING, freeze({}))
    old, new = ({} if side is NOTHING else as_dict(side) for side in (before, after))
    for key in sorted(old.keys() | new.keys()):
        yield from _rows(place, (*path, key), old.get(key, NOTHING), new.get(key, NOTHING))
    if after is NOTHING:
        yield _row(place, path, before, NOTHING)


def _row(place: Place, path: tuple[str, ...], before: Any, after: Any) -> Row:
    action: Action = "create" if before is NOTHING else "delete" if after is NOTHING else "update"
    model = path[0] if path else place.model
    name = "/".join(path[1:]) or place.id
    return Row(
        document=place.document,
        path=path,
        model=model,
        id=name,
        action=action,
        before=_plain(before),
        after=_plain(after),
    )


def _containers_first(row: Row) -> tuple[int, int]:
    """Containers are made before what goes into them, and go after it."""
    return (1, -len(row.path)) if row.action == "delete" else (0, len(row.path))


def _done(value: Any, row: Row) -> Any:
    """value: plain, or NOTHING; it is changed in place where that can be."""
    if not row.path:
        if row.action == "delete":
            return value if _has_objects(value, row) else NOTHING
        return value if _is_there_already(value, row) else _copy(row.after)
    value = {} if type(value) is not dict else value
    parent = value
    for step in row.path[:-1]:
        if type(parent.get(step)) is not dict:
            if row.action == "delete":
                return value
            parent[step] = {}
        parent = parent[step]
    last = row.path[-1]
    found = parent.get(last, NOTHING)
    if row.action == "delete":
        if found is not NOTHING and not _has_objects(found, row):
            del parent[last]
    elif not _is_there_already(found, row):
        parent[last] = _copy(row.after)
    return value


def _has_objects(found: Any, row: Row) -> bool:
    return not row.id and type(found) is dict and bool(found)


def _is_there_already(found: Any, row: Row) -> bool:
    """A container that is made for objects, where there is one by now."""
    return not row.id and row.action == "create" and row.after == {} and type(found) is dict


def _copy(value: Any) -> Any:
    return thaw(freeze(value))


def _judged(row: Row, ours: Any, conflicts: Sequence[Conflict]) -> Row:
    if any(_meet(conflict.path, row.path) for conflict in conflicts):
        return replace(row, outcome="conflict")
    found = _at(ours, row.path)
    wanted = NOTHING if row.after is msgspec.UNSET else freeze(row.after)
    is_same = found is wanted if found is NOTHING or wanted is NOTHING else same(found, wanted)
    return replace(row, outcome="agreed") if is_same or _is_there_already(_plain(found), row) else row


def _plain(value: Any) -> Any:
    return msgspec.UNSET if value is NOTHING else thaw(value)


def _meet(one: Path, other: Path) -> bool:
    """Whether one is inside the other, or is it."""
    steps = min(len(one), len(other))
    return one[:steps] == other[:steps]


def given(value: Any, rows: Iterable[Row]) -> Any:
    """The value with what these rows change, from their `before` to their `after`, also where an object is not as it was before. Frozen, or
    NOTHING."""
    for row in sorted(rows, key=_containers_first):
        before, after = (NOTHING if side is msgspec.UNSET else freeze(side) for side in (row.before, row.after))
        found = _at(value, row.path)
        if row.id or not row.path:
            value = _with(value, row.path, merge(before, found, after, rules=_OURS).value)
        elif row.action == "delete" and type(found) in MAPS and not found:
            value = _with(value, row.path, NOTHING)
        elif row.action == "create" and found is NOTHING:
            value = _with(value, row.path, after)
    return value


# --- places ------------------------------------------------------------------------------------------------------------


def restore(value: Any, other: Any, paths: Iterable[Path]) -> Any:
    """value, with each of these places as it is in other. A place in a list stands for the whole list. Frozen, or NOTHING."""
    for path in sorted({_outside_of_lists(path) for path in paths}, key=len):
        value = _with(value, path, _at(other, path))
    return value


def _outside_of_lists(path: Path) -> Path:
    index = next((at for at, step in enumerate(path) if type(step) is int), len(path))
    return path[:index]


def _at(value: Any, path: Path) -> Any:
    return NOTHING if value is NOTHING else find_or_nothing(value, path)


def _with(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    if new is not NOTHING:
        return put(value, path, 0, new)
    return value if _at(value, path) is NOTHING else drop(value, path, 0)
