from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.toml_lines import Key, key_lines

WHOLE = '''# a comment = 1
port = 1

"host"='x' # and another
limits.depth_max = 3
text = """
port = 2
[table]
"""
names = [
    "a", # not = a key
    "]",
]

[limits.inner]   # a table
 'odd key' = { a = 1, "b.c" = [2] }

[[many]]
a = 1
[[many]]
b = 2
[ "quoted" . table ]
'''


def test_keys_are_where_they_stand() -> None:
    assert key_lines(WHOLE) == {
        ("port",): 2,
        ("host",): 4,
        ("limits",): 5,
        ("limits", "depth_max"): 5,
        ("text",): 6,
        ("names",): 10,
        ("limits", "inner"): 15,
        ("limits", "inner", "odd key"): 16,
        ("limits", "inner", "odd key", "a"): 16,
        ("limits", "inner", "odd key", "b.c"): 16,
        ("many",): 18,
        ("many", "a"): 19,
        ("many", "b"): 21,
        ("quoted",): 22,
        ("quoted", "table"): 22,
    }


def test_lines_end_as_toml_has_it() -> None:
    assert key_lines('a = 1\r\nb = "\u2028"\r\n\r\nc = 3') == {("a",): 1, ("b",): 2, ("c",): 4}
    assert key_lines("") == {}


def keys_of(tree: Any) -> set[Key]:
    if isinstance(tree, list):
        return {key for each in tree for key in keys_of(each)}
    if not isinstance(tree, dict):
        return set()
    inner = {(name, *key) for name, value in tree.items() for key in keys_of(value)}
    return {(name,) for name in tree} | inner


LINES = [
    "# x",
    "",
    "v = 1",
    "w.x = 2",
    '"y.z" = """',
    "k = 3",
    '"""',
    "l = [",
    "]",
    "[t]",
    "[t.u]",
    "[[s]]",
    "m = {n = 1}",
]


@given(st.lists(st.sampled_from(LINES), max_size=8))
def test_every_key_of_whatever_parses_has_a_line(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = key_lines(text)
    assert found.keys() == keys_of(tree)
    for key, line in found.items():
        assert key[-1].partition(".")[0] in lines[line - 1] or key[-1] == "w", (key, line)


@pytest.mark.parametrize("count", [1, 40])
def test_a_value_may_take_many_lines(count: int) -> None:
    text = "a = [\n" + count * "  1,\n" + "]\nb = 2\n"
    assert key_lines(text) == {("a",): 1, ("b",): count + 3}
