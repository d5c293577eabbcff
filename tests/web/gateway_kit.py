"""A server, a gateway in front of it, and who asks that one, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import anyio
import httpx

from palimpsest import Client, Role, Server
from palimpsest.limits import HttpLimits
from palimpsest.web import Gateway

SECONDS_MAX = 60


def asker(gateway: Gateway, token: str | None = None) -> httpx.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    pool = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, limits=pool, timeout=30, trust_env=False)


@asynccontextmanager
async def served(limits: HttpLimits | None = None) -> AsyncIterator[tuple[Client, Gateway, httpx.AsyncClient]]:
    """A server without tokens: a client of it, its gateway, and who asks that one."""
    async with (
        Server.memory() as server,
        server.connect() as client,
        Gateway(server.url, limits=limits) as gateway,
        asker(gateway) as http,
    ):
        with anyio.fail_after(SECONDS_MAX):
            yield client, gateway, http


class Guarded(NamedTuple):
    """A server with two tokens. client: may do everything, and so may `admin`. http: who asks as `ana`, who has the role `reader`. id, text: of her
    token."""

    client: Client
    gateway: Gateway
    admin: httpx.AsyncClient
    http: httpx.AsyncClient
    id: str
    text: str


@asynccontextmanager
async def guarded(role: Role) -> AsyncIterator[Guarded]:
    """role: of the reader."""
    async with Server.memory() as server, AsyncExitStack() as stack:
        async with server.connect() as first:
            admin = await first.tokens.create("root", roles=["admin"])
        client = await stack.enter_async_context(server.connect(token=admin.text))
        await client.roles.put("reader", role)
        token = await client.tokens.create("ana", roles=["reader"])
        gateway = await stack.enter_async_context(Gateway(server.url))
        root = await stack.enter_async_context(asker(gateway, admin.text))
        http = await stack.enter_async_context(asker(gateway, token.text))
        with anyio.fail_after(SECONDS_MAX):
            yield Guarded(client, gateway, root, http, token.id, str(token.text))
