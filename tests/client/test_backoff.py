from __future__ import annotations

import random

from palimpsest.client.backoff import Backoff


class Highest(random.Random):
    def uniform(self, a: float, b: float) -> float:
        assert a == 0.0
        return b


def test_the_bound_doubles_up_to_the_maximum_and_starts_again() -> None:
    backoff = Backoff(0.05, 0.3, source=Highest())
    assert [backoff.next_seconds() for _ in range(5)] == [0.05, 0.1, 0.2, 0.3, 0.3]
    backoff.reset()
    assert backoff.next_seconds() == 0.05


def test_jitter_is_full() -> None:
    backoff = Backoff(1.0, 1.0, source=random.Random(7))
    delays = [backoff.next_seconds() for _ in range(1_000)]
    assert min(delays) < 0.05
    assert max(delays) > 0.95
    assert 0.45 < sum(delays) / 1_000 < 0.55
