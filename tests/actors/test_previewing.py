"""Dry runs of what goes back: what would change is said, and nothing is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import palimpsest as pal
from palimpsest.errors import (
    DocumentNotFound,
    InvalidPerspective,
    PalimpsestError,
    SchemaViolation,
    UndoConflict,
    VersionConflict,
    VersionNotFound,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[pal.Client]:
    """With a document of three versions."""
    async with pal.Server.memory() as server, server.connect() as client:
        await client.create("d", {"title": "A", "n": 1})
        await client.update("d", {"title": "B"})
        await client.update("d", {"n": 2})
        yield client


async def made(client: pal.Client) -> int:
    return (await client.get("d")).version


async def test_what_would_change_is_what_then_changes(client: pal.Client) -> None:
    shown = await client.revert("d", 1, dry_run=True)
    assert await made(client) == 3
    await client.revert("d", 1)
    (done,) = [version.delta async for version in client.history("d", limit=1)]
    assert shown == done == pal.Delta().set("n", 1).set("title", "A")


async def test_an_undo_is_shown_and_not_done(client: pal.Client) -> None:
    assert await client.undo("d", 2, dry_run=True) == pal.Delta().set("title", "A")
    assert (await client.get("d")).value == {"title": "B", "n": 2}
    assert await made(client) == 3


async def test_it_fails_as_it_would(client: pal.Client) -> None:
    await client.update("d", {"title": "C"})
    with pytest.raises(UndoConflict) as caught:
        await client.undo("d", 2, dry_run=True)
    assert [conflict["path"] for conflict in caught.value.conflicts] == ["title"]
    with pytest.raises(VersionConflict):
        await client.revert("d", 1, expect=3, dry_run=True)
    with pytest.raises(VersionNotFound):
        await client.revert("d", 9, dry_run=True)
    with pytest.raises(DocumentNotFound):
        await client.undo("nothing", 1, dry_run=True)


async def test_a_document_that_would_go_has_no_delta_as_its_deletion_has_none(client: pal.Client) -> None:
    await client.create("e", 1)
    assert await client.undo("e", 1, dry_run=True) == pal.Delta()
    assert (await client.get("e")).value == 1
    await client.delete("e")
    assert await client.undo("e", 2, dry_run=True) == pal.Delta().set((), 1)
    assert await client.revert("e", 1, dry_run=True) == pal.Delta().set((), 1)
    with pytest.raises(DocumentNotFound):
        await client.get("e")


async def test_on_a_branch(client: pal.Client) -> None:
    await client.branch("d", "draft", at=2)
    assert await client.undo("d", 2, branch="draft", dry_run=True) == pal.Delta().set("title", "A")
    await client.update("d", {"title": "C"}, branch="draft")
    assert await client.revert("d", "main:3", branch="draft", dry_run=True) == pal.Delta().set("n", 2).set("title", "B")


async def test_a_branch_of_many_documents_is_not_made(client: pal.Client) -> None:
    await client.branch("*", "draft")
    before = [branch.name for branch in await client.branches("d")]
    shown = [
        await client.undo("d", 2, branch="draft", dry_run=True),
        await client.revert("d", 2, branch="draft", dry_run=True),
        await client.revert("d", "main:2", branch="draft", dry_run=True),
    ]
    assert shown == [pal.Delta().set("title", "A"), pal.Delta().set("n", 1), pal.Delta().set("n", 1)]
    assert [branch.name for branch in await client.branches("d")] == before
    assert (await client.revert("d", 1, branch="draft")).version == 4  # now it is


async def test_schemas_hold(client: pal.Client) -> None:
    schema = {"properties": {"title": {"enum": ["B", "C"]}}}
    await client.schemas.put("titles", documents="d", schema=schema)
    with pytest.raises(SchemaViolation):
        await client.revert("d", 1, dry_run=True)
    assert await client.revert("d", 2, dry_run=True) == pal.Delta().set("n", 1)


async def test_documents_of_the_servers_own_have_to_make_sense(client: pal.Client) -> None:
    def level(number: int) -> pal.Perspective:
        return pal.Perspective(name=f"l{number}", documents="d", include=("n",), family="f", level=number)

    await client.perspectives.put(level(1))
    await client.perspectives.put(pal.Perspective(name="l2", documents="d", include=("n",), extends="l1"))
    with pytest.raises(PalimpsestError) as caught:
        await client.undo("$system/perspectives/l1", 1, dry_run=True)
    with pytest.raises(type(caught.value)):
        await client.undo("$system/perspectives/l1", 1)
    assert isinstance(caught.value, InvalidPerspective)


async def test_what_waits_to_be_durable_is_not_shown_before_it_is(client: pal.Client) -> None:
    writes = [client.update("d", {"n": n}) for n in range(20)]
    *_, shown = await asyncio.gather(*writes, client.revert("d", 1, dry_run=True))
    assert await client.revert("d", 1, dry_run=True) == pal.Delta().set("n", 1).set("title", "A")
    assert shown.ops


def test_the_sync_face(palimpsest_sync_client: pal.SyncClient) -> None:
    client = palimpsest_sync_client
    client.create("d", {"n": 1})
    client.update("d", {"n": 2})
    assert client.undo("d", 2, dry_run=True) == client.revert("d", 1, dry_run=True) == pal.Delta().set("n", 1)
    assert client.undo("d", 2).version == 3
