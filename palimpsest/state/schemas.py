"""Schemas: what the values of documents have to look like, as JSON Schema, in documents under `$system/schemas/`.

A schema is a document like `{"documents": "notes/**", "schema": {...}}`. It speaks of whole values, after a change. Nothing is
ever fetched: a `$ref` leads to somewhere in the same schema, or the schema is refused. Formats are not asserted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from palimpsest.errors import InvalidName, InvalidValue, LimitExceeded, SchemaViolation
from palimpsest.state.names import Pattern
from palimpsest.state.paths import Path, format_path
from palimpsest.state.values import describe, thaw

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

SCHEMAS = "$system/schemas/"
"""What the names of their documents begin with; the schema's name follows."""

SCHEMA_BYTES_MAX = 256 * 1024
"""Of the definition, as JSON. The schemas that large vendors publish for whole products are of this size."""

_SHOWN_CHARACTERS_MAX = 100
"""Of a value, in a reason."""

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_NAMING = frozenset(
    {"required", "additionalProperties", "unevaluatedProperties", "dependentRequired", "dependencies", "contains"}
)
"""Keywords of which the validator's own words say most, and show no more than names."""


class Schema:
    """What `parse_schema` makes: compiled, and of use for any number of values."""

    __slots__ = ("_pattern", "_validator", "documents", "name", "schema")

    def __init__(self, name: str, documents: Pattern, schema: Mapping[str, Any], validator: Validator) -> None:
        self.name = name
        self.documents = documents.text
        self.schema = schema
        """As it was written."""
        self._pattern = documents
        self._validator = validator

    def is_for(self, document: str) -> bool:
        return self._pattern.matches(document)

    def check(self, document: str, value: Any) -> None:
        """Returns if the value, frozen or plain, keeps to it. Raises SchemaViolation for the first place that does not."""
        violation = self.violation(document, value)
        if violation is not None:
            raise violation

    def violation(self, document: str, value: Any) -> SchemaViolation | None:
        """What `check` would raise."""
        from jsonschema.exceptions import best_match
        from referencing.exceptions import Unresolvable

        try:
            error = next(iter(self._validator.iter_errors(thaw(value))), None)
        except RecursionError:
            return _violation(self.name, document, (), "$ref", "the schema leads back to itself without an end")
        except (Unresolvable, ArithmeticError, ValueError, TypeError):
            # Special case: what the validator fails at in a way of its own cannot be said to keep to the schema.
            return _violation(self.name, document, (), "", "whether it keeps to the schema cannot be decided")
        if error is None:
            return None
        error = best_match([error])  # of an `anyOf`, the part that fits best
        path = tuple(error.absolute_path)
        rule = ".".join(map(str, error.absolute_schema_path))
        return _violation(self.name, document, path, rule, _reason(error))

    def __repr__(self) -> str:
        return f"Schema({self.name!r}, documents={self.documents!r})"


class Schemas:
    """All that there are. Without any, and for documents that none is for, asking costs next to nothing."""

    def __init__(self) -> None:
        self._all: dict[str, Schema] = {}

    def put(self, name: str, value: Any) -> None:
        """From now on that is the schema of that name. Raises InvalidValue; there is none of that name then."""
        self._all.pop(name, None)
        self._all[name] = parse_schema(name, value)

    def drop(self, name: str) -> None:
        """There is none of that name from now on, as there may have been before."""
        self._all.pop(name, None)

    def concerns(self, document: str) -> bool:
        """Whether one of them is for the document."""
        return bool(self._all) and any(schema.is_for(document) for schema in self._all.values())

    def check(self, document: str, value: Any) -> None:
        """Returns if the value, frozen or plain, keeps to all that are for the document. Raises SchemaViolation."""
        for schema in schemas_for(self._all.values(), document):
            schema.check(document, value)

    def __len__(self) -> int:
        return len(self._all)


def schemas_for(schemas: Iterable[Schema], document: str) -> list[Schema]:
    """Those that the document has to keep to, by name."""
    return sorted((schema for schema in schemas if schema.is_for(document)), key=lambda schema: schema.name)


# --- parsing ---------------------------------------------------------------------------------------------------------


def parse_schema(name: str, value: Any) -> Schema:
    """value: of a document, frozen or plain. Raises InvalidValue with the path into it and the reason."""
    said: Any = thaw(value)
    if type(said) is not dict or said.keys() != {"documents", "schema"}:
        raise _wrong(name, (), "it is a map of `documents`, a pattern, and `schema`, a JSON Schema")
    documents, schema = _parse_documents(name, said["documents"]), said["schema"]
    if type(schema) is not dict:
        raise _wrong(name, ("schema",), f"a schema is a map, not {describe(schema)}")
    size = len(msgspec.json.encode(schema))
    if size > SCHEMA_BYTES_MAX:
        raise _wrong(name, ("schema",), f"{size:,} bytes of JSON; {SCHEMA_BYTES_MAX:,} are allowed")
    return Schema(name, documents, schema, _compile(name, thaw(schema)))


def _parse_documents(name: str, documents: Any) -> Pattern:
    if type(documents) is not str:
        raise _wrong(name, ("documents",), f"a pattern is text, not {describe(documents)}")
    try:
        pattern = Pattern.parse(documents)
    except (InvalidName, LimitExceeded) as error:
        raise _wrong(name, ("documents",), error.message) from error
    if documents.startswith("$"):
        raise _wrong(name, ("documents",), "the server's own documents have rules of their own")
    return pattern


def _compile(name: str, schema: Any) -> Validator:
    """schema: a map, and to be written to."""
    from referencing import Registry

    draft = _draft_of(name, schema)
    try:
        _check_schema(name, draft, schema)
        for part in _reached(name, schema, draft):
            _check_schema(name, draft, part)
    except RecursionError:
        raise _wrong(name, ("schema",), "it nests too deep") from None
    except (ValueError, TypeError, AttributeError, LookupError) as error:  # such as for a `$id` that is no URI
        raise _wrong(name, ("schema",), f"it cannot be used: {_cut(str(error))}") from error
    validator: Validator = draft(schema, registry=Registry())
    return validator


def _draft_of(name: str, schema: dict[str, Any]) -> Any:
    # Imported here, as it takes longer than all of ours, and most programs have no schema.
    from jsonschema import validators

    if "$schema" not in schema:
        return validators.Draft202012Validator
    said = schema["$schema"]
    for draft in (
        validators.Draft202012Validator,
        validators.Draft201909Validator,
        validators.Draft7Validator,
        validators.Draft6Validator,
        validators.Draft4Validator,
    ):
        if isinstance(said, str) and said.rstrip("#") == str(draft.META_SCHEMA["$schema"]).rstrip("#"):
            return draft
    raise _wrong(name, ("schema", "$schema"), f"{_shown(said)} is no draft that is known here")


def _check_schema(name: str, draft: Any, schema: Any) -> None:
    """Whether it is one, by the rules of its draft."""
    from jsonschema.exceptions import best_match

    meta = draft(draft.META_SCHEMA, format_checker=draft.FORMAT_CHECKER)
    error = next(meta.iter_errors(schema), None)
    if error is not None:
        best: Any = best_match([error])
        raise _wrong(name, ("schema", *best.absolute_path), _reason(best))


def _reached(name: str, schema: dict[str, Any], draft: Any) -> Iterator[Any]:
    """The parts that are schemas only because a reference leads to them. Raises InvalidValue for a reference that leads nowhere, and for
    a regular expression that does not compile."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import specification_with

    specification = specification_with(draft.META_SCHEMA.get("$schema") or draft.META_SCHEMA["$id"])
    root = specification.create_resource(schema)
    registry: Registry[Any] = Registry()
    parts = [(root, registry.resolver_with_root(root))]
    targets: list[Any] = []
    seen: set[int] = set()
    while parts or targets:
        if parts:
            part, resolver = parts.pop()
        else:
            part, resolver = targets.pop()
            if id(part.contents) not in seen:
                yield part.contents
        contents = part.contents
        if type(contents) is not dict or id(contents) in seen:
            continue
        seen.add(id(contents))
        if contents.get("$schema", schema.get("$schema")) != schema.get("$schema"):
            raise _wrong(name, ("schema", *_place_of(schema, contents), "$schema"), "a schema is of one draft")
        _check_patterns(name, schema, contents)
        _spell_out(contents)
        for keyword in _REFERENCES:
            if keyword in contents:
                try:
                    found = resolver.lookup(contents[keyword])
                except (Unresolvable, ValueError, TypeError) as error:
                    place = (*_place_of(schema, contents), keyword)
                    reason = f"{_shown(contents[keyword])} is nowhere in this schema, and nothing is fetched"
                    raise _wrong(name, ("schema", *place), reason) from error
                targets.append((specification.create_resource(found.contents), found.resolver))
        parts += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]


def _check_patterns(name: str, schema: dict[str, Any], part: dict[str, Any]) -> None:
    for keyword in ("pattern", "patternProperties"):
        said = part.get(keyword, ())
        for text in (said,) if type(said) is str else said:
            try:
                re.compile(text)
            except (re.error, OverflowError) as error:
                place = ("schema", *_place_of(schema, part), keyword)
                raise _wrong(name, place, f"{_shown(text)} is no regular expression: {error}") from error


def _spell_out(part: dict[str, Any]) -> None:
    """`false` where a schema stands, which says where it failed only when it is written as a map."""
    for keyword in ("properties", "patternProperties"):
        inner: Any = part.get(keyword)
        for key in [key for key, item in inner.items() if item is False] if type(inner) is dict else ():
            inner[key] = {"not": {}}


def _place_of(value: Any, part: Any) -> Path:
    """Where in value that very object is."""
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if item is part:
            return path
        if type(item) is dict:
            waiting += [((*path, key), inner) for key, inner in item.items()]
        elif type(item) is list:
            waiting += [((*path, index), inner) for index, inner in enumerate(item)]
    return ()


# --- words -----------------------------------------------------------------------------------------------------------


def _reason(error: ValidationError | Any) -> str:
    keyword = error.validator
    if keyword is None or (keyword == "not" and error.validator_value == {}):
        return f"{_shown(error.instance)} is not allowed here"
    if keyword in _NAMING:
        return _cut(error.message) if not isinstance(error.instance, list) else f"a list that breaks `{keyword}`"
    if keyword == "type":
        return f"{_shown(error.instance)} is not of type {_shown(error.validator_value)}"
    return f"{_shown(error.instance)} does not keep to `{keyword}`: {_shown(error.validator_value)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return describe(value)
    if isinstance(value, list):
        return _cut(json.dumps(value, ensure_ascii=False)) if len(value) <= 20 else describe(value)
    return _cut(json.dumps(value[: _SHOWN_CHARACTERS_MAX + 1] if type(value) is str else value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[: _SHOWN_CHARACTERS_MAX - 1] + "…"


def _violation(name: str, document: str, path: Path, rule: str, reason: str) -> SchemaViolation:
    place = format_path(path)
    at = f" at {place}" if place else ""
    return SchemaViolation(
        f"{document!r} would break the schema {name!r}{at}: {reason} ({rule})",
        document=document,
        schema=name,
        path=place,
        rule=rule,
        reason=reason,
    )


def _wrong(name: str, path: Path, reason: str) -> InvalidValue:
    place = format_path(path)
    where = f"{place}: " if place else ""
    return InvalidValue(f"not a schema, {name!r}: {where}{reason}", path=place, reason=reason)
