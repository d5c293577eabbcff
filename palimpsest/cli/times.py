"""Times and durations, as the command line takes them.

A time is ISO 8601 (`2026-11-21`, `2026-11-21T09:30`, `2026-11-21T08:30:00Z`), in the machine's own time zone where it names
none, or how long ago it was (`2h`, `3d`, `1d12h ago`), or `now`. A duration is a number and a unit, or several of these.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from palimpsest.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_AGO = re.compile(r"(.*\S)\s+ago")


def parse_duration(text: str) -> timedelta:
    """`90s`, `10m`, `2h`, `30d`, `2w`, `1d12h`. Months and years have no fixed length, and no unit. Raises UsageError."""
    if not _DURATION.fullmatch(text):
        raise UsageError(
            f"{text!r} is not a duration: write numbers and units (s, m for minutes, h, d, w), such as 30d or 1d12h"
        )
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))
    except OverflowError:
        raise UsageError(f"{text!r} is longer than time itself is counted") from None


def parse_time(text: str, *, now: datetime | None = None) -> datetime:
    """With a time zone. now: with one, too; the machine's clock where it is not given. Raises UsageError."""
    now = now or datetime.now(UTC)
    if text == "now":
        return now
    ago = _AGO.fullmatch(text)
    duration = ago[1] if ago else text
    try:
        if ago or _DURATION.fullmatch(duration):
            return now - parse_duration(duration)
        return datetime.fromisoformat(text).astimezone()
    except OverflowError:
        raise UsageError(f"{text!r} lies before the first year that a calendar here has") from None
    except ValueError:
        raise UsageError(
            f"{text!r} is not a time: write ISO 8601, such as 2026-11-21T09:30, or how long ago, such as 2h or 3d"
        ) from None


def readable_duration(seconds: float) -> str:
    """As `parse_duration` takes it: `30d`, `1d12h`, `1.5s`."""
    parts = []
    for unit in ("d", "h", "m"):
        whole, seconds = divmod(seconds, _SECONDS[unit])
        if whole:
            parts.append(f"{whole:.0f}{unit}")
    if seconds or not parts:
        parts.append(f"{seconds:g}s")
    return "".join(parts)
