from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from palimpsest.client import Client
from palimpsest.embedded import Server
from palimpsest.errors import DocumentNotFound, InvalidName, InvalidRequest, InvalidValue, SchemaViolation

pytestmark = pytest.mark.anyio


class Note(msgspec.Struct):
    title: str
    stars: int = 0


NOTE = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}


@pytest.fixture
async def client(anyio_backend: object) -> AsyncIterator[Client]:
    async with Server.memory() as server, server.connect(page_items=2) as connected:
        yield connected


async def make_notes(client: Client) -> None:
    """Five, of which two are no notes."""
    for number in range(5):
        await client.create(f"notes/{number}", {"title": number if number % 2 else "A"})
    await client.create("other", 5)


async def test_schemas_come_and_go(client: Client) -> None:
    made = await client.schemas.put("note", documents="notes/*", schema=NOTE, by="ana", description="first")
    assert (made.document, made.by) == ("$system/schemas/note", "ana")
    await client.schemas.put("all", documents="**", schema={})
    found = await client.schemas.get("note")
    assert (found.name, found.documents, found.schema) == ("note", "notes/*", NOTE)
    assert [schema.name async for schema in client.schemas.list()] == ["all", "note"]
    assert (await client.schemas.put("all", documents="notes/*", schema={})).version == 2
    await client.schemas.delete("all")
    assert [schema.name async for schema in client.schemas.list()] == ["note"]
    for gone in (client.schemas.get, client.schemas.delete, client.schemas.check):
        with pytest.raises(DocumentNotFound):
            await gone("all")


async def test_what_breaks_one_is_refused(client: Client) -> None:
    await client.schemas.put("note", documents="notes/*", schema=Note)
    await client.create("notes/1", {"title": "A"})
    await client.update("notes/1", {"stars": 1})
    calls: list[Any] = [
        lambda: client.update("notes/1", {"stars": "x"}),
        lambda: client.create("notes/2", {"stars": 1}),
        lambda: client.transaction({"other": {"a": 1}, "notes/1": {"title": 5}}),
    ]
    await client.create("other", {})
    for call in calls:
        with pytest.raises(SchemaViolation) as caught:
            await call()
        assert caught.value.schema == "note"
    assert (await client.get("notes/1")).value == {"title": "A", "stars": 1}
    assert (await client.get("other")).value == {}
    await client.delete("notes/1")
    await client.schemas.delete("note")
    await client.create("notes/2", 5)


async def test_which_documents_would_fail(client: Client) -> None:
    await make_notes(client)
    told: list[tuple[int, int]] = []
    found = await client.schemas.check(
        documents="notes/*", schema=NOTE, on_progress=lambda done, total: told.append((done, total))
    )
    assert [(each.document, each.path, each.rule) for each in found] == [
        ("notes/1", "title", "properties.title.type"),
        ("notes/3", "title", "properties.title.type"),
    ]
    assert told == [(2, 0), (4, 0), (5, 0)]
    assert await client.schemas.check(documents="other", schema={"type": "integer"}) == []


async def test_one_that_is_broken_is_not_put_unless_it_is_meant(client: Client) -> None:
    await make_notes(client)
    with pytest.raises(SchemaViolation) as caught:
        await client.schemas.put("note", documents="notes/*", schema=Note)
    assert (caught.value.document, caught.value.schema) == ("notes/1", "note")
    assert [schema async for schema in client.schemas.list()] == []
    await client.schemas.put("note", documents="notes/*", schema=Note, check=False)
    assert [each.document for each in await client.schemas.check("note")] == ["notes/1", "notes/3"]
    await client.update("notes/1", {"title": "now it is one"})
    assert [each.document for each in await client.schemas.check("note")] == ["notes/3"]


async def test_another_branch_is_checked_where_it_is_named(client: Client) -> None:
    await client.create("notes/1", {"title": "A"})
    await client.branch("notes/1", "draft")
    await client.update("notes/1", {"title": 5}, branch="draft")
    assert await client.schemas.check(documents="notes/*", schema=NOTE) == []
    assert len(await client.schemas.check(documents="notes/*", schema=NOTE, branch="draft")) == 1


@pytest.mark.parametrize(
    ("name", "documents", "schema", "error"),
    [
        ("a/b", "**", {}, InvalidName),
        ("a", "a*", {}, InvalidValue),
        ("a", "**", {"type": "thing"}, InvalidValue),
        ("a", "**", True, InvalidRequest),
        ("a", "**", object, InvalidRequest),
    ],
)
async def test_what_makes_no_sense_is_not_sent(
    client: Client, name: str, documents: Any, schema: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await client.schemas.put(name, documents=documents, schema=schema)
    assert [each async for each in client.list("$system/**", deleted=True)] == []


@pytest.mark.parametrize(
    "which", [{}, {"documents": "**"}, {"schema": {}}, {"name": "a", "documents": "**", "schema": {}}]
)
async def test_a_check_is_of_one_schema(client: Client, which: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await client.schemas.check(**which)


def test_blocking(palimpsest_sync_client: Any) -> None:
    client = palimpsest_sync_client
    client.schemas.put("note", documents="notes/*", schema=Note)
    with pytest.raises(SchemaViolation):
        client.create("notes/1", {})
    assert client.schemas.check("note") == []
    assert [schema.name for schema in client.schemas.list()] == ["note"]
    assert client.schemas.get("note").documents == "notes/*"
    client.schemas.delete("note")
    client.create("notes/1", {})
