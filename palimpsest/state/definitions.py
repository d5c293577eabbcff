"""A perspective as it is written down, in a document under `$system/perspectives/`: what each field of it may say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

import msgspec
from msgspec.structs import asdict

from palimpsest.errors import InvalidName, InvalidPath, InvalidPerspective, InvalidValue, LimitExceeded
from palimpsest.state.computed import InvalidExpression, parse_expression
from palimpsest.state.names import Pattern
from palimpsest.state.paths import Path, format_path, parse_path
from palimpsest.state.redact import ANY
from palimpsest.state.shapes import shape_of_marshmallow, shape_of_type
from palimpsest.state.values import DEPTH_MAX, check_value, thaw

PERSPECTIVES = "$system/perspectives/"
"""What the names of their documents begin with; the perspective's name follows."""

ENTRIES_MAX = 1_000
"""Of one field."""

LEVEL_MAX = 100

CHARACTERS_MAX = 1_000
"""That a mask may show."""


class Mask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What stands in for a value. constant: `value` does. last: of a text, its last `characters`, after `***`; `***` alone for what is no
    text, or not at least twice as long. hash: the first 32 hex digits of HMAC-SHA256 under `key`, of the value, so that equal values can
    be told to be equal."""

    kind: Literal["constant", "last", "hash"] = "constant"
    value: Any = "***"
    characters: int = 4
    key: str = ""


class Perspective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A named view of documents."""

    name: str
    documents: tuple[str, ...] | str = "**"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rename: Mapping[str, str] = {}
    mask: Mapping[str, Mask] = {}
    compute: Mapping[str, str] = {}
    extends: str | None = None
    family: str | None = None
    level: int | None = None
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    description: str = ""

    @classmethod
    def from_struct(cls, kind: Any, *, name: str, include: Iterable[str] = (), **fields: Any) -> Self:
        """A perspective that shows the fields of kind, a `msgspec.Struct` or another type with fields that msgspec knows, by the names
        that they have in a value. Those that are types with fields themselves are gone into, also in lists and maps.

        include: what is shown beside these. fields: others of a perspective. Raises InvalidPerspective where kind has no fields, where it
        contains itself, and for fields that are known by their place alone.
        """
        shape = shape_of_type(name, kind)
        return cls(name=name, include=(*shape.include, *include), **fields)

    @classmethod
    def from_marshmallow(
        cls, schema: Any, *, name: str, include: Iterable[str] = (), rename: Mapping[str, str] = {}, **fields: Any
    ) -> Self:
        """A perspective that shows what a marshmallow `Schema`, or an instance of one, dumps: without fields that are `load_only`, and
        under its `data_key`s.

        include, rename: what is shown beside these, and under which names. fields: others of a perspective. Raises InvalidPerspective for
        fields that code makes, unless `compute` says them in another way, and where the schema contains itself.
        """
        shape = shape_of_marshmallow(name, schema, fields.get("compute", ()))
        return cls(name=name, include=(*shape.include, *include), rename={**shape.rename, **rename}, **fields)


def parse_perspective(name: str, value: Any) -> Perspective:
    """The perspective of this name. value: of its document, plain or frozen. Raises InvalidPerspective, which points at the place.

    How its parts go together, and with other perspectives, is for `check_perspectives`.
    """
    try:
        check_value(value)
    except InvalidValue as error:
        raise refusal(name, error.path, error.reason) from error
    plain: Any = thaw(value)
    if not isinstance(plain, dict):
        raise refusal(name, "", "it is a map of fields")
    if plain.get("name", name) != name:
        raise refusal(name, "name", f"the document is that of {name!r}")
    masks = plain.get("mask", {})
    given = {**plain, "name": name, "mask": {}}
    if not isinstance(masks, dict):
        raise refusal(name, "mask", "it is a map of paths to masks")
    for field in ("rename", "compute"):
        _check_texts(name, field, given.get(field, {}))
    perspective = _convert(name, given, Perspective, ())
    read = {path: _convert(name, mask, Mask, ("mask", path)) for path, mask in masks.items()}
    made: Perspective = msgspec.structs.replace(perspective, mask=read)
    _check(made)
    return made


def to_value(perspective: Perspective) -> dict[str, Any]:
    """What `parse_perspective` takes, beside the name; what is as by default is left out."""
    defaults = Perspective(name=perspective.name)
    given = {field: said for field, said in asdict(perspective).items() if said != getattr(defaults, field)}
    plain = {field: list(said) if isinstance(said, tuple) else said for field, said in given.items()}
    for field in ("rename", "compute"):
        if field in plain:
            plain[field] = dict(plain[field])
    if "mask" in plain:
        plain["mask"] = {path: msgspec.to_builtins(mask) for path, mask in perspective.mask.items()}
    return plain


def paths_of(texts: Iterable[str]) -> tuple[Path, ...]:
    return tuple(parse_path(text) for text in texts)


def refusal(name: str, path: str, reason: str) -> InvalidPerspective:
    """path: in the definition, in written form."""
    where = f"{path}: " if path else ""
    return InvalidPerspective(f"perspective {name!r}: {where}{reason}", perspective=name, path=path, reason=reason)


# --- one field at a time ---------------------------------------------------------------------------------------------


def _check_texts(name: str, field: str, given: Any) -> None:
    if not isinstance(given, dict):
        raise refusal(name, field, "it is a map of paths to texts")
    for path, text in given.items():
        if not isinstance(text, str):
            raise refusal(name, format_path((field, path)), "it is a text")


_STEP = re.compile(r"\[([0-9]+)\]")


def _convert(name: str, given: Any, to: Any, at: Path) -> Any:
    try:
        return msgspec.convert(given, to)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        inside = _STEP.sub(r".\1", place.removesuffix("`")).removeprefix(".")
        path = format_path((*at, *parse_path(inside)))
        raise refusal(name, path, reason) from error


def _check(perspective: Perspective) -> None:
    name = perspective.name
    if not name:
        raise refusal(name, "name", "it is empty")
    for field, entries in _sizes(perspective).items():
        if entries > ENTRIES_MAX:
            raise refusal(name, field, f"{entries} entries; at most {ENTRIES_MAX}")
    _check_documents(perspective)
    _check_membership(perspective)
    for field in ("include", "exclude", "writable"):
        for index, text in enumerate(getattr(perspective, field)):
            _pattern(name, (field, index), text)
    _check_once(perspective)
    for text, new in perspective.rename.items():
        _check_rename(name, text, new)
    for text, mask in perspective.mask.items():
        _pattern(name, ("mask", text), text)
        _check_mask(name, text, mask)
    for text, expression in perspective.compute.items():
        _check_computed(name, text, expression)


def _sizes(perspective: Perspective) -> dict[str, int]:
    fields = ("documents", "include", "exclude", "writable", "read", "write", "rename", "mask", "compute")
    return {field: 1 if isinstance(said := getattr(perspective, field), str) else len(said) for field in fields}


def _check_documents(perspective: Perspective) -> None:
    documents = perspective.documents
    named = [(("documents",), documents)] if isinstance(documents, str) else None
    texts: list[tuple[Path, str]] = named or [(("documents", index), text) for index, text in enumerate(documents)]  # type: ignore[assignment]
    if not texts:
        raise refusal(perspective.name, "documents", "it is for no documents at all")
    for path, text in texts:
        try:
            Pattern.parse(text)
        except (InvalidName, LimitExceeded) as error:
            raise refusal(perspective.name, format_path(path), error.message) from error


def _check_membership(perspective: Perspective) -> None:
    name, family, level = perspective.name, perspective.family, perspective.level
    if (family is None) != (level is None):
        raise refusal(name, "level" if level is None else "family", "`family` and `level` go together")
    if family == "":
        raise refusal(name, "family", "it is empty")
    if level is not None and not 1 <= level <= LEVEL_MAX:
        raise refusal(name, "level", f"levels go from 1 to {LEVEL_MAX}")
    for field in ("read", "write"):
        for index, role in enumerate(getattr(perspective, field)):
            if not role:
                raise refusal(name, f"{field}.{index}", "a role has a name")


def _pattern(name: str, at: Path, text: str) -> Path:
    try:
        path = parse_path(text)
    except InvalidPath as error:
        raise refusal(name, format_path(at), error.message) from error
    if any(type(step) is int for step in path):
        reason = 'elements of a list are not told apart: use `*`; a key of digits is written ["0"]'
        raise refusal(name, format_path(at), reason)
    if len(path) > DEPTH_MAX:
        raise refusal(name, format_path(at), f"it has more than {DEPTH_MAX} steps")
    return path


def _check_once(perspective: Perspective) -> None:
    """Two ways to write one path would be two answers to one question."""
    for field in ("rename", "mask", "compute"):
        seen: set[Path] = set()
        for text in getattr(perspective, field):
            path = _pattern(perspective.name, (field, text), text)
            if path in seen:
                raise refusal(
                    perspective.name, format_path((field, text)), "the same path is there in another spelling"
                )
            seen.add(path)


def _check_rename(name: str, text: str, new: str) -> None:
    path, at = parse_path(text), format_path(("rename", text))
    if not path or path[-1] == ANY:
        raise refusal(
            name, at, "it is one key that gets another name: the last step is not `*`, and the root has no name"
        )
    if new == ANY:
        raise refusal(name, at, "`*` would stand for any key where it is spoken of")
    if new == path[-1]:
        raise refusal(name, at, "it has that name already")


def _check_mask(name: str, text: str, mask: Mask) -> None:
    if not 1 <= mask.characters <= CHARACTERS_MAX:
        raise refusal(name, format_path(("mask", text, "characters")), f"1 to {CHARACTERS_MAX} characters are shown")
    if mask.kind == "hash" and not mask.key:
        reason = "a hash has a key: without one, whoever can guess a value can check the guess"
        raise refusal(name, format_path(("mask", text, "key")), reason)


def _check_computed(name: str, text: str, expression: str) -> None:
    path, at = parse_path(text), format_path(("compute", text))
    if not path or ANY in path:
        raise refusal(
            name, at, "the place of what is computed is one key, or a key in a map: without `*`, and not the root"
        )
    try:
        parse_expression(expression)
    except InvalidExpression as error:
        raise refusal(name, at, error.reason) from error
