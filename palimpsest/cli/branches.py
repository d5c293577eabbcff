"""`branch` and `branches`: lines of versions of their own, made, listed and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from palimpsest.cli.confirming import confirm
from palimpsest.cli.options import AsJson, By, Description, NameOrPattern, Yes
from palimpsest.cli.output import console, counted, json_time, node_text, print_json, print_lines, remark, short_time
from palimpsest.cli.places import get_at, parse_place
from palimpsest.cli.session import ask_server
from palimpsest.client import Branch, Client, Which
from palimpsest.errors import UsageError
from palimpsest.words import MAIN

_NAMED_MAX = 10


def branch(
    context: typer.Context,
    document: NameOrPattern,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The branch's name, such as draft or ana/draft.")],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Where it starts: a branch, a number, @TIME, tag=TAG, or BRANCH:... of these."
        ),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the branch; its versions stay readable.")] = False,
    yes: Yes = False,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Make a branch of a document. It starts from the newest version of main, or from --at; nothing is copied.

    Of a pattern, each document that matches gets the branch when it is first written there.
    """
    said = {"by": by, "description": description}
    if not delete:
        made = ask_server(context, lambda client: _make(client, document, name, at, said))
        _print_branches([made], as_json)
        return
    if at is not None:
        raise UsageError("--at says where a branch starts, and --delete ends one: give one of them")
    found = ask_server(context, lambda client: _named(client, document, name))
    if found:  # otherwise the server says what there is not
        errors = console(stderr=True)
        for line in prospect_lines(found):
            errors.print(line)
        confirm("Delete?", yes=yes)
    _print_branches(ask_server(context, lambda client: client.delete_branch(document, name, **said)), as_json)


def branches(
    context: typer.Context,
    pattern: Annotated[
        str, typer.Argument(metavar="DOCUMENT", help="A name, or a pattern; all documents if not given.")
    ] = "**",
    deleted: Annotated[bool, typer.Option("--deleted", help="The deleted ones, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the branches of a document: where each starts, its newest version, when it was made and by whom.

    Of a pattern: those of all documents that have others than main, and those that were made for a pattern.
    """
    _print_branches(ask_server(context, lambda client: client.branches(pattern, deleted=deleted)), as_json)


async def find(client: Client, document: str, written: str) -> Which:
    """The version that a word of the command line means, as the API takes it. Raises UsageError, and what `get` does."""
    place = parse_place(written, MAIN)
    if place.at is None and place.tag is None:
        return place.branch if place.version is None else f"{place.branch}:{place.version}"
    if place.tag is None and place.branch == MAIN:
        assert place.at is not None, "one of the two is given"
        return place.at
    found = await get_at(client, document, place)
    return f"{found.branch}:{found.version}"


def branch_json(found: Branch) -> dict[str, Any]:
    return {
        "document": found.document,
        "branch": found.name,
        "base": _base_text(found) or None,
        "head": found.head,
        "at": None if found.at is None else json_time(found.at),
        "by": found.by,
        "description": found.description,
        "deleted": found.deleted,
    }


def branch_lines(found: Sequence[Branch]) -> list[Text]:
    """In columns: document, branch, newest version, where it starts; then when it was made, by whom and why."""
    rows = [(each.document, each.name, _head_text(each), _from_text(each)) for each in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for each, row in zip(found, rows, strict=True):
        document, name, head, base = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line = Text.assemble((document, "bold"), "  ", (name, "bold green"), "  ", (head, "cyan"), "  ", base)
        if each.at is not None:
            line.append(f"  {short_time(each.at)}", style="dim")
        if each.by:
            line.append(f"  {each.by}", style="magenta")
        if each.description:
            line.append(f"  {each.description.partition(chr(10))[0]}")
        if each.deleted:
            line.append("  deleted", style="red")
        line.rstrip()
        lines.append(line)
    return lines


def prospect_lines(found: Sequence[Branch]) -> list[Text]:
    """What will be deleted, for people."""
    lines = branch_lines(found[:_NAMED_MAX])
    if len(found) > _NAMED_MAX:
        lines.append(Text(f"and {counted(len(found) - _NAMED_MAX, 'more branch', 'more branches')}"))
    return [*lines, Text("Their versions stay, and can be read by their numbers.", style="dim")]


async def _make(client: Client, document: str, name: str, at: str | None, said: dict[str, Any]) -> Branch:
    which = None if at is None else await find(client, document, at)
    return await client.branch(document, name, at=which, **said)


async def _named(client: Client, document: str, name: str) -> list[Branch]:
    return [each for each in await client.branches(document) if each.name == name]


def _print_branches(found: Sequence[Branch], as_json: bool) -> None:
    if as_json:
        for each in found:
            print_json(branch_json(each))
    elif found:
        print_lines(branch_lines(found))
    else:
        remark("no branches")


def _base_text(found: Branch) -> str:
    if found.base is None:
        return ""
    return node_text(found.base) if found.base[1] else found.base[0]


def _from_text(found: Branch) -> str:
    base = _base_text(found)
    return f"from {base}" if base else ""


def _head_text(found: Branch) -> str:
    return f"version {found.head}" if found.head else ""
