"""Numbers for Prometheus, and whether a server is ready: both are functions of an observation, and of nothing else.

One table says what becomes of which number. Labels come from the table, from the names of messages and from the codes of errors: nothing that
a client chooses, such as the name of a document, a client id or a value, is ever one, so that there is a bound to how many series there are,
and nothing in them that is secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from palimpsest.client import Observation
from palimpsest.counting import HistogramData

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""What `exposition` is."""

_PREFIX = "palimpsest_"
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


class Row(msgspec.Struct, frozen=True):
    """A metric. name: without prefix, and without the `_total` of a counter. numbers: which of an observation's it shows, each with the value
    of its label, which is "" where the metric has none."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    numbers: tuple[tuple[str, str], ...]
    label: str = ""

    @property
    def whole_name(self) -> str:
        """As Prometheus has it."""
        return f"{_PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


def _counter(name: str, meaning: str, number: str = "") -> Row:
    return Row(name, "counter", meaning, ((number or name, ""),))


def _gauge(name: str, meaning: str, number: str = "") -> Row:
    return Row(name, "gauge", meaning, ((number or name, ""),))


def _histogram(name: str, meaning: str, number: str = "") -> Row:
    return Row(name, "histogram", meaning, ((number or name, ""),))


ROWS: Final = (
    _counter("events", "Events that became durable: versions of documents."),
    _counter("batches", "Commits that became durable."),
    _counter("committed_bytes", "Bytes of batches that became durable."),
    _counter("failed_commits", "Commits that failed; nothing of them was written."),
    _histogram("update_seconds", "From when the oldest write of a batch was taken until it was durable; once a batch."),
    _histogram("commit_seconds", "From when a batch was closed until it was durable; once a batch."),
    _histogram(
        "journal_append_seconds", "What appending a batch to the journal took, its fsync included.", "append_seconds"
    ),
    _histogram("batch_events", "Events of a batch."),
    _gauge("journal_next_position", "The position of the next event.", "next_position"),
    _gauge("tail_events", "Events that are durable and not archived yet."),
    _gauge("tail_bytes", "Bytes of them, in memory."),
    _gauge("tail_limit_bytes", "Beyond so many bytes of them, writes are refused.", "tail_bytes_max"),
    _gauge("archive_lag_seconds", "For how long the oldest of them has been durable."),
    _gauge("archiver_alive", "1 while the archiver runs."),
    _counter("archiver_restarts", "How often the archiver's process had to be started again."),
    _gauge(
        "refuses_writes", "1 while writes are refused, because the archiver is too far behind or the store has failed."
    ),
    _gauge("writes_stalled", "Documents whose writes wait because the gathering batch is full.", "stalled"),
    _gauge("jobs", "Reads of the past and of sleeping documents that are under way."),
    _gauge("documents_awake", "Branches of documents that are in memory.", "actors"),
    _gauge("documents_awake_bytes", "Memory that they take, estimated, as of the last sweep.", "awake_bytes"),
    _gauge("documents_waking", "Of them, those that are still being read.", "asleep"),
    _counter("document_wakes", "Branches of documents that were read into memory.", "wakes"),
    _counter("document_crashes", "Branches of documents that were dropped because of a bug.", "crashes"),
    Row(
        "view_cache_requests",
        "counter",
        "Reads through perspectives, by whether their view was found.",
        (("view_hits", "hit"), ("view_misses", "miss")),
        "result",
    ),
    _gauge("view_cache_bytes", "Bytes of views that are kept."),
    _gauge("subscriptions", "Subscriptions without a name."),
    _gauge("subscriptions_behind", "Of them, those that are read from the log.", "behind"),
    _gauge("subscription_lag_events_max", "Events that the one furthest behind was not handed."),
    _counter("subscriptions_fallen_behind", "How often one that was live did not keep up.", "fallen_behind"),
    _gauge("named_subscriptions_in_use", "Named subscriptions that somebody works for.", "named_subscriptions"),
    _gauge(
        "named_subscription_lag_events_max",
        "Events after the place of the one furthest behind, used or not.",
        "named_lag_events_max",
    ),
    _gauge("unacked_changes", "Changes that workers have and have not acknowledged."),
    _gauge("dead_letters", "Changes of named subscriptions that were put aside."),
    _counter("deliveries", "Changes that were handed to subscriptions, one for each that got it."),
    Row(
        "connections",
        "gauge",
        "Connections: that have not said hello yet, that do not take what they are sent, and the others.",
        (("greeting_connections", "greeting"), ("paused_connections", "paused"), ("open_connections", "open")),
        "state",
    ),
    _counter("connections_accepted", "Connections that were let in.", "accepted_connections"),
    _counter("received_bytes", "Bytes that came over connections."),
    _counter("sent_bytes", "Bytes that were sent over connections."),
    _gauge("closing", "1 while the server shuts down."),
    _counter("process_cpu_seconds", "Seconds of processor time of the server's process.", "cpu_seconds"),
    _gauge("process_resident_memory_bytes", "Memory of the server's process.", "resident_bytes"),
    _gauge("process_open_files", "Open files and sockets of the server's process.", "open_files"),
    Row(
        "store_file_bytes",
        "gauge",
        "Bytes of the store's files.",
        (
            ("journal_file_bytes", "journal"),
            ("journal_wal_bytes", "journal_wal"),
            ("archive_file_bytes", "archive"),
            ("archive_wal_bytes", "archive_wal"),
        ),
        "file",
    ),
    _gauge("store_disk_free_bytes", "Bytes that are free on the disk of the store.", "disk_free_bytes"),
)
"""What is made of the numbers of an observation. Those that it does not have, as a store in memory has no files, are left out."""

REQUESTS: Final = Row("requests", "counter", "Requests that came, by kind of message.", (), "kind")
REFUSALS: Final = Row(
    "refusals", "counter", "Requests that failed and connections that were ended, by error code.", (), "code"
)
STARTED: Final = Row("start_time_seconds", "gauge", "When the server started, in seconds since 1970.", ())
INFO: Final = Row("info", "gauge", "The release of the server, and the epoch of its store.", ())

ALL: Final = (*ROWS, REQUESTS, REFUSALS, STARTED, INFO)
"""Every metric that there is."""


def exposition(observation: Observation) -> bytes:
    """The observation in the text format of Prometheus; see `CONTENT_TYPE`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(observation))
    return generate_latest(registry)


def health(observation: Observation) -> tuple[bool, tuple[str, ...]]:
    """Whether the server is ready to be written to, and what stands in its way, if anything."""
    gauges = observation.gauges
    reasons = []
    if gauges.get("closing"):
        reasons.append("the server is shutting down")
    waiting, maximum = gauges.get("tail_bytes", 0), gauges.get("tail_bytes_max", 0)
    if maximum and waiting > maximum:
        reasons.append(f"{waiting:.0f} bytes wait to be archived; tail_bytes_max is {maximum:.0f}")
    elif gauges.get("refuses_writes"):
        reasons.append("writes are refused")
    if not gauges.get("archiver_alive", 1):
        reasons.append("the archiver does not run")
    return not reasons, tuple(reasons)


def kind_label(message: str) -> str:
    """`GetMany` as `get_many`."""
    return _CAPITAL.sub("_", message).lower()


class _Collected(Collector):
    """What the registry of one exposition collects."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def collect(self) -> Iterable[Metric]:
        observation = self._observation
        yield InfoMetricFamily(
            _PREFIX.rstrip("_"), INFO.help, {"release": observation.agent, "epoch": observation.epoch}
        )
        started = GaugeMetricFamily(STARTED.whole_name, STARTED.help)
        started.add_metric([], observation.started_at.timestamp())
        yield started
        yield from _families(observation)
        yield _labelled(REQUESTS, {kind_label(kind): count for kind, count in observation.requests.items()})
        yield _labelled(REFUSALS, observation.refusals)


def _families(observation: Observation) -> Iterator[Metric]:
    numbers = _numbers(observation)
    for row in ROWS:
        if row.kind == "histogram":
            data = observation.histograms.get(row.numbers[0][0])
            if data is not None:
                yield _histogram_family(row, data)
            continue
        found = {value: numbers[number] for number, value in row.numbers if number in numbers}
        if found:
            yield _labelled(row, found)


def _numbers(observation: Observation) -> dict[str, float]:
    """Counters and gauges under their names, and those that follow from them."""
    found = {**observation.counters, **observation.gauges}
    if "connections" in found:
        others = found.get("greeting_connections", 0) + found.get("paused_connections", 0)
        found["open_connections"] = max(0.0, found["connections"] - others)
    return found


def _labelled(row: Row, found: dict[str, int] | dict[str, float]) -> Metric:
    """found: by the value of the label, or under "" where there is none."""
    family = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
    metric = family(_PREFIX + row.name, row.help, labels=[row.label] if row.label else [])
    for value, number in found.items():
        metric.add_metric([value] if row.label else [], number)
    return metric


def _histogram_family(row: Row, data: HistogramData) -> Metric:
    metric = HistogramMetricFamily(_PREFIX + row.name, row.help)
    buckets, total = [], 0
    for bound, count in zip((*map(_written, data.bounds), "+Inf"), data.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    metric.add_metric([], buckets, data.sum)
    return metric


def _written(bound: float) -> str:
    return f"{bound:g}" if bound < 1e6 else repr(bound)
