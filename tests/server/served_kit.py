"""`palimpsest serve` as a process, which is stopped or killed, and started again on the same store and port."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Self


class Served:
    """An async context manager; whatever still runs at its end is killed."""

    def __init__(self, path: Path, **limits: float) -> None:
        self.path = path
        self.port = 0
        self._limits = [f"--limit={name}={number}" for name, number in limits.items()]
        self._process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"palimpsest://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.end(signal.SIGKILL)

    async def start(self) -> None:
        """Returns once it listens."""
        command = [
            "-m",
            "palimpsest",
            "serve",
            str(self.path),
            f"--port={self.port}",
            "--log-level=error",
            *self._limits,
        ]
        self._process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        found = re.fullmatch(r"listening on palimpsest://127\.0\.0\.1:(\d+)\n", line)
        assert found, line
        self.port = int(found[1])

    async def end(self, number: signal.Signals) -> None:
        """Returns once the process is gone."""
        if self._process.returncode is None:
            os.kill(self._process.pid, number)
            await self._process.communicate()

    async def restart(self, number: signal.Signals) -> None:
        await self.end(number)
        await self.start()
