"""`diff`: what is different between two versions."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from palimpsest.cli.comparing import differences
from palimpsest.cli.differences import path_line, side_by_side, unified
from palimpsest.cli.options import AsJson, Branch, Name
from palimpsest.cli.output import about_when, console, delta_json, print_json, print_lines, remark
from palimpsest.cli.places import Place, get_at, parse_place
from palimpsest.cli.session import ask_server
from palimpsest.cli.viewing import Family, Level, Perspective, View, make_view
from palimpsest.client import Client, Document
from palimpsest.errors import DocumentNotFound, UsageError
from palimpsest.state.delta import Delta
from palimpsest.state.tree import NOTHING
from palimpsest.words import MAIN

_HELP = "a number, @TIME, tag=TAG, or one of these of another branch, as BRANCH:..."


class Compared(msgspec.Struct, frozen=True):
    """old: None where the document did not exist before `new`. delta: empty where nobody asked for it."""

    old: Document | None
    new: Document
    delta: Delta


def diff(
    context: typer.Context,
    name: Name,
    a: Annotated[str | None, typer.Argument(metavar="A", help=f"From: {_HELP} The one before B if not given.")] = None,
    b: Annotated[str | None, typer.Argument(metavar="B", help="To, as A. The newest version if not given.")] = None,
    two_columns: Annotated[
        bool, typer.Option("--side-by-side", help="Old on the left, new on the right; for wide terminals.")
    ] = False,
    patch: Annotated[bool, typer.Option("--patch", help="Print a JSON Patch (RFC 6902).")] = False,
    branch: Branch = MAIN,
    perspective: Perspective = None,
    family: Family = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """Print what is different between two versions, path by path.

    One version alone is compared with the one before it; no version at all is the newest.
    """
    if [two_columns, patch, as_json].count(True) > 1:
        raise UsageError("--side-by-side, --patch and --json each say how to print it: give one of them")
    if b is None:
        a, b = None, a
    first = None if a is None else parse_place(a, branch)
    second = Place(branch) if b is None else parse_place(b, branch)
    view = make_view(perspective, family, level)
    with_delta = patch or as_json
    compared = ask_server(context, lambda client: _look(client, name, first, second, view, with_delta=with_delta))
    if patch:
        print_json(_patch(compared))
    elif as_json:
        print_json(_diff_json(compared))
    else:
        _print_differences(compared, two_columns=two_columns)


async def _look(
    client: Client, name: str, first: Place | None, second: Place, view: View, *, with_delta: bool
) -> Compared:
    """with_delta: the server's delta is asked for, too, between versions that are known by then."""
    new = await get_at(client, name, second, view)
    old = await _before(client, new, view) if first is None else await get_at(client, name, first, view)
    if not with_delta:
        return Compared(old, new, Delta())
    if old is None:
        return Compared(old, new, Delta().set((), new.value))
    return Compared(old, new, await client.diff(name, _written(old), _written(new), branch=new.branch, **view))


async def _before(client: Client, new: Document, view: View) -> Document | None:
    if new.version == 1:
        return None
    try:
        return await get_at(client, new.id, Place(new.branch, new.version - 1), view)
    except DocumentNotFound:  # it was deleted then
        return None


def _written(document: Document) -> str:
    return f"{document.branch}:{document.version}"


def _patch(compared: Compared) -> list[dict[str, Any]]:
    if compared.old is None:
        return [{"op": "add", "path": "", "value": compared.new.value}]
    return compared.delta.to_json_patch(compared.old.value)


def _diff_json(compared: Compared) -> dict[str, Any]:
    return {
        "document": compared.new.id,
        "a": None if compared.old is None else _written(compared.old),
        "b": _written(compared.new),
        "delta": delta_json(compared.delta),
    }


def _print_differences(compared: Compared, *, two_columns: bool) -> None:
    old = NOTHING if compared.old is None else compared.old.value
    found = list(differences(old, compared.new.value))
    if not found:
        remark("no difference")
        return
    print_lines([_side("---", compared.old, "red"), _side("+++", compared.new, "green")])
    out = console()
    for difference in found:
        out.print(path_line(difference))
        if two_columns:
            out.print(side_by_side(difference, out.width), soft_wrap=False)
        else:
            print_lines(unified(difference))


def _side(mark: str, document: Document | None, style: str) -> Text:
    if document is None:
        return Text(f"{mark} nothing", style=style)
    about = Text.assemble((f"{mark} {document.id}  ", style), (_written(document), f"bold {style}"), "  ")
    return about.append_text(about_when(document))
