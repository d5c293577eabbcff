"""`merge`, `cherry-pick` and `rebase`: what happened on one branch happens on another, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from palimpsest.cli.branches import find
from palimpsest.cli.decisions import parse_rules
from palimpsest.cli.options import AsJson, By, Description, DryRun, Into, Name, NameOrPattern, Rules, Tags
from palimpsest.cli.outcomes import Outcome, look, print_outcome
from palimpsest.cli.session import ask_server
from palimpsest.client import Client, MergeResult
from palimpsest.words import MAIN

_Expect = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Only if the branch that it is done on is at version N.")
]


def merge(
    context: typer.Context,
    document: NameOrPattern,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A branch, or a version of one: BRANCH:NUMBER, BRANCH:@TIME.")
    ],
    into: Into = MAIN,
    rules: Rules = None,
    dry_run: DryRun = False,
    squash: Annotated[
        bool, typer.Option("--squash", help="As one ordinary version; a later merge does not know of it.")
    ] = False,
    expect: _Expect = None,
    by: By = None,
    description: Description = None,
    tags: Tags = None,
    as_json: AsJson = False,
) -> None:
    """Merge a branch into main, or --into another. Of a pattern: all documents that have the branch, or none.

    Rules: fail, ours, theirs, base, sum, max, min, union, key:FIELD, diff3, atomic, or a resolver of the server.
    With conflicts nothing is done yet: they are printed and kept, to be resolved, and the exit code is 4.
    """
    given = parse_rules(rules or ())
    said: dict[str, Any] = {"expect": expect, "by": by, "description": description, "tags": tags or ()}

    async def go(client: Client) -> MergeResult:
        which = await find(client, document, source)
        return await client.merge(document, which, into, rules=given, dry_run=dry_run, squash=squash, **said)

    _run(context, go, as_json)


def cherry_pick(
    context: typer.Context,
    document: Name,
    version: Annotated[str, typer.Argument(metavar="BRANCH:VERSION", help="What is to be done again.")],
    into: Into = MAIN,
    rules: Rules = None,
    dry_run: DryRun = False,
    expect: _Expect = None,
    by: By = None,
    description: Description = None,
    tags: Tags = None,
    as_json: AsJson = False,
) -> None:
    """Do on main, or --into another branch, what one version of a branch did.

    Its author, reason and tags are kept where you say no others. Rules and conflicts are as in merge.
    """
    given = parse_rules(rules or ())
    said: dict[str, Any] = {"expect": expect, "by": by, "description": description, "tags": tags or ()}

    async def go(client: Client) -> MergeResult:
        which = await find(client, document, version)
        return await client.cherry_pick(document, which, into, rules=given, dry_run=dry_run, **said)

    _run(context, go, as_json)


def rebase(
    context: typer.Context,
    document: Name,
    branch: Annotated[str, typer.Argument(metavar="BRANCH", help="The branch that moves.")],
    onto: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Where it is to start: BRANCH, BRANCH:NUMBER; the newest of its parent if not given.",
        ),
    ] = None,
    rules: Rules = None,
    dry_run: DryRun = False,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Let a branch start from a newer version. Its own versions are made again there, one by one; the old ones stay readable.

    Rules and conflicts are as in merge.
    """
    given = parse_rules(rules or ())
    said: dict[str, Any] = {"by": by, "description": description}

    async def go(client: Client) -> MergeResult:
        which = None if onto is None else await find(client, document, onto)
        return await client.rebase(document, branch, onto=which, rules=given, dry_run=dry_run, **said)

    _run(context, go, as_json)


def _run(context: typer.Context, go: Callable[[Client], Awaitable[MergeResult]], as_json: bool) -> None:
    async def go_and_look(client: Client) -> Outcome:
        result = await go(client)
        return Outcome(result, []) if as_json else await look(client, result)

    print_outcome(ask_server(context, go_and_look), as_json)
