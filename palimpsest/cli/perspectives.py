"""`perspective`: what documents are seen through, and what is seen through it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from palimpsest.cli.assignments import parse_json
from palimpsest.cli.options import AsJson, Branch, By, Description, Name
from palimpsest.cli.output import (
    about_document,
    console,
    counted,
    document_json,
    print_json,
    print_made,
    print_value,
    remark,
)
from palimpsest.cli.session import ask_server
from palimpsest.cli.viewing import make_view
from palimpsest.client import Client
from palimpsest.state.perspectives import Perspective, parse_perspective, to_value
from palimpsest.words import MAIN

_PerspectiveName = Annotated[str, typer.Argument(metavar="NAME", help="The perspective's name.")]


def put(
    context: typer.Context,
    name: _PerspectiveName,
    file: Annotated[typer.FileText, typer.Argument(metavar="FILE", help="Its definition, as JSON; - reads stdin.")],
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Make or replace a perspective. It holds at once, also for who is subscribed."""
    perspective = parse_perspective(name, parse_json(file.read(), what="the definition"))
    made = ask_server(context, lambda client: client.perspectives.put(perspective, by=by, description=description))
    print_made(made, as_json)


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the perspectives, by name."""

    async def look(client: Client) -> list[Perspective]:
        return [each async for each in client.perspectives.list()]

    for perspective in ask_server(context, look):
        if as_json:
            print_json(_perspective_json(perspective))
        else:
            console().print(perspective_line(perspective))


def show(context: typer.Context, name: _PerspectiveName, as_json: AsJson = False) -> None:
    """Print the definition of a perspective, as `put` takes it."""
    perspective = ask_server(context, lambda client: client.perspectives.get(name))
    if as_json:
        print_json(_perspective_json(perspective))
    else:
        print_value(to_value(perspective))


def delete(
    context: typer.Context,
    name: _PerspectiveName,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Delete a perspective: nothing is seen through it any more. It is refused where others build on it."""
    made = ask_server(context, lambda client: client.perspectives.delete(name, by=by, description=description))
    print_made(made, as_json)


def preview(
    context: typer.Context,
    name: _PerspectiveName,
    document: Name,
    level: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="NAME is a family, of which this is the level.")
    ] = None,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Print what is seen of a document through a perspective."""
    view = make_view(name, None, None) if level is None else make_view(None, name, level)
    found = ask_server(context, lambda client: client.get(document, branch=branch, **view))
    if as_json:
        print_json(document_json(found))
    else:
        remark(about_document(found))
        print_value(found.value)


def perspective_line(perspective: Perspective) -> Text:
    """One for people, on one line."""
    documents = perspective.documents
    patterns = documents if isinstance(documents, str) else ", ".join(documents)
    line = Text.assemble((perspective.name, "bold"), "  ", (patterns, "blue"))
    if perspective.family is not None:
        line.append(f"  level {perspective.level} of {perspective.family}")
    if perspective.extends is not None:
        line.append(f"  extends {perspective.extends}")
    parts = {
        "shows": perspective.include,
        "hides": perspective.exclude,
        "renames": tuple(perspective.rename),
        "masks": tuple(perspective.mask),
        "computes": tuple(perspective.compute),
        "writes": perspective.writable,
    }
    for verb, paths in parts.items():
        if paths:
            line.append(f"  {verb} {_paths(paths)}")
    if perspective.description:
        line.append(f"  {perspective.description}", style="dim")
    return line


def _paths(paths: tuple[str, ...]) -> str:
    shown = [path or "the root" for path in paths[:4]]
    rest = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {counted(rest, 'path')} more" if rest else "")


def _perspective_json(perspective: Perspective) -> dict[str, Any]:
    return {"name": perspective.name, **to_value(perspective)}
