from __future__ import annotations

import json

import pytest

from palimpsest.cli.perspectives import perspective_line
from palimpsest.state.perspectives import Mask, Perspective

PUBLIC = {"documents": "notes/*", "include": ["title", "author"], "exclude": ["author.email"], "description": "for all"}


@pytest.mark.parametrize(
    ("perspective", "line"),
    [
        (Perspective(name="p"), "p  **"),
        (
            Perspective(
                name="p",
                documents=("a", "b/*"),
                family="f",
                level=2,
                extends="q",
                include=("",),
                exclude=("x",),
                rename={"a": "b"},
                mask={"c": Mask()},
                compute={"d": "e"},
                writable=("g",),
                description="why",
            ),
            "p  a, b/*  level 2 of f  extends q  shows the root  hides x  renames a  masks c  computes d  writes g  why",
        ),
        (Perspective(name="p", include=("a", "b", "c", "d", "e")), "p  **  shows a, b, c, d and 1 path more"),
    ],
    ids=["bare", "full", "many"],
)
def test_a_perspective_for_people(perspective: Perspective, line: str) -> None:
    assert perspective_line(perspective).plain == line


def test_a_perspective_comes_and_goes(palimpsest, tmp_path) -> None:
    file = tmp_path / "public.json"
    file.write_text(json.dumps(PUBLIC))
    made = palimpsest("perspective", "put", "public", str(file), "--by", "ana", "--json")
    assert json.loads(made.stdout)["document"] == "$system/perspectives/public"
    assert json.loads(palimpsest("perspective", "show", "public").stdout) == PUBLIC
    assert json.loads(palimpsest("perspective", "show", "public", "--json").stdout) == {"name": "public", **PUBLIC}
    assert palimpsest("perspective", "list").stdout == (
        "public  notes/*  shows title, author  hides author.email  for all\n"
    )
    assert json.loads(palimpsest("perspective", "list", "--json").stdout)["name"] == "public"
    assert palimpsest("perspective", "delete", "public").exit_code == 0
    assert palimpsest("perspective", "list").stdout == ""
    assert palimpsest("perspective", "show", "public").exit_code == 3


def test_what_is_seen_through_it(palimpsest) -> None:
    palimpsest("set", "notes/1", '{"title": "A", "author": {"name": "ana", "email": "a@b"}, "secret": 1}')
    palimpsest("perspective", "put", "public", "-", stdin=json.dumps(PUBLIC))
    palimpsest("perspective", "put", "short", "-", stdin=json.dumps({"include": ["title"], "family": "f", "level": 1}))
    seen = {"title": "A", "author": {"name": "ana"}}
    shown = palimpsest("perspective", "preview", "public", "notes/1")
    assert json.loads(shown.stdout) == seen
    assert json.loads(palimpsest("perspective", "preview", "public", "notes/1", "--json").stdout)["value"] == seen
    assert json.loads(palimpsest("perspective", "preview", "f", "notes/1", "--level", "1").stdout) == {"title": "A"}


def test_errors_point_at_the_place(palimpsest) -> None:
    refused = palimpsest("perspective", "put", "p", "-", stdin='{"include": ["a..b"]}')
    assert refused.exit_code == 2
    assert "include" in refused.stderr
    assert palimpsest("perspective", "put", "p", "-", stdin="no JSON").exit_code == 2
