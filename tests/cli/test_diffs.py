from __future__ import annotations

import json

import pytest


@pytest.fixture
def story(palimpsest, palimpsest_clock) -> None:
    palimpsest("set", "d", '{"title": "A", "body": "one\\ntwo\\nthree", "n": 1}', "--by", "ana", "-m", "first")
    palimpsest_clock.advance(3_600)
    palimpsest("update", "d", "title=B", "draft=true", "--tag", "good")
    palimpsest("update", "d", "n-", "body=one\n2\nthree")


def test_differences_by_path(palimpsest, story) -> None:
    shown = palimpsest("diff", "d", "1", "3")
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("--- d  main:1  ")
    assert lines[0].endswith("ana  first")
    assert lines[1].startswith("+++ d  main:3  ")
    assert [line.rstrip() for line in lines[2:]] == [
        "body",
        "  @@ -1,3 +1,3 @@",
        "    one",
        "  - two",
        "  + 2",
        "    three",
        "draft",
        "  + true",
        "n",
        "  - 1",
        "title",
        '  - "A"',
        '  + "B"',
    ]
    assert "\x1b" not in shown.stdout


VERSIONS: list[tuple[list[str], str | None, str]] = [
    ([], "main:2", "main:3"),
    (["2"], "main:1", "main:2"),
    (["1"], None, "main:1"),
    (["3", "1"], "main:3", "main:1"),
    (["tag=good", "main"], "main:2", "main:3"),
    (["@2020-01-01T00:30:00Z", "main:3"], "main:1", "main:3"),
]


def test_which_versions(palimpsest, story) -> None:
    for words, a, b in VERSIONS:
        found = palimpsest("diff", "d", *words, "--json")
        assert found.exit_code == 0, found.stderr
        answer = json.loads(found.stdout)
        assert (answer["document"], answer["a"], answer["b"]) == ("d", a, b), words


def test_the_delta_and_the_patch(palimpsest, story) -> None:
    assert json.loads(palimpsest("diff", "d", "1", "2", "--json").stdout)["delta"] == [
        {"op": "set", "path": "draft", "value": True},
        {"op": "set", "path": "title", "value": "B"},
    ]
    patch = json.loads(palimpsest("diff", "d", "1", "2", "--patch").stdout)
    assert patch == [
        {"op": "add", "path": "/draft", "value": True},
        {"op": "replace", "path": "/title", "value": "B"},
    ]
    (whole,) = json.loads(palimpsest("diff", "d", "1", "--patch").stdout)
    assert (whole["op"], whole["path"], whole["value"]["n"]) == ("add", "", 1)
    (delta,) = json.loads(palimpsest("diff", "d", "1", "--json").stdout)["delta"]
    assert (delta["op"], delta["path"], delta["value"]["n"]) == ("set", "", 1)


def test_side_by_side(palimpsest, story) -> None:
    lines = palimpsest("diff", "d", "1", "2", "--side-by-side").stdout.splitlines()
    assert [line.split() for line in lines[2:]] == [["draft"], ["true"], ["title"], ['"A"', '"B"']]


def test_a_version_after_a_deletion_is_all_new(palimpsest, story) -> None:
    palimpsest("delete", "d")
    palimpsest("set", "d", "1")
    shown = palimpsest("diff", "d").stdout.splitlines()
    assert shown[0] == "--- nothing"
    assert shown[2:] == ["the root", "  + 1"]


def test_no_difference(palimpsest, story) -> None:
    same = palimpsest("diff", "d", "2", "2")
    assert (same.exit_code, same.stdout) == (0, "")
    assert "no difference" in same.stderr
    assert json.loads(palimpsest("diff", "d", "2", "2", "--patch").stdout) == []


REFUSED: list[tuple[list[str], int]] = [
    (["d", "9"], 3),
    (["nothing"], 3),
    (["d", "1:x"], 2),
    (["d", "1", "--patch", "--json"], 2),
    (["d", "other:1"], 3),
]


def test_what_is_refused(palimpsest, story) -> None:
    for words, code in REFUSED:
        refused = palimpsest("diff", *words)
        assert refused.exit_code == code, words
        assert refused.stderr.count("\n") == 1
