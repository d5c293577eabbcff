"""What branches cost: to make one, to write on it first, to merge it.

Each figure of a large document stands beside that of a small one, or of one with more keys: what follows the changes and not the size stays
the same. The peer of a merge is the plainest one there is, a walk over all keys of three dicts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvloop

import palimpsest
from bench import processes, workload
from bench.results import Single
from palimpsest.state.merge import merge, touched_by
from palimpsest.state.ops import Op, Set
from palimpsest.state.values import freeze
from palimpsest.state.working import apply_delta

_LARGE, _SMALL = "large", "small"
_LARGE_BYTES = 1024 * 1024
_TIMES = 50
_CHANGES = 100
_FILL_TASKS = 512


class BranchesSize(msgspec.Struct, frozen=True):
    """versions: of the large document that branches are made of. keys: of the documents that are merged; as many documents as merges."""

    versions: int
    keys: int
    merges: int = 20


def measure_branches(directory: Path | None, size: BranchesSize) -> list[Single]:
    """directory: where the stores lie, removed again; None for the system's own place."""
    with tempfile.TemporaryDirectory(prefix="bench-branches-", dir=directory) as place:
        command = [
            sys.executable,
            "-m",
            "bench.branches",
            place,
            *(str(number) for number in msgspec.structs.astuple(size)),
        ]
        seconds_max = 120 + size.versions / 500
        return msgspec.json.decode(processes.run(command, seconds_max=seconds_max), type=list[Single])


async def measure(place: Path, size: BranchesSize) -> list[Single]:
    found: list[Single] = []
    async with palimpsest.Server(place / "state.db", archiver="process") as server, server.connect() as client:
        found += await _making(server, client, size.versions)
        found += await _merging(client, size.keys, size.merges)
    return found + _algebra(size.keys)


# --- making ----------------------------------------------------------------------------------------------------------


async def _making(server: palimpsest.Server, client: palimpsest.Client, versions: int) -> list[Single]:
    """The large document has a mebibyte and many versions, the small one a kilobyte and a few."""
    text = "x" * (_LARGE_BYTES - 1024)
    await client.create(_LARGE, {**workload.document_value(0), "text": text})
    await client.create(_SMALL, workload.document_value(0))
    await _fill(versions - 1, lambda number: client.update(_LARGE, _delta(number)))
    await _fill(9, lambda number: client.update(_SMALL, _delta(number)))
    await server.partition.settled()
    found: list[Single] = []
    medians: dict[str, float] = {}
    for name, what in ((_LARGE, f"1 MiB with {versions:,} versions"), (_SMALL, "1 KB with 10 versions")):
        newest = (await client.get(name)).version
        made = [
            await _timed(partial(client.branch, name, f"b/{number}", at=1 + number * newest // _TIMES))
            for number in range(_TIMES)
        ]
        first = [
            await _timed(partial(client.update, name, {"stars": number}, branch=f"b/{number}"))
            for number in range(_TIMES)
        ]
        medians[name] = statistics.median(made)
        found += [
            Single(f"branch_{name}_us", f"make a branch of a document of {what}, p50", medians[name], "us"),
            Single(f"first_{name}_us", "  the first update on it, p50", statistics.median(first), "us"),
        ]
    ratio = medians[_LARGE] / medians[_SMALL]
    return [*found, Single("branch_ratio", "  making one of the large over one of the small", ratio, "x")]


# --- merging ---------------------------------------------------------------------------------------------------------


async def _merging(client: palimpsest.Client, keys: int, merges: int) -> list[Single]:
    """A hundred keys changed on each side, none of them the same."""
    value = {f"key{number:06}": {"n": number, "text": workload.field_text(number)} for number in range(keys)}
    step = max(1, keys // (2 * _CHANGES))
    mine = {f"key{number * step:06}.n": -1 for number in range(0, 2 * _CHANGES, 2)}
    theirs = {f"key{number * step:06}.n": -2 for number in range(1, 2 * _CHANGES, 2)}
    latencies: list[float] = []
    for number in range(merges):
        name = f"merged/{number}"
        await client.create(name, value)
        await client.branch(name, "draft")
        await client.update(name, mine)
        await client.update(name, theirs, branch="draft")
        latencies.append(await _timed(partial(client.merge, name, source="draft")))
        assert (await client.get(name)).value[f"key{step:06}"]["n"] == -2
    return [
        Single(
            "merge_us",
            f"merge a document of {keys:,} keys, {_CHANGES} changed on each side, p50",
            statistics.median(latencies),
            "us",
        )
    ]


def _algebra(keys: int) -> list[Single]:
    """Without a server. The values are there, and share what they have in common."""
    found: list[Single] = []
    medians: list[float] = []
    for count in (keys, 10 * keys):
        plain = {f"key{number:06}": {"n": number, "text": "x"} for number in range(count)}
        base: Any = freeze(plain)
        step = max(1, count // (2 * _CHANGES))
        names = [f"key{number * step:06}" for number in range(2 * _CHANGES)]
        mine: list[Op] = [Set((name, "n"), -1) for name in names[::2]]
        theirs: list[Op] = [Set((name, "n"), -2) for name in names[1::2]]
        ours, other = apply_delta(base, mine), apply_delta(base, theirs)
        touched = touched_by([theirs])
        times = [_took(partial(merge, base, ours, other, touched=touched)) for _ in range(_TIMES)]
        medians.append(statistics.median(times))
        found.append(Single(f"algebra_{count}_us", f"  the merge alone, of {count:,} keys", medians[-1], "us"))
    plain_sides = ({**plain}, {**plain}, {**plain})
    walked = statistics.median(_took(lambda: _walk(*plain_sides)) for _ in range(5))
    return [
        *found,
        Single("algebra_ratio", "  ten times the keys over once the keys", medians[1] / medians[0], "x"),
        Single("walk_ratio", f"  a walk over all {10 * keys:,} keys of three dicts over it", walked / medians[1], "x"),
    ]


def _walk(base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """The plainest three-way merge of the top level."""
    merged = {}
    for key in base.keys() | ours.keys() | theirs.keys():
        before, mine, other = base.get(key), ours.get(key), theirs.get(key)
        merged[key] = other if mine == before else mine
    return merged


# --- inside ----------------------------------------------------------------------------------------------------------


async def _fill(count: int, write: Callable[[int], Awaitable[object]]) -> None:
    async def work(first: int) -> None:
        for number in range(first, count, _FILL_TASKS):
            await write(number)

    await asyncio.gather(*[work(first) for first in range(min(_FILL_TASKS, count))])


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    """Microseconds."""
    before = time.perf_counter()
    await work()
    return 1e6 * (time.perf_counter() - before)


def _took(work: Callable[[], object]) -> float:
    """Microseconds."""
    before = time.perf_counter()
    work()
    return 1e6 * (time.perf_counter() - before)


def _delta(number: int) -> dict[str, object]:
    return {workload.field_name(number): workload.field_text(number), workload.COUNTER: palimpsest.Increment(1)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what branches cost; prints one line of JSON.")
    parser.add_argument("place", type=Path)
    for name in BranchesSize.__struct_fields__:
        parser.add_argument(name, type=int)
    arguments = vars(parser.parse_args())
    found = uvloop.run(measure(arguments.pop("place"), BranchesSize(**arguments)))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
