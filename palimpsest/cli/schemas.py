"""`schema`: what the values of documents have to look like, and which do not."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from palimpsest.cli.assignments import parse_json
from palimpsest.cli.exits import Exit
from palimpsest.cli.options import AsJson, Branch, By, Description
from palimpsest.cli.output import console, counted, print_json, print_made, print_value, remark
from palimpsest.cli.progress import progress_bar
from palimpsest.cli.session import ask_server
from palimpsest.client import Client
from palimpsest.errors import SchemaViolation, UsageError
from palimpsest.state.schemas import Schema
from palimpsest.words import MAIN

_SchemaName = Annotated[str, typer.Argument(metavar="NAME", help="The schema's name.")]
_Documents = Annotated[str, typer.Option(metavar="PATTERN", help="The documents that it is for, such as notes/**.")]


def put(
    context: typer.Context,
    name: _SchemaName,
    file: Annotated[typer.FileText, typer.Argument(metavar="FILE", help="A JSON Schema; - reads stdin.")],
    documents: _Documents,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Not where a document that is there breaks it.")
    ] = True,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Make or replace a schema. From now on, changes that would break it are refused."""
    schema = _parse(file)
    made = ask_server(
        context,
        lambda client: client.schemas.put(
            name, documents=documents, schema=schema, check=check, by=by, description=description
        ),
    )
    print_made(made, as_json)


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the schemas, by name."""

    async def look(client: Client) -> list[Schema]:
        return [each async for each in client.schemas.list()]

    for schema in ask_server(context, look):
        if as_json:
            print_json(_schema_json(schema))
        else:
            console().print(schema_line(schema))


def show(context: typer.Context, name: _SchemaName, as_json: AsJson = False) -> None:
    """Print a schema, as `put` takes it."""
    schema = ask_server(context, lambda client: client.schemas.get(name))
    if as_json:
        print_json(_schema_json(schema))
    else:
        remark(f"for {schema.documents}")
        print_value(schema.schema)


def delete(
    context: typer.Context,
    name: _SchemaName,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Delete a schema: documents do not have to keep to it any more."""
    made = ask_server(context, lambda client: client.schemas.delete(name, by=by, description=description))
    print_made(made, as_json)


def check(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A schema that is there.")] = None,
    file: Annotated[
        typer.FileText | None,
        typer.Option("--schema", metavar="FILE", help="One that is not there yet; - reads stdin."),
    ] = None,
    documents: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="The documents that --schema would be for.")
    ] = None,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Print which documents break a schema, and where, before or after it is there. Exit code 1 where one does."""
    if (name is None) == (file is None or documents is None) or (name is not None and (file or documents)):
        raise UsageError("name a schema that is there, or give one that is not by --schema and --documents")
    schema = None if file is None else _parse(file)
    with progress_bar("checking", "documents") as on_progress:
        violations = ask_server(
            context,
            lambda client: client.schemas.check(
                name, documents=documents, schema=schema, branch=branch, on_progress=on_progress
            ),
        )
    for violation in violations:
        if as_json:
            print_json(_violation_json(violation))
        else:
            console().print(_violation_line(violation))
    if violations:
        if not as_json:
            remark(f"{counted(len(violations), 'document')} would be refused now")
        raise typer.Exit(Exit.UNEXPECTED)
    if not as_json:
        remark("every document keeps to it")


def schema_line(schema: Schema) -> Text:
    """One for people, on one line."""
    line = Text.assemble((schema.name, "bold"), "  ", (schema.documents, "blue"))
    title = schema.schema.get("title")
    if isinstance(title, str):
        line.append(f"  {title}")
    return line


def _parse(file: typer.FileText) -> dict[str, Any]:
    schema = parse_json(file.read(), what="the schema")
    if not isinstance(schema, dict):
        raise UsageError("a schema is a JSON object")
    return schema


def _schema_json(schema: Schema) -> dict[str, Any]:
    return {"name": schema.name, "documents": schema.documents, "schema": schema.schema}


def _violation_json(violation: SchemaViolation) -> dict[str, Any]:
    return {
        "document": violation.document,
        "path": violation.path,
        "rule": violation.rule,
        "reason": violation.reason,
    }


def _violation_line(violation: SchemaViolation) -> Text:
    return Text.assemble(
        (violation.document, "bold"),
        f"  {violation.path or 'the root'}",
        f"  {violation.reason}",
        (f"  {violation.rule}", "dim"),
    )
