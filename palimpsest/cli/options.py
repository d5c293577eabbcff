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
