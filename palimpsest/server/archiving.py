"""The supervisor of the archiver's process, which is `archiver_process`.

The two speak in lines: the server writes an empty line when the journal has grown, the archiver answers `archived N` when
everything before position N is durably in the archive. The archiver ends when its input does, so it never outlives
its server; the server starts it again when it dies, and until then the tail grows, within its bound.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress

import anyio
import anyio.abc

from palimpsest.actors.archiver import PAUSE_SECONDS
from palimpsest.logs import get_logger

log = get_logger("palimpsest.archiver")

_RESTART_SECONDS_MIN, _RESTART_SECONDS_MAX = 0.1, 5.0


class ArchiverProcess:
    """archived(position): called on the event loop as the archiver goes on."""

    def __init__(self, path: str, archived: Callable[[int], None], snapshot_versions: int) -> None:
        self.restarts = 0
        self.pid: int | None = None
        self._command = [sys.executable, "-m", "palimpsest.server.archiver_process", path, str(snapshot_versions)]
        self._archived = archived
        self._input: asyncio.StreamWriter | None = None
        self._poked = False

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._input is not None

    def poke(self) -> None:
        """The journal has grown. Cheap: many of these make one line."""
        if not self._poked:
            self._poked = True
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._send)

    def _send(self) -> None:
        self._poked = False
        if self._input is not None and not self._input.is_closing():
            self._input.write(b"\n")

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keeps the archiver running until cancelled; then ends it by closing its input, and waits for it."""
        task_status.started()
        delay = _RESTART_SECONDS_MIN
        while True:
            try:
                lived = await self._run_once()
            except OSError as error:  # no memory or no place for a process: it may come back
                log.error("archiver_not_started", error=str(error))
                lived = 0.0
            self.restarts += 1
            delay = _RESTART_SECONDS_MIN if lived > 10 * delay else min(2 * delay, _RESTART_SECONDS_MAX)
            log.warning("archiver_died", restarts=self.restarts, restart_seconds=delay)
            await anyio.sleep(delay)

    async def _run_once(self) -> float:
        """Returns how many seconds it lived."""
        started = anyio.current_time()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # the terminal's Ctrl-C is for the server, which ends this one in its turn
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self.pid = process.stdin, process.pid
        self._send()
        try:
            async for line in process.stdout:
                self._archived(int(line.removeprefix(b"archived ")))
        finally:
            self._input = None
            with anyio.CancelScope(shield=True):
                process.stdin.close()
                await _end(process)
        return anyio.current_time() - started


async def _end(process: asyncio.subprocess.Process) -> None:
    """Returns when it has ended, and the pipes to it are closed: a loop that is closed while one is open fails."""
    for seconds in (5.0, 1.0):
        with anyio.move_on_after(seconds):
            assert process.stdout is not None
            await process.stdout.read()
            await process.wait()
            return
        with suppress(ProcessLookupError):
            process.kill()
