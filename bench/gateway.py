"""What HTTP costs: updates and reads beside the same over the protocol, in turns, and readers of event streams.

The gateway is that of `serve --http`, in the process of the server. Each program that asks or reads is a process of its own (`http_clients`,
`python_clients`).
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench import processes, python_clients
from bench.palimpsest_peer import PalimpsestPeer
from bench.processes import PeerFailed
from bench.python_clients import Task
from bench.results import Figures, Single
from bench.tasks import Callers

_LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
_RATE = 20
"""Changes per second where it is measured how late they are, as with other feeds."""
_RUN_SECONDS_MAX = 120.0

_Watch = Callable[[str], None]


class GatewaySize(msgspec.Struct, frozen=True):
    """readers: of event streams. changes: whose delay is measured, to each of them."""

    readers: int
    changes: int
    rounds: int
    warmup_seconds: float
    seconds: float


class GatewayPeer(PalimpsestPeer):
    """A server with a gateway beside it."""

    arguments = ("--http", "127.0.0.1:0")

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__(directory)
        self.http_port = 0

    def _wait_until_ready(self) -> None:
        super()._wait_until_ready()
        assert self._process is not None
        line = processes.read_line(self._process)
        found = _LISTENING.search(line)
        if found is None:
            raise PeerFailed(f"the gateway said {line!r}, and:\n{self.log_path.read_text()[-2000:]}")
        self.http_port = int(found[1])


def measure_gateway(directory: Path | None, size: GatewaySize, watch: _Watch) -> list[Single]:
    """directory: where the store lies, removed again; None for the system's own place. Raises PeerFailed."""
    found: list[Single] = []
    with GatewayPeer(directory) as peer:
        for task, callers in (("update", 1), ("update", 64), ("get", 1), ("get", 64)):
            watch(f"gateway: {task}, {callers} callers")
            found += _beside_the_protocol(peer, size, "update" if task == "update" else "get", callers)
        watch(f"gateway: {size.readers:,} event streams")
        found += _streams(peer, size)
    return found


def _beside_the_protocol(peer: GatewayPeer, size: GatewaySize, task: Task, callers: int) -> list[Single]:
    """A B A B ..., and the medians."""
    http: list[Figures] = []
    protocol: list[Figures] = []
    load = Callers(callers, 1, size.warmup_seconds, size.seconds)
    for _ in range(size.rounds):
        processes.settle(peer.pid)
        http.append(_asked(peer, size, task, callers))
        processes.settle(peer.pid)
        protocol.append(python_clients.measure_client(peer, task, load))
    what = {"update": "updates", "get": "cached reads"}[task]
    who = "1 caller" if callers == 1 else f"{callers} callers"
    key = f"{task}_{callers}"
    rates = [_median(turns, "per_second") for turns in (http, protocol)]
    return [
        Single(f"http_{key}_per_second", f"{what} by HTTP, {who}", rates[0], "/s"),
        Single(f"http_{key}_p50_us", "  p50", _median(http, "p50_us"), "us"),
        Single(f"http_{key}_p99_us", "  p99", _median(http, "p99_us"), "us"),
        Single(f"http_{key}_cpu_us", "  processor time of the server for one of them", _median(http, "cpu_us"), "us"),
        Single(f"protocol_{key}_per_second", "  the same by the protocol", rates[1], "/s"),
        Single(f"http_{key}_ratio", "  HTTP over the protocol", rates[0] / rates[1], "x"),
    ]


def _asked(peer: GatewayPeer, size: GatewaySize, task: Task, callers: int) -> Figures:
    """With `cpu_us`: what the process of the server takes for one request, those of the warm-up counted as if they came as fast as the others."""
    before_seconds = processes.own_cpu_seconds(peer.pid)
    found = _run(peer, task, callers, "--warmup", size.warmup_seconds, "--seconds", size.seconds)
    spent_seconds = processes.own_cpu_seconds(peer.pid) - before_seconds
    requests = found["per_second"] * (size.warmup_seconds + size.seconds)
    return {**found, "cpu_us": 1e6 * spent_seconds / requests}


def _streams(peer: GatewayPeer, size: GatewaySize) -> list[Single]:
    where = ("--server-port", peer.port, "--server-pid", peer.pid)
    processes.settle(peer.pid)
    late = _run(peer, "late", size.readers, *where, "--changes", size.changes, "--rate", _RATE)
    processes.settle(peer.pid)
    usage = processes.Usage(peer.pid)
    delivered = _run(peer, "deliver", size.readers, *where, "--warmup", size.warmup_seconds, "--seconds", size.seconds)
    cores = usage.figures()["server_cores"]
    readers = f"{size.readers:,} readers of event streams"
    return [
        Single(
            "events_late_p50_us",
            f"from the answer to its writer to {readers}, {_RATE} changes/s, p50",
            late["p50_us"],
            "us",
        ),
        Single("events_late_p99_us", "  p99", late["p99_us"], "us"),
        Single("events_per_second", f"deliveries to {readers}", delivered["per_second"], "/s"),
        Single("events_all_p50_us", "  until all of them have a change, p50", delivered["p50_us"], "us"),
        Single("events_server_cores", "  processors that the server takes meanwhile", cores, "x"),
        Single("events_reader_bytes", "memory of a reader that waits", late["reader_bytes"], "bytes"),
    ]


def _run(peer: GatewayPeer, task: str, callers: int, *options: str | float) -> Figures:
    command = [sys.executable, "-m", "bench.http_clients", task, "--port", str(peer.http_port)]
    command += ["--callers", str(callers), *map(str, options)]
    return msgspec.json.decode(processes.run(command, seconds_max=_RUN_SECONDS_MAX), type=dict[str, float])


def _median(turns: Sequence[Figures], name: str) -> float:
    return statistics.median(turn[name] for turn in turns)
