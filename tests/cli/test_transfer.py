from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from palimpsest.cli.transfer import resume_place
from palimpsest.client.history_lines import header_line
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
    assert resume_place(file, "notes/**", {}) == place
    assert file.getvalue() == left


def test_the_last_line_is_found_however_long_it_is() -> None:
    long = line(2, value="x" * 1_000_000)
    file = io.BytesIO(HEADER + line(1) + long + line(3, value="y" * 200_000)[:-1])
    assert resume_place(file, "notes/**", {}) == ("notes/1", "main", 2)
    assert file.getvalue() == HEADER + line(1) + long


SCOPES = [
    {},
    {"branch": "draft"},
    {"branch": "other"},
    {"perspective": "public"},
    {"branch": "draft", "perspective": "public"},
    {"family": "note", "level": 1},
    {"family": "note", "level": 2},
]
"""Of the same documents."""


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_an_export_goes_on_with_one_of_its_own_kind_alone(scope: dict[str, Any]) -> None:
    given = dict.fromkeys(("branch", "perspective", "family", "level")) | scope
    content = json.dumps(header_line("notes/**", **given)).encode() + b"\n" + line(1)
    assert resume_place(io.BytesIO(content), "notes/**", given) == ("notes/1", "main", 1)
    for other in SCOPES:
        if other != scope:
            file = io.BytesIO(content)
            with pytest.raises(UsageError, match=r"is an export of notes/\*\*.*, and not of notes/\*\*"):
                resume_place(file, "notes/**", other)
            assert file.getvalue() == content


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
        resume_place(file, "notes/**", {})
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


def test_the_history_of_a_branch_alone(palimpsest, another, story, tmp_path: Path) -> None:
    palimpsest("branch", "notes/1", "draft")
    palimpsest("update", "notes/1", "title=C", "--branch", "draft")
    file = tmp_path / "draft.jsonl"
    exported = palimpsest("export", "--branch", "draft", "-o", str(file))
    assert exported.exit_code == 0, exported.stderr
    whole = file.read_bytes()
    header, *lines = [json.loads(each) for each in whole.splitlines()]
    assert header == {"palimpsest": "history", "format": 1, "documents": "**", "branch": "draft"}
    assert [(each["document"], each["branch"], each["version"]) for each in lines] == [
        ("notes/1", "main", 1),
        ("notes/1", "main", 2),
        ("notes/1", "main", 3),
    ]
    file.write_bytes(whole[:-9])
    refused = palimpsest("export", "-o", str(file), "--resume")
    assert refused.exit_code == 2
    assert "is an export of ** --branch draft, and not of **" in " ".join(refused.stderr.split())
    assert palimpsest("export", "--branch", "draft", "-o", str(file), "--resume").exit_code == 0
    assert file.read_bytes() == whole
    assert another("import", "history", str(file)).exit_code == 0
    assert another("get", "notes/1").stdout == palimpsest("get", "notes/1", "--branch", "draft").stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--perspective", "public"], {"perspective": "public"}),
        (["--family", "note", "--level", "1"], {"family": "note", "level": 1}),
        (["--branch", "main", "--perspective", "public"], {"branch": "main", "perspective": "public"}),
    ],
    ids=["perspective", "level", "branch"],
)
def test_an_export_through_a_perspective(palimpsest, another, options: list[str], said: dict[str, Any]) -> None:
    shown = {"documents": "notes/*", "include": ["title"], "family": "note", "level": 1}
    assert palimpsest("perspective", "put", "public", "-", stdin=json.dumps(shown)).exit_code == 0
    palimpsest("set", "notes/1", '{"title": "A", "secret": "mellon"}')
    palimpsest("update", "notes/1", "secret=friend")
    palimpsest("update", "notes/1", "title=B")
    exported = palimpsest("export", "notes/*", *options)
    assert exported.exit_code == 0, exported.stderr
    header, *lines = [json.loads(each) for each in exported.stdout.splitlines()]
    assert header == {"palimpsest": "history", "format": 1, "documents": "notes/*", **said}
    assert [each["version"] for each in lines] == [1, 3]
    assert "mellon" not in exported.stdout
    assert "friend" not in exported.stdout
    assert another("import", "history", "-", stdin=exported.stdout).exit_code == 0
    assert json.loads(another("get", "notes/1").stdout) == {"title": "B"}


def test_exports_that_make_no_sense(palimpsest, tmp_path: Path) -> None:
    assert palimpsest("export", "--perspective", "public", "--family", "note", "--level", "1").exit_code == 2
    assert palimpsest("export", "--family", "note").exit_code == 2
    assert palimpsest("export", "--perspective", "nobody").exit_code == 3
    assert palimpsest("export", "--branch", "$versions").exit_code == 2


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
