"""Compiles and runs the generator of requests, which is written in C so that the server is what is measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import msgspec

from bench import processes, workload
from bench.peer import Peer
from bench.processes import PeerFailed

_SOURCE = Path(__file__).with_name("generator.c")
_PROGRAM = Path(__file__).with_name("build") / "generator"

Mode = Literal["update", "get"]


class Load(msgspec.Struct, frozen=True):
    """How many connections ask, how many requests each has open at any time, and for how long."""

    connections: int
    outstanding: int
    warmup_seconds: float
    seconds: float


def compiler() -> str | None:
    """Where a C compiler is, or None."""
    return shutil.which("cc")


def build() -> Path:
    """Compiles the generator if its source is newer than the program. Raises PeerFailed with the compiler's words."""
    if _PROGRAM.exists() and _PROGRAM.stat().st_mtime >= _SOURCE.stat().st_mtime:
        return _PROGRAM
    found = compiler()
    if found is None:
        raise PeerFailed("there is no C compiler (cc)")
    _PROGRAM.parent.mkdir(exist_ok=True)
    unfinished = _PROGRAM.with_name(f"generator.{os.getpid()}")  # another run may be building, too
    command = [found, "-O2", "-Wall", "-Wextra", "-o", str(unfinished), str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerFailed(f"the generator does not compile:\n{done.stderr}")
    unfinished.replace(_PROGRAM)
    return _PROGRAM


def measure(peer: Peer, mode: Mode, load: Load) -> dict[str, float]:
    """Loads a running peer and returns what the generator found: per_second, p50_us, p99_us, p999_us, max_us.

    And what it took, in processor seconds per second: generator_cores, and those of `Usage` over the whole run.
    """
    command = [str(build()), *_arguments(peer, mode, load)]
    usage = processes.Usage(peer.pid)
    output = processes.run(command, seconds_max=load.warmup_seconds + load.seconds + 60)
    found: dict[str, float] = json.loads(output) | usage.figures()
    seconds = found.pop("seconds")
    found["per_second"] = found.pop("answers") / seconds
    found["generator_cores"] = found.pop("cpu_seconds") / seconds
    return found


def _arguments(peer: Peer, mode: Mode, load: Load) -> list[str]:
    arguments = {
        "server": peer.name,
        "mode": mode,
        "host": peer.host,
        "port": peer.port,
        "connections": load.connections,
        "outstanding": load.outstanding,
        "documents": workload.DOCUMENTS,
        "text_fields": workload.TEXT_FIELDS,
        "warmup": load.warmup_seconds,
        "seconds": load.seconds,
    }
    if peer.script:
        arguments["script"] = peer.script
    return [f"{name}={value}" for name, value in arguments.items()]
