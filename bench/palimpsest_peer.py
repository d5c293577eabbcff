"""A Palimpsest server of one's own, as `palimpsest serve` runs it: with its archiver, request ids, digests and limits."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from msgspec import Raw
from msgspec.msgpack import encode

from bench import processes, workload
from bench.peer import PALIMPSEST
from bench.processes import PeerFailed
from palimpsest.protocol.connection import ClientConnection
from palimpsest.protocol.messages import Committed, Create, Message, Welcome

_LISTENING = re.compile(r"listening on palimpsest://127\.0\.0\.1:(\d+)")


class PalimpsestPeer:
    """Runs from `with` to its end, on a free port, on a store in a directory that goes with it."""

    name = PALIMPSEST
    host = "127.0.0.1"
    script = ""
    arguments: tuple[str, ...] = ()
    """Of `serve`, beside store and address."""

    def __init__(self, directory: Path | None = None) -> None:
        self.port = 0
        self._parent = directory
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="bench-palimpsest-", dir=self._parent)
        store = Path(self._directory.name) / "state.db"
        command = [sys.executable, "-m", "palimpsest", "serve", str(store), "--host", self.host, "--port", "0"]
        command += self.arguments
        self._process = processes.start(command, log=self.log_path)
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

    @property
    def url(self) -> str:
        return f"palimpsest://{self.host}:{self.port}"

    @property
    def log_path(self) -> Path:
        return Path(self._directory.name) / "stderr"

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        line = processes.read_line(self._process)
        found = _LISTENING.search(line)
        if found is None:
            raise PeerFailed(f"the server said {line!r} first, and:\n{self.log_path.read_text()[-2000:]}")
        self.port = int(found[1])

    def _seed(self) -> None:
        creates = [
            Create(number + 1, workload.document_name(number), Raw(encode(workload.document_value(number))))
            for number in range(workload.DOCUMENTS)
        ]
        with socket.create_connection((self.host, self.port), timeout=processes.START_SECONDS_MAX) as link:
            answers = _ask(link, creates)
        refused = [answer for answer in answers if not isinstance(answer, Committed)]
        if refused:
            raise PeerFailed(f"the server does not create documents: {refused[0]!r}")


def _ask(link: socket.socket, requests: Sequence[Create]) -> list[Message]:
    """Says hello, sends all requests at once, and returns their answers in the order of arrival."""
    connection = ClientConnection()
    link.sendall(connection.hello("bench-seed"))
    answers: list[Message] = []
    while len(answers) < len(requests):
        data = link.recv(256 * 1024)
        if not data:
            raise PeerFailed("the server closed the connection")
        received = connection.receive_data(data)
        if any(isinstance(message, Welcome) for message in received):
            link.sendall(connection.send(requests))
        else:
            answers.extend(received)
    return answers
