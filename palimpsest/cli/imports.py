"""`import git`: a repository's history as documents, and the proof that it is all there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from palimpsest.cli.exits import Exit
from palimpsest.cli.git.checker import Check, Report
from palimpsest.cli.git.importer import Import, Summary
from palimpsest.cli.git.names import check_prefix
from palimpsest.cli.git.plan import Skipped
from palimpsest.cli.git.repository import Repository
from palimpsest.cli.options import AsJson
from palimpsest.cli.output import console, print_json
from palimpsest.cli.progress import progress_bar
from palimpsest.cli.session import ask_server

_NAMED_MAX = 20
"""Skipped files and differences that are named for people; JSON names them all."""


def import_git(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A git repository, bare or not.")],
    prefix: Annotated[
        str | None, typer.Option(metavar="NAME/", help="What documents' names start with; else the repository's name.")
    ] = None,
    ref: Annotated[str, typer.Option(metavar="REF", help="The commit, branch or tag to import up to.")] = "HEAD",
    branch: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="What the branch of the first parents is called; else main.")
    ] = None,
    first_parent: Annotated[
        bool | None,
        typer.Option(
            "--first-parent/--branches",
            help="Import the first parents alone; or all that was merged as well.",
            show_default="as before, and --branches at first",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Import nothing; read every version back and compare it with git.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import the history of a git repository: a document for each text file, a version for each change.

    A commit is one transaction, and what it merges is on branches of the documents. An import that was ended goes on where it
    stood; a later one adds what is new.
    """
    repository = Repository(path)
    prefix = check_prefix(repository.name if prefix is None else prefix)
    with progress_bar("checking" if check else "importing", "commits") as on_commit:
        if check:
            report = ask_server(
                context, lambda client: Check(client, repository, prefix=prefix, on_commit=on_commit).run()
            )
        else:
            summary = ask_server(
                context,
                lambda client: Import(
                    client,
                    repository,
                    prefix=prefix,
                    ref=ref,
                    branch=branch,
                    first_parent=first_parent,
                    on_commit=on_commit,
                ).run(),
            )
    if not check:
        _print_summary(summary, as_json)
        return
    _print_report(report, as_json)
    if report.differences:
        raise typer.Exit(Exit.UNEXPECTED)


def _print_summary(summary: Summary, as_json: bool) -> None:
    skipped = sorted(summary.skipped, key=lambda skip: (skip.reason.value, skip.path))
    if as_json:
        print_json(
            {
                "tip": summary.tip,
                "commits": summary.commits,
                "merges": summary.merges,
                "documents": summary.documents,
                "versions": summary.versions,
                "branches": len(summary.branches),
                "seconds": round(summary.seconds, 3),
                "skipped": [{"path": _path_text(skip), "reason": skip.reason.value} for skip in skipped],
            }
        )
        return
    out = console()
    out.print(
        f"{summary.commits:,} commits, {summary.merges:,} of them merges; {summary.documents:,} documents created, "
        f"{summary.versions:,} versions on {len(summary.branches):,} branches in {summary.seconds:.1f} s, up to {summary.tip[:12]}"
    )
    for reason, number in Counter(skip.reason.value for skip in skipped).items():
        out.print(f"skipped, {reason}: {number:,}")
        named = [_path_text(skip) for skip in skipped if skip.reason.value == reason]
        for name in named[:_NAMED_MAX]:
            out.print(f"    {name}", markup=False)
        if number > _NAMED_MAX:
            out.print(f"    and {number - _NAMED_MAX:,} more; --json names them all")


def _print_report(report: Report, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "commits": report.commits,
                "merges": report.merges,
                "documents": report.documents,
                "versions": report.versions,
                "branches": report.branches,
                "seconds": round(report.seconds, 3),
                "differences": report.differences,
            }
        )
        return
    out = console()
    verdict = f"{len(report.differences):,} differences" if report.differences else "all as git has them"
    out.print(
        f"{report.versions:,} versions of {report.documents:,} documents on {report.branches:,} branches from "
        f"{report.commits:,} commits, {report.merges:,} of them merges: {verdict} ({report.seconds:.1f} s)"
    )
    for one in report.differences[:_NAMED_MAX]:
        out.print(f"    {one.document} {one.branch}:{one.version} {one.commit[:12]}: {one.what}", markup=False)
    if len(report.differences) > _NAMED_MAX:
        out.print(f"    and {len(report.differences) - _NAMED_MAX:,} more; --json names them all")


def _path_text(skip: Skipped) -> str:
    return skip.path.decode(errors="backslashreplace")
