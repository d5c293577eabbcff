from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palimpsest.cli.main import app


def test_a_backup_is_restored_into_a_store_of_its_own(stored, serve_store, tmp_path: Path) -> None:
    stored("set", "d", "1")
    stored("update", "d", "=2")
    made = stored("backup", str(tmp_path / "copy"), "--json")
    assert made.exit_code == 0, made.stderr
    answer = json.loads(made.stdout)
    assert (answer["path"], answer["position"]) == (str(tmp_path / "copy"), 3)
    assert answer["bytes"] > 0
    stored("set", "d", "3")
    restored = stored("restore", str(tmp_path / "copy"), str(tmp_path / "other.db"), "--json")
    assert restored.exit_code == 0, restored.stderr
    assert json.loads(restored.stdout)["position"] == 3
    with serve_store(tmp_path / "other.db") as other:
        assert other("get", "d").stdout == "2\n"
        assert json.loads(other("history", "d", "--json").stdout.splitlines()[0])["version"] == 2


def test_what_is_there_is_left_alone(stored, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert stored("backup", str(tmp_path / "there")).exit_code in (2, 6)
    assert stored("backup", str(tmp_path / "copy")).exit_code == 0
    assert stored("restore", str(tmp_path / "copy"), str(stored.path)).exit_code in (2, 6)
    assert stored("restore", str(tmp_path / "there"), str(tmp_path / "new.db")).exit_code in (2, 6)
    assert stored("restore", str(tmp_path / "nothing"), str(tmp_path / "new.db")).exit_code == 2
    assert not (tmp_path / "new.db").exists()


def test_a_relative_path_is_meant_from_here_where_the_server_is_here(
    stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = stored("backup", "copy")
    assert made.exit_code == 0, made.stderr
    assert str(tmp_path / "copy") in made.stderr
    assert (tmp_path / "copy").is_dir()
    elsewhere = CliRunner().invoke(app, ["--url", "palimpsest://db.example.org:7411", "backup", "copy"])
    assert elsewhere.exit_code == 2
    assert "on the server's machine" in elsewhere.stderr


def test_a_store_in_memory_has_nothing_to_back_up(palimpsest, tmp_path: Path) -> None:
    assert palimpsest("backup", str(tmp_path / "copy")).exit_code == 2
