from __future__ import annotations

from typer.testing import CliRunner

from palimpsest.cli.main import app


def test_the_story_is_told_to_its_end() -> None:
    told = CliRunner().invoke(app, ["demo"])
    assert told.exit_code == 0, told.stderr
    for word in ("create", "VersionConflict", "version 1: ", "'stars': 42", "subscribe", "finished", "That is all"):
        assert word in told.stdout
