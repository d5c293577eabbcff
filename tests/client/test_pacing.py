"""When each change is due."""

from __future__ import annotations

from palimpsest.client.pacing import Pace

SECOND = 1_000_000


def test_as_fast_as_it_was() -> None:
    pace = Pace(1)
    assert pace.wait_seconds(50 * SECOND, 1_000.0) == 0
    assert pace.wait_seconds(53 * SECOND, 1_000.0) == 3
    assert pace.wait_seconds(53 * SECOND, 1_002.5) == 0.5
    assert pace.wait_seconds(60 * SECOND, 1_003.0) == 7


def test_twice_as_fast() -> None:
    pace = Pace(2)
    assert pace.wait_seconds(0, 0.0) == 0
    assert pace.wait_seconds(10 * SECOND, 1.0) == 4


def test_who_was_held_up_is_on_time_again() -> None:
    pace = Pace(1)
    assert pace.wait_seconds(0, 0.0) == 0
    assert pace.wait_seconds(1 * SECOND, 9.0) < 0
    assert pace.wait_seconds(10 * SECOND, 9.0) == 1


def test_times_that_run_backwards_are_due() -> None:
    pace = Pace(1)
    assert pace.wait_seconds(10 * SECOND, 0.0) == 0
    assert pace.wait_seconds(9 * SECOND, 0.0) < 0
