"""What the past costs: to read it, to keep it, to let go of it.

Everything runs in a process of its own, with a server in it whose archiver is a process, as `serve` has it; the client speaks to it
over its socket. Two peers have the same history: git reads the same versions of the same document (`cat-file --batch` over a
packed repository), and an SQLite table keeps every version whole.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import uvloop

import palimpsest
from bench import processes, workload
from bench.results import Single

_READS = 1_000
_DECILES = 10
_FILL_TASKS = 512
_LIVE_CALLERS = 32
_LIVE_SECONDS_MIN = 2.0
_LIVE_PAUSE_SECONDS = 0.005
"""Of a caller between two updates: a server with something to do, and not one at its limit."""
_KEPT = 10
_TEXT_BYTES, _TEXT_EDITS = 1024 * 1024, 50
_LONG = "long"
_TEXT = "text"


class HistorySize(msgspec.Struct, frozen=True):
    """versions: of the document whose past is read. pruned: events, over all documents. edits: of the large text."""

    versions: int
    pruned: int
    edits: int = _TEXT_EDITS


def measure_history(directory: Path | None, size: HistorySize) -> list[Single]:
    """directory: where the stores lie, removed again; None for the system's own place."""
    with tempfile.TemporaryDirectory(prefix="bench-history-", dir=directory) as place:
        command = [
            sys.executable,
            "-m",
            "bench.history",
            place,
            *(str(number) for number in msgspec.structs.astuple(size)),
        ]
        seconds_max = 120 + (size.versions + size.pruned) / 1_000
        return msgspec.json.decode(processes.run(command, seconds_max=seconds_max), type=list[Single])


async def measure(place: Path, size: HistorySize) -> list[Single]:
    return [
        *await _reading(_made(place / "reading"), size.versions),
        *await _text(_made(place / "text"), size.edits),
        *await _pruning(_made(place / "pruning"), size.pruned),
    ]


def _made(place: Path) -> Path:
    place.mkdir()
    return place


# --- reading the past ------------------------------------------------------------------------------------------------


async def _reading(place: Path, versions: int) -> list[Single]:
    store = place / "state.db"
    found: list[Single] = []
    async with palimpsest.Server(store, archiver="process") as server, server.connect() as client:
        await client.create(_LONG, workload.document_value(0))
        await _fill(versions - 1, lambda number: client.update(_LONG, _delta(number)))
        await _archived(server)
        by_decile = [await _read_decile(client, versions, decile) for decile in range(_DECILES)]
        every = sorted(one for decile in by_decile for one in decile)
        medians = [_at(sorted(decile), 0.5) for decile in by_decile]
        held = f"of {versions:,}"
        found += [
            Single("version_p50_us", f"read a version {held}, p50", _at(every, 0.5), "us"),
            Single("version_p99_us", f"read a version {held}, p99", _at(every, 0.99), "us"),
            Single(
                "version_flat",
                "the slowest tenth of the history over the fastest, p50",
                max(medians) / min(medians),
                "x",
            ),
        ]
        moments = [version.at async for version in client.history(_LONG, limit=min(versions, 200))]
        by_time = sorted([await _timed(partial(client.get, _LONG, at=at)) for at in moments])
        found += [
            Single("time_p50_us", "read it by time, p50", _at(by_time, 0.5), "us"),
            Single("blame_us", "blame a document of 20 fields", await _timed(lambda: client.blame(_LONG)), "us"),
            Single(
                "diff_us",
                "diff its first and last version",
                await _timed(lambda: client.diff(_LONG, 1, versions)),
                "us",
            ),
        ]
        started = time.perf_counter()
        count = sum([1 async for _ in client.history(_LONG, by="nobody")])
        assert count == 0
        found.append(
            Single(
                "search_per_second",
                "search its history for an author",
                versions / (time.perf_counter() - started),
                "/s",
            )
        )
    event_bytes = _bytes(place) / versions
    found.append(Single("event_bytes", "disk of a version, all included", event_bytes, "bytes"))
    found += _consists_of(store, versions)
    started = time.perf_counter()
    verdict = await _verify(store)
    found.append(Single("verify_per_second", "verify", verdict / (time.perf_counter() - started), "/s"))
    found += _git(place, versions) + _whole_values(place, versions)
    return found


async def _read_decile(client: palimpsest.Client, versions: int, decile: int) -> list[float]:
    first, last = 1 + versions * decile // _DECILES, versions * (decile + 1) // _DECILES
    reads = min(_READS // _DECILES, last - first + 1)
    step = max(1, (last - first + 1) // reads)
    return [
        await _timed(partial(client.get, _LONG, version=version))
        for version in range(first, first + reads * step, step)
    ]


def _consists_of(store: Path, versions: int) -> list[Single]:
    """Bytes of each part of the archive, per version."""
    raw = sqlite3.connect(f"file:{store}.archive?mode=ro", uri=True)
    try:
        sums = {
            "body": "SELECT sum(length(body)) FROM events",
            "proof": "SELECT sum(length(proof)) FROM events",
            "snapshots": "SELECT sum(length(value)) FROM snapshots",
        }
        parts = {name: (raw.execute(query).fetchone()[0] or 0) / versions for name, query in sums.items()}
    finally:
        raw.close()
    parts["rows, keys and indexes"] = store.with_name("state.db.archive").stat().st_size / versions - sum(
        parts.values()
    )
    return [
        Single(f"event_{name.split()[0]}_bytes", f"  of it in the archive: {name}", value, "bytes")
        for name, value in parts.items()
    ]


async def _verify(store: Path) -> int:
    from palimpsest.server.proof import verify_store

    verdict = await verify_store(store)
    assert not verdict.faults, verdict.faults
    return verdict.events


def _git(place: Path, versions: int) -> list[Single]:
    """The same versions in a packed repository, read back through one `git cat-file --batch`."""
    if shutil.which("git") is None:
        return []
    home = place / "git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(home)], check=True)
    git = ["git", "-C", str(home)]
    writer = subprocess.Popen([*git, "fast-import", "--quiet"], stdin=subprocess.PIPE)
    assert writer.stdin is not None
    for number, value in _values(versions):
        writer.stdin.write(
            b"commit refs/heads/main\nmark :%d\ncommitter a <a@b> %d +0000\ndata 0\nM 100644 inline long\ndata %d\n%s\n"
            % (number + 1, number, len(value), value)
        )
    writer.stdin.close()
    if writer.wait():
        raise processes.PeerFailed("git fast-import failed")
    listing = subprocess.run([*git, "rev-list", "--reverse", "main"], capture_output=True, check=True, text=True)
    commits = listing.stdout.split()
    reader = subprocess.Popen([*git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdin is not None
    assert reader.stdout is not None
    latencies: list[float] = []
    for commit in commits[:: max(1, versions // _READS)]:
        before = time.perf_counter()
        reader.stdin.write(f"{commit}:long\n".encode())
        reader.stdin.flush()
        size = int(reader.stdout.readline().split()[2])
        reader.stdout.read(size + 1)
        latencies.append(1e6 * (time.perf_counter() - before))
    reader.stdin.close()
    reader.wait()
    reader.stdout.close()
    latencies.sort()
    return [
        Single("git_p50_us", "git reads a version, p50", _at(latencies, 0.5), "us"),
        Single("git_p99_us", "git reads a version, p99", _at(latencies, 0.99), "us"),
        Single("git_event_bytes", "git's disk of a version", _bytes(home) / versions, "bytes"),
    ]


def _whole_values(place: Path, versions: int) -> list[Single]:
    path = place / "whole.db"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE versions (version INTEGER PRIMARY KEY, value BLOB NOT NULL)")
    raw.executemany("INSERT INTO versions VALUES (?, ?)", _values(versions))
    raw.commit()
    raw.close()
    return [
        Single(
            "whole_event_bytes",
            "disk of a version kept whole in an SQLite table",
            path.stat().st_size / versions,
            "bytes",
        )
    ]


def _values(versions: int) -> Any:
    """(number, value as JSON) of every version."""
    value = workload.document_value(0)
    for number in range(versions):
        if number:
            value[workload.field_name(number - 1)] = workload.field_text(number - 1)
            value[workload.COUNTER] += 1
        yield number, msgspec.json.encode(value)


# --- a large text ----------------------------------------------------------------------------------------------------


async def _text(place: Path, edits: int) -> list[Single]:
    """A text of 1 MiB, set whole each time with one word of it changed."""
    words = [f"word{number:06d}" for number in range(_TEXT_BYTES // 11)]
    async with palimpsest.Server(place / "state.db", archiver="process") as server, server.connect() as client:
        await client.create(_TEXT, {"text": " ".join(words)})
        await _archived(server)
        before_bytes, latencies = _archive_bytes(place), list[float]()
        for edit in range(edits):
            words[edit * len(words) // edits] = f"edit{edit:06d}"
            latencies.append(await _timed(lambda: client.update(_TEXT, {"text": " ".join(words)})))
        delta_bytes = max([len(version.encoded_delta or b"") async for version in client.history(_TEXT, limit=edits)])
        await _archived(server)
    latencies.sort()
    grown = _archive_bytes(place) - before_bytes
    return [
        Single("text_delta_bytes", "one word of a 1 MiB text: what is kept of it, at most", delta_bytes, "bytes"),
        Single("text_disk_bytes", "the same, in the archive, all included", max(0, grown) / edits, "bytes"),
        Single("text_p50_us", "the same, p50 of the update", _at(latencies, 0.5), "us"),
    ]


# --- pruning beside live updates -------------------------------------------------------------------------------------


async def _pruning(place: Path, events: int) -> list[Single]:
    documents = max(1, min(1_000, events // 500))
    names = [f"old/{number:04d}" for number in range(documents)]
    async with palimpsest.Server(place / "state.db", archiver="process") as server, server.connect() as client:
        await _fill(documents, lambda number: client.create(names[number], workload.document_value(number)))
        await _fill(events - documents, lambda number: client.update(names[number % documents], _delta(number)))
        await _archived(server)
        full_bytes = _archive_bytes(place)
        await _fill(_LIVE_CALLERS, lambda number: client.create(f"live/{number}", workload.document_value(number)))
        before = await _live(client, asyncio.sleep(_LIVE_SECONDS_MIN))
        started = time.perf_counter()
        during = await _live(client, _prune(client, documents))
        seconds = time.perf_counter() - started
        await _archived(server)
        await _shrunk(place)
        left_bytes = _archive_bytes(place) / full_bytes
    return [
        Single("prune_per_second", f"prune {events:,} events beside live callers, swept", events / seconds, "/s"),
        Single(
            "prune_left_share", "the archive's file after it, of before, with the live updates", left_bytes * 100, " %"
        ),
        Single("live_p50_us", "a live update before, p50", _at(before, 0.5), "us"),
        Single("live_p99_us", "a live update before, p99", _at(before, 0.99), "us"),
        Single("live_pruning_p50_us", "a live update while pruning, p50", _at(during, 0.5), "us"),
        Single("live_pruning_p99_us", "a live update while pruning, p99", _at(during, 0.99), "us"),
    ]


async def _prune(client: palimpsest.Client, documents: int) -> None:
    """Until what goes has been swept away."""
    await client.prune("old/**", versions=_KEPT, dry_run=False)
    while (await client.stats("old/**")).events > documents * _KEPT:
        await asyncio.sleep(0.05)


async def _shrunk(place: Path) -> None:
    """Returns when the archive has not become smaller for a while."""
    size, since = _archive_bytes(place), time.perf_counter()
    while time.perf_counter() - since < _LIVE_SECONDS_MIN / 2:
        await anyio.sleep(0.1)
        if (now := _archive_bytes(place)) < size:
            size, since = now, time.perf_counter()


def _archive_bytes(place: Path) -> int:
    """Of the file, as it will be once its log is taken into it."""
    raw = sqlite3.connect(f"file:{place / 'state.db.archive'}?mode=ro", uri=True)
    try:
        pages, page_bytes = (raw.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    finally:
        raw.close()
    return int(pages * page_bytes)


async def _live(client: palimpsest.Client, meanwhile: Awaitable[object]) -> list[float]:
    """Latencies of updates in microseconds, sorted, for as long as `meanwhile` takes."""
    latencies: list[float] = []
    over = False

    async def call(number: int) -> None:
        while not over:
            await asyncio.sleep(_LIVE_PAUSE_SECONDS)
            latencies.append(await _timed(lambda: client.update(f"live/{number}", _delta(number))))

    callers = [asyncio.ensure_future(call(number)) for number in range(_LIVE_CALLERS)]
    await meanwhile
    over = True
    await asyncio.gather(*callers)
    return sorted(latencies)


# --- inside ----------------------------------------------------------------------------------------------------------


async def _fill(count: int, write: Callable[[int], Awaitable[object]]) -> None:
    """write is called with every number below count, in order, many of them under way."""

    async def work(first: int) -> None:
        for number in range(first, count, _FILL_TASKS):
            await write(number)

    await asyncio.gather(*[work(first) for first in range(min(_FILL_TASKS, count))])


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    """Microseconds."""
    before = time.perf_counter()
    await work()
    return 1e6 * (time.perf_counter() - before)


async def _archived(server: palimpsest.Server) -> None:
    """Returns once nothing is in the tail any more."""
    with anyio.fail_after(600):
        await server.partition.settled()


def _at(latencies: Sequence[float], share: float) -> float:
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))]


def _delta(number: int) -> dict[str, object]:
    return {workload.field_name(number): workload.field_text(number), workload.COUNTER: palimpsest.Increment(1)}


def _bytes(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and not path.name.endswith("-shm"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what the past costs; prints one line of JSON.")
    parser.add_argument("place", type=Path)
    for name in HistorySize.__struct_fields__:
        parser.add_argument(name, type=int)
    arguments = vars(parser.parse_args())
    found = uvloop.run(measure(arguments.pop("place"), HistorySize(**arguments)))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
