"""`erase`: what the law may require to be gone, and gone it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from palimpsest.cli.confirming import confirm
from palimpsest.cli.options import AsJson, Branch, Name, Yes
from palimpsest.cli.output import console, counted, print_made
from palimpsest.cli.session import ask_server
from palimpsest.client import Client, Version
from palimpsest.errors import DocumentNotFound
from palimpsest.state.paths import Path, format_path, parse_path
from palimpsest.words import MAIN

_PATHS_NAMED_MAX = 10
_ANY = "*"


class Prospect(msgspec.Struct, frozen=True):
    """What an erasure is about to meet. version: the newest. paths: the first that match in it, and how many do."""

    version: int
    paths: tuple[Path, ...]
    matches: int


def erase(
    context: typer.Context,
    name: Name,
    by: Annotated[str, typer.Option(metavar="WHO", help="Who erases it. This is kept.")],
    description: Annotated[str, typer.Option("--description", "-m", metavar="WHY", help="Why. This is kept.")],
    path: Annotated[
        str, typer.Option(metavar="PATH", help="Only what is at this path; * stands for every key and every index.")
    ] = "",
    yes: Yes = False,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Erase a document, or one path of it, from every version and from the store's files. It does not come back.

    Says first what will be gone, and asks.
    That something was erased, by whom and why, is kept, and the rest can still be proved.
    Backups and exports made before still have it.
    """
    steps = parse_path(path)
    prospect = ask_server(context, lambda client: _look_ahead(client, name, steps, branch))
    errors = console(stderr=True)
    for line in prospect_lines(name, branch, steps, prospect):
        errors.print(line)
    confirm("Erase?", yes=yes)
    made = ask_server(context, lambda client: client.erase(name, steps, branch=branch, by=by, description=description))
    print_made(made, as_json)


async def _look_ahead(client: Client, name: str, path: Path, branch: str) -> Prospect:
    newest: Version | None = None
    async for version in client.history(name, branch=branch, limit=1):
        newest = version
    if newest is None:
        return Prospect(0, (), 0)
    try:
        value = (await client.get(name, branch=branch)).value
    except DocumentNotFound:  # it is deleted; its history is not
        return Prospect(newest.version, (), 0)
    found = list(matching(value, path))
    return Prospect(newest.version, tuple(found[:_PATHS_NAMED_MAX]), len(found))


def matching(value: Any, pattern: Path, path: Path = ()) -> Iterator[Path]:
    """The paths in a plain value that pattern speaks of."""
    if len(path) == len(pattern):
        yield path
        return
    step = pattern[len(path)]
    if type(value) is dict:
        steps: list[Any] = sorted(value) if step == _ANY else [step] if step in value else []
    elif type(value) is list:
        steps = list(range(len(value))) if step == _ANY else [step] if step in range(len(value)) else []
    else:
        return
    for each in steps:
        yield from matching(value[each], pattern, (*path, each))


def prospect_lines(name: str, branch: str, path: Path, prospect: Prospect) -> list[Text]:
    """What will be gone, for people."""
    many = counted(prospect.version, "version")
    if not path:
        what = Text.assemble("All of ", (name, "bold"), f" will be gone: {many}, all branches, all tags.")
        return [what, _for_ever()]
    lines = [Text.assemble((format_path(path), "bold blue"), " of ", (name, "bold"), f" on {branch}"
                           f" will be gone from all {many}, whatever it was in each.")]  # fmt: skip
    if prospect.matches:
        lines.append(Text("In the newest version that is:"))
        lines += [Text(f"    {format_path(each)}", style="blue") for each in prospect.paths]
        if prospect.matches > len(prospect.paths):
            lines.append(Text(f"    and {prospect.matches - len(prospect.paths):,} more"))
    else:
        lines.append(Text("In the newest version there is nothing at this path; older ones may have had it."))
    return [*lines, _for_ever()]


def _for_ever() -> Text:
    return Text(
        "It cannot be taken back. Who erased it and why is kept; backups made before still have it.", style="red"
    )
