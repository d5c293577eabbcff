"""Values of the past: which are remembered, and how the tail, the archive and another branch come together."""

from __future__ import annotations

from typing import Any

import pytest
from branch_kit import nodes, update, value

from palimpsest.actors import building
from palimpsest.actors.building import Values
from palimpsest.actors.stream import Stream
from palimpsest.errors import VersionPruned
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.state import freeze, thaw
from palimpsest.state.tree import NOTHING
from palimpsest.state.working import Working

pytestmark = pytest.mark.anyio


def stream(value: Any, size: int = 10) -> Stream:
    found = Stream("d", "main", Limits())
    if value is not NOTHING:
        found.working, found.exists, found.bytes_bound = Working(freeze(value)), True, size
    return found


async def test_values_are_remembered_by_document_and_version() -> None:
    values = Values()
    assert values.get("d", ("main", 1)) is None
    first = values.put("d", ("main", 1), stream({"a": 1}))
    assert values.get("d", ("main", 1)) is first
    assert values.put("d", ("x", 1), stream(NOTHING)) is values.get("d", ("x", 1)) is NOTHING
    values.put("e", ("main", 1), stream({"b": 1}))
    values.forget("d")
    assert [values.get("d", ("main", 1)), values.get("d", ("x", 1))] == [None, None]
    assert thaw(values.get("e", ("main", 1))) == {"b": 1}


async def test_those_that_were_not_asked_for_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    size = stream({}, 1_000).estimated_bytes()
    monkeypatch.setattr(building, "_VALUES_BYTES_MAX", 3 * size)
    values = Values()
    for number in (1, 2, 3):
        values.put("d", ("main", number), stream({"n": number}, 1_000))
    values.get("d", ("main", 1))
    values.put("d", ("main", 1), stream({"n": 1}, 1_000))  # again: counted once
    values.put("d", ("main", 4), stream({"n": 4}, 1_000))
    assert [values.get("d", ("main", number)) is None for number in (1, 2, 3, 4)] == [False, True, False, False]
    values.put("d", ("main", 5), stream({"n": 5}, 1_000_000_000))
    assert values.get("d", ("main", 5)) is None  # what is too large by itself is not kept


@pytest.mark.parametrize("trim_keep_bytes", [0, 1 << 30])
async def test_a_version_is_the_same_wherever_its_past_is(open_house: Any, trim_keep_bytes: int) -> None:
    """Deep branches, read while everything is in the tail, while only the newest is, and from the archive alone."""
    expected: dict[tuple[str, int], Any] = {}
    async with open_house() as house:

        async def check(peer: Any) -> None:
            for (branch, version), found in expected.items():
                assert await value(peer, "d", branch, version) == found, (branch, version)

        async with house.running(inline_archiver=False):
            peer = house.peer()
            await peer.create("d", {"main": 0})
            expected["main", 1] = {"main": 0}
            base = "main"
            for name in ("x", "y", "z"):
                await peer.ask(m.Branch, "d", name, m.Place(base))
                for number in range(3):
                    version = (await update(peer, "d", name, **{name: number})).version
                    expected[name, version] = await value(peer, "d", name)
                base = name
            assert expected["z", 10] == {"main": 0, "x": 2, "y": 2, "z": 2}
            await check(peer)
        async with house.running(trim_keep_bytes=trim_keep_bytes):
            await house.archived()
            peer = house.peer()
            await check(peer)
            for name in ("x", "z"):
                version = (await update(peer, "d", name, more=1)).version
                expected[name, version] = expected[name, version - 1] | {"more": 1}
            await check(peer)
        async with house.running():
            await check(house.peer())


async def test_where_the_beginning_of_a_branch_is_only_in_the_tail(open_house: Any) -> None:
    """The version that it starts from is archived, and pruned once nothing needs it."""
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("d", {"n": 0})
            for number in (1, 2, 3):
                await update(peer, "d", n=number)
            await house.archived()
        async with house.running(inline_archiver=False):
            peer = house.peer()
            await peer.ask(m.Branch, "d", "x", m.Place(version=2))
            await update(peer, "d", "x", x=1)
            await peer.ask(m.DeleteBranch, "d", "x")
            assert await value(peer, "d", "x", version=3) == {"n": 1, "x": 1}
        async with house.running():
            peer = house.peer()
            await peer.ask(m.Prune, "d", "main", m.Retain(versions=1), dry_run=False)
            await house.partition.settled()
            assert await nodes(peer, "d", "main") == [("main", 4)]
            assert await value(peer, "d", "x", version=3) == {"n": 1, "x": 1}  # its own past is all that it needs
            with pytest.raises(VersionPruned):
                await value(peer, "d", version=2)
