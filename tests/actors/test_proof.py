"""Proof on memory stores: what is sound is found so, and what was tampered with is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from palimpsest.actors.chain import committed, digest_at
from palimpsest.actors.proof import Verdict, verify
from palimpsest.protocol import messages as m
from palimpsest.storage.events import check_bytes
from palimpsest.words import MAIN

pytestmark = pytest.mark.anyio

OpenHouse = Callable[..., AbstractAsyncContextManager[Any]]
DOC = ("doc", MAIN)


@asynccontextmanager
async def archived(open_house: OpenHouse, versions: int = 20) -> AsyncIterator[tuple[Any, Any]]:
    """Versions of "doc", archived; what the test breaks is put right again before the house is checked."""
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("doc", {"n": 1, "name": "x"})
        for version in range(2, versions + 1):
            house.now += 1_000_000
            await peer.set("doc", ["n"], version)
        await house.archived()
        kept = list(house.archive._streams[DOC])
        snapshots, heads = dict(house.archive._snapshots[DOC]), dict(house.archive._heads)
        yield house, peer
        if len(house.archive._streams[DOC]) == len(kept):
            house.archive._streams[DOC][:] = kept
            house.archive._snapshots[DOC], house.archive._heads = snapshots, heads


async def verdict(house: Any, **options: Any) -> Verdict:
    return await verify(house.archive, house.journal, **options)


async def test_what_is_sound_has_no_faults(open_house: OpenHouse) -> None:
    async with archived(open_house) as (house, peer):
        await peer.create("other", {})
        await peer.ask(m.Label, "doc", 3, ("kept",))
        await house.archived()
        found = await verdict(house)
        assert (found.streams, found.events, found.faults) == (3, 22, [])
        assert found.batches == 22
        await peer.ask(m.Erase, "doc", ("name",))
        await peer.ask(m.Prune, "doc", MAIN, m.Retain(versions=5), False)
        found = await verdict(house)
        assert found.faults == []


async def test_the_first_event_that_is_broken_is_named(open_house: OpenHouse) -> None:
    async with archived(open_house) as (house, _):
        rows = house.archive._streams[DOC]
        for index in (0, 7, 19):
            row = rows[index]
            for change in (
                {"delta": Raw(b"\x90")},
                {"kind": 2},
                {"at": row.event.at + 1},
                {"origin": "someone else"},
                {"request": 999},
                {"key": "k"},
                {"more": 1},
            ):
                rows[index] = msgspec.structs.replace(row, event=msgspec.structs.replace(row.event, **change))
                (fault,) = (await verdict(house)).faults[:1]
                assert (fault.document, fault.version, fault.position) == ("doc", index + 1, row.position), change
            for change in ({"salt": bytes(16)}, {"check": bytes(8)}, {"committed": bytes(32)}):
                rows[index] = msgspec.structs.replace(row, **change)
                assert (await verdict(house)).faults[0].version == index + 1, change
            rows[index] = row


async def test_a_version_that_is_missing_is_named(open_house: OpenHouse) -> None:
    async with archived(open_house) as (house, _):
        rows = house.archive._streams[DOC]
        row = rows.pop(4)
        (fault,) = (await verdict(house)).faults[:1]
        assert (fault.version, "missing" in fault.what) == (5, True)
        rows.insert(4, row)
        assert (await verdict(house)).faults == []


async def test_an_event_that_is_passed_off_as_erased_from_is_found(open_house: OpenHouse) -> None:
    async with archived(open_house) as (house, _):
        rows = house.archive._streams[DOC]
        row = rows[6]
        digest = await digest_at(house.archive, *DOC, 7)
        assert digest is not None
        forged = msgspec.structs.replace(row.event, delta=Raw(msgspec.msgpack.encode([[0, ["n"], 666]])))
        rows[6] = msgspec.structs.replace(
            row, event=forged, salt=b"", check=check_bytes(digest, forged), committed=committed(row)
        )
        (fault,) = (await verdict(house, values=False)).faults
        assert (fault.version, "no erasure" in fault.what) == (7, True)


async def test_a_snapshot_that_is_not_what_the_deltas_make_is_named(open_house: OpenHouse) -> None:
    async with archived(open_house) as (house, _):
        snapshots = house.archive._snapshots[DOC]
        version = sorted(snapshots)[1]
        sound = snapshots[version]
        for change in ({"value": msgspec.msgpack.encode({"n": 0})}, {"digest": bytes(32)}):
            snapshots[version] = msgspec.structs.replace(sound, **change)
            (fault,) = (await verdict(house)).faults
            assert (fault.version, "snapshot" in fault.what) == (version, True)
        snapshots[version] = sound


async def test_a_head_that_says_something_else_is_named(open_house: OpenHouse) -> None:
    async with archived(open_house) as (house, _):
        head = house.archive._heads[DOC]
        for change in ({"digest": bytes(32)}, {"version": 21}, {"kind": 2}, {"at": 0}, {"position": 77}):
            house.archive._heads[DOC] = msgspec.structs.replace(head, **change)
            assert (await verdict(house)).faults, change
        house.archive._heads[DOC] = head


async def test_digests_that_were_kept_elsewhere(open_house: OpenHouse) -> None:
    async with archived(open_house) as (house, peer):
        kept = [("doc", MAIN, v, (await peer.ask(m.Digest, "doc", m.Place(version=v))).digest) for v in (1, 9, 20)]
        found = await verdict(house, against=kept)
        assert (found.checked_against, found.faults) == (3, [])
        found = await verdict(house, against=[("doc", MAIN, 9, bytes(32))])
        assert [fault.version for fault in found.faults] == [9]
        found = await verdict(house, against=[("doc", MAIN, 21, bytes(32)), ("nowhere", MAIN, 1, bytes(32))])
        assert {(fault.document, fault.version) for fault in found.faults} == {("doc", 21), ("nowhere", 1)}
        await peer.ask(m.Prune, "doc", MAIN, m.Retain(versions=5), False)
        found = await verdict(house, against=kept)
        assert (found.checked_against, len(found.remarks), found.faults) == (1, 2, [])


async def test_what_only_the_journal_has_is_verified_too(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running(inline_archiver=False):
        peer = house.peer()
        await peer.create("doc", {})
        await peer.set("doc", ["n"], 2)
        digest = (await peer.ask(m.Digest, "doc")).digest
        found = await verdict(house, against=[("doc", MAIN, 2, digest)])
        assert (found.streams, found.events, found.checked_against, found.faults) == (1, 2, 1, [])
        found = await verdict(house, against=[("doc", MAIN, 2, bytes(32))])
        assert [fault.version for fault in found.faults] == [2]
