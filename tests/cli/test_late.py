from __future__ import annotations

from typing import ClassVar

import pytest
import typer
from typer.testing import CliRunner

from palimpsest.cli.late import LateCommands, command, group


def hello(name: str) -> None:
    """Say hello."""
    typer.echo(f"hello {name}")


def broken(what: list[dict[str, int]]) -> None:
    """No command line can be made of this."""


class Few(LateCommands):
    apps: ClassVar[dict[str, typer.Typer]] = {
        "hello": command(hello, "hello", "hello ana"),
        "say": group("say", "What can be said.", {"hello": (hello, "say hello ana"), "bye": (hello, "say bye ana")}),
        "broken": command(broken, "broken", "broken"),
    }


app = typer.Typer(cls=Few, add_completion=False)


@app.callback()
def settings() -> None:
    """Few commands."""


@pytest.mark.parametrize("words", [["hello", "ana"], ["say", "hello", "ana"]])
def test_only_the_command_that_is_asked_for_is_built(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).stdout == "hello ana\n"


def test_a_command_is_built_when_it_is_asked_for() -> None:
    assert isinstance(CliRunner().invoke(app, ["broken"]).exception, (RuntimeError, AssertionError))


def test_what_is_not_there_is_said_with_what_is_near() -> None:
    refused = CliRunner().invoke(app, ["helo"])
    assert refused.exit_code == 2
    assert "Did you mean 'hello'?" in refused.stderr


def test_a_group_shows_its_commands_and_an_example() -> None:
    shown = CliRunner().invoke(app, ["say"])
    assert "What can be said." in shown.output
    assert [word for word in shown.output.split() if word in ("hello", "bye")] == ["hello", "bye"]
    assert "Example:  palimpsest say bye ana" in CliRunner().invoke(app, ["say", "bye", "--help"]).stdout
