"""Documents with their full history as plain maps, which JSON can hold: one line is one version.

    {"palimpsest": "history", "format": 1, "documents": "notes/**"}
    {"document": "notes/1", "branch": "main", "version": 1, "kind": "create", "at": 1577836800000000,
     "delta": [[0, [], {"title": "A"}]], "by": "ana", "description": null, "tags": ["import"], "request": "k3:1"}

The first line is a header. `at`: microseconds since the epoch. `delta`: ops, each an array of its number and its fields, as on the
wire. A version that does not follow the one before it, as that one is not kept any more, has its whole `value` beside the
delta, unless it needs none. The branch `$versions` says which branches there are and what was said of versions afterwards; it comes
before what it speaks of, so that the branches are there, and what is pruned by it is pruned already. Which other branches there are,
and in which order, `branch_order` knows.

A version that comes from others beside the one before it on its branch says so: the first of a branch where that starts, a merge what
it took in.

    "parents": {"base": ["main", 7], "merged": [["draft", 9]]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

from palimpsest.errors import InvalidDelta, InvalidRequest, PalimpsestError
from palimpsest.protocol.messages import Entry, Integer, Number
from palimpsest.state.ops import Erase, Op, Set, check_ops, decode_delta, encode_delta
from palimpsest.state.values import check_value
from palimpsest.words import Kind, Meta, Parents

Line: TypeAlias = Mapping[str, Any] | str | bytes
"""A map, or its JSON."""

FORMAT = 1
_ANY_DEPTH = 1 << 30
"""How deep a value may be is the server's to say."""

_KINDS = {kind.name.lower(): int(kind) for kind in Kind}
_NAMES = {number: name for name, number in _KINDS.items()}
_DELETE, _ERASE = int(Kind.DELETE), int(Kind.ERASE)
_SET_TAG, _ERASE_TAG = Set.__struct_config__.tag, Erase.__struct_config__.tag


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    palimpsest: str
    format: int
    documents: str = "**"
    branch: str | None = None
    """Whose history it is alone; None: of all."""
    perspective: str | None = None
    family: str | None = None
    level: Integer | None = None
    """What documents were seen through; None of the three: as they are."""


class ParentsPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    base: tuple[str, Number] | None = None
    merged: tuple[tuple[str, Number], ...] = ()


class VersionLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    document: str
    branch: str
    version: Number
    kind: str
    at: Integer
    delta: list[Any]
    by: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    request: str | None = None
    parents: ParentsPart = ParentsPart()
    trace: str | None = None
    value: Any = UNSET


# --- to lines --------------------------------------------------------------------------------------------------------


def header_line(documents: str, **scope: str | int | None) -> dict[str, Any]:
    """scope: `branch`, `perspective`, `family` and `level`, as in `Header`; those that are None are not said."""
    said = {name: part for name, part in scope.items() if part is not None}
    return {"palimpsest": "history", "format": FORMAT, "documents": documents, **said}


def to_line(document: str, branch: str, entry: Entry, value: Any | UnsetType = UNSET) -> dict[str, Any]:
    """value: where the entry does not follow the one before it, and does not stand alone."""
    said = entry.meta or Meta()
    line: dict[str, Any] = {
        "document": document,
        "branch": branch,
        "version": entry.version,
        "kind": _NAMES[entry.kind],
        "at": entry.at,
        "delta": msgspec.msgpack.decode(entry.delta),
        "by": said.by,
        "description": said.description,
        "tags": list(said.tags),
        "request": entry.request,
    }
    if said.trace is not None:
        line["trace"] = said.trace
    parents = entry.parents
    if parents is not None and parents != Parents():
        base = None if parents.base is None else list(parents.base)
        line["parents"] = {"base": base, "merged": [list(node) for node in parents.merged]}
    if value is not UNSET:
        line["value"] = value
    return line


def stands_alone(entry: Entry) -> bool:
    """Whether the value after this version is the same whatever came before: it is deleted, erased, or set as a whole."""
    if entry.kind == _DELETE:
        return True
    ops = msgspec.msgpack.decode(entry.delta)
    return bool(ops) and ops[0][0] in (_SET_TAG, _ERASE_TAG) and ops[0][1] == []


# --- from lines ------------------------------------------------------------------------------------------------------


def parse_line(line: Line) -> Header | VersionLine:
    """Raises InvalidRequest where it is no line of an export."""
    found = line if isinstance(line, Mapping) else _decode(line)
    kind: type[Header | VersionLine] = Header if "palimpsest" in found else VersionLine
    try:
        parsed: Header | VersionLine = msgspec.convert(dict(found), kind)
    except msgspec.ValidationError as error:
        raise _bad(str(error)) from None
    if isinstance(parsed, Header) and (parsed.palimpsest, parsed.format) != ("history", FORMAT):
        raise _bad(f"a header of {parsed.palimpsest!r}, format {parsed.format}; this reads 'history', format {FORMAT}")
    return parsed


def to_entry(line: VersionLine) -> Entry:
    """Raises InvalidRequest, InvalidDelta, InvalidValue or LimitExceeded."""
    kind = _KINDS.get(line.kind)
    if kind is None:
        raise _bad(f"{line.kind!r} is no kind of version: {', '.join(_KINDS)}")
    said = Meta(line.by, line.description, tuple(sorted(set(line.tags))), line.trace)
    meta = None if said == Meta() else said
    parents = Parents(line.parents.base, line.parents.merged)
    delta = _to_delta(line, kind)
    return Entry(
        line.version, kind, line.at, delta, meta, line.request, parents=None if parents == Parents() else parents
    )


def _to_delta(line: VersionLine, kind: int) -> Raw:
    if line.value is not UNSET:
        check_value(line.value, depth_max=_ANY_DEPTH)
        return Raw(encode_delta([Set((), line.value)]))
    ops = _to_ops(line.delta)
    if kind == _DELETE and ops:
        raise _bad("a version that deletes has an empty delta")
    if kind == _ERASE and not (len(ops) == 1 and type(ops[0]) is Erase):
        raise _bad("an erasure has one `erase` op, or the whole value")
    if kind != _ERASE:
        check_ops(ops, depth_max=_ANY_DEPTH)
    return Raw(encode_delta(ops))


def _to_ops(delta: list[Any]) -> list[Op]:
    try:
        return decode_delta(msgspec.msgpack.encode(delta))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidDelta(f"not a delta: {error}", op=None) from None


def _decode(line: str | bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _bad(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise _bad("not a JSON object")
    return found


def at_line(number: int, error: PalimpsestError) -> PalimpsestError:
    """The same error, which says in which line it was met."""
    return type(error)(f"line {number}: {error.message}", **(error.data | {"line": number}))


def _bad(reason: str) -> InvalidRequest:
    return InvalidRequest(reason, reason=reason)
