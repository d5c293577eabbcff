import anyio.lowlevel
import pytest

from bench.tasks import Arrivals, few_at_once, percentiles

pytestmark = pytest.mark.anyio


async def test_a_change_has_arrived_once_it_and_all_before_it_are_delivered() -> None:
    arrivals = Arrivals(subscribers=2)
    first, second = arrivals.expect(), arrivals.expect()
    arrivals.count()
    assert not first.done()
    arrivals.count(2)
    assert first.done()
    assert not second.done()
    arrivals.count()
    assert second.done()
    assert arrivals.total == 4


async def test_one_call_may_count_what_several_changes_wait_for() -> None:
    arrivals = Arrivals(subscribers=20)
    waiting = [arrivals.expect() for _ in range(3)]
    arrivals.count(60)
    assert all(future.done() for future in waiting)


async def test_who_has_given_up_is_no_obstacle_to_the_next() -> None:
    arrivals = Arrivals(subscribers=1)
    first, second = arrivals.expect(), arrivals.expect()
    first.cancel()
    arrivals.count(2)
    assert second.done()


async def test_few_are_made_at_once_and_in_order() -> None:
    now = most = 0

    async def make(item: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.lowlevel.checkpoint()
        now -= 1
        return -item

    assert await few_at_once(make, range(120)) == [-item for item in range(120)]
    assert most == 50


def test_percentiles_are_in_microseconds() -> None:
    assert percentiles([number / 1e6 for number in range(200)]) == pytest.approx({"p50_us": 100, "p99_us": 198})
