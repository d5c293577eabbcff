from __future__ import annotations

import json
import shlex

import pytest


@pytest.fixture
def story(palimpsest) -> None:
    """Both sides count stars and change other things; the title is changed by draft alone."""
    for words in (
        ("set", "n", '{"title": "A", "stars": 1, "body": "one\\ntwo\\nthree"}', "--by", "ana"),
        ("branch", "n", "draft"),
        ("update", "n", "title=B", "stars+=2", "--branch", "draft", "--by", "bo", "-m", "better"),
        ("update", "n", "stars+=4", "fresh=true"),
    ):
        assert palimpsest(*words).exit_code == 0


def value(palimpsest, name: str = "n", branch: str = "main"):
    return json.loads(palimpsest("get", name, "--branch", branch, "--json").stdout)["value"]


def test_a_merge_says_what_was_compared_and_what_changes(palimpsest, story) -> None:
    done = palimpsest("merge", "n", "draft", "--rule", "stars=sum", "--by", "ana", "-m", "it is good", "--tag", "x")
    assert done.exit_code == 0, done.stderr
    first, base, *lines = done.stdout.splitlines()
    assert first.startswith("n  draft:2 into main:2  merged, version 3  20")
    assert base.startswith("    base: version 1 of main, the nearest common ancestor")
    assert lines == [
        "stars",
        "  - 5",
        "  + 7",
        "title",
        '  - "A"',
        '  + "B"',
    ]
    assert value(palimpsest) == {"title": "B", "stars": 7, "body": "one\ntwo\nthree", "fresh": True}
    newest = palimpsest("history", "n", "--limit", "1").stdout.splitlines()[0]
    assert newest.endswith("ana  it is good  [x]  merges draft:2")
    again = palimpsest("merge", "n", "draft", "--json")
    assert again.exit_code == 0
    answer = json.loads(again.stdout)
    assert (answer["committed"], answer["version"], answer["parts"][0]["outcome"]) == (False, None, "up_to_date")


def test_a_dry_run_does_nothing(palimpsest, story) -> None:
    done = palimpsest("merge", "n", "draft:2", "--rule", "stars=max", "--dry-run")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "n  draft:2 into main:2  merged"
    assert done.stderr == "a dry run: nothing was done\n"
    conflicting = palimpsest("merge", "n", "draft", "--dry-run")
    assert conflicting.exit_code == 4
    assert conflicting.stderr == "a dry run: nothing was done; 1 conflict would be left\n"
    assert value(palimpsest)["stars"] == 5
    assert palimpsest("merges").stdout == ""


def test_conflicts_are_printed_with_their_sides_and_how_to_go_on(palimpsest, story) -> None:
    done = palimpsest("merge", "n", "draft")
    assert done.exit_code == 4
    assert done.stdout.splitlines()[-4:] == [
        "stars  edit/edit",
        "    base   1",
        "    ours   5",
        "    theirs 3",
    ]
    said, look, decide, give_up = done.stderr.splitlines()
    merge_id = said.removeprefix("nothing was done yet: 1 conflict, pending as ")
    assert look == f"    palimpsest conflicts {merge_id}"
    assert decide == f"    palimpsest resolve {merge_id} stars=theirs"
    assert give_up == f"    palimpsest abandon {merge_id}"
    assert palimpsest(*decide.split()[1:]).exit_code == 0
    assert value(palimpsest)["stars"] == 3


def test_how_to_go_on_can_be_typed_as_it_stands(palimpsest) -> None:
    palimpsest("set", "d", "{}")
    palimpsest("branch", "d", "draft")
    for branch in ("main", "draft"):
        palimpsest("update", "d", f'["[red]a=b"]={branch}', "--branch", branch)
    done = palimpsest("merge", "d", "draft")
    (line,) = (line for line in done.stderr.splitlines() if "resolve" in line)
    assert palimpsest(*shlex.split(line)[1:]).exit_code == 0
    assert value(palimpsest, "d") == {"[red]a=b": "draft"}


def test_a_merge_for_programs(palimpsest, story) -> None:
    done = palimpsest("merge", "n", "draft", "--json")
    assert (done.exit_code, done.stderr) == (4, "")
    answer = json.loads(done.stdout)
    part = answer["parts"][0]
    assert answer == {
        "merge_id": answer["merge_id"],
        "committed": False,
        "dry_run": False,
        "repeat": False,
        "at": None,
        "version": None,
        "parts": [part],
    }
    assert part == {
        "document": "n",
        "source": "draft:2",
        "into": "main:2",
        "base": "main:1",
        "bases": part["bases"],
        "base_reason": "version 1 of main, the nearest common ancestor",
        "outcome": "conflicts",
        "version": None,
        "settled": 0,
        "delta": [{"op": "set", "path": "title", "value": "B"}],
        "conflicts": [
            {"document": "n", "path": "stars", "kind": "edit/edit", "base": 1, "ours": 5, "theirs": 3},
        ],
    }


def test_into_another_branch_squashed_and_only_if(palimpsest, story) -> None:
    assert palimpsest("merge", "n", "main", "--into", "draft", "--expect", "1", "--rule", "=ours").exit_code == 4
    done = palimpsest("merge", "n", "main", "--into", "draft", "--squash", "--expect", "2", "--rule", "=ours", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 3
    assert value(palimpsest, branch="draft")["stars"] == 3
    assert "merges" not in palimpsest("history", "n", "--branch", "draft").stdout


def test_a_deleted_document_and_one_that_is_new(palimpsest) -> None:
    palimpsest("set", "d", '{"a": 1}')
    palimpsest("branch", "**", "exp")
    palimpsest("delete", "d", "--branch", "exp")
    palimpsest("set", "e", '{"b": 2}', "--branch", "exp")
    for words in (("--dry-run",), ()):
        done = palimpsest("merge", "**", "exp", *words)
        assert done.exit_code == 0, done.stderr
        shown = done.stdout.splitlines()
        assert [line.split()[0] for line in shown if " into " in line] == ["d", "e"]
        assert [line for line in shown if line.startswith("  ") and "base" not in line] == [
            '  - {"a":1}',
            '  + {"b":2}',
        ]
    assert palimpsest("list").stdout == "e\n"


def test_of_many_documents_the_first_are_shown_in_full(palimpsest) -> None:
    palimpsest("branch", "c/*", "exp")
    for number in range(22):
        palimpsest("set", f"c/{number:02}", "1", "--branch", "exp")
    shown = palimpsest("merge", "c/*", "exp", "--dry-run").stdout.splitlines()
    assert (sum(" into " in line for line in shown), shown.count("  + 1")) == (22, 20)


def test_one_version_is_picked(palimpsest, story) -> None:
    palimpsest("update", "n", "fresh=1", "--branch", "draft")
    done = palimpsest("cherry-pick", "n", "draft:2", "--rule", "stars=theirs")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[1] == (
        "    base: version 1 of main, the one before what is picked; 1 conflict settled"
    )
    assert value(palimpsest) == {"title": "B", "stars": 3, "body": "one\ntwo\nthree", "fresh": True}
    assert palimpsest("history", "n", "--limit", "1").stdout.splitlines()[0].endswith("  bo  better")
    assert palimpsest("cherry-pick", "n", "draft:9").exit_code == 3


def test_a_branch_is_rebased_version_by_version(palimpsest, story) -> None:
    palimpsest("update", "n", "title=C", "--branch", "draft")
    tried = palimpsest("rebase", "n", "draft", "--rule", "stars=sum", "--dry-run")
    assert tried.exit_code == 0, tried.stderr
    assert [line for line in tried.stdout.splitlines() if line.startswith("  ") and "base" not in line] == [
        *("  - 5", "  + 7", '  - "A"', '  + "B"', '  - "B"', '  + "C"')
    ]
    assert value(palimpsest, branch="draft")["stars"] == 3
    assert palimpsest("rebase", "n", "draft", "--onto", "main:2", "--rule", "stars=sum", "--json").exit_code == 0
    assert value(palimpsest, branch="draft") == {
        "title": "C",
        "stars": 7,
        "body": "one\ntwo\nthree",
        "fresh": True,
    }
    listed = [json.loads(line) for line in palimpsest("branches", "n", "--json").stdout.splitlines()]
    assert [each["base"] for each in listed] == [None, "main:2"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["merge", "n", "nix"], 3),
        (["merge", "nix", "draft"], 3),
        (["merge", "n", "draft:9"], 3),
        (["merge", "n", "draft", "--rule", "stars"], 2),
        (["merge", "n", "draft", "--rule", "stars=most"], 2),
        (["merge", "n", "draft:x"], 2),
        (["rebase", "n", "nix"], 3),
    ],
)
def test_what_is_refused(palimpsest, story, words: list[str], code: int) -> None:
    assert palimpsest(*words).exit_code == code
