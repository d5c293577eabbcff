"""Writers and readers, each behind a proxy that gives trouble, of a server that is stopped and killed meanwhile."""

from __future__ import annotations

import random
import signal
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
from feed_log_kit import Log
from feed_readers_kit import Plan, Reader
from feed_writers_kit import BRANCH, DOCUMENTS, Made, Writer
from proxy_kit import End, Manner, Proxy
from served_kit import Served

import palimpsest as pal
from palimpsest.errors import BranchNotFound
from palimpsest.protocol.cursor import decode_cursor

_LOOK_BACK = ("cursor", "version", "time")
"""How those start who come when there is something to look back at."""
_VERSION = 3


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Subscriptions of one client."""

    credit_bytes: int = 1024 * 1024
    plans: tuple[Plan, ...]


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    changes: int
    """Acknowledged versions, at least."""
    writers: int
    batch_max: int
    bytes_mean: int
    """What a connection carries before it ends."""
    silence_seconds: float
    restarts: tuple[signal.Signals, ...]
    """How the server is ended, one after the other, while there are changes."""
    seconds_max: float


class Campaign:
    """seen: how often the proxies gave which trouble."""

    def __init__(self, path: Path, scale: Scale, parties: tuple[Party, ...], seed: int) -> None:
        self.readers: list[Reader] = []
        self.seen: Counter[Manner | End] = Counter()
        self.reconnections = 0
        """Of readers' clients."""
        self._made = Made()
        self._scale = scale
        self._parties = parties
        self._chance = random.Random(seed)
        self._served = Served(
            path,
            peer_silence_seconds=max(1.0, scale.silence_seconds),
            shutdown_seconds=2,
            connection_out_bytes_max=256 * 1024,
        )
        self._settings = {
            "timeout_seconds": 60.0,
            "backoff_seconds_max": 0.2,
            "peer_silence_seconds": scale.silence_seconds,
        }
        self._exits = AsyncExitStack()
        self._proxies: list[Proxy] = []
        self._places: dict[str, Any] = {}
        self._can_look_back = anyio.Event()
        self._histories: dict[tuple[str, str], list[tuple[int, int]]] = {}

    async def run(self) -> Log:
        """Returns once every reader has come to the end of the log, with the log as it is in the store's files, which was held against
        what writers and readers were told, and the histories that the server gave. Raises AssertionError for any difference."""
        async with self._served, pal.connect(self._served.url, **self._settings) as client:
            await self._writer(0, client).create_all()
            with anyio.fail_after(self._scale.seconds_max):
                async with self._exits:
                    await self._read_and_write(client)
            await self._read_histories(client)
            await self._served.end(signal.SIGTERM)
        log = await Log.read(self._served.path)
        self._made.verify(log)
        self._verify_histories(log)
        return log

    async def _read_and_write(self, client: pal.Client) -> None:
        async with anyio.create_task_group() as reading:
            for party in self._parties:
                reading.start_soon(self._attend, party, await self._proxy())
            await self._write(client)
            for proxy in self._proxies:
                await proxy.calm()
                self.seen += proxy.seen
            async with client.subscribe("**") as changes:
                end = decode_cursor(changes.cursor)[1]
            while len(self.readers) < sum(len(party.plans) for party in self._parties) or not all(
                reader.has_come_to(end) for reader in self.readers
            ):
                await anyio.sleep(0.02)
            reading.cancel_scope.cancel()

    # --- those who write -----------------------------------------------------------------------------------------

    async def _write(self, client: pal.Client) -> None:
        """And restart the server meanwhile."""
        count = self._scale.changes
        async with anyio.create_task_group() as writing:
            for number in range(1, self._scale.writers + 1):
                url = (await self._proxy()).url if number % 2 else self._served.url
                one = await self._exits.enter_async_context(pal.connect(url, **self._settings))
                writing.start_soon(self._writer(number, one).run, count)
            restarts = self._scale.restarts
            await self._until(count // 4)
            await self._look_back(client)
            for turn, number in enumerate(restarts, 1):
                await self._until(count // 4 + count * turn // (2 * len(restarts)))
                await self._served.restart(number)

    def _writer(self, number: int, client: pal.Client) -> Writer:
        return Writer(number, client, self._new_chance(), self._made, self._scale.batch_max)

    async def _until(self, count: int) -> None:
        while len(self._made.acknowledged) < count:
            await anyio.sleep(0.005)

    async def _look_back(self, client: pal.Client) -> None:
        async with client.subscribe("**", start="beginning") as changes:
            for _ in range(20):
                await anext(changes)
            self._places = {"cursor": changes.cursor, "version": _VERSION, "time": self._made.newest}
        self._can_look_back.set()

    # --- those who read ------------------------------------------------------------------------------------------

    async def _attend(self, party: Party, proxy: Proxy) -> None:
        settings = {**self._settings, "credit_bytes": party.credit_bytes}
        async with pal.connect(proxy.url, **settings) as client, anyio.create_task_group() as tasks:
            client.on_reconnect(self._count)
            for plan in party.plans:
                tasks.start_soon(self._follow, plan, client, settings)

    async def _follow(self, plan: Plan, client: pal.Client, settings: dict[str, Any]) -> None:
        if plan.start in _LOOK_BACK:
            await self._can_look_back.wait()
        reader = Reader(plan, client.url, settings, self._new_chance(), self._places.get(plan.start))
        self.readers.append(reader)
        await reader.run(client)

    def _count(self, event: object) -> None:
        self.reconnections += 1

    # --- what the server said of the past ------------------------------------------------------------------------

    async def _read_histories(self, client: pal.Client) -> None:
        for document in DOCUMENTS:
            for branch in ("main", BRANCH):
                self._histories[document, branch] = found = []
                with suppress(BranchNotFound):
                    async for version in client.history(document, branch=branch, newest_first=False):
                        if version.branch == branch:
                            assert version.delta is not None
                            found.append((version.version, hash(version.delta)))

    def _verify_histories(self, log: Log) -> None:
        """Of a branch that was made anew, the history is not all that the log has."""
        for (document, branch), versions in self._histories.items():
            logged = {
                entry.version: entry.delta_hash
                for entry in log.entries
                if (entry.document, entry.branch) == (document, branch)
            }
            if branch == "main":
                assert dict(versions) == logged
            assert all(logged[version] == delta_hash for version, delta_hash in versions)

    # --- inside --------------------------------------------------------------------------------------------------

    async def _proxy(self) -> Proxy:
        proxy = Proxy(lambda: self._served.port, self._new_chance(), bytes_mean=self._scale.bytes_mean)
        self._proxies.append(proxy)
        return await self._exits.enter_async_context(proxy)

    def _new_chance(self) -> random.Random:
        return random.Random(self._chance.random())
