"""What an outline lets through of a value."""

from __future__ import annotations

from typing import Any

from pyrsistent import pmap, pvector

from palimpsest.state.outline import Place
from palimpsest.state.paths import Path
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import FROZEN_LIST, FROZEN_MAP, Value

EMPTY: Any = pmap()


def project(place: Place, value: Any) -> Any:
    """What is shown of value, which is frozen and at place; NOTHING where nothing is. What is shown whole is shared."""
    if place.is_whole:
        return value
    if place.is_hidden:
        return NOTHING
    kind = type(value)
    if kind is FROZEN_MAP:
        view = _map(place, value)
    elif kind is FROZEN_LIST:
        view = _list(place, value)
    else:
        view = value if place.included else NOTHING
    return place.mask(value) if view is NOTHING and place.mask is not None else view


def add(view: Any, path: Path, result: Value) -> Any:
    """view, a map, with result at path, whose steps are keys. Missing parents are made; where something else is in the way, view as
    it is."""
    key = path[0]
    if len(path) > 1:
        inside = view.get(key, EMPTY)
        if type(inside) is not FROZEN_MAP:
            return view
        result = add(inside, path[1:], result)
    return view.set(key, result)


def _map(place: Place, value: Any) -> Any:
    if place.other.is_whole:
        return _all_but(place, value)
    shown: dict[str, Any] = {}
    if place.other.is_hidden:
        for key, name, child in place.edges:
            item = value.get(key, NOTHING)
            if item is not NOTHING:
                if not child.is_whole:
                    item = project(child, item)
                    if item is NOTHING:
                        continue
                shown[name] = item
    else:
        for key, item in value.iteritems():
            item = project(place.named.get(key, place.other), item)
            if item is not NOTHING:
                shown[place.names.get(key, key)] = item
    if shown:
        return pmap(shown)
    return EMPTY if place.included else NOTHING


def _all_but(place: Place, value: Any) -> Any:
    """A map of which all is shown but for keys that have a place of their own."""
    evolver = value.evolver()
    moved: list[tuple[str, Any]] = []
    for key, child in place.named.items():
        item = value.get(key, NOTHING)
        if item is NOTHING:
            continue
        shown = project(child, item)
        name = place.names.get(key, key)
        if shown is NOTHING or name != key:
            evolver.remove(key)
        if shown is NOTHING or (shown is item and name == key):
            continue
        moved.append((name, shown))
    for name, shown in moved:
        evolver[name] = shown
    view = evolver.persistent()
    return view if len(view) or place.included else NOTHING


def _list(place: Place, value: Any) -> Any:
    if place.other.is_hidden:  # how long it is would say something of elements that are hidden
        return NOTHING
    shown = [project(place.other, item) for item in value]
    if not place.included and all(item is NOTHING for item in shown):
        return NOTHING
    if all(a is b for a, b in zip(shown, value, strict=True)):
        return value
    return pvector([None if item is NOTHING else item for item in shown])
