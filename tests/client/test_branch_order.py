"""Which streams an export has, and in which order, as the record of a document says."""

from __future__ import annotations

from typing import Any

import pytest

from palimpsest.client.branch_order import Stream, branch_streams, streams_behind


def line(first: int, base: tuple[str, int] | None, last: int | None = None, at: int = 0) -> dict[str, Any]:
    said = {"base": None if base is None else list(base), "first": first, "at": at}
    return said if last is None else said | {"last": last}


def record(**lines: Any) -> dict[str, Any]:
    return {name: {"lines": list(made)} for name, made in lines.items()}


def named(streams: list[Stream] | None) -> list[tuple[str, int, int | None, str]]:
    assert streams is not None
    return [(stream.branch, stream.first, stream.last, stream.read_on) for stream in streams]


@pytest.mark.parametrize("empty", [None, {}, {"main": {"tags": {"1": {"x": True}}}, "$held": {}}])
def test_a_document_without_branches(empty: Any) -> None:
    assert branch_streams("n", empty) == []


def test_each_comes_after_the_one_that_it_starts_from() -> None:
    said = record(a=[line(9, ("z", 8))], z=[line(5, ("main", 4))], b=[line(10, ("a", 9))])
    assert named(branch_streams("n", said)) == [("z", 5, None, "z"), ("a", 9, None, "a"), ("b", 10, None, "b")]


def test_branches_that_begin_with_the_same_number_come_by_time_and_name() -> None:
    said = record(b=[line(2, ("main", 1), at=5)], a=[line(2, ("main", 1), at=7)], c=[line(2, ("main", 1), at=5)])
    assert [stream.branch for stream in branch_streams("n", said)] == ["b", "c", "a"]


def test_deleted_branches_are_left_out() -> None:
    said = record(gone=[line(2, ("main", 1), last=5)], here=[line(2, ("main", 1))])
    assert named(branch_streams("n", said)) == [("here", 2, None, "here")]


def test_what_a_branch_starts_from_is_there_up_to_where_it_starts() -> None:
    said = record(
        gone=[line(2, ("main", 1), last=9)],
        below=[line(5, ("gone", 4), last=6)],
        one=[line(7, ("below", 6))],
        two=[line(6, ("gone", 5))],
    )
    assert named(branch_streams("n", said)) == [
        ("gone", 2, 5, "two"),
        ("below", 5, 6, "one"),
        ("two", 6, None, "two"),
        ("one", 7, None, "one"),
    ]


def test_a_branch_that_was_made_again_is_two_streams_where_both_are_needed() -> None:
    said = record(draft=[line(2, ("main", 1), last=3), line(5, ("sub", 4))], sub=[line(4, ("draft", 3))])
    assert named(branch_streams("n", said)) == [
        ("draft", 2, 3, "sub"),
        ("sub", 4, None, "sub"),
        ("draft", 5, None, "draft"),
    ]


def test_a_record_that_makes_no_sense_comes_to_an_end() -> None:
    said = record(a=[line(2, ("b", 9), last=9)], b=[line(2, ("a", 9), last=9)], c=[line(3, ("a", 9))])
    assert [stream.branch for stream in branch_streams("n", said)] == ["a", "c"]


def test_what_comes_behind_a_place() -> None:
    said = record(
        x=[line(2, ("main", 1))], gone=[line(3, ("main", 2), last=4)], y=[line(4, ("x", 3))], z=[line(4, ("main", 3))]
    )
    assert named(streams_behind("n", said, ("x", 2))) == [
        ("x", 3, None, "x"),
        ("y", 4, None, "y"),
        ("z", 4, None, "z"),
    ]
    assert named(streams_behind("n", said, ("gone", 4))) == [("y", 4, None, "y"), ("z", 4, None, "z")]
    assert named(streams_behind("n", said, ("z", 9))) == [("z", 10, None, "z")]


@pytest.mark.parametrize("branch", ["other", "main", "$versions"])
def test_there_is_no_place_on_a_branch_that_never_was(branch: str) -> None:
    assert streams_behind("n", record(x=[line(2, ("main", 1))]), (branch, 1)) is None
