"""On which line of a TOML text a key is: the standard library's parser does not say.

A statement of TOML can be read by itself. So the text is taken apart into the shortest runs of whole lines that parse, and what
each of them holds is where it begins; there is no second parser that could read something else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Key = tuple[str, ...]


def key_lines(text: str) -> dict[Key, int]:
    """The line, from 1, on which each key of a text that parses is first mentioned, tables included; of an array of tables, without their
    numbers."""
    lines: dict[Key, int] = {}
    table: Key = ()
    for line, statement, found in _statements(text):
        if statement.lstrip().startswith("["):
            table = max(_keys(found), key=len)
            keys: Iterator[Key] = iter([table])
        else:
            keys = ((*table, *key) for key in _keys(found))
        for key in keys:
            for depth in range(1, len(key) + 1):
                lines.setdefault(key[:depth], line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(line, statement, what it says), without comments and empty lines."""
    begun: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        begun.append(f"{line}\n")
        statement = "".join(begun)
        try:
            found = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on, on the next line
        if found:
            yield number - len(begun) + 1, statement, found
        begun = []


def _keys(found: Any) -> Iterator[Key]:
    if isinstance(found, list):  # of tables
        for each in found:
            yield from _keys(each)
    elif isinstance(found, dict):
        for name, value in found.items():
            yield (name,)
            for rest in _keys(value):
                yield (name, *rest)
