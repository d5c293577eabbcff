"""Reconciliation over HTTP: what a source pushes is planned for, looked at, and applied as it was shown."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from gateway_kit import guarded, served

from palimpsest import Grant, Role

pytestmark = pytest.mark.anyio

FIRST = {"device": {"a": {"rack": 1}, "b": {"rack": 2}}}
SECOND = {"device": {"a": {"rack": 7}, "c": {"rack": 3}}}


async def reconciled(http: httpx.AsyncClient, snapshot: Any, **apply: Any) -> tuple[Any, Any]:
    """What was planned for the source `inventory` once it has pushed, and what came of it."""
    pushed = await http.put("/reconcile/sources/inventory/snapshot", json=snapshot)
    assert pushed.status_code == 200, pushed.text
    plan = await http.post("/reconcile/sources/inventory/plans")
    assert plan.status_code == 201, plan.text
    run = await http.post("/reconcile/apply", json={"plan": plan.json()["id"], **apply})
    return plan.json(), run.json()


async def declare(http: httpx.AsyncClient, **others: Any) -> None:
    response = await http.put("/reconcile/sources/inventory", json={"documents": "devices", **others})
    assert response.status_code == 201, response.text


async def test_what_was_pushed_is_planned_and_applied() -> None:
    async with served() as (_, _, http):
        await declare(http)
        await reconciled(http, FIRST)
        assert (await http.get("/documents/devices")).json() == FIRST
        plan, run = await reconciled(http, SECOND)
        assert plan["summary"] == {"in.create": 1, "in.delete": 1, "in.update": 1}
        rows = {row["id"]: row for row in plan["rows"]}
        assert rows["a"] == {
            "document": "devices",
            "path": "device.a",
            "model": "device",
            "id": "a",
            "direction": "in",
            "action": "update",
            "outcome": "apply",
            "before": {"rack": 1},
            "after": {"rack": 7},
        }
        assert ("before" in rows["c"], "after" in rows["b"]) == (False, False)
        assert (run["outcome"], run["summary"], run["plan"]) == ("applied", plan["summary"], plan["id"])
        assert (await http.get("/documents/devices")).json() == SECOND
        again = (await http.get(f"/reconcile/plans/{plan['id']}")).json()
        assert again == plan
        assert (await http.get(f"/reconcile/runs/{run['id']}")).json() == run


async def test_a_selection_is_all_that_is_done() -> None:
    async with served() as (_, _, http):
        await declare(http)
        await reconciled(http, FIRST)
        _, run = await reconciled(http, SECOND, select={"action": ["create", "update"]})
        assert run["outcome"] == "applied"
        assert (await http.get("/documents/devices")).json() == {
            "device": {"a": {"rack": 7}, "b": {"rack": 2}, "c": {"rack": 3}}
        }


async def test_a_plan_whose_document_has_moved_is_not_applied() -> None:
    async with served() as (client, _, http):
        await declare(http)
        await reconciled(http, FIRST)
        await http.put("/reconcile/sources/inventory/snapshot", json=SECOND)
        plan = (await http.post("/reconcile/sources/inventory/plans")).json()
        await client.update("devices", {"device.b.rack": 9})
        response = await http.post("/reconcile/apply", json={"plan": plan["id"]})
        assert (response.status_code, response.json()["code"]) == (409, "plan_moved")
        assert response.json()["data"]["documents"] == ["devices"]


async def test_what_both_sides_changed_waits_with_both_sides_shown() -> None:
    async with served() as (client, _, http):
        await declare(http)
        await reconciled(http, FIRST)
        await client.update("devices", {"device.a.rack": 5})
        plan, run = await reconciled(http, {"device": {"a": {"rack": 7}, "b": {"rack": 2}}})
        (conflict,) = plan["conflicts"]
        assert (conflict["document"], conflict["path"]) == ("devices", "device.a.rack")
        assert (conflict["base"], conflict["ours"], conflict["theirs"]) == (1, 5, 7)
        assert run["outcome"] == "conflict"
        assert (await http.get(f"/merges/{run['merges']['devices']}")).status_code == 200


async def test_too_many_deletes_have_to_be_forced() -> None:
    async with served() as (_, _, http):
        await declare(http, max_deletes=1)
        await reconciled(http, FIRST)
        plan, refused = await reconciled(http, {"device": {}})
        assert plan["too_many_deletes"] == [2, 1]
        assert (refused["status"], refused["code"]) == (400, "too_many_deletes")
        _, run = await reconciled(http, {"device": {}}, force=True)
        assert run["outcome"] == "applied"
        assert (await http.get("/documents/devices")).json() == {"device": {}}


async def test_sources_are_listed_with_how_they_stand() -> None:
    async with served() as (_, _, http):
        await declare(http, description="racks")
        (fresh,) = (await http.get("/reconcile/sources")).json()["items"]
        assert fresh["source"] == {"documents": "devices", "description": "racks"}
        assert (fresh["state"]["last_run"], fresh["state"]["running_until"]) == (None, None)
        _, first = await reconciled(http, FIRST)
        _, second = await reconciled(http, SECOND)
        (after,) = (await http.get("/reconcile/sources")).json()["items"]
        assert (after["state"]["last_run"], after["state"]["outcome"]) == (second["id"], "applied")
        runs = (await http.get("/reconcile/sources/inventory/runs")).json()["items"]
        assert [run["id"] for run in runs] == [second["id"], first["id"]]
        assert runs[0]["started_at"] <= runs[0]["ended_at"]
        newest = (await http.get("/reconcile/sources/inventory/runs", params={"limit": 1})).json()["items"]
        assert newest == runs[:1]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/reconcile/sources/missing/plans", None, 404),
        ("PUT", "/reconcile/sources/missing/snapshot", {}, 404),
        ("GET", "/reconcile/plans/missing/1", None, 404),
        ("GET", "/reconcile/runs/missing/1", None, 404),
        ("POST", "/reconcile/apply", {"plan": "missing/1"}, 404),
        ("POST", "/reconcile/apply", {"plan": "missing/1", "select": {"colour": ["red"]}}, 422),
        ("PUT", "/reconcile/sources/inventory", {"documents": "a/*"}, 422),
        ("PUT", "/reconcile/sources/inventory", {"documents": "a", "rules": {"x": "nonsense"}}, 422),
    ],
)
async def test_what_is_not_there_or_makes_no_sense(method: str, path: str, body: Any, status: int) -> None:
    async with served() as (_, _, http):
        response = await http.request(method, path, json=body)
        assert response.status_code == status, response.text


async def test_a_snapshot_for_other_documents_is_refused() -> None:
    async with served() as (_, _, http):
        await http.put("/reconcile/sources/inventory", json={"documents": "devices/**"})
        response = await http.put("/reconcile/sources/inventory/snapshot", json={"elsewhere/1": {}})
        assert response.status_code == 400
        assert "'elsewhere/1'" in response.json()["detail"]


async def test_reconciliation_needs_its_rights() -> None:
    role = Role(grants=(Grant(documents="**", actions=("read", "write", "history", "subscribe", "merge", "branch")),))
    async with guarded(role) as reader:
        await declare(reader.admin)
        plan, run = await reconciled(reader.admin, FIRST)
        answers = [
            await reader.http.get("/reconcile/sources"),
            await reader.http.put("/reconcile/sources/inventory/snapshot", json=SECOND),
            await reader.http.post("/reconcile/sources/inventory/plans"),
            await reader.http.get(f"/reconcile/plans/{plan['id']}"),
            await reader.http.post("/reconcile/apply", json={"plan": plan["id"]}),
            await reader.http.get("/reconcile/sources/inventory/runs"),
            await reader.http.get(f"/reconcile/runs/{run['id']}"),
        ]
        assert [answer.status_code for answer in answers] == [403] * len(answers)
