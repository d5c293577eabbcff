"""Queries, from text to the type that an operation gives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, get_args

import msgspec
from starlette.datastructures import QueryParams

from palimpsest.web.operations import Query
from palimpsest.web.problems import Refused, plain_problem


class _Field(msgspec.Struct, frozen=True):
    """name: of the attribute. is_text: a number is no other way to write it, and nothing is read into it."""

    name: str
    type: Any
    is_many: bool
    is_text: bool


def query_of(given: QueryParams, kind: type[Query]) -> Query:
    """Raises Refused, naming the parameter, where one is not known, is there twice, or does not fit."""
    fields = _fields(kind)
    found: dict[str, Any] = {}
    for name in dict.fromkeys(given):
        field = fields.get(name)
        if field is None:
            raise _bad(f"there is no `{name}`; there is {', '.join(fields) or 'none at all'}")
        found[name] = _value(name, field, given.getlist(name))
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise _bad(str(error)) from error


def _value(name: str, field: _Field, texts: list[str]) -> Any:
    if field.is_many:
        return texts
    if len(texts) > 1:
        raise _bad(f"`{name}` is given more than once")
    try:
        return msgspec.convert(texts[0], field.type, strict=field.is_text)
    except msgspec.ValidationError as error:
        raise _bad(f"`{name}`: {error}") from error


@lru_cache(maxsize=512)
def _fields(kind: type[Query]) -> Mapping[str, _Field]:
    """By the name that stands in a query."""
    return {
        field.encode_name: _Field(
            field.name,
            field.type,
            getattr(field.type, "__origin__", None) is tuple,
            bool({str, datetime} & set(_kinds(field.type))),
        )
        for field in msgspec.structs.fields(kind)
    }


def _kinds(kind: Any) -> list[Any]:
    """The plain types that a type is made of."""
    inner = [found for part in get_args(kind) if isinstance(part, type) or get_args(part) for found in _kinds(part)]
    return inner or [kind]


def _bad(detail: str) -> Refused:
    return Refused(plain_problem(400, "Bad Request", f"in the query: {detail}"))
