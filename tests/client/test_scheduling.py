from __future__ import annotations

import pytest

from palimpsest.client.scheduling import next_at
from palimpsest.state.sources import Source

EVERY_DAY = Source(documents="d", interval_seconds=86_400.0)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 86_400), (1, 30), (2, 60), (7, 1_920), (8, 3_600), (1_000_000, 3_600)]
)
def test_a_run_that_failed_is_tried_again_later_each_time(failures: int, seconds: int) -> None:
    assert next_at(EVERY_DAY, 7, failures) == 7 + seconds * 1_000_000


def test_jitter_comes_on_top() -> None:
    source = Source(documents="d", interval_seconds=10.0, jitter_seconds=2.0)
    for _ in range(20):
        assert 10_000_000 <= next_at(source, 0, 0) <= 12_000_000


def test_without_an_interval_it_is_due_at_once() -> None:
    assert next_at(Source(documents="d"), 7, 0) == next_at(Source(documents="d"), 7, 3) == 7
