from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.times import parse_duration, parse_time, readable_duration
from palimpsest.errors import UsageError

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("10m", 600),
        ("2h", 7_200),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("1d12h", 129_600),
        ("1.5h", 5_400),
        ("0.5s", 0.5),
        ("1h30m15s", 5_415),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "30", "d", "-3d", "3 d", "1y", "3months", "3D", "1d ", "1,5h", ".5h", "9" * 30 + "d", "9" * 400 + "d"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("2h", NOW - timedelta(hours=2)),
        ("3d ago", NOW - timedelta(days=3)),
        ("1d12h", NOW - timedelta(hours=36)),
        ("2026-11-20T08:00:00Z", datetime(2026, 11, 20, 8, tzinfo=UTC)),
        ("2026-11-20T08:00:00.25+02:00", datetime(2026, 11, 20, 6, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-11-20 08:00+00:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
    ],
)
def test_times(text: str, moment: datetime) -> None:
    assert parse_time(text, now=NOW) == moment


def test_a_time_without_a_zone_is_in_the_machines_own() -> None:
    assert parse_time("2026-11-20T08:00") == datetime(2026, 11, 20, 8).astimezone()
    assert parse_time("2026-11-20") == datetime(2026, 11, 20).astimezone()
    assert parse_time("2026-11-20").tzinfo is not None


def test_what_is_printed_for_programs_is_taken_again() -> None:
    assert parse_time("2020-01-01T00:00:00.000001Z") == datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=UTC)


def test_ago_counts_from_the_machines_clock() -> None:
    before = datetime.now(UTC)
    assert before - timedelta(hours=2) <= parse_time("2h") <= datetime.now(UTC) - timedelta(hours=2)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "3", "2026-13-01", "ago", "3 ago", "-2h", "2026", "9999999d", "9" * 400 + "w"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError):
        parse_time(text, now=NOW)


def test_an_error_says_how_it_is_written() -> None:
    with pytest.raises(UsageError, match=r"'soon' is not a time: write ISO 8601.*or how long ago, such as 2h"):
        parse_time("soon")
    with pytest.raises(UsageError, match="'1y' is not a duration: write numbers and units"):
        parse_duration("1y")


@given(st.integers(0, 10**9))
def test_a_duration_that_is_shown_can_be_said(seconds: int) -> None:
    assert parse_duration(readable_duration(seconds)) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "1m30s"), (86_400, "1d"), (2_592_000, "30d"), (5_400.5, "1h30m0.5s")]
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert readable_duration(seconds) == text
