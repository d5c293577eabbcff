"""What becomes of actors when the archive fails under them, and of those who wait when everything ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from palimpsest.errors import ServerClosing, StorageError
from palimpsest.protocol import messages as m
from palimpsest.storage.contracts import Row, Stream, Stretch
from palimpsest.storage.memory import MemoryArchive

pytestmark = pytest.mark.anyio


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def plain(data: Raw) -> Any:
    return msgspec.msgpack.decode(data)


INCREMENT = raw([[3, ["n"], 1]])


async def _ticks(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class FaultyArchive(MemoryArchive):
    """An archive whose reads wait, or fail, while they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.error: StorageError | None = None
        self.loads = 0
        self.free = asyncio.Event()
        self.free.set()

    async def load(self, streams: Sequence[Stream]) -> list[Stretch | None]:
        self.loads += 1
        await self._fault()
        return await super().load(streams)

    async def find_request(
        self, document: str, branch: str, *, origin: str, request: int, key: str | None
    ) -> Row | None:
        await self._fault()
        return await super().find_request(document, branch, origin=origin, request=request, key=key)

    async def _fault(self) -> None:
        await self.free.wait()
        if self.error is not None:
            raise self.error


async def test_a_repeat_that_cannot_be_looked_up_fails_alone(open_house: Any) -> None:
    """The writes before it are under way, and those after it go on from them."""
    async with open_house() as house:
        house.archive = archive = FaultyArchive()
        async with house.running():
            peer = house.peer()
            await peer.create("a", {"n": 0})
            await house.archived()
            house.journal.hold()
            before = peer.send(m.Update, "a", INCREMENT)
            archive.error = StorageError("bad sector")
            repeat = peer.send(m.Update, "a", INCREMENT, id=99, repeat=True)
            after = peer.send(m.Update, "a", INCREMENT)
            with pytest.raises(StorageError, match="bad sector"):
                await peer.answer(repeat)
            archive.error = None
            house.journal.release()
            assert (await peer.answer(before)).version == 2
            assert (await peer.answer(after)).version == 3
            assert plain((await peer.get("a")).value) == {"n": 2}


async def test_a_transaction_that_cannot_be_looked_up_fails_alone(open_house: Any) -> None:
    async with open_house() as house:
        house.archive = archive = FaultyArchive()
        async with house.running():
            peer = house.peer()
            await peer.create("a", {"n": 0})
            await peer.create("b", {"n": 0})
            await house.archived()
            archive.error = StorageError("bad sector")
            parts = (m.Part(1, "a", INCREMENT), m.Part(1, "b", INCREMENT))
            repeat = peer.send(m.Transact, parts, id=99, repeat=True)
            after = peer.send(m.Update, "b", INCREMENT)
            with pytest.raises(StorageError, match="bad sector"):
                await peer.answer(repeat)
            archive.error = None
            assert (await peer.answer(after)).version == 2


async def test_an_archive_that_cannot_be_read_is_not_asked_again_until_somebody_asks(open_house: Any) -> None:
    async with open_house() as house:
        house.archive = archive = FaultyArchive()
        async with house.running(inline_archiver=False):
            await house.peer().create("a", {"n": 0})
        archive.error = StorageError("bad sector")
        archive.loads = 0
        async with house.running(inline_archiver=False):
            await _ticks(200)
            assert archive.loads <= 2
            peer = house.peer()
            with pytest.raises(StorageError, match="bad sector"):
                await peer.get("a")
            archive.error = None
            await _ticks()
            assert plain((await peer.get("a")).value) == {"n": 0}
            assert (await peer.ask(m.Update, "a", INCREMENT)).version == 2


async def test_closing_answers_who_waits_for_the_archive_and_what_it_says_then_hurts_nobody(open_house: Any) -> None:
    async with open_house() as house:
        house.archive = archive = FaultyArchive()
        async with house.running():
            peer = house.peer()
            await peer.create("a", {"n": 0})
            await peer.create("b", {"n": 0})
            await house.archived()
            archive.free.clear()
            parts = (m.Part(1, "a", INCREMENT), m.Part(1, "b", INCREMENT))
            ids = [
                peer.send(m.Update, "a", INCREMENT, id=90, repeat=True),
                peer.send(m.Transact, parts, id=91, repeat=True),
                peer.send(m.Update, "b", INCREMENT, id=92),
                peer.send(m.Get, "cold"),
            ]
            await _ticks()
            house.partition.close()
            archive.free.set()
            await _ticks()
            for id in ids:
                with pytest.raises(ServerClosing):
                    await peer.answer(id)
        async with house.running():
            assert plain((await house.peer().get("a")).value) == {"n": 0}


async def test_an_event_that_does_not_fit_is_an_error_of_its_document_only(open_house: Any) -> None:
    """A log of a release with a bug: the document cannot be woken, and every other can."""
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("good", {"n": 0})
            await peer.create("bad", {"n": 0})
            await house.archived()
        rows = house.archive._streams["bad", "main"]
        sound = rows[0]
        event = msgspec.structs.replace(sound.event, delta=raw([[1, ["absent"], 1]]))
        rows[0] = msgspec.structs.replace(sound, event=event)
        kept, house.archive._snapshots = house.archive._snapshots, {}
        async with house.running(inline_archiver=False):
            peer = house.peer()
            bad, good = peer.send(m.Get, "bad"), peer.send(m.Get, "good")
            with pytest.raises(Exception, match="the server failed"):
                await peer.answer(bad)
            assert plain((await peer.answer(good)).value) == {"n": 0}
        rows[0] = sound
        house.archive._snapshots = kept
