from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from palimpsest.cli.main import app

COMMANDS = [
    *("serve", "get", "set", "update", "delete", "list", "history", "diff", "blame", "revert", "undo", "tag", "untag"),
    *(
        "watch",
        "prune",
        "retention list",
        "retention set",
        "retention delete",
        "erase",
        "stats",
        "top",
        "digest",
        "verify",
    ),
    *("log", "branch", "branches", "merge", "rebase", "cherry-pick", "merges", "conflicts", "resolve", "abandon"),
    *("export", "import git", "import history", "backup", "restore", "demo"),
]


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for command in COMMANDS:
        assert command.split()[0] in shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert f"Example:  palimpsest {command}" in shown.stdout


def test_brackets_are_shown_and_not_taken_for_markup() -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["update", "--help"])
    assert "path[]=item" in shown.stdout
    assert "tags[]=new" in shown.stdout


@pytest.mark.parametrize("words", [["nonsense"], ["get"], ["get", "a", "--nonsense"], ["get", "a", "--version", "0"]])
def test_a_command_line_that_does_not_parse_is_code_2(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2


def test_a_server_that_is_not_there_is_code_5_and_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        unused_url = f"palimpsest://127.0.0.1:{taken.getsockname()[1]}"
    result = CliRunner(env={"PALIMPSEST_URL": unused_url}).invoke(app, ["get", "notes/1"])
    assert result.exit_code == 5
    assert unused_url in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_url_that_is_none_is_code_2() -> None:
    result = CliRunner().invoke(app, ["--url", "redis://localhost", "get", "notes/1"])
    assert result.exit_code == 2
    assert "redis" in result.stderr


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "palimpsest", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("palimpsest 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there(shell: str) -> None:
    words = {"COMP_WORDS": "palimpsest hi", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "palimpsest hi"}
    words |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    shown = CliRunner(env={"_PALIMPSEST_COMPLETE": f"complete_{shell}", **words}).invoke(app, prog_name="palimpsest")
    assert "history" in shown.stdout
