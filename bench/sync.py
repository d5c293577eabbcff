"""What synchronizing through DiffSync costs, beside DiffSync alone.

The peer is an adapter of plain DiffSync, with its LocalStore, whose content is a file of JSON: it loads that, and writes it at the end of a
synchronization. Ours is a document on a server in another process. A fifth of the objects has changed. Both run in processes of their own, so
that each has its own peak of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import structlog
import uvloop
from diffsync import Adapter, DiffSyncModel
from diffsync.diff import Diff

import palimpsest
from bench import processes
from bench.results import Single
from palimpsest.sync import PalimpsestAdapter, PalimpsestModel, apply, diff_async

_DOC = "inventory"
_IDLE_SECONDS = 1.0
_PAUSE_SECONDS = 0.002
_CRITICAL = 50
_TIMES = 3
"""Of each figure, the median of so many runs; one where there are many objects."""
_MANY = 20_000
_YOUNG_OBJECTS_MAX = 50_000


class SyncSize(msgspec.Struct, frozen=True):
    """objects: how many, in several rounds."""

    objects: tuple[int, ...]


class Taken(msgspec.Struct, frozen=True):
    """Seconds, and the peak of memory in bytes."""

    load: float
    diff: float
    sync: float
    peak_bytes: int


class _Device(DiffSyncModel):
    _modelname = "device"
    _identifiers = ("name",)
    _attributes = ("site", "role", "slots")
    name: str
    site: str
    role: str
    slots: int


class _OurDevice(PalimpsestModel):
    _modelname = "device"
    _identifiers = ("name",)
    _attributes = ("site", "role", "slots")
    name: str
    site: str
    role: str
    slots: int


class _Source(Adapter):
    device = _Device
    top_level: ClassVar[list[str]] = ["device"]


class _FileAdapter(_Source):
    """The peer."""

    path: Path

    def load(self) -> None:
        self.load_from_dict(json.loads(self.path.read_text(encoding="utf-8")))

    def sync_complete(self, *arguments: Any, **named: Any) -> None:
        self.path.write_text(json.dumps(self.dict()), encoding="utf-8")


class _OurAdapter(PalimpsestAdapter):
    device = _OurDevice
    top_level: ClassVar[list[str]] = ["device"]


def measure_sync(directory: Path | None, size: SyncSize) -> list[Single]:
    """directory: where files lie, removed again; None for the system's own place."""
    found: list[Single] = []
    for objects in size.objects:
        with tempfile.TemporaryDirectory(prefix="bench-sync-", dir=directory) as place:
            found += msgspec.json.decode(_run("whole", place, objects), type=list[Single])
    return found


def _run(*arguments: object) -> str:
    command = [sys.executable, "-m", "bench.sync", *map(str, arguments)]
    return processes.run(command, seconds_max=600)


# --- beside a server -------------------------------------------------------------------------------------------------


async def measure(place: Path, objects: int) -> list[Single]:
    """All figures of one size. The server is in this process, alone in its loop but for who waits."""
    limits = palimpsest.Limits(document_bytes_max=64 * 1024**2, frame_bytes_max=128 * 1024**2, delta_ops_max=100_000)
    times = 1 if objects > _MANY else _TIMES
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS_MAX)  # as `palimpsest serve` has it
    ours: list[Taken] = []
    plain: list[Taken] = []
    async with palimpsest.Server(place / "state.db", port=0, limits=limits) as server, server.connect() as client:
        await client.create("counter", {"n": 0})
        idle = await _latencies(client, asyncio.create_task(asyncio.sleep(_IDLE_SECONDS)))
        busy: list[float] = []
        for number in range(times):
            plain.append(_decoded(await asyncio.to_thread(_run, "plain", place, objects)))
            work = asyncio.create_task(asyncio.to_thread(_run, "ours", server.url, objects, f"{_DOC}/{number}"))
            busy += await _latencies(client, work)
            ours.append(_decoded(work.result()))
        off_loop = _decoded_delay(await asyncio.to_thread(_run, "loop", server.url, objects, f"{_DOC}/loop"))
    return _figures(objects, ours, plain, _p99(busy) / _p99(idle), off_loop)


def _figures(objects: int, ours: Sequence[Taken], plain: Sequence[Taken], busy: float, delay: float) -> list[Single]:
    found: list[Single] = []
    for what in ("load", "diff", "sync"):
        mine, other = (statistics.median(getattr(taken, what) for taken in side) for side in (ours, plain))
        words = f"{what} {objects:,} objects"
        found += [
            Single(f"{what}_{objects}_ms", words, 1e3 * mine, "ms"),
            Single(f"{what}_{objects}_plain_ms", "  plain DiffSync, with a file", 1e3 * other, "ms"),
        ]
    peaks = [max(taken.peak_bytes for taken in side) / 1024**2 for side in (ours, plain)]
    return [
        *found,
        Single(f"peak_{objects}_mib", f"peak memory, {objects:,} objects", peaks[0], "MiB"),
        Single(f"peak_{objects}_plain_mib", "  plain DiffSync", peaks[1], "MiB"),
        Single(f"busy_{objects}_ratio", "an update's p99 at the server meanwhile, over idle", busy, "x"),
        Single(f"delay_{objects}_ms", "the loop's delay while diffing off it, p99", 1e3 * delay, "ms"),
    ]


async def _latencies(client: palimpsest.Client, until: asyncio.Task[Any]) -> list[float]:
    """Seconds of updates, one after the other, until that is done."""
    found: list[float] = []
    while not until.done():
        before = time.perf_counter()
        await client.update("counter", {"n": palimpsest.Increment(1)})
        found.append(time.perf_counter() - before)
        await asyncio.sleep(_PAUSE_SECONDS)
    return found


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(0.99 * (len(seconds) - 1))]


def _decoded(text: str) -> Taken:
    return msgspec.json.decode(text, type=Taken)


def _decoded_delay(text: str) -> float:
    return msgspec.json.decode(text, type=float)


# --- in processes of their own ---------------------------------------------------------------------------------------


def _values(objects: int, *, changed: bool) -> dict[str, dict[str, Any]]:
    step = 5 if changed else objects + 1
    return {
        f"device-{number:06}": {
            "name": f"device-{number:06}",
            "site": f"site-{number % 97}",
            "role": "leaf",
            "slots": number + (number % step == 0 and changed),
        }
        for number in range(objects)
    }


def _filled(adapter: Any, objects: int, *, changed: bool) -> Any:
    adapter.load_from_dict({"device": _values(objects, changed=changed)})
    return adapter


def _ours(url: str, objects: int, doc: str) -> Taken:
    with palimpsest.connect_sync(url, timeout_seconds=120) as client:
        _filled(_OurAdapter(client, doc=doc), objects, changed=False).save()
        return _taken(_OurAdapter(client, doc=doc), objects)


def _plain(place: Path, objects: int) -> Taken:
    _FileAdapter.path = place / "plain.json"
    _filled(_FileAdapter(), objects, changed=False).sync_complete()
    return _taken(_FileAdapter(), objects)


def _taken(target: Any, objects: int) -> Taken:
    source = _filled(_Source(), objects, changed=True)
    load = _took(target.load)
    diffs: list[Diff] = []
    diff = _took(lambda: diffs.append(target.diff_from(source)))
    sync = _took(lambda: target.sync_from(source, diff=diffs[0]))
    assert target.get("device", "device-000000").slots == 1
    return Taken(load, diff, sync, _peak_bytes())


def _peak_bytes() -> int:
    """Of this process alone: what `getrusage` has comes down from the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


async def _delay(url: str, objects: int, doc: str) -> float:
    """p99 of how late a callback of every two milliseconds is, from the diff's start until what it comes to is applied."""

    def prepare() -> tuple[Any, Any]:
        client = palimpsest.connect_sync(url, timeout_seconds=120)
        _filled(_OurAdapter(client, doc=doc), objects, changed=False).save()
        target = _OurAdapter(client, doc=doc)
        target.load()
        return _filled(_Source(), objects, changed=True), target

    source, target = await asyncio.to_thread(prepare)
    async with palimpsest.connect(url, timeout_seconds=120) as client:

        async def work() -> None:
            diff = await diff_async(source, target)
            await apply(client, await asyncio.to_thread(target.compile, diff))

        late: list[float] = []
        task = asyncio.create_task(work())
        while not task.done():
            due = time.perf_counter() + _PAUSE_SECONDS
            await asyncio.sleep(_PAUSE_SECONDS)
            late.append(time.perf_counter() - due)
        await task
    return _p99(late)


def _took(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what synchronizing costs; prints one line of JSON.")
    parser.add_argument("what", choices=("whole", "ours", "plain", "loop"))
    parser.add_argument("where", help="a directory, or the server's URL")
    parser.add_argument("objects", type=int)
    parser.add_argument("doc", nargs="?", default=_DOC)
    chosen = parser.parse_args()
    # DiffSync logs every object that it creates or updates; on both sides that would be most of the time.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_CRITICAL))
    found: Any
    if chosen.what == "whole":
        found = uvloop.run(measure(Path(chosen.where), chosen.objects))
    elif chosen.what == "ours":
        found = _ours(chosen.where, chosen.objects, chosen.doc)
    elif chosen.what == "plain":
        found = _plain(Path(chosen.where), chosen.objects)
    else:
        found = uvloop.run(_delay(chosen.where, chosen.objects, chosen.doc))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
