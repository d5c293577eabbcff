from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.counting import EVENTS, SECONDS, Histogram, HistogramData, quantile, since


def counted(bounds: tuple[float, ...], numbers: list[float]) -> HistogramData:
    histogram = Histogram(bounds)
    for number in numbers:
        histogram.add(number)
    return histogram.data()


def test_a_number_is_counted_in_the_first_range_that_holds_it() -> None:
    data = counted((1.0, 10.0), [0.5, 1.0, 1.5, 10.0, 11.0])
    assert data == HistogramData((1.0, 10.0), (2, 2, 1), 24.0)
    assert data.count == 5


def test_bounds_rise() -> None:
    assert list(SECONDS) == sorted(set(SECONDS))
    assert list(EVENTS) == sorted(set(EVENTS))


def test_what_came_between_two_looks() -> None:
    before, now = counted((1.0,), [0.5]), counted((1.0,), [0.5, 3.0])
    assert since(before, now) == HistogramData((1.0,), (0, 1), 3.0)
    assert since(None, now) is now


def test_after_a_restart_everything_is_new() -> None:
    before, now = counted((1.0,), [0.5, 3.0]), counted((1.0,), [0.5])
    assert since(before, now) is now
    assert since(counted((2.0,), []), now) is now


def test_quantiles() -> None:
    data = counted((1.0, 2.0, 4.0), [0.5, 1.5, 1.5, 3.0])
    assert quantile(data, 0.25) == 1.0
    assert quantile(data, 0.5) == 1.5
    assert quantile(data, 1.0) == 4.0
    assert quantile(counted((1.0,), []), 0.5) is None
    assert quantile(counted((1.0,), [5.0]), 0.5) == 1.0


@given(st.lists(st.floats(0.0, 9.0), min_size=1), st.floats(0.0, 1.0))
def test_a_quantile_is_in_the_range_that_it_falls_into(numbers: list[float], q: float) -> None:
    bounds = (1.0, 2.0, 4.0, 10.0)
    found = quantile(counted(bounds, numbers), q)
    assert found is not None
    exact = sorted(numbers)[max(0, math.ceil(q * len(numbers)) - 1)]
    index = next(place for place, bound in enumerate(bounds) if exact <= bound)
    low = 0.0 if not index else bounds[index - 1]
    assert low <= found <= bounds[index] or found == pytest.approx(low)
