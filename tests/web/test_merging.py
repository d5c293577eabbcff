from __future__ import annotations

from typing import Any

import pytest
from gateway_kit import guarded, served

from palimpsest import BASE, DELETE, OURS, Grant, Role, Value
from palimpsest.errors import InvalidRequest
from palimpsest.web.merging import Decision, resolutions_of

pytestmark = pytest.mark.anyio


async def fill(client: Any) -> None:
    """Both sides of `notes/1` say something about `title` and `body`."""
    await client.create("notes/1", {"title": "A", "body": "x", "stars": 1, "old": 1})
    await client.branch("notes/1", "draft")
    await client.update("notes/1", {"title": "B", "body": "y", "new": None, "old": 2}, branch="draft")
    await client.update("notes/1", {"title": "C", "body": "z", "old": DELETE})


MERGE = {"document": "notes/1", "source": "draft"}


async def test_that_a_dry_run_shows_conflicts_with_all_sides_and_leaves_nothing() -> None:
    async with served() as (client, _, http):
        await fill(client)
        found = (await http.post("/merges", json={**MERGE, "dry_run": True})).json()
        assert (found["merge_id"], found["committed"], found["dry_run"], found["version"]) == (None, False, True, None)
        [part] = found["parts"]
        assert (part["source"], part["into"], part["base"]) == (["draft", 2], ["main", 2], ["main", 1])
        assert part["outcome"] == "conflicts"
        assert part["delta"] == [{"op": "set", "path": "new", "value": None}]
        conflicts = {one["path"]: one for one in part["conflicts"]}
        assert conflicts["title"]["base"] == {"value": "A"}
        assert (conflicts["title"]["ours"], conflicts["title"]["theirs"]) == ({"value": "C"}, {"value": "B"})
        assert (conflicts["old"]["ours"], conflicts["old"]["theirs"]) == (None, {"value": 2})
        assert (await http.get("/merges")).json() == {"items": [], "next": None}


async def test_that_conflicts_are_decided_one_after_another() -> None:
    async with served() as (client, _, http):
        await fill(client)
        pending = (await http.post("/merges", json=MERGE, params={"by": "ana", "tags": "m"})).json()
        url = f"/merges/{pending['merge_id']}"
        [listed] = (await http.get("/merges", params={"pattern": "notes/*"})).json()["items"]
        assert (listed["merge_id"], listed["documents"], listed["by"]) == (pending["merge_id"], {"notes/1": 3}, "ana")
        first = {"resolutions": [{"path": "title", "take": "theirs"}, {"path": "body", "value": "w"}]}
        some = (await http.post(f"{url}/resolutions", json=first)).json()
        assert [one["path"] for one in some["parts"][0]["conflicts"]] == ["old"]
        assert (await http.get(url)).json()["parts"][0]["settled"] == 2
        last = {"resolutions": [{"path": "old", "document": "notes/1", "absent": True}]}
        done = (await http.post(f"{url}/resolutions", json=last)).json()
        assert (done["committed"], done["version"], done["merge_id"]) == (True, 3, None)
        assert (await client.get("notes/1")).value == {"title": "B", "body": "w", "stars": 1, "new": None}
        assert (await http.get(url)).status_code == 404


async def test_that_a_merge_without_conflicts_is_a_version_with_two_parents() -> None:
    async with served() as (client, _, http):
        await fill(client)
        body = {**MERGE, "rules": {"title": "ours", "body": "theirs", "old": "base"}}
        late = await http.post("/merges", json=body, headers={"If-Match": '"1"'})
        assert (late.status_code, late.json()["code"]) == (412, "version_conflict")
        done = (await http.post("/merges", json=body, headers={"If-Match": '"2"', "Idempotency-Key": "k"})).json()
        assert (done["committed"], done["version"], done["parts"][0]["settled"]) == (True, 3, 3)
        again = (await http.post("/merges", json=body, headers={"Idempotency-Key": "k"})).json()
        assert (again["repeat"], again["version"]) == (True, 3)
        [newest] = (await http.get("/history/notes/1?limit=1")).json()["items"]
        assert newest["parents"] == {"base": None, "merged": [["draft", 2]]}


async def test_that_a_merge_is_given_up() -> None:
    async with served() as (client, _, http):
        await fill(client)
        id = (await http.post("/merges", json=MERGE)).json()["merge_id"]
        answer = await http.delete(f"/merges/{id}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await http.delete(f"/merges/{id}")).status_code == 404
        assert (await client.get("notes/1")).version == 2


async def test_that_pending_merges_come_in_pages() -> None:
    async with served() as (client, _, http):
        for name in ("a", "b", "c"):
            await client.create(name, 1)
            await client.branch(name, "draft")
            await client.update(name, {"": 2}, branch="draft")
            await client.update(name, {"": 3})
            await client.merge(name, "draft")
        url, found = "/merges?limit=2", []
        while url:
            page = (await http.get(url)).json()
            found += [item["merge_id"] for item in page["items"]]
            url = page["next"]
        assert found == [merge.merge_id for merge in await client.merges()]
        assert len(found) == 3


async def test_that_a_version_is_picked() -> None:
    async with served() as (client, _, http):
        await fill(client)
        await client.update("notes/1", {"stars": 5}, branch="draft", by="bo", description="more")
        body = {"document": "notes/1", "version": "draft:3"}
        assert (await http.post("/cherry-picks", json={**body, "dry_run": True})).json()["dry_run"] is True
        assert (await http.post("/cherry-picks", json=body)).json()["version"] == 3
        made = await client.get("notes/1")
        assert (made.value["stars"], made.value["title"], made.by) == (5, "C", "bo")


async def test_that_a_branch_is_rebased() -> None:
    async with served() as (client, _, http):
        await client.create("n", {"a": 1})
        await client.branch("n", "draft")
        await client.update("n", {"b": 1}, branch="draft")
        await client.update("n", {"a": 2})
        done = (await http.post("/rebases", json={"document": "n", "branch": "draft"})).json()
        assert done["committed"] is True
        assert (await client.get("n", branch="draft")).value == {"a": 2, "b": 1}
        bad = await http.post("/rebases", json={"document": "n", "branch": "draft", "onto": "main:9"})
        assert bad.status_code == 404


async def test_that_what_is_no_merge_is_refused() -> None:
    async with served() as (client, _, http):
        await fill(client)
        for body, status in (
            ({**MERGE, "rules": {"title": "nope"}}, 400),
            ({**MERGE, "source": "nope"}, 404),
            ({**MERGE, "source": ""}, 400),
            ({**MERGE, "into": "nope"}, 404),
            ({"document": "notes/1"}, 422),
            ({**MERGE, "dry": True}, 422),
        ):
            assert (await http.post("/merges", json=body)).status_code == status, body
        id = (await http.post("/merges", json=MERGE)).json()["merge_id"]
        for resolutions, status in (
            ([], 422),
            ([{"path": "title"}], 400),
            ([{"path": "title", "take": "ours", "value": 1}], 400),
            ([{"path": "title", "absent": False}], 400),
            ([{"path": "title", "take": "nobody"}], 422),
            ([{"path": "nowhere", "take": "ours"}], 400),
        ):
            answer = await http.post(f"/merges/{id}/resolutions", json={"resolutions": resolutions})
            assert answer.status_code == status, resolutions


def test_resolutions_of() -> None:
    decisions = [
        Decision(path="a", take="ours"),
        Decision(path="a", document="n", take="base"),
        Decision(path="b", value=None),
        Decision(path="c", absent=True),
    ]
    assert resolutions_of(decisions) == {"a": OURS, ("n", "a"): BASE, "b": Value(None), "c": DELETE}
    with pytest.raises(InvalidRequest, match="two resolutions"):
        resolutions_of([Decision(path="a", take="ours"), Decision(path="a", absent=True)])


async def test_that_merges_need_a_right() -> None:
    async with guarded(Role(grants=[Grant(documents="notes/*", actions=["read", "write"])])) as found:
        await fill(found.client)
        assert (await found.http.post("/merges", json=MERGE)).status_code == 403
        pending = await found.client.merge("notes/1", "draft")
        assert (await found.http.get(f"/merges/{pending.merge_id}")).status_code in (403, 404)
