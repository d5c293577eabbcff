from __future__ import annotations

import json

import pytest

from palimpsest.cli.schemas import schema_line
from palimpsest.state.schemas import parse_schema

NOTE = {"title": "A note", "properties": {"title": {"type": "string"}}, "required": ["title"]}


def test_a_schema_for_people() -> None:
    assert schema_line(parse_schema("note", {"documents": "notes/*", "schema": NOTE})).plain == "note  notes/*  A note"
    assert schema_line(parse_schema("any", {"documents": "**", "schema": {}})).plain == "any  **"


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path) -> str:
    path = tmp_path / "note.json"
    path.write_text(json.dumps(NOTE))
    return str(path)


def test_a_schema_comes_and_goes(palimpsest, file) -> None:
    made = palimpsest("schema", "put", "note", file, "--documents", "notes/*", "--by", "ana", "--json")
    assert json.loads(made.stdout)["document"] == "$system/schemas/note"
    assert json.loads(palimpsest("schema", "show", "note").stdout) == NOTE
    whole = {"name": "note", "documents": "notes/*", "schema": NOTE}
    assert json.loads(palimpsest("schema", "show", "note", "--json").stdout) == whole
    assert json.loads(palimpsest("schema", "list", "--json").stdout) == whole
    assert palimpsest("schema", "list").stdout == "note  notes/*  A note\n"
    refused = palimpsest("set", "notes/1", '{"title": 5}')
    assert refused.exit_code == 2
    assert "properties.title.type" in refused.stderr
    assert palimpsest("schema", "delete", "note").exit_code == 0
    assert palimpsest("set", "notes/1", '{"title": 5}').exit_code == 0
    assert palimpsest("schema", "show", "note").exit_code == 3


def test_what_would_fail(palimpsest, file) -> None:
    palimpsest("set", "notes/1", '{"title": "A"}')
    palimpsest("set", "notes/2", '{"title": 5}')
    new = ("--schema", file, "--documents", "notes/*")
    shown = palimpsest("schema", "check", *new)
    assert shown.exit_code == 1
    assert shown.stdout == 'notes/2  title  5 is not of type "string"  properties.title.type\n'
    assert "1 document would be refused" in shown.stderr
    shown = palimpsest("schema", "check", *new, "--json")
    assert json.loads(shown.stdout) == {
        "document": "notes/2",
        "path": "title",
        "rule": "properties.title.type",
        "reason": '5 is not of type "string"',
    }
    assert palimpsest("schema", "put", "note", file, "--documents", "notes/*").exit_code == 2
    assert palimpsest("schema", "put", "note", file, "--documents", "notes/*", "--no-check").exit_code == 0
    assert palimpsest("schema", "check", "note").exit_code == 1
    palimpsest("set", "notes/2", '{"title": "B"}')
    assert palimpsest("schema", "check", "note").exit_code == 0


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["put", "note", "-", "--documents", "**"], "[]"),
        (["put", "note", "-", "--documents", "**"], '{"type": "thing"}'),
        (["put", "note", "-", "--documents", "a*"], "{}"),
        (["check"], ""),
        (["check", "--documents", "**"], ""),
        (["check", "note", "--documents", "**"], ""),
        (["check", "note", "--schema", "-"], "{}"),
    ],
)
def test_what_makes_no_sense(palimpsest, words, stdin) -> None:
    refused = palimpsest("schema", *words, stdin=stdin)
    assert refused.exit_code == 2
    assert refused.stderr
