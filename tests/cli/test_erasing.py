from __future__ import annotations

import json

import pytest

from palimpsest.cli.erasing import Prospect, matching, prospect_lines
from palimpsest.state.paths import parse_path


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("", [""]),
        ("email", ["email"]),
        ("people.*.name", ["people.0.name", "people.1.name"]),
        ("people.1", ["people.1"]),
        ("people.7", []),
        ("*", ["email", "people"]),
        ("email.deep", []),
        ("nothing", []),
        ('people["0"]', []),
    ],
)
def test_the_paths_that_a_pattern_speaks_of(pattern: str, paths: list[str]) -> None:
    value = {"people": [{"name": "A"}, {"name": "B"}], "email": "a@example.org"}
    assert list(matching(value, parse_path(pattern))) == [parse_path(path) for path in paths]


def test_what_will_be_gone_is_said() -> None:
    whole = [line.plain for line in prospect_lines("d", "main", (), Prospect(1, ((),), 1))]
    assert whole[0] == "All of d will be gone: 1 version, all branches, all tags."
    part = [line.plain for line in prospect_lines("d", "main", ("a", "*"), Prospect(1_000, (("a", 0),), 12))]
    assert part[:4] == [
        "a.* of d on main will be gone from all 1,000 versions, whatever it was in each.",
        "In the newest version that is:",
        "    a.0",
        "    and 11 more",
    ]
    gone = [line.plain for line in prospect_lines("d", "main", ("a",), Prospect(2, (), 0))]
    assert gone[1] == "In the newest version there is nothing at this path; older ones may have had it."


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def person(palimpsest) -> None:
    palimpsest("set", "users/7", '{"email": "a@example.org", "name": "A"}')
    palimpsest("update", "users/7", "email=b@example.org")


SAID = ("--by", "ana", "-m", "request 81")


def test_a_path_is_erased_from_every_version(palimpsest, person) -> None:
    erased = palimpsest("erase", "users/7", "--path", "email", *SAID, "--yes", "--json")
    assert erased.exit_code == 0, erased.stderr
    answer = json.loads(erased.stdout)
    assert (answer["version"], answer["kind"], answer["by"], answer["description"]) == (3, "erase", *SAID[1::2])
    for version in ("1", "2", "3"):
        assert json.loads(palimpsest("get", "users/7", "--version", version).stdout) == {"name": "A"}
    assert "erase email" in palimpsest("history", "users/7").stdout


def test_a_whole_document_is_erased(palimpsest, person) -> None:
    palimpsest("delete", "users/7")
    erased = palimpsest("erase", "users/7", *SAID, stdin="y\n")
    assert erased.exit_code == 0, erased.stderr
    assert "All of users/7 will be gone: 3 versions" in erased.stderr
    assert palimpsest("get", "users/7", "--version", "1").exit_code == 3


def test_nothing_is_erased_without_a_yes(palimpsest, person) -> None:
    declined = palimpsest("erase", "users/7", *SAID, stdin="n\n")
    assert (declined.exit_code, declined.stdout) == (1, "")
    assert "nothing was done" in declined.stderr
    unanswered = palimpsest("erase", "users/7", *SAID)
    assert unanswered.exit_code == 2
    assert "--yes" in unanswered.stderr
    assert json.loads(palimpsest("get", "users/7").stdout) == {"email": "b@example.org", "name": "A"}


@pytest.mark.parametrize("said", [(), ("--by", "ana"), ("-m", "why")])
def test_who_and_why_have_to_be_said(palimpsest, said: tuple[str, ...]) -> None:
    assert palimpsest("erase", "users/7", *said, "--yes").exit_code == 2


def test_what_never_was_cannot_be_erased(palimpsest) -> None:
    assert palimpsest("erase", "nothing", *SAID, "--yes").exit_code == 3
