"""What the machine itself allows: one fdatasync, one round trip over loopback, and SQLite committing the same batches.

Nothing that answers after its log is on disk is faster than the first two together. The third is what is left to gain, or
was lost, above the database: the rows are those of the journal, with the events of the same updates in them.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from msgspec import Raw
from msgspec.msgpack import encode

from bench import processes, workload
from bench.results import Single
from palimpsest.storage.events import GENESIS, SALT_BYTES, Event, chain_digest, encode_events
from palimpsest.words import MAIN, Kind

APPEND_BYTES = 200
MESSAGE_BYTES = 100
BATCHES_EVENTS = (1, 64, 1_024)


def measure_floor(directory: Path | None, seconds: float) -> list[Single]:
    """directory: where the files lie, removed again; None for the system's own place. seconds: for each figure."""
    with tempfile.TemporaryDirectory(prefix="bench-floor-", dir=directory) as place:
        found = [
            Single(
                "fdatasync_us",
                f"append of {APPEND_BYTES} bytes and fdatasync, p50",
                _fdatasync(Path(place), seconds),
                "us",
            ),
            Single("round_trip_us", f"loopback round trip of {MESSAGE_BYTES} bytes, p50", _round_trip(seconds), "us"),
        ]
        for events in BATCHES_EVENTS:
            commit_us, events_per_second = _sqlite(Path(place) / f"{events}.db", events, seconds)
            title = f"SQLite (WAL, FULL), {events:,} event{'s' if events > 1 else ''} a commit"
            found.append(Single(f"sqlite_{events}_commit_us", f"{title}, p50", commit_us, "us"))
            found.append(Single(f"sqlite_{events}_per_second", f"{title}, events", events_per_second, "/s"))
    return found


def _fdatasync(directory: Path, seconds: float) -> float:
    """Microseconds."""
    record = os.urandom(APPEND_BYTES)
    latencies: list[float] = []
    file = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        started = before = time.perf_counter()
        while before < started + seconds:
            os.write(file, record)
            os.fdatasync(file)
            after = time.perf_counter()
            latencies.append(after - before)
            before = after
    finally:
        os.close(file)
    return _median_us(latencies)


def _round_trip(seconds: float) -> float:
    """Microseconds, between two processes that do nothing but wait for each other."""
    message = os.urandom(MESSAGE_BYTES)
    latencies: list[float] = []
    echo = subprocess.Popen([sys.executable, "-m", "bench.floor"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        port = int(processes.read_line(echo))
        with socket.create_connection(("127.0.0.1", port), timeout=processes.START_SECONDS_MAX) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            started = before = time.perf_counter()
            while before < started + seconds:
                link.sendall(message)
                missing = MESSAGE_BYTES
                while missing:
                    missing -= len(link.recv(missing))
                after = time.perf_counter()
                latencies.append(after - before)
                before = after
    finally:
        processes.stop(echo)
    return _median_us(latencies)


def serve_echo() -> None:
    """Prints its port, and gives back what one connection sends until that is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        server.settimeout(processes.START_SECONDS_MAX)
        link, _ = server.accept()
        with link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := link.recv(4096):
                link.sendall(data)


def _sqlite(path: Path, events: int, seconds: float) -> tuple[float, float]:
    """Microseconds for one commit, and events per second. The write-ahead log is as long as it gets before it is measured."""
    body = encode_events([_event(number) for number in range(events)], bytes(SALT_BYTES))
    digest, position = GENESIS, 1
    latencies: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE batches (position INTEGER PRIMARY KEY, count INTEGER, digest BLOB, body BLOB)")
        started = before = time.perf_counter()
        while before < started + 1.5 * seconds:
            digest = chain_digest(digest, position, events, body)
            database.execute("INSERT INTO batches VALUES (?, ?, ?, ?)", (position, events, digest, body))
            position += events
            after = time.perf_counter()
            if after > started + 0.5 * seconds:
                latencies.append(after - before)
            before = after
    return _median_us(latencies), events * len(latencies) / sum(latencies)


def _event(number: int) -> Event:
    """As the log keeps one of the updates that are measured."""
    delta = Raw(encode([[0, [workload.field_name(number)], workload.field_text(number)], [3, [workload.COUNTER], 1]]))
    document = workload.document_name(number % workload.DOCUMENTS)
    return Event(document, MAIN, 1 + number, Kind.UPDATE, 1_700_000_000_000_000 + number, delta, "bench-floor", number)


def _median_us(latencies: list[float]) -> float:
    latencies.sort()
    return 1e6 * latencies[len(latencies) // 2]


if __name__ == "__main__":
    serve_echo()
