from __future__ import annotations

import json
from pathlib import Path

import pytest

A_TIME = "2020-01-01T00:00:00.000000Z"


def test_set_creates_and_then_replaces(palimpsest) -> None:
    created = palimpsest(
        "set", "notes/1", '{"title": "A"}', "--by", "ana", "-m", "why", "--tag", "x", "--tag", "a", "--json"
    )
    assert created.exit_code == 0
    answer = json.loads(created.stdout)
    request = answer.pop("request")
    assert answer == {
        "document": "notes/1",
        "branch": "main",
        "version": 1,
        "kind": "create",
        "at": A_TIME,
        "by": "ana",
        "description": "why",
        "tags": ["a", "x"],
        "repeat": False,
    }
    assert request is None or isinstance(request, str)
    replaced = palimpsest("set", "notes/1", "-", "--json", stdin="[1, 2.5, null]")
    assert json.loads(replaced.stdout)["version"] == 2
    assert json.loads(palimpsest("get", "notes/1", "--json").stdout)["value"] == [1, 2.5, None]


def test_get_prints_the_value_to_stdout_and_the_rest_to_stderr(palimpsest) -> None:
    palimpsest("set", "notes/1", '{"title": "A", "n": 1}', "--by", "ana", "-m", "first\nline")
    found = palimpsest("get", "notes/1")
    assert json.loads(found.stdout) == {"title": "A", "n": 1}
    assert "notes/1  version 1" in found.stderr
    assert "ana  first\n" in found.stderr


def test_get_as_of_a_version(palimpsest) -> None:
    palimpsest("set", "d", "1")
    palimpsest("set", "d", "2")
    first = json.loads(palimpsest("get", "d", "--version", "1", "--json").stdout)
    assert first == {
        "document": "d",
        "branch": "main",
        "version": 1,
        "at": A_TIME,
        "by": None,
        "description": None,
        "tags": [],
        "value": 1,
    }
    missing = palimpsest("get", "d", "--version", "3")
    assert missing.exit_code == 3
    assert missing.stdout == ""


def test_a_missing_document_is_one_line_and_a_code(palimpsest) -> None:
    missing = palimpsest("get", "nothing/here")
    assert missing.exit_code == 3
    assert missing.stdout == ""
    assert missing.stderr.startswith("palimpsest: ")
    assert missing.stderr.count("\n") == 1
    assert "nothing/here" in missing.stderr


def test_update_makes_one_version_of_many_changes(palimpsest) -> None:
    palimpsest("set", "notes/1", '{"title": "A", "tags": [], "draft": true, "old": 1}')
    updated = palimpsest(
        *("update", "notes/1", "title=B", "meta.stars+=1", "tags[]=x", "draft-", "--delete", "old", "--expect", "1"),
        *("--by", "bo"),
    )
    assert updated.exit_code == 0, updated.stderr
    assert "notes/1  version 2  update" in updated.stderr
    found = json.loads(palimpsest("get", "notes/1").stdout)
    assert found == {"title": "B", "tags": ["x"], "meta": {"stars": 1}}


def test_update_by_patch_and_by_merge_patch(palimpsest, tmp_path: Path) -> None:
    palimpsest("set", "d", '{"a": {"b": 1}, "c": [1]}')
    (tmp_path / "patch.json").write_text(
        '[{"op": "add", "path": "/c/-", "value": 2}, {"op": "test", "path": "/a/b", "value": 1}]'
    )
    assert palimpsest("update", "d", "--patch", str(tmp_path / "patch.json")).exit_code == 0
    assert palimpsest("update", "d", "--merge-patch", "-", stdin='{"a": {"b": null, "z": 2}}').exit_code == 0
    assert json.loads(palimpsest("get", "d").stdout) == {"a": {"z": 2}, "c": [1, 2]}


def test_a_test_that_does_not_hold_is_a_conflict(palimpsest) -> None:
    palimpsest("set", "d", '{"a": 1}')
    failed = palimpsest("update", "d", "--patch", "-", stdin='[{"op": "test", "path": "/a", "value": 2}]')
    assert failed.exit_code == 4


@pytest.mark.parametrize("words", [[], ["a=1", "--patch", "-"], ["--patch", "-", "--merge-patch", "-"]])
def test_changes_are_said_in_one_way(palimpsest, words: list[str]) -> None:
    refused = palimpsest("update", "d", *words, stdin="[]")
    assert refused.exit_code == 2
    assert "in one way" in refused.stderr


def test_an_op_that_does_not_fit_changes_nothing(palimpsest) -> None:
    palimpsest("set", "d", '{"a": "text"}')
    failed = palimpsest("update", "d", "b=1", "a+=1")
    assert failed.exit_code == 2
    assert "op 1" in failed.stderr
    assert json.loads(palimpsest("get", "d").stdout) == {"a": "text"}


def test_expect_is_held_by_every_writing_command(palimpsest) -> None:
    assert palimpsest("set", "d", "1", "--expect", "1").exit_code == 4
    assert palimpsest("set", "d", "1", "--expect", "0").exit_code == 0
    assert palimpsest("set", "d", "2", "--expect", "0").exit_code == 4
    assert palimpsest("set", "d", "2", "--expect", "1").exit_code == 0
    assert palimpsest("update", "d", "=3", "--expect", "1").exit_code == 4
    assert palimpsest("delete", "d", "--expect", "1").exit_code == 4
    assert palimpsest("delete", "d", "--expect", "2").exit_code == 0


def test_delete_keeps_the_history_and_set_brings_it_back(palimpsest) -> None:
    palimpsest("set", "d", "1")
    deleted = palimpsest("delete", "d", "--by", "bo", "--json")
    assert (json.loads(deleted.stdout)["version"], json.loads(deleted.stdout)["kind"]) == (2, "delete")
    assert palimpsest("get", "d").exit_code == 3
    assert palimpsest("delete", "d").exit_code == 3
    assert palimpsest("get", "d", "--version", "1").stdout == "1\n"
    assert json.loads(palimpsest("set", "d", "2", "--json").stdout)["version"] == 3


def test_list_prints_names_that_match(palimpsest) -> None:
    for name in ("notes/1", "notes/2", "notes/2/deep", "other"):
        palimpsest("set", name, "1")
    assert palimpsest("list").stdout.split() == ["notes/1", "notes/2", "notes/2/deep", "other"]
    assert palimpsest("list", "notes/*").stdout.split() == ["notes/1", "notes/2"]
    lines = palimpsest("list", "notes/**", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"document": name} for name in ("notes/1", "notes/2", "notes/2/deep")
    ]
    assert palimpsest("list", "nothing/*").stdout == ""


@pytest.mark.parametrize("words", [["set", "d", "{"], ["set", "d", "NaN"], ["get", "a//b"], ["list", "a*b"]])
def test_what_is_refused_is_one_line(palimpsest, words: list[str]) -> None:
    refused = palimpsest(*words)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("palimpsest: ")
    assert refused.stderr.count("\n") == 1


def test_another_branch_is_named(palimpsest) -> None:
    palimpsest("set", "d", '{"a": 1}')
    palimpsest("branch", "d", "draft")
    assert palimpsest("update", "d", "a=2", "--branch", "draft").stderr.startswith("d on draft  version 2  update  ")
    shown = palimpsest("get", "d", "--branch", "draft")
    assert shown.stderr.startswith("d on draft  version 2  2020-")
    assert json.loads(shown.stdout) == {"a": 2}
    assert palimpsest("get", "d").stderr.startswith("d  version 1  2020-")
    refused = palimpsest("set", "d", "5", "--branch", "draft", "--expect", "0")
    assert (refused.exit_code, refused.stderr) == (4, "palimpsest: d on draft is at version 2, not 0\n")
    assert palimpsest("delete", "d", "--branch", "draft").exit_code == 0
    assert palimpsest("list", "--branch", "draft").stdout == ""
    assert palimpsest("list").stdout == "d\n"
