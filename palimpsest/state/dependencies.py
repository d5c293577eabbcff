"""What an expression in JMESPath reads of a document, worked out from its tree.

A step of the expression leads from places in the document to places, as far as it only looks on: to a key, to any element. What it
does more with, it depends on as a whole. Too much is harmless (the result is computed once more), too little is not; so what is made,
rather than found, is taken for a thing that was read completely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from jmespath.functions import Functions

from palimpsest.state.paths import Path
from palimpsest.state.redact import ANY

DEPTH_MAX = 64
"""Of the tree: as deep as a value may be."""

PLACES_MAX = 64
"""To which one step may lead; beyond, all of them are taken for read."""

_BY: Final = {"map": 0, "max_by": 1, "min_by": 1, "sort_by": 1}
"""Functions that take an expression, and which argument that is."""

_TABLE: dict[str, Any] = Functions.FUNCTION_TABLE

_Places = frozenset[Path]
_NONE: _Places = frozenset()


class Unfit(Exception):
    """The expression parses, and cannot work."""


def dependencies(tree: Any) -> tuple[frozenset[Path], frozenset[Path]]:
    """(what is read with all that is inside; that of which it is only asked whether it is there). `*` in a path stands for any step.

    tree: as jmespath parses it. Raises Unfit for a function that is not there or has too few or too many arguments, for an expression
    where no function takes one, and for a tree that is too deep.
    """
    reading = _Reading()
    reading.read(reading.walk(tree, frozenset({()}), 0))
    return frozenset(reading.whole), frozenset(reading.exists)


class _Reading:
    def __init__(self) -> None:
        self.whole: set[Path] = set()
        self.exists: set[Path] = set()

    def read(self, places: _Places) -> _Places:
        """They are read with all that is inside; where that leads is of no more interest."""
        self.whole |= places
        return _NONE

    def walk(self, node: Any, places: _Places, depth: int) -> _Places:
        """Where node leads from places; the empty set where that was read already."""
        if depth > DEPTH_MAX:
            raise Unfit(f"it nests more than {DEPTH_MAX} deep")
        found = _STEPS[node["type"]](self, node, places, depth + 1)
        return found if len(found) <= PLACES_MAX else self.read(found)

    # --- one method a kind of node -----------------------------------------------------------------------------------

    def here(self, node: Any, places: _Places, depth: int) -> _Places:
        return places

    def nowhere(self, node: Any, places: _Places, depth: int) -> _Places:
        return _NONE

    def field(self, node: Any, places: _Places, depth: int) -> _Places:
        return _inside(places, node["value"])

    def index(self, node: Any, places: _Places, depth: int) -> _Places:
        return _inside(places, ANY)

    def chain(self, node: Any, places: _Places, depth: int) -> _Places:
        for child in node["children"]:
            places = self.walk(child, places, depth)
        return places

    def flatten(self, node: Any, places: _Places, depth: int) -> _Places:
        """Elements of elements become elements."""
        base = self.walk(node["children"][0], places, depth)
        return base | _inside(base, ANY)

    def either(self, node: Any, places: _Places, depth: int) -> _Places:
        left = self.walk(node["children"][0], places, depth)
        self.read(left)  # it is asked whether it is empty
        return left | self.walk(node["children"][1], places, depth)

    def all_read(self, node: Any, places: _Places, depth: int) -> _Places:
        for child in node["children"]:
            self.read(self.walk(child, places, depth))
        return _NONE

    def selected(self, node: Any, places: _Places, depth: int) -> _Places:
        self.exists |= places
        return self.all_read(node, places, depth)

    def projected(self, node: Any, places: _Places, depth: int) -> _Places:
        base = self.walk(node["children"][0], places, depth)
        elements = _inside(base, ANY)
        self.exists |= base | elements
        for child in node["children"][1:]:
            self.read(self.walk(child, elements, depth))
        return _NONE

    def function(self, node: Any, places: _Places, depth: int) -> _Places:
        name, arguments = node["value"], node["children"]
        _check_call(name, len(arguments))
        for position, argument in enumerate(arguments):
            if argument["type"] != "expref":
                self.read(self.walk(argument, places, depth))
            elif _BY.get(name) == position:
                # It is evaluated for elements of the other argument, which is read completely.
                self.walk(argument["children"][0], _NONE, depth)
            else:
                raise Unfit(f"argument {position + 1} of {name}() is no expression")
        return _NONE

    def stray(self, node: Any, places: _Places, depth: int) -> _Places:
        raise Unfit("`&` belongs to the arguments of map(), max_by(), min_by() and sort_by()")


def _check_call(name: str, count: int) -> None:
    known = _TABLE.get(name)
    if known is None:
        raise Unfit(f"there is no function {name}()")
    signature = known["signature"]
    wanted, is_open = len(signature), bool(signature) and bool(signature[-1].get("variadic"))
    if count < wanted or (count > wanted and not is_open):
        raise Unfit(f"{name}() takes {wanted}{' or more' if is_open else ''} arguments, not {count}")


def _inside(places: Iterable[Path], step: str) -> _Places:
    return frozenset((*place, step) for place in places)


_STEPS: dict[str, Callable[[_Reading, Any, _Places, int], _Places]] = {
    "and_expression": _Reading.either,
    "comparator": _Reading.all_read,
    "current": _Reading.here,
    "expref": _Reading.stray,
    "field": _Reading.field,
    "filter_projection": _Reading.projected,
    "flatten": _Reading.flatten,
    "function_expression": _Reading.function,
    "identity": _Reading.here,
    "index": _Reading.index,
    "index_expression": _Reading.chain,
    "key_val_pair": _Reading.chain,
    "literal": _Reading.nowhere,
    "multi_select_dict": _Reading.selected,
    "multi_select_list": _Reading.selected,
    "not_expression": _Reading.all_read,
    "or_expression": _Reading.either,
    "pipe": _Reading.chain,
    "projection": _Reading.projected,
    "slice": _Reading.here,
    "subexpression": _Reading.chain,
    "value_projection": _Reading.projected,
}
