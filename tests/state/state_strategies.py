"""What Hypothesis makes values, paths and deltas from, and the dumb model that they are compared with.

The alphabets are small, so that paths meet values.
"""

from __future__ import annotations

import copy
import itertools
import math
import re
from typing import Any

from hypothesis import strategies as st

from palimpsest.state import ops


def shown(value: object) -> str:
    """What a test is called that is about `value`: the same in every process, so without the address of an object."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


KEYS = st.sampled_from(["a", "b", "c", "0", ""])
STEPS = st.one_of(KEYS, st.integers(0, 3))
PATHS = st.lists(STEPS, max_size=4).map(tuple)

INTS = st.one_of(st.integers(-3, 3), st.sampled_from([2**63 - 1, 2**64 - 1, -(2**63), -(2**64) + 2**63 + 1]))
FLOATS = st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e308, -1e308])
NUMBERS = st.one_of(INTS, FLOATS)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(["", "x", "y", "é"]))


_EDIT = st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from(["", "z", "ü☃"])).map(
    lambda edit: ops.Edit(*edit)
)


def _rising(edits: list[ops.Edit]) -> tuple[ops.Edit, ...]:
    """The same edits, with offsets that count from where the last one ends."""
    ends = itertools.accumulate((edit.offset + edit.removed for edit in edits), initial=0)
    return tuple(
        ops.Edit(end + edit.offset, edit.removed, edit.inserted) for end, edit in zip(ends, edits, strict=False)
    )


EDITS = st.lists(_EDIT, max_size=3).map(_rising)
ANY_EDITS = st.lists(_EDIT, max_size=3).map(tuple)
"""They may overlap."""


# Strategies are made once: to make one takes longer than to draw from it.
_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
_MAPS = st.dictionaries(KEYS, _VALUES, max_size=4)
_DOCUMENTS = st.one_of(_MAPS, _MAPS, _MAPS, _VALUES)


def plain_values() -> st.SearchStrategy[Any]:
    return _VALUES


def plain_maps() -> st.SearchStrategy[Any]:
    return _MAPS


def documents() -> st.SearchStrategy[Any]:
    """Mostly maps, as documents are."""
    return _DOCUMENTS


def paths_in(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path at which value has something."""
    if isinstance(value, dict):
        steps: Any = value.items()
    elif isinstance(value, list):
        steps = enumerate(value)
    else:
        steps = ()
    return [prefix, *(path for step, item in steps for path in paths_in(item, (*prefix, step)))]


def paths_about(value: Any) -> st.SearchStrategy[Any]:
    """Paths of what is there, of what is near it, and any others."""
    existing = st.sampled_from(paths_in(value))
    return st.one_of(existing, existing, st.tuples(existing, STEPS).map(_below), PATHS)


def _below(place: tuple[tuple[Any, ...], Any]) -> tuple[Any, ...]:
    path, step = place
    return (*path, step)


_INDEXES = st.integers(0, 4)
_INCREMENTS = st.one_of(st.integers(-3, 3), NUMBERS.filter(lambda by: type(by) is float or by >= -(2**63)))
_PATH = None
_OPS: tuple[tuple[Any, ...], ...] = (
    (ops.Set, _VALUES),
    (ops.Replace, _VALUES),
    (ops.Delete,),
    (ops.Increment, _INCREMENTS),
    (ops.Insert, _INDEXES, _VALUES),
    (ops.Append, _VALUES),
    (ops.Remove, _INDEXES),
    (ops.Move, _PATH),
    (ops.Copy, _PATH),
    (ops.Test, _VALUES),
    (ops.Absent,),
)
"""Each kind, and what its fields behind `path` are made from."""

_SOME_KIND = st.sampled_from(_OPS)
_ANY_KIND = st.sampled_from((*_OPS, (ops.Splice, EDITS)))


@st.composite
def _ops(draw: st.DrawFn, value: Any, kinds: st.SearchStrategy[tuple[Any, ...]]) -> Any:
    kind, *fields = draw(kinds)
    paths = paths_about(value)
    return kind(draw(paths), *(draw(paths if field is _PATH else field) for field in fields))


def some_op(value: Any) -> st.SearchStrategy[ops.Op]:
    return _ops(value, _SOME_KIND)


def any_op(value: Any) -> st.SearchStrategy[ops.Op]:
    """As `some_op`, edits of strings included."""
    return _ops(value, _ANY_KIND)


class ModelError(Exception):
    """The op does not fit; the argument is the reason."""


def model_apply(value: Any, op: Any) -> Any:
    """What op makes of a plain value, done the slow way, on a copy."""
    return _Model(copy.deepcopy(value)).apply(op)


def model_apply_fitting(value: Any, some: list[Any]) -> tuple[Any, list[Any]]:
    """The ops of some that fit one after the other, and what they make of value."""
    fitting = []
    for op in some:
        try:
            value = model_apply(value, op)
        except ModelError:
            continue
        fitting.append(op)
    return value, fitting


class _Model:
    """A box around a value made of dicts and lists, which are changed in place."""

    def __init__(self, value: Any) -> None:
        self.box = [value]

    def apply(self, op: Any) -> Any:
        getattr(self, type(op).__name__.lower())(op)
        return self.box[0]

    def get(self, path: Any) -> Any:
        value = self.box[0]
        for step in path:
            if isinstance(value, dict) and isinstance(step, str):
                if step not in value:
                    raise ModelError("absent")
                value = value[step]
            elif isinstance(value, list) and isinstance(step, int):
                if step >= len(value):
                    raise ModelError("index")
                value = value[step]
            else:
                raise ModelError("type")
        return value

    def put(self, path: Any, new: Any) -> None:
        container: Any = self.box
        last: Any = 0
        for step in path:
            if isinstance(container, dict) and last not in container:
                if not isinstance(step, str):
                    raise ModelError("absent")
                container[last] = {}
            value = container[last]
            if isinstance(value, list) and isinstance(step, int):
                if step >= len(value):
                    raise ModelError("index")
            elif not (isinstance(value, dict) and isinstance(step, str)):
                raise ModelError("type")
            container, last = value, step
        container[last] = copy.deepcopy(new)

    def set(self, op: Any) -> None:
        self.put(op.path, op.value)

    def replace(self, op: Any) -> None:
        self.get(op.path)
        self.put(op.path, op.value)

    def delete(self, op: Any) -> None:
        if not op.path:
            raise ModelError("type")
        for length in range(len(op.path)):
            try:
                parent = self.get(op.path[:length])
            except ModelError as error:
                if error.args[0] == "type":
                    raise
                return
            step = op.path[length]
            if not isinstance(parent, dict | list) or isinstance(parent, dict) != isinstance(step, str):
                raise ModelError("type")
        if isinstance(parent, list):
            raise ModelError("type")
        parent.pop(op.path[-1], None)

    def increment(self, op: Any) -> None:
        try:
            current = self.get(op.path)
        except ModelError as error:
            if error.args[0] != "absent":
                raise
            current = 0
        if type(current) not in (int, float):
            raise ModelError("type")
        by = op.by
        result = current + by if type(current) is type(by) is int else float(current) + float(by)
        if type(result) is int and not -(2**63) <= result < 2**64:
            raise ModelError("range")
        if not math.isfinite(result):
            raise ModelError("range")
        self.put(op.path, result)

    def _list(self, path: Any) -> list[Any]:
        items = self.get(path)
        if not isinstance(items, list):
            raise ModelError("type")
        return items

    def insert(self, op: Any) -> None:
        items = self._list(op.path)
        if op.index > len(items):
            raise ModelError("index")
        items.insert(op.index, copy.deepcopy(op.value))

    def append(self, op: Any) -> None:
        self._list(op.path).append(copy.deepcopy(op.value))

    def remove(self, op: Any) -> None:
        items = self._list(op.path)
        if op.index >= len(items):
            raise ModelError("index")
        del items[op.index]

    def _add(self, path: Any, new: Any) -> None:
        if path and isinstance(path[-1], int):
            items = self._list(path[:-1])
            if path[-1] > len(items):
                raise ModelError("index")
            items.insert(path[-1], copy.deepcopy(new))
        else:
            self.put(path, new)

    def move(self, op: Any) -> None:
        value = self.get(op.source)
        if op.source == op.path:
            return
        if op.path[: len(op.source)] == op.source:
            raise ModelError("move_into_itself")
        del self.get(op.source[:-1])[op.source[-1]]
        self._add(op.path, value)

    def copy(self, op: Any) -> None:
        self._add(op.path, copy.deepcopy(self.get(op.source)))

    def splice(self, op: Any) -> None:
        text = self.get(op.path)
        if not isinstance(text, str):
            raise ModelError("type")
        at, characters = 0, list(text)
        for edit in op.edits:
            if edit.offset < at or edit.offset + edit.removed > len(text):
                raise ModelError("range")
            at = edit.offset + edit.removed
        for edit in reversed(op.edits):
            characters[edit.offset : edit.offset + edit.removed] = edit.inserted
        self.put(op.path, "".join(characters))

    def test(self, op: Any) -> None:
        if not model_equal(self.get(op.path), op.value):
            raise ModelError("test")

    def absent(self, op: Any) -> None:
        try:
            self.get(op.path)
        except ModelError:
            return
        raise ModelError("present")


def model_equal(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(model_equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(model_equal(x, y) for x, y in zip(a, b, strict=True))
    return not isinstance(b, dict | list) and isinstance(a, str) == isinstance(b, str) and a == b
