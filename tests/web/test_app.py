"""The frame that all operations have in common, looked at from outside, as those would who mean no good."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from events_kit import events
from gateway_kit import Guarded, asker, guarded, served

from palimpsest import Client, Grant, Role
from palimpsest.limits import HttpLimits
from palimpsest.web import Gateway

pytestmark = pytest.mark.anyio

READER = Role(grants=[Grant(documents="**", actions=["read", "subscribe"])])
JSON = {"Content-Type": "application/json"}


async def raw(gateway: Gateway, *parts: bytes) -> bytes:
    """What is answered to these bytes until the connection is closed; nothing more is sent after them."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def until_idle(gateway: Gateway) -> None:
    """Nobody waits for a certain time here: it is over once nothing is under way any more."""
    while gateway.statistics()["uses"] or gateway.statistics()["opening"]:
        await anyio.sleep(0.001)


# --- who is let in ---------------------------------------------------------------------------------------------------


async def test_that_a_name_that_is_not_ours_is_turned_away() -> None:
    async with served() as (_, _, http):
        for path in ("/documents", "/openapi.json"):
            answer = await http.get(path, headers={"Host": "evil.example"})
            assert (answer.status_code, answer.headers["Content-Type"]) == (421, "application/problem+json")
        assert (await http.get("/healthz", headers={"Host": "evil.example"})).status_code == 200


async def test_that_a_gateway_may_have_other_names() -> None:
    async with (
        served() as (_, first, _),
        Gateway(first._server_url, names=["Palimpsest.example"]) as gateway,
        asker(gateway) as http,
    ):
        assert (await http.get("/documents", headers={"Host": "palimpsest.example:443"})).status_code == 200


async def test_that_a_page_of_another_site_is_not_answered() -> None:
    async with served() as (client, _, http):
        await client.create("n", 1)
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert (await http.get("/documents/n", headers=headers)).status_code == 401
            assert (await http.delete("/documents/n", headers=headers)).status_code == 401
        assert (await client.get("n")).version == 1


async def test_that_a_store_with_tokens_wants_one_and_says_so() -> None:
    async with guarded(READER) as found:
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic x"}):
            answer = await found.http.get("/documents", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_that_no_answer_and_no_log_has_a_token(capfd: pytest.CaptureFixture[str]) -> None:
    async with guarded(READER) as found:
        answers = [
            await found.http.get("/documents"),
            await found.http.put("/documents/n", json=1),
            await found.http.get("/documents/n", params={"limit": found.text}),
            await found.http.get("/nowhere"),
        ]
        async with asker(found.gateway, found.text + "x") as wrong:
            answers.append(await wrong.get("/documents"))
        assert [answer.status_code for answer in answers] == [200, 403, 400, 404, 401]
        shown = "".join(answer.text + repr(answer.headers) for answer in answers) + repr(vars(found.gateway._callers))
    printed = capfd.readouterr()
    assert found.text not in shown + printed.out + printed.err


async def test_that_a_token_that_is_revoked_is_of_no_use_from_then_on() -> None:
    async with guarded(READER) as found:
        assert (await found.http.get("/documents")).status_code == 200
        assert found.gateway.statistics()["callers"] == 1
        await found.client.tokens.revoke(found.id)
        assert (await found.http.get("/documents")).status_code == 401
        assert (await found.http.get("/documents")).status_code == 401
        await until_idle(found.gateway)
        assert found.gateway.statistics() == {"callers": 0, "opening": 0, "uses": 0, "body_bytes": 0}


async def test_that_rights_that_change_are_those_of_the_next_request() -> None:
    async with guarded(READER) as found:
        await found.client.create("n", 1)
        assert (await found.http.get("/documents/n")).status_code == 200
        await found.client.roles.put("reader", Role(grants=[Grant(documents="other", actions=["read"])]))
        assert (await found.http.get("/documents/n")).status_code == 403


# --- how many --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def two() -> AsyncIterator[tuple[Guarded, Gateway, httpx.AsyncClient, httpx.AsyncClient]]:
    """A gateway that keeps one connection only, and two who ask it."""
    limits = HttpLimits(callers_max=1, openings_max=2)
    async with guarded(READER) as found, Gateway(found.gateway._server_url, limits=limits) as gateway:
        token = await found.client.tokens.create("bo", roles=["reader"])
        async with asker(gateway, found.text) as ana, asker(gateway, token.text) as bo:
            yield found, gateway, ana, bo


async def test_that_the_one_that_is_idle_makes_room(
    two: tuple[Guarded, Gateway, httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    _, gateway, ana, bo = two
    for http in (ana, bo, ana, bo):
        assert (await http.get("/documents")).status_code == 200
        await until_idle(gateway)
        assert gateway.statistics()["callers"] == 1


async def test_that_one_in_use_is_not_taken_from_its_stream(
    two: tuple[Guarded, Gateway, httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    found, gateway, ana, bo = two
    async with events(ana) as stream:
        await stream.next("state")
        refused = await bo.get("/documents")
        assert (refused.status_code, refused.json()["data"]["limit"]) == (503, "callers_max")
        assert refused.headers["Retry-After"] == "1"
        await found.client.create("n", 1)
        assert (await stream.next("change")).data["document"] == "n"
    await until_idle(gateway)
    assert (await bo.get("/documents")).status_code == 200


async def test_that_whoever_tries_tokens_is_kept_within_bounds(
    two: tuple[Guarded, Gateway, httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    found, _, ana, _ = two
    limits = HttpLimits(openings_max=2)
    async with Gateway(found.gateway._server_url, limits=limits) as gateway, asker(gateway) as http:
        headers = [{"Authorization": f"Bearer wrong{number}"} for number in range(60)]
        answers = await asyncio.gather(*(http.get("/documents", headers=each) for each in headers))
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) <= {401, 503}
        assert statuses.count(401) >= 10
        await until_idle(gateway)
        assert gateway.statistics()["callers"] == 0
        assert (await http.get("/documents", headers=dict(ana.headers))).status_code == 200


async def test_that_one_who_gives_up_leaves_nothing_behind() -> None:
    async with guarded(READER) as found:
        async with events(found.http) as stream:
            await stream.next("state")
            assert found.gateway.statistics()["uses"] == 1
        await until_idle(found.gateway)
        assert (await found.http.get("/documents")).status_code == 200


# --- bodies ----------------------------------------------------------------------------------------------------------


async def test_that_a_body_that_announces_too_much_is_refused_before_it_comes() -> None:
    async with served() as (_, gateway, _):
        head = b"PUT /documents/n HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        answer = await raw(gateway, head + b"Connection: close\r\nContent-Length: 99999999999999999\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert gateway.statistics()["body_bytes"] == 0


async def test_that_a_body_that_grows_too_large_is_refused() -> None:
    async with served(HttpLimits(body_bytes_max=1_000)) as (_, gateway, http):

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b'"' + b"x" * 100

        answer = await http.put("/documents/n", content=chunks(), headers=JSON)
        assert answer.status_code == 413
        assert gateway.statistics()["body_bytes"] == 0
        assert (await http.put("/documents/n", json="x" * 900)).status_code == 201


async def test_that_a_body_that_does_not_come_is_given_up() -> None:
    async with served(HttpLimits(body_seconds=0.01)) as (_, gateway, _):
        head = b"PUT /documents/n HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        answer = await raw(gateway, head + b"Connection: close\r\nContent-Length: 10\r\n\r\n1")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert gateway.statistics()["body_bytes"] == 0


async def test_that_bodies_together_are_bounded_and_their_room_comes_back() -> None:
    async with served(HttpLimits(bodies_bytes_max=1_000)) as (_, gateway, http):
        refused = await http.put("/documents/n", json="x" * 2_000)
        assert (refused.status_code, refused.json()["data"]["limit"]) == (503, "bodies_bytes_max")
        for _ in range(5):
            assert (await http.put("/documents/n", json="x" * 900)).status_code in (200, 201)
        assert gateway.statistics()["body_bytes"] == 0


async def test_that_what_is_compressed_is_not_taken() -> None:
    async with served() as (_, _, http):
        answer = await http.put(
            "/documents/n", content=gzip.compress(b"1"), headers={**JSON, "Content-Encoding": "gzip"}
        )
        assert answer.status_code == 415
        assert "compressed" in answer.json()["detail"]


async def test_that_long_answers_are_compressed_for_who_takes_that() -> None:
    async with served() as (client, _, http):
        await client.create("n", "x" * 10_000)
        answer = await http.get("/documents/n", headers={"Accept-Encoding": "gzip"})
        assert (answer.headers["Content-Encoding"], answer.json()) == ("gzip", "x" * 10_000)
        assert int(answer.headers["Content-Length"]) < 1_000


# --- what is asked ---------------------------------------------------------------------------------------------------


async def test_that_what_is_not_there_is_said_in_the_same_way() -> None:
    async with served() as (_, _, http):
        for method, path, status in (
            ("GET", "/nowhere", 404),
            ("GET", "/merges/", 404),  # and no way to elsewhere, by whatever host
            ("POST", "/documents", 405),
            ("PATCH", "/history/n", 405),
            ("POST", "/", 405),
            ("GET", "/documents/", 400),
            ("GET", "/documents/a//b", 400),
            ("GET", "/documents/a%0d%0aX-Evil:%201", 404),
        ):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), path
            assert "X-Evil" not in answer.headers
        assert "GET" in (await http.post("/documents")).headers["Allow"]


async def test_that_a_name_cannot_add_to_a_header() -> None:
    async with served() as (_, _, http):
        name = 'a>; rel="x", <b'
        for number in range(2):
            await http.put("/documents/" + httpx.URL(f"http://h/{name}").raw_path[1:].decode(), json=number)
        answer = await http.get("/history/" + httpx.URL(f"http://h/{name}").raw_path[1:].decode(), params={"limit": 1})
        link = answer.headers["Link"]
        assert link.count("<") == link.count(">") == 1
        assert [item["version"] for item in (await http.get(answer.json()["next"])).json()["items"]] == [1]


async def test_that_headers_that_are_there_twice_are_a_list() -> None:
    async with served() as (client, _, http):
        await client.create("n", 1)
        headers = [("If-Match", '"1"'), ("If-Match", '"2"'), ("Content-Type", "application/json")]
        assert (await http.put("/documents/n", content=b"2", headers=headers)).status_code == 400


async def test_that_a_server_that_is_gone_is_said_to_be_so() -> None:
    async with served() as (_, first, _):
        url = first._server_url
    async with Gateway(url) as gateway, asker(gateway) as http:
        answer = await http.get("/documents")
        assert (answer.status_code, answer.json()["code"]) == (503, "connection_lost")
        assert (await http.get("/healthz")).status_code == 200
        ready = await asyncio.gather(*(http.get("/readyz") for _ in range(10)))
        assert {answer.status_code for answer in ready} == {503}
        assert gateway.statistics()["callers"] == 0


async def test_that_requests_under_way_are_answered_when_it_stops() -> None:
    async with served() as (client, first, _):
        async with Gateway(first._server_url) as gateway, asker(gateway) as http:
            assert (await http.get("/readyz")).status_code == 200
            answers = asyncio.gather(*(http.put(f"/documents/{number}", json=number) for number in range(20)))
            await answers
        assert len([name async for name in client.list()]) == 20


async def test_that_what_is_said_is_json_of_its_kind() -> None:
    async with served() as (client, _, http):
        await client.create("n", {"b": 1, "a": 2})
        assert (await http.get("/documents/n")).text == json.dumps({"a": 2, "b": 1}, separators=(",", ":"))
        assert (await http.get("/documents/n")).headers["X-Content-Type-Options"] == "nosniff"


async def test_that_many_requests_of_one_share_a_connection() -> None:
    async with served() as (client, gateway, http):
        assert isinstance(client, Client)
        await asyncio.gather(*(http.put(f"/documents/{number}", json=number) for number in range(50)))
        assert gateway.statistics()["callers"] == 1


async def test_that_a_trace_is_kept_with_what_is_written() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with served() as (_, _, http):
        for number, sent in enumerate((trace, "00-nonsense", trace.upper(), "")):
            headers = {"traceparent": sent}
            assert (await http.put("/documents/n", json=number, headers=headers)).status_code in (200, 201)
        found = (await http.get("/history/n?order=oldest")).json()["items"]
        assert [item["trace"] for item in found] == [trace, None, None, None]
