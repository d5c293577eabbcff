"""What `top` shows: a frame, made of two observations of a server, and its lines. Both are pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from palimpsest.cli.sizes import readable_size
from palimpsest.client import Observation, SubscriberState
from palimpsest.client.naming import SubscriptionState
from palimpsest.counting import HistogramData, quantile, since

READS = frozenset(
    {"Get", "GetMany", "List", "History", "Diff", "Blame", "Digest", "ListBranches", "GetMerge", "ListMerges"}
)
"""Requests that read, by the name of their message."""

REFUSALS_SHOWN_MAX = 5
_SECOND_MIN = 1e-6


class Spread(msgspec.Struct, frozen=True):
    """How something was spread, in seconds, estimated; None where nothing happened."""

    p50: float | None
    p99: float | None


class Frame(msgspec.Struct, frozen=True):
    """A server between two observations; or from its start to the first."""

    agent: str
    uptime_seconds: float
    seconds: float
    """Between the two."""
    writes_per_second: float
    """Versions that became durable."""
    reads_per_second: float
    requests_per_second: float
    deliveries_per_second: float
    """Changes that subscriptions were handed."""
    commits_per_second: float
    events_per_commit: float | None
    committed_bytes_per_second: float
    processor_share: float
    """Of one processor: 1 is all of it."""
    update: Spread
    append: Spread
    refusals: dict[str, int]
    """Between the two, by error code, the most frequent first."""
    gauges: dict[str, float]
    """As they are now."""
    subscribers: tuple[SubscriberState, ...]
    """Those that lag behind, the furthest first."""
    named: tuple[SubscriptionState, ...]


def frame_of(previous: Observation | None, current: Observation) -> Frame:
    """previous: None, or of another run of the server: then everything since its start."""
    if previous is not None and previous.started_at != current.started_at:
        previous = None
    begin = current.started_at if previous is None else previous.at
    seconds = max(_SECOND_MIN, (current.at - begin).total_seconds())
    counters, requests = _since(previous, current, "counters"), _since(previous, current, "requests")
    refusals = _since(previous, current, "refusals")
    batch = _between(previous, current, "batch_events")
    cpu_seconds = current.gauges.get("cpu_seconds", 0.0) - (
        previous.gauges.get("cpu_seconds", 0.0) if previous else 0.0
    )
    return Frame(
        current.agent,
        current.uptime_seconds,
        seconds,
        counters.get("events", 0) / seconds,
        sum(count for kind, count in requests.items() if kind in READS) / seconds,
        sum(requests.values()) / seconds,
        counters.get("deliveries", 0) / seconds,
        counters.get("batches", 0) / seconds,
        None if batch is None or not batch.count else batch.sum / batch.count,
        counters.get("committed_bytes", 0) / seconds,
        max(0.0, cpu_seconds) / seconds,
        _spread(_between(previous, current, "update_seconds")),
        _spread(_between(previous, current, "append_seconds")),
        dict(sorted(((code, count) for code, count in refusals.items() if count), key=lambda pair: -pair[1])),
        current.gauges,
        tuple(each for each in current.subscribers if each.lag or each.state != "live"),
        tuple(each for each in current.named if each.lag),
    )


Row = tuple[str, str]
"""What it is, and how it stands."""


def rows_of(frame: Frame) -> list[Row]:
    """Without the subscriptions, which are a table of their own."""
    gauges = frame.gauges
    rows = [
        ("writes", f"{_rate(frame.writes_per_second)}  in {_rate(frame.commits_per_second)} commits{_each(frame)}"),
        ("reads", _rate(frame.reads_per_second)),
        ("deliveries", _rate(frame.deliveries_per_second)),
        ("update", _spread_text(frame.update)),
        ("journal append", _spread_text(frame.append)),
        ("to be archived", _tail_text(gauges)),
        (
            "subscriptions",
            f"{_count(gauges, 'subscriptions')}, {_count(gauges, 'behind')} behind, at most {_count(gauges, 'subscription_lag_events_max')} events",
        ),
        ("connections", f"{_count(gauges, 'connections')}, {_count(gauges, 'paused_connections')} of them do not read"),
        ("documents awake", f"{_count(gauges, 'actors')}, {readable_size(round(gauges.get('awake_bytes', 0)))}"),
        ("process", _process_text(frame)),
    ]
    if "journal_file_bytes" in gauges:
        rows.append(("files", _files_text(gauges)))
    shown = list(frame.refusals.items())[:REFUSALS_SHOWN_MAX]
    rows.append(("refusals", ", ".join(f"{code} {count:,}" for code, count in shown) or "none"))
    return rows


def heading(frame: Frame) -> str:
    return f"{frame.agent}, up {_duration(frame.uptime_seconds)}, over the last {_duration(frame.seconds)}"


def lagging_rows(frame: Frame) -> list[tuple[str, str, str, str]]:
    """Who is behind: who it is, what is followed, how it stands, and by how many events."""
    named = [(f"{each.name} (named)", each.pattern, f"{each.workers} workers", f"{each.lag:,}") for each in frame.named]
    return named + [
        (f"{each.principal} {each.client}", each.pattern, each.state, f"{each.lag:,}") for each in frame.subscribers
    ]


def frame_json(frame: Frame) -> dict[str, Any]:
    """For programs: all of it."""
    plain: dict[str, Any] = msgspec.to_builtins(frame)
    return plain


# --- inside ----------------------------------------------------------------------------------------------------------


def _since(previous: Observation | None, current: Observation, field: str) -> dict[str, int]:
    now: Mapping[str, int] = getattr(current, field)
    before: Mapping[str, int] = {} if previous is None else getattr(previous, field)
    return {name: max(0, count - before.get(name, 0)) for name, count in now.items()}


def _between(previous: Observation | None, current: Observation, name: str) -> HistogramData | None:
    now = current.histograms.get(name)
    return None if now is None else since(None if previous is None else previous.histograms.get(name), now)


def _spread(data: HistogramData | None) -> Spread:
    return Spread(None, None) if data is None else Spread(quantile(data, 0.5), quantile(data, 0.99))


def _spread_text(spread: Spread) -> str:
    return f"p50 {_milliseconds(spread.p50)}  p99 {_milliseconds(spread.p99)}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1_000:.3g} ms"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 or not rate else f"{rate:.1f}/s"


def _each(frame: Frame) -> str:
    return "" if frame.events_per_commit is None else f" of {frame.events_per_commit:,.1f} each"


def _count(gauges: Mapping[str, float], name: str) -> str:
    return f"{gauges.get(name, 0):,.0f}"


def _tail_text(gauges: Mapping[str, float]) -> str:
    size = readable_size(round(gauges.get("tail_bytes", 0)))
    return f"{_count(gauges, 'tail_events')} events, {size}, for {_duration(gauges.get('archive_lag_seconds', 0))}"


def _process_text(frame: Frame) -> str:
    parts = [f"{frame.processor_share:.0%} of a processor"]
    if "resident_bytes" in frame.gauges:
        parts.insert(0, readable_size(round(frame.gauges["resident_bytes"])))
    return ", ".join(parts)


def _files_text(gauges: Mapping[str, float]) -> str:
    def total(names: Iterable[str]) -> str:
        return readable_size(round(sum(gauges.get(name, 0) for name in names)))

    journal, archive = ("journal_file_bytes", "journal_wal_bytes"), ("archive_file_bytes", "archive_wal_bytes")
    return f"journal {total(journal)}, archive {total(archive)}, free {total(['disk_free_bytes'])}"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    for large, small, names in ((days, hours, "d h"), (hours, minutes, "h min"), (minutes, rest, "min s")):
        if large:
            first, second = names.split()
            return f"{large} {first} {small} {second}"
    return f"{rest} s"
