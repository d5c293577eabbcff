from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from palimpsest.client.typed import decode_as
from palimpsest.errors import InvalidRequest, InvalidValue
from palimpsest.state.values import encode_value


class Author(msgspec.Struct):
    name: str


class Note(msgspec.Struct):
    title: str
    at: datetime | None = None
    authors: list[Author] = []
    by_name: dict[str, Author] = {}


def decoded(value: Any, kind: Any = Note) -> Any:
    return decode_as(Raw(encode_value(value)), kind, "notes/1")


def test_a_value_is_an_instance() -> None:
    note = decoded({"title": "A", "at": "2020-01-01T00:00:00Z", "authors": [{"name": "ana"}], "more": 1})
    assert note == Note("A", datetime(2020, 1, 1, tzinfo=UTC), [Author("ana")])
    assert decoded({"a": 1}, dict[str, int]) == {"a": 1}
    assert decoded([1, 2], tuple[int, ...]) == (1, 2)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (5, ""),
        ({}, ""),
        ({"title": 5}, "title"),
        ({"title": "A", "authors": [{"name": "ana"}, {"name": 1}]}, "authors.1.name"),
        ({"title": "A", "by_name": {"x": {"name": 1}}}, "by_name.*.name"),
    ],
)
def test_what_does_not_fit(value: Any, path: str) -> None:
    with pytest.raises(InvalidValue, match="'notes/1' is no Note") as caught:
        decoded(value)
    assert caught.value.path == path
    assert "Expected" in caught.value.reason or "missing" in caught.value.reason


def test_a_field_with_an_odd_name() -> None:
    odd = msgspec.defstruct("Odd", [("a", int)], rename={"a": "a b"})
    with pytest.raises(InvalidValue) as caught:
        decoded({"a b": "x"}, odd)
    assert caught.value.path == '["a b"]'


@pytest.mark.parametrize(
    "kind", [5, "Note", object(), list[list[dict[int, Any]] | set[int]]], ids=["number", "text", "object", "choice"]
)
def test_what_is_no_type(kind: Any) -> None:
    with pytest.raises(InvalidRequest, match="as_"):
        decoded([], kind)
