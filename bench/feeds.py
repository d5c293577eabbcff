"""What it costs to be heard: deliveries, how late they are, reading the log again, and readers who do nothing or never read.

The servers are those of `serve`, and each program that reads or writes is a process of its own (`feed_clients`), so that neither is in
the way of the other where there is a second core. `fanout` says what is compared with Redis.
"""

from __future__ import annotations

import socket
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from bench import fanout, processes
from bench.comparisons import Case, Pace
from bench.feed_clients import BULK_DOCUMENTS, bulk_name
from bench.palimpsest_peer import PalimpsestPeer
from bench.peer import REDIS, Peer
from bench.results import Figures, Goal, Single
from palimpsest.protocol.connection import ClientConnection
from palimpsest.protocol.messages import Subscribe, Subscribed

_PER_CONNECTION = 20
"""Subscribers, where they share connections."""
_RATE = 20
"""Changes per second where it is measured how late they are: many reach all of 1,000 subscribers well before the next."""
_IDLE_CONNECTIONS = 100
_BULK_BYTES = 64 * 1024
_FLOOD_BYTES = 32 * 1024 * 1024
"""Before it is measured: more than the kernel and the server keep for one connection."""
_STUCK_RECEIVE_BYTES = 64 * 1024
_RUN_SECONDS_MAX = 120.0

_Watch = Callable[[str], None]


class FeedsSize(msgspec.Struct, frozen=True):
    """changes: whose delay is measured, to each of the subscribers. log: changes that are read again. idle: subscriptions."""

    subscribers: int
    changes: int
    log: int
    idle: int
    rounds: int = 3


# --- beside Redis ----------------------------------------------------------------------------------------------------


def _deliveries(connections_of: Callable[[Peer, int], int]) -> Callable[[Peer, Pace], Figures]:
    def measure(peer: Peer, pace: Pace) -> Figures:
        connections = connections_of(peer, pace.subscribers)
        crowd = fanout.Crowd(pace.subscribers, connections, pace.warmup_seconds, pace.seconds)
        return fanout.measure_fanout(peer, crowd)

    return measure


def _one_each(_: Peer, subscribers: int) -> int:
    return subscribers


def _shared(_: Peer, subscribers: int) -> int:
    return max(1, subscribers // _PER_CONNECTION)


def _shared_but_of_redis(peer: Peer, subscribers: int) -> int:
    return subscribers if peer.name == REDIS else _shared(peer, subscribers)


FEEDS = "feeds (Redis: PUBLISH, nothing on disk)"
FEEDS_CASES = (
    Case(
        FEEDS,
        "feeds_alone",
        "deliveries, a connection for each subscriber",
        "per_second",
        Goal("at_least", 3),
        _deliveries(_one_each),
    ),
    Case(
        FEEDS,
        "feeds_shared",
        "deliveries, 20 on a connection of ours",
        "per_second",
        Goal("at_least", 3),
        _deliveries(_shared_but_of_redis),
    ),
)
"""redis-py has a connection for each subscriber in both: what it gives a program by itself."""

BY_HAND_CASES = (
    Case(
        FEEDS,
        "feeds_by_hand",
        "deliveries, 20 on one; redis-py by 20 queues",
        "per_second",
        None,
        _deliveries(_shared),
    ),
)
"""What a program can make of redis-py, where it hands messages on to its own subscribers."""


# --- by itself -------------------------------------------------------------------------------------------------------


def measure_feeds(directory: Path | None, size: FeedsSize, watch: _Watch) -> list[Single]:
    """directory: where the stores lie, removed again; None for the system's own place. Raises PeerFailed."""
    parts: tuple[tuple[str, Callable[[PalimpsestPeer, FeedsSize], list[Single]]], ...] = (
        ("idle subscriptions", _idle),  # the first, as memory that was used and is free again would hide what they take
        ("how late a delivery is", _lateness),
        ("beside a stuck reader, and without", _stuck),
        ("the log again", _catching_up),
    )
    found: list[Single] = []
    with PalimpsestPeer(directory) as peer:
        for line, measure in parts:
            watch(f"feeds: {line}")
            found += measure(peer, size)
    return found


def _lateness(peer: PalimpsestPeer, size: FeedsSize) -> list[Single]:
    found: list[Single] = []
    for subscribers in (1, size.subscribers):
        p50, p99 = _late_us(peer, subscribers, size.changes)
        who = "1 subscriber" if subscribers == 1 else f"{subscribers:,} subscribers"
        title = f"from the answer to its writer to the delivery of a change, {who}, {_RATE} changes/s"
        found += [
            Single(f"late_{subscribers}_p50_us", f"{title}, p50", p50, "us"),
            Single(f"late_{subscribers}_p99_us", "  p99", p99, "us"),
        ]
    return found


def _late_us(peer: PalimpsestPeer, subscribers: int, changes: int, bulk_bytes: int = 0) -> tuple[float, float]:
    """Microseconds, the middle and what 1% exceed."""
    connections = max(1, subscribers // _PER_CONNECTION)
    processes.settle(peer.pid)
    p50, p99 = _run("late", peer.port, subscribers, connections, changes, _RATE, bulk_bytes)
    return p50, p99


def _stuck(peer: PalimpsestPeer, size: FeedsSize) -> list[Single]:
    """In turns, without the stuck reader and beside it; what it follows is written in both."""
    late: dict[bool, list[float]] = {False: [], True: []}
    grown: dict[bool, list[float]] = {False: [], True: []}
    _run("flood", peer.port, _FLOOD_BYTES, _BULK_BYTES)
    for _ in range(size.rounds):
        for beside in (False, True):
            processes.settle(peer.pid)
            before_bytes = processes.resident_bytes(peer.pid)
            with _stuck_reader(peer) if beside else nullcontext():
                _run("flood", peer.port, _FLOOD_BYTES, _BULK_BYTES)
                late[beside].append(_late_us(peer, size.subscribers, size.changes, _BULK_BYTES)[1])
                grown[beside].append(processes.resident_bytes(peer.pid) - before_bytes)
    without, with_it = (statistics.median(late[beside]) for beside in (False, True))
    title = (
        f"p99 to {size.subscribers:,} subscribers, beside {_RATE * _BULK_BYTES / 1e6:.1f} MB/s that they do not follow"
    )
    return [
        Single("late_without_stuck_p99_us", title, without, "us"),
        Single("late_with_stuck_p99_us", "  and one that follows those, and never reads", with_it, "us"),
        Single("stuck_ratio", "  with it over without it (to be 1.2x at most)", with_it / without, "x"),
        Single("stuck_grown_bytes", "  memory of the server, grown with it", statistics.median(grown[True]), "bytes"),
        Single("grown_bytes", "  and without it", statistics.median(grown[False]), "bytes"),
    ]


def _catching_up(peer: PalimpsestPeer, size: FeedsSize) -> list[Single]:
    _run("fill", peer.port, size.log, seconds_max=_RUN_SECONDS_MAX + size.log / 500)
    found: list[Single] = []
    for many, values in ((0, 0), (1, 0), (0, 1), (1, 1)):
        processes.settle(peer.pid)
        rate = _run("catch-up", peer.port, size.log, many, values, seconds_max=_RUN_SECONDS_MAX + size.log / 500)
        title = f"catch up on {size.log:,} changes of {'many documents' if many else 'one document'}"
        key = f"catch_up_{'many' if many else 'one'}{'_values' if values else ''}_per_second"
        found.append(Single(key, f"{title}, with whole values" if values else title, rate, "/s"))
    return found


def _idle(peer: PalimpsestPeer, size: FeedsSize) -> list[Single]:
    processes.settle(peer.pid)
    cost = _run("idle", peer.port, peer.pid, size.idle, _IDLE_CONNECTIONS)
    return [
        Single("idle_bytes", f"memory of one of {size.idle:,} idle subscriptions", cost["bytes"], "bytes"),
        Single("subscribe_us", "  to make one, p50", cost["alone_us"], "us"),
        Single("subscribe_together_us", "  one of 50 that are made together", cost["together_us"], "us"),
    ]


# --- inside ----------------------------------------------------------------------------------------------------------


def _command(task: str, *numbers: int) -> list[str]:
    return [sys.executable, "-m", "bench.feed_clients", task, *map(str, numbers)]


def _run(task: str, *numbers: int, seconds_max: float = _RUN_SECONDS_MAX) -> Any:
    return msgspec.json.decode(processes.run(_command(task, *numbers), seconds_max=seconds_max))


@contextmanager
def _stuck_reader(peer: PalimpsestPeer) -> Iterator[None]:
    """Follows what `flood` writes, and reads nothing once it is told that it does."""
    connection = ClientConnection()
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _STUCK_RECEIVE_BYTES)
        link.settimeout(processes.START_SECONDS_MAX)
        link.connect((peer.host, peer.port))
        link.sendall(connection.hello("bench-stuck"))
        while not connection.receive_data(link.recv(_STUCK_RECEIVE_BYTES)):
            pass
        link.sendall(
            connection.send([Subscribe(number, number, bulk_name(number)) for number in range(1, 1 + BULK_DOCUMENTS)])
        )
        missing = BULK_DOCUMENTS
        while missing:
            received = connection.receive_data(link.recv(_STUCK_RECEIVE_BYTES))
            missing -= sum(isinstance(message, Subscribed) for message in received)
        yield
