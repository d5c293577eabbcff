from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import InvalidValue, SchemaViolation
from palimpsest.state.schemas import SCHEMA_BYTES_MAX, Schema, Schemas, parse_schema, schemas_for
from palimpsest.state.values import freeze

NOTE = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 5},
        "author": {"$ref": "#/$defs/person"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "never": False,
    },
    "required": ["title"],
    "additionalProperties": False,
    "$defs": {"person": {"type": "object", "properties": {"name": {"type": "string"}}}},
}


def schema_of(schema: Any, documents: str = "notes/**", name: str = "note") -> Schema:
    return parse_schema(name, freeze({"documents": documents, "schema": schema}))


def refused(schema: Any) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        schema_of(schema)
    return caught.value


def nested(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


# --- what breaks one -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {"title": "A"},
        {"title": "A", "author": {"name": "ana", "age": 3}, "tags": ["x", "y"]},
        {"title": "five!", "author": {}, "tags": []},
    ],
)
@pytest.mark.parametrize("form", [freeze, lambda plain: plain], ids=["frozen", "plain"])
def test_what_keeps_to_it(value: Any, form: Any) -> None:
    schema_of(NOTE).check("notes/1", form(value))


@pytest.mark.parametrize(
    ("value", "path", "rule", "reason"),
    [
        ({}, "", "required", "'title' is a required property"),
        ([], "", "type", '[] is not of type "object"'),
        (None, "", "type", 'null is not of type "object"'),
        ({"title": True}, "title", "properties.title.type", 'true is not of type "string"'),
        ({"title": "longer"}, "title", "properties.title.maxLength", '"longer" does not keep to `maxLength`: 5'),
        (
            {"title": "A", "author": {"name": 5}},
            "author.name",
            "properties.author.properties.name.type",
            '5 is not of type "string"',
        ),
        ({"title": "A", "tags": ["x", 1]}, "tags.1", "properties.tags.items.type", '1 is not of type "string"'),
        (
            {"title": "A", "tags": ["x", "x"]},
            "tags",
            "properties.tags.uniqueItems",
            '["x", "x"] does not keep to `uniqueItems`: true',
        ),
        ({"title": "A", "never": 1}, "never", "properties.never.not", "1 is not allowed here"),
        (
            {"title": "A", "more": 1},
            "",
            "additionalProperties",
            "Additional properties are not allowed ('more' was unexpected)",
        ),
    ],
)
def test_what_breaks_it(value: Any, path: str, rule: str, reason: str) -> None:
    with pytest.raises(SchemaViolation) as caught:
        schema_of(NOTE).check("notes/1", freeze(value))
    error = caught.value
    assert (error.document, error.schema) == ("notes/1", "note")
    assert (error.path, error.rule, error.reason) == (path, rule, reason)
    assert reason in error.message


def test_of_a_choice_the_part_that_fits_best_is_named() -> None:
    choice = {"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "null"}]}
    violation = schema_of(choice).violation("notes/1", {"a": 5})
    assert violation is not None
    assert (violation.path, violation.rule) == ("a", "anyOf.0.properties.a.type")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, "x" * 10_000),
        ({"type": "integer"}, {"key" * 50: "x" * 10_000}),
        ({"type": "integer"}, ["x" * 10_000]),
        ({"type": "integer"}, list(range(10_000))),
        ({"enum": [1]}, "\N{SNOWMAN}" * 10_000),
        ({"additionalProperties": False}, {"x" * 1_000: 1, "y" * 1_000: 2}),
        ({"contains": {"type": "null"}}, ["x" * 10_000] * 3),
        ({"const": "y" * 10_000}, 1),
    ],
)
def test_little_of_a_value_is_shown(schema: Any, value: Any) -> None:
    violation = schema_of(schema).violation("notes/1", value)
    assert violation is not None
    assert len(violation.reason) <= 250


def test_a_key_is_shown_in_the_written_form_of_paths() -> None:
    violation = schema_of({"additionalProperties": {"type": "null"}}).violation("notes/1", {"a.b": 1})
    assert violation is not None
    assert violation.path == '["a.b"]'


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}])
def test_a_schema_that_leads_back_to_itself_refuses_everything(schema: Any) -> None:
    violation = schema_of(schema).violation("notes/1", 1)
    assert violation is not None
    assert violation.reason == "the schema leads back to itself without an end"


def test_a_recursive_schema_follows_the_deepest_value() -> None:
    tree = {"type": "object", "properties": {"c": {"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"const": 1}]}}}
    value: Any = {"c": 1}
    for _ in range(30):
        value = {"c": [value]}
    schema = schema_of(tree)
    assert schema.violation("notes/1", value) is None
    json_text = json.dumps(value).replace("1", "2")
    assert schema.violation("notes/1", json.loads(json_text)) is not None


def test_formats_are_not_asserted() -> None:
    assert schema_of({"format": "date"}).violation("notes/1", "no date") is None


@pytest.mark.parametrize(
    "draft",
    [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ],
)
def test_each_draft_is_known(draft: str) -> None:
    schema = schema_of(
        {"$schema": draft, "definitions": {"a": {"type": "string"}}, "items": {"$ref": "#/definitions/a"}}
    )
    assert schema.violation("notes/1", ["x"]) is None
    assert schema.violation("notes/1", [1]) is not None


@given(st.integers(0, 40), st.integers(0, 40), st.integers(-50, 50))
def test_it_says_what_a_plain_comparison_says(low: int, high: int, number: int) -> None:
    schema = schema_of({"minimum": low, "maximum": high})
    assert (schema.violation("notes/1", number) is None) == (low <= number <= high)


# --- what is none ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"documents": "notes/*"}, {"schema": {}}, {"documents": "a", "schema": {}, "more": 1}],
)
def test_what_is_no_document_of_a_schema(value: Any) -> None:
    with pytest.raises(InvalidValue, match="`documents`") as caught:
        parse_schema("note", freeze(value))
    assert caught.value.path == ""


@pytest.mark.parametrize("documents", [1, "", "a//b", "a*", "$system/**", ["a"]])
def test_what_is_no_pattern_for_it(documents: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_schema("note", {"documents": documents, "schema": {}})
    assert caught.value.path == "documents"


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (True, "schema"),
        ([], "schema"),
        ({"type": "thing"}, "schema.type"),
        ({"properties": {"a": {"maxLength": -1}}}, "schema.properties.a.maxLength"),
        ({"properties": {"a": 1}}, "schema.properties.a"),
        ({"$schema": "http://example.org/draft"}, "schema.$schema"),
        ({"$schema": 5}, "schema.$schema"),
        ({"$schema": "http://["}, "schema.$schema"),
        ({"items": {"$schema": "http://["}}, "schema.items.$schema"),
        ({"items": {"$schema": "http://json-schema.org/draft-04/schema#"}}, "schema.items.$schema"),
        ({"$ref": "http://["}, "schema.$ref"),
        ({"pattern": "("}, "schema.pattern"),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#", "patternProperties": {"(": {}}},
            "schema.patternProperties",
        ),
        ({"x": "y" * SCHEMA_BYTES_MAX}, "schema"),
    ],
)
def test_what_is_no_schema(schema: Any, path: str) -> None:
    error = refused(schema)
    assert error.path == path
    assert error.reason
    assert len(error.message) < 500


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"$ref": "http://example.org/schema"}, "schema.$ref"),
        ({"$ref": "file:///etc/passwd"}, "schema.$ref"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "schema.$ref"),
        ({"properties": {"a": {"items": {"$ref": "#/$defs/none"}}}}, "schema.properties.a.items.$ref"),
        ({"anyOf": [{}, {"$dynamicRef": "#none"}]}, "schema.anyOf.1.$dynamicRef"),
        ({"$ref": "#/odd", "odd": {"$ref": "http://example.org/schema"}}, "schema.odd.$ref"),
    ],
)
def test_a_reference_stays_inside(schema: Any, path: str) -> None:
    error = refused(schema)
    assert error.path == path
    assert "nothing is fetched" in error.reason


def test_what_only_a_reference_makes_a_schema_is_checked_as_one() -> None:
    assert "12" in refused({"$ref": "#/odd", "odd": {"type": 12}}).reason
    assert schema_of({"$ref": "#/odd", "odd": {"type": "null"}}).violation("notes/1", 1) is not None
    assert schema_of({"odd": {"type": 12}}).violation("notes/1", 1) is None


def test_references_by_id_and_by_anchor() -> None:
    schema = schema_of(
        {
            "$id": "http://example.org/note",
            "properties": {
                "a": {"$ref": "note#/$defs/a"},
                "b": {"$ref": "#b"},
                "c": {"$ref": "http://example.org/note"},
            },
            "$defs": {"a": {"type": "null"}, "b": {"$anchor": "b", "type": "null"}},
        }
    )
    assert schema.violation("notes/1", {"a": None, "b": None, "c": {"a": None}}) is None
    for value in ({"a": 1}, {"b": 1}, {"c": {"a": 1}}):
        assert schema.violation("notes/1", value) is not None


def test_a_schema_nests_as_deep_as_a_value() -> None:
    assert schema_of(nested(60)).violation("notes/1", "x") is None
    assert schema_of(nested(61)).violation("notes/1", "x") is not None


def test_it_keeps_what_was_written() -> None:
    schema = schema_of(NOTE)
    assert schema.schema == NOTE
    assert (schema.name, schema.documents) == ("note", "notes/**")
    assert repr(schema) == "Schema('note', documents='notes/**')"


# --- several ---------------------------------------------------------------------------------------------------------


def test_those_that_a_document_has_to_keep_to() -> None:
    parsed = [schema_of({}, documents, name) for name, documents in [("b", "notes/**"), ("a", "**"), ("c", "logs/*")]]
    assert [schema.name for schema in schemas_for(parsed, "notes/1")] == ["a", "b"]
    assert [schema.name for schema in schemas_for(parsed, "other")] == ["a"]
    assert schemas_for(parsed, "$system/schemas/a") == []


def test_schemas_come_and_go() -> None:
    schemas = Schemas()
    assert not schemas.concerns("notes/1")
    schemas.check("notes/1", 5)
    schemas.put("text", freeze({"documents": "notes/*", "schema": {"type": "string"}}))
    schemas.put("short", {"documents": "**", "schema": {"maxLength": 3}})
    assert schemas.concerns("notes/1")
    assert schemas.concerns("other")
    assert not schemas.concerns("$system/schemas/text")
    schemas.check("notes/1", "abc")
    schemas.check("other", 5)
    for value, name in [(5, "text"), ("abcd", "short")]:
        with pytest.raises(SchemaViolation) as caught:
            schemas.check("notes/1", value)
        assert caught.value.schema == name
    schemas.drop("short")
    schemas.drop("never there")
    schemas.check("notes/1", "abcd")
    assert len(schemas) == 1
    with pytest.raises(InvalidValue):
        schemas.put("text", {})
    assert not schemas.concerns("notes/1")
