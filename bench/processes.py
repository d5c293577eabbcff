"""Starting, watching and ending the processes of a measurement; only those that were started here are ever ended."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 20.0
SETTLE_SECONDS_MAX = 10.0
SETTLED_SHARE = 0.05
"""Of one core: a peer that uses less has finished what it still had to do behind its last answer."""

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class PeerFailed(Exception):
    """A peer or a measuring process did not start, did not stop, or did not do its work; the message has its own words."""


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def start(command: Sequence[str], *, log: Path) -> subprocess.Popen[bytes]:
    """Starts a process whose stdout can be read from, and whose stderr goes to the file `log`."""
    with log.open("wb") as errors:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL)


def read_line(process: subprocess.Popen[bytes], *, seconds_max: float = START_SECONDS_MAX) -> str:
    """The next line of its stdout, or what there is of it when the process ends. Raises PeerFailed after seconds_max."""
    assert process.stdout is not None
    deadline = time.monotonic() + seconds_max
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise PeerFailed(f"{process.args!r} printed no line within {seconds_max:g} s")
        piece = os.read(process.stdout.fileno(), 1)
        if not piece:
            break
        line += piece
    return line.decode(errors="replace").rstrip("\n")


def stop(process: subprocess.Popen[bytes], *, seconds_max: float = STOP_SECONDS_MAX) -> float:
    """Asks it to end (SIGTERM) and waits; kills it after seconds_max. Returns how many seconds it took."""
    started = time.monotonic()
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return time.monotonic() - started


def run(command: Sequence[str], *, seconds_max: float) -> str:
    """Runs a measuring process to its end and returns its stdout. Raises PeerFailed with its stderr if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds_max, check=False)
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(f"{' '.join(command)} took more than {seconds_max:g} s") from error
    if done.returncode != 0:
        raise PeerFailed(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def family(pid: int) -> list[int]:
    """The process and all of its descendants; empty where it is gone."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                parents[int(entry.name)] = int(fields[1])
    members = [pid] if pid in parents else []
    for member in members:
        members.extend(child for child, parent in parents.items() if parent == member)
    return members


def cpu_seconds(pid: int) -> float:
    """What the process and its living descendants have used of the processors so far."""
    return sum(own_cpu_seconds(member) for member in family(pid))


def own_cpu_seconds(pid: int) -> float:
    """What the process itself has used, all of its threads; 0 where it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND if fields else 0.0


def resident_bytes(pid: int) -> int:
    """Of the process itself. Raises OSError where it is gone."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


class Usage:
    """What a peer uses of the processors from the making of this until `figures` is asked for."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._started = time.monotonic()
        self._own = own_cpu_seconds(pid)
        self._all = cpu_seconds(pid)

    def figures(self) -> dict[str, float]:
        """server_cores: processor seconds per second of the process itself; helper_cores: of its descendants."""
        elapsed = time.monotonic() - self._started
        own = own_cpu_seconds(self._pid) - self._own
        return {"server_cores": own / elapsed, "helper_cores": (cpu_seconds(self._pid) - self._all - own) / elapsed}


def settle(pid: int, *, seconds_max: float = SETTLE_SECONDS_MAX) -> None:
    """Waits until the process and its descendants are idle, but not longer than seconds_max."""
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(0.25)
        if cpu_seconds(pid) - before <= 0.25 * SETTLED_SHARE:
            return


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the process's state on; empty where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()
