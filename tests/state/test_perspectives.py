"""What a definition may say, and where an error points that says that it may not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from perspective_strategies import perspectives

from palimpsest.errors import InvalidPerspective, PerspectiveNotFound
from palimpsest.state import freeze
from palimpsest.state.perspectives import (
    Mask,
    Perspective,
    check_perspectives,
    parse_perspective,
    resolve,
    to_value,
)

WHOLE: dict[str, Any] = {
    "documents": ["people/*", "staff/**"],
    "include": ["name", "contact"],
    "exclude": ["contact.home"],
    "rename": {"name": "full_name"},
    "mask": {"contact.card": {"kind": "last", "characters": 2}, "contact.id": {"kind": "hash", "key": "k"}},
    "compute": {"initials": "name"},
    "family": "people",
    "level": 1,
    "read": ["staff"],
    "write": ["editor"],
    "writable": ["name"],
    "description": "What staff sees.",
}


def test_is_read_as_it_is_written() -> None:
    perspective = parse_perspective("staff", freeze(WHOLE))
    assert perspective == parse_perspective("staff", WHOLE) == parse_perspective("staff", {**WHOLE, "name": "staff"})
    assert perspective.documents == ("people/*", "staff/**")
    assert perspective.mask["contact.card"] == Mask(kind="last", characters=2)
    assert to_value(perspective) == WHOLE


def test_says_nothing_of_what_is_as_by_default() -> None:
    assert to_value(parse_perspective("p", {})) == {}
    assert parse_perspective("p", {}) == Perspective(name="p")


@given(perspectives(writable=True))
def test_comes_back_as_it_was(perspective: Perspective) -> None:
    try:
        parsed = parse_perspective("p", to_value(perspective))
    except InvalidPerspective:
        return
    assert parsed == perspective
    assert parse_perspective("p", to_value(parsed)) == parsed


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ([], "", "map of fields"),
        ({"inclde": ["a"]}, "", "inclde"),
        ({"name": "other"}, "name", "'p'"),
        ({"include": "a"}, "include", "array"),
        ({"include": ["a", 1]}, "include.1", "str"),
        ({"include": ["a", "b..c"]}, "include.1", "character 2"),
        ({"exclude": ["items.0.name"]}, "exclude.0", "`*`"),
        ({"writable": ["items.0"]}, "writable.0", "`*`"),
        ({"include": [".".join("a" * 65)]}, "include.0", "64 steps"),
        ({"include": ["a"] * 1_001}, "include", "1001 entries"),
        ({"documents": []}, "documents", "no documents"),
        ({"documents": "a*"}, "documents", "whole segments"),
        ({"documents": ["a", "b//c"]}, "documents.1", "empty segment"),
        ({"rename": {"a.b": "c", "": "d"}}, 'rename[""]', "root"),
        ({"rename": {"a.*": "c"}}, 'rename["a.*"]', "`*`"),
        ({"rename": {"a": "*"}}, "rename.a", "any key"),
        ({"rename": {"a": "a"}}, "rename.a", "already"),
        ({"rename": {"a": 1}}, "rename.a", "text"),
        ({"rename": []}, "rename", "map"),
        ({"rename": {"a": "b", '["a"]': "c"}}, r'rename["[\"a\"]"]', "another spelling"),
        ({"mask": []}, "mask", "map"),
        ({"mask": {"a": {"kind": "stars"}}}, "mask.a.kind", "stars"),
        ({"mask": {"a.b": {"kind": "last", "characters": 0}}}, 'mask["a.b"].characters', "1 to"),
        ({"mask": {"a.b": {"kind": "hash"}}}, 'mask["a.b"].key', "key"),
        ({"mask": {"a.b": {"of": 1}}}, 'mask["a.b"]', "of"),
        ({"mask": {"a.b": 1}}, 'mask["a.b"]', "object"),
        ({"mask": {"a[": {}}}, 'mask["a["]', "character 1"),
        ({"compute": {"total": "sum(a"}}, "compute.total", "character 5"),
        ({"compute": {"total": "sum(a, b)"}}, "compute.total", "sum()"),
        ({"compute": {"a.*": "b"}}, 'compute["a.*"]', "`*`"),
        ({"compute": {"": "b"}}, 'compute[""]', "root"),
        ({"compute": {"a": 1}}, "compute.a", "text"),
        ({"family": "f"}, "level", "go together"),
        ({"level": 1}, "family", "go together"),
        ({"family": "f", "level": 0}, "level", "from 1"),
        ({"family": "", "level": 1}, "family", "empty"),
        ({"read": ["a", ""]}, "read.1", "name"),
        ({"extends": 1}, "extends", "str"),
    ],
)
def test_an_error_points_at_the_place(value: Any, path: str, reason: str) -> None:
    with pytest.raises(InvalidPerspective) as caught:
        parse_perspective("p", value)
    error = caught.value
    assert (error.perspective, error.path) == ("p", path)
    assert reason in error.reason
    assert "perspective 'p'" in error.message


def defined(**values: dict[str, Any]) -> dict[str, Perspective]:
    return {name: parse_perspective(name, value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("values", "name", "path", "reason"),
    [
        ({"a": {"extends": "b"}}, "a", "extends", "no perspective 'b'"),
        ({"a": {"extends": "a"}}, "a", "extends", "extends this one"),
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, "b", "extends", "extends this one"),
        (
            {f"p{n:02}": {"extends": f"p{n + 1:02}"} if n < 18 else {} for n in range(19)},
            "p00",
            "extends",
            "more than 16",
        ),
        ({"a": {"family": "f", "level": 2}}, "a", "level", "no level 1"),
        (
            {"a": {"family": "f", "level": 1}, "b": {"family": "f", "level": 3}},
            "b",
            "level",
            "no level 2",
        ),
        (
            {"a": {"family": "f", "level": 1}, "b": {"family": "f", "level": 1}},
            "b",
            "level",
            "'a' is level 1",
        ),
        (
            {
                "a": {"family": "f", "level": 1, "rename": {"x": "y"}},
                "b": {"family": "f", "level": 2, "rename": {"x": "z"}},
            },
            "b",
            "rename.x",
            "one name",
        ),
        (
            {
                "a": {"family": "f", "level": 1, "documents": "a/*"},
                "b": {"family": "f", "level": 2, "documents": "b/*"},
            },
            "b",
            "documents",
            "same documents",
        ),
        ({"a": {"include": [""], "rename": {"x": "n", "y": "n"}}}, "a", "rename.y", "two keys"),
        ({"a": {"include": [""], "rename": {"*.x": "n", "m.y": "n"}}}, "a", 'rename["m.y"]', "two keys"),
        (
            {"a": {"include": [""], "rename": {"x": "n"}}, "b": {"extends": "a", "rename": {"y": "n"}}},
            "b",
            "rename.y",
            "two keys",
        ),
        ({"a": {"include": [""], "rename": {"x": "n"}, "compute": {"n": "x"}}}, "a", "compute.n", "renamed"),
        ({"a": {"include": [""], "compute": {"n": "x", "n.m": "x"}}}, "a", 'compute["n.m"]', "inside"),
    ],
    ids=str,
)
def test_perspectives_have_to_go_together(values: dict[str, Any], name: str, path: str, reason: str) -> None:
    with pytest.raises(InvalidPerspective) as caught:
        check_perspectives(defined(**values))
    error = caught.value
    assert (error.perspective, error.path) == (name, path)
    assert reason in error.reason


def test_names_that_make_way_for_each_other_do_not_clash() -> None:
    check_perspectives(defined(a={"include": [""], "rename": {"x": "y", "y": "x"}}))
    check_perspectives(defined(a={"include": ["m"], "rename": {"x": "n", "y": "n2"}, "compute": {"m.n": "x"}}))


def test_paths_that_multiply_are_refused() -> None:
    deep = [".".join("*" if place * 41 >> bit & 1 else f"k{bit}" for bit in range(14)) for place in range(400)]
    with pytest.raises(InvalidPerspective, match="places"):
        check_perspectives(defined(a={"include": deep}))


def test_a_child_adds_to_what_it_extends() -> None:
    all_of_them = defined(
        base={
            "documents": "a/*",
            "include": ["x"],
            "exclude": ["x.s"],
            "mask": {"x.m": {}},
            "rename": {"x": "y"},
            "read": ["staff"],
            "writable": ["x.w"],
        },
        child={"extends": "base", "include": ["z"], "mask": {"x.m": {"value": 0}}, "rename": {"z": "w"}},
        grandchild={"extends": "child", "documents": "a/1", "read": ["boss"], "exclude": ["z.s"]},
    )
    check_perspectives(all_of_them)
    (layer,) = resolve(all_of_them, "grandchild").layers
    assert (layer.include, layer.exclude) == (("x", "z"), ("x.s", "z.s"))
    assert layer.mask == {"x.m": Mask(value=0)}
    found = resolve(all_of_them, "grandchild")
    assert (found.documents, found.read, found.writable) == (("a/1",), ("boss",), ("x.w",))
    assert found.rename == {"x": "y", "z": "w"}
    assert resolve(all_of_them, "child").read == ("staff",)


def test_a_level_has_the_roles_of_the_level_below_where_it_names_none() -> None:
    family = defined(
        a={"family": "f", "level": 1, "read": ["staff"], "writable": ["x"]},
        b={"family": "f", "level": 2, "writable": ["y"]},
        c={"family": "f", "level": 3, "read": ["boss"]},
    )
    assert [resolve(family, "f", level).read for level in (1, 2, 3)] == [("staff",), ("staff",), ("boss",)]
    assert resolve(family, "f", 3).writable == ("x", "y")


def test_what_is_not_there() -> None:
    family = defined(a={"family": "f", "level": 1})
    for name, level in [("f", None), ("f", 2), ("f", 0), ("a", 1), ("g", 1)]:
        with pytest.raises(PerspectiveNotFound) as caught:
            resolve(family, name, level)
        assert caught.value.perspective == name
