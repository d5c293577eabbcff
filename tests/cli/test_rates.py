"""What `top` makes of two observations."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import palimpsest as pal
from palimpsest.cli.rates import Spread, frame_json, frame_of, heading, lagging_rows, rows_of
from palimpsest.client import SubscriberState
from palimpsest.counting import HistogramData

START = datetime(2020, 1, 1, tzinfo=UTC)


def observed(seconds: float, *, events: int = 0, fast: int = 0, slow: int = 0, **fields: object) -> pal.Observation:
    times = HistogramData((0.001, 0.01), (fast, slow, 0), 0.0)
    given: dict[str, object] = {
        "counters": {
            "events": events,
            "batches": events // 10,
            "deliveries": 2 * events,
            "committed_bytes": 100 * events,
        },
        "gauges": {"cpu_seconds": seconds / 2, "tail_bytes": 2_000_000.0, "tail_events": 1_234.0},
        "histograms": {
            "update_seconds": times,
            "append_seconds": times,
            "batch_events": HistogramData((10.0,), (events // 10, 0), float(events)),
        },
        "requests": {"Get": events, "Update": events},
        "refusals": {},
    }
    at = START + timedelta(seconds=seconds)
    return pal.Observation("00ff", "palimpsest/1.0", START, at, **{**given, **fields})  # type: ignore[arg-type]


def test_rates_are_of_what_came_between_the_two() -> None:
    frame = frame_of(observed(10, events=100, fast=10), observed(12, events=300, fast=10, slow=4))
    assert frame.seconds == 2
    assert frame.writes_per_second == 100
    assert frame.reads_per_second == 100
    assert frame.requests_per_second == 200
    assert frame.deliveries_per_second == 200
    assert frame.commits_per_second == 10
    assert frame.events_per_commit == 10
    assert frame.committed_bytes_per_second == 10_000
    assert frame.processor_share == 0.5
    assert frame.update.p50 is not None
    assert 0.001 < frame.update.p50 <= 0.01  # the fast ones were before


def test_the_first_frame_is_of_all_since_the_start() -> None:
    frame = frame_of(None, observed(10, events=100))
    assert (frame.seconds, frame.writes_per_second, frame.uptime_seconds) == (10, 10, 10)


def test_a_server_that_was_started_again_begins_anew() -> None:
    before = pal.Observation("00ff", "a", START - timedelta(days=1), START, {"events": 9_000}, {}, {}, {}, {})
    assert frame_of(before, observed(10, events=100)).writes_per_second == 10


def test_nothing_that_happened_is_no_time() -> None:
    frame = frame_of(observed(10), observed(11))
    assert frame.update == Spread(None, None)
    assert frame.events_per_commit is None
    assert dict(rows_of(frame))["update"] == "p50 -  p99 -"


def test_the_most_frequent_refusals_come_first() -> None:
    before = observed(10, refusals={"forbidden": 5, "overloaded": 1})
    frame = frame_of(before, observed(11, refusals={"forbidden": 6, "overloaded": 9, "link": 0}))
    assert list(frame.refusals.items()) == [("overloaded", 8), ("forbidden", 1)]
    assert dict(rows_of(frame))["refusals"] == "overloaded 8, forbidden 1"


def test_lines_for_people() -> None:
    frame = frame_of(observed(3_600, events=0), observed(3_602, events=300))
    shown = dict(rows_of(frame))
    assert shown["writes"] == "150/s  in 15/s commits of 10.0 each"
    assert shown["to be archived"] == "1,234 events, 2.0 MB, for 0.0 s"
    assert shown["refusals"] == "none"
    assert "files" not in shown
    assert heading(frame) == "palimpsest/1.0, up 1 h 0 min, over the last 2.0 s"


def test_who_is_behind() -> None:
    live = SubscriberState("c1", "ana", "notes/*", "main", "live", 0, 0)
    behind = SubscriberState("c2", "bo", "[notes]/*", "main", "behind", 1_200, 7)
    named = pal.SubscriptionState("billing", "**", "main", "", 9, 2, 0, 0)
    frame = frame_of(None, observed(1, subscribers=(behind, live), named=(named,)))
    assert lagging_rows(frame) == [
        ("billing (named)", "**", "2 workers", "9"),
        ("bo c2", "[notes]/*", "behind", "1,200"),
    ]


def test_json_has_all_of_it() -> None:
    frame = frame_of(None, observed(1, events=10))
    assert json.loads(json.dumps(frame_json(frame)))["writes_per_second"] == 10


# --- with a server ---------------------------------------------------------------------------------------------------


def test_once(palimpsest) -> None:
    palimpsest("set", "notes/1", "1")
    shown = palimpsest("top", "--once")
    assert shown.exit_code == 0, shown.stderr
    assert "journal append" in shown.stdout
    assert "refusals" in shown.stdout


def test_a_line_of_json(palimpsest) -> None:
    palimpsest("set", "notes/1", "1")
    shown = palimpsest("top", "--once", "--json")
    (line,) = shown.stdout.splitlines()
    assert json.loads(line)["gauges"]["next_position"] == 2


def test_patterns_are_no_markup() -> None:
    from rich.console import Console

    from palimpsest.cli.top import picture

    behind = SubscriberState("c2", "bo", "[red]/*", "main", "behind", 1, 0)
    out = Console(width=120, record=True)
    out.print(picture(frame_of(None, observed(1, subscribers=(behind,)))))
    assert "[red]/*" in out.export_text()
