from __future__ import annotations

import json

import pytest

from palimpsest.cli.conflicts import pending_line
from palimpsest.client import PendingMerge
from palimpsest.words import Meta


def test_a_pending_merge_for_people() -> None:
    one = PendingMerge("25e8", "merge", "draft", "main", {"notes/1": 2}, 0, Meta("ana", "why"))
    line = pending_line(one).plain
    assert line.startswith("25e8  merge draft into main  2 conflicts in notes/1  19")
    assert line.endswith("  ana  why")
    many = PendingMerge("25e8", "pick", "draft", "main", {"a": 1, "b": 0}, 0)
    assert "pick draft into main  1 conflict in 2 documents" in pending_line(many).plain


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def merge_id(palimpsest) -> str:
    """Of a merge of two documents: three conflicts in d/1, one in d/2."""
    for name, value, theirs, ours in (
        (
            "d/1",
            '{"title": "A", "body": "one\\ntwo", "old": 1}',
            ("title=B", 'body="one\\nTWO\\u001b"', "old-"),
            ("title=C", 'body="ONE\\ntwo"', "old=2"),
        ),
        ("d/2", '{"title": "A"}', ("title=B",), ("title=C",)),
    ):
        palimpsest("set", name, value)
        palimpsest("branch", name, "draft")
        palimpsest("update", name, *theirs, "--branch", "draft")
        palimpsest("update", name, *ours)
    done = palimpsest("merge", "d/*", "draft", "--by", "ana", "--json")
    assert done.exit_code == 4, done.stderr
    found: str = json.loads(done.stdout)["merge_id"]
    return found


def value(palimpsest, name: str):
    return json.loads(palimpsest("get", name, "--json").stdout)["value"]


def test_pending_merges_are_listed(palimpsest, merge_id: str) -> None:
    assert palimpsest("merges").stdout.startswith(f"{merge_id}  merge draft into main  4 conflicts in 2 documents  20")
    answer = json.loads(palimpsest("merges", "d/2", "--json").stdout)
    assert answer == {
        "merge_id": merge_id,
        "kind": "merge",
        "source": "draft",
        "into": "main",
        "documents": {"d/1": 3, "d/2": 1},
        "at": answer["at"],
        "by": "ana",
        "description": None,
        "tags": [],
    }
    none = palimpsest("merges", "other/**")
    assert (none.stdout, none.stderr) == ("", "no merge is pending\n")


def test_conflicts_are_shown_side_by_side(palimpsest, merge_id: str) -> None:
    lines = [line.rstrip() for line in palimpsest("conflicts", merge_id).stdout.splitlines()]
    assert lines == [
        "d/1  draft:2 into main:2  base: version 1 of main, the nearest common ancestor",
        "body  edit/edit",
        "    base main:1               ours main:2               theirs draft:2",
        "    one                       ONE                       one",
        "    two                       two                       TWO\\x1b",
        "old  edit/delete",
        "    base main:1               ours main:2               theirs draft:2",
        "    1                         2                         nothing",
        "title  edit/edit",
        "    base main:1               ours main:2               theirs draft:2",
        '    "A"                       "C"                       "B"',
        "d/2  draft:2 into main:2  base: version 1 of main, the nearest common ancestor",
        "title  edit/edit",
        "    base main:1               ours main:2               theirs draft:2",
        '    "A"                       "C"                       "B"',
    ]
    answers = [json.loads(line) for line in palimpsest("conflicts", merge_id, "--json").stdout.splitlines()]
    assert [(each["document"], each["path"]) for each in answers] == [
        *(("d/1", "body"), ("d/1", "old"), ("d/1", "title"), ("d/2", "title"))
    ]
    assert answers[1] == {"document": "d/1", "path": "old", "kind": "edit/delete", "base": 1, "ours": 2}


def test_conflicts_are_resolved_piece_by_piece(palimpsest, merge_id: str) -> None:
    first = palimpsest("resolve", merge_id, "title=theirs", "--document", "d/1")
    assert first.exit_code == 4
    assert f"3 conflicts, pending as {merge_id}" in first.stderr
    assert f"resolve {merge_id} --document d/1 body=theirs" in first.stderr
    second = palimpsest("resolve", merge_id, 'body:="both"', "title:=5", "old=absent", "--by", "bo")
    assert second.exit_code == 0, second.stderr
    assert value(palimpsest, "d/1") == {"body": "both", "title": "B"}  # as it was decided before
    assert value(palimpsest, "d/2") == {"title": 5}
    assert palimpsest("merges").stdout == ""
    assert "  bo  merges draft:2" in palimpsest("history", "d/1", "--limit", "1").stdout


def test_all_that_is_left_is_one_side(palimpsest, merge_id: str) -> None:
    done = palimpsest("resolve", merge_id, "old=theirs", "--all", "ours", "--document", "d/1", "--json")
    assert done.exit_code == 4
    open_still = [each for part in json.loads(done.stdout)["parts"] for each in part["conflicts"]]
    assert [(each["document"], each["path"]) for each in open_still] == [("d/2", "title")]
    assert palimpsest("resolve", merge_id, "title=base").exit_code == 0
    assert value(palimpsest, "d/1") == {"title": "C", "body": "ONE\ntwo"}
    assert value(palimpsest, "d/2") == {"title": "A"}


def test_a_merge_is_abandoned(palimpsest, merge_id: str) -> None:
    done = palimpsest("abandon", merge_id, "--json")
    assert json.loads(done.stdout) == {"merge_id": merge_id, "abandoned": True}
    assert palimpsest("merges").stdout == ""
    assert value(palimpsest, "d/2") == {"title": "C"}
    assert palimpsest("abandon", merge_id).exit_code != 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["title=their"],
        ["nix=ours"],
        ["title=ours", "--document", "d/3"],
        ["--all", "mine"],
        ["title=ours", "title=theirs"],
        ["title:={"],
    ],
)
def test_what_decides_nothing_is_refused(palimpsest, merge_id: str, words: list[str]) -> None:
    assert palimpsest("resolve", merge_id, *words).exit_code == 2


@pytest.mark.parametrize("words", [["conflicts", "nix"], ["resolve", "nix", "a=ours"], ["abandon", "nix"]])
def test_a_merge_that_is_not_there(palimpsest, words: list[str]) -> None:
    missed = palimpsest(*words)
    assert missed.exit_code in (2, 3)
    assert missed.stderr == "palimpsest: no merge 'nix' is pending\n"
