from __future__ import annotations

import json

import pytest

from palimpsest.cli.branches import branch_lines, prospect_lines
from palimpsest.client import Branch
from palimpsest.words import Meta


def test_branches_for_people_are_in_columns() -> None:
    found = [
        Branch("notes/1", "main", None, 12),
        Branch("notes/1", "ana/draft", ("main", 3), 4, 0, Meta("ana", "first\nsecond"), True),
        Branch("notes/**", "x", ("main", 0), 0),
    ]
    assert [line.plain for line in branch_lines(found)] == [
        "notes/1   main       version 12",
        "notes/1   ana/draft  version 4   from main:3  ana  first  deleted",
        "notes/**  x                      from main",
    ]


def test_of_many_the_first_are_named() -> None:
    found = [Branch(f"notes/{number}", "x", ("main", 1), 1) for number in range(12)]
    lines = [line.plain for line in prospect_lines(found)]
    assert lines[9].startswith("notes/9 ")
    assert lines[10] == "and 2 more branches"
    assert prospect_lines(found[:11])[10].plain == "and 1 more branch"


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def story(palimpsest, palimpsest_clock) -> None:
    """Three versions, an hour apart; the second is tagged."""
    palimpsest("set", "notes/1", '{"title": "A"}', "--by", "ana")
    palimpsest_clock.advance(3_600)
    palimpsest("update", "notes/1", "title=B", "--tag", "good")
    palimpsest_clock.advance(3_600)
    palimpsest("update", "notes/1", "title=C")


def listed(palimpsest, *words: str) -> list[dict]:
    shown = palimpsest("branches", *words, "--json")
    assert shown.exit_code == 0, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_a_branch_is_made_listed_and_deleted(palimpsest, story) -> None:
    made = palimpsest("branch", "notes/1", "ana/draft", "--at", "2", "--by", "ana", "-m", "to try", "--json")
    assert made.exit_code == 0, made.stderr
    expected = {
        "document": "notes/1",
        "branch": "ana/draft",
        "base": "main:2",
        "head": 2,
        "at": "2020-01-01T02:00:00.000000Z",
        "by": "ana",
        "description": "to try",
        "deleted": False,
    }
    assert json.loads(made.stdout) == expected
    assert [each["branch"] for each in listed(palimpsest, "notes/1")] == ["main", "ana/draft"]
    shown = palimpsest("branches", "notes/1").stdout.splitlines()
    assert shown[0] == "notes/1  main       version 3"
    assert shown[1].startswith("notes/1  ana/draft  version 2  from main:2  2020-01-01 ")
    assert shown[1].endswith("  ana  to try")
    declined = palimpsest("branch", "--delete", "notes/1", "ana/draft", stdin="n\n")
    assert declined.exit_code == 1
    assert "from main:2" in declined.stderr
    assert palimpsest("branch", "--delete", "notes/1", "ana/draft", "--yes", "--json").exit_code == 0
    assert [each["branch"] for each in listed(palimpsest, "notes/1")] == ["main"]
    assert listed(palimpsest, "notes/1", "--deleted")[1] == expected | {"deleted": True}


STARTS = [
    ([], "main:3"),
    (["--at", "1"], "main:1"),
    (["--at", "main"], "main:3"),
    (["--at", "main:2"], "main:2"),
    (["--at", "@2020-01-01T01:30:00Z"], "main:2"),
    (["--at", "tag=good"], "main:2"),
    (["--at", "x"], "x:3"),
    (["--at", "x:3"], "x:3"),
    (["--at", "x:1"], "main:1"),
    (["--at", "x:@2020-01-01T00:30:00Z"], "main:1"),
]


def test_where_a_branch_starts(palimpsest, story) -> None:
    palimpsest("branch", "notes/1", "x", "--at", "2")
    palimpsest("update", "notes/1", "x=1", "--branch", "x")
    for number, (words, base) in enumerate(STARTS):
        made = palimpsest("branch", "notes/1", f"b{number}", *words, "--json")
        assert made.exit_code == 0, made.stderr
        assert json.loads(made.stdout)["base"] == base, words


def test_a_branch_of_many_documents(palimpsest, story) -> None:
    assert palimpsest("branch", "notes/**", "exp").stdout.startswith("notes/**  exp    from main  2020-01-01 ")
    assert [(each["document"], each["base"], each["head"]) for each in listed(palimpsest)] == [("notes/**", "main", 0)]
    palimpsest("update", "notes/1", "title=D", "--branch", "exp")
    assert [(each["document"], each["branch"]) for each in listed(palimpsest)] == [
        ("notes/**", "exp"),
        ("notes/1", "main"),
        ("notes/1", "exp"),
    ]
    assert palimpsest("branch", "--delete", "notes/**", "exp", stdin="yes\n").stdout.count("deleted") == 2
    assert palimpsest("branches").stderr == "no branches\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["branch", "notes/1", "x", "--at", "9"], 3),
        (["branch", "notes/1", "x", "--at", "nix"], 3),
        (["branch", "nix", "x"], 3),
        (["branch", "notes/1", "main"], 2),
        (["branch", "notes/1", "a b\n"], 2),
        (["branch", "notes/1", "x", "--at", "main:x"], 2),
        (["branch", "notes/1", "x", "--at", "1", "--delete"], 2),
        (["branch", "notes/1", "nix", "--delete"], 3),
        (["branch", "notes/1", "main", "--delete", "--yes"], 2),
        (["branches", "nix"], 3),
    ],
)
def test_what_is_refused(palimpsest, story, words: list[str], code: int) -> None:
    assert palimpsest(*words).exit_code == code
