"""Named subscriptions over HTTP: how they stand, and dead letters that are delivered again."""

from __future__ import annotations

import pytest
from gateway_kit import guarded, served

from palimpsest import Client, Grant, Role

pytestmark = pytest.mark.anyio


async def put_aside(client: Client, name: str, documents: list[str]) -> None:
    """Makes the documents, and a subscription of that name for which each of them has failed."""
    async with client.subscribe("jobs/*", name=name, tries_max=1, start="beginning") as changes:
        for document in documents:
            await client.create(document, {})
        for _ in documents:
            await changes.nack(await anext(changes), reason="no luck")


async def test_what_failed_is_listed_and_delivered_again() -> None:
    async with served() as (client, _, http):
        await put_aside(client, "worker", ["jobs/1", "jobs/2"])
        (listed,) = (await http.get("/subscriptions")).json()["items"]
        assert (listed["name"], listed["pattern"], listed["dead"], listed["workers"]) == ("worker", "jobs/*", 2, 0)
        assert "dead_letters" not in listed
        state = (await http.get("/subscriptions/worker")).json()
        first, second = state["dead_letters"]
        assert (first["document"], first["version"], first["tries"], first["reason"]) == ("jobs/1", 1, 1, "no luck")
        assert listed == {name: value for name, value in state.items() if name != "dead_letters"}
        redriven = await http.post("/subscriptions/worker/redrive", json={"positions": [second["position"]]})
        assert redriven.json()["cursor"]
        async with client.subscribe("jobs/*", name="worker", tries_max=1) as changes:
            again = await anext(changes)
            assert again.document == "jobs/2"
            await changes.ack(again)
        assert [one["document"] for one in (await http.get("/subscriptions/worker")).json()["dead_letters"]] == [
            "jobs/1"
        ]


async def test_without_a_body_all_are_delivered_again() -> None:
    async with served() as (client, _, http):
        await put_aside(client, "worker", ["jobs/1", "jobs/2"])
        assert (await http.post("/subscriptions/worker/redrive")).status_code == 200
        async with client.subscribe("jobs/*", name="worker", tries_max=1) as changes:
            found = [(await anext(changes)).document for _ in range(2)]
        assert sorted(found) == ["jobs/1", "jobs/2"]


async def test_lists_come_in_pages() -> None:
    async with served() as (client, _, http):
        for name in ("a", "b", "c"):
            async with client.subscribe("jobs/*", name=name):
                pass
        first = (await http.get("/subscriptions", params={"limit": 2})).json()
        second = (await http.get(first["next"])).json()
        assert [item["name"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
        assert second["next"] is None


async def test_one_that_is_deleted_is_gone() -> None:
    async with served() as (client, _, http):
        async with client.subscribe("jobs/*", name="worker"):
            pass
        deleted = await http.delete("/subscriptions/worker")
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert (await http.get("/subscriptions/worker")).status_code == 404
        assert (await http.delete("/subscriptions/worker")).status_code == 404
        assert (await http.post("/subscriptions/worker/redrive")).status_code == 404


async def test_whoever_has_no_right_to_what_it_follows_is_told_that_there_is_none() -> None:
    role = Role(grants=(Grant(documents="notes/**", actions=("read", "subscribe")),))
    async with guarded(role) as reader:
        await put_aside(reader.client, "worker", ["jobs/1"])
        async with reader.client.subscribe("notes/*", name="open"):
            pass
        assert [item["name"] for item in (await reader.http.get("/subscriptions")).json()["items"]] == ["open"]
        answers = [
            await reader.http.get("/subscriptions/worker"),
            await reader.http.delete("/subscriptions/worker"),
            await reader.http.post("/subscriptions/worker/redrive"),
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert (await reader.admin.get("/subscriptions/worker")).json()["dead"] == 1
