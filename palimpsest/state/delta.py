"""Deltas, as users write them.

    Delta().set("title", "B").increment("meta.stars").append("tags", "x").test("draft", False)
    Delta.from_mapping({"title": "B", "meta.stars": Increment(1), "draft": DELETE})

A path is written text or a tuple. Values pass the door when they are given, and are copied, so that what is done to them
later does not change the delta.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from palimpsest.errors import InvalidDelta, InvalidValue
from palimpsest.limits import Limits
from palimpsest.state import json_patch, ops
from palimpsest.state.inverse import invert
from palimpsest.state.json_patch_export import to_json_patch
from palimpsest.state.ops import Op, decode_delta, encode_delta
from palimpsest.state.paths import Path, check_path, format_path, parse_path
from palimpsest.state.values import CONTAINERS, DEPTH_MAX, check_value, freeze, thaw
from palimpsest.state.working import apply_delta

AnyPath = str | Path
"""A path in its written form, or as the tuple that it is."""


class _Delete:
    def __repr__(self) -> str:
        return "DELETE"

    def __reduce__(self) -> str:
        return "DELETE"


DELETE: Final = _Delete()
"""In a mapping: the key at this path goes."""


class Increment(msgspec.Struct, frozen=True):
    """In a mapping: `by` is added to the number at this path."""

    by: int | float = 1


class Append(msgspec.Struct, frozen=True):
    """In a mapping: `value` goes to the end of the list at this path."""

    value: Any


class Insert(msgspec.Struct, frozen=True):
    """In a mapping: `value` goes into the list at this path, before the element at `index`."""

    index: int
    value: Any


class Remove(msgspec.Struct, frozen=True):
    """In a mapping: the element at `index` goes from the list at this path."""

    index: int


class Delta:
    """An ordered list of ops, applied whole or not at all. Immutable: each method returns another delta, one op longer.

    Raises InvalidPath or InvalidValue where it is given something that is no path or no value.
    """

    __slots__ = ("ops",)

    ops: list[Op]
    """Not to be changed."""

    def __init__(self, ops: Iterable[Op] = ()) -> None:
        """ops: as `decode_delta` or `diff` give them; those made by hand go to `from_ops`."""
        self.ops = list(ops)

    # --- one method an op -------------------------------------------------------------------------------------------

    def set(self, path: AnyPath, value: Any) -> Delta:
        """The value at path becomes `value`. Missing parents are made, as maps; a list element must exist."""
        steps = _path(path)
        return self._with(ops.Set(steps, _value(value, steps, len(steps))))

    def replace(self, path: AnyPath, value: Any) -> Delta:
        """As `set`, where there is something already."""
        steps = _path(path)
        return self._with(ops.Replace(steps, _value(value, steps, len(steps))))

    def delete(self, path: AnyPath) -> Delta:
        """The key at path goes. Nothing happens where it is absent."""
        return self._with(ops.Delete(_path(path)))

    def increment(self, path: AnyPath, by: int | float = 1) -> Delta:
        """`by` is added to the number at path; what is absent counts as 0."""
        steps = _path(path)
        return self._with(ops.Increment(steps, _number(by, steps)))

    def insert(self, path: AnyPath, index: int, value: Any) -> Delta:
        """`value` goes into the list at path, before the element at `index`; index: 0 to the list's length."""
        steps = _path(path)
        return self._with(ops.Insert(steps, _index(index, steps), _value(value, steps, len(steps) + 1)))

    def append(self, path: AnyPath, value: Any) -> Delta:
        """`value` goes to the end of the list at path."""
        steps = _path(path)
        return self._with(ops.Append(steps, _value(value, steps, len(steps) + 1)))

    def remove(self, path: AnyPath, index: int) -> Delta:
        """The element at `index` goes from the list at path."""
        steps = _path(path)
        return self._with(ops.Remove(steps, _index(index, steps)))

    def move(self, source: AnyPath, path: AnyPath) -> Delta:
        """The value at source goes to path: set at a key, inserted before an index."""
        return self._with(ops.Move(_path(source), _path(path)))

    def copy(self, source: AnyPath, path: AnyPath) -> Delta:
        """The value at source goes to path as well: set at a key, inserted before an index."""
        return self._with(ops.Copy(_path(source), _path(path)))

    def splice(self, path: AnyPath, *edits: tuple[int, int, str]) -> Delta:
        """In the string at path; edits: (offset, how many characters go from there, what comes in their place). Offsets are
        those of the string before, and rise; no two edits overlap."""
        steps = _path(path)
        made = tuple([_edit(edit, steps) for edit in edits])
        ops.check_edits(made)
        return self._with(ops.Splice(steps, made))

    def test(self, path: AnyPath, value: Any) -> Delta:
        """The value at path must equal `value`, as JSON: `true` is not `1`, and `1` is `1.0`."""
        steps = _path(path)
        return self._with(ops.Test(steps, _value(value, steps, len(steps))))

    def absent(self, path: AnyPath) -> Delta:
        """There must be nothing at path."""
        return self._with(ops.Absent(_path(path)))

    # --- other ways to come by one --------------------------------------------------------------------------------------

    @staticmethod
    def from_mapping(mapping: Mapping[Any, Any]) -> Delta:
        """A key is a path, and its value replaces what is there, unless it is one of `DELETE`, `Increment`, `Append`,
        `Insert` and `Remove`. The ops are in the order of the mapping."""
        if type(mapping) is not dict and not isinstance(mapping, Mapping):
            raise InvalidDelta(f"a {type(mapping).__name__} is not a mapping of paths to values", op=None)
        made: list[Op] = []
        for path, value in mapping.items():
            steps = parse_path(path) if type(path) is str else check_path(path)
            kind = type(value)
            if (kind is str and value.isascii()) or kind is bool or kind is NoneType:
                made.append(ops.Set(steps, value))
            elif kind in _MARKERS:
                made.append(_from_marker(steps, value))
            else:
                made.append(ops.Set(steps, _value(value, steps, len(steps))))
        return Delta(made)

    @staticmethod
    def from_json_patch(patch: list[dict[str, Any]]) -> Delta:
        """patch: a JSON Patch (RFC 6902), decoded from JSON. It is compiled against the value that it meets, by the
        server. Raises InvalidDelta where it is none."""
        return Delta(json_patch.parse_patch(patch))

    @staticmethod
    def from_merge_patch(patch: Any) -> Delta:
        """patch: a JSON Merge Patch (RFC 7396), decoded from JSON. It is compiled against the value that it meets, by the
        server."""
        return Delta([ops.MergePatch(_value(patch, (), 0))])

    @staticmethod
    def from_ops(made: Iterable[Op]) -> Delta:
        """made: structs of `palimpsest.state.ops`, made by hand. Raises InvalidDelta where one is none."""
        return Delta(ops.checked(made))

    @staticmethod
    def decode(data: bytes | msgspec.Raw, *, limits: Limits | None = None) -> Delta:
        """As `decode_delta`."""
        return Delta(decode_delta(data, limits=limits))

    # --- what can be done with one --------------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """Canonical msgpack, as it travels."""
        return encode_delta(self.ops)

    def apply(self, value: Any) -> Any:
        """The plain value that this delta makes of value, plain or frozen, which is not changed.

        Raises DeltaFailed or TestFailed where an op does not fit, InvalidValue or LimitExceeded.
        """
        return thaw(apply_delta(_frozen(value), self.ops))

    def inverse(self, before: Any) -> Delta:
        """The delta that turns what this one makes of `before` back into `before`."""
        return Delta(invert(_frozen(before), self.ops))

    def to_json_patch(self, before: Any) -> list[dict[str, Any]]:
        """The JSON Patch that does to `before` what this delta does. An `absent` is left out: the RFC has no such thing."""
        return to_json_patch(_frozen(before), self.ops)

    def __len__(self) -> int:
        return len(self.ops)

    def __eq__(self, other: object) -> bool:
        """The same ops with the same values; `1` is not `1.0` here."""
        return isinstance(other, Delta) and self.encode() == other.encode()

    def __hash__(self) -> int:
        return hash(self.encode())

    def __repr__(self) -> str:
        return "Delta()" + "".join(map(_call, self.ops))

    def _with(self, op: Op) -> Delta:
        return Delta([*self.ops, op])


_EDITS_SHOWN = 4

_MARKERS = frozenset((_Delete, Increment, Append, Insert, Remove))


def _from_marker(steps: Path, marker: Any) -> Op:
    if type(marker) is Increment:
        return ops.Increment(steps, _number(marker.by, steps))
    if type(marker) is Append:
        return ops.Append(steps, _value(marker.value, steps, len(steps) + 1))
    if type(marker) is Insert:
        return ops.Insert(steps, _index(marker.index, steps), _value(marker.value, steps, len(steps) + 1))
    if type(marker) is Remove:
        return ops.Remove(steps, _index(marker.index, steps))
    return ops.Delete(steps)


def _path(path: AnyPath) -> Path:
    return parse_path(path) if type(path) is str else check_path(path)


def _value(value: Any, steps: Path, depth: int) -> Any:
    """A copy of value, which will sit in `depth` containers; depth_max is the server's to hold, the default one here."""
    try:
        check_value(value, depth_max=max(DEPTH_MAX, depth), depth=depth)
    except InvalidValue as error:
        where = format_path((*steps, *parse_path(error.path)))
        raise InvalidValue(
            f"not a value: {where or 'the root'}: {error.reason}", path=where, reason=error.reason
        ) from None
    return thaw(value) if type(value) in CONTAINERS else value


def _number(by: Any, steps: Path) -> int | float:
    if type(by) is not int and type(by) is not float:
        where, reason = format_path(steps), f"a {type(by).__name__} is not a number"
        raise InvalidValue(f"not a value: {where or 'the root'}: {reason}", path=where, reason=reason)
    _value(by, steps, 0)
    return by


def _index(index: Any, steps: Path) -> int:
    check_path((*steps, index))
    if type(index) is not int:
        raise InvalidDelta(f"{index!r} is not an index of the list at {format_path(steps) or 'the root'}", op=None)
    return index


def _edit(edit: tuple[int, int, str], steps: Path) -> ops.Edit:
    try:
        offset, removed, inserted = edit
    except (TypeError, ValueError):
        raise InvalidDelta(f"{edit!r} is not (offset, removed, inserted)", op=None) from None
    if type(inserted) is not str:
        raise InvalidDelta(f"{inserted!r} is not a text to insert", op=None)
    _value(inserted, steps, 0)
    return ops.Edit(_index(offset, steps), _index(removed, steps), inserted)


def _frozen(value: Any) -> Any:
    check_value(value)
    return freeze(value)


def _call(op: Op) -> str:
    arguments = []
    for name in op.__struct_fields__:
        argument = getattr(op, name)
        if name == "edits":
            arguments += [reprlib.repr(astuple(edit)) for edit in argument[:_EDITS_SHOWN]]
            arguments += ["..."] * (len(argument) > _EDITS_SHOWN)
        elif type(argument) is tuple:
            arguments.append(repr(format_path(argument)))
        else:
            arguments.append(reprlib.repr(thaw(argument)))
    return f".{ops.name_of(op)}({', '.join(arguments)})"
