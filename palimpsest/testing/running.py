"""A server on an event loop of its own thread, for as long as a `with` block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anyio.from_thread import start_blocking_portal

from palimpsest.client import Client, SyncClient, connect, connect_sync
from palimpsest.clock import Clock, ManualClock
from palimpsest.limits import Limits
from palimpsest.server import Server

PATIENT = Limits(peer_silence_seconds=1e9, hello_seconds=1e9)
"""A test that sets the clock forward by a day does not mean that its own connection is dead."""


class RunningServer:
    """A server that runs, and how to reach it. clock: the one it was given."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.clock = clock

    def connect(self, **options: Any) -> Client:
        """A new client, to be entered in the event loop that uses it. options: as of `palimpsest.connect`."""
        return connect(self.url, **options)

    def connect_sync(self, **options: Any) -> SyncClient:
        """A new blocking client. options: as of `palimpsest.connect_sync`."""
        return connect_sync(self.url, **options)


@contextmanager
def running_server(*, limits: Limits = PATIENT, clock: Clock | None = None) -> Iterator[RunningServer]:
    """An empty server in memory, on a free port of 127.0.0.1. clock: a new ManualClock unless one is given."""
    clock = clock or ManualClock()
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(Server.memory(limits=limits, clock=clock)) as server,
    ):
        yield RunningServer(server.url, clock)
