import pytest
from rich.console import Console

from bench.peer import PALIMPSEST, REDIS
from bench.report import print_results, readable
from bench.results import Goal, Results, Single, compare


@pytest.mark.parametrize(
    ("goal", "ratio", "met"),
    [
        (Goal("at_least", 4), 4.0, True),
        (Goal("at_least", 4), 3.99, False),
        (Goal("at_most", 0.95), 0.95, True),
        (Goal("at_most", 0.95), 0.96, False),
    ],
)
def test_a_goal_is_met_on_its_own_side(goal: Goal, ratio: float, met: bool) -> None:
    assert goal.is_met(ratio) is met


def test_medians_are_compared_and_not_single_rounds() -> None:
    rounds = {
        PALIMPSEST: [{"per_second": 10.0}, {"per_second": 80.0}, {"per_second": 40.0}],
        REDIS: [{"per_second": 10.0}, {"per_second": 10.0}, {"per_second": 90.0}],
    }
    comparison = compare("part", "key", "title", "per_second", Goal("at_least", 4), rounds)
    assert comparison.median == {PALIMPSEST: {"per_second": 40.0}, REDIS: {"per_second": 10.0}}
    assert comparison.ratio == 4.0
    assert comparison.goal_met is True


def test_without_the_other_peer_there_is_no_ratio_and_no_verdict() -> None:
    comparison = compare("part", "key", "title", "p50_us", Goal("at_most", 1), {PALIMPSEST: [{"p50_us": 3.0}]})
    assert comparison.ratio is None
    assert comparison.goal_met is None


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (134_400, "/s", "134k/s"),
        (9_400, "/s", "9,400/s"),
        (231.4, "us", "231 us"),
        (4_310, "us", "4.31 ms"),
        (2_720, "bytes", "2.7 KB"),
        (96, "bytes", "96 bytes"),
        (5_746_700, "bytes", "5.7 MB"),
        (-49_200, "bytes", "-49.2 KB"),
        (96.2, " ms", "96 ms"),
        (1.149, "x", "1.15x"),
        (26.4, "x", "26x"),
    ],
)
def test_figures_are_readable(value: float, unit: str, text: str) -> None:
    assert readable(value, unit) == text


def test_the_table_says_what_was_reached_and_what_was_left_out() -> None:
    turn = {"per_second": 50_000.0, "p50_us": 20.0, "p99_us": 40.0}
    met = compare("servers", "a", "updates", "per_second", Goal("at_least", 1), {PALIMPSEST: [turn], REDIS: [turn]})
    alone = compare("servers", "b", "reads", "per_second", Goal("at_least", 2), {PALIMPSEST: [turn]})
    machine = dict.fromkeys(("cpu", "cores", "filesystem", "kernel", "python", "redis-server"), "x")
    floor = [Single("fdatasync_us", "one fdatasync", 150.0, "us")]
    results = Results(
        "2020-01-01", "tiny", machine, "work", [met, alone], floor, [], ["Redis: there is no redis-server"]
    )
    console = Console(width=140)
    with console.capture() as capture:
        print_results(results, console)
    text = capture.get()
    assert "at least 1x: met" in text
    assert "at least 2x" in text
    assert "at least 2x: " not in text
    assert "150 us" in text
    assert "skipped: Redis: there is no redis-server" in text
