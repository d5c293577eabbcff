"""Options and arguments that several commands share, each described once."""

from __future__ import annotations

from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(metavar="NAME", help="The document's name, such as notes/1.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Branch = Annotated[str, typer.Option(metavar="BRANCH", help="The line of versions to use.")]
By = Annotated[str | None, typer.Option(metavar="WHO", help="Who makes the version.")]
Description = Annotated[str | None, typer.Option("--description", "-m", metavar="WHY", help="Why it is made.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A word to find it by; may be repeated.")]
Expect = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Only if the document is at version N (0: does not exist).")
]
Pattern = Annotated[
    str, typer.Argument(metavar="PATTERN", help="Names of documents: * stands for one level, ** for any depth.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go on without a question.")]
At = Annotated[
    str | None, typer.Option(metavar="TIME", help="As of then: ISO 8601, or how long ago, such as 2h or 3d.")
]
WithTag = Annotated[str | None, typer.Option("--tag", metavar="TAG", help="As of the newest version with this tag.")]
AsOf = Annotated[int | None, typer.Option("--version", metavar="N", min=1, help="As of this version.")]
Made = Annotated[str, typer.Argument(metavar="VERSION", help="A number, @TIME, tag=TAG, or one of these as BRANCH:...")]
Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rule", metavar="PATH=RULE", help="What becomes of a conflict at PATH, such as stars=sum; again and again."
    ),
]
Into = Annotated[str, typer.Option(metavar="BRANCH", help="The branch that it is done on.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would come of it.")]
NameOrPattern = Annotated[
    str, typer.Argument(metavar="DOCUMENT", help="A name, or a pattern for many documents at once.")
]
MergeId = Annotated[str, typer.Argument(metavar="MERGE", help="The id of a pending merge; `merges` lists them.")]
