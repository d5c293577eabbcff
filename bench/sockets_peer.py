"""The floor of a fan-out: a server that knows nothing, and writes what one connection sends to all others.

It is asyncio on uvloop, as Palimpsest's server is, and does one `write` for each connection and piece of bytes. What it does in a
second is what is left where nothing is decoded, kept on disk, or decided.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvloop

from bench import processes
from bench.results import Comparison, Single

SOCKETS = "sockets"
_QUEUE_MAX = 1_024


class SocketsPeer:
    """Runs from `with` to its end, on a free port."""

    name = SOCKETS
    host = "127.0.0.1"
    script = ""

    def __init__(self, directory: Path | None = None) -> None:
        self.port = 0
        self._parent = directory
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SocketsPeer:
        self._directory = tempfile.TemporaryDirectory(prefix="bench-sockets-", dir=self._parent)
        log = Path(self._directory.name) / "stderr"
        self._process = processes.start([sys.executable, "-m", "bench.sockets_peer"], log=log)
        try:
            self.port = int(processes.read_line(self._process))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            processes.stop(self._process)
        self._directory.cleanup()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


def sockets_figures(comparisons: Sequence[Comparison]) -> list[Single]:
    """The floor of the deliveries, which the table of comparisons has no column for."""
    medians = {comparison.key: comparison.median.get(SOCKETS, {}).get("per_second") for comparison in comparisons}
    found: list[Single] = []
    for key, what in (
        ("feeds_alone", "a connection for each subscriber"),
        ("feeds_shared", "20 on a connection"),
    ):
        floor = medians.get(key)
        if floor is not None:
            found.append(Single(f"{key}_sockets", f"deliveries by plain sockets, {what}", floor, "/s"))
    return found


class _Link(asyncio.Protocol):
    def __init__(self, all_links: set[_Link]) -> None:
        self._all = all_links
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self)

    def data_received(self, data: bytes) -> None:
        for link in self._all:
            if link is not self:
                link._transport.write(data)


async def _serve() -> None:
    """Prints its port, and serves until it is ended."""
    links: set[_Link] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Link(links), "127.0.0.1", 0, backlog=_QUEUE_MAX)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
