"""Perspectives, roles, tokens and schemas over HTTP: each comes back as it was written, and only who may sees any of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from gateway_kit import guarded, served

from palimpsest import Grant, Role
from palimpsest.errors import InvalidRequest
from palimpsest.web.system import RoleView, view_of_role

pytestmark = pytest.mark.anyio

READER = Role(grants=(Grant(documents="notes/**", actions=("read", "subscribe", "history")),))

DEFINITIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("/perspectives", {"include": ["title"], "mask": {"code": {"kind": "last"}}}, {"include": ["title", "body"]}),
    ("/roles", {"grants": [{"documents": "notes/**", "actions": ["read"]}]}, {"description": "nothing"}),
    ("/schemas", {"documents": "notes/**", "schema": {"type": "object"}}, {"documents": "x", "schema": {}}),
    ("/retention", {"documents": "notes/**", "versions": 3}, {"documents": "notes/**", "seconds": 60.5}),
    ("/reconcile/sources", {"documents": "devices", "depth": 1}, {"documents": "devices/**", "direction": "both"}),
]
each_kind = pytest.mark.parametrize(("path", "first", "second"), DEFINITIONS, ids=[one[0] for one in DEFINITIONS])


# --- what all kinds have in common -----------------------------------------------------------------------------------


def holds(said: Any, answer: Any) -> bool:
    """Whether the answer says all of what was said, and perhaps more."""
    if isinstance(said, dict):
        return all(name in answer and holds(value, answer[name]) for name, value in said.items())
    return bool(said == answer)


@each_kind
async def test_a_definition_comes_back_as_it_was_written(path: str, first: Any, second: Any) -> None:
    async with served() as (client, _, http):
        made = await http.put(f"{path}/one", json=first, params={"by": "ana", "description": "first"})
        assert made.status_code == 201, made.text
        assert (made.json()["version"], made.json()["by"], made.headers["etag"]) == (1, "ana", '"1"')
        found = await http.get(f"{path}/one")
        assert holds(first | {"name": "one"} if path != "/reconcile/sources" else first, found.json())
        assert found.headers["etag"] == '"1"'
        replaced = await http.put(f"{path}/one", json=second)
        assert (replaced.status_code, replaced.json()["kind"]) == (200, "update")
        assert holds(second, (await http.get(f"{path}/one")).json())
        deleted = await http.delete(f"{path}/one", params={"by": "bo"})
        assert (deleted.status_code, deleted.json()["kind"], deleted.json()["by"]) == (200, "delete", "bo")
        assert (await http.get(f"{path}/one")).status_code == 404
        past = [version.kind.name async for version in client.history(made.json()["document"])]
        assert past == ["DELETE", "UPDATE", "CREATE"]


@each_kind
async def test_what_is_read_can_be_written_back(path: str, first: Any, second: Any) -> None:
    async with served() as (_, _, http):
        await http.put(f"{path}/one", json=first)
        found = (await http.get(f"{path}/one")).json()
        assert (await http.put(f"{path}/one", json=found)).status_code == 200
        assert (await http.get(f"{path}/one")).json() == found


@each_kind
async def test_conditions_hold_and_a_repeat_is_harmless(path: str, first: Any, second: Any) -> None:
    async with served() as (_, _, http):
        key = {"Idempotency-Key": "k-1"}
        once = await http.put(f"{path}/one", json=first, headers={"If-None-Match": "*"} | key)
        again = await http.put(f"{path}/one", json=first, headers={"If-None-Match": "*"} | key)
        assert (once.status_code, again.json()["version"], again.json()["repeat"]) == (201, 1, True)
        assert (await http.put(f"{path}/one", json=second, headers={"If-None-Match": "*"})).status_code == 412
        assert (await http.put(f"{path}/one", json=second, headers={"If-Match": '"1"'})).status_code == 200
        late = await http.put(f"{path}/one", json=first, headers={"If-Match": '"1"'})
        assert (late.status_code, late.json()["data"]["actual"]) == (412, 2)
        assert (await http.delete(f"{path}/one", headers={"If-Match": '"1"'})).status_code == 412
        known = await http.get(f"{path}/one", headers={"If-None-Match": '"2"'})
        assert (known.status_code, known.content) == (304, b"")


@each_kind
async def test_lists_come_in_pages(path: str, first: Any, second: Any) -> None:
    async with served() as (_, _, http):
        for name in ("a", "b", "c", "d", "e"):
            await http.put(f"{path}/{name}", json=first)
        found: list[str] = []
        following: str | None = f"{path}?limit=2"
        pages = 0
        while following is not None:
            response = await http.get(following)
            found += [item["name"] for item in response.json()["items"]]
            following = response.json()["next"]
            assert response.headers.get("link") == (None if following is None else f'<{following}>; rel="next"')
            pages += 1
        assert (found, pages) == (["a", "b", "c", "d", "e"], 3)


@each_kind
@pytest.mark.parametrize("name", ["a%2Fb", "*", "%2A%2A"])
async def test_what_is_no_name_is_refused(path: str, first: Any, second: Any, name: str) -> None:
    async with served() as (_, _, http):
        assert (await http.put(f"{path}/{name}", json=first)).status_code in (400, 404, 405)
        assert (await http.get(path)).json()["items"] == []


@each_kind
async def test_a_body_for_another_name_is_refused(path: str, first: Any, second: Any) -> None:
    async with served() as (_, _, http):
        response = await http.put(f"{path}/one", json=first | {"name": "other"})
        assert response.status_code == 400
        assert "'other'" in response.json()["detail"]


@each_kind
async def test_a_field_that_there_is_not_is_refused(path: str, first: Any, second: Any) -> None:
    async with served() as (_, _, http):
        response = await http.put(f"{path}/one", json=first | {"unheard_of": 1})
        assert response.status_code == 422
        assert "unheard_of" in response.json()["detail"]


@each_kind
async def test_who_has_no_right_to_them_learns_nothing(path: str, first: Any, second: Any) -> None:
    async with guarded(READER) as reader:
        assert (await reader.admin.put(f"{path}/one", json=first)).status_code == 201
        answers = [
            await reader.http.get(path),
            await reader.http.get(f"{path}/one"),
            await reader.http.get(f"{path}/none"),
            await reader.http.put(f"{path}/one", json=second),
            await reader.http.delete(f"{path}/one"),
            await httpx.AsyncClient.get(reader.http, path, headers={"Authorization": "Bearer nonsense"}),
        ]
        assert [answer.status_code for answer in answers] == [403, 403, 403, 403, 403, 401]
        assert holds(first, (await reader.admin.get(f"{path}/one")).json())


# --- perspectives ----------------------------------------------------------------------------------------------------


async def previewed(http: httpx.AsyncClient, perspective: dict[str, Any], document: str = "notes/1") -> Any:
    response = await http.post("/perspectives/preview", json={"perspective": perspective, "document": document})
    assert response.status_code == 200, response.text
    return response.json()


VALUE = {"title": "A", "code": "0123456789", "meta": {"stars": 3, "tags": ["x"]}}


@pytest.mark.parametrize(
    ("perspective", "seen"),
    [
        ({"include": ["title"]}, {"title": "A"}),
        ({"include": ["**"], "exclude": ["meta.tags", "code"]}, None),
        ({"include": ["meta"], "rename": {"meta": "about"}}, {"about": VALUE["meta"]}),
        ({"include": ["code"], "mask": {"code": {"kind": "last", "characters": 2}}}, {"code": "***89"}),
        ({"include": ["title"], "compute": {"stars": "meta.stars"}}, {"title": "A", "stars": 3}),
        ({}, {}),
    ],
)
async def test_a_preview_is_what_the_kept_definition_shows(perspective: dict[str, Any], seen: Any) -> None:
    async with served() as (client, _, http):
        await client.create("notes/1", VALUE)
        kept = await http.put("/perspectives/kept", json=perspective)
        if kept.status_code != 201:
            refused = await http.post("/perspectives/preview", json={"perspective": perspective, "document": "notes/1"})
            assert (refused.status_code, refused.json()["code"]) == (kept.status_code, kept.json()["code"])
            return
        through = await http.get("/documents/notes/1", params={"perspective": "kept"})
        found = await previewed(http, perspective)
        assert found == {"value": through.json(), "shown": True}
        if seen is not None:
            assert found["value"] == seen


async def test_a_preview_builds_on_what_is_kept_and_keeps_nothing() -> None:
    async with served() as (client, _, http):
        await client.create("notes/1", VALUE)
        await http.put("/perspectives/low", json={"include": ["title"], "family": "f", "level": 1})
        family = await previewed(http, {"name": "high", "include": ["code"], "family": "f", "level": 2})
        assert family["value"] == {"title": "A", "code": "0123456789"}
        child = await previewed(http, {"extends": "low", "include": ["meta.stars"]})
        assert child["value"] == {"title": "A", "meta": {"stars": 3}}
        edited = await previewed(http, {"name": "low", "include": ["code"], "family": "f", "level": 1})
        assert edited["value"] == {"code": "0123456789"}
        assert [item["name"] for item in (await http.get("/perspectives")).json()["items"]] == ["low"]


async def test_a_preview_of_a_document_that_the_perspective_is_not_for_shows_nothing() -> None:
    async with served() as (client, _, http):
        await client.create("notes/1", VALUE)
        assert await previewed(http, {"documents": "other/*", "include": ["title"]}) == {"value": None, "shown": False}


@pytest.mark.parametrize(
    ("perspective", "path"),
    [
        ({"include": ["a..b"]}, "include.0"),
        ({"include": ["x"], "compute": {"y": "length("}}, "compute.y"),
        ({"include": ["x"], "extends": "missing"}, "extends"),
        ({"include": ["x"], "family": "f", "level": 2}, "level"),
    ],
)
async def test_an_error_of_a_preview_points_at_the_place(perspective: dict[str, Any], path: str) -> None:
    async with served() as (client, _, http):
        await client.create("notes/1", VALUE)
        response = await http.post("/perspectives/preview", json={"perspective": perspective, "document": "notes/1"})
        assert response.json()["code"] == "invalid_perspective"
        assert response.json()["data"]["path"] == path
        assert response.json()["data"]["reason"]


async def test_a_preview_shows_nothing_that_its_reader_may_not_read() -> None:
    async with guarded(READER) as reader:
        await reader.client.create("notes/1", VALUE)
        await reader.client.create("secrets/1", VALUE)
        assert (await previewed(reader.http, {"include": ["title"]}))["value"] == {"title": "A"}
        body = {"perspective": {"include": ["title"]}, "document": "secrets/1"}
        assert (await reader.http.post("/perspectives/preview", json=body)).status_code == 403
        body = {"perspective": {"include": ["title"], "extends": "others"}, "document": "notes/1"}
        assert (await reader.http.post("/perspectives/preview", json=body)).status_code == 403


# --- roles -----------------------------------------------------------------------------------------------------------


def grant(documents: str, *actions: str, **others: Any) -> Grant:
    return Grant(documents=documents, actions=actions, **others)


@pytest.mark.parametrize(
    ("grants", "seen"),
    [
        ((), RoleView(actions=[], perspective=None, level=None)),
        ((grant("notes/*", "read", "write"),), RoleView(actions=["read", "write"], perspective=None, level=None)),
        ((grant("other/*", "read"),), RoleView(actions=[], perspective=None, level=None)),
        (
            (grant("notes/*", "read", perspective="public"), grant("notes/1", "history")),
            RoleView(actions=["read", "history"], perspective="public", level=None),
        ),
        (
            (grant("notes/*", "read", perspective="f", level=1), grant("notes/1", "read", perspective="f", level=3)),
            RoleView(actions=["read"], perspective="f", level=3),
        ),
        (
            (grant("notes/*", "read", perspective="public"), grant("notes/*", "read")),
            RoleView(actions=["read"], perspective=None, level=None),
        ),
        ((grant("**", "observe"),), RoleView(actions=[], perspective=None, level=None)),
    ],
)
def test_what_a_role_gets_of_a_document(grants: tuple[Grant, ...], seen: RoleView) -> None:
    assert view_of_role("some", Role(grants=grants), "notes/1") == seen


def test_admin_gets_everything() -> None:
    view = view_of_role("admin", None, "notes/1")
    assert {"read", "write", "admin"} <= set(view.actions)
    assert view.perspective is None


def test_a_role_that_would_have_to_choose_is_told_so() -> None:
    grants = (grant("notes/*", "read", perspective="one"), grant("notes/*", "read", perspective="other"))
    with pytest.raises(InvalidRequest, match="one, other"):
        view_of_role("some", Role(grants=grants), "notes/1")


async def test_the_view_of_a_role_is_what_its_reader_is_given() -> None:
    async with guarded(Role(grants=(grant("notes/**", "read", perspective="public"),))) as reader:
        await reader.admin.put("/perspectives/public", json={"include": ["title"]})
        await reader.client.create("notes/1", VALUE)
        view = (await reader.admin.get("/roles/reader/view", params={"document": "notes/1"})).json()
        assert view == {"actions": ["read"], "perspective": "public", "level": None}
        through = await reader.admin.get("/documents/notes/1", params={"perspective": view["perspective"]})
        assert (await reader.http.get("/documents/notes/1")).json() == through.json() == {"title": "A"}
        assert (await reader.http.get("/roles/reader/view", params={"document": "notes/1"})).status_code == 403


async def test_the_role_admin_is_not_written() -> None:
    async with served() as (_, _, http):
        assert (await http.put("/roles/admin", json={})).status_code == 400


# --- tokens ----------------------------------------------------------------------------------------------------------


async def test_a_token_is_shown_once_and_works_until_it_is_revoked() -> None:
    async with guarded(READER) as reader:
        body = {"principal": "bo", "roles": ["reader"], "expires_seconds": 3600, "description": "a tablet"}
        made = await reader.admin.post("/tokens", json=body, params={"by": "root"})
        assert made.status_code == 201
        token, id = made.json()["token"], made.json()["id"]
        headers = {"Authorization": f"Bearer {token}"}
        assert (await reader.http.get("/whoami", headers=headers)).json() == {"principal": "bo", "open": False}
        listed = await reader.admin.get("/tokens")
        (one,) = [item for item in listed.json()["items"] if item["id"] == id]
        assert one == {name: value for name, value in made.json().items() if name != "token"}
        assert (one["roles"], one["certificate"], one["description"]) == (["reader"], None, "a tablet")
        assert one["expires_at"] > one["created_at"]
        revoked = await reader.admin.delete(f"/tokens/{id}")
        assert (revoked.status_code, revoked.json()["kind"]) == (200, "delete")
        assert (await reader.http.get("/whoami", headers=headers)).status_code == 401


async def test_no_answer_but_the_first_has_a_token_or_a_digest() -> None:
    async with guarded(READER) as reader:
        made = (await reader.admin.post("/tokens", json={"principal": "bo", "roles": ["reader"]})).json()
        document = await reader.client.get(f"$system/tokens/{made['id']}")
        secrets = [made["token"], made["token"].rpartition("_")[2], document.value["digest"], reader.text]
        paths = ["/tokens", "/status", "/metrics", "/whoami", "/roles", "/usage", "/openapi.json", "/subscriptions"]
        texts = [(await reader.admin.get(path)).text for path in paths]
        texts.append((await reader.http.get("/tokens")).text)
        texts.append((await reader.admin.delete(f"/tokens/{made['id']}")).text)
        assert all(text for text in texts)
        assert [secret for secret in secrets for text in texts if secret in text] == []


async def test_a_certificate_stands_in_for_a_text() -> None:
    async with guarded(READER) as reader:
        body = {"principal": "bo", "roles": ["reader"], "certificate": "bo.example", "expires": "2100-01-01T00:00:00Z"}
        made = (await reader.admin.post("/tokens", json=body)).json()
        assert (made["token"], made["certificate"]) == (None, "bo.example")
        assert made["expires_at"] == "2100-01-01T00:00:00Z"


async def test_the_first_token_closes_the_server_and_the_last_one_is_not_revoked_by_mistake() -> None:
    async with served() as (_, _, http):
        assert (await http.post("/tokens", json={"principal": "bo", "roles": ["reader"]})).status_code == 400
        made = (await http.post("/tokens", json={"principal": "root", "roles": ["admin"]})).json()
        assert (await http.get("/tokens")).status_code == 401
        headers = {"Authorization": f"Bearer {made['token']}"}
        assert (await http.delete(f"/tokens/{made['id']}", headers=headers)).status_code == 400
        last = await http.delete(f"/tokens/{made['id']}", headers=headers, params={"last": "true"})
        assert last.status_code == 200
        assert (await http.get("/whoami")).json() == {"principal": "anonymous", "open": True}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"roles": "admin"}, 422),
        ({"principal": ""}, 422),
        ({"expires": "2000-01-01T00:00:00Z"}, 400),
        ({"expires": "2100-01-01T00:00:00Z", "expires_seconds": 1}, 400),
        ({"expires_seconds": 0}, 422),
        ({"limits": {"connections_max": 0}}, 422),
        ({"digest": "0" * 64}, 422),
    ],
)
async def test_a_token_that_makes_no_sense(change: dict[str, Any], status: int) -> None:
    async with guarded(READER) as reader:
        response = await reader.admin.post("/tokens", json={"principal": "bo", "roles": ["reader"]} | change)
        assert response.status_code == status, response.text
        assert len((await reader.admin.get("/tokens")).json()["items"]) == 2


async def test_who_has_no_right_to_tokens_makes_none() -> None:
    async with guarded(READER) as reader:
        body = {"principal": "ana", "roles": ["admin"]}
        answers = [
            await reader.http.post("/tokens", json=body),
            await reader.http.get("/tokens"),
            await reader.http.delete(f"/tokens/{reader.id}"),
        ]
        assert [answer.status_code for answer in answers] == [403, 403, 403]
        assert len((await reader.admin.get("/tokens")).json()["items"]) == 2


# --- schemas ---------------------------------------------------------------------------------------------------------


async def test_a_schema_that_a_document_breaks_is_not_taken_unless_it_is_wanted() -> None:
    body = {"documents": "notes/**", "schema": {"required": ["title"]}}
    async with served() as (client, _, http):
        await client.create("notes/1", {})
        refused = await http.put("/schemas/notes", json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "schema_violation")
        assert (await http.get("/schemas/notes")).status_code == 404
        assert (await http.put("/schemas/notes", json=body, params={"check": "false"})).status_code == 201
        assert (await http.put("/documents/notes/2", json={})).status_code == 422
        assert (await http.put("/documents/notes/2", json={"title": "A"})).status_code == 201


async def test_a_schema_that_makes_no_sense_says_where() -> None:
    async with served() as (_, _, http):
        response = await http.put("/schemas/notes", json={"documents": "notes/**", "schema": {"type": "text"}})
        assert response.json()["code"] == "invalid_value"
        assert response.json()["data"]["path"] == "schema.type"
