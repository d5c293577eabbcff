"""How the server is doing, and who asks."""

from __future__ import annotations

import pytest
from events_kit import events
from gateway_kit import guarded, served
from prometheus_client.parser import text_string_to_metric_families

from palimpsest import Grant, Role

pytestmark = pytest.mark.anyio

READER = Role(grants=(Grant(documents="notes/**", actions=("read", "subscribe")),))
OBSERVER = Role(grants=(Grant(documents="**", actions=("observe",)),))


async def test_the_status_counts_what_was_done() -> None:
    async with served() as (client, _, http):
        before = (await http.get("/status")).json()
        for number in range(5):
            await client.create(f"notes/{number}", {})
        after = (await http.get("/status")).json()
    assert after["counters"]["events"] - before["counters"]["events"] == 5
    assert after["requests"]["Create"] - before["requests"].get("Create", 0) == 5
    assert before["started_at"] == after["started_at"] <= before["at"] <= after["at"]
    for data in after["histograms"].values():
        assert len(data["counts"]) == len(data["bounds"]) + 1
        assert data["bounds"] == sorted(data["bounds"])


async def test_the_status_names_who_follows() -> None:
    async with served() as (client, _, http), events(http, pattern="notes/*"):
        async with client.subscribe("notes/*", name="worker"):
            found = (await http.get("/status")).json()
        (subscriber,) = found["subscribers"]
        assert (subscriber["pattern"], subscriber["branch"], subscriber["state"]) == ("notes/*", "main", "live")
        assert [one["name"] for one in found["named"]] == ["worker"]
        nobody = (await http.get("/status", params={"subscribers": 0})).json()
        assert nobody["subscribers"] == []


async def test_metrics_say_the_same_to_prometheus() -> None:
    async with served() as (client, _, http):
        await client.create("notes/1", {})
        response = await http.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=")
        assert response.headers["cache-control"] == "no-store"
        families = {family.name: family for family in text_string_to_metric_families(response.text)}
        status = (await http.get("/status")).json()
    (events_total,) = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == "palimpsest_events_total"
    ]
    assert events_total == status["counters"]["events"] == 1


async def test_status_and_metrics_need_the_right_to_observe() -> None:
    async with guarded(READER) as reader:
        answers = [await reader.http.get("/status"), await reader.http.get("/metrics")]
        assert [answer.status_code for answer in answers] == [403, 403]
        assert {answer.json()["data"]["action"] for answer in answers} == {"observe"}
        await reader.client.roles.put("reader", OBSERVER)
        answers = [await reader.http.get("/status"), await reader.http.get("/metrics")]
        assert [answer.status_code for answer in answers] == [200, 200]


async def test_no_document_or_value_is_in_status_or_metrics() -> None:
    async with served() as (client, _, http):
        await client.create("a-name-of-a-document", {"a-key": "a-value"}, by="an-author", description="a-reason")
        await client.get("a-name-of-a-document")
        texts = [(await http.get("/status")).text, (await http.get("/metrics")).text]
    words = ["a-name-of-a-document", "a-key", "a-value", "an-author", "a-reason"]
    assert [word for word in words for text in texts if word in text] == []


async def test_who_asks() -> None:
    async with served() as (_, _, http):
        assert (await http.get("/whoami")).json() == {"principal": "anonymous", "open": True}
    async with guarded(READER) as reader:
        assert (await reader.http.get("/whoami")).json() == {"principal": "ana", "open": False}
        assert (await reader.admin.get("/whoami")).json() == {"principal": "root", "open": False}
        unknown = await reader.http.get("/whoami", headers={"Authorization": "Bearer nonsense"})
        assert unknown.status_code == 401
        assert unknown.headers["www-authenticate"].startswith("Bearer")
