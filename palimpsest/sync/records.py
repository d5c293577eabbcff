"""Objects of DiffSync as JSON values, and back: what is stored of one object.

    {"identifiers": {...}, "attrs": {...}, "children": {modelname: [unique id, ...]}}

`children` is there where the model declares any. What pydantic writes in its mode "json" is what is stored, and what it reads back
from that is what comes out, so that times, enums and addresses keep their types. Fields that the model declares in none of the
three are its own business, such as the key of a row, and are not stored.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec
from diffsync import DiffSyncModel

from palimpsest.errors import InvalidValue

Key: TypeAlias = tuple[str, str]
"""Of an object: the name of its model, and its unique id."""

Record: TypeAlias = dict[str, Any]

IDENTIFIERS, ATTRS, CHILDREN = "identifiers", "attrs", "children"


class Shape(msgspec.Struct, frozen=True):
    """What a model declares, as records need it. Identifiers that are no fields, but computed, are not stored."""

    fields: set[str]
    """All that is stored."""
    identifiers: tuple[str, ...]
    attributes: tuple[str, ...]
    children: tuple[tuple[str, str], ...]
    """(modelname, field)."""
    is_strict: bool
    """Its values are read as JSON is read: a text is a time then, too."""


_shapes: weakref.WeakKeyDictionary[type[DiffSyncModel], Shape] = weakref.WeakKeyDictionary()


def shape_of(model: type[DiffSyncModel]) -> Shape:
    """Worked out once for each class."""
    found = _shapes.get(model)
    if found is None:
        found = _shapes[model] = _make_shape(model)
    return found


def key_of(item: DiffSyncModel) -> Key:
    return item.get_type(), item.get_unique_id()


def to_record(item: DiffSyncModel) -> Record:
    """Raises InvalidValue where a field has no JSON form."""
    shape = shape_of(type(item))
    values = dump(item, shape.fields)
    record: Record = {
        IDENTIFIERS: {name: values[name] for name in shape.identifiers},
        ATTRS: {name: values[name] for name in shape.attributes},
    }
    if shape.children:
        record[CHILDREN] = {modelname: values[field] for modelname, field in shape.children}
    return record


def from_record(model: type[DiffSyncModel], record: Any) -> DiffSyncModel:
    """A new object. What the record has beside the model's fields is passed over. Raises InvalidValue where it does not make one."""
    shape = shape_of(model)
    try:
        values = {**_known(record.get(IDENTIFIERS), shape.identifiers), **_known(record.get(ATTRS), shape.attributes)}
        children = record.get(CHILDREN)
        if children:
            values.update((field, children[name]) for name, field in shape.children if name in children)
        if shape.is_strict:
            return model.model_validate_json(msgspec.json.encode(values), strict=True)
        return model(**values)
    except (AttributeError, TypeError, ValueError) as error:
        name = model.get_type()
        raise InvalidValue(f"not a {name}: {error}", path=name, reason=str(error)) from error


def is_whole(model: type[DiffSyncModel], record: Any) -> bool:
    """Whether it has all that `to_record` writes, so that ops find what they change."""
    shape = shape_of(model)
    if not isinstance(record, dict) or not isinstance(record.get(ATTRS), dict):
        return False
    if not shape.children:
        return True
    children = record.get(CHILDREN)
    return isinstance(children, dict) and all(isinstance(children.get(name), list) for name, _ in shape.children)


def dump(item: DiffSyncModel, fields: Iterable[str]) -> dict[str, Any]:
    """These fields in their JSON form. Raises InvalidValue where one has none."""
    try:
        return item.model_dump(mode="json", include=set(fields))
    except ValueError as error:
        raise InvalidValue(
            f"a {item.get_type()} has no JSON form: {error}", path=item.get_type(), reason=str(error)
        ) from error


def _known(values: dict[str, Any] | None, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values} if values else {}


def _make_shape(model: type[DiffSyncModel]) -> Shape:
    identifiers = tuple(name for name in model._identifiers if name in model.model_fields)
    attributes = tuple(model._attributes)
    children = tuple(model._children.items())
    fields = {*identifiers, *attributes, *(field for _, field in children)}
    return Shape(fields, identifiers, attributes, children, bool(model.model_config.get("strict")))
