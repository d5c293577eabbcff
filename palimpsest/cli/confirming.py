"""Asking before something goes that does not come back."""

from __future__ import annotations

import sys

import typer

from palimpsest.cli.exits import Exit
from palimpsest.cli.output import remark
from palimpsest.errors import UsageError


def confirm(question: str, *, yes: bool) -> None:
    """Returns where the answer is yes, or `--yes` was given. Ends the command otherwise: nothing has happened then.

    Raises UsageError where nobody is there to answer.
    """
    if yes:
        return
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
        raise UsageError("nobody answers, so nothing was done: --yes goes on without a question")
    if answer.strip().lower() not in ("y", "yes"):
        remark("nothing was done")
        raise typer.Exit(Exit.UNEXPECTED)
