"""Who asks: a token, and the connection to the server that speaks for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable

from palimpsest.client import Client
from palimpsest.errors import ConnectionLost, Overloaded, PalimpsestError, ProtocolError, Unauthenticated

Connect = Callable[[str | None], Client]
"""From a token, or None, to a client that is not open yet."""


class Lease:
    """A client for the time of one request. It is not closed before it is released."""

    def __init__(self, callers: Callers, caller: _Caller, client: Client) -> None:
        self.client = client
        self._callers = callers
        self._caller = caller

    def drop(self) -> None:
        """The client is of no use any more: the next request of its caller gets another one."""
        self._callers.retire(self._caller)

    def release(self) -> None:
        """Once."""
        self._callers.release(self._caller)


class _Caller:
    """One token's connection. uses: requests that have it or wait for it. is_over: nobody gets it any more; it is closed with its last use."""

    __slots__ = ("is_over", "key", "opening", "uses")

    def __init__(self, key: bytes, opening: asyncio.Task[Client]) -> None:
        self.key = key
        self.opening = opening
        self.uses = 0
        self.is_over = False

    @property
    def is_idle(self) -> bool:
        return not self.uses and self.opening.done()


class Callers:
    """Connected clients by token. A token is known by its digest here, so that no look at this table shows one.

    At most callers_max are kept, the least recently used idle one makes room. At most openings_max are being opened at a time and four
    times as many wait for that, so that whoever tries tokens keeps the server busy with no more than that.
    """

    def __init__(self, connect: Connect, callers_max: int, openings_max: int) -> None:
        self._connect = connect
        self._callers_max = callers_max
        self._openings_max = openings_max
        self._openings = asyncio.Semaphore(openings_max)
        self._opening_count = 0
        self._callers: OrderedDict[bytes, _Caller] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def lease(self, token: str | None) -> Lease:
        """The client of whoever has the token; to be released. Raises Unauthenticated, ConnectionLost, or what else a hello is refused with;
        and Overloaded where too many come at once."""
        key = _key(token)
        caller = self._callers.get(key) or self._begin(key, token)
        self._callers.move_to_end(key)
        caller.uses += 1
        try:
            if caller.opening.done():
                return Lease(self, caller, caller.opening.result())
            # Several requests may wait for one connection: whoever gives up waiting does not take it from the others.
            return Lease(self, caller, await asyncio.shield(caller.opening))
        except BaseException:
            self.release(caller)
            raise

    def release(self, caller: _Caller) -> None:
        caller.uses -= 1
        if caller.is_over and not caller.uses:
            self._close(caller)

    def retire(self, caller: _Caller) -> None:
        if not caller.is_over:
            caller.is_over = True
            if self._callers.get(caller.key) is caller:
                del self._callers[caller.key]
            if not caller.uses:
                self._close(caller)

    async def close(self) -> None:
        """All of them, whoever still has one."""
        callers, self._callers = self._callers, OrderedDict()
        for caller in callers.values():
            caller.is_over = True
            self._close(caller)
        while self._closing:
            await asyncio.wait(self._closing)

    def statistics(self) -> dict[str, int]:
        uses = sum(caller.uses for caller in self._callers.values())
        return {"callers": len(self._callers), "opening": self._opening_count, "uses": uses}

    def _begin(self, key: bytes, token: str | None) -> _Caller:
        if self._opening_count >= 5 * self._openings_max:
            raise _overloaded("openings_max", self._openings_max)
        if len(self._callers) >= self._callers_max:
            idle = next((caller for caller in self._callers.values() if caller.is_idle), None)
            if idle is None:
                raise _overloaded("callers_max", self._callers_max)
            self.retire(idle)
        self._opening_count += 1
        caller = self._callers[key] = _Caller(key, asyncio.ensure_future(self._open(token)))
        caller.opening.add_done_callback(lambda opening: self._opened(caller, opening))
        return caller

    async def _open(self, token: str | None) -> Client:
        async with self._openings:
            return await self._connect(token).open()

    def _opened(self, caller: _Caller, opening: asyncio.Task[Client]) -> None:
        self._opening_count -= 1
        if opening.cancelled() or opening.exception() is not None:
            self.retire(caller)  # whoever comes next tries again

    def _close(self, caller: _Caller) -> None:
        if not caller.opening.done():
            caller.opening.cancel()
        task = asyncio.ensure_future(_close_client(caller.opening))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def is_over(error: PalimpsestError, client: Client) -> bool:
    """Whether a client that raised it is of no use any more: it says why it ended to whoever asks it, for ever."""
    if isinstance(error, (Unauthenticated, ConnectionLost)):
        return True
    return isinstance(error, ProtocolError) and not client.statistics()["connected"]


async def _close_client(opening: asyncio.Task[Client]) -> None:
    await asyncio.wait((opening,))
    if not opening.cancelled() and opening.exception() is None:
        await opening.result().close()


def _overloaded(limit: str, maximum: int) -> Overloaded:
    return Overloaded(f"too many callers at once; {limit} is {maximum:,}", limit=limit, maximum=maximum)


def _key(token: str | None) -> bytes:
    return b"" if token is None else hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
