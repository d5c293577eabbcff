"""`revert`, `undo`, `tag` and `untag`: what can be done about versions that are made. None of it changes history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from palimpsest.cli.options import AsJson, Branch, By, Description, DryRun, Expect, Made, Name, Tags
from palimpsest.cli.output import (
    console,
    delta_json,
    delta_lines,
    print_json,
    print_lines,
    print_made,
    remark,
    short_json,
)
from palimpsest.cli.places import get_at, parse_place
from palimpsest.cli.session import ask_server
from palimpsest.client import Client, Version
from palimpsest.errors import UndoConflict
from palimpsest.state.delta import Delta
from palimpsest.words import MAIN

_VersionNumber = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="The version's number.")]
_Words = Annotated[list[str], typer.Argument(metavar="TAG...", help="Words to find it by.")]


def revert(
    context: typer.Context,
    name: Name,
    to: Made,
    expect: Expect = None,
    by: By = None,
    description: Description = None,
    tags: Tags = None,
    branch: Branch = MAIN,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a new version with the value of an older one. A document that is deleted comes back."""
    place = parse_place(to, branch)
    said: dict[str, Any] = {"branch": branch, "expect": expect, "by": by, "description": description}

    async def go_back(client: Client) -> Version | Delta:
        found = f"{place.branch}:{place.version}"
        if place.version is None:
            older = await get_at(client, name, place)
            found = f"{older.branch}:{older.version}"
        return await client.revert(name, found, tags=tags or (), dry_run=dry_run, **said)

    _print(ask_server(context, go_back), name, branch, as_json)


def undo(
    context: typer.Context,
    name: Name,
    version: _VersionNumber,
    expect: Expect = None,
    by: By = None,
    description: Description = None,
    tags: Tags = None,
    branch: Branch = MAIN,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a new version without what VERSION did, and with all that came after it.

    What was changed again since is a conflict: each is printed, nothing is done, and the exit code is 4.
    """
    said: dict[str, Any] = {"branch": branch, "expect": expect, "by": by, "description": description}

    async def take_back(client: Client) -> Version | Delta:
        return await client.undo(name, version, tags=tags or (), dry_run=dry_run, **said)

    try:
        made = ask_server(context, take_back)
    except UndoConflict as error:
        _print_conflicts(error, as_json)
        raise
    _print(made, name, branch, as_json)


def tag(
    context: typer.Context,
    name: Name,
    version: _VersionNumber,
    tags: _Words,
    by: By = None,
    description: Description = None,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Give tags to a version that is made. Tagged versions are kept when older ones are pruned."""
    ask_server(context, lambda client: client.tag(name, version, tags, branch=branch, by=by, description=description))
    _print_label(name, branch, version, tags, "has", as_json)


def untag(
    context: typer.Context,
    name: Name,
    version: _VersionNumber,
    tags: _Words,
    by: By = None,
    description: Description = None,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Take tags from a version, whether they were given when it was made or afterwards."""
    ask_server(context, lambda client: client.untag(name, version, tags, branch=branch, by=by, description=description))
    _print_label(name, branch, version, tags, "has no longer", as_json)


def conflict_lines(conflicts: Iterable[Mapping[str, Any]]) -> list[Text]:
    """Each conflict for people: its path and kind, and what the version made, what is there now, what was there before."""
    lines = []
    for conflict in conflicts:
        lines.append(Text.assemble((conflict["path"] or "the root", "bold blue"), f"  {conflict['kind']}"))
        for word, key, style in (("it made", "base", "cyan"), ("now", "ours", "green"), ("before", "theirs", "red")):
            shown = short_json(conflict[key]) if key in conflict else "nothing"
            lines.append(Text.assemble(f"    {word:<8} ", (shown, style)))
    return lines


def _print(made: Version | Delta, document: str, branch: str, as_json: bool) -> None:
    """The version that was made; or, after a dry run, the delta that it would have."""
    if isinstance(made, Version):
        print_made(made, as_json)
    elif as_json:
        print_json({"document": document, "branch": branch, "dry_run": True, "delta": delta_json(made)})
    elif made.ops:
        print_lines(delta_lines(made))
    else:
        remark("no difference, or the document would be deleted")


def _print_conflicts(error: UndoConflict, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "document": error.document,
                "branch": error.branch,
                "version": error.version,
                "conflicts": error.conflicts,
            }
        )
        return
    errors = console(stderr=True)
    for line in conflict_lines(error.conflicts):
        errors.print(line)


def _print_label(document: str, branch: str, version: int, tags: list[str], has: str, as_json: bool) -> None:
    words = sorted(set(tags))
    if as_json:
        print_json({"document": document, "branch": branch, "version": version, "tags": words})
    else:
        remark(Text(f"{document}  version {version} {has}: {', '.join(words)}"))
