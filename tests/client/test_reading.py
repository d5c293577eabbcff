"""Documents through perspectives and as instances of types, against a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

import palimpsest as pal
from palimpsest.client import Client
from palimpsest.embedded import Server
from palimpsest.errors import (
    DocumentNotFound,
    InvalidRequest,
    InvalidValue,
    NotWritable,
    PerspectiveNotFound,
    VersionConflict,
)
from palimpsest.state.perspectives import Perspective

pytestmark = pytest.mark.anyio


class Note(msgspec.Struct):
    title: str
    stars: int = 0


PUBLIC = Perspective(name="public", documents="notes/*", include=("title", "stars"), writable=("title", "stars"))
SHORT = Perspective(name="short", documents="notes/*", family="note", level=1, include=("title",))
LONG = Perspective(name="long", documents="notes/*", family="note", level=2, include=("stars",))


@pytest.fixture
async def client(anyio_backend: object) -> AsyncIterator[Client]:
    async with Server.memory() as server, server.connect(page_items=2) as connected:
        for perspective in (PUBLIC, SHORT, LONG):
            await connected.perspectives.put(perspective)
        for number in range(1, 6):
            await connected.create(f"notes/{number}", {"title": f"N{number}", "stars": number, "secret": "deep"})
        await connected.create("other", {"title": "O"})
        yield connected


async def test_one(client: Client) -> None:
    assert (await client.get("notes/1", perspective="public")).value == {"title": "N1", "stars": 1}
    assert (await client.get("notes/1", family="note", level=1)).value == {"title": "N1"}
    assert (await client.get("notes/1", family="note", level=2)).value == {"title": "N1", "stars": 1}
    await client.update("notes/1", {"title": "B"})
    assert (await client.get("notes/1", version=1, perspective="public")).value == {"title": "N1", "stars": 1}
    with pytest.raises(DocumentNotFound):
        await client.get("other", perspective="public")
    with pytest.raises(PerspectiveNotFound):
        await client.get("notes/1", perspective="none")
    with pytest.raises(PerspectiveNotFound):
        await client.get("notes/1", family="note", level=3)


async def test_many(client: Client) -> None:
    found = await client.get_many(["notes/2", "other", "none", "notes/1"], perspective="public")
    assert [None if each is None else each.value for each in found] == [
        {"title": "N2", "stars": 2},
        None,
        None,
        {"title": "N1", "stars": 1},
    ]


async def test_names_and_values(client: Client) -> None:
    names = [name async for name in client.list(perspective="public")]
    assert names == [f"notes/{number}" for number in range(1, 6)]
    documents = [document async for document in client.list("notes/*", values=True, perspective="public")]
    assert [document.id for document in documents] == names
    assert documents[-1].value == {"title": "N5", "stars": 5}
    whole = [document.value async for document in client.list(values=True)]
    assert whole[-1] == {"title": "O"}
    assert len(whole) == 6
    with pytest.raises(InvalidRequest, match="no value"):
        client.list(values=True, deleted=True)


async def test_a_part_of_the_names(client: Client) -> None:
    names = [name async for name in client.list()]
    assert [name async for name in client.list(after=names[0])] == names[1:]
    assert [name async for name in client.list(limit=1)] == names[:1]
    assert [document.id async for document in client.list(limit=1, values=True)] == names[:1]
    with pytest.raises(InvalidRequest, match="negative"):
        client.list(limit=-1)
    with pytest.raises(InvalidRequest):
        client.list(after=1)  # type: ignore[call-overload]


async def test_instances_of_types(client: Client) -> None:
    found = await client.get("notes/1", as_=Note)
    assert found.value == Note("N1", 1)
    assert found.copy_value() == {"title": "N1", "stars": 1, "secret": "deep"}
    assert (await client.get("notes/1", family="note", level=1, as_=Note)).value == Note("N1")
    many = await client.get_many(["notes/2", "none"], perspective="public", as_=Note)
    assert [None if each is None else each.value for each in many] == [Note("N2", 2), None]
    await client.update("notes/1", {"stars": "many"})
    with pytest.raises(InvalidValue) as caught:
        await client.get("notes/1", as_=Note)
    assert caught.value.path == "stars"
    with pytest.raises(InvalidRequest):
        await client.get("notes/1", as_="Note")  # type: ignore[call-overload]


async def test_writing_through_a_perspective(client: Client) -> None:
    await client.update("notes/1", {"title": "B"}, expect=1, perspective="public")
    async with client.edit("notes/1", perspective="public") as draft:
        assert dict(draft) == {"title": "B", "stars": 1}
        draft["stars"] = 7
    made = await client.transaction(
        {"notes/1": {"stars": pal.Increment(1)}, "notes/2": {"title": "C"}}, perspective="public"
    )
    assert {name: version.version for name, version in made.items()} == {"notes/1": 4, "notes/2": 2}
    assert (await client.get("notes/1")).value == {"title": "B", "stars": 8, "secret": "deep"}
    with pytest.raises(VersionConflict):
        await client.update("notes/1", {"title": "D"}, expect=1, perspective="public")
    for path in ("secret", "none"):
        with pytest.raises(NotWritable) as caught:
            await client.update("notes/1", {path: 1}, perspective="public")
        assert caught.value.path == path


async def test_the_past_through_a_perspective(client: Client) -> None:
    await client.update("notes/1", {"secret": "deeper"})
    await client.update("notes/1", {"title": "B", "secret": "deepest"})
    history = [version async for version in client.history("notes/1", perspective="public", newest_first=False)]
    assert [version.version for version in history if version.delta] == [1, 3]
    assert "deep" not in repr([version.delta for version in history])
    assert await client.diff("notes/1", 1, 3, perspective="public") == pal.Delta().set("title", "B")
    blamed = await client.blame("notes/1", family="note", level=1)
    assert {path: version.version for path, version in blamed.items()} == {"title": 3}


@pytest.mark.parametrize(
    "call",
    [
        lambda client, **view: client.get("notes/1", **view),
        lambda client, **view: client.get_many(["notes/1"], **view),
        lambda client, **view: client.list(**view),
        lambda client, **view: client.history("notes/1", **view),
        lambda client, **view: client.diff("notes/1", 1, 1, **view),
        lambda client, **view: client.blame("notes/1", **view),
        lambda client, **view: client.create("notes/9", {}, **view),
        lambda client, **view: client.update("notes/1", {"a": 1}, **view),
        lambda client, **view: client.delete("notes/1", **view),
        lambda client, **view: client.transaction({"notes/1": {"a": 1}}, **view),
        lambda client, **view: client.edit("notes/1", **view),
        lambda client, **view: client.subscribe("notes/1", **view),
        lambda client, **view: client.watch_value("notes/1", **view),
        lambda client, **view: client.on("notes/1", **view),
    ],
    ids=[
        "get",
        "get_many",
        "list",
        "history",
        "diff",
        "blame",
        "create",
        "update",
        "delete",
        "transaction",
        "edit",
        "subscribe",
        "watch_value",
        "on",
    ],
)
async def test_every_word_refuses_what_does_not_go_together(client: Client, call: Any) -> None:
    for view in ({"perspective": "public", "family": "note"}, {"family": "note"}, {"level": 1}):
        with pytest.raises(InvalidRequest):
            await asked(call, client, view)


async def asked(call: Any, client: Client, view: dict[str, Any]) -> None:
    """Some words check what they are given when they are called, others when they are awaited."""
    answer = call(client, **view)
    if hasattr(answer, "__await__"):
        await answer
