"""Ops: one change at one path each, and the delta, an ordered list of them.

A delta is encoded as a msgpack array of arrays, each the op's number and then its fields in the order below. The numbers
are on disk and on the wire, and never change; fields are only ever added at the end, with a default. What an op does is
in `draft`.

`JsonPatch` and `MergePatch` travel, and are compiled into the others against the value that they meet; they are never stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from types import NoneType
from typing import Annotated, Any

import msgspec

from palimpsest.errors import InvalidDelta, InvalidValue, LimitExceeded
from palimpsest.limits import Limits
from palimpsest.state.paths import INDEX_MAX, check_path, format_path
from palimpsest.state.values import check_value, encode_frozen

PATH_STEPS_MAX = 1_024
"""No value is that deep; a path that is longer is refused before it is looked at."""

Index = Annotated[int, msgspec.Meta(ge=0, le=INDEX_MAX)]
Steps = Annotated[tuple[str | Index, ...], msgspec.Meta(max_length=PATH_STEPS_MAX)]


class _Op(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """The base of all ops. Not tracked by the collector: an op holds plain data, which has no cycles."""


class Set(_Op, frozen=True, tag=0):
    """The value at path becomes `value`. Missing parents are made, as maps; a list element must exist."""

    path: Steps
    value: Any


class Replace(_Op, frozen=True, tag=1):
    """As `Set`, where there is something already."""

    path: Steps
    value: Any


class Delete(_Op, frozen=True, tag=2):
    """The key at path goes. Nothing happens where it is absent."""

    path: Steps


class Increment(_Op, frozen=True, tag=3):
    """`by` is added to the number at path; what is absent counts as 0, and missing parents are made, as maps."""

    path: Steps
    by: int | float


class Insert(_Op, frozen=True, tag=4):
    """`value` goes into the list at path, before the element at `index`; index: 0 to the list's length."""

    path: Steps
    index: Index
    value: Any


class Append(_Op, frozen=True, tag=5):
    """`value` goes to the end of the list at path."""

    path: Steps
    value: Any


class Remove(_Op, frozen=True, tag=6):
    """The element at `index` goes from the list at path."""

    path: Steps
    index: Index


class Move(_Op, frozen=True, tag=7):
    """The value at source goes from there, and then to path: set at a key, inserted before an index."""

    source: Steps
    path: Steps


class Copy(_Op, frozen=True, tag=8):
    """The value at source goes to path as well: set at a key, inserted before an index."""

    source: Steps
    path: Steps


class Test(_Op, frozen=True, tag=9):
    """The value at path must equal `value`, as JSON."""

    __test__ = False  # a test runner is not to collect it

    path: Steps
    value: Any


class Absent(_Op, frozen=True, tag=10):
    """There must be nothing at path."""

    path: Steps


class Edit(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """In a string, `removed` characters from `offset` on make way for `inserted`. Both count Unicode code points."""

    offset: Index
    removed: Index
    inserted: str


class Splice(_Op, frozen=True, tag=11):
    """Edits of the string at path. Offsets are those of the string before the op, rising; no two edits overlap."""

    path: Steps
    edits: tuple[Edit, ...]


class Erase(_Op, frozen=True, tag=12):
    """What is at path is gone: a key is deleted, a list's element becomes null. `*` stands for every key and every index.
    Nothing happens where there is nothing. () is the whole document.

    Only an event that erases has this op; a delta from outside is refused with it.
    """

    path: Steps


class JsonPatch(_Op, frozen=True, tag=20):
    """One operation of RFC 6902. path, source: JSON Pointers (`source` is the RFC's "from"); value: null where it has none."""

    op: str
    path: str
    value: Any
    source: str | None = None


class MergePatch(_Op, frozen=True, tag=21):
    """A merge patch of RFC 7396 for the whole value."""

    value: Any


Op = (
    Set
    | Replace
    | Delete
    | Increment
    | Insert
    | Append
    | Remove
    | Move
    | Copy
    | Test
    | Absent
    | Splice
    | Erase
    | JsonPatch
    | MergePatch
)

COMPILED = frozenset((JsonPatch, MergePatch))
"""The ops that are turned into others before they are applied."""

_encoder = msgspec.msgpack.Encoder(order="deterministic", enc_hook=encode_frozen)
_trusting_decoder = msgspec.msgpack.Decoder(list[Op])
_ANY_NUMBER = Limits(delta_ops_max=2**32)

# What msgpack cannot get wrong: its strings are UTF-8, and its integers lie in our range.
SAFE = frozenset((str, int, bool, NoneType))
"""Types whose every value from a decoder passes the door."""

_DECODING_ERRORS = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


def encode_delta(ops: Sequence[Op]) -> bytes:
    """Canonical msgpack. ops have passed the door."""
    return _encoder.encode(ops)


def decode_delta(data: bytes | msgspec.Raw, *, limits: Limits | None = None) -> list[Op]:
    """The ops that `encode_delta` was called on, each through the door: see `check_ops`.

    limits: None for a delta of our own log, which is only decoded; no limit holds for it. Raises InvalidDelta with the
    index of the op that is not one, where it can be told; InvalidValue; or LimitExceeded (delta_ops_max, depth_max).
    """
    if limits is None:
        try:
            return _trusting_decoder.decode(data)
        except _DECODING_ERRORS as error:
            raise _not_a_delta(data, error, None) from error
    ops = decode_unchecked(data, limits)
    check_ops(ops, depth_max=limits.depth_max)
    return ops


def decode_unchecked(data: bytes | msgspec.Raw, limits: Limits) -> list[Op]:
    """As `decode_delta`, before the door: values may still be what no value is. `check_ops` is the caller's next duty."""
    decode = _decode_by_ops_max.get(limits.delta_ops_max) or _make_decode(limits.delta_ops_max)
    try:
        return decode(data)
    except _DECODING_ERRORS as error:
        raise _not_a_delta(data, error, limits) from error


def check_ops(ops: Iterable[Op], *, depth_max: int) -> None:
    """The door for every value in ops, each with the depth of the place that it is for.

    Edits of a splice have to rise, and nobody but the server itself erases. Raises InvalidValue, whose message names the op and
    its path, LimitExceeded, or InvalidDelta.
    """
    for index, op in enumerate(ops):
        kind = type(op)
        if kind is Increment:
            by = op.by  # type: ignore[union-attr]
            if type(by) is float and not isfinite(by):
                raise _refused(index, op, InvalidValue(f"{by} is not finite", path="", reason="not finite"))
        elif kind is Splice:
            check_edits(op.edits, index)  # type: ignore[union-attr]
        elif kind is Erase:
            raise InvalidDelta(f"op {index} (erase): erasing is a request of its own, not an op of an update", op=index)
        elif kind in _DEPTHS:
            value = op.value  # type: ignore[union-attr]
            if type(value) not in SAFE:
                try:
                    check_value(value, depth_max=depth_max, depth=_depth(op))
                except InvalidValue as error:
                    raise _refused(index, op, error) from None


def check_edits(edits: Iterable[Edit], index: int | None = None) -> None:
    """Returns if they rise, and none overlaps another. Raises InvalidDelta; index: of the op."""
    at = 0
    for edit in edits:
        if edit.offset < at:
            where = "" if index is None else f"op {index} (splice): "
            raise InvalidDelta(f"{where}an edit at {edit.offset} lies before the end of the last one, {at}", op=index)
        at = edit.offset + edit.removed


def checked(ops: Iterable[object]) -> list[Op]:
    """The same ops, made by hand, in copies of their own and now known to be ops.

    Raises InvalidDelta, InvalidPath, InvalidValue, or LimitExceeded where a value is deeper than the default depth_max.
    """
    known = list(ops)
    for index, op in enumerate(known):
        if type(op) not in _NAMES:
            raise InvalidDelta(f"op {index}: a {type(op).__name__} is not an op", op=index)
        check_value(getattr(op, "value", None))
        if type(op) is not JsonPatch:
            check_path(getattr(op, "path", ()))
            check_path(getattr(op, "source", ()))
    try:
        data = _encoder.encode(known)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidDelta(f"not a delta: {error}", op=None) from error
    return decode_delta(data, limits=_ANY_NUMBER)


def name_of(op: Op) -> str:
    """What the op is called in messages: `set`, `merge_patch`."""
    return _NAMES[type(op)]


_NAMES: dict[type, str] = {
    Set: "set",
    Replace: "replace",
    Delete: "delete",
    Increment: "increment",
    Insert: "insert",
    Append: "append",
    Remove: "remove",
    Move: "move",
    Copy: "copy",
    Test: "test",
    Absent: "absent",
    Splice: "splice",
    Erase: "erase",
    JsonPatch: "json_patch",
    MergePatch: "merge_patch",
}

# How many containers, beyond the path's own, the value of an op will sit in.
_DEPTHS: dict[type, int] = {Set: 0, Replace: 0, Test: 0, Insert: 1, Append: 1, JsonPatch: 0, MergePatch: 0}


def _depth(op: Any) -> int:
    if type(op) is MergePatch:
        return 0
    if type(op) is JsonPatch:
        return str(op.path).count("/")
    return len(op.path) + _DEPTHS[type(op)]


def _refused(index: int, op: Op, error: InvalidValue) -> InvalidValue:
    path = getattr(op, "path", ())
    where = path if type(path) is str else format_path(path)
    return InvalidValue(f"op {index} ({name_of(op)} {where or 'the root'}): {error.message}", **error.data)


_decode_by_ops_max: dict[int, Callable[[bytes | msgspec.Raw], list[Op]]] = {}
"""A process has one setting or a few; a look here is cheaper than a cached call."""


def _make_decode(delta_ops_max: int) -> Callable[[bytes | msgspec.Raw], list[Op]]:
    # The bound is checked as soon as the array's header has been read.
    bounded = Annotated[list[Op], msgspec.Meta(max_length=delta_ops_max)]
    decode = _decode_by_ops_max[delta_ops_max] = msgspec.msgpack.Decoder(bounded).decode
    return decode


_PLACE = re.compile(r"\$\[([0-9]+)\]")


def _not_a_delta(data: bytes | msgspec.Raw, error: Exception, limits: Limits | None) -> InvalidDelta | LimitExceeded:
    if isinstance(error, RecursionError):
        return InvalidDelta("a delta that nests too deep to decode", op=None)
    place = _PLACE.search(str(error))
    if place is not None:
        op = int(place[1])
        return InvalidDelta(f"op {op} is not one: {error}", op=op)
    count = _announced(bytes(data))
    if limits is not None and count > limits.delta_ops_max:
        return LimitExceeded(
            f"a delta of {count} ops; delta_ops_max is {limits.delta_ops_max}",
            limit="delta_ops_max",
            maximum=limits.delta_ops_max,
            actual=count,
        )
    return InvalidDelta(f"not a delta: {error}", op=None)


def _announced(data: bytes) -> int:
    """How many elements the msgpack array at the start of data announces; 0 where there is none."""
    first = data[0] if data else 0
    if 0x90 <= first <= 0x9F:
        return first - 0x90
    size = {0xDC: 2, 0xDD: 4}.get(first, 0)
    return int.from_bytes(data[1 : 1 + size], "big")
