"""A subscriber that does not read its socket: it costs no more than its budget, nobody waits for it, and it misses nothing."""

from __future__ import annotations

import random
import socket
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

import palimpsest as pal
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m

pytestmark = pytest.mark.anyio

BUDGET_BYTES = 32 * 1024
OUT_BYTES = 64 * 1024
CHANGE_BYTES = 20_000
CHANGES = 50
"""Many times the bytes that the server may hold for a connection, with what the sockets take."""
SOCKET_BYTES = 32 * 1024
HEALTHY = 5
LIMITS = Limits(subscription_bytes_max=BUDGET_BYTES, connection_out_bytes_max=OUT_BYTES)


class Crowd:
    """Healthy readers, each over a connection of its own, and what they were told."""

    def __init__(self, server: pal.Server, exits: AsyncExitStack) -> None:
        self.told: list[list[int]] = []
        self._server = server
        self._exits = exits

    async def join(self, tasks: Any) -> None:
        client = await self._exits.enter_async_context(self._server.connect())
        changes = await self._exits.enter_async_context(client.subscribe("*"))
        self.told.append([])
        tasks.start_soon(self._read, changes, self.told[-1])

    async def _read(self, changes: pal.Subscription, told: list[int]) -> None:
        async for change in changes:
            told.append(change.version)

    async def all_at(self, version: int) -> None:
        while not all(told and told[-1] == version for told in self.told):
            await anyio.lowlevel.checkpoint()


def waiting_bytes(server: pal.Server, client: str) -> int:
    """What the server holds for that connection."""
    session = server._by_client[client]
    return session._out_bytes + session._transport.get_write_buffer_size()


@pytest.mark.parametrize("subscriptions", [1, 4])
@pytest.mark.parametrize("generous", [False, True], ids=["credit used up", "credit for ever"])
async def test_a_stuck_subscriber_costs_its_budget_and_is_told_everything_later(
    subscriptions: int, generous: bool, raw_peer: Any
) -> None:
    """generous: it gives credit for what it does not read, so that only the connection's own bound is left."""
    most, chance = 0, random.Random(1)
    async with (
        pal.Server.memory(limits=LIMITS) as server,
        server.connect() as writer,
        raw_peer(server, "stuck", receive_buffer_bytes=4_096) as stuck,
        AsyncExitStack() as exits,
        anyio.create_task_group() as tasks,
    ):
        connection = server._by_client["stuck"]._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        crowd = Crowd(server, exits)
        for _ in range(HEALTHY):
            await crowd.join(tasks)
        for number in range(1, subscriptions + 1):
            await stuck.ask(m.Subscribe, number, "*", credit_bytes=BUDGET_BYTES, answer=m.Subscribed)
            await stuck.next(m.Marker)
        await writer.create("a", {"n": 0})
        for _ in range(CHANGES):
            await writer.update("a", {"text": chance.randbytes(CHANGE_BYTES // 2).hex()})
            if generous and not server._by_client["stuck"].paused:
                await stuck.send(*[m.Credit(number, CHANGE_BYTES * 2) for number in range(1, subscriptions + 1)])
            most = max(most, waiting_bytes(server, "stuck"))
        await crowd.all_at(CHANGES + 1)
        assert crowd.told == [list(range(1, CHANGES + 2))] * HEALTHY
        assert server._by_client["stuck"].paused == generous
        assert server.partition.feed.statistics() == {"subscriptions": HEALTHY + subscriptions, "behind": subscriptions}

        told = await read_all(stuck, subscriptions)
        tasks.cancel_scope.cancel()
    budget = subscriptions * (BUDGET_BYTES + CHANGE_BYTES)
    assert most <= (OUT_BYTES + budget if generous else budget)
    assert told == {number: list(range(1, CHANGES + 2)) for number in range(1, subscriptions + 1)}


async def read_all(peer: Any, subscriptions: int) -> dict[int, list[int]]:
    """It reads on, and gives credit for what it has read, until each of its subscriptions was told of everything."""
    told: dict[int, list[int]] = {number: [] for number in range(1, subscriptions + 1)}
    while any(not versions or versions[-1] < CHANGES + 1 for versions in told.values()):
        while not peer.told:
            assert await peer.read()
        message = peer.told.pop(0)
        if isinstance(message, m.Change):
            size = len(msgspec.msgpack.encode(message))
            for number in message.subscriptions:
                told[number].append(message.version)
            await peer.send(*[m.Credit(number, size) for number in message.subscriptions])
    return told
