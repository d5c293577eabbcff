"""`watch`: what is happening to documents."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from palimpsest.cli.options import AsJson, Branch
from palimpsest.cli.output import change_json, print_entry, print_json, print_value, remark
from palimpsest.cli.session import ask_server
from palimpsest.client import Change, Client
from palimpsest.words import MAIN


def watch(
    context: typer.Context,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="A name, or a pattern such as notes/*.")],
    resume_after: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Begin after this place, with what was missed.")
    ] = None,
    values: Annotated[bool, typer.Option("--values", help="Print the whole value with each change.")] = False,
    count: Annotated[int | None, typer.Option(metavar="N", min=1, help="End after N changes.")] = None,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Follow the changes of documents until Control-C; each is printed once it is durable."""
    cursor = resume_after

    async def print_changes(client: Client) -> None:
        nonlocal cursor
        left = count
        async with client.subscribe(pattern, branch=branch, resume_after=resume_after, values=values) as changes:
            cursor = changes.cursor
            async for change in changes:
                cursor = change.cursor
                _print_change(change, as_json=as_json, values=values)
                left = None if left is None else left - 1
                if left == 0:
                    break

    try:
        ask_server(context, print_changes)
    except KeyboardInterrupt:
        # The ordinary end of watching.
        if not as_json and cursor is not None:
            remark(f"go on with --resume-after {cursor}")


def _print_change(change: Change, *, as_json: bool, values: bool) -> None:
    if as_json:
        print_json(change_json(change, values=values))
    else:
        print_entry(change)
        if values:
            print_value(change.value)
    sys.stdout.flush()
