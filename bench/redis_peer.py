"""A redis-server of one's own: the log fsynced before each answer, nothing else written in between."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from bench import processes, workload
from bench.peer import REDIS
from bench.processes import PeerFailed


def executable() -> str | None:
    """Where redis-server is, or None."""
    return shutil.which("redis-server")


class RedisPeer:
    """Runs from `with` to its end, on a free port, in a directory that goes with it."""

    name = REDIS
    host = "127.0.0.1"

    def __init__(self, directory: Path | None = None) -> None:
        self.port = 0
        self.script = ""
        """SHA-1 of the script that does an update, once it runs."""
        self._parent = directory
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisPeer:
        found = executable()
        if found is None:
            raise PeerFailed("there is no redis-server")
        self._directory = tempfile.TemporaryDirectory(prefix="bench-redis-", dir=self._parent)
        self.port = processes.free_port()
        self._process = processes.start(
            [found, *_settings(self.port, self._directory.name)], log=Path(self._directory.name) / "stderr"
        )
        try:
            self._wait_until_ready()
            self._seed()
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

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + processes.START_SECONDS_MAX
        while True:
            try:
                with redis.Redis(port=self.port) as client:
                    client.ping()
                return
            except redis.ConnectionError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise PeerFailed(f"redis-server does not answer: {error}") from error
                time.sleep(0.02)

    def _seed(self) -> None:
        with redis.Redis(port=self.port) as client:
            self.script = str(client.script_load(workload.REDIS_SCRIPT))
            pipeline = client.pipeline(transaction=False)
            for number in range(workload.DOCUMENTS):
                pipeline.hset(workload.document_name(number), mapping=workload.document_value(number))
            pipeline.execute()


def _settings(port: int, directory: str) -> list[str]:
    return [
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--daemonize", "no"),
        *("--appendonly", "yes", "--appendfsync", "always"),
        # Neither snapshots nor a rewrite of the log take place in the middle of a measurement.
        *("--save", "", "--auto-aof-rewrite-percentage", "0"),
        *("--loglevel", "warning", "--maxclients", "10000"),
    ]
