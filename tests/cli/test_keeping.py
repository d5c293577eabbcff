from __future__ import annotations

import json

import pytest

from palimpsest.cli.keeping import policy_line
from palimpsest.state.retention import Retention


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        (Retention(documents="**"), "p  **  keeps everything; tagged * for ever"),
        (
            Retention(documents="logs/**", versions=1_000, seconds=86_400.0, bytes_max=10_000_000, tags=("v*", "x")),
            "p  logs/**  keeps the newest 1,000 and what is younger than 1d, at most 10.0 MB of a document; tagged v*, x for ever",
        ),
        (
            Retention(documents="a", branch="draft", versions=1, tags=(), description="why"),
            "p  a on draft  keeps the newest 1; tags keep nothing  why",
        ),
    ],
)
def test_a_policy_for_people(policy: Retention, line: str) -> None:
    assert policy_line("p", policy).plain == line


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def story(palimpsest, palimpsest_clock) -> None:
    """Ten versions of one document, two of another; an hour between the fifth and the sixth."""
    palimpsest("set", "logs/1", "1", "--tag", "keep")
    for number in range(2, 11):
        palimpsest("update", "logs/1", f"={number}")
        if number == 5:
            palimpsest_clock.advance(3_600)
    palimpsest("set", "logs/2", "1")
    palimpsest("update", "logs/2", "=2")


def left(palimpsest, name: str) -> list[int]:
    return [json.loads(line)["version"] for line in palimpsest("history", name, "--json").stdout.splitlines()]


def test_a_dry_run_says_what_would_go(palimpsest, story) -> None:
    shown = palimpsest("prune", "logs/**", "--versions", "3", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("would prune 6 versions of 1 document, about ")
    assert lines[1] == "the largest:"
    assert lines[2].endswith("6 versions  logs/1")
    answer = json.loads(palimpsest("prune", "--versions", "3", "--dry-run", "--json").stdout)
    assert (answer["dry_run"], answer["documents"], answer["events"]) == (True, 1, 6)
    assert [(share["document"], share["events"]) for share in answer["largest"]] == [("logs/1", 6)]
    assert len(left(palimpsest, "logs/1")) == 10


def test_prune_asks_and_prunes(palimpsest, story) -> None:
    declined = palimpsest("prune", "--versions", "3", stdin="n\n")
    assert declined.exit_code == 1
    assert "would prune 6 versions" in declined.stdout
    assert "Prune? [y/N]" in declined.stderr
    assert len(left(palimpsest, "logs/1")) == 10
    done = palimpsest("prune", "--versions", "3", stdin="y\n")
    assert done.exit_code == 0, done.stderr
    assert "pruned 6 versions of 1 document" in done.stdout.splitlines()[-1]
    assert left(palimpsest, "logs/1") == [10, 9, 8, 1]
    assert palimpsest("get", "logs/1", "--version", "2").exit_code == 3
    again = palimpsest("prune", "--versions", "3")
    assert (again.exit_code, again.stdout) == (0, "nothing to prune\n")


def test_prune_for_programs_prints_what_was_done(palimpsest, story) -> None:
    done = palimpsest("prune", "logs/1", "--age", "30m", "--tag", "other", "--yes", "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["dry_run"], answer["events"]) == (False, 5)
    assert left(palimpsest, "logs/1") == [10, 9, 8, 7, 6]


def test_policies_are_kept_and_honoured(palimpsest, story) -> None:
    assert palimpsest("retention", "list").stdout == ""
    made = palimpsest(
        *("retention", "set", "logs", "--documents", "logs/*", "--versions", "2", "--age", "1m", "--bytes-max", "1MB"),
        *("--tag", "v*", "--by", "ana", "-m", "the disk is small", "--json"),
    )
    assert made.exit_code == 0, made.stderr
    answer = json.loads(made.stdout)
    assert (answer["document"], answer["version"], answer["by"]) == ("$system/retention/logs", 1, "ana")
    assert json.loads(palimpsest("retention", "list", "--json").stdout) == {
        "name": "logs",
        "documents": "logs/*",
        "branch": "main",
        "versions": 2,
        "seconds": 60.0,
        "bytes_max": 1_000_000,
        "tags": ["v*"],
        "description": "the disk is small",
    }
    assert palimpsest("retention", "list").stdout.startswith("logs  logs/*  keeps the newest 2 and what is younger")
    assert palimpsest("prune", "--yes").exit_code == 0
    assert left(palimpsest, "logs/2") == [2, 1]
    assert palimpsest("retention", "delete", "logs").exit_code == 0
    assert palimpsest("retention", "list").stdout == ""
    assert palimpsest("retention", "delete", "logs").exit_code == 3


@pytest.mark.parametrize(
    "words",
    [
        ["prune", "--age", "1y"],
        ["prune", "--bytes-max", "much"],
        ["prune", "--tag", "x"],
        ["prune", "--versions", "0"],
        ["retention", "set", "x"],
        ["retention", "set", "a/b", "--documents", "**"],
        ["retention", "set", "x", "--documents", "a*"],
    ],
)
def test_what_is_refused(palimpsest, words: list[str]) -> None:
    assert palimpsest(*words).exit_code == 2


def test_stats(palimpsest, story) -> None:
    palimpsest("delete", "logs/2")
    answer = json.loads(palimpsest("stats", "logs/**", "--json").stdout)
    assert (answer["documents"], answer["deleted"], answer["versions"], answer["events"]) == (1, 1, 13, 13)
    assert answer["bytes"] > 0
    assert [(share["document"], share["events"]) for share in answer["largest"]] == [("logs/1", 10), ("logs/2", 3)]
    shown = palimpsest("stats", "--largest", "1").stdout.splitlines()
    assert shown[0].split() == ["documents", "1"]
    assert shown[-1].endswith("10 versions  logs/1")
