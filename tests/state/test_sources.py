from __future__ import annotations

from typing import Any

import pytest

from palimpsest.errors import InvalidName, InvalidValue
from palimpsest.state import freeze
from palimpsest.state.sources import Source, branch_of, check_any, check_map, parse_source, to_value
from palimpsest.state.system import check_system

FULL = Source(
    documents="inv/**",
    direction="both",
    rules={"tags": "union", "name": "ours"},
    on_conflict="rebase",
    max_deletes=0.25,
    interval_seconds=60.0,
    jitter_seconds=5.0,
    adapter="mine:make",
)


@pytest.mark.parametrize("source", [Source(documents="inv"), FULL], ids=["least", "full"])
def test_a_source_is_data(source: Source) -> None:
    assert parse_source(freeze(to_value(source))) == source
    check_system("$system/sources/box", freeze(to_value(source)))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"documents": 1},
        {"documents": "a", "more": 1},
        {"documents": "a/*"},
        {"documents": "**"},
        {"documents": "a/*/b/**"},
        {"documents": "$system/x"},
        {"documents": "a", "on_conflict": "guess"},
        {"documents": "a", "direction": "up"},
        {"documents": "a", "max_deletes": -1},
        {"documents": "a", "max_deletes": 1.5},
        {"documents": "a", "interval_seconds": 0},
        {"documents": "a", "rules": {"x": "loudest"}},
        {"documents": "a", "rules": {"..": "ours"}},
    ],
    ids=repr,
)
def test_what_is_none(value: Any) -> None:
    with pytest.raises(InvalidValue):
        check_system("$system/sources/box", freeze(value))


def test_rules_and_what_stands_for_one() -> None:
    assert Source(documents="a", rules={"x": "sum"}).all_rules() == {"x": "sum"}
    assert Source(documents="a", rules={"x": "sum"}, on_conflict="source").all_rules() == {"": "theirs", "x": "sum"}
    assert Source(documents="a", on_conflict="document").all_rules() == {"": "ours"}
    assert Source(documents="a", rules={"": "max"}, on_conflict="document").all_rules() == {"": "max"}


def test_names() -> None:
    assert (Source(documents="a/b").prefix, Source(documents="a/b/**").prefix) == (None, "a/b/")
    assert branch_of("net box") == "sync/net box"
    for name in ("", "a/b", "*", 5):
        with pytest.raises(InvalidName):
            branch_of(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["$system/snapshots/box", "$system/plans/box/1", "$system/runs/box"])
def test_documents_beside_a_source(name: str) -> None:
    check_system(name, freeze({"a": 1}))
    check_system(name, None, deleted=True)


def test_a_snapshot_may_be_anything_and_a_run_is_a_map() -> None:
    check_any(freeze([1]))
    with pytest.raises(InvalidValue):
        check_map(freeze([1]))
