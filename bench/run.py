"""`python -m bench.run`: measures everything side by side, prints a table, keeps the figures, and draws them.

Peers take turns (A B A B ...), and medians are compared, so that a disk or a machine that drifts does so for both. What is
missing (no redis-server, no C compiler) is left out, with a line that says so.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from bench import comparisons, console_paint, generator, machine, picture, redis_peer, report
from bench.branches import BranchesSize, measure_branches
from bench.comparisons import Pace
from bench.console_paint import ConsoleSize, measure_console
from bench.documents import StoreSize, measure_documents
from bench.feeds import BY_HAND_CASES, FEEDS_CASES, FeedsSize, measure_feeds
from bench.floor import measure_floor
from bench.gateway import GatewaySize, measure_gateway
from bench.history import HistorySize, measure_history
from bench.palimpsest_peer import PalimpsestPeer
from bench.peer import Peer
from bench.perspectives import PerspectivesSize, measure_perspectives
from bench.processes import PeerFailed
from bench.redis_peer import RedisPeer
from bench.results import Comparison, Results, Single
from bench.sockets_peer import SocketsPeer, sockets_figures
from bench.sync import SyncSize, measure_sync

OUT = Path(__file__).with_name("out")
WORK = (
    "An update sets one of 20 fields of a 1 KB document and increments its counter, and is on disk before it is answered. "
    "Palimpsest: `serve` as it comes, its archiver running, request ids, digests and limits on. "
    "Redis: appendonly yes, appendfsync always, a script of HSET, HINCRBY, XADD and PUBLISH."
)
PARTS = (
    "floor",
    "python",
    "server",
    "documents",
    "history",
    "branches",
    "feeds",
    "perspectives",
    "sync",
    "gateway",
    "console",
)


class Size(msgspec.Struct, frozen=True):
    pace: Pace
    floor_seconds: float
    store: StoreSize
    history: HistorySize
    branches: BranchesSize
    feeds: FeedsSize
    perspectives: PerspectivesSize
    sync: SyncSize
    gateway: GatewaySize
    console: ConsoleSize


SIZES = {
    "tiny": Size(
        Pace(1, 0.1, 0.3, 50),
        0.1,
        StoreSize(256, 8),
        HistorySize(2_000, 2_000, 5),
        BranchesSize(500, 1_000, 5),
        FeedsSize(100, 10, 1_000, 1_000, rounds=1),
        PerspectivesSize(2_000, 100, 20, 1),
        SyncSize((200,)),
        GatewaySize(50, 10, 1, 0.1, 0.3),
        ConsoleSize(2_000, 1),
    ),
    "small": Size(
        Pace(2, 0.5, 1.5, 1_000),
        0.5,
        StoreSize(5_000, 20),
        HistorySize(100_000, 100_000),
        BranchesSize(10_000, 10_000),
        FeedsSize(1_000, 100, 20_000, 10_000, rounds=2),
        PerspectivesSize(20_000, 1_000, 50),
        SyncSize((1_000, 10_000)),
        GatewaySize(1_000, 60, 3, 0.5, 1.5),
        ConsoleSize(20_000, 5),
    ),
    "full": Size(
        Pace(5, 1.0, 3.0, 1_000),
        2.0,
        StoreSize(50_000, 20),
        HistorySize(100_000, 1_000_000),
        BranchesSize(100_000, 10_000),
        FeedsSize(1_000, 400, 100_000, 10_000),
        PerspectivesSize(50_000, 1_000, 100),
        SyncSize((1_000, 10_000, 100_000)),
        GatewaySize(1_000, 200, 5, 1.0, 3.0),
        ConsoleSize(100_000, 9),
    ),
}


class Bench:
    """One run. skipped grows while it goes on; with require_all, what is missing raises PeerFailed instead."""

    def __init__(self, size: Size, directory: Path, *, require_all: bool, console: Console) -> None:
        self.skipped: list[str] = []
        self._size = size
        self._directory = directory
        self._require_all = require_all
        self._console = console

    def floor(self) -> list[Single]:
        self._watch("floor")
        return measure_floor(self._directory, self._size.floor_seconds)

    def python(self) -> list[Comparison]:
        with ExitStack() as stack:
            return self._compare(self._start_peers(stack), comparisons.PYTHON_CASES)

    def server(self) -> list[Comparison]:
        if generator.compiler() is None:
            self._skip("the servers by themselves: there is no C compiler (cc) for the generator")
            return []
        generator.build()
        with ExitStack() as stack:
            return self._compare(self._start_peers(stack), comparisons.SERVER_CASES)

    def documents(self) -> list[Single]:
        self._watch("documents")
        return measure_documents(self._directory, self._size.store)

    def history(self) -> list[Single]:
        self._watch("history")
        return measure_history(self._directory, self._size.history)

    def branches(self) -> list[Single]:
        self._watch("branches")
        return measure_branches(self._directory, self._size.branches)

    def deliveries(self) -> list[Comparison]:
        with ExitStack() as stack:
            peers = self._start_peers(stack)
            by_hand = self._compare(peers, BY_HAND_CASES)
            peers.append(stack.enter_context(SocketsPeer(self._directory)))
            return [*self._compare(peers, FEEDS_CASES), *by_hand]

    def feeds(self) -> list[Single]:
        return measure_feeds(self._directory, self._size.feeds, self._watch)

    def perspectives(self) -> list[Single]:
        self._watch("perspectives")
        return measure_perspectives(self._directory, self._size.perspectives)

    def sync(self) -> list[Single]:
        self._watch("sync")
        return measure_sync(self._directory, self._size.sync)

    def gateway(self) -> list[Single]:
        return measure_gateway(self._directory, self._size.gateway, self._watch)

    def console(self) -> list[Single]:
        if console_paint.chromium() is None:
            self._skip("the console: there is no chromium")
            return []
        self._watch("console")
        return measure_console(self._directory, self._size.console)

    def _start_peers(self, stack: ExitStack) -> list[Peer]:
        peers: list[Peer] = [stack.enter_context(PalimpsestPeer(self._directory))]
        if redis_peer.executable() is not None:
            peers.append(stack.enter_context(RedisPeer(self._directory)))
        else:
            self._skip("Redis: there is no redis-server")
        return peers

    def _compare(self, peers: list[Peer], cases: tuple[comparisons.Case, ...]) -> list[Comparison]:
        return list(comparisons.measure_comparisons(peers, cases, self._size.pace, self._watch))

    def _skip(self, line: str) -> None:
        if self._require_all:
            raise PeerFailed(line)
        if line not in self.skipped:
            self.skipped.append(line)

    def _watch(self, line: str) -> None:
        self._console.print(line, style="dim")


def measure(size_name: str, parts: list[str], directory: Path, *, require_all: bool, console: Console) -> Results:
    bench = Bench(SIZES[size_name], directory, require_all=require_all, console=console)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    described = machine.describe(directory)
    if described["filesystem"] in ("tmpfs", "ramfs"):
        bench.skipped.append(f"durability: {described['filesystem']} has no disk under it; give --directory on one")
    floor = bench.floor() if "floor" in parts else []
    compared = bench.python() if "python" in parts else []
    compared += bench.server() if "server" in parts else []
    documents = bench.documents() if "documents" in parts else []
    history = bench.history() if "history" in parts else []
    branches = bench.branches() if "branches" in parts else []
    deliveries = bench.deliveries() if "feeds" in parts else []
    feeds = [*sockets_figures(deliveries), *bench.feeds()] if "feeds" in parts else []
    perspectives = bench.perspectives() if "perspectives" in parts else []
    sync = bench.sync() if "sync" in parts else []
    gateway = [*(bench.gateway() if "gateway" in parts else []), *(bench.console() if "console" in parts else [])]
    compared += deliveries
    said = (at, size_name, described, WORK, compared)
    return Results(*said, floor, documents, bench.skipped, history, branches, feeds, perspectives, sync, gateway)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.run", description=__doc__.split("\n", 1)[0] if __doc__ else None
    )
    parser.add_argument(
        "--size", choices=list(SIZES), default="small", help="tiny: seconds; small: minutes; full: many"
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one; may be given more than once")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the figures as JSON (default: bench/out/bench.json)"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help=".svg or .png (default: bench/out/bench.svg)")
    parser.add_argument("--directory", type=Path, help="where stores are made while measuring; should be on a disk")
    parser.add_argument("--require-all", action="store_true", help="fail where something is missing to measure with")
    arguments = parser.parse_args()
    # Whoever ends a run ends its servers: leaving the `with` blocks stops them.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    directory = arguments.directory or Path(tempfile.gettempdir())
    quiet = Console(stderr=True)
    try:
        results = measure(
            arguments.size, arguments.part or list(PARTS), directory, require_all=arguments.require_all, console=quiet
        )
    except PeerFailed as error:
        sys.exit(f"bench: {error}")
    output = arguments.output or OUT / "bench.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(results.to_json())
    report.print_results(results, Console(width=None if sys.stdout.isatty() else 140))
    if results.comparisons:
        picture.draw(results, arguments.picture or OUT / "bench.svg")


if __name__ == "__main__":
    main()
