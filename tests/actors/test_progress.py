"""How far a reader has come that deals with what it reads in any order: held against two sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.actors.progress import Progress

END = 40


def read(progress: Progress, *positions: int) -> list[int]:
    """Those of them that are open."""
    return [position for position in positions if progress.follow(position)]


def test_everything_is_done_where_nothing_is_open() -> None:
    progress = Progress(6)
    assert (progress.next, progress.floor, progress.done()) == (7, 6, ())
    progress.passed(20)
    assert (progress.next, progress.floor) == (20, 19)
    progress.passed(10)
    assert progress.next == 20, "it does not go back"


def test_what_is_done_between_what_is_open() -> None:
    progress = Progress(0)
    assert read(progress, 1, 3, 4, 8) == [1, 3, 4, 8]
    progress.close(3)
    assert (progress.floor, progress.done()) == (0, ((2, 3),)), (
        "of what lies between two that are open, nothing is said"
    )
    progress.passed(11)
    progress.close(8)
    progress.close(8)
    assert progress.done() == ((2, 3), (5, 10))


def test_what_is_done_ahead_is_not_open_when_it_comes() -> None:
    progress = Progress(0, ((2, 3), (6, 9)))
    assert progress.close_ahead(5)
    assert not progress.close_ahead(5)
    assert not progress.close_ahead(7)
    assert read(progress, 1, 2, 4, 5, 6, 10) == [1, 4, 10]
    assert not progress.close_ahead(2), "it was looked at"


@given(
    floor=st.integers(0, 5),
    done=st.sets(st.integers(1, END)),
    followed=st.sets(st.integers(1, END)),
    until=st.integers(0, END),
    closed=st.sets(st.integers(1, END)),
)
def test_it_says_what_a_set_does(floor: int, done: set[int], followed: set[int], until: int, closed: set[int]) -> None:
    progress = Progress(floor)
    ahead = {position for position in done if progress.close_ahead(position)}
    assert ahead == {position for position in done if position > floor}
    coming = [position for position in sorted(followed) if floor < position <= until]
    opened = read(progress, *coming)
    assert opened == [position for position in coming if position not in ahead]
    progress.passed(until + 1)
    for position in closed:
        progress.close(position)
    left = [position for position in opened if position not in closed]
    assert progress.next == max(floor, until) + 1
    assert progress.floor == min([*left, progress.next]) - 1
    said = {position for first, last in progress.done() for position in range(first, last + 1)}
    for position in coming:
        assert (position <= progress.floor or position in said) is (position not in left)
    assert {position for position in ahead if position >= progress.next} <= said


@given(st.sets(st.integers(1, END)), st.sets(st.integers(1, END)))
def test_it_goes_on_after_a_restart(followed: set[int], closed: set[int]) -> None:
    progress = Progress(0)
    read(progress, *sorted(followed))
    for position in closed:
        progress.close(position)
    again = Progress(progress.floor, progress.done())
    opened = read(again, *(position for position in sorted(followed) if position > progress.floor))
    assert opened == sorted(followed - closed)
    assert again.floor == progress.floor


@pytest.mark.parametrize("count", [1, 1_000])
def test_what_is_kept_grows_with_what_is_open_alone(count: int) -> None:
    progress = Progress(0)
    read(progress, *range(1, count + 2))
    for position in range(2, count + 2):
        progress.close(position)
    assert (progress.floor, progress.done()) == (0, ((2, count + 1),))
