from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from palimpsest.client import Client
from palimpsest.embedded import Server
from palimpsest.errors import DocumentNotFound, InvalidName, InvalidRequest, InvalidValue
from palimpsest.state.retention import Retention

pytestmark = pytest.mark.anyio

LOGS = Retention(documents="logs/**", versions=10, description="they are many")
NOTES = Retention(documents="notes/*", seconds=86_400.0, tags=("v*",))


@pytest.fixture
async def client(anyio_backend: object) -> AsyncIterator[Client]:
    async with Server.memory() as server, server.connect(page_items=1) as connected:
        yield connected


async def test_policies_come_and_go(client: Client) -> None:
    assert (await client.retention.put("notes", NOTES, by="ana", description="enough")).by == "ana"
    await client.retention.put("logs", LOGS)
    assert await client.retention.get("notes") == NOTES
    assert [each async for each in client.retention.list()] == [("logs", LOGS), ("notes", NOTES)]
    again = Retention(documents="logs/**", versions=20)
    assert (await client.retention.put("logs", again)).version == 2
    assert await client.retention.get("logs") == again
    await client.retention.delete("notes", by="bo")
    assert [name async for name, _ in client.retention.list()] == ["logs"]
    with pytest.raises(DocumentNotFound):
        await client.retention.get("notes")
    await client.retention.put("notes", NOTES)
    assert [made.by async for made in client.history("$system/retention/notes")] == [None, "bo", "ana"]


async def test_a_prune_by_the_policies(client: Client) -> None:
    for name in ("logs/1", "notes/1"):
        await client.create(name, {})
        for number in range(14):
            await client.update(name, {"n": number})
    assert (await client.prune()).events == 0
    await client.retention.put("logs", LOGS)
    report = await client.prune(dry_run=False)
    assert [(share.document, share.events) for share in report.largest] == [("logs/1", 5)]
    assert (await client.get("notes/1", version=1)).value == {}


@pytest.mark.parametrize("name", ["", "a/b", 5, None])
async def test_names_that_are_none(client: Client, name: Any) -> None:
    with pytest.raises(InvalidName):
        await client.retention.put(name, LOGS)


async def test_what_is_no_policy(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="a dict"):
        await client.retention.put("logs", {"documents": "**"})  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        await client.retention.put("logs", Retention(documents="**", versions=0))
