"""Pruning, policies, measuring and erasing through a partition."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from palimpsest.errors import DocumentNotFound, InvalidName, InvalidRequest, InvalidValue, VersionPruned
from palimpsest.protocol import messages as m
from palimpsest.words import MAIN, Kind, Meta

pytestmark = pytest.mark.anyio

OpenHouse = Callable[..., AbstractAsyncContextManager[Any]]


async def fill(peer: Any, document: str, versions: int) -> None:
    await peer.create(document, {"n": 1})
    for version in range(2, versions + 1):
        peer.house.now += 1_000_000
        await peer.set(document, ["n"], version)


async def readable(peer: Any, document: str, last: int) -> list[int]:
    found = []
    for version in range(1, last + 1):
        try:
            await peer.get(document, version=version)
        except VersionPruned:
            continue
        found.append(version)
    return found


async def test_a_dry_run_says_what_would_go_and_takes_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await fill(peer, "a/1", 10)
        await fill(peer, "a/2", 5)
        await fill(peer, "b", 20)
        dry = await peer.ask(m.Prune, "a/*", MAIN, m.Retain(versions=4))
        assert (dry.documents, dry.events, dry.dry_run) == (2, 7, True)
        assert [(share.document, share.events) for share in dry.largest] == [("a/1", 6), ("a/2", 1)]
        assert dry.bytes == sum(share.bytes for share in dry.largest) > 0
        assert await readable(peer, "a/1", 10) == list(range(1, 11))
        done = await peer.ask(m.Prune, "a/*", MAIN, m.Retain(versions=4), False)
        assert (done.documents, done.events) == (2, 7)
        assert await readable(peer, "a/1", 10) == [7, 8, 9, 10]
        assert await readable(peer, "a/2", 5) == [2, 3, 4, 5]
        assert await readable(peer, "b", 20) == list(range(1, 21))
        assert (await peer.ask(m.Prune, "a/*", MAIN, m.Retain(versions=4), False)).events == 0


async def test_what_is_tagged_stays_and_can_be_read_in_every_way(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await fill(peer, "doc", 12)
        await peer.ask(m.Label, "doc", 3, ("released",))
        await peer.ask(m.Label, "doc", 5, ("seen",))
        await peer.ask(m.Prune, "doc", MAIN, m.Retain(versions=2, tags=("rel*",)), False)
        assert await readable(peer, "doc", 12) == [3, 11, 12]
        with pytest.raises(VersionPruned) as caught:
            await peer.get("doc", version=5)
        assert (caught.value.version, caught.value.oldest, caught.value.newest) == (5, 11, 12)
        third = await peer.get("doc", version=3)
        assert (await peer.get("doc", at=third.at)).version == 3
        with pytest.raises(VersionPruned):
            await peer.get("doc", at=third.at + 1_000_000)
        assert (await peer.get("doc", tag="released")).version == 3
        page = await peer.ask(m.History, "doc")
        assert [entry.version for entry in page.entries] == [12, 11, 3]
        assert page.oldest == 11
        with pytest.raises(VersionPruned):
            await peer.ask(m.Label, "doc", 5, ("late",))
        await peer.ask(m.Label, "doc", 3, ("more",))
        await peer.ask(m.Label, "doc", 3, (), ("released", "more"))
        await peer.ask(m.Prune, "doc", MAIN, m.Retain(versions=2), False)
        assert await readable(peer, "doc", 12) == [11, 12]


async def test_age_and_bytes(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await fill(peer, "old", 10)
        house.now += 500_000
        await peer.ask(m.Prune, "old", MAIN, m.Retain(seconds=3), False)
        assert await readable(peer, "old", 10) == [8, 9, 10]
        await fill(peer, "large", 40)
        dry = await peer.ask(m.Prune, "large", MAIN, m.Retain(bytes_max=1_000))
        assert 0 < dry.events < 40
        await peer.ask(m.Prune, "large", MAIN, m.Retain(bytes_max=1_000), False)
        left = await readable(peer, "large", 40)
        assert left == list(range(41 - len(left), 41))
        assert len(left) < 40
        for wrong in (m.Retain(versions=0), m.Retain(seconds=-1), m.Retain(bytes_max=-1)):
            with pytest.raises(InvalidRequest):
                await peer.ask(m.Prune, "large", MAIN, wrong)


async def test_policies_are_documents_and_are_honoured(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await fill(peer, "logs/1", 100)
        await fill(peer, "other", 100)
        await peer.create("$system/retention/logs", {"documents": "logs/**", "versions": 10})
        with pytest.raises(InvalidValue, match="versions"):
            await peer.set("$system/retention/logs", ["versions"], 0)
        with pytest.raises(InvalidValue):
            await peer.create("$system/retention/wrong", {"documents": "a", "speed": 3})
        with pytest.raises(InvalidName):
            await peer.create("$system/whatever", {})
        assert msgspec.msgpack.decode((await peer.get("$system/retention/logs")).value)["versions"] == 10
        assert (await peer.ask(m.List, "**")).names == ("logs/1", "other")
        await peer.ask(m.Ping)
        await house.partition.errands.retain_once()
        assert await readable(peer, "logs/1", 100) == list(range(91, 101))
        assert len(await readable(peer, "other", 100)) == 100


async def test_documents_are_measured(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await fill(peer, "a", 3)
        await fill(peer, "b", 10)
        await fill(peer, "c", 2)
        await peer.ask(m.Delete, "c")
        found = await peer.ask(m.Measure, "**", largest=2)
        assert (found.documents, found.deleted, found.versions, found.events) == (2, 1, 16, 16)
        assert found.largest[0].document == "b"
        assert found.bytes > sum(share.bytes for share in found.largest) > 0


# --- erasing -----------------------------------------------------------------------------------------------------------


async def test_a_path_is_erased_from_every_version(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("doc", {"name": "SECRET", "n": 1})
        await peer.set("doc", ["n"], 2)
        await peer.set("doc", ["name"], "SECRET too")
        for n in range(10):
            await peer.set("doc", ["n"], n)
        digest = (await peer.ask(m.Digest, "doc", m.Place(version=13))).digest
        made = await peer.ask(m.Erase, "doc", ("name",), meta=Meta("ana", "asked to"))
        assert made.version == 14
        for version in range(1, 15):
            assert "name" not in msgspec.msgpack.decode((await peer.get("doc", version=version)).value)
        page = await peer.ask(m.History, "doc")
        assert b"SECRET" not in msgspec.msgpack.encode(page)
        assert (page.entries[0].kind, page.entries[0].meta) == (
            Kind.ERASE,
            Meta("ana", "asked to", ("$erased",)),
        )
        assert (await peer.ask(m.Digest, "doc", m.Place(version=13))).digest == digest
        assert b"SECRET" not in await everything(house)
        assert (await peer.set("doc", ["name"], "new")).version == 15
        await peer.set("doc", ["n"], 77)
        await peer.ask(m.Prune, "doc", MAIN, m.Retain(versions=1, tags=()), False)
        assert await readable(peer, "doc", 16) == [14, 16]  # who erased what stays


async def test_a_whole_document_is_erased(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("doc", {"name": "SECRET"}, meta=Meta(tags=("SECRET",)))
        await peer.ask(m.Label, "doc", 1, ("SECRET",))
        await fill(peer, "other", 3)
        assert (await peer.ask(m.Erase, "doc", (), meta=Meta("ana"))).version == 2
        with pytest.raises(DocumentNotFound):
            await peer.get("doc")
        with pytest.raises(VersionPruned):
            await peer.get("doc", version=1)
        assert b"SECRET" not in await everything(house)
        assert (await peer.ask(m.List, "**")).names == ("other",)
        assert (await peer.ask(m.List, "**", deleted=True)).names == ("doc", "other")
        assert (await peer.create("doc", {"fresh": 1})).version == 3
        await peer.ask(m.Label, "doc", 3, ("clean",))
        assert (await peer.get("doc", tag="clean")).version == 3


async def test_what_was_erased_stays_so_after_a_restart_and_a_repeat_is_known(open_house: OpenHouse) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("doc", {"name": "SECRET", "n": 1})
            first = await peer.ask(m.Erase, "doc", ("name",))
        async with house.running():
            peer = house.peer()
            again = await peer.ask(m.Erase, "doc", ("name",), id=first.id, repeat=True)
            assert (again.version, again.repeat) == (2, True)
            assert msgspec.msgpack.decode((await peer.get("doc", version=1)).value) == {"n": 1}


async def everything(house: Any) -> bytes:
    """All bytes that the stores hold."""
    journal = await house.journal.read((await house.journal.end()).oldest, bytes_max=1 << 30)
    rows = await house.archive.read(1, rows_max=1 << 20, bytes_max=1 << 30)
    stored = b"".join(batch.body for batch in journal) + msgspec.msgpack.encode(rows)
    for head in await house.archive.walk(None, limit=1_000):
        stored += msgspec.msgpack.encode(
            await house.archive.snapshots(head.document, head.branch, first=1, limit=1_000)
        )
    return stored
