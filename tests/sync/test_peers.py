from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.client import Client
from palimpsest.state.reconciliation import Row
from palimpsest.sync import PeerSource, Source

pytestmark = pytest.mark.anyio

ONE, MANY = Source(documents="inv"), Source(documents="inv/**")


@pytest.fixture
async def peer(anyio_backend: object) -> AsyncIterator[Client]:
    async with pal.Server.memory() as server, server.connect() as connected:
        yield connected


def row(action: Any, name: str, before: Any = None, after: Any = None, *, many: bool = False) -> Row:
    path, document = ((), f"inv/m/{name}") if many else (("m", name), "inv")
    sides = {key: side for key, side in (("before", before), ("after", after)) if side is not None}
    return Row(document=document, path=path, model="m", id=name, direction="out", action=action, **sides)


async def test_one_document(peer: Client) -> None:
    source = PeerSource(peer, ONE, documents="theirs", by="us")
    assert await source.snapshot() == {}
    assert await source.apply([row("create", "a", after={"x": 1}), row("create", "b", after={"x": 2})]) == [None, None]
    assert await source.snapshot() == {"m": {"a": {"x": 1}, "b": {"x": 2}}}
    await peer.update("theirs", {"m.a.new": True})
    assert await source.apply([row("update", "a", {"x": 1}, {"x": 5}), row("delete", "b")]) == [None, None]
    assert await source.snapshot() == {"m": {"a": {"x": 5, "new": True}}}
    assert (await peer.get("theirs")).by == "us"


async def test_where_one_of_them_fails_the_others_are_made(peer: Client) -> None:
    await peer.create("inv", {"m": {"a": 5}})
    failures = await PeerSource(peer, ONE).apply(
        [row("update", "a", {"x": [1]}, {"x": [1, 2]}), row("create", "b", after=1)]
    )
    assert failures[0] is not None
    assert failures[1] is None
    assert (await peer.get("inv")).value == {"m": {"a": 5, "b": 1}}


async def test_a_document_for_each_object(peer: Client) -> None:
    source = PeerSource(peer, MANY, documents="there/**")
    made = await source.apply([row("create", "a", after={"x": 1}, many=True), row("create", "b", after=2, many=True)])
    assert made == [None, None]
    assert await source.snapshot() == {"inv/m/a": {"x": 1}, "inv/m/b": 2}
    changes = [
        row("update", "a", {"x": 1}, {"x": 2}, many=True),
        row("delete", "b", 2, many=True),
        row("create", "a", after=1, many=True),
    ]
    failures = await source.apply(changes)
    assert failures[:2] == [None, None]
    assert failures[2] is not None
    assert [name async for name in peer.list()] == ["there/m/a"]
    assert await source.snapshot() == {"inv/m/a": {"x": 2}}
