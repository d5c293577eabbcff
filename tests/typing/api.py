"""The public API, as a type checker sees it: `mypy tests/typing/api.py` has nothing to say. It is never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, assert_type

import palimpsest as pal
from palimpsest.client import SyncSubscription


async def documents(url: str) -> None:
    async with pal.connect(url, token="secret", client_id="me", timeout_seconds=5.0) as client:
        assert_type(client, pal.Client)
        made = await client.create("notes/1", {"title": "A"}, by="ana", tags={"import"}, description="first")
        assert_type(made, pal.Version)
        assert_type(made.version, int)
        assert_type(made.at, datetime)
        assert_type(made.kind, pal.Kind)
        assert_type(made.by, str | None)
        assert_type(made.tags, frozenset[str])
        assert_type(made.repeat, bool)
        assert_type(made.delta, pal.Delta | None)
        changes = {"title": "B", "meta.stars": pal.Increment(1), "draft": pal.DELETE, "tags": pal.Append("x")}
        assert_type(await client.update("notes/1", changes, expect=1, request_id="order-5"), pal.Version)
        assert_type(await client.update("notes/1", pal.Delta().set("a.b", 1).test("title", "B")), pal.Version)
        assert_type(await client.update("notes/1", {("a", 0): pal.Insert(0, "x"), "b": pal.Remove(2)}), pal.Version)
        found = await client.get("notes/1", branch="main", version=1)
        assert_type(found, pal.Document)
        assert_type(found.id, str)
        assert_type(found.value, Any)
        assert_type(await client.get_many(["notes/1", "notes/2"]), list[pal.Document | None])
        assert_type(client.list("notes/*"), AsyncIterator[str])
        assert_type(client.history("notes/1", newest_first=False, limit=50), AsyncIterator[pal.Version])
        assert_type(await client.delete("notes/1", expect=2), pal.Version)
        parts = {"notes/1": {"a": 1}, "notes/2": pal.Create([]), "notes/3": pal.DELETE, "notes/4": pal.Delta()}
        assert_type(await client.transaction(parts, expect={"notes/1": 4}), dict[str, pal.Version])
        async with client.edit("notes/1", by="ana") as draft:
            draft["meta"]["seen"] = True
        assert_type(await client.ping(), float)
        assert_type(client.statistics(), dict[str, int])
    assert_type(await pal.connect(url), pal.Client)


async def subscriptions(client: pal.Client) -> None:
    async with client.subscribe("notes/*", start="beginning", values=True) as changes:
        assert_type(changes, pal.Subscription)
        assert_type(changes.cursor, str)
        async for change in changes:
            assert_type(change, pal.Change)
            assert_type(change.delta, pal.Delta)
            assert_type(change.cursor, str)
            assert_type(change.value, Any)
    client.subscribe("notes/1", resume_after="cursor")


def blocking(url: str) -> None:
    with pal.connect_sync(url) as client:
        assert_type(client, pal.SyncClient)
        assert_type(client.create("notes/1", None), pal.Version)
        assert_type(client.update("notes/1", {"": 5}), pal.Version)
        assert_type(client.get("notes/1"), pal.Document)
        assert_type(client.get_many(["notes/1"]), list[pal.Document | None])
        assert_type(client.list("**"), Iterator[str])
        assert_type(client.history("notes/1"), Iterator[pal.Version])
        assert_type(client.transaction({"notes/1": {}}), dict[str, pal.Version])
        assert_type(client.edit("notes/1"), AbstractContextManager[Any])
        with client.subscribe("**") as changes:
            assert_type(changes, SyncSubscription)
            assert_type(next(changes), pal.Change)


async def embedded() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        assert_type(server.url, str)
        assert_type(client, pal.Client)
    async with pal.Server("state.db", host="127.0.0.1", port=0) as server:
        assert_type(server, pal.Server)
