"""Who runs a source: one run at a time, whichever program it is in.

It is written into the document `$system/runs/<source>`, on the condition that nobody else has written there since it was read; so of two that
begin at once, one is refused. A lease ends by itself, for a program that died holds it otherwise for ever; who still runs renews it. Times are
those of the programs' own clocks: a program whose clock is wrong by more than a lease may take one that is still held, and then the versions
that every write names see to it that nothing is done twice.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from secrets import token_hex
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import replace

from palimpsest.client.plans import SourceBusy
from palimpsest.clock import Clock
from palimpsest.errors import Conflict, DocumentExists, DocumentNotFound, LinkError, VersionConflict
from palimpsest.state.sources import RUNS

if TYPE_CHECKING:
    from palimpsest.client.client import Client

LEASE_SECONDS = 60.0

_SECOND = 1_000_000


class SourceState(msgspec.Struct, frozen=True, omit_defaults=True):
    """How it stands with the runs of a source. Times are in microseconds since the epoch."""

    holder: str = ""
    until: int = 0
    last_run: str = ""
    last_outcome: str = ""
    last_message: str = ""
    failures: int = 0
    """Runs that have failed since the last one that did not."""
    next_at: int = 0
    """When a schedule runs it next; 0: at once."""


class Lease:
    """`async with Lease(...) as lease`: raises SourceBusy on entry while somebody else holds it. On exit it is given back, with `state` as it
    is by then."""

    def __init__(self, client: Client, name: str, clock: Clock, seconds: float = LEASE_SECONDS) -> None:
        self.state = SourceState()
        self._client = client
        self._name = name
        self._clock = clock
        self._seconds = seconds
        self._me = token_hex(8)
        self._version = 0
        self._writing = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self._lost: Conflict | None = None

    def check(self) -> None:
        """Raises SourceBusy where another program has taken it meanwhile."""
        if self._lost is not None:
            raise SourceBusy(f"another program has taken over {self._name!r}", source=self._name, until=0)

    async def __aenter__(self) -> Self:
        self.state, self._version = await read_state(self._client, self._name)
        if self.state.holder and self.state.until > self._clock.now():
            raise self._busy()
        try:
            await self._write(holder=self._me, until=self._until())
        except (VersionConflict, DocumentExists) as error:
            raise self._busy() from error
        self._renewing = asyncio.create_task(self._renew(), name=f"lease of {self._name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._renewing is not None
        async with self._writing:  # a write that is under way is not undone by giving up the wait for it
            self._renewing.cancel()
        with suppress(asyncio.CancelledError):
            await self._renewing
        with suppress(Conflict, LinkError):  # it ends by itself
            await self._write(holder="", until=0)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 3)
            try:
                await self._write(until=self._until())
            except Conflict as lost:
                self._lost = lost
                return
            except LinkError:
                pass  # the next try may reach the server, and until then the lease may still hold

    async def _write(self, **changes: Any) -> None:
        async with self._writing:
            self.state = replace(self.state, **changes)
            value: dict[str, Any] = msgspec.to_builtins(self.state)
            document = RUNS + self._name
            if self._version:
                made = await self._client.update(document, {"": value}, expect=self._version)
            else:
                made = await self._client.create(document, value)
            self._version = made.version

    def _until(self) -> int:
        return self._clock.now() + int(self._seconds * _SECOND)

    def _busy(self) -> SourceBusy:
        message = f"a run of {self._name!r} is under way"
        return SourceBusy(message, source=self._name, until=self.state.until)


async def read_state(client: Client, name: str) -> tuple[SourceState, int]:
    """With the version of its document; 0 where there was no run yet."""
    try:
        document = await client.get(RUNS + name)
    except DocumentNotFound:
        return SourceState(), 0
    return msgspec.convert(document.value, SourceState), document.version
