from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from palimpsest.cli.confirming import confirm
from palimpsest.cli.session import Commands

app = typer.Typer(cls=Commands)


@app.callback()
def group() -> None:
    """A group, as the command line has one."""


@app.command()
def go(yes: bool = False) -> None:
    confirm("Go?", yes=yes)
    typer.echo("gone")


@pytest.mark.parametrize(
    ("words", "stdin", "code", "stdout"),
    [
        (["go", "--yes"], "", 0, "gone\n"),
        (["go"], "y\n", 0, "gone\n"),
        (["go"], "n\n", 1, ""),
        (["go"], "\n", 1, ""),
        (["go"], "", 2, ""),
    ],
)
def test_nothing_happens_without_a_yes(words: list[str], stdin: str, code: int, stdout: str) -> None:
    result = CliRunner().invoke(app, words, input=stdin)
    assert (result.exit_code, result.stdout) == (code, stdout)
