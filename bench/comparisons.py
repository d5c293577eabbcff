"""What is compared with Redis, in turns, and the goals that are set for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from bench import generator, processes, python_clients
from bench.generator import Load, Mode
from bench.peer import REDIS, Peer
from bench.python_clients import REDIS_CONNECTIONS_MAX, Task
from bench.results import Comparison, Figures, Goal, compare
from bench.tasks import Callers

Watch = Callable[[str], None]
"""Called with a line about what is measured now."""


class Pace(msgspec.Struct, frozen=True):
    """How long and how often everything is measured. subscribers: of one document."""

    rounds: int
    warmup_seconds: float
    seconds: float
    subscribers: int


class Case(msgspec.Struct, frozen=True):
    part: str
    key: str
    title: str
    metric: str
    goal: Goal | None
    measure: Callable[[Peer, Pace], Figures]


def measure_comparisons(peers: Sequence[Peer], cases: Sequence[Case], pace: Pace, watch: Watch) -> Iterator[Comparison]:
    """peers: running. Each case is measured A B A B ..., each turn after the peer before has gone quiet."""
    for case in cases:
        rounds: dict[str, list[Figures]] = {peer.name: [] for peer in peers}
        for number in range(pace.rounds):
            for peer in peers:
                watch(f"{case.part}: {case.title}: {peer.name}, round {number + 1} of {pace.rounds}")
                for other in peers:
                    processes.settle(other.pid)
                rounds[peer.name].append(case.measure(peer, pace))
        yield compare(case.part, case.key, case.title, case.metric, case.goal, rounds)


def _at_python(task: Task, callers: int, connections: int) -> Callable[[Peer, Pace], Figures]:
    def measure(peer: Peer, pace: Pace) -> Figures:
        count = min(callers, REDIS_CONNECTIONS_MAX) if peer.name == REDIS else connections
        load = Callers(callers, count, pace.warmup_seconds, pace.seconds)
        return python_clients.measure_client(peer, task, load)

    return measure


def _deliveries(peer: Peer, pace: Pace) -> Figures:
    load = Callers(1, pace.subscribers, pace.warmup_seconds, pace.seconds)
    return python_clients.measure_client(peer, "subscribe", load)


def _at_server(mode: Mode, connections: int, outstanding: int) -> Callable[[Peer, Pace], Figures]:
    def measure(peer: Peer, pace: Pace) -> Figures:
        return generator.measure(peer, mode, Load(connections, outstanding, pace.warmup_seconds, pace.seconds))

    return measure


PYTHON = "Python clients"
PYTHON_CASES = (
    Case(PYTHON, "python_update_1", "update, 1 caller", "p50_us", Goal("at_most", 0.95), _at_python("update", 1, 1)),
    Case(
        PYTHON,
        "python_update_64",
        "updates, 64 callers",
        "per_second",
        Goal("at_least", 4),
        _at_python("update", 64, 1),
    ),
    Case(
        PYTHON,
        "python_update_1024",
        "updates, 1,024 callers",
        "per_second",
        Goal("at_least", 8),
        _at_python("update", 1024, 8),
    ),
    Case(
        PYTHON, "python_get_64", "cached reads, 64 callers", "per_second", Goal("at_least", 6), _at_python("get", 64, 1)
    ),
    Case(PYTHON, "python_deliveries", "deliveries to subscribers", "per_second", Goal("at_least", 1.7), _deliveries),
)

SERVER = "servers, one generator"
SERVER_CASES = (
    Case(SERVER, "server_update_1x1", "update, 1 connection x 1", "p50_us", None, _at_server("update", 1, 1)),
    Case(SERVER, "server_update_8x8", "updates, 8 x 8", "per_second", Goal("at_least", 1), _at_server("update", 8, 8)),
    Case(
        SERVER,
        "server_update_8x128",
        "updates, 8 x 128",
        "per_second",
        Goal("at_least", 2),
        _at_server("update", 8, 128),
    ),
    Case(SERVER, "server_get_8x8", "cached reads, 8 x 8", "per_second", None, _at_server("get", 8, 8)),
)
