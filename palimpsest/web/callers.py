"""Who asks: a token, and the connection to the server that speaks for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable

from palimpsest.client import Client
from palimpsest.errors import ConnectionLost, PalimpsestError, Unauthenticated

Connect = Callable[[str | None], Client]
"""From a token, or None, to a client that is not open yet."""


class Callers:
    """Connected clients by token, at most callers_max of them. A token is known by its digest here, so that no look at this table shows one."""

    def __init__(self, connect: Connect, callers_max: int) -> None:
        self._connect = connect
        self._callers_max = callers_max
        self._clients: OrderedDict[bytes, asyncio.Task[Client]] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def client(self, token: str | None) -> Client:
        """The client of whoever has the token. Raises Unauthenticated, ConnectionLost, or what else a hello is refused with."""
        key = _key(token)
        opening = self._clients.get(key)
        if opening is None:
            opening = self._clients[key] = asyncio.ensure_future(self._open(token))
            self._make_room()
        self._clients.move_to_end(key)
        try:
            # Several requests may wait for one connection: whoever gives up waiting does not take it from the others.
            return await asyncio.shield(opening)
        except PalimpsestError:
            self._forget(key, opening)
            raise

    def drop(self, token: str | None, client: Client) -> None:
        """The client is of no use any more: the next request of its caller gets another one."""
        key = _key(token)
        opening = self._clients.get(key)
        if (
            opening is not None
            and opening.done()
            and not opening.cancelled()
            and opening.exception() is None
            and opening.result() is client
        ):
            self._forget(key, opening)
            self._close(opening)

    async def close(self) -> None:
        clients, self._clients = self._clients, OrderedDict()
        for opening in clients.values():
            self._close(opening)
        while self._closing:
            await asyncio.wait(self._closing)

    async def _open(self, token: str | None) -> Client:
        return await self._connect(token).open()

    def _make_room(self) -> None:
        while len(self._clients) > self._callers_max:
            _, oldest = self._clients.popitem(last=False)
            self._close(oldest)

    def _forget(self, key: bytes, opening: asyncio.Task[Client]) -> None:
        if self._clients.get(key) is opening:
            del self._clients[key]

    def _close(self, opening: asyncio.Task[Client]) -> None:
        task = asyncio.ensure_future(_close_when_open(opening))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def is_over(error: PalimpsestError) -> bool:
    """Whether a client that raised it is of no use any more."""
    return isinstance(error, (Unauthenticated, ConnectionLost))


async def _close_when_open(opening: asyncio.Task[Client]) -> None:
    try:
        client = await opening
    except PalimpsestError:
        return
    await client.close()


def _key(token: str | None) -> bytes:
    return b"" if token is None else hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
