from __future__ import annotations

import json

import pytest


@pytest.fixture
def story(palimpsest, palimpsest_clock) -> None:
    """A version an hour, from the first moment of 2020 on."""
    palimpsest("set", "notes/1", '{"title": "A"}', "--by", "ana", "-m", "first", "--tag", "x", "--tag", "y")
    palimpsest_clock.advance(3_600)
    palimpsest("update", "notes/1", "title=B", "stars+=1", "--by", "bo", "--tag", "x")
    palimpsest_clock.advance(3_600)
    palimpsest("delete", "notes/1")


def test_history_is_newest_first_with_what_changed(palimpsest, story) -> None:
    lines = [line.rstrip() for line in palimpsest("history", "notes/1").stdout.splitlines()]
    assert lines[0].startswith("notes/1  version 3  delete")
    assert lines[1].startswith("notes/1  version 2  update")
    assert lines[1].endswith("bo  [x]")
    assert lines[2:4] == ['    set title "B"', "    increment stars 1"]
    assert lines[4].endswith("ana  first  [x, y]")
    assert lines[5] == '    set the root {"title":"A"}'


def test_history_as_json(palimpsest, story) -> None:
    lines = [
        json.loads(line) for line in palimpsest("history", "notes/1", "--oldest-first", "--json").stdout.splitlines()
    ]
    assert [line["version"] for line in lines] == [1, 2, 3]
    assert [line["kind"] for line in lines] == ["create", "update", "delete"]
    assert lines[0]["delta"] == [{"op": "set", "path": "", "value": {"title": "A"}}]
    assert lines[1]["delta"] == [
        {"op": "set", "path": "title", "value": "B"},
        {"op": "increment", "path": "stars", "by": 1},
    ]
    assert lines[1]["tags"] == ["x"]
    assert all(isinstance(line["request"], str) for line in lines)


CONDITIONS: list[tuple[list[str], list[int]]] = [
    (["--limit", "2"], [3, 2]),
    (["--first", "2"], [3, 2]),
    (["--last", "2", "--oldest-first"], [1, 2]),
    (["--by", "bo"], [2]),
    (["--tag", "x"], [2, 1]),
    (["--tag", "x", "--tag", "y"], [2, 1]),
    (["--tag", "x", "--tag", "y", "--all-tags"], [1]),
    (["--path", "stars"], [2, 1]),
    (["--since", "2020-01-01T00:30:00Z"], [3, 2]),
    (["--until", "2020-01-01T00:30:00Z"], [1]),
    (["--since", "2h"], []),
]


def test_history_by_conditions(palimpsest, story) -> None:
    for conditions, versions in CONDITIONS:
        found = palimpsest("history", "notes/1", *conditions, "--json")
        assert found.exit_code == 0, found.stderr
        shown = [json.loads(line)["version"] for line in found.stdout.splitlines()]
        assert shown == versions, conditions


REFUSED: list[tuple[list[str], int]] = [
    (["nothing"], 3),
    (["notes/1", "--since", "soon"], 2),
    (["notes/1", "--all-tags"], 2),
    (["notes/1", "--path", "a."], 2),
]


def test_what_is_refused(palimpsest, story) -> None:
    for words, code in REFUSED:
        refused = palimpsest("history", *words)
        assert refused.exit_code == code, words
        assert refused.stderr.count("\n") == 1


def test_blame_names_the_version_of_each_path(palimpsest) -> None:
    palimpsest("set", "d", '{"title": "A", "meta": {"n": 1}, "tags": []}', "--by", "ana")
    palimpsest("update", "d", "title=B", "--by", "bo")
    shown = palimpsest("blame", "d")
    assert shown.exit_code == 0, shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert {(row[0], row[3], row[4], row[5]) for row in rows} == {
        ("2", "bo", "title", '"B"'),
        ("1", "ana", "meta.n", "1"),
        ("1", "ana", "tags", "[]"),
    }
    lines = [json.loads(line) for line in palimpsest("blame", "d", "--path", "meta", "--json").stdout.splitlines()]
    assert lines == [
        {
            "path": "meta.n",
            "value": 1,
            "branch": "main",
            "version": 1,
            "exact": True,
            "at": "2020-01-01T00:00:00.000000Z",
            "by": "ana",
            "description": None,
            "tags": [],
        }
    ]
    older = [json.loads(line) for line in palimpsest("blame", "d", "--version", "1", "--json").stdout.splitlines()]
    assert {line["version"] for line in older} == {1}


def test_blame_says_where_history_ends(palimpsest) -> None:
    palimpsest("set", "d", '{"a": 1, "b": 1}')
    for number in range(2, 5):
        palimpsest("update", "d", f"b={number}")
    assert palimpsest("prune", "d", "--versions", "2", "--yes").exit_code == 0
    rows = [line.split() for line in palimpsest("blame", "d").stdout.splitlines()]
    assert [(row[0], row[-2:]) for row in rows] == [("3", ["a", "1"]), ("4", ["b", "4"])]
    assert rows[0][1:3] == ["or", "before"]
    lines = [json.loads(line) for line in palimpsest("blame", "d", "--json").stdout.splitlines()]
    assert [(line["path"], line["exact"]) for line in lines] == [("a", False), ("b", True)]


def test_what_another_branch_made_says_so(palimpsest) -> None:
    palimpsest("set", "d", '{"a": 1, "b": 1}')
    palimpsest("branch", "d", "draft")
    palimpsest("update", "d", "a=2", "--branch", "draft")
    palimpsest("merge", "d", "draft")
    shown = palimpsest("blame", "d").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["draft:2", "1"]
    assert [line.split()[-2:] for line in shown] == [["a", "2"], ["b", "1"]]
    answer = json.loads(palimpsest("blame", "d", "--path", "a", "--json").stdout)
    assert (answer["branch"], answer["version"]) == ("draft", 2)
    entries = palimpsest("history", "d", "--branch", "draft").stdout.splitlines()
    assert entries[0].startswith("d on draft  version 2  update  ")
    assert entries[0].endswith("  from main:1")
    assert entries[2].startswith("d  version 1  create  ")
