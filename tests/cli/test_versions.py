from __future__ import annotations

import json

import pytest

from palimpsest.cli.versions import conflict_lines


def test_conflicts_for_people() -> None:
    conflicts = [
        {"path": "title", "kind": "edit/edit", "base": "B", "ours": "C", "theirs": "A"},
        {"path": "", "kind": "delete/edit", "base": None},
    ]
    assert [line.plain for line in conflict_lines(conflicts)] == [
        "title  edit/edit",
        '    it made  "B"',
        '    now      "C"',
        '    before   "A"',
        "the root  delete/edit",
        "    it made  null",
        "    now      nothing",
        "    before   nothing",
    ]


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def story(palimpsest, palimpsest_clock) -> None:
    """Three versions, an hour apart."""
    palimpsest("set", "d", '{"title": "A", "n": 1}')
    palimpsest_clock.advance(3_600)
    palimpsest("update", "d", "title=B", "--tag", "good")
    palimpsest_clock.advance(3_600)
    palimpsest("update", "d", "n=2")


@pytest.mark.parametrize("to", ["2", "main:2", "tag=good", "@2020-01-01T01:30:00Z"])
def test_revert_takes_any_version(palimpsest, story, to: str) -> None:
    reverted = palimpsest("revert", "d", to, "--by", "ana", "-m", "back", "--json")
    assert reverted.exit_code == 0, reverted.stderr
    answer = json.loads(reverted.stdout)
    assert (answer["version"], answer["by"], answer["description"]) == (4, "ana", "back")
    assert json.loads(palimpsest("get", "d").stdout) == {"title": "B", "n": 1}


def test_revert_brings_back_what_is_deleted(palimpsest, story) -> None:
    palimpsest("delete", "d")
    assert palimpsest("revert", "d", "3").exit_code == 0
    assert json.loads(palimpsest("get", "d").stdout) == {"title": "B", "n": 2}
    assert palimpsest("revert", "d", "3", "--expect", "9").exit_code == 4
    assert palimpsest("revert", "d", "99").exit_code == 3
    assert palimpsest("revert", "d", "main:x").exit_code == 2


def test_undo_keeps_what_came_after(palimpsest, story) -> None:
    undone = palimpsest("undo", "d", "2", "--by", "ana")
    assert undone.exit_code == 0, undone.stderr
    assert "d  version 4  update" in undone.stderr
    assert json.loads(palimpsest("get", "d").stdout) == {"title": "A", "n": 2}


def test_what_was_changed_again_is_a_conflict(palimpsest, story) -> None:
    palimpsest("update", "d", "title=C")
    refused = palimpsest("undo", "d", "2")
    assert (refused.exit_code, refused.stdout) == (4, "")
    assert refused.stderr.splitlines()[:4] == [
        "title  edit/edit",
        '    it made  "B"',
        '    now      "C"',
        '    before   "A"',
    ]
    assert refused.stderr.splitlines()[4].startswith("palimpsest: ")
    as_json = palimpsest("undo", "d", "2", "--json")
    assert as_json.exit_code == 4
    assert json.loads(as_json.stdout) == {
        "document": "d",
        "branch": "main",
        "version": 2,
        "conflicts": [{"path": "title", "kind": "edit/edit", "base": "B", "ours": "C", "theirs": "A"}],
    }
    assert json.loads(palimpsest("get", "d").stdout) == {"title": "C", "n": 2}


def test_tags_are_given_and_taken(palimpsest, story) -> None:
    tagged = palimpsest("tag", "d", "1", "released", "old", "--by", "ana", "--json")
    assert tagged.exit_code == 0, tagged.stderr
    assert json.loads(tagged.stdout) == {"document": "d", "branch": "main", "version": 1, "tags": ["old", "released"]}
    assert json.loads(palimpsest("get", "d", "--tag", "released", "--json").stdout)["version"] == 1
    assert "d  version 1 has no longer: old" in palimpsest("untag", "d", "1", "old").stderr
    assert palimpsest("untag", "d", "2", "good").exit_code == 0
    lines = palimpsest("history", "d", "--json").stdout.splitlines()
    assert [json.loads(line)["tags"] for line in lines] == [[], [], ["released"]]
    assert palimpsest("get", "d", "--tag", "good").exit_code == 3
    assert palimpsest("tag", "d", "9", "x").exit_code == 3
    assert palimpsest("tag", "d", "1").exit_code == 2


def test_dry_runs_show_what_would_change(palimpsest, story) -> None:
    shown = palimpsest("revert", "d", "1", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert "title" in shown.stdout
    undone = palimpsest("undo", "d", "2", "--dry-run", "--json")
    assert json.loads(undone.stdout) == {
        "document": "d",
        "branch": "main",
        "dry_run": True,
        "delta": [{"op": "set", "path": "title", "value": "A"}],
    }
    assert "no difference" in palimpsest("revert", "d", "3", "--dry-run").stderr
    assert palimpsest("undo", "d", "2", "--dry-run", "--expect", "9").exit_code == 4
    assert json.loads(palimpsest("get", "d").stdout) == {"title": "B", "n": 2}
