"""A server and the clients of it in one program: what tests and small programs embed.

The rooms `server` and `client` do not know each other; this is the one place above both.
"""

from __future__ import annotations

from typing import Any

from palimpsest.client import Client, Observation, SyncClient, connect, connect_sync
from palimpsest.client.observing import observation
from palimpsest.protocol.messages import Observe
from palimpsest.server import Server as _Server


class Server(_Server):
    """As `palimpsest.server.Server`, and hands out clients that are connected to it.

    async with Server("state.db") as server, server.connect() as client:
        ...
    """

    def connect(self, **options: Any) -> Client:
        """As `palimpsest.connect`, to this server; options as there."""
        return connect(self.url, **options)

    def connect_sync(self, **options: Any) -> SyncClient:
        """As `palimpsest.connect_sync`, to this server. Only for threads that do not run the server's event loop."""
        return connect_sync(self.url, **options)

    async def observe(self, *, subscribers: int = 20) -> Observation:
        """As `Client.observe`, without a connection."""
        return observation(await self.observed(Observe(0, subscribers)))
