from __future__ import annotations

import json

import pytest

from palimpsest.cli.viewing import make_view
from palimpsest.errors import UsageError


def test_which_view_is_meant() -> None:
    assert make_view(None, None, None) == {"perspective": None, "family": None, "level": None}
    assert make_view("public", None, None)["perspective"] == "public"
    assert make_view(None, "note", 2) == {"perspective": None, "family": "note", "level": 2}


@pytest.mark.parametrize(
    "said", [("public", "note", 1), ("public", "note", None), (None, "note", None), (None, None, 1)]
)
def test_what_does_not_go_together(said: tuple[str | None, str | None, int | None]) -> None:
    with pytest.raises(UsageError, match="--family"):
        make_view(*said)


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def story(palimpsest) -> None:
    definition = {"documents": "notes/*", "include": ["title"], "writable": ["title"], "family": "note", "level": 1}
    assert palimpsest("perspective", "put", "public", "-", stdin=json.dumps(definition)).exit_code == 0
    palimpsest("set", "notes/1", '{"title": "A", "secret": "deep"}')
    palimpsest("update", "notes/1", "title=B", "secret=deeper")
    palimpsest("set", "other", "1")


@pytest.mark.parametrize(
    "view", [("--perspective", "public"), ("--family", "note", "--level", "1")], ids=["name", "level"]
)
def test_reading_through_a_perspective(palimpsest, story, view) -> None:
    assert json.loads(palimpsest("get", "notes/1", *view).stdout) == {"title": "B"}
    assert palimpsest("list", *view).stdout == "notes/1\n"
    for words in (["history", "notes/1"], ["diff", "notes/1"], ["blame", "notes/1"]):
        shown = palimpsest(*words, *view)
        assert shown.exit_code == 0, shown.stderr
        assert "title" in shown.stdout
        assert "deep" not in shown.output
    assert json.loads(palimpsest("diff", "notes/1", "--patch", *view).stdout)[0]["path"] == "/title"
    shown = palimpsest("watch", "notes/*", "--from", "snapshot", "--limit", "1", "--json", *view)
    assert json.loads(shown.stdout)["value"] == {"title": "B"}


def test_writing_through_a_perspective(palimpsest, story) -> None:
    assert palimpsest("update", "notes/1", "title=C", "--perspective", "public").exit_code == 0
    assert json.loads(palimpsest("get", "notes/1").stdout) == {"title": "C", "secret": "deeper"}
    for words in (["update", "notes/1", "secret=x"], ["update", "notes/1", "none=x"]):
        refused = palimpsest(*words, "--perspective", "public")
        assert refused.exit_code == 10
        assert "cannot be written" in refused.stderr


def test_what_is_not_there(palimpsest, story) -> None:
    assert palimpsest("get", "other", "--perspective", "public").exit_code == 3
    assert palimpsest("get", "notes/1", "--perspective", "none").exit_code == 3
    assert palimpsest("get", "notes/1", "--level", "1").exit_code == 2
