from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from palimpsest.client.places import maybe_at, one_place, to_at, to_node, to_place
from palimpsest.errors import InvalidRequest
from palimpsest.protocol.messages import Place

MOMENT = datetime(2020, 1, 1, 0, 0, 0, 1, UTC)
AT = 1_577_836_800_000_001


@pytest.mark.parametrize(
    ("which", "place"),
    [
        (3, Place("b", 3)),
        ("main", Place("main")),
        ("draft:9", Place("draft", 9)),
        ("a/b:c:10", Place("a/b:c", 10)),
        ("7", Place("7")),
        (MOMENT, Place("b", at=AT)),
        (MOMENT.astimezone(timezone(timedelta(hours=-7))), Place("b", at=AT)),
    ],
)
def test_a_place(which: Any, place: Place) -> None:
    assert to_place(which, "b") == place


@pytest.mark.parametrize(
    ("which", "wrong"),
    [
        ("", "names no branch"),
        (":3", "names no branch"),
        ("main:", "'', after the colon"),
        ("main:x", "'x', after the colon"),
        ("main:-1", "'-1', after the colon"),
        ("main:²", "after the colon"),
        (f"main:{2**63}", "version is"),
        (2**63, "version is"),
        (True, "True says no version"),
        (1.0, "1.0 says no version"),
        (None, "None says no version"),
        (date(2020, 1, 1), "says no version"),
        (datetime(2020, 1, 1), "without a time zone"),
    ],
)
def test_what_is_no_place(which: Any, wrong: str) -> None:
    with pytest.raises(InvalidRequest, match=wrong):
        to_place(which, "b")


def test_a_place_by_one_of_three_arguments() -> None:
    assert one_place("b", None, None, None) == Place("b")
    assert one_place("b", 3, None, None) == Place("b", 3)
    assert one_place("b", None, MOMENT, None) == Place("b", at=AT)
    assert one_place("b", None, None, "released") == Place("b", tag="released")


@pytest.mark.parametrize(
    "said",
    [(1, MOMENT, None), (1, None, "x"), (None, MOMENT, "x"), ("1", None, None), (None, 5, None), (None, None, 5)],
)
def test_arguments_that_are_no_place(said: Any) -> None:
    with pytest.raises(InvalidRequest):
        one_place("b", *said)


def test_times() -> None:
    assert to_at(MOMENT, "since") == maybe_at(MOMENT, "since") == AT
    assert maybe_at(None, "since") is None
    with pytest.raises(InvalidRequest, match="since is a datetime, not a int"):
        to_at(AT, "since")
    with pytest.raises(InvalidRequest, match="since is 2020-01-01T00:00:00, without a time zone"):
        to_at(datetime(2020, 1, 1), "since")


@pytest.mark.parametrize(("which", "node"), [("main:5", ("main", 5)), ("a/b:c:0", ("a/b:c", 0)), (("x", 7), ("x", 7))])
def test_nodes(which: Any, node: Any) -> None:
    assert to_node(which, "base") == node


@pytest.mark.parametrize(
    "which", ["main", "main:", ":5", "main:x", 5, None, ("main",), ("main", "5"), (5, 5), ["main", 5]]
)
def test_what_is_no_node(which: Any) -> None:
    with pytest.raises(InvalidRequest):
        to_node(which, "base")


def test_a_node_that_is_beyond_all_versions() -> None:
    with pytest.raises(InvalidRequest, match="base"):
        to_node(("main", 2**63), "base")
