"""From the arguments of `subscribe` to the message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from palimpsest.client.feeds import Wish
from palimpsest.errors import InvalidName, InvalidPath, InvalidRequest
from palimpsest.words import Kind

MOMENT = datetime(2020, 1, 1, tzinfo=UTC)


def test_conditions() -> None:
    wish = Wish(
        "a/*", branch="b", values=1, tags={"y", "x"}, tags_all=["z"], by="ana", path="p.0", kinds=[Kind.UPDATE], policy="latest"
    )  # fmt: skip
    asked = wish.template
    assert (asked.pattern, asked.branch, asked.values, asked.by, asked.policy) == ("a/*", "b", True, "ana", "latest")
    assert (asked.tags, asked.tags_all, asked.path, asked.kinds) == (("x", "y"), ("z",), ("p", 0), (1,))


def test_nothing_said() -> None:
    asked = Wish("a").template
    assert (asked.branch, asked.tags, asked.tags_all, asked.by, asked.path, asked.kinds) == (
        "main",
        (),
        (),
        None,
        None,
        (),
    )
    assert (asked.resume_after, asked.snapshot, asked.from_version, asked.from_time) == (None, False, None, None)


def test_places_to_start_at() -> None:
    assert Wish("a", from_version=5).from_version == 5
    assert Wish("a", from_time=MOMENT).from_time == 1_577_836_800_000_000
    wish = Wish("a", start="snapshot", resume_after="cursor")
    assert (wish.start, wish.resume_after) == ("snapshot", "cursor")


@pytest.mark.parametrize(
    "arguments",
    [
        {"start": "yesterday"},
        {"start": "beginning", "resume_after": "x"},
        {"start": "beginning", "from_version": 5},
        {"start": "snapshot", "from_version": 5},
        {"start": "snapshot", "from_time": MOMENT},
        {"from_version": 5, "from_time": MOMENT},
        {"resume_after": "x", "from_version": 5},
        {"resume_after": 5},
        {"from_version": "5"},
        {"from_time": datetime(2020, 1, 1)},
        {"tags": "x"},
        {"by": 5},
        {"kinds": [17]},
        {"kinds": 1},
        {"kinds": ["update"]},
        {"policy": 1},
        {"speed": 0, "start": "beginning"},
        {"speed": -1, "start": "beginning"},
        {"speed": float("nan"), "start": "beginning"},
        {"speed": float("inf"), "start": "beginning"},
        {"speed": True, "start": "beginning"},
        {"speed": 1},
        {"speed": 1, "start": "snapshot"},
    ],
)
def test_arguments_that_make_no_sense(arguments: Any) -> None:
    with pytest.raises(InvalidRequest):
        Wish("a", **arguments)


@pytest.mark.parametrize(
    "place", [{"start": "beginning"}, {"from_version": 1}, {"from_time": MOMENT}, {"resume_after": "x"}]
)
def test_speed_is_for_history(place: Any) -> None:
    assert Wish("a", speed=2, **place).speed == 2


def test_names_and_paths() -> None:
    with pytest.raises(InvalidName):
        Wish(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidPath):
        Wish("a", path="a..b")
