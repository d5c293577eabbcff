from __future__ import annotations

import pytest
from gateway_kit import guarded, served

from palimpsest import Grant, Role

pytestmark = pytest.mark.anyio


async def test_that_a_branch_is_made_listed_and_deleted() -> None:
    async with served() as (client, _, http):
        await client.create("notes/1", 1)
        await client.update("notes/1", {"": 2})
        said = {"by": "ana", "description": "why"}
        made = await http.post("/branches/notes/1", json={"branch": "draft", "at": "main:1"}, params=said)
        assert (made.status_code, made.headers["Location"]) == (201, "/branches/notes/1")
        branch = made.json()
        assert (branch["branch"], branch["base"], branch["head"]) == ("draft", ["main", 1], 1)
        assert (branch["by"], branch["description"], branch["deleted"]) == ("ana", "why", False)
        listed = (await http.get("/branches/notes/1")).json()["items"]
        assert [(item["branch"], item["base"], item["head"]) for item in listed] == [
            ("main", None, 2),
            ("draft", ["main", 1], 1),
        ]
        gone = await http.delete("/branches/notes/1", params={"branch": "draft"})
        assert [item["branch"] for item in gone.json()["items"]] == ["draft"]
        assert [item["branch"] for item in (await http.get("/branches/notes/1")).json()["items"]] == ["main"]
        everything = (await http.get("/branches/notes/1?deleted=true")).json()["items"]
        assert [(item["branch"], item["deleted"]) for item in everything] == [("main", False), ("draft", True)]


async def test_that_a_repeat_makes_no_second_branch() -> None:
    async with served() as (client, _, http):
        await client.create("n", 1)
        key = {"Idempotency-Key": "k"}
        answers = [await http.post("/branches/n", json={"branch": "draft"}, headers=key) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
        assert (await http.post("/branches/n", json={"branch": "draft"})).status_code == 409


async def test_that_a_key_of_another_request_makes_no_branch_and_costs_nobody_a_connection() -> None:
    async with served() as (client, _, http):
        await client.create("n", 1)
        key = {"Idempotency-Key": "k"}
        assert (await http.post("/tags/n", json={"version": 1, "add": ["x"]}, headers=key)).status_code == 200
        answer = await http.post("/branches/n", json={"branch": "draft"}, headers=key)
        assert answer.status_code == 422
        assert "Idempotency-Key" in answer.json()["detail"]
        assert [branch.name for branch in await client.branches("n")] == ["main"]


async def test_that_branches_of_many_documents_come_in_pages() -> None:
    async with served() as (client, _, http):
        for name in ("notes/1", "notes/2", "other/1"):
            await client.create(name, 1)
            await client.branch(name, "draft")
            await client.delete_branch(name, "draft")
            await client.branch(name, "draft")
        await http.post("/branches/notes/*", json={"branch": "all"})
        url, found = "/branches?pattern=notes/*&deleted=true&limit=3", []
        while url:
            page = (await http.get(url)).json()
            assert len(page["items"]) <= 3
            found += page["items"]
            url = page["next"]
        assert found == (await http.get("/branches?pattern=notes/*&deleted=true")).json()["items"]
        assert [(item["document"], item["branch"], item["deleted"]) for item in found] == [
            ("notes/*", "all", False),
            ("notes/1", "main", False),
            ("notes/1", "draft", True),
            ("notes/1", "draft", False),
            ("notes/2", "main", False),
            ("notes/2", "draft", True),
            ("notes/2", "draft", False),
        ]


async def test_that_what_makes_no_branch_is_refused() -> None:
    async with served() as (client, _, http):
        await client.create("n", 1)
        for body, status in (
            ({"branch": "a b*"}, 400),
            ({"branch": "x", "at": "main:9"}, 404),
            ({"branch": "x", "at": "nope"}, 404),
            ({"branch": "x", "at": ":"}, 400),
            ({"branch": 1}, 422),
            ({"branch": "x", "more": 1}, 422),
            ({}, 422),
        ):
            assert (await http.post("/branches/n", json=body)).status_code == status, body
        assert (await http.delete("/branches/n")).status_code == 400
        assert (await http.delete("/branches/n", params={"branch": "main"})).status_code == 400
        assert (await http.get("/branches/nope")).status_code == 404


async def test_that_branches_need_a_right() -> None:
    async with guarded(Role(grants=[Grant(documents="n", actions=["read"])])) as found:
        await found.client.create("n", 1)
        assert (await found.http.get("/branches/n")).status_code == 200
        assert (await found.http.post("/branches/n", json={"branch": "x"})).status_code == 403
        assert (await found.http.get("/branches")).status_code == 403
