"""What an operator sees of a server: its own counts, those of its partition, and what the machine says of process and files.

Whatever is counted only rises, and whoever asks twice sees what came between. Nothing here is asked by a timer, and nothing of it is
kept: an observation that nobody asks for costs nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palimpsest.actors.subscription import info_of
from palimpsest.counting import HistogramData
from palimpsest.protocol.messages import Observe, Observed, SubscriberInfo, SubscriptionInfo
from palimpsest.storage.sqlite_archive import archive_path

if TYPE_CHECKING:
    from palimpsest.actors.partition import Partition
    from palimpsest.server.server import Server

COUNTERS = frozenset(
    {"events", "batches", "wakes", "crashes", "view_hits", "view_misses", "archiver_restarts"},
)
"""Of what `statistics` gives, that which only rises."""

_PROCESS = Path("/proc/self")


async def observe(server: Server, message: Observe, started_at: int) -> Observed:
    """What `Observe` is answered by."""
    partition = server.partition
    named = await partition.groups.infos()
    count = max(0, min(message.subscribers, server.limits.page_items_max))
    furthest = partition.feed.furthest(max(1, count))
    statistics = server.statistics()
    gauges = (
        {name: statistics[name] for name in statistics if name not in COUNTERS}
        | _of_partition(partition)
        | _of_server(server)
        | _of_subscriptions(furthest[0][0] if furthest else 0, named)
        | of_process()
        | of_files(server.path)
    )
    return Observed(
        message.id,
        server.epoch,
        server.agent,
        started_at,
        server.clock.now(),
        {name: statistics[name] for name in statistics if name in COUNTERS} | _counters(server),
        {name: float(number) for name, number in gauges.items()},
        _histograms(partition),
        server.traffic.by_kind(),
        dict(sorted(server.traffic.refusals.items())),
        tuple(_subscriber(lag, subscription) for lag, subscription in furthest[:count]),
        tuple(sorted(named, key=lambda info: info.lag, reverse=True)[:count]),
    )


def _counters(server: Server) -> dict[str, int]:
    partition, traffic = server.partition, server.traffic
    feed, groups = partition.feed, partition.groups
    return {
        "committed_bytes": partition.committer.bytes,
        "failed_commits": partition.committer.failed,
        "deliveries": feed.deliveries + groups.deliveries,
        "fallen_behind": feed.fallen_behind,
        "accepted_connections": traffic.accepted,
        "received_bytes": traffic.received_bytes,
        "sent_bytes": traffic.sent_bytes,
    }


def _histograms(partition: Partition) -> dict[str, HistogramData]:
    timings = partition.committer.timings
    return {
        "update_seconds": timings.update.data(),
        "commit_seconds": timings.commit.data(),
        "append_seconds": timings.append.data(),
        "batch_events": timings.batch.data(),
    }


def _of_partition(partition: Partition) -> dict[str, float]:
    oldest_at = partition.tail.oldest_at
    return {
        "tail_bytes_max": partition.limits.tail_bytes_max,
        "archive_lag_seconds": 0.0 if oldest_at is None else max(0.0, partition.monotonic() - oldest_at),
        "awake_bytes": partition.registry.awake_bytes,
        "refuses_writes": partition.registry.refusal is not None,
    }


def _of_server(server: Server) -> dict[str, float]:
    return {
        "greeting_connections": sum(not session.client for session in server.sessions),
        "paused_connections": sum(session.paused for session in server.sessions),
        "closing": server.closing,
        "archiver_alive": server.archiver_is_alive,
    }


def _of_subscriptions(lag: int, named: list[SubscriptionInfo]) -> dict[str, float]:
    return {
        "subscription_lag_events_max": lag,
        "named_lag_events_max": max((info.lag for info in named), default=0),
        "dead_letters": sum(info.dead for info in named),
    }


def _subscriber(lag: int, subscription: Any) -> SubscriberInfo:
    session = subscription.subscriber
    return info_of(subscription, lag, session.client, session.principal)


def of_process() -> dict[str, float]:
    """What the process takes, as far as the machine says so."""
    found = {"cpu_seconds": time.process_time()}
    try:
        pages = int((_PROCESS / "statm").read_text(encoding="ascii").split()[1])
        found["resident_bytes"] = pages * os.sysconf("SC_PAGE_SIZE")
        found["open_files"] = len(os.listdir(_PROCESS / "fd"))
    except (OSError, ValueError, IndexError):
        pass  # Special case: a machine without /proc
    return found


def of_files(path: str | None) -> dict[str, float]:
    """The bytes of the store's files and what is free beside them. path: the store's; None: it has no files."""
    if path is None:
        return {}
    found: dict[str, float] = {}
    for name, file in _files(path):
        try:
            found[name] = os.stat(file).st_size
        except OSError:
            found[name] = 0.0  # a write-ahead log comes and goes
    try:
        disk = os.statvfs(Path(path).absolute().parent)
    except OSError:
        return found
    return found | {"disk_free_bytes": disk.f_bavail * disk.f_frsize}


def _files(path: str) -> Iterator[tuple[str, str]]:
    archive = str(archive_path(path))
    yield "journal_file_bytes", path
    yield "journal_wal_bytes", f"{path}-wal"
    yield "archive_file_bytes", archive
    yield "archive_wal_bytes", f"{archive}-wal"
