"""A partition over memory stores, and a peer that keeps what it is told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from msgspec import Raw

from palimpsest.actors.partition import Partition
from palimpsest.errors import PalimpsestError, from_wire
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.storage.checking import check_archive, check_journal
from palimpsest.storage.contracts import JournalEnd
from palimpsest.storage.faults import FaultyJournal
from palimpsest.storage.memory import MemoryArchive, MemoryJournal

sys.path.append(str(Path(__file__).parent))  # modules are imported one by one here, not from a package


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


class Peer:
    """Keeps every answer, in order. told: id -> the messages that answer it."""

    def __init__(self, house: House, client: str = "peer") -> None:
        self.house = house
        self.client = client
        self.told: list[Any] = []
        self.paused = False
        self._next = 0

    def committed(self, id: int, version: int, at: int) -> None:
        self.told.append(m.Committed(id, version, at))

    def reply(self, message: object) -> None:
        self.told.append(message)

    def fail(self, id: int, error: PalimpsestError) -> None:
        self.told.append(m.Failed(id, *error.to_wire()))

    def push(self, encoded: bytes) -> None:
        self.told.append(msgspec.msgpack.decode(encoded, type=m.Change))

    def send(self, kind: type, *arguments: Any, id: int | None = None, **options: Any) -> int:
        """Hands a request over and returns its id; what is told may come later."""
        if id is None:
            self._next += 1
            id = self._next
        self.house.partition.routes[kind](kind(id, *arguments, **options), self, self.house.now)
        return id

    def answers(self, id: int) -> list[Any]:
        found = [message for message in self.told if getattr(message, "id", None) == id]
        return [message for message in found if not isinstance(message, m.Progress)]

    async def answer(self, id: int) -> Any:
        """The one answer to request `id`, an error raised."""
        with anyio.fail_after(30):
            while not self.answers(id):
                await asyncio.sleep(0)
        (message,) = self.answers(id)
        if isinstance(message, m.Failed):
            raise from_wire(message.code, message.message, message.data)
        return message

    async def ask(self, kind: type, *arguments: Any, **options: Any) -> Any:
        return await self.answer(self.send(kind, *arguments, **options))

    async def create(self, document: str, value: object, **options: Any) -> Any:
        return await self.ask(m.Create, document, raw(value), **options)

    async def set(self, document: str, path: list[Any], value: object, **options: Any) -> Any:
        return await self.ask(m.Update, document, raw([[0, path, value]]), **options)

    async def get(self, document: str, **options: Any) -> Any:
        return await self.ask(m.Get, document, **options)


class House:
    """A partition and its stores. It can be closed as by a crash, and opened again on the same stores."""

    def __init__(self, limits: Limits, snapshot_versions: int) -> None:
        self.journal = FaultyJournal(MemoryJournal())
        self.archive = MemoryArchive()
        self.limits = limits
        self.snapshot_versions = snapshot_versions
        self.now = 1_000_000
        self.seconds = 0.0
        """By the monotonic clock."""
        self.fatal: list[BaseException] = []
        self.partition: Partition
        self._opened = False

    def peer(self, client: str = "peer") -> Peer:
        return Peer(self, client)

    @asynccontextmanager
    async def running(self, *, inline_archiver: bool = True, trim_keep_bytes: int = 1 << 30) -> AsyncIterator[None]:
        """The partition works inside of this block; leaving it is like a kill: nobody is told anything."""
        end: JournalEnd = await self.journal.end() if self._opened else await self.journal.open()
        if not self._opened:
            await self.archive.open(epoch=self.journal.epoch)
        self._opened = True
        self.partition = Partition(
            self.journal,
            self.archive,
            end,
            self.limits,
            inline_archiver=inline_archiver,
            snapshot_versions=self.snapshot_versions,
            archive_pause_seconds=0,
            trim_keep_bytes=trim_keep_bytes,
            now=lambda: self.now,
            monotonic=lambda: self.seconds,
        )
        self.partition.on_fatal = self.fatal.append
        async with anyio.create_task_group() as tasks:
            await self.partition.start(tasks)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    def wait(self, seconds: float) -> None:
        """The monotonic clock goes on, and what is due is done."""
        self.seconds += seconds
        self.partition.groups.tick()

    async def archived(self) -> None:
        """Returns when the archive has everything that is durable."""
        while self.partition.tail.start < self.partition.tail.end:
            await asyncio.sleep(0)


@asynccontextmanager
async def _house(limits: Limits | None = None, snapshot_versions: int = 4) -> AsyncIterator[House]:
    house = House(limits or Limits(), snapshot_versions)
    yield house
    with anyio.fail_after(10):
        async with house.running():
            await house.archived()
        assert await check_journal(house.journal) == []
        assert await check_archive(house.archive) == []


@pytest.fixture
def open_house() -> Callable[..., AbstractAsyncContextManager[House]]:
    """A house, which is checked when it is left: `async with open_house() as house, house.running(): ...`"""
    return _house
