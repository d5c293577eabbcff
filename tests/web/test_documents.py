from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

import pytest
from gateway_kit import guarded, served

from palimpsest import Grant, Increment, Perspective, Role
from palimpsest.limits import HttpLimits

pytestmark = pytest.mark.anyio

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
DELTA = "application/vnd.palimpsest.delta+json"


async def patch(http: Any, name: str, media_type: str, body: Any, **headers: str) -> Any:
    content = json.dumps(body)
    return await http.patch(f"/documents/{name}", content=content, headers={"Content-Type": media_type, **headers})


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_that_a_value_is_read_with_its_version_in_the_headers() -> None:
    async with served() as (client, _, http):
        made = await client.create("notes/1", {"title": "A"}, by="ana")
        answer = await http.get("/documents/notes/1")
        assert (answer.status_code, answer.json()) == (200, {"title": "A"})
        assert answer.headers["ETag"] == '"1"'
        assert answer.headers["Palimpsest-Version"] == "1"
        assert answer.headers["Palimpsest-Branch"] == "main"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert "Authorization" in answer.headers["Vary"]
        assert answer.headers["Last-Modified"] == made.at.strftime("%a, %d %b %Y %H:%M:%S GMT")


async def test_that_an_envelope_has_what_is_known_of_the_version() -> None:
    async with served() as (client, _, http):
        made = await client.create("notes/1", [1], by="ana", description="first", tags={"b", "a"})
        found = (await http.get("/documents/notes/1", params={"envelope": "true"})).json()
        assert datetime.fromisoformat(found.pop("at")) == made.at
        assert found == {
            "document": "notes/1",
            "branch": "main",
            "version": 1,
            "kind": "create",
            "by": "ana",
            "description": "first",
            "tags": ["a", "b"],
            "value": [1],
        }


async def test_that_older_versions_are_read_by_number_time_and_tag() -> None:
    async with served() as (client, _, http):
        made = await client.create("n", 1, tags={"old"})
        await client.update("n", {"": 2})
        for query in ({"version": "1"}, {"tag": "old"}, {"at": made.at.isoformat()}):
            answer = await http.get("/documents/n", params=query)
            assert (answer.json(), answer.headers["Palimpsest-Version"]) == (1, "1"), query
        assert (await http.get("/documents/n", params={"version": "1", "tag": "old"})).status_code == 400
        assert (await http.get("/documents/n", params={"version": "3"})).status_code == 404
        assert (await http.get("/documents/n", params={"at": "2026-01-01T00:00:00"})).status_code == 400


async def test_that_a_branch_is_read_and_its_name_is_fit_for_a_header() -> None:
    async with served() as (client, _, http):
        await client.create("n", 1)
        await client.branch("n", "Entwürfe/ß 1")
        await client.update("n", {"": 2}, branch="Entwürfe/ß 1")
        answer = await http.get("/documents/n", params={"branch": "Entwürfe/ß 1"})
        assert answer.json() == 2
        assert unquote(answer.headers["Palimpsest-Branch"]) == "Entwürfe/ß 1"


async def test_that_names_may_be_of_any_script_and_have_odd_characters() -> None:
    async with served() as (client, _, http):
        for name in ("файлы/a b.txt", "what?/100%/#1", 'a"b<c>', "a%2Fb"):
            await client.create(name, name)
            assert (await http.get(f"/documents/{quote(name, safe='/')}")).json() == name


async def test_that_a_path_that_is_no_text_is_refused() -> None:
    async with served() as (_, _, http):
        answer = await http.put("/documents/a%ff", json=1)
        assert answer.status_code == 400
        assert "UTF-8" in answer.json()["detail"]


async def test_that_what_is_known_is_not_sent_again() -> None:
    async with served() as (client, _, http):
        await client.create("n", 1)
        for tags in ('"1"', 'W/"1"', '"7", "1"', "*"):
            answer = await http.get("/documents/n", headers={"If-None-Match": tags})
            assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", '"1"'), tags
        await client.update("n", {"": 2})
        assert (await http.get("/documents/n", headers={"If-None-Match": '"1"'})).json() == 2


async def test_that_head_says_the_same_without_a_body() -> None:
    async with served() as (client, _, http):
        await client.create("n", {"title": "A"})
        whole, head = await http.get("/documents/n"), await http.head("/documents/n")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["ETag"] == whole.headers["ETag"]
        assert head.headers["Content-Length"] == whole.headers["Content-Length"]


async def test_that_a_tag_of_a_view_changes_with_what_is_seen() -> None:
    async with served() as (client, _, http):
        await client.create("notes/1", {"title": "A", "secret": 1})
        await client.perspectives.put(Perspective(name="p", documents="notes/*", include=["title"]))
        first = await http.get("/documents/notes/1", params={"perspective": "p"})
        assert first.json() == {"title": "A"}
        assert first.headers["ETag"].startswith('"1.')
        known = {"If-None-Match": first.headers["ETag"]}
        assert (await http.get("/documents/notes/1", params={"perspective": "p"}, headers=known)).status_code == 304
        await client.perspectives.put(Perspective(name="p", documents="notes/*", include=["title", "secret"]))
        second = await http.get("/documents/notes/1", params={"perspective": "p"}, headers=known)
        assert (second.status_code, second.json()) == (200, {"title": "A", "secret": 1})


async def test_that_a_view_by_a_role_is_never_taken_for_an_older_one() -> None:
    role = Role(grants=[Grant(documents="notes/*", actions=["read"], perspective="p")])
    async with guarded(role) as found:
        await found.client.create("notes/1", {"title": "A", "secret": 1})
        await found.client.perspectives.put(Perspective(name="p", documents="notes/*", include=["title", "secret"]))
        first = await found.http.get("/documents/notes/1")
        await found.client.perspectives.put(Perspective(name="p", documents="notes/*", include=["title"]))
        second = await found.http.get("/documents/notes/1", headers={"If-None-Match": first.headers["ETag"]})
        assert (second.status_code, second.json()) == (200, {"title": "A"})


async def test_that_an_erased_past_is_never_taken_for_what_it_was() -> None:
    async with served() as (client, _, http):
        await client.create("n", {"name": "Ana", "x": 1})
        await client.update("n", {"x": 2})
        first = await http.get("/documents/n", params={"version": "1"})
        assert first.json() == {"name": "Ana", "x": 1}
        await client.erase("n", path="name")
        second = await http.get(
            "/documents/n", params={"version": "1"}, headers={"If-None-Match": first.headers["ETag"]}
        )
        assert (second.status_code, second.json()) == (200, {"x": 1})


async def test_that_numbers_keep_their_kind_and_size() -> None:
    async with served() as (_, _, http):
        text = "[18446744073709551615,-9223372036854775808,1.0,-0.5,1e300]"
        answer = await http.put("/documents/n", content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201
        assert (await http.get("/documents/n")).text == text


# --- listing ---------------------------------------------------------------------------------------------------------


async def test_that_names_come_in_pages_whose_links_keep_the_question() -> None:
    async with served() as (client, _, http):
        for name in ("notes/1", "notes/ä&b", "notes/3", "other/1"):
            await client.create(name, 1)
        await client.delete("notes/3")
        url, found, pages = "/documents?pattern=notes/*&deleted=true&limit=1", [], 0
        while url:
            answer = await http.get(url)
            page = answer.json()
            found += [item["document"] for item in page["items"]]
            if page["next"]:
                assert answer.headers["Link"] == f'<{page["next"]}>; rel="next"'
            else:
                assert "Link" not in answer.headers
            url, pages = page["next"], pages + 1
        assert found == ["notes/1", "notes/3", "notes/ä&b"]
        assert pages == 3


async def test_that_a_page_is_no_longer_than_the_gateway_lets_it_be() -> None:
    async with served(HttpLimits(page_items_max=2)) as (client, _, http):
        for number in range(3):
            await client.create(f"n/{number}", number)
        page = (await http.get("/documents", params={"limit": 1000})).json()
        assert len(page["items"]) == 2
        assert [item["document"] for item in (await http.get(page["next"])).json()["items"]] == ["n/2"]


async def test_that_a_page_of_values_ends_where_they_are_large() -> None:
    async with served(HttpLimits(page_bytes_max=1_000)) as (client, _, http):
        for number in range(4):
            await client.create(f"n/{number}", "x" * 400)
        url, sizes = "/documents?values=true", []
        while url:
            page = (await http.get(url)).json()
            assert all(item["value"] == "x" * 400 and item["version"] == 1 for item in page["items"])
            sizes.append(len(page["items"]))
            url = page["next"]
        assert sizes == [2, 2]


async def test_that_what_does_not_fit_a_query_is_refused_by_its_name() -> None:
    async with served() as (_, _, http):
        for query, named in (
            ("limit=0", "limit"),
            ("nope=1", "nope"),
            ("branch=a&branch=b", "branch"),
            ("limit=x", "limit"),
        ):
            answer = await http.get(f"/documents?{query}")
            assert answer.status_code == 400
            assert f"`{named}`" in answer.json()["detail"]
            assert answer.headers["Content-Type"] == "application/problem+json"


# --- writing ---------------------------------------------------------------------------------------------------------


async def test_that_a_put_makes_and_then_replaces() -> None:
    async with served() as (client, _, http):
        query = {"by": "ana", "description": "why", "tags": ["b", "a"]}
        first = await http.put("/documents/notes/1", json={"a": 1}, params=query)
        assert (first.status_code, first.headers["ETag"]) == (201, '"1"')
        assert first.headers["Location"] == "/documents/notes/1"
        made = first.json()
        assert (made["kind"], made["by"], made["description"], made["tags"]) == ("create", "ana", "why", ["a", "b"])
        second = await http.put("/documents/notes/1", json={"b": 2})
        assert (second.status_code, second.json()["kind"], second.headers["ETag"]) == (200, "update", '"2"')
        assert "Location" not in second.headers
        assert (await client.get("notes/1")).value == {"b": 2}


async def test_that_a_put_makes_a_document_on_a_branch_of_its_own() -> None:
    async with served() as (client, _, http):
        answer = await http.put("/documents/n", json=1, params={"branch": "draft"})
        assert (answer.status_code, answer.json()["branch"]) == (201, "draft")
        assert (await client.get("n", branch="draft")).value == 1


async def test_that_puts_at_once_all_take_place_and_one_of_them_makes_it() -> None:
    async with served() as (_, _, http):
        answers = await asyncio.gather(*(http.put("/documents/n", json=number) for number in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
        assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 21))


async def test_that_a_put_is_done_whoever_makes_and_deletes_meanwhile() -> None:
    async with served() as (client, _, http):

        async def disturb() -> None:
            for _ in range(30):
                await http.put("/documents/n", json=0)
                await client.delete("n")

        answers, *_ = await asyncio.gather(
            asyncio.gather(*(http.put("/documents/n", json=number) for number in range(10))), disturb()
        )
        assert all(answer.status_code in (200, 201) for answer in answers)


@pytest.mark.parametrize("before", [None, 1, "deleted"])
async def test_that_a_repeated_put_is_answered_as_the_first_was(before: Any) -> None:
    async with served() as (client, _, http):
        if before is not None:
            await client.create("n", before)
        if before == "deleted":
            await client.delete("n")
        answers = [await http.put("/documents/n", json=5, headers={"Idempotency-Key": "k"}) for _ in range(3)]
        assert len({answer.status_code for answer in answers}) == 1
        first, *others = [answer.json() for answer in answers]
        assert (first["repeat"], first["request"]) == (False, "k")
        assert all(other == {**first, "repeat": True} for other in others)
        assert (await client.get("n")).version == first["version"]


async def test_that_a_put_and_its_repeat_at_once_are_one() -> None:
    async with served() as (client, _, http):
        key = {"Idempotency-Key": "k"}
        answers = await asyncio.gather(*(http.put("/documents/n", json=1, headers=key) for _ in range(10)))
        assert {(answer.status_code, answer.json()["version"]) for answer in answers} == {(201, 1)}
        assert [answer.json()["repeat"] for answer in answers].count(False) == 1
        await client.delete("n")
        assert (await http.put("/documents/n", json=1, headers=key)).json()["repeat"] is True
        assert (await http.get("/documents/n")).status_code == 404


async def test_that_documents_that_are_too_large_for_one_message_come_all_the_same() -> None:
    async with served() as (client, _, http):
        for number in range(4):
            await client.create(f"n/{number}", "x" * 7_000_000)
        url, found = "/documents?values=true", []
        while url:
            page = (await http.get(url)).json()
            found += [(item["document"], len(item["value"])) for item in page["items"]]
            url = page["next"]
        assert found == [(f"n/{number}", 7_000_000) for number in range(4)]


async def test_that_a_repeated_put_comes_too_late_to_undo_what_came_after_it() -> None:
    async with served() as (client, _, http):
        await http.put("/documents/n", json=1, headers={"Idempotency-Key": "k"})
        await client.update("n", {"": 2})
        assert (await http.put("/documents/n", json=1, headers={"Idempotency-Key": "k"})).json()["repeat"] is True
        assert (await client.get("n")).value == 2


async def test_that_a_condition_of_a_put_is_held() -> None:
    async with served() as (client, _, http):
        assert (await http.put("/documents/n", json=1, headers={"If-Match": "*"})).status_code == 412
        assert (await http.put("/documents/n", json=1, headers={"If-Match": '"1"'})).status_code == 412
        assert (await http.put("/documents/n", json=1, headers={"If-None-Match": "*"})).status_code == 201
        taken = await http.put("/documents/n", json=2, headers={"If-None-Match": "*"})
        assert (taken.status_code, taken.json()["code"]) == (412, "document_exists")
        assert (await http.put("/documents/n", json=2, headers={"If-Match": "*"})).status_code == 200
        late = await http.put("/documents/n", json=3, headers={"If-Match": '"1"'})
        assert (late.status_code, late.json()["data"]["actual"]) == (412, 2)
        assert (await http.put("/documents/n", json=3, headers={"If-Match": '"2.abc"'})).status_code == 200
        assert (await client.get("n")).value == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": "1"},
        {"If-Match": 'W/"1"'},
        {"If-Match": '"1", "2"'},
        {"If-Match": '"0"'},
        {"If-Match": '"99999999999999999999"'},
        {"If-Match": '"x"'},
        {"If-None-Match": '"1"'},
        {"If-Match": '"1"', "If-None-Match": "*"},
        {"Idempotency-Key": "a b"},
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "x" * 257},
    ],
)
async def test_that_what_is_no_condition_is_refused(headers: dict[str, str]) -> None:
    async with served() as (client, _, http):
        answer = await http.put("/documents/n", json=1, headers=headers)
        assert answer.status_code == 400
        assert [name async for name in client.list()] == []


async def test_that_a_json_patch_is_applied_as_the_rfc_says() -> None:
    async with served() as (client, _, http):
        await client.create("n", {"tags": ["a"], "x": 1})
        body = [
            {"op": "test", "path": "/x", "value": 1},
            {"op": "add", "path": "/tags/0", "value": "b"},
            {"op": "move", "from": "/x", "path": "/y"},
        ]
        assert (await patch(http, "n", JSON_PATCH, body)).status_code == 200
        assert (await client.get("n")).value == {"tags": ["b", "a"], "y": 1}
        failed = await patch(http, "n", JSON_PATCH, body)
        assert (failed.status_code, failed.json()["code"], failed.json()["data"]["op"]) == (422, "test_failed", 0)
        bad = await patch(http, "n", JSON_PATCH, [{"op": "nope", "path": "/x"}])
        assert (bad.status_code, bad.json()["data"]["op"]) == (422, 0)


async def test_that_a_merge_patch_is_applied_as_the_rfc_says() -> None:
    async with served() as (client, _, http):
        await client.create("n", {"a": {"b": 1, "c": 2}})
        answer = await patch(http, "n", MERGE_PATCH, {"a": {"b": None}, "d": [1]}, **{"If-Match": '"1"'})
        assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
        assert (await client.get("n")).value == {"a": {"c": 2}, "d": [1]}


async def test_that_a_delta_has_ops_in_our_own_words() -> None:
    async with served() as (client, _, http):
        await client.create("n", {"stars": 1, "tags": []})
        ops = [
            {"op": "increment", "path": "stars", "by": 2},
            {"op": "append", "path": "tags", "value": "x"},
            {"op": "set", "path": 'files["a.b"]', "value": None},
        ]
        assert (await patch(http, "n", DELTA, ops)).status_code == 200
        assert (await client.get("n")).value == {"stars": 3, "tags": ["x"], "files": {"a.b": None}}
        bad = await patch(http, "n", DELTA, [{"op": "delete", "path": "a"}, {"op": "delete", "path": "a..b"}])
        assert (bad.status_code, bad.json()["data"]["op"]) == (422, 1)
        assert (await patch(http, "n", DELTA, [{"op": "erase", "path": "stars"}])).status_code == 422


async def test_that_a_patch_needs_a_document_and_the_version_that_it_names() -> None:
    async with served() as (client, _, http):
        assert (await patch(http, "n", MERGE_PATCH, {"a": 1})).status_code == 404
        await client.create("n", {})
        assert (await patch(http, "n", MERGE_PATCH, {"a": 1}, **{"If-Match": '"2"'})).status_code == 412
        assert (await patch(http, "n", MERGE_PATCH, {"a": 1}, **{"If-None-Match": "*"})).status_code == 400
        wrong = await patch(http, "n", "text/plain", {"a": 1})
        assert wrong.status_code == 415
        assert MERGE_PATCH in wrong.headers["Accept"]


async def test_that_a_patch_goes_through_a_perspective() -> None:
    async with served() as (client, _, http):
        await client.create("notes/1", {"title": "A", "secret": 1})
        await client.perspectives.put(Perspective(name="p", documents="notes/*", include=["title"], writable=["title"]))
        content, kind = json.dumps({"title": "B"}), {"Content-Type": MERGE_PATCH}
        seen = await http.patch("/documents/notes/1?perspective=p", content=content, headers=kind)
        assert seen.status_code == 200
        content = json.dumps({"secret": 2})
        hidden = await http.patch("/documents/notes/1?perspective=p", content=content, headers=kind)
        assert (hidden.status_code, hidden.json()["code"]) == (403, "not_writable")
        assert (await client.get("notes/1")).value == {"title": "B", "secret": 1}


async def test_that_a_delete_is_a_version() -> None:
    async with served() as (client, _, http):
        await client.create("n", 1)
        assert (await http.delete("/documents/n", headers={"If-Match": '"2"'})).status_code == 412
        answer = await http.delete("/documents/n", params={"by": "bo"}, headers={"If-Match": '"1"'})
        assert (answer.status_code, answer.json()["kind"], answer.json()["version"]) == (200, "delete", 2)
        assert (await http.get("/documents/n")).status_code == 404
        assert (await http.delete("/documents/n")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', 400, "'c' is there twice"),
        (b'{"a": [1, 18446744073709551616]}', 422, "a.1"),
        (b'{"a": [1, 1e999]}', 422, "a.1"),
        (b'{"a": [1, 1' + b"0" * 9_000 + b"]}", 422, "a.1"),
        (b'{"a": NaN}', 400, "NaN"),
        (b'{"a": "\\ud800"}', 422, "surrogate"),
        (b'{"\\ud800": 1}', 422, "surrogate"),
        (b'"\xff"', 400, "UTF-8"),
        (b"{", 400, "not JSON"),
        (b"", 400, "not JSON"),
        (b"[" * 100 + b"]" * 100, 413, "depth_max"),
        (b"[" * 100_000 + b"]" * 100_000, 413, "deep"),
    ],
)
async def test_that_json_that_is_no_value_is_refused_clearly(body: bytes, status: int, detail: str) -> None:
    async with served() as (client, _, http):
        answer = await http.put("/documents/n", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status
        assert detail in answer.json()["detail"]
        assert [name async for name in client.list()] == []


async def test_that_what_a_reader_may_not_do_is_forbidden() -> None:
    role = Role(grants=[Grant(documents="notes/*", actions=["read"])])
    async with guarded(role) as found:
        await found.client.create("notes/1", 1)
        await found.client.create("other/1", 1)
        assert (await found.http.get("/documents/notes/1")).json() == 1
        for answer in (
            await found.http.get("/documents/other/1"),
            await found.http.put("/documents/notes/1", json=2),
            await found.http.delete("/documents/notes/1"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_that_a_writer_without_a_past_is_told_of_a_repeat_as_far_as_is_known() -> None:
    role = Role(grants=[Grant(documents="notes/*", actions=["read", "write"])])
    async with guarded(role) as found:
        key = {"Idempotency-Key": "k"}
        assert (await found.http.put("/documents/notes/1", json=1, headers=key)).status_code == 201
        assert (await found.http.put("/documents/notes/1", json=1, headers=key)).status_code == 201
        await found.client.update("notes/1", {"": Increment()})
        again = await found.http.put("/documents/notes/1", json=1, headers={"Idempotency-Key": "l"})
        repeated = await found.http.put("/documents/notes/1", json=1, headers={"Idempotency-Key": "l"})
        assert (again.status_code, repeated.status_code, repeated.json()["repeat"]) == (200, 200, True)
