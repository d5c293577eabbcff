"""What is durable and not archived, against a model that is a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from palimpsest.actors.tail import Tail
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Batch, Event, encode_events


def batch(position: int, count: int, size: int = 10) -> Batch:
    events = [
        Event("a", "main", version, 1, 5, Raw(b"\xc4" + bytes((size,)) + b"x" * size), "client", version)
        for version in range(position, position + count)
    ]
    return Batch(position, count, b"", encode_events(events, b""))


def versions(rows: list[Row]) -> list[int]:
    assert all(row.position == row.event.version for row in rows)
    return [row.position for row in rows]


def tail_of(*counts: int, start: int = 1) -> Tail:
    tail = Tail(start)
    for count in counts:
        tail.append(batch(tail.end, count))
    return tail


def test_an_empty_one_has_nothing() -> None:
    tail = Tail(5)
    assert (tail.start, tail.end, tail.bytes) == (5, 5, 0)
    assert tail.batches(5, bytes_max=100) == []
    assert tail.rows(5, rows_max=10, bytes_max=100) == []


def test_batches_are_read_from_the_one_that_holds_a_position() -> None:
    tail = tail_of(3, 1, 4)
    assert [one.position for one in tail.batches(1, bytes_max=10_000)] == [1, 4, 5]
    assert [one.position for one in tail.batches(3, bytes_max=10_000)] == [1, 4, 5]
    assert [one.position for one in tail.batches(4, bytes_max=10_000)] == [4, 5]
    assert [one.position for one in tail.batches(8, bytes_max=1)] == [5]
    assert versions([tail.row(position) for position in range(1, 9)]) == list(range(1, 9))


def test_rows_are_bounded_by_whole_batches_and_there_is_one_at_least() -> None:
    tail = tail_of(3, 1, 4)
    assert versions(tail.rows(2, rows_max=1, bytes_max=1)) == [2, 3]
    assert versions(tail.rows(2, rows_max=3, bytes_max=10_000)) == [2, 3, 4]
    assert versions(tail.rows(2, rows_max=100, bytes_max=10_000)) == list(range(2, 9))
    assert tail.rows(9, rows_max=10, bytes_max=10_000) == []


def test_what_is_archived_goes_by_whole_batches() -> None:
    tail = tail_of(3, 2)
    whole = tail.bytes
    tail.trim(3)
    assert (tail.start, tail.bytes) == (3, whole)
    assert versions(tail.rows(3, rows_max=10, bytes_max=10_000)) == [3, 4, 5]
    tail.trim(4)
    assert (tail.start, tail.end) == (4, 6)
    assert tail.bytes == len(batch(4, 2).body)
    tail.trim(2)  # never backwards
    assert tail.start == 4
    tail.trim(6)
    assert (tail.start, tail.end, tail.bytes) == (6, 6, 0)
    tail.append(batch(6, 2))
    assert versions([tail.row(7), tail.row(6)]) == [7, 6]


@given(st.lists(st.integers(1, 6) | st.integers(-12, -1), max_size=30), st.integers(1, 20), st.integers(1, 400))
def test_as_a_list(steps: list[int], rows_max: int, bytes_max: int) -> None:
    """A step above 0 appends so many events; one below trims so many."""
    tail = Tail(1)
    for step in steps:
        if step > 0:
            tail.append(batch(tail.end, step))
        else:
            tail.trim(min(tail.start - step, tail.end))
        found: list[int] = []
        while rows := tail.rows(tail.start + len(found), rows_max=rows_max, bytes_max=bytes_max):
            found += versions(rows)
        assert found == list(range(tail.start, tail.end))


@pytest.mark.parametrize("order", [(1, 5, 2), (5, 1, 4), (2, 2, 2)])
def test_neighbours_and_strangers_are_the_same_events(order: tuple[int, ...]) -> None:
    tail = tail_of(2, 3)
    assert versions([tail.row(position) for position in order]) == list(order)


def test_since_when_the_oldest_waits() -> None:
    tail = Tail(1)
    assert tail.oldest_at is None
    tail.append(batch(1, 3), 10.0)
    tail.append(batch(4, 2), 12.5)
    assert tail.oldest_at == 10.0
    tail.trim(3)  # a part of the first batch is still to be archived
    assert tail.oldest_at == 10.0
    tail.trim(4)
    assert tail.oldest_at == 12.5
    tail.trim(6)
    assert tail.oldest_at is None
