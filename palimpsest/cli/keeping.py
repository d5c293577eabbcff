"""`prune` and `retention`: how much of the past is kept."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from palimpsest.cli.confirming import confirm
from palimpsest.cli.options import AsJson, Branch, By, Description, Pattern, Yes
from palimpsest.cli.output import console, counted, print_json, print_lines, print_made, remark
from palimpsest.cli.progress import progress_bar
from palimpsest.cli.session import ask_server
from palimpsest.cli.sizes import parse_size, readable_size
from palimpsest.cli.times import parse_duration, readable_duration
from palimpsest.cli.usage import share_lines, shares_json
from palimpsest.client import Client, PruneReport
from palimpsest.errors import UsageError
from palimpsest.state.retention import Retention
from palimpsest.words import MAIN

_Versions = Annotated[int | None, typer.Option(metavar="N", min=1, help="Keep the newest N versions of a document.")]
_Age = Annotated[str | None, typer.Option(metavar="DURATION", help="Keep what is younger, such as 30d or 12h.")]
_BytesMax = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Of a document, keep at most so much, such as 10MB.")
]
_KeptTags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="PATTERN", help="Keep versions with such a tag for ever; every tag if not given."),
]
_PolicyName = Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")]


def prune(
    context: typer.Context,
    pattern: Pattern = "**",
    versions: _Versions = None,
    age: _Age = None,
    bytes_max: _BytesMax = None,
    tags: _KeptTags = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Yes = False,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Let go of old versions, once you have seen which.

    What goes is what neither --versions nor --age keeps, and what lies beyond --bytes-max.
    Without any of them the policies decide. The newest version and tagged ones stay.
    """
    said = _rules(versions, age, bytes_max, tags) | {"branch": branch}
    report = _ask_prune(context, pattern, said, dry_run=True)
    if dry_run or not report.events:
        _print_report(report, as_json)
        return
    if as_json:
        remark(_report_lines(report)[0])
    else:
        print_lines(_report_lines(report))
    confirm("Prune?", yes=yes)
    _print_report(_ask_prune(context, pattern, said, dry_run=False), as_json)


def list_policies(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the policies of retention."""

    async def look(client: Client) -> list[tuple[str, Retention]]:
        return [each async for each in client.retention.list()]

    for name, policy in ask_server(context, look):
        if as_json:
            print_json(_policy_json(name, policy))
        else:
            console().print(policy_line(name, policy))


def set_policy(
    context: typer.Context,
    name: _PolicyName,
    documents: Annotated[str, typer.Option(metavar="PATTERN", help="The documents that it is for, such as logs/**.")],
    versions: _Versions = None,
    age: _Age = None,
    bytes_max: _BytesMax = None,
    tags: _KeptTags = None,
    by: By = None,
    description: Description = None,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Make or replace a policy of retention.

    The server honours all policies in the background, and `prune` does at once.
    """
    said = _rules(versions, age, bytes_max, tags)
    policy = Retention(
        documents=documents,
        branch=branch,
        versions=versions,
        seconds=said["age"].total_seconds() if "age" in said else None,
        bytes_max=said.get("bytes_max"),
        description=description or "",
        **({"tags": said["tags"]} if "tags" in said else {}),
    )
    made = ask_server(context, lambda client: client.retention.put(name, policy, by=by, description=description))
    print_made(made, as_json)


def delete_policy(
    context: typer.Context,
    name: _PolicyName,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Delete a policy of retention. What it has pruned does not come back."""
    made = ask_server(context, lambda client: client.retention.delete(name, by=by, description=description))
    print_made(made, as_json)


def policy_line(name: str, policy: Retention) -> Text:
    """A policy for people, on one line."""
    kept = []
    if policy.versions is not None:
        kept.append(f"the newest {policy.versions:,}")
    if policy.seconds is not None:
        kept.append(f"what is younger than {readable_duration(policy.seconds)}")
    line = Text.assemble((name, "bold"), "  ", (policy.documents, "blue"))
    if policy.branch != MAIN:
        line.append(f" on {policy.branch}")
    line.append(f"  keeps {' and '.join(kept) or 'everything'}")
    if policy.bytes_max is not None:
        line.append(f", at most {readable_size(policy.bytes_max)} of a document")
    line.append(f"; tagged {', '.join(policy.tags)} for ever" if policy.tags else "; tags keep nothing")
    if policy.description:
        line.append(f"  {policy.description}", style="dim")
    return line


def _rules(versions: int | None, age: str | None, bytes_max: str | None, tags: list[str] | None) -> dict[str, Any]:
    """What was said, by the API's words. Raises UsageError."""
    given: dict[str, Any] = {}
    if versions is not None:
        given["versions"] = versions
    if age is not None:
        given["age"] = parse_duration(age)
    if bytes_max is not None:
        given["bytes_max"] = parse_size(bytes_max)
    if tags:
        if not given:
            raise UsageError("--tag says what stays, and nothing says what goes: add --versions, --age or --bytes-max")
        given["tags"] = tuple(tags)
    return given


def _ask_prune(context: typer.Context, pattern: str, said: dict[str, Any], *, dry_run: bool) -> PruneReport:
    with progress_bar("looking" if dry_run else "pruning", "documents") as on_progress:
        return ask_server(
            context, lambda client: client.prune(pattern, dry_run=dry_run, on_progress=on_progress, **said)
        )


def _print_report(report: PruneReport, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "dry_run": report.dry_run,
                "documents": report.documents,
                "events": report.events,
                "bytes": report.bytes,
                "largest": shares_json(report.largest),
            }
        )
    elif report.dry_run:
        print_lines(_report_lines(report))
    else:
        print_lines(_report_lines(report)[:1])


def _report_lines(report: PruneReport) -> list[Text]:
    if not report.events:
        return [Text("nothing to prune")]
    what = f"{counted(report.events, 'version')} of {counted(report.documents, 'document')}"
    what += f", about {readable_size(report.bytes)}"
    return [Text(f"would prune {what}" if report.dry_run else f"pruned {what}"), *share_lines(report.largest)]


def _policy_json(name: str, policy: Retention) -> dict[str, Any]:
    return {
        "name": name,
        "documents": policy.documents,
        "branch": policy.branch,
        "versions": policy.versions,
        "seconds": policy.seconds,
        "bytes_max": policy.bytes_max,
        "tags": list(policy.tags),
        "description": policy.description,
    }
