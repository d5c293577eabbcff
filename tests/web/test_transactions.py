from __future__ import annotations

import pytest
from gateway_kit import guarded, served

from palimpsest import Grant, Role

pytestmark = pytest.mark.anyio


async def test_that_documents_change_as_one_in_every_way() -> None:
    async with served() as (client, _, http):
        for name in ("a", "b", "c", "d"):
            await client.create(name, {"x": 1})
        changes = {
            "a": {"patch": [{"op": "replace", "path": "/x", "value": 2}]},
            "b": {"merge_patch": {"x": None}},
            "c": {"delta": [{"op": "increment", "path": "x", "by": 4}]},
            "d": {"delete": True},
            "e": {"create": None},
        }
        answer = await http.post("/transactions", json={"changes": changes}, params={"by": "ana"})
        assert answer.status_code == 200
        made = answer.json()["versions"]
        assert {name: (one["version"], one["kind"], one["by"]) for name, one in made.items()} == {
            "a": (2, "update", "ana"),
            "b": (2, "update", "ana"),
            "c": (2, "update", "ana"),
            "d": (2, "delete", "ana"),
            "e": (1, "create", "ana"),
        }
        documents = await client.get_many(["a", "b", "c", "d", "e"])
        assert [None if one is None else one.value for one in documents] == [{"x": 2}, {}, {"x": 5}, None, None]
        assert documents[4] is not None


async def test_that_nothing_changes_where_one_does_not_fit() -> None:
    async with served() as (client, _, http):
        await client.create("a", {"x": 1})
        await client.create("b", {"x": 1})
        change = {"a": {"merge_patch": {"x": 2}}}
        late = await http.post("/transactions", json={"changes": change, "expect": {"b": 7}})
        assert (late.status_code, late.json()["code"]) == (409, "version_conflict")
        both = {**change, "b": {"delta": [{"op": "test", "path": "x", "value": 9}]}}
        assert (await http.post("/transactions", json={"changes": both})).status_code == 422
        assert (await client.get("a")).version == 1
        good = await http.post("/transactions", json={"changes": change, "expect": {"b": 1, "a": 1, "c": 0}})
        assert good.status_code == 200


async def test_that_a_repeat_is_answered_as_the_first_was() -> None:
    async with served() as (_, _, http):
        body = {"changes": {"a": {"create": 1}, "b": {"create": 2}}}
        answers = [await http.post("/transactions", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert [answer.json()["versions"]["a"]["repeat"] for answer in answers] == [False, True]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 400),
        ({"a": {}}, 400),
        ({"a": {"create": 1, "delete": True}}, 400),
        ({"a": {"delete": False}}, 400),
        ({"a": {"nope": 1}}, 422),
        ({"a": {"delta": [{"op": "nope"}]}}, 422),
        ({"a": {"delta": [{"op": "delete", "path": "a..b"}]}}, 422),
        ({"a": {"patch": [{"op": "add"}]}}, 422),
        ({"a/../b": {"create": 1}}, 400),
        ([], 422),
    ],
)
async def test_that_what_is_no_transaction_is_refused(changes: object, status: int) -> None:
    async with served() as (client, _, http):
        assert (await http.post("/transactions", json={"changes": changes})).status_code == status
        assert [name async for name in client.list()] == []


async def test_that_each_document_needs_a_right() -> None:
    async with guarded(Role(grants=[Grant(documents="a/*", actions=["read", "write"])])) as found:
        body = {"changes": {"a/1": {"create": 1}, "b/1": {"create": 1}}}
        assert (await found.http.post("/transactions", json=body)).status_code == 403
        assert [name async for name in found.client.list()] == []
