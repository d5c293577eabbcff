"""Ops as JSON: `{"op": "set", "path": "meta.stars", "value": 1}`. A delta is a list of them, in both directions.

The fields are those of `palimpsest.state.ops`, under their own names; paths are text. The types are what the OpenAPI description
says of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from palimpsest.errors import InvalidDelta, InvalidPath
from palimpsest.state import ops as state
from palimpsest.state.delta import Delta
from palimpsest.state.paths import format_path, parse_path


class _Op(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    path: str


class Set(_Op, frozen=True, tag="set"):
    """The value at path becomes `value`. Missing parents are made, as maps; a list element must exist."""

    value: Any


class Replace(_Op, frozen=True, tag="replace"):
    """As `set`, where there is something already."""

    value: Any


class Delete(_Op, frozen=True, tag="delete"):
    """The key at path goes. Nothing happens where it is absent."""


class Increment(_Op, frozen=True, tag="increment"):
    """`by` is added to the number at path; what is absent counts as 0."""

    by: int | float


class Insert(_Op, frozen=True, tag="insert"):
    """`value` goes into the list at path, before the element at `index`."""

    index: state.Index
    value: Any


class Append(_Op, frozen=True, tag="append"):
    """`value` goes to the end of the list at path."""

    value: Any


class Remove(_Op, frozen=True, tag="remove"):
    """The element at `index` goes from the list at path."""

    index: state.Index


class Move(_Op, frozen=True, tag="move"):
    """The value at `source` goes from there to path."""

    source: str


class Copy(_Op, frozen=True, tag="copy"):
    """The value at `source` goes to path as well."""

    source: str


class Test(_Op, frozen=True, tag="test"):
    """The value at path must equal `value`, as JSON."""

    __test__ = False  # a test runner is not to collect it

    value: Any


class Absent(_Op, frozen=True, tag="absent"):
    """There must be nothing at path."""


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In a text, `removed` characters from `offset` on make way for `inserted`. Both count Unicode code points."""

    offset: state.Index
    removed: state.Index
    inserted: str


class Splice(_Op, frozen=True, tag="splice"):
    """Edits of the text at path; offsets rise, and no two edits overlap."""

    edits: tuple[Edit, ...]


class Erase(_Op, frozen=True, tag="erase"):
    """What is at path is gone, from this version and all before it. Met in histories; never sent."""


NewOp: TypeAlias = Set | Replace | Delete | Increment | Insert | Append | Remove | Move | Copy | Test | Absent | Splice
"""What a delta that is sent is made of."""

Op: TypeAlias = NewOp | Erase
"""What a delta of a version is made of."""


def ops_of(delta: Delta) -> list[Op]:
    """The ops of a delta of the log."""
    return [_op_of(op) for op in delta.ops]


def delta_of(ops: Sequence[NewOp]) -> Delta:
    """The delta that ops say. Raises InvalidDelta, with the index of the op, InvalidValue or LimitExceeded."""
    return Delta.from_ops([_state_op(op, index) for index, op in enumerate(ops)])


def _op_of(op: state.Op) -> Op:
    kind: Callable[..., Op] = _KINDS[type(op)]
    return kind(**{name: _written(name, getattr(op, name)) for name in op.__struct_fields__})


def _written(name: str, field: Any) -> Any:
    if name == "edits":
        return tuple([Edit(edit.offset, edit.removed, edit.inserted) for edit in field])
    return format_path(field) if name in _PATHS else field


def _state_op(op: NewOp, index: int) -> state.Op:
    kind: Callable[..., state.Op] = _STATE_KINDS[type(op)]
    try:
        return kind(**{name: _read(name, getattr(op, name)) for name in op.__struct_fields__})
    except InvalidPath as error:
        raise InvalidDelta(f"op {index}: {error.message}", op=index, **error.data) from None


def _read(name: str, field: Any) -> Any:
    if name == "edits":
        return tuple([state.Edit(edit.offset, edit.removed, edit.inserted) for edit in field])
    return parse_path(field) if name in _PATHS else field


_PATHS = frozenset(("path", "source"))
_KINDS: dict[type, Any] = {
    state.Set: Set,
    state.Replace: Replace,
    state.Delete: Delete,
    state.Increment: Increment,
    state.Insert: Insert,
    state.Append: Append,
    state.Remove: Remove,
    state.Move: Move,
    state.Copy: Copy,
    state.Test: Test,
    state.Absent: Absent,
    state.Splice: Splice,
    state.Erase: Erase,
}
_STATE_KINDS: dict[type, Any] = {ours: theirs for theirs, ours in _KINDS.items()}
