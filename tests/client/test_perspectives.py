from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from palimpsest.client import Client
from palimpsest.embedded import Server
from palimpsest.errors import InvalidName, InvalidPerspective, InvalidRequest, PerspectiveNotFound
from palimpsest.state.perspectives import Mask, Perspective

pytestmark = pytest.mark.anyio

PUBLIC = Perspective(
    name="public",
    documents=("notes/*", "logs/**"),
    include=("title", "author"),
    exclude=("author.email",),
    rename={"author": "by"},
    mask={"title": Mask(kind="last", characters=2)},
    compute={"length": "length(title)"},
    description="for all",
)
INNER = Perspective(name="inner", extends="public", include=("author.email",))


@pytest.fixture
async def client(anyio_backend: object) -> AsyncIterator[Client]:
    async with Server.memory() as server, server.connect(page_items=1) as connected:
        yield connected


async def test_perspectives_come_and_go(client: Client) -> None:
    made = await client.perspectives.put(PUBLIC, by="ana", description="first")
    assert (made.document, made.by) == ("$system/perspectives/public", "ana")
    await client.perspectives.put(INNER)
    assert await client.perspectives.get("public") == PUBLIC
    assert [each async for each in client.perspectives.list()] == [INNER, PUBLIC]
    again = Perspective(name="public", include=("title",))
    assert (await client.perspectives.put(again)).version == 2
    assert await client.perspectives.get("public") == again
    await client.perspectives.delete("inner", by="bo")
    assert [each.name async for each in client.perspectives.list()] == ["public"]
    for gone in (client.perspectives.get, client.perspectives.delete):
        with pytest.raises(PerspectiveNotFound) as caught:
            await gone("inner")
        assert caught.value.perspective == "inner"


async def test_lists_will_do_for_tuples(client: Client) -> None:
    await client.perspectives.put(Perspective(name="p", documents="notes/*", include=["title"]))  # type: ignore[arg-type]
    assert (await client.perspectives.get("p")).include == ("title",)


async def test_others_that_build_on_one_keep_it(client: Client) -> None:
    with pytest.raises(InvalidPerspective, match="public"):
        await client.perspectives.put(INNER)
    await client.perspectives.put(PUBLIC)
    await client.perspectives.put(INNER)
    with pytest.raises(InvalidPerspective):
        await client.perspectives.delete("public")


@pytest.mark.parametrize(
    ("perspective", "error"),
    [
        (Perspective(name="a/b"), InvalidName),
        (Perspective(name=""), InvalidName),
        (Perspective(name="p", include=("a..b",)), InvalidPerspective),
        (Perspective(name="p", compute={"a": "(("}), InvalidPerspective),
        ({"name": "p"}, InvalidRequest),
    ],
    ids=["slash", "empty", "path", "expression", "map"],
)
async def test_what_makes_no_sense_is_not_sent(client: Client, perspective: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await client.perspectives.put(perspective)
    assert [name async for name in client.list("$system/**", deleted=True)] == []


def test_blocking(palimpsest_sync_client: Any) -> None:
    client = palimpsest_sync_client
    client.perspectives.put(PUBLIC)
    assert client.perspectives.get("public") == PUBLIC
    assert list(client.perspectives.list()) == [PUBLIC]
    client.create("notes/1", {"title": "Hello", "author": {"name": "ana", "email": "a@b"}})
    seen = {"title": "***lo", "by": {"name": "ana"}, "length": 5}
    assert client.get("notes/1", perspective="public").value == seen
    assert [document.value for document in client.list("notes/*", values=True, perspective="public")] == [seen]
    with client.edit("notes/1") as draft:
        draft["title"] = "Other"
    client.perspectives.delete("public")
