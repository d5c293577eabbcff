from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypedDict

import marshmallow
import msgspec
import pytest
from marshmallow import fields

from palimpsest.errors import InvalidPerspective
from palimpsest.state.perspectives import Perspective, parse_perspective, to_value
from palimpsest.state.shapes import shape_of_marshmallow, shape_of_type


@dataclass
class Point:
    x: int
    y: int


class Size(TypedDict):
    width: int


class Pair(NamedTuple):
    a: int
    b: int


class Author(msgspec.Struct, rename="camel"):
    full_name: str
    born_at: int | None = None


class Dog(msgspec.Struct, tag=True):
    barks: bool


class Cat(msgspec.Struct, tag=True):
    purrs: bool


class Article(msgspec.Struct):
    title: Annotated[str, msgspec.Meta(max_length=10)]
    author: Author
    editors: list[Author]
    by_name: dict[str, Author]
    grid: list[list[Point]]
    size: Size
    maybe: Author | None
    pet: Dog | Cat | None
    either: Author | int
    raw: Any
    tags: set[str]
    counts: dict[str, int]


class Node(msgspec.Struct):
    nodes: list[Node]


class Empty(msgspec.Struct):
    pass


class Listed(msgspec.Struct, array_like=True):
    a: int


class Starred(msgspec.Struct, rename={"star": "*"}):
    star: int


class Dotted(msgspec.Struct, rename={"dotted": "a.b"}):
    dotted: int


def test_the_paths_of_a_struct() -> None:
    shape = shape_of_type("article", Article)
    assert shape.rename == {}
    assert shape.include == (
        "title",
        "author.fullName",
        "author.bornAt",
        "editors.*.fullName",
        "editors.*.bornAt",
        "by_name.*.fullName",
        "by_name.*.bornAt",
        "grid.*.*.x",
        "grid.*.*.y",
        "size.width",
        "maybe.fullName",
        "maybe.bornAt",
        "pet.type",
        "pet.barks",
        "pet.purrs",
        "either",
        "raw",
        "tags",
        "counts",
    )


@pytest.mark.parametrize(("kind", "include"), [(Point, ("x", "y")), (Size, ("width",)), (Dotted, ('["a.b"]',))])
def test_other_types_with_fields(kind: type, include: tuple[str, ...]) -> None:
    assert shape_of_type("p", kind).include == include


@pytest.mark.parametrize(
    ("kind", "path", "reason"),
    [
        (int, "", "no type with fields"),
        (list[Author], "", "no type with fields"),
        ("text", "", "no type that values can have"),
        (Node, "nodes.*", "contains itself"),
        (Empty, "", "no fields"),
        (Listed, "", "not shown singly"),
        (Pair, "", "not shown singly"),
        (Starred, "", "stand for every one"),
    ],
    ids=["number", "list", "text", "node", "empty", "listed", "pair", "starred"],
)
def test_types_that_say_no_paths(kind: Any, path: str, reason: str) -> None:
    with pytest.raises(InvalidPerspective, match=reason) as caught:
        shape_of_type("p", kind)
    assert (caught.value.perspective, caught.value.path) == ("p", path)


def test_a_perspective_of_a_struct() -> None:
    made = Perspective.from_struct(Author, name="author", documents="people/*", include=("id",), writable=("fullName",))
    assert made == Perspective(
        name="author", documents="people/*", include=("fullName", "bornAt", "id"), writable=("fullName",)
    )
    assert parse_perspective("author", to_value(made)) == made


# --- marshmallow -----------------------------------------------------------------------------------------------------


class PersonSchema(marshmallow.Schema):
    name = fields.String(data_key="fullName")
    password = fields.String(load_only=True)


class ArticleSchema(marshmallow.Schema):
    title = fields.String()
    author = fields.Nested(PersonSchema, attribute="written_by")
    editors = fields.List(fields.Nested(PersonSchema))
    readers = fields.Nested(PersonSchema, many=True)
    people = fields.Dict(keys=fields.String(), values=fields.Nested(PersonSchema))
    tags = fields.List(fields.String())
    counts = fields.Dict(keys=fields.String(), values=fields.Integer())
    words = fields.Integer(attribute="meta.words")


class CountingSchema(marshmallow.Schema):
    title = fields.String()
    length = fields.Function(lambda article: len(article["title"]))


class NodeSchema(marshmallow.Schema):
    child = fields.Nested(lambda: NodeSchema(many=False))


class PluckingSchema(marshmallow.Schema):
    author = fields.Pluck(PersonSchema, "name")


class StarredSchema(marshmallow.Schema):
    star = fields.Integer(attribute="*")


def test_the_paths_of_a_marshmallow_schema() -> None:
    shape = shape_of_marshmallow("article", ArticleSchema)
    assert shape.include == (
        "title",
        "written_by.name",
        "editors.*.name",
        "readers.*.name",
        "people.*.name",
        "tags",
        "counts",
        "meta.words",
    )
    assert shape.rename == {
        "written_by": "author",
        "written_by.name": "fullName",
        "editors.*.name": "fullName",
        "readers.*.name": "fullName",
        "people.*.name": "fullName",
    }


def test_an_instance_may_leave_something_out() -> None:
    assert shape_of_marshmallow("p", ArticleSchema(only=("title", "tags"))).include == ("title", "tags")
    assert shape_of_marshmallow("p", PersonSchema(only=("name",))).rename == {"name": "fullName"}


@pytest.mark.parametrize(
    ("schema", "path", "reason"),
    [
        (5, "", "no marshmallow Schema"),
        (int, "", "no marshmallow Schema"),
        (CountingSchema, "length", "code makes it"),
        (NodeSchema, "child", "contains itself"),
        (PluckingSchema, "author", "plucked"),
        (StarredSchema, "", "stand for every one"),
        (PersonSchema(only=("password",)), "", "no fields"),
    ],
    ids=["number", "type", "counting", "node", "plucking", "starred", "empty"],
)
def test_marshmallow_schemas_that_say_no_paths(schema: Any, path: str, reason: str) -> None:
    with pytest.raises(InvalidPerspective, match=reason) as caught:
        shape_of_marshmallow("p", schema)
    assert caught.value.path == path


def test_a_perspective_of_a_marshmallow_schema() -> None:
    made = Perspective.from_marshmallow(
        CountingSchema, name="counting", compute={"length": "length(title)"}, rename={"title": "name"}
    )
    assert made == Perspective(
        name="counting", include=("title",), rename={"title": "name"}, compute={"length": "length(title)"}
    )
    assert parse_perspective("counting", to_value(made)) == made
