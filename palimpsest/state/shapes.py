"""What a type written in code shows of a value: from `msgspec` types and marshmallow schemas to the paths of a perspective.

A type shows its fields, by the names that they have in the value. What is itself a type with fields is gone into, also as the
element of a list or of a map; everything else is shown whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from palimpsest.errors import InvalidPerspective
from palimpsest.state.paths import Path, format_path

_ANY = "*"

_STRUCTURED = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType, inspect.NamedTupleType)
_LISTS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType, inspect.CollectionType)


class Shape(msgspec.Struct, frozen=True):
    """In written form: the paths that are shown; and by path, the last step that it has in the view, where that is another."""

    include: tuple[str, ...]
    rename: dict[str, str]


def shape_of_type(name: str, kind: Any) -> Shape:
    """kind: a `msgspec.Struct`, or another type with fields that msgspec knows. name: of the perspective, for errors.

    Raises InvalidPerspective where it has no fields, where it contains itself, and for fields that are known by their place alone.
    """
    try:
        found = inspect.type_info(kind)
    except TypeError as error:
        raise _refusal(name, (), f"{kind!r} is no type that values can have: {error}") from error
    if not isinstance(found, _STRUCTURED):
        raise _refusal(name, (), f"{kind!r} is no type with fields")
    return _made(name, _paths_of_type(name, found, (), ()), {})


def _paths_of_type(name: str, kind: Any, at: Path, inside: tuple[Any, ...]) -> Iterator[Path]:
    """inside: the types with fields that this one is in."""
    inner = _structured(kind)
    if not inner:
        yield at
        return
    for each in inner:
        if isinstance(each, _LISTS):
            yield from _paths_of_type(name, each.item_type, (*at, _ANY), inside)
        elif isinstance(each, inspect.DictType):
            yield from _paths_of_type(name, each.value_type, (*at, _ANY), inside)
        else:
            yield from _paths_of_fields(name, each, at, inside)


def _paths_of_fields(name: str, kind: Any, at: Path, inside: tuple[Any, ...]) -> Iterator[Path]:
    if kind.cls in inside:
        raise _refusal(name, at, f"{kind.cls.__name__} contains itself, so that its paths have no end")
    if isinstance(kind, inspect.NamedTupleType) or getattr(kind, "array_like", False):
        raise _refusal(
            name, at, f"{kind.cls.__name__} is a list in a value, and elements of lists are not shown singly"
        )
    if getattr(kind, "tag_field", None) is not None:
        yield (*at, kind.tag_field)
    for field in kind.fields:
        yield from _paths_of_type(name, field.type, (*at, _step(name, at, field.encode_name)), (*inside, kind.cls))


def _structured(kind: Any) -> list[Any]:
    """Of a type, those that are gone into; none where it is shown whole, as is a choice between these and something else."""
    if isinstance(kind, inspect.Metadata):
        return _structured(kind.type)
    if isinstance(kind, inspect.UnionType):
        choices = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        inner = [_structured(each) for each in choices]
        return [each for some in inner for each in some] if all(inner) else []
    if isinstance(kind, _STRUCTURED):
        return [kind]
    if isinstance(kind, _LISTS):
        return [kind] if _structured(kind.item_type) else []
    if isinstance(kind, inspect.DictType):
        return [kind] if _structured(kind.value_type) else []
    return []


# --- marshmallow -----------------------------------------------------------------------------------------------------


def shape_of_marshmallow(name: str, schema: Any, computed: Iterable[str] = ()) -> Shape:
    """schema: a marshmallow `Schema`, or an instance of one; what is `load_only`, or left out by `only` and `exclude`, is not shown. A
    `data_key` is a name in the view, of the field's `attribute`; where that leads further down, it is shown down there. computed: paths of the view that are said in another way.

    Raises InvalidPerspective for fields that code computes, unless they are in computed, and where it contains itself.
    """
    try:
        import marshmallow
    except ImportError as error:
        raise _refusal(name, (), "marshmallow is not installed: the extra `marshmallow` brings it") from error
    made = schema() if isinstance(schema, type) else schema
    if not isinstance(made, marshmallow.Schema):
        raise _refusal(name, (), f"{schema!r} is no marshmallow Schema")
    rename: dict[Path, str] = {}
    found = list(_paths_of_schema(_Fields(name, marshmallow.fields, frozenset(computed), rename), made, (), (), ()))
    return _made(name, found, rename)


class _Fields(msgspec.Struct, frozen=True):
    """What stays the same all the way down. fields: marshmallow's module."""

    name: str
    fields: Any
    computed: frozenset[str]
    rename: dict[Path, str]


def _paths_of_schema(about: _Fields, schema: Any, at: Path, seen: Path, inside: tuple[type, ...]) -> Iterator[Path]:
    """at: in the value. seen: in the view."""
    if type(schema) in inside:
        raise _refusal(about.name, at, f"{type(schema).__name__} contains itself, so that its paths have no end")
    for key, field in schema.dump_fields.items():
        source = tuple((field.attribute or key).split("."))
        shown = field.data_key if field.data_key is not None else key
        path = (*at, *(_step(about.name, at, step) for step in source))
        place = (*seen, *source[:-1], shown)
        if isinstance(field, (about.fields.Function, about.fields.Method, about.fields.Constant)):
            if format_path(place) not in about.computed:
                raise _refusal(about.name, path, "code makes it: say it in `compute`, or leave it out")
            continue
        if isinstance(field, about.fields.Pluck):
            raise _refusal(about.name, path, "what is plucked stands for the whole there: use Nested with `only`")
        if shown != source[-1]:
            about.rename[path] = shown
        yield from _paths_of_field(about, field, path, place, (*inside, type(schema)))


def _paths_of_field(about: _Fields, field: Any, at: Path, seen: Path, inside: tuple[type, ...]) -> Iterator[Path]:
    if isinstance(field, about.fields.Nested):
        steps = (_ANY,) if field.many or field.schema.many else ()
        yield from _paths_of_schema(about, field.schema, (*at, *steps), (*seen, *steps), inside)
    elif isinstance(field, about.fields.List):
        yield from _whole_or_inside(about, field.inner, at, seen, inside)
    elif isinstance(field, about.fields.Mapping) and field.value_field is not None:
        yield from _whole_or_inside(about, field.value_field, at, seen, inside)
    else:
        yield at


def _whole_or_inside(about: _Fields, field: Any, at: Path, seen: Path, inside: tuple[type, ...]) -> Iterator[Path]:
    """field: of each element."""
    found = list(_paths_of_field(about, field, (*at, _ANY), (*seen, _ANY), inside))
    yield from [at] if found == [(*at, _ANY)] else found


# --- words -----------------------------------------------------------------------------------------------------------


def _made(name: str, paths: Iterable[Path], rename: dict[Path, str]) -> Shape:
    include = tuple(dict.fromkeys(format_path(path) for path in paths))
    if not include:
        raise _refusal(name, (), "it has no fields, and would show nothing")
    return Shape(include, {format_path(path): shown for path, shown in rename.items()})


def _step(name: str, at: Path, step: str) -> str:
    if step == _ANY:
        raise _refusal(name, at, "a field called `*` would stand for every one")
    return step


def _refusal(name: str, at: Path, reason: str) -> InvalidPerspective:
    path = format_path(at)
    where = f"{path}: " if path else ""
    return InvalidPerspective(f"perspective {name!r}: {where}{reason}", perspective=name, path=path, reason=reason)
