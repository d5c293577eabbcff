"""`get`, `set`, `update`, `delete` and `list`: the documents themselves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from palimpsest.cli.assignments import parse_assignments, parse_json
from palimpsest.cli.options import AsJson, AsOf, At, Branch, By, Description, Expect, Name, Pattern, Tags, WithTag
from palimpsest.cli.output import (
    about_document,
    document_json,
    on_branch,
    print_json,
    print_made,
    print_value,
    remark,
)
from palimpsest.cli.places import get_at, make_place
from palimpsest.cli.session import ask_server
from palimpsest.cli.viewing import Family, Level, Perspective, make_view
from palimpsest.client import Client, Version
from palimpsest.errors import DocumentExists, DocumentNotFound, InvalidDelta, VersionConflict
from palimpsest.state.delta import Delta
from palimpsest.words import MAIN


def get(
    context: typer.Context,
    name: Name,
    version: AsOf = None,
    at: At = None,
    tag: WithTag = None,
    branch: Branch = MAIN,
    perspective: Perspective = None,
    family: Family = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """Print a document, as it is now or as it was: at a version, at a time, or where it was tagged."""
    place = make_place(version, at, tag, branch)
    view = make_view(perspective, family, level)
    document = ask_server(context, lambda client: get_at(client, name, place, view))
    if as_json:
        print_json(document_json(document))
    else:
        remark(about_document(document))
        print_value(document.value)


def set_value(
    context: typer.Context,
    name: Name,
    value: Annotated[str, typer.Argument(metavar="JSON", help="The whole value; - reads it from stdin.")],
    expect: Expect = None,
    by: By = None,
    description: Description = None,
    tags: Tags = None,
    branch: Branch = MAIN,
    perspective: Perspective = None,
    family: Family = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """Give a document a whole new value; it is created where it does not exist."""
    content = parse_json(sys.stdin.read() if value == "-" else value, what="the value")
    view = make_view(perspective, family, level)
    about = {"by": by, "description": description, "tags": tags or (), "branch": branch, **view}
    print_made(ask_server(context, lambda client: _put(client, name, content, expect, about)), as_json)


def update(
    context: typer.Context,
    name: Name,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="CHANGE", help="path=value, path+=number, path\\[]=item to append, path- to delete."),
    ] = None,
    delete: Annotated[
        list[str] | None, typer.Option("--delete", metavar="PATH", help="Delete what is at PATH; may be repeated.")
    ] = None,
    patch: Annotated[
        typer.FileText | None, typer.Option(metavar="FILE", help="Apply a JSON Patch (RFC 6902); - reads stdin.")
    ] = None,
    merge_patch: Annotated[
        typer.FileText | None, typer.Option(metavar="FILE", help="Apply a JSON Merge Patch (RFC 7396); - reads stdin.")
    ] = None,
    expect: Expect = None,
    by: By = None,
    description: Description = None,
    tags: Tags = None,
    branch: Branch = MAIN,
    perspective: Perspective = None,
    family: Family = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """Change parts of a document. All of the changes are made, as one version, or none."""
    delta = _delta(changes or (), delete or (), patch, merge_patch)
    view = make_view(perspective, family, level)
    made = ask_server(
        context,
        lambda client: client.update(
            name, delta, expect=expect, by=by, description=description, tags=tags or (), branch=branch, **view
        ),
    )
    print_made(made, as_json)


def delete(
    context: typer.Context,
    name: Name,
    expect: Expect = None,
    by: By = None,
    description: Description = None,
    tags: Tags = None,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Delete a document. That is a version like any other: its history stays readable."""
    made = ask_server(
        context,
        lambda client: client.delete(
            name, expect=expect, by=by, description=description, tags=tags or (), branch=branch
        ),
    )
    print_made(made, as_json)


def list_names(
    context: typer.Context,
    pattern: Pattern = "**",
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that are deleted, too.")] = False,
    branch: Branch = MAIN,
    perspective: Perspective = None,
    family: Family = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """Print the names of the documents that exist, in order."""

    view = make_view(perspective, family, level)

    async def print_names(client: Client) -> None:
        async for name in client.list(pattern, branch=branch, deleted=deleted, **view):
            if as_json:
                print_json({"document": name})
            else:
                sys.stdout.write(name + "\n")

    ask_server(context, print_names)


async def _put(client: Client, name: str, value: Any, expect: int | None, about: dict[str, Any]) -> Version:
    """Replaces the value, or creates the document. Raises VersionConflict where it is not at `expect`."""
    while True:
        if expect != 0:
            try:
                return await client.update(name, Delta().set((), value), expect=expect, **about)
            except DocumentNotFound as error:
                if expect is not None:
                    raise _conflict(name, about["branch"], expect, 0) from error
        try:
            return await client.create(name, value, **about)
        except DocumentExists as error:
            if expect is not None:
                raise _conflict(name, about["branch"], expect, error.version) from error
            # It was created since we looked: replace its value after all.


def _conflict(name: str, branch: str, expected: int, actual: int) -> VersionConflict:
    message = f"{name}{on_branch(branch)} is at version {actual}, not {expected}"
    return VersionConflict(message, document=name, branch=branch, expected=expected, actual=actual)


def _delta(
    changes: Sequence[str],
    deletions: Sequence[str],
    patch: typer.FileText | None,
    merge_patch: typer.FileText | None,
) -> Delta:
    if (bool(changes or deletions), patch is not None, merge_patch is not None).count(True) != 1:
        raise InvalidDelta("say what to change in one way: changes and --delete, or --patch, or --merge-patch", op=None)
    if patch is not None:
        return Delta.from_json_patch(parse_json(patch.read(), what="the patch"))
    if merge_patch is not None:
        return Delta.from_merge_patch(parse_json(merge_patch.read(), what="the merge patch"))
    return parse_assignments(changes, deletions)
