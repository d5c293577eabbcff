from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from palimpsest.cli.transfer import resume_place
from palimpsest.errors import UsageError

HEADER = b'{"palimpsest":"history","format":1,"documents":"notes/**"}\n'


def line(version: int, **more: str) -> bytes:
    return json.dumps({"document": "notes/1", "branch": "main", "version": version, **more}).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "place", "left"),
    [
        (b"", None, b""),
        (HEADER[:5], None, b""),
        (HEADER[:30], None, b""),
        (HEADER, None, b""),
        (HEADER + b'{"docum', None, b""),
        (HEADER + line(1), ("notes/1", "main", 1), HEADER + line(1)),
        (HEADER + line(1) + line(2)[:-1], ("notes/1", "main", 1), HEADER + line(1)),
        (HEADER + line(1) + line(2), ("notes/1", "main", 2), HEADER + line(1) + line(2)),
    ],
)
def test_an_export_goes_on_after_its_last_whole_line(content: bytes, place: object, left: bytes) -> None:
    file = io.BytesIO(content)
    assert resume_place(file, "notes/**") == place
    assert file.getvalue() == left


def test_the_last_line_is_found_however_long_it_is() -> None:
    long = line(2, value="x" * 1_000_000)
    file = io.BytesIO(HEADER + line(1) + long + line(3, value="y" * 200_000)[:-1])
    assert resume_place(file, "notes/**") == ("notes/1", "main", 2)
    assert file.getvalue() == HEADER + line(1) + long


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"something else", "not a JSON object"),
        (b"something\nelse\n", "not a JSON object"),
        (b'{"a": 1}\n', "is no export, as its first line shows"),
        (HEADER.replace(b"notes", b"other"), r"is an export of other/\*\*, and not of notes/\*\*"),
        (HEADER + b'{"version": 1}\n', "last line is no version"),
        (HEADER + b"1\n", "not a JSON object"),
    ],
)
def test_what_is_no_such_export_is_left_alone(content: bytes, reason: str) -> None:
    file = io.BytesIO(content)
    with pytest.raises(UsageError, match=reason):
        resume_place(file, "notes/**")
    assert file.getvalue() == content


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def story(palimpsest) -> None:
    palimpsest("set", "notes/1", '{"title": "A"}', "--by", "ana", "--tag", "x")
    palimpsest("update", "notes/1", "title=B")
    palimpsest("tag", "notes/1", "1", "released")
    palimpsest("set", "notes/2", "2")
    palimpsest("delete", "notes/2")
    palimpsest("set", "other", "3")


def test_what_is_exported_can_be_imported_elsewhere(palimpsest, another, story, tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    exported = palimpsest("export", "notes/**", "-o", str(file), "--json")
    assert exported.exit_code == 0, exported.stderr
    lines = [json.loads(each) for each in file.read_text().splitlines()]
    assert lines[0] == {"palimpsest": "history", "format": 1, "documents": "notes/**"}
    assert json.loads(exported.stdout) == {"file": str(file), "versions": len(lines) - 1}
    assert palimpsest("export", "notes/**").stdout == file.read_text()
    imported = another("import", "history", str(file), "--json")
    assert imported.exit_code == 0, imported.stderr
    assert json.loads(imported.stdout) == {"lines": 6, "documents": 2, "versions": 5, "present": 0}
    assert another("history", "notes/1", "--json").stdout == palimpsest("history", "notes/1", "--json").stdout
    assert another("list", "--deleted").stdout.split() == ["notes/1", "notes/2"]
    again = another("import", "history", "-", stdin=file.read_text())
    assert "0 versions of 2 documents imported; 5 were there already" in again.stderr


def test_an_export_is_resumed(palimpsest, story, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    assert palimpsest("export", "-o", str(file)).exit_code == 0
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    resumed = palimpsest("export", "-o", str(file), "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert file.read_bytes() == whole
    assert "0 versions written" in palimpsest("export", "-o", str(file), "--resume").stderr


def test_branches_go_along(palimpsest, another, story, tmp_path: Path) -> None:
    assert palimpsest("branch", "notes/1", "draft").exit_code == 0
    assert palimpsest("update", "notes/1", "title=C", "--branch", "draft").exit_code == 0
    file = tmp_path / "all.jsonl"
    assert palimpsest("export", "-o", str(file)).exit_code == 0
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if b'"branch":"draft"' in line)
    file.write_bytes(b"".join(lines[: place + 1]) + lines[place + 1][:9])
    assert palimpsest("export", "-o", str(file), "--resume").exit_code == 0
    assert file.read_bytes() == whole
    assert another("import", "history", str(file)).exit_code == 0
    shown = ("history", "notes/1", "--branch", "draft", "--json")
    assert another(*shown).stdout == palimpsest(*shown).stdout
    assert (
        another("get", "notes/1", "--branch", "draft").stdout
        == palimpsest("get", "notes/1", "--branch", "draft").stdout
    )


def test_an_export_writes_over_nothing(palimpsest, tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("precious")
    refused = palimpsest("export", "-o", str(file))
    assert (refused.exit_code, file.read_text()) == (2, "precious")
    assert palimpsest("export", "-o", str(file), "--resume").exit_code == 2
    assert palimpsest("export", "-o", str(tmp_path / "no" / "folder")).exit_code == 2
    assert palimpsest("export", "--resume").exit_code == 2


def test_a_wrong_line_is_named(palimpsest, tmp_path: Path) -> None:
    refused = palimpsest("import", "history", "-", stdin=HEADER.decode() + "nonsense\n")
    assert refused.exit_code == 2
    assert "line 2" in refused.stderr
    assert palimpsest("import", "history", str(tmp_path / "nothing")).exit_code == 2
