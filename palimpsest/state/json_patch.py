"""JSON Patch (RFC 6902): its operations, parsed and compiled into ours.

An operation is compiled against the value that it meets, because what a token of a JSON Pointer (RFC 6901) means depends on
it: `0` is an index of a list and a key of a map. Compiling an operation checks all that the RFC asks for; what comes out
applies to that value.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

from palimpsest.errors import InvalidDelta
from palimpsest.state.ops import Copy, Delete, Insert, JsonPatch, Move, Op, Remove, Replace, Set, Test
from palimpsest.state.paths import INDEX_MAX, Path
from palimpsest.state.tree import Misfit, drop, find, put, written
from palimpsest.state.values import LISTS, MAPS, Value, check_value, describe, freeze, thaw

_MEMBERS: dict[str, tuple[str, ...]] = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}
"""The operations, and the members that each must have beside `op` and `path`."""

_INDEX = re.compile(r"0|[1-9][0-9]*")
_BAD_ESCAPE = re.compile(r"~(?![01])")


def parse_patch(patch: object) -> list[Op]:
    """The operations of a JSON Patch document, decoded from JSON. Members that the RFC does not name are ignored.

    Raises InvalidDelta with the index of an operation that is none, InvalidValue or LimitExceeded.
    """
    if type(patch) is not list:
        raise InvalidDelta(f"a JSON Patch is a list of operations, not a {type(patch).__name__}", op=None)
    return [_parse_operation(operation, index) for index, operation in enumerate(patch)]


def compile_op(op: JsonPatch, value: Value, index: int) -> list[Op]:
    """The ops that do to value what op says. index: of op in its delta, for errors.

    Raises InvalidDelta where op is no operation of the RFC, and Misfit where it does not fit value.
    """
    check_operation(op, index)
    return _COMPILERS[op.op](op, value)


def check_operation(op: JsonPatch, index: int) -> None:
    """Raises InvalidDelta unless op is one of the RFC's operations, with pointers that are pointers."""
    if op.op not in _MEMBERS:
        raise InvalidDelta(f"op {index}: {reprlib.repr(op.op)} is not an operation of JSON Patch", op=index)
    if "from" in _MEMBERS[op.op] and op.source is None:
        raise InvalidDelta(f"op {index}: {op.op!r} has no member 'from'", op=index)
    for pointer in (op.path, op.source or ""):
        if pointer and not pointer.startswith("/"):
            raise _no_pointer(pointer, index, "it does not start with `/`")
        if _BAD_ESCAPE.search(pointer):
            raise _no_pointer(pointer, index, "`~` is followed by 0 or 1")


def format_pointer(path: Path) -> str:
    """path as a JSON Pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _parse_operation(operation: Any, index: int) -> JsonPatch:
    if type(operation) is not dict:
        raise InvalidDelta(f"op {index}: an operation is an object, not a {type(operation).__name__}", op=index)
    name = operation.get("op")
    if type(name) is not str or name not in _MEMBERS:
        raise InvalidDelta(f"op {index}: {reprlib.repr(name)} is not an operation of JSON Patch", op=index)
    needed = _MEMBERS[name]
    for member in ("path", *needed):
        if member not in operation:
            raise InvalidDelta(f"op {index}: {name!r} has no member {member!r}", op=index)
        if member != "value" and not _is_text(operation[member]):
            raise InvalidDelta(f"op {index}: {member!r} is not a JSON Pointer", op=index)
    value = operation["value"] if "value" in needed else None
    check_value(value)
    op = JsonPatch(name, operation["path"], thaw(value), operation["from"] if "from" in needed else None)
    check_operation(op, index)
    return op


def _no_pointer(pointer: str, index: int, reason: str) -> InvalidDelta:
    return InvalidDelta(f"op {index}: {reprlib.repr(pointer)} is not a JSON Pointer: {reason}", op=index)


def _is_text(member: object) -> bool:
    try:
        return type(member) is str and member.encode() is not None
    except UnicodeEncodeError:
        return False


# --- one function an operation ------------------------------------------------------------------------------------


def _add(op: JsonPatch, value: Value) -> list[Op]:
    path = _target(op.path, value)
    if path and type(path[-1]) is int:
        return [Insert(path[:-1], path[-1], op.value)]
    return [Set(path, op.value)]


def _remove(op: JsonPatch, value: Value) -> list[Op]:
    path = _existing(op.path, value)
    if path and type(path[-1]) is int:
        return [Remove(path[:-1], path[-1])]
    return [Delete(path)]


def _replace(op: JsonPatch, value: Value) -> list[Op]:
    return [Replace(_existing(op.path, value), op.value)]


def _move(op: JsonPatch, value: Value) -> list[Op]:
    assert op.source is not None
    source = _existing(op.source, value)
    if op.path == op.source:
        return [Move(source, source)]
    if op.path.startswith(op.source + "/"):
        raise Misfit("move_into_itself", f"{op.path!r} lies inside of {op.source!r}, which is moved there")
    return [Move(source, _target(op.path, without(value, source)))]


def _copy(op: JsonPatch, value: Value) -> list[Op]:
    assert op.source is not None
    source = _existing(op.source, value)
    return [Copy(source, _target(op.path, value))]


def _test(op: JsonPatch, value: Value) -> list[Op]:
    return [Test(_existing(op.path, value), op.value)]


_COMPILERS: dict[str, Callable[[JsonPatch, Value], list[Op]]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


# --- pointers -----------------------------------------------------------------------------------------------------


def _tokens(pointer: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _existing(pointer: str, value: Any) -> Path:
    """The path that pointer means in value, where there is something."""
    path: list[str | int] = []
    for token in _tokens(pointer):
        path.append(_step(token, value, path))
        value = find(value, tuple(path), len(path) - 1)
    return tuple(path)


def _target(pointer: str, value: Any) -> Path:
    """The path that pointer means in value, where something can be added: its parent is there."""
    if not pointer:
        return ()
    parent_pointer, _, last = pointer.rpartition("/")
    parent_path = _existing(parent_pointer, value)
    parent = find(value, parent_path)
    if type(parent) in LISTS and last == "-":
        return (*parent_path, len(parent))
    step = _step(_tokens("/" + last)[0], parent, parent_path)
    if type(step) is int and step > len(parent):
        raise Misfit(
            "index", f"the list at {written(parent_path)} has {len(parent)} elements; nothing goes before {step}"
        )
    return (*parent_path, step)


def _step(token: str, value: Any, path: Sequence[str | int]) -> str | int:
    """What token means in the container `value`, which is at path."""
    if type(value) in MAPS:
        return token
    where = written(tuple(path))
    if type(value) not in LISTS:
        raise Misfit("type", f"{where} is {describe(value)}, which has nothing inside")
    if token == "-":
        raise Misfit("index", f"`-` is the end of the list at {where}, where there is nothing yet")
    if not _INDEX.fullmatch(token) or len(token) > len(str(INDEX_MAX)) or int(token) > INDEX_MAX:
        raise Misfit("index", f"{token!r} is no index of the list at {where}")
    return int(token)


def without(value: Any, path: Path) -> Any:
    """value as it is once what is at path, which is not the root, has been taken out."""
    if type(path[-1]) is str:
        return drop(value, path, 0)
    items: Any = freeze(find(value, path[:-1]))
    rest = items.delete(path[-1])
    return put(value, path[:-1], 0, rest) if len(path) > 1 else rest
