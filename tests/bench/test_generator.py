"""The generator in C against a server of a few lines that is built on the protocol's own connection."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from msgspec import Raw
from msgspec.msgpack import encode
from pyrsistent import PMap

from bench import generator, workload
from bench.generator import Load, Mode
from bench.peer import PALIMPSEST
from bench.processes import PeerFailed
from palimpsest.limits import Limits
from palimpsest.protocol.connection import ServerConnection
from palimpsest.protocol.messages import Committed, Document, Failed, Get, Hello, Request, Response, Update, Welcome
from palimpsest.state.ops import decode_delta
from palimpsest.state.values import freeze
from palimpsest.state.working import Working

Answer = Callable[[Request], Response]

pytestmark = pytest.mark.skipif(generator.compiler() is None, reason="there is no C compiler (cc)")


class Stand:
    """Answers on one connection, as it is told to, and keeps what it was asked."""

    name = PALIMPSEST
    host = "127.0.0.1"
    script = ""

    def __init__(self, answer: Answer) -> None:
        self.pid = os.getpid()
        self.requests: list[Request] = []
        self._answer = answer
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        link, _ = self._listener.accept()
        connection = ServerConnection()
        with link:
            while data := _receive(link):
                answers: list[Response] = []
                for request in connection.receive_data(data):
                    self.requests.append(request)
                    answers.append(Welcome(1, "0" * 16) if isinstance(request, Hello) else self._answer(request))
                if answers and not _send(link, connection.send(answers)):
                    return

    def close(self) -> None:
        self._listener.close()


def _receive(link: socket.socket) -> bytes:
    try:
        return link.recv(64 * 1024)
    except ConnectionResetError:  # the generator ends without taking what is still on its way
        return b""


def _send(link: socket.socket, data: bytes) -> bool:
    try:
        link.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


@contextmanager
def standing(answer: Answer) -> Iterator[Stand]:
    stand = Stand(answer)
    thread = threading.Thread(target=stand.serve)
    thread.start()
    try:
        yield stand
    finally:
        thread.join()
        stand.close()


def measure(stand: Stand, mode: Mode) -> dict[str, float]:
    return generator.measure(stand, mode, Load(connections=1, outstanding=8, warmup_seconds=0.0, seconds=0.05))


def commit(request: Request) -> Response:
    assert isinstance(request, Update)
    return Committed(request.id, 2, 1_700_000_000_000_000)


def test_updates_are_well_formed_and_answers_are_counted() -> None:
    with standing(commit) as stand:
        found = measure(stand, "update")
    assert found["per_second"] > 0
    assert 0 < found["p50_us"] <= found["p99_us"] <= found["max_us"] * 1.02
    updates = [request for request in stand.requests if isinstance(request, Update)]
    assert [update.id for update in updates] == list(range(1, len(updates) + 1))
    working = Working(freeze(workload.document_value(0)))
    for update in updates[:100]:
        working.apply(decode_delta(update.delta, limits=Limits()), depth_max=64)
    value = working.freeze()
    assert isinstance(value, PMap)
    assert value[workload.COUNTER] == min(len(updates), 100)
    assert {update.document for update in updates} <= {workload.document_name(n) for n in range(workload.DOCUMENTS)}


def test_reads_ask_for_documents_that_are_there() -> None:
    def answer(request: Request) -> Response:
        assert isinstance(request, Get)
        value = Raw(encode(workload.document_value(0)))
        return Document(request.id, request.document, "main", 1, 0, 1, value)

    with standing(answer) as stand:
        assert measure(stand, "get")["per_second"] > 0


def test_a_failure_of_the_server_ends_the_measurement_with_its_words() -> None:
    def refuse(request: Request) -> Response:
        assert isinstance(request, Update)
        return Failed(request.id, "document_not_found", "no such document", {})

    with standing(refuse) as stand, pytest.raises(PeerFailed, match=r"Failed .*document_not_found"):
        measure(stand, "update")


def test_an_answer_to_what_was_not_asked_ends_the_measurement() -> None:
    def confuse(request: Request) -> Response:
        assert isinstance(request, Update)
        return Committed(request.id + 1_000, 2, 1)

    with standing(confuse) as stand, pytest.raises(PeerFailed, match="a request that is not waiting: 1001"):
        measure(stand, "update")
