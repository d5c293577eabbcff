"""Taking back what one version did, and keeping what came after it.

Built on the exact inverse of the version's delta, gone through op by op on two values side by side: the one that the version made,
and the one there is now. What the version left at a place must still be there; then the op is done on both. Some changes do not
get in each other's way: increments of integers (one that is another integer now is taken as counted on), other keys of the same
map, elements of a list that can still be told apart, edits of a text that lie beside each other. Where the place already is as it
was before the version, nothing is to be done. Anything else is a conflict:

    what the version did there     what happened there since     conflict
    changed it                     changed again                 edit/edit
    changed it, or deleted it      it, or what it was in, gone   delete/edit
    added it                       changed                       edit/delete
    deleted it                     added again                   add/add
    anything inside of it          a container no longer         type
    anything in a list             elements came, went and       list
                                   changed, and cannot be told
                                   apart any more
    erased it                      whatever: it is gone          edit/delete

An element is known by its value, where that occurs once; else by its place between those that are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from palimpsest.state import ops
from palimpsest.state.conflicts import Conflict, Kind
from palimpsest.state.inverse import inverses
from palimpsest.state.ops import Edit, Op
from palimpsest.state.paired import Pair, exact, same
from palimpsest.state.paths import Path
from palimpsest.state.splice import edits, spliced
from palimpsest.state.tree import NOTHING, find_or_nothing
from palimpsest.state.values import INT_MAX, INT_MIN, MAPS, Value, as_dict


def undo(before: Any, delta: Sequence[Op], after: Any, current: Any) -> tuple[list[Op], list[Conflict]]:
    """The ops that take the version back from current, and what stands in the way; where anything does, the ops are of no use.

    before: the value that the version met, NOTHING where it made the document; delta: its ops; after: the value that it made,
    NOTHING where it deleted the document; current: the value now, NOTHING where the document is deleted. Values are frozen.
    Where before is NOTHING and there is no conflict, the document is to be deleted, or is deleted already. The ops of a deleted
    document set its value.

    A conflict has the path of the place in current (in the version's value, where there is nothing), as base what the version
    left there, as ours what is there now, and as theirs what was there before the version. What was erased is in none.
    """
    erased = [op.path for op in delta if type(op) is ops.Erase]
    if erased:
        return [], [Conflict(path, "edit/delete", NOTHING, NOTHING, NOTHING) for path in erased]
    if before is NOTHING:
        if current is NOTHING or same(after, current):
            return [], []
        return [], [Conflict((), "edit/delete", after, current, NOTHING)]
    if current is NOTHING:
        if after is NOTHING:
            return [ops.Set((), before)], []
        return [], [Conflict((), "delete/edit", after, NOTHING, before)]
    if after is NOTHING:
        return [], [Conflict((), "add/add", NOTHING, current, before)]
    return _Undoing(before, after, current).run(delta)


class _Obstacle(msgspec.Struct, frozen=True):
    """What is in the way to a place: a container that is gone, is none any more, or whose elements cannot be told apart.

    path: in the version's value; now: in the value now; pair: what is there.
    """

    kind: Kind
    path: Path
    now: Path
    pair: Pair


class _Place(msgspec.Struct, frozen=True):
    """A place that was looked for. now: its path in the value now, from the obstacle on as in the version's value."""

    pair: Pair
    now: Path
    obstacle: _Obstacle | None = None


class _Undoing:
    def __init__(self, before: Value, after: Value, current: Value) -> None:
        self._before = before
        self._root = Pair(after, current)
        self._ops: list[Op] = []
        self._conflicts: dict[Path, Conflict] = {}

    def run(self, delta: Sequence[Op]) -> tuple[list[Op], list[Conflict]]:
        for op, inverse in reversed(inverses(self._before, delta)):
            for step in inverse:
                self._take_back(op, step)
        return self._ops, list(self._conflicts.values())

    def _take_back(self, op: Op, inverse: Op) -> None:
        """op: of the version. inverse: one of the ops that take it back."""
        if type(inverse) is ops.Set:
            self._settle(self._find(inverse.path), inverse.value)
        elif type(inverse) is ops.Delete:
            self._unmake(op, inverse.path)
        elif type(inverse) is ops.Increment:
            self._count_back(self._find(inverse.path), inverse.by)
        elif type(inverse) is ops.Remove:
            self._remove(inverse.path, inverse.index)
        elif type(inverse) is ops.Insert:
            self._insert(inverse.path, inverse.index, inverse.value)
        elif type(inverse) is ops.Splice:
            self._splice(self._find(inverse.path), inverse.edits)
        else:
            assert type(inverse) is ops.Move, inverse
            self._move(inverse)

    # --- one function an op ------------------------------------------------------------------------------------------

    def _settle(self, place: _Place, theirs: Any) -> None:
        """What the version left at a place becomes theirs. Maps go key by key."""
        pair = place.pair
        base, ours = pair.left, pair.now
        if exact(base, theirs):  # what one op of the version changed, another one put back
            self._conflicts.pop(place.now, None)
            pair.become(theirs)
        elif place.obstacle is not None:
            if theirs is not NOTHING or place.obstacle.kind == "list":
                self._blocked(place.obstacle)
            pair.become(theirs)
        elif same(base, ours) or (theirs is NOTHING and _has_only(ours, base)):
            self._ops.append(ops.Delete(place.now) if theirs is NOTHING else ops.Set(place.now, theirs))
            pair.become_both(theirs, theirs)
        elif same(ours, theirs):
            pair.become(theirs, left=base)
        elif not pair.is_settled and _are_maps(base, ours, {} if theirs is NOTHING else theirs):
            self._settle_keys(place, {} if theirs is NOTHING else as_dict(theirs))
            pair.become(theirs)
        else:
            self._conflict(place.now, base, ours, theirs)
            pair.become(theirs, left=base)

    def _settle_keys(self, place: _Place, theirs: dict[str, Any]) -> None:
        pair = place.pair
        for key in sorted(as_dict(pair.base).keys() | as_dict(pair.now).keys() | theirs.keys()):
            self._settle(_Place(pair.child(key), (*place.now, key)), theirs.get(key, NOTHING))

    def _unmake(self, op: Any, path: Path) -> None:
        """Takes back that op added what is at path. An increment may have been counted on since."""
        if type(op) is ops.Increment:
            place = self._find(op.path)
            base, ours = place.pair.base, place.pair.now
            if type(base) is int and type(ours) is int and base != ours and -base >= INT_MIN:
                self._count_back(place, -base)
                self._find(path).pair.become(NOTHING)
                return
        self._settle(self._find(path), NOTHING)

    def _count_back(self, place: _Place, by: int | float) -> None:
        pair = place.pair
        ours, theirs = pair.now, pair.base + by
        if (
            pair.is_settled
            or place.obstacle is not None
            or type(ours) is not int
            or not INT_MIN <= ours + by <= INT_MAX
        ):
            self._settle(place, theirs)
            return
        self._ops.append(ops.Increment(place.now, by))
        pair.become_both(theirs, ours + by)

    def _remove(self, path: Path, index: int) -> None:
        place = self._find((*path, index))
        pair, position = place.pair, None
        if place.obstacle is None and same(pair.left, pair.now):
            position = _index(place.now)
            self._ops.append(ops.Remove(place.now[:-1], position))
        elif place.obstacle is None:
            self._conflict(place.now, pair.left, pair.now, NOTHING)
        elif place.obstacle.kind == "list":
            self._blocked(place.obstacle)
        self._find(path).pair.remove(index, position)

    def _insert(self, path: Path, index: int, value: Value) -> None:
        now = self._put_in(path, index, value)
        if now is not None:
            self._ops.append(ops.Insert(now[:-1], _index(now), value))

    def _put_in(self, path: Path, index: int, value: Value) -> Path | None:
        """On both sides, or in the version's value alone where something stands in the way. Returns where it is now."""
        place = self._find(path)
        pair, position = place.pair, None
        obstacle = place.obstacle or self._no_list(path, place)
        if obstacle is not None:
            self._blocked(obstacle)
        else:
            position = pair.place(index)
            if position is None:
                self._blocked(_Obstacle("list", path, place.now, pair))
        pair.insert(index, position, Pair(value, NOTHING if position is None else value))
        return None if position is None else (*place.now, position)

    def _splice(self, place: _Place, changes: Sequence[Edit]) -> None:
        pair = place.pair
        ours, theirs = pair.now, spliced(pair.base, changes)
        text = type(ours) is str and place.obstacle is None and not pair.is_settled
        moved = _moved(changes, pair.base, ours) if text else None
        if moved is None:
            self._settle(place, theirs)
            return
        self._ops.append(ops.Splice(place.now, moved))
        pair.become_both(theirs, spliced(ours, moved))

    def _move(self, op: ops.Move) -> None:
        """From op.source, where the version had moved it, back to op.path."""
        source = self._find(op.source)
        pair, value = source.pair, source.pair.base
        fits = source.obstacle is None and same(pair.left, pair.now)
        if source.obstacle is not None:
            self._blocked(source.obstacle)
        elif pair.is_gone:
            self._conflict(op.path, NOTHING, NOTHING, value)
        elif not fits:
            self._conflict(source.now, pair.left, pair.now, NOTHING)
        value_now = pair.now if fits else NOTHING
        self._take(op.source, source.now, fits)
        target = self._add(op.path, value, value_now)
        if target is not None:
            self._ops.append(ops.Move(source.now, target))

    def _take(self, path: Path, now: Path, fits: bool) -> None:
        if type(path[-1]) is int:
            self._find(path[:-1]).pair.remove(path[-1], _index(now) if fits else None)
        elif fits:
            self._find(path).pair.become_both(NOTHING, NOTHING)
        else:
            self._find(path).pair.become(NOTHING)

    def _add(self, path: Path, value: Value, value_now: Any) -> Path | None:
        """value_now: what was taken, NOTHING where nothing could be. Returns where it is now."""
        if type(path[-1]) is int:
            return self._put_in(path[:-1], path[-1], value)
        place = self._find(path)
        if place.obstacle is not None:
            self._blocked(place.obstacle)
        elif not place.pair.is_gone:
            self._conflict(place.now, NOTHING, place.pair.now, value)
        elif value_now is not NOTHING:
            place.pair.become_both(value, value_now)
            return place.now
        place.pair.become(value)
        return None

    # --- places ------------------------------------------------------------------------------------------------------

    def _find(self, path: Path) -> _Place:
        """path: in the version's value as it is by now."""
        pair = self._root
        now: Path = ()
        obstacle: _Obstacle | None = None
        for at, step in enumerate(path):
            if type(step) is int:
                obstacle = obstacle or self._no_list(path[:at], _Place(pair, now))
                element = pair.element(step)
                if obstacle is None and element.in_doubt:
                    obstacle = _Obstacle("list", path[:at], now, pair)
                elif obstacle is None and element.is_gone:
                    obstacle = _Obstacle("delete/edit", path[: at + 1], (*now, step), element)
                elif obstacle is None:
                    step = pair.position(element)
                pair = element
            else:
                if obstacle is None and not pair.is_map:
                    obstacle = _Obstacle("delete/edit" if pair.is_gone else "type", path[:at], now, pair)
                pair = pair.child(str(step))
            now = (*now, step)
        return _Place(pair, now, obstacle)

    def _no_list(self, path: Path, place: _Place) -> _Obstacle | None:
        if place.pair.is_list:
            return None
        return _Obstacle("delete/edit" if place.pair.is_gone else "type", path, place.now, place.pair)

    # --- conflicts ---------------------------------------------------------------------------------------------------

    def _blocked(self, obstacle: _Obstacle) -> None:
        theirs = find_or_nothing(self._before, obstacle.path)
        pair = obstacle.pair
        self._add_conflict(Conflict(obstacle.now, obstacle.kind, pair.base, pair.now, theirs))

    def _conflict(self, path: Path, base: Any, ours: Any, theirs: Any) -> None:
        self._add_conflict(Conflict(path, _kind(base, ours, theirs), base, ours, theirs))

    def _add_conflict(self, found: Conflict) -> None:
        """The version may have changed a place more than once: then the last state of it and the first one count."""
        earlier = self._conflicts.get(found.path)
        if earlier is not None:
            found = Conflict(found.path, earlier.kind, earlier.base, earlier.ours, found.theirs)
        self._conflicts[found.path] = found


def _kind(base: Any, ours: Any, theirs: Any) -> Kind:
    if ours is NOTHING:
        return "delete/edit"
    if theirs is NOTHING:
        return "edit/delete"
    return "add/add" if base is NOTHING else "edit/edit"


def _are_maps(*values: Any) -> bool:
    return all(type(value) in MAPS for value in values)


def _index(path: Path) -> int:
    index = path[-1]
    assert type(index) is int
    return index


def _has_only(value: Any, base: Any) -> bool:
    """Everything in value is in base too, and as it is there: if base goes, value can."""
    if type(value) not in MAPS or type(base) not in MAPS:
        return same(value, base)
    others = as_dict(base)
    return all(key in others and _has_only(item, others[key]) for key, item in as_dict(value).items())


def _moved(changes: Sequence[Edit], old: str, new: str) -> tuple[Edit, ...] | None:
    """Edits of old as edits of new, which is what became of it; None where something else changed in their places, or next to
    them in the same line."""
    since = edits(old, new)
    moved: list[Edit] = []
    at = shift = 0
    for edit in changes:
        start, end = edit.offset, edit.offset + edit.removed
        while at < len(since) and _lies_before(since[at], start, edit, old):
            shift += len(since[at].inserted) - since[at].removed
            at += 1
        if at < len(since) and not _lies_behind(since[at], end, edit, old):
            return None
        moved.append(Edit(start + shift, edit.removed, edit.inserted))
    return tuple(moved)


def _lies_before(other: Edit, start: int, edit: Edit, text: str) -> bool:
    end = other.offset + other.removed
    return end < start or (end == start and bool(edit.removed) and _starts_line(text, start))


def _lies_behind(other: Edit, end: int, edit: Edit, text: str) -> bool:
    return end < other.offset or (end == other.offset and bool(edit.removed) and _starts_line(text, end))


def _starts_line(text: str, offset: int) -> bool:
    return offset == 0 or text[offset - 1] == "\n"
