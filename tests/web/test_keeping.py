"""Retention, pruning and usage over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_kit import guarded, served

from palimpsest import Client, Grant, Role

pytestmark = pytest.mark.anyio


async def written(client: Client, document: str, versions: int) -> None:
    await client.create(document, {"count": 1})
    for number in range(2, versions + 1):
        await client.update(document, {"count": number})


async def test_a_dry_run_says_what_a_run_then_does() -> None:
    async with served() as (client, _, http):
        await written(client, "notes/1", 20)
        await written(client, "notes/2", 3)
        body = {"pattern": "notes/*", "versions": 2}
        dry = (await http.post("/prune", json=body)).json()
        assert (dry["dry_run"], dry["documents"], dry["events"]) == (True, 2, 19)
        assert [part["document"] for part in dry["largest"]] == ["notes/1", "notes/2"]
        assert (await http.get("/documents/notes/1", params={"version": 1})).status_code == 200
        done = (await http.post("/prune", json=body | {"dry_run": False})).json()
        assert done == dry | {"dry_run": False}
        assert (await http.get("/documents/notes/1", params={"version": 1})).status_code == 410
        assert (await http.get("/documents/notes/1")).json() == {"count": 20}


async def test_without_a_rule_the_kept_policies_decide() -> None:
    async with served() as (client, _, http):
        await written(client, "notes/1", 5)
        assert (await http.post("/prune", json={})).json()["events"] == 0
        await http.put("/retention/short", json={"documents": "notes/*", "versions": 1})
        assert (await http.post("/prune", json={})).json()["events"] == 4


async def test_usage_counts_what_is_there() -> None:
    async with served() as (client, _, http):
        await written(client, "notes/1", 4)
        await written(client, "other", 1)
        await client.delete("other")
        found = (await http.get("/usage")).json()
        assert {name: found[name] for name in ("documents", "deleted", "versions", "events")} == {
            "documents": 1,
            "deleted": 1,
            "versions": 6,
            "events": 6,
        }
        assert found["bytes"] == sum(part["bytes"] for part in found["largest"])
        one = (await http.get("/usage", params={"pattern": "notes/*", "largest": 0})).json()
        assert (one["documents"], one["events"], one["largest"]) == (1, 4, [])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"versions": 0}, 422),
        ({"seconds": -1}, 422),
        ({"pattern": "a//b"}, 400),
        ({"tags": ["x"]}, 400),
        ({"unheard_of": 1}, 422),
    ],
)
async def test_what_makes_no_sense_is_refused(body: dict[str, Any], status: int) -> None:
    async with served() as (_, _, http):
        assert (await http.post("/prune", json=body)).status_code == status


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"documents": "a//b"}, "documents"),
        ({"documents": "x", "branch": ""}, "branch"),
        ({"documents": "x", "tags": [""]}, "tags"),
    ],
)
async def test_a_policy_that_makes_no_sense_says_where(body: dict[str, Any], path: str) -> None:
    async with served() as (_, _, http):
        response = await http.put("/retention/one", json=body)
        assert (response.json()["code"], response.json()["data"]["path"]) == ("invalid_value", path)


async def test_pruning_and_measuring_need_the_right_to_administer() -> None:
    role = Role(grants=(Grant(documents="notes/**", actions=("read", "write", "history")),))
    async with guarded(role) as reader:
        await written(reader.client, "notes/1", 4)
        body = {"pattern": "notes/*", "versions": 1, "dry_run": False}
        assert (await reader.http.post("/prune", json=body)).status_code == 403
        assert (await reader.http.get("/usage", params={"pattern": "notes/*"})).status_code == 403
        assert (await reader.http.get("/documents/notes/1", params={"version": 1})).status_code == 200
