"""Reads of the past through a partition: which version is meant, and what is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest

from palimpsest.actors.archiver import Archiver
from palimpsest.errors import (
    Compacted,
    Conflict,
    DocumentNotFound,
    InvalidName,
    InvalidRequest,
    VersionNotFound,
    VersionPruned,
    from_wire,
)
from palimpsest.protocol import messages as m
from palimpsest.words import MAIN, RECORD, Kind, Meta

pytestmark = pytest.mark.anyio

OpenHouse = Callable[..., AbstractAsyncContextManager[Any]]
ARCHIVED = pytest.mark.parametrize("archived", [False, True], ids=["in the tail", "archived"])


@asynccontextmanager
async def versions(open_house: OpenHouse, archived: bool, count: int = 9) -> AsyncIterator[tuple[Any, Any]]:
    """Versions 1 .. count of "doc", each made 10 microseconds after the one before it, from 1,000,010 on; n is the version."""
    async with open_house() as house, house.running(inline_archiver=archived):
        peer = house.peer()
        house.now = 1_000_010
        await peer.create("doc", {"n": 1})
        for version in range(2, count + 1):
            house.now += 10
            await peer.set("doc", ["n"], version, meta=Meta("ana" if version % 2 else "bo", None, (f"t{version % 3}",)))
        if archived:
            await house.archived()
        yield house, peer


def value(document: m.Document) -> Any:
    return msgspec.msgpack.decode(document.value)


@ARCHIVED
async def test_a_version_is_read_by_number_time_and_tag(open_house: OpenHouse, archived: bool) -> None:
    async with versions(open_house, archived) as (_, peer):
        for version in range(1, 10):
            at = 1_000_000 + 10 * version
            assert value(await peer.get("doc", version=version)) == {"n": version}
            assert (await peer.get("doc", at=at)).version == version
            assert (await peer.get("doc", at=at + 9)).version == version
        assert (await peer.get("doc", at=2**60)).version == 9
        assert (await peer.get("doc", tag="t1")).version == 7
        with pytest.raises(VersionNotFound) as caught:
            await peer.get("doc", at=1_000_009)
        assert (caught.value.version, caught.value.newest) == (None, 9)
        with pytest.raises(VersionNotFound, match="no version with the tag 'none'"):
            await peer.get("doc", tag="none")
        with pytest.raises(InvalidRequest):
            await peer.get("doc", tag="t1", version=1)


@ARCHIVED
async def test_a_deleted_document_is_read_as_of_before_and_not_after(open_house: OpenHouse, archived: bool) -> None:
    async with versions(open_house, archived, 2) as (house, peer):
        house.now = 1_000_100
        await peer.ask(m.Delete, "doc")
        house.now = 1_000_200
        await peer.create("doc", {"n": "again"})
        if archived:
            await house.archived()
        assert value(await peer.get("doc", at=1_000_099)) == {"n": 2}
        with pytest.raises(DocumentNotFound):
            await peer.get("doc", at=1_000_150)
        with pytest.raises(DocumentNotFound):
            await peer.get("doc", version=3)
        assert value(await peer.get("doc", at=1_000_200)) == {"n": "again"}


@ARCHIVED
async def test_a_clock_that_steps_back_does_not_change_what_was_when(open_house: OpenHouse, archived: bool) -> None:
    async with versions(open_house, archived, 3) as (house, peer):
        house.now = 5
        await peer.set("doc", ["n"], 4)
        if archived:
            await house.archived()
        assert (await peer.get("doc", version=4)).at == 1_000_030
        assert (await peer.get("doc", at=1_000_030)).version == 4
        assert (await peer.get("doc", at=1_000_029)).version == 2


@ARCHIVED
async def test_a_history_is_filtered(open_house: OpenHouse, archived: bool) -> None:
    async with versions(open_house, archived) as (_, peer):

        async def found(**conditions: Any) -> list[int]:
            answer = await peer.ask(m.History, "doc", newest_first=False, **conditions)
            assert (answer.newest, answer.oldest, answer.more) == (9, 1, False)
            return [entry.version for entry in answer.entries]

        assert await found() == list(range(1, 10))
        assert await found(by="ana") == [3, 5, 7, 9]
        assert await found(tags=("t1", "t2")) == [2, 4, 5, 7, 8]
        assert await found(tags_all=("t1", "t2")) == []
        assert await found(since=1_000_030, until=1_000_059) == [3, 4, 5]
        assert await found(since=1_000_031) == [4, 5, 6, 7, 8, 9]
        assert await found(until=1_000_000) == []
        assert await found(path=("n",), first=8) == [8, 9]
        assert await found(path=("other",)) == [1]  # a create touches everything
        assert await found(by="bo", tags=("t0",), last=8) == [6]


async def test_a_filtered_history_goes_on_from_page_to_page(open_house: OpenHouse) -> None:
    async with versions(open_house, True) as (_, peer):
        for newest_first in (True, False):
            seen: list[int] = []
            bounds: dict[str, int] = {}
            while True:
                page = await peer.ask(m.History, "doc", by="ana", newest_first=newest_first, limit=1, **bounds)
                seen += [entry.version for entry in page.entries]
                if not page.more:
                    break
                bounds = {"last" if newest_first else "first": page.next}
            assert seen == ([9, 7, 5, 3] if newest_first else [3, 5, 7, 9])


@ARCHIVED
async def test_tags_are_given_and_lost_afterwards(open_house: OpenHouse, archived: bool) -> None:
    async with versions(open_house, archived) as (house, peer):
        await peer.ask(m.Label, "doc", 4, ("released",), meta=Meta("ana"))
        await peer.ask(m.Label, "doc", 9, (), ("t0",))
        if archived:
            await house.archived()
        assert (await peer.get("doc", tag="released")).version == 4
        assert (await peer.get("doc", version=4)).meta.tags == ("released", "t1")
        assert (await peer.get("doc")).meta.tags == ()
        assert (await peer.get("doc", tag="t0")).version == 6
        page = await peer.ask(m.History, "doc", tags=("released",))
        assert [(entry.version, entry.meta.tags) for entry in page.entries] == [(4, ("released", "t1"))]
        await peer.ask(m.Label, "doc", 4, (), ("released",))
        with pytest.raises(VersionNotFound):
            await peer.get("doc", tag="released")
        record = await peer.ask(m.History, "doc", RECORD)
        assert [entry.meta and entry.meta.by for entry in record.entries] == [None, None, "ana"]


async def test_tags_are_there_after_a_restart_and_a_repeat_is_known(open_house: OpenHouse) -> None:
    async with open_house() as house:
        peer = house.peer()
        async with house.running(inline_archiver=False):
            await peer.create("doc", {})
            first = await peer.ask(m.Label, "doc", 1, ("kept",))
        async with house.running(inline_archiver=False):
            assert (await house.peer("other").get("doc")).meta.tags == ("kept",)
            twin = house.peer()
            answer = await twin.ask(m.Label, "doc", 1, ("kept",), id=first.id, repeat=True)
            assert (answer.version, answer.repeat) == (1, True)


async def test_a_label_needs_its_version(open_house: OpenHouse) -> None:
    async with versions(open_house, True) as (_, peer):
        for version in (0, 10, -1):
            with pytest.raises(VersionNotFound):
                await peer.ask(m.Label, "doc", version, ("x",))
        with pytest.raises(DocumentNotFound):
            await peer.ask(m.Label, "nowhere", 1, ("x",))
        with pytest.raises(InvalidRequest):
            await peer.ask(m.Label, "doc", 1, ("x",), ("x",))
        with pytest.raises(InvalidRequest):
            await peer.ask(m.Label, "doc", 1, ("",))


async def test_the_record_is_written_by_the_server_alone(open_house: OpenHouse) -> None:
    async with versions(open_house, True) as (_, peer):
        with pytest.raises(InvalidName, match="server alone"):
            await peer.set("doc", ["x"], 1, branch=RECORD)
        with pytest.raises(InvalidName):
            await peer.create("doc", {}, branch=RECORD)
        await peer.ask(m.Label, "doc", 1, ("x",))
        for kind, arguments in ((m.Erase, (("main",),)), (m.Revert, (m.Place(RECORD, 1),)), (m.Undo, (1,))):
            with pytest.raises(InvalidName):
                await peer.ask(kind, "doc", *arguments, branch=RECORD)
        with pytest.raises(InvalidName):
            await peer.ask(m.Transact, (m.Part(int(Kind.DELETE), "doc", msgspec.Raw(b"\xc0"), RECORD),))


# --- imports ---------------------------------------------------------------------------------------------------------


def entry(version: int, kind: Kind, delta: object, at: int, **options: Any) -> m.Entry:
    return m.Entry(version, int(kind), at, msgspec.Raw(msgspec.msgpack.encode(delta)), **options)


@ARCHIVED
async def test_versions_are_taken_over_as_they_were(open_house: OpenHouse, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        peer = house.peer()
        entries = (
            entry(1, Kind.CREATE, [[0, [], {"n": 1}]], 11, meta=Meta("ana", None, ("old",)), request="job:1"),
            entry(2, Kind.UPDATE, [[0, ["n"], 2]], 12),
            entry(7, Kind.UPDATE, [[0, [], {"n": 7}]], 17),
            entry(8, Kind.UPDATE, [[3, ["n"], 1]], 18),
        )
        assert await peer.ask(m.Import, "doc", entries[:3]) == m.Imported(1, 7, 3)
        assert await peer.ask(m.Import, "doc", entries) == m.Imported(2, 8, 1)
        assert await peer.ask(m.Import, "doc", entries) == m.Imported(3, 8, 0)
        if archived:
            await house.archived()
        assert [value(await peer.get("doc", version=version)) for version in (1, 2, 7, 8)] == [
            {"n": 1},
            {"n": 2},
            {"n": 7},
            {"n": 8},
        ]
        with pytest.raises(VersionPruned):
            await peer.get("doc", version=3)
        assert (await peer.get("doc", at=17)).version == 7
        page = await peer.ask(m.History, "doc", newest_first=False)
        assert [(one.version, one.at) for one in page.entries] == [(1, 11), (2, 12), (7, 17), (8, 18)]
        assert page.entries[0].request == "job:1"
        back = await peer.ask(m.History, "doc")
        assert [one.version for one in back.entries] == [8, 7, 2, 1]
        assert (await peer.set("doc", ["n"], 9)).version == 9


async def test_what_cannot_come_next_is_refused(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        with pytest.raises(InvalidRequest, match="does not set the whole value"):
            await peer.ask(m.Import, "doc", (entry(1, Kind.UPDATE, [[0, ["n"], 1]], 5),))
        await peer.ask(m.Import, "doc", (entry(1, Kind.CREATE, [[0, [], {}]], 5),))
        with pytest.raises(InvalidRequest, match="before the version before it"):
            await peer.ask(m.Import, "doc", (entry(2, Kind.UPDATE, [[0, ["n"], 1]], 4),))
        with pytest.raises(InvalidRequest, match="does not set the whole value"):
            await peer.ask(m.Import, "doc", (entry(3, Kind.UPDATE, [[0, ["n"], 1]], 6),))
        with pytest.raises(Conflict):
            await peer.ask(m.Import, "doc", (entry(1, Kind.CREATE, [[0, [], {}]], 7),))
        with pytest.raises(InvalidRequest, match="no kind"):
            await peer.ask(m.Import, "doc", (m.Entry(2, 77, 9, msgspec.Raw(b"\x90")),))


async def test_a_transaction_may_have_happened_earlier(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        house.now = 1_000
        part = m.Part(int(Kind.CREATE), "doc", msgspec.Raw(msgspec.msgpack.encode({})))
        assert (await peer.ask(m.Transact, (part,), at=77)).at == 77
        change = m.Part(int(Kind.UPDATE), "doc", msgspec.Raw(msgspec.msgpack.encode([[0, ["a"], 1]])))
        assert (await peer.ask(m.Transact, (change,), at=5)).at == 77
        assert (await peer.ask(m.Transact, (change,), at=5_000)).at == 1_000
        with pytest.raises(InvalidRequest):
            await peer.ask(m.Transact, (change,), at=-1)


# --- what is remembered ----------------------------------------------------------------------------------------------


async def test_a_value_that_was_read_before_an_erasure_was_archived_is_not_remembered(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running(inline_archiver=False):
        peer, partition = house.peer(), house.partition
        await peer.create("doc", {"secret": 1, "n": 1})
        await peer.set("doc", ["n"], 2)
        erasure = peer.send(m.Erase, "doc", ("secret",))
        while partition.tail.end < 4:
            await asyncio.sleep(0)
        assert "secret" in await partition.reader.value_at("doc", (MAIN, 1))
        tail = partition.tail
        partition.archived(await Archiver(house.archive).write(tail.batches(tail.start, bytes_max=1 << 20)))
        await peer.answer(erasure)
        assert "secret" not in await partition.reader.value_at("doc", (MAIN, 1))


# --- subscriptions over what is pruned --------------------------------------------------------------------------------


async def test_a_cursor_before_what_is_pruned_is_compacted(open_house: OpenHouse) -> None:
    async with versions(open_house, True) as (house, peer):
        await peer.create("other", {})
        await peer.ask(m.Prune, "doc", MAIN, m.Retain(versions=2, tags=()), False)
        await peer.ask(m.Subscribe, 1, "doc", resume_after=f"1{house.journal.epoch}.0")
        await peer.ask(m.Subscribe, 2, "other", resume_after=f"1{house.journal.epoch}.0")
        while not any(isinstance(told, m.Change) for told in peer.told):
            await asyncio.sleep(0)
        ended = [told for told in peer.told if isinstance(told, m.Ended)]
        assert [told.subscription for told in ended] == [1]
        error = from_wire(ended[0].code, ended[0].message, ended[0].data)
        assert isinstance(error, Compacted)
        peer.told.clear()
        await peer.ask(m.Subscribe, 3, "doc", resume_after=error.oldest)
        while not any(isinstance(told, m.Marker) for told in peer.told):
            await asyncio.sleep(0)
        assert [told.version for told in peer.told if isinstance(told, m.Change)] == [8, 9]
