"""A past made at random: every kind of change, with tags, prunes and erasures among them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from archive_kit import Past

from palimpsest.errors import PalimpsestError
from palimpsest.state import ops
from palimpsest.words import MAIN

_TAGS = ("keep", "rel-1", "x")
_PATTERNS: tuple[tuple[str, ...], ...] = ((), ("*",), ("rel*",), ("keep", "x"))
_PATHS: tuple[tuple[str | int, ...], ...] = (
    ("a",),
    ("m", "x"),
    ("m",),
    ("l", 0),
    ("l", "*"),
    ("*",),
    ("m", "*"),
    ("*", "x"),
    ("l", 1, "x"),
    ("nowhere",),
)


def random_past(seed: int, steps: int) -> Past:
    chance = random.Random(seed)
    past = Past()
    for _ in range(steps):
        try:
            _step(past, chance)
        except PalimpsestError:
            continue  # it did not fit, and nothing has happened
    return past


def _step(past: Past, chance: random.Random) -> None:
    document = chance.choice("de")
    newest = past.newest.get((document, MAIN), 0)
    tags = chance.sample(_TAGS, 1) if chance.random() < 0.15 else []
    if not past.exists(document):
        if chance.random() < 0.8:
            past.create(document, _value(chance), tags)
        elif newest and chance.random() < 0.5:
            past.erase(document)
        else:
            past.skip(document, chance.randint(1, 4), _value(chance))
        return
    (action,) = chance.choices(
        (
            lambda: past.update(document, *(_op(chance) for _ in range(chance.randint(1, 3))), tags=tags),
            lambda: past.delete(document),
            lambda: _label(past, document, chance.randint(1, newest), chance),
            lambda: past.prune(document, chance.randint(1, newest + 3), chance.choice(_PATTERNS)),
            lambda: past.erase(document, *chance.choice(_PATHS)),
            lambda: past.erase(document),
            lambda: past.skip(document, chance.randint(1, 4), _value(chance)),
        ),
        (60, 6, 10, 12, 7, 2, 3),
    )
    action()


def _label(past: Past, document: str, version: int, chance: random.Random) -> None:
    if version in past.values.get((document, MAIN), {}):
        add, remove = chance.sample(_TAGS, chance.randint(0, 2)), chance.sample(_TAGS, chance.randint(0, 1))
        past.label(document, version, add=add, remove=remove)


def _value(chance: random.Random) -> Any:
    first = chance.choice(["SECRET", "S" * 40, 1, None])
    return {"a": first, "m": {"x": chance.randint(0, 9), "y": "q"}, "l": [1, {"x": 2}, 3]}


def _op(chance: random.Random) -> ops.Op:
    number = chance.randint(0, 99)
    makers: tuple[Callable[[], ops.Op], ...] = (
        lambda: ops.Set(("a",), number),
        lambda: ops.Set(("a",), "T" * number),
        lambda: ops.Set(("m", "x"), f"SECRET {number}"),
        lambda: ops.Set(("m",), {"x": 5, "z": 7}),
        lambda: ops.Set((), _value(chance)),
        lambda: ops.Set((), "no map"),
        lambda: ops.Replace(("m", "x"), 3),
        lambda: ops.Delete(("a",)),
        lambda: ops.Append(("l",), {"x": number}),
        lambda: ops.Insert(("l",), 0, number),
        lambda: ops.Remove(("l",), 0),
        lambda: ops.Move(("a",), ("b",)),
        lambda: ops.Copy(("m",), ("a",)),
        lambda: ops.Copy(("l", 0), ("c",)),
        lambda: ops.Increment(("n",), 1),
        lambda: ops.Test(("a",), "SECRET"),
    )
    return chance.choices(makers, (4, 4, 4, 2, 2, 1, 2, 2, 3, 3, 3, 2, 2, 2, 4, 1))[0]()
