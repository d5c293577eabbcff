"""The three-way merge of values: what two sides did to one value, done together.

What only one side changed is as that side has it, and so is what both changed alike. Maps merge key by key, also where both sides
added one. Lists, texts and scalars are one thing each, unless a rule says otherwise. Anything else is a conflict, at the innermost
place that tells it:

    ours and theirs                                          conflict
    both changed it                                          edit/edit
    one changed it, the other deleted it                     edit/delete, delete/edit
    both added it, differently                               add/add
    one put something else in place of a container,          type
    in which the other changed something
    both changed a list                                      list

Whether something changed is told to the byte, so that `1` that became `1.0` has changed; whether two changes are alike is told as JSON.

Exchanging the two sides exchanges them in what comes out, and changes nothing else, but for lists under `union` and `key`. These keep the order
of ours, and what theirs added comes behind it (`union`) or behind the element that it follows in theirs (`key`); what occurs more than
once under `union` does so as often as on the side that comes first. A conflict inside of an element is at the element's index in
ours, or in theirs where ours does not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from types import NoneType
from typing import Any

import msgspec
from msgspec.structs import replace

from palimpsest.state import merge_lists, ops
from palimpsest.state.conflicts import CONFLICT, Conflict, Kind
from palimpsest.state.diff import OPS_MAX, diff
from palimpsest.state.merge_texts import merge_texts
from palimpsest.state.ops import Op
from palimpsest.state.paired import exact, same
from palimpsest.state.paths import Path
from palimpsest.state.rules import NO_RULES, Rules, Scope
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import CONTAINERS, INT_MAX, INT_MIN, LISTS, MAPS, as_dict, freeze
from palimpsest.state.working import apply_delta

Touched = Mapping[str, Any] | None
"""The places that theirs may have changed: by key, what was touched inside. None: anything."""

_NUMBERS = (int, float)
_EMPTY: dict[str, Any] = {}
_DIVISIBLE = CONTAINERS | {str}
"""Of these, a difference may be less than the whole."""
_PLAIN = frozenset((str, int, bool, NoneType))
"""Of one of these types, two values are the same to the byte if they are equal."""
_ANY_DEPTH = 2**31
"""Merging nests nothing deeper than one of the sides does."""


class Merged(msgspec.Struct, frozen=True):
    """What comes of a merge.

    delta: turns ours into the merged value; where the document is not there on our side, it sets the whole of it. value: frozen, and shares
    with ours what the delta does not change; NOTHING: the merged document does not exist, which no delta says. conflicts: open ones, where
    value has what ours has. settled: those that `ours`, `theirs`, `base`, a resolver or `settle` decided. Both in the order of their paths.
    """

    delta: list[Op]
    value: Any
    conflicts: list[Conflict]
    settled: list[Conflict]


def merge(
    base: Any,
    ours: Any,
    theirs: Any,
    *,
    rules: Rules = NO_RULES,
    settle: Callable[[Conflict], Any] | None = None,
    touched: Touched = None,
) -> Merged:
    """What both sides did since base.

    base, ours, theirs: frozen, or NOTHING where the document does not exist. settle: asked for every conflict that rules leave open;
    gives a value that has passed the door, NOTHING, or CONFLICT. touched: outside of it, theirs is known to be as base, see `touched_by`; nothing
    else is then looked at, and the same comes out. Raises only what settle and resolvers raise.
    """
    merging = _Merging(settle)
    merging.place((), base, ours, theirs, rules.root(), touched)
    delta, value = _outcome(ours, merging.ops)
    return Merged(delta, value, sorted(merging.conflicts, key=_position), sorted(merging.settled, key=_position))


def touched_by(deltas: Iterable[Sequence[Op]]) -> Touched:
    """What the ops of some versions may have changed: the places that they name, in lists the whole list. deltas: of the log, in which ops
    of patches are compiled."""
    tree: dict[str, Any] = {}
    for delta in deltas:
        for op in delta:
            for path in _places(op):
                if not _touch(tree, path):
                    return None
    return tree


class _Merging:
    """settle: as in `merge`."""

    def __init__(self, settle: Callable[[Conflict], Any] | None) -> None:
        self.ops: list[Op] = []
        """On ours, in the order of their paths."""
        self.conflicts: list[Conflict] = []
        self.settled: list[Conflict] = []
        self._settle = settle
        self._inside = 0
        """How many steps of a path lead to what `ops` are for."""

    def place(self, path: Path, base: Any, ours: Any, theirs: Any, scope: Scope, touched: Touched = None) -> None:
        """Merges what is at path, which has a place on our side: what becomes of it is in `ops`, `conflicts` and `settled`."""
        if theirs is base:
            return
        whole = scope.is_exact and scope.rule.name == "atomic"
        if type(ours) in MAPS and type(theirs) in MAPS and not whole:
            if type(base) in MAPS and touched is not None:
                self._touched_keys(path, base, ours, theirs, scope, touched)
            else:
                self._keys(path, as_dict(base) if type(base) in MAPS else _EMPTY, as_dict(ours), as_dict(theirs), scope)
            return
        if _unchanged(base, theirs):
            return
        if _unchanged(base, ours):
            self._become(path, ours, theirs)
        else:
            self._clash(path, base, ours, theirs, scope)

    def value(self, path: Path, base: Any, ours: Any, theirs: Any, scope: Scope) -> Any:
        """The merged value of an element of a list, NOTHING where it goes."""
        outer, self.ops, inside, self._inside = self.ops, [], self._inside, len(path)
        try:
            self.place(path, base, ours, theirs, scope)
            return _outcome(ours, self.ops)[1]
        finally:
            self.ops, self._inside = outer, inside

    # --- maps ----------------------------------------------------------------------------------------------------

    def _keys(
        self, path: Path, base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any], scope: Scope
    ) -> None:
        changed = [key for key in base.keys() | theirs.keys() if theirs.get(key, NOTHING) is not base.get(key, NOTHING)]
        for key in sorted(changed):
            before, mine, other = base.get(key, NOTHING), ours.get(key, NOTHING), theirs.get(key, NOTHING)
            self.place((*path, key), before, mine, other, scope.child(key))

    def _touched_keys(
        self, path: Path, base: Any, ours: Any, theirs: Any, scope: Scope, touched: Mapping[str, Any]
    ) -> None:
        for key in sorted(touched):
            before, mine, other = base.get(key, NOTHING), ours.get(key, NOTHING), theirs.get(key, NOTHING)
            self.place((*path, key), before, mine, other, scope.child(key), touched[key])

    # --- where both sides changed something ----------------------------------------------------------------------

    def _clash(self, path: Path, base: Any, ours: Any, theirs: Any, scope: Scope) -> None:
        """What both changed alike is agreed on; but two counts add up, also where they are in the elements of a list."""
        agreed = same(ours, theirs) and not _adds_up(scope, base, ours, theirs)
        if agreed and scope.rule.name != "key":
            return
        merged = _counted(scope, base, ours, theirs)
        if merged is CONFLICT:
            merged = self._by_structure(path, base, ours, theirs, scope)
        if merged is CONFLICT and not agreed:
            merged = self._decided(path, base, ours, theirs, scope)
        if merged is not CONFLICT:
            self._become(path, ours, merged)

    def _decided(self, path: Path, base: Any, ours: Any, theirs: Any, scope: Scope) -> Any:
        """What rules, or what was resolved before, make of a conflict; CONFLICT where it is open."""
        conflict = Conflict(path, _kind(base, ours, theirs), base, ours, theirs)
        decided = _by_rule(conflict, scope)
        if decided is CONFLICT and self._settle is not None:
            decided = self._settle(conflict)
        (self.conflicts if decided is CONFLICT else self.settled).append(conflict)
        return decided

    def _by_structure(self, path: Path, base: Any, ours: Any, theirs: Any, scope: Scope) -> Any:
        """Lists and texts by their rules."""
        name = scope.rule.name
        if name == "diff3" and type(ours) is type(theirs) is type(base) is str:
            return merge_texts(base, ours, theirs)
        if type(ours) not in LISTS or type(theirs) not in LISTS or (base is not NOTHING and type(base) not in LISTS):
            return CONFLICT
        before, mine, other = list(() if base is NOTHING else base), list(ours), list(theirs)
        if name == "union":
            return merge_lists.union(before, mine, other)
        if name == "diff3":
            return merge_lists.diff3(before, mine, other)
        if name == "key":
            return self._by_key(path, before, mine, other, scope)
        return CONFLICT

    def _by_key(self, path: Path, base: list[Any], ours: list[Any], theirs: list[Any], scope: Scope) -> Any:
        """Elements that have the same key are one, wherever they stand."""
        field = scope.rule.field
        before, mine, other = (merge_lists.keyed(side, field) for side in (base, ours, theirs))
        if before is None or mine is None or other is None:
            return CONFLICT
        places = {key: index for index, key in enumerate(other)} | {key: index for index, key in enumerate(mine)}
        merged: list[Any] = []
        for key in merge_lists.in_order(before, list(mine), list(other)):
            place, inner = (*path, places[key]), scope.child(places[key])
            sides = before.get(key, NOTHING), mine.get(key, NOTHING), other.get(key, NOTHING)
            element = self._element(place, *sides, inner)
            if element is not NOTHING:
                merged.append(element)
        return merged

    def _element(self, path: Path, base: Any, ours: Any, theirs: Any, scope: Scope) -> Any:
        """The merged element, NOTHING where it goes."""
        if ours is NOTHING or theirs is NOTHING:
            if base is NOTHING:
                return theirs if ours is NOTHING else ours
            left = theirs if ours is NOTHING else ours
            if _unchanged(base, left):
                return NOTHING
            decided = self._decided(path, base, ours, theirs, scope)
            return ours if decided is CONFLICT else freeze(decided)
        return self.value(path, base, ours, theirs, scope)

    # --- what comes out ------------------------------------------------------------------------------------------

    def _become(self, path: Path, ours: Any, value: Any) -> None:
        """On our side, what is at path becomes value."""
        place = path[self._inside :]
        if value is NOTHING:
            if ours is not NOTHING:
                self.ops.append(ops.Delete(place))
        elif ours is NOTHING or type(ours) not in _DIVISIBLE:
            if ours is NOTHING or not _unchanged(ours, value):
                self.ops.append(ops.Set(place, value))
        else:
            self.ops += [_moved(op, place) for op in diff(ours, value)]


def _outcome(ours: Any, made: list[Op]) -> tuple[list[Op], Any]:
    """The delta, and the value that it makes of ours. made: on ours, whose last op may say that nothing is left of the whole."""
    if not made:
        return made, ours
    op = made[-1]
    if type(op) is ops.Delete and not op.path:
        return [], NOTHING
    if ours is NOTHING:
        assert type(op) is ops.Set
        return made, freeze(op.value)
    value = apply_delta(ours, made, depth_max=_ANY_DEPTH)
    return (made if len(made) <= OPS_MAX else diff(ours, value)), value


def _unchanged(a: Any, b: Any) -> bool:
    """The same to the byte."""
    if type(a) in _PLAIN:
        return type(a) is type(b) and bool(a == b)
    return exact(a, b)


def _position(conflict: Conflict) -> list[tuple[bool, str | int]]:
    """Sorts as paths do; keys and indexes may meet where elements of either side have the same index."""
    return [(type(step) is str, step) for step in conflict.path]


def _moved(op: Any, place: Path) -> Op:
    """The op of a difference, for a value that is at place."""
    moved: Op = replace(op, path=(*place, *op.path))
    return moved


def _kind(base: Any, ours: Any, theirs: Any) -> Kind:
    if base is NOTHING:
        return "add/add"
    if ours is NOTHING:
        return "delete/edit"
    if theirs is NOTHING:
        return "edit/delete"
    container = _container(base)
    if container is not None:
        changed = (_container(ours) != container, _container(theirs) != container)
        if changed[0] != changed[1]:
            return "type"
        if container is LISTS and not changed[0]:
            return "list"
    return "edit/edit"


def _container(value: Any) -> Any:
    kind = type(value)
    return MAPS if kind in MAPS else LISTS if kind in LISTS else None


def _by_rule(conflict: Conflict, scope: Scope) -> Any:
    rule = scope.rule
    if rule.name == "ours":
        return conflict.ours
    if rule.name == "theirs":
        return conflict.theirs
    if rule.name == "base":
        return conflict.base
    return rule.resolver(conflict) if rule.resolver is not None else CONFLICT


def _counted(scope: Scope, base: Any, ours: Any, theirs: Any) -> Any:
    """What `sum`, `max` and `min` make of numbers; CONFLICT where they do not apply."""
    if _adds_up(scope, base, ours, theirs):
        before = 0 if base is NOTHING else base
        total = before + ((ours - before) + (theirs - before))  # of floats, too, the same whichever side is ours
        fits = INT_MIN <= total <= INT_MAX if type(total) is int else isfinite(total)
        return total if fits else CONFLICT
    if scope.rule.name in ("max", "min") and type(ours) in _NUMBERS and type(theirs) in _NUMBERS:
        return max(ours, theirs) if scope.rule.name == "max" else min(ours, theirs)
    return CONFLICT


def _adds_up(scope: Scope, base: Any, ours: Any, theirs: Any) -> bool:
    """Whether `sum` holds, and all are numbers."""
    if scope.rule.name != "sum" or type(ours) not in _NUMBERS or type(theirs) not in _NUMBERS:
        return False
    return base is NOTHING or type(base) in _NUMBERS


# --- what was touched ------------------------------------------------------------------------------------------------


def _places(op: Any) -> tuple[Path, ...]:
    if type(op) in (ops.Test, ops.Absent):
        return ()
    if type(op) in (ops.Erase, ops.JsonPatch, ops.MergePatch):
        return ((),)
    return (op.path, op.source) if type(op) in (ops.Move, ops.Copy) else (op.path,)


def _touch(tree: dict[str, Any], path: Path) -> bool:
    """Whether there is anything outside of what is touched by now."""
    if not path or type(path[0]) is int:
        return False
    for position, step in enumerate(path):
        key = str(step)
        if position + 1 == len(path) or type(path[position + 1]) is int:
            tree[key] = None
            return True
        inner = tree.setdefault(key, {})
        if inner is None:
            return True
        tree = inner
    return True
