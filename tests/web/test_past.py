from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from gateway_kit import guarded, served

from palimpsest import Delta, Grant, Perspective, Role
from palimpsest.errors import InvalidRequest
from palimpsest.limits import HttpLimits
from palimpsest.web.past import which_of

pytestmark = pytest.mark.anyio


async def pages(http: Any, url: str | None) -> list[list[Any]]:
    found = []
    while url:
        page = (await http.get(url)).json()
        found.append(page["items"])
        url = page["next"]
    return found


async def fill(client: Any) -> None:
    await client.create("n", {"title": "A", "stars": 0}, by="ana", tags={"import"})
    for stars in (1, 2, 3):
        await client.update("n", {"stars": stars}, by="bo")
    await client.update("n", {"title": "B"}, by="ana", description="why")


# --- history ---------------------------------------------------------------------------------------------------------


async def test_that_versions_come_with_their_deltas_newest_first() -> None:
    async with served() as (client, _, http):
        await fill(client)
        page = (await http.get("/history/n")).json()
        assert [item["version"] for item in page["items"]] == [5, 4, 3, 2, 1]
        assert (page["newest"], page["oldest"], page["next"]) == (5, 1, None)
        newest = page["items"][0]
        assert newest["delta"] == [{"op": "set", "path": "title", "value": "B"}]
        assert (newest["by"], newest["description"], newest["kind"]) == ("ana", "why", "update")
        assert page["items"][-1]["tags"] == ["import"]


@pytest.mark.parametrize(("order", "expected"), [("newest", [5, 4, 3, 2, 1]), ("oldest", [1, 2, 3, 4, 5])])
async def test_that_pages_of_versions_follow_each_other(order: str, expected: list[int]) -> None:
    async with served() as (client, _, http):
        await fill(client)
        found = await pages(http, f"/history/n?order={order}&limit=2")
        assert [item["version"] for page in found for item in page] == expected
        assert [len(page) for page in found] == [2, 2, 1]


async def test_that_conditions_of_a_history_go_on_over_its_pages() -> None:
    async with served() as (client, _, http):
        await fill(client)
        assert [[item["version"] for item in page] for page in await pages(http, "/history/n?by=bo&limit=2")] == [
            [4, 3],
            [2],
        ]
        assert [item["version"] for [item] in await pages(http, "/history/n?path=title&limit=1")] == [5, 1]
        assert [item["version"] for [item] in await pages(http, "/history/n?tag=import&tag=other")] == [1]
        assert [len(page) for page in await pages(http, "/history/n?first=2&last=3")] == [2]


async def test_that_a_page_of_versions_ends_where_deltas_are_large() -> None:
    async with served(HttpLimits(page_bytes_max=1_000)) as (client, _, http):
        await client.create("n", "")
        for number in range(4):
            await client.update("n", {"": str(number) * 900})
        found = await pages(http, "/history/n")
        assert [[item["version"] for item in page] for page in found] == [[5, 4], [3, 2], [1]]


async def test_that_deltas_may_be_left_out() -> None:
    async with served() as (client, _, http):
        await fill(client)
        page = (await http.get("/history/n?deltas=false")).json()
        assert {item["delta"] for item in page["items"]} == {None}


async def test_that_versions_of_a_branch_say_where_they_were_made() -> None:
    async with served() as (client, _, http):
        await fill(client)
        await client.branch("n", "draft", at=2)
        await client.update("n", {"title": "C"}, branch="draft")
        page = (await http.get("/history/n?branch=draft")).json()
        assert [(item["branch"], item["version"]) for item in page["items"]] == [("draft", 3), ("main", 2), ("main", 1)]
        assert page["items"][0]["parents"] == {"base": ["main", 2], "merged": []}


async def test_that_a_history_through_a_perspective_has_what_shows() -> None:
    async with served() as (client, _, http):
        await fill(client)
        await client.perspectives.put(Perspective(name="p", documents="*", include=["title"]))
        page = (await http.get("/history/n?perspective=p")).json()
        assert [item["version"] for item in page["items"]] == [5, 1]
        assert "stars" not in json.dumps(page["items"])


async def test_that_a_history_of_nothing_is_not_found() -> None:
    async with served() as (_, _, http):
        assert (await http.get("/history/n")).status_code == 404


# --- differences -----------------------------------------------------------------------------------------------------


async def test_that_a_difference_names_its_two_sides_and_leads_from_one_to_the_other() -> None:
    async with served() as (client, _, http):
        await fill(client)
        await client.branch("n", "draft", at=2)
        await client.update("n", {"stars": 9}, branch="draft")
        found = (await http.get("/diff/n", params={"from": "1", "to": "draft"})).json()
        assert found["from"] == {"branch": "main", "version": 1}
        assert found["to"] == {"branch": "draft", "version": 3}
        assert found["delta"] == [{"op": "set", "path": "stars", "value": 9}]
        assert "patch" not in found


async def test_that_a_difference_without_an_end_is_to_the_newest() -> None:
    async with served() as (client, _, http):
        await fill(client)
        found = (await http.get("/diff/n", params={"from": "main:4"})).json()
        assert (found["to"], found["delta"]) == (
            {"branch": "main", "version": 5},
            [{"op": "set", "path": "title", "value": "B"}],
        )


async def test_that_a_difference_may_be_a_json_patch_also_through_a_perspective() -> None:
    async with served() as (client, _, http):
        await fill(client)
        await client.perspectives.put(Perspective(name="p", documents="*", include=["title"]))
        query = {"from": "1", "format": "json-patch", "perspective": "p"}
        found = (await http.get("/diff/n", params=query)).json()
        assert found["patch"] == [{"op": "replace", "path": "/title", "value": "B"}]


@pytest.mark.parametrize("query", [{}, {"from": ""}, {"from": ":1"}, {"from": "a:b"}, {"from": "1", "format": "x"}])
async def test_that_what_says_no_version_is_refused(query: dict[str, str]) -> None:
    async with served() as (client, _, http):
        await fill(client)
        assert (await http.get("/diff/n", params=query)).status_code == 400


def test_which_of() -> None:
    assert which_of("7") == 7
    assert which_of("draft") == "draft"
    assert which_of("fix/42:7") == "fix/42:7"
    assert which_of("2026-01-02T03:04:05Z") == datetime.fromisoformat("2026-01-02T03:04:05+00:00")
    assert which_of("2026-01-02T04:04:05+01:00") == which_of("2026-01-02T03:04:05Z")
    for text in ("", ":", "draft:", "draft:x", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z"):
        with pytest.raises(InvalidRequest):
            which_of(text)


# --- blame -----------------------------------------------------------------------------------------------------------


async def test_that_blame_names_each_version_once() -> None:
    async with served() as (client, _, http):
        await fill(client)
        await client.update("n", {"a": 1, "b": {}})
        found = (await http.get("/blame/n")).json()
        assert (found["version"], found["exact"]) == (6, True)
        versions = [entry["version"] for entry in found["versions"]]
        assert len(set(versions)) == len(versions)
        assert {one["path"]: versions[one["entry"]] for one in found["paths"]} == {
            "a": 6,
            "b": 6,
            "stars": 4,
            "title": 5,
        }
        inner = (await http.get("/blame/n", params={"path": "title", "version": 4})).json()
        assert [one["path"] for one in inner["paths"]] == ["title"]
        assert inner["versions"][0]["version"] == 1
        assert (await http.get("/blame/n", params={"path": "a..b"})).status_code == 400


# --- ways back -------------------------------------------------------------------------------------------------------


async def test_that_a_revert_shows_first_what_it_would_do() -> None:
    async with served() as (client, _, http):
        await fill(client)
        shown = await http.post("/revert/n?dry_run=true", json={"to": 1})
        assert shown.status_code == 200
        delta = Delta()
        for op in shown.json()["delta"]:
            delta = delta.set(op["path"], op["value"])
        assert delta.apply((await client.get("n")).value) == {"title": "A", "stars": 0}
        assert (await client.get("n")).version == 5
        made = await http.post("/revert/n", json={"to": 1}, params={"by": "bo"}, headers={"If-Match": '"5"'})
        assert (made.json()["version"], made.json()["by"], made.headers["ETag"]) == (6, "bo", '"6"')
        assert (await client.get("n")).value == {"title": "A", "stars": 0}


async def test_that_a_revert_is_to_a_time_a_tag_or_a_version_of_a_branch() -> None:
    async with served() as (client, _, http):
        await fill(client)
        second = (await client.get("n", version=2)).at.isoformat()
        for to, stars in (({"at": second}, 1), ({"tag": "import"}, 0), ("main:3", 2)):
            assert (await http.post("/revert/n", json={"to": to})).status_code == 200, to
            assert (await client.get("n")).value["stars"] == stars
        for bad in ({}, {"at": second, "tag": "import"}):
            assert (await http.post("/revert/n", json={"to": bad})).status_code == 400
        for bad in (0, None, [], {"at": "2026-01-01T00:00:00"}):
            assert (await http.post("/revert/n", json={"to": bad})).status_code == 422


async def test_that_a_late_revert_is_not_done() -> None:
    async with served() as (client, _, http):
        await fill(client)
        answer = await http.post("/revert/n", json={"to": 1}, headers={"If-Match": '"4"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict")
        assert (await client.get("n")).version == 5


async def test_that_one_version_is_undone_or_the_conflict_is_shown() -> None:
    async with served() as (client, _, http):
        await fill(client)
        shown = await http.post("/undo/n?dry_run=true", json={"version": 5})
        assert shown.json() == {"delta": [{"op": "set", "path": "title", "value": "A"}]}
        made = await http.post("/undo/n", json={"version": 5}, headers={"Idempotency-Key": "k"})
        assert made.json()["version"] == 6
        again = await http.post("/undo/n", json={"version": 5}, headers={"Idempotency-Key": "k"})
        assert (again.json()["version"], again.json()["repeat"]) == (6, True)
        failed = await http.post("/undo/n", json={"version": 2})
        assert (failed.status_code, failed.json()["code"]) == (409, "undo_conflict")
        assert failed.json()["data"]["conflicts"][0]["path"] == "stars"


# --- tags ------------------------------------------------------------------------------------------------------------


async def test_that_tags_are_given_and_taken_once_under_one_key() -> None:
    async with served() as (client, _, http):
        await fill(client)
        body = {"version": 1, "add": ["released", "x"], "remove": ["import"]}
        for _ in range(2):
            answer = await http.post("/tags/n", json=body, headers={"Idempotency-Key": "k" * 256})
            assert (answer.status_code, answer.json()) == (200, {"tags": ["released", "x"]})
        assert (await client.get("n", tag="released")).version == 1
        assert (await http.post("/tags/n", json={"version": 1})).status_code == 400
        assert (await http.post("/tags/n", json={"version": 1, "add": ["a"], "remove": ["a"]})).status_code == 400
        assert (await http.post("/tags/n", json={"version": 9, "add": ["a"]})).status_code == 404


async def test_that_the_past_needs_a_right_of_its_own() -> None:
    role = Role(grants=[Grant(documents="n", actions=["read"])])
    async with guarded(role) as found:
        await fill(found.client)
        assert (await found.http.get("/documents/n")).status_code == 200
        for url in ("/history/n", "/diff/n?from=1", "/blame/n", "/documents/n?version=1"):
            assert (await found.http.get(url)).status_code == 403, url
        for url, body in (
            ("/revert/n", {"to": 1}),
            ("/undo/n", {"version": 5}),
            ("/tags/n", {"version": 1, "add": ["a"]}),
        ):
            assert (await found.http.post(url, json=body)).status_code == 403, url
