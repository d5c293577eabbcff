"""Event streams over real sockets: nothing is missing, nothing comes twice, and nobody waits for the slowest."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from events_kit import Frames, events
from gateway_kit import SECONDS_MAX, asker, guarded, served

from palimpsest import Client, Grant, Role, Server
from palimpsest.limits import HttpLimits
from palimpsest.web import Gateway

pytestmark = pytest.mark.anyio

READERS = 200
CHANGE_BYTES_MAX = 24 * 1024


async def counted_up(client: Client, document: str, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await client.update(document, {"count": number})


def counts(frames: list[Any]) -> list[int]:
    return [frame.data["delta"][0]["value"] for frame in frames]


# --- what a stream says ----------------------------------------------------------------------------------------------


async def test_a_change_as_it_is_said() -> None:
    async with served() as (client, _, http), events(http, pattern="notes/*", values=True) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-store"
        made = await client.create("notes/1", {"title": "A"}, by="ana", description="first", tags={"import"})
        frame = await stream.next("change")
    assert frame.id
    at = frame.data.pop("at")
    assert at.endswith("Z")
    assert frame.data == {
        "document": "notes/1",
        "branch": "main",
        "version": made.version,
        "kind": "create",
        "by": "ana",
        "description": "first",
        "tags": ["import"],
        "delta": [{"op": "set", "path": "", "value": {"title": "A"}}],
        "value": {"title": "A"},
        "snapshot": False,
        "more": 0,
        "trace": None,
        "parents": None,
    }


async def test_a_snapshot_comes_first_and_has_places_only_behind_it() -> None:
    async with served() as (client, _, http):
        for name in ("notes/1", "notes/2"):
            await client.create(name, {"title": name})
        async with events(http, pattern="notes/*", start="snapshot") as stream:
            shown = await stream.changes(2)
            assert [frame.data["value"] for frame in shown] == [{"title": "notes/1"}, {"title": "notes/2"}]
            assert [frame.id for frame in shown] == ["", ""]
            current = await stream.next("state")
            assert current.data == {"state": "current"}
            assert current.id
        await client.update("notes/1", {"title": "B"})
        async with events(http, cursor=current.id, pattern="notes/*", start="snapshot") as stream:
            frame = await stream.next("change")
            assert (frame.data["document"], frame.data["version"], frame.data["snapshot"]) == ("notes/1", 2, False)


async def test_conditions_are_those_of_a_subscription() -> None:
    conditions = {"pattern": "notes/*", "tag": ["a", "b"], "by": "ana", "path": "title"}
    async with served() as (client, _, http), events(http, **conditions) as stream:
        await client.create("notes/1", {"title": "A"})
        await client.update("notes/1", {"title": "B"}, by="ana")
        await client.update("notes/1", {"body": "B"}, by="ana", tags={"a"})
        await client.update("notes/1", {"title": "C"}, by="ana", tags={"b"})
        assert (await stream.next("change")).data["version"] == 4


async def test_through_a_perspective_what_is_hidden_does_not_come() -> None:
    async with served() as (client, _, http):
        await http.put("/perspectives/public", json={"include": ["title"]})
        await client.create("notes/1", {"title": "A", "secret": 1})
        async with events(http, pattern="notes/*", perspective="public", values=True) as stream:
            await client.update("notes/1", {"secret": 2})
            await client.update("notes/1", {"title": "B", "secret": 3})
            frame = await stream.next("change")
    assert frame.data["value"] == {"title": "B"}
    assert frame.data["version"] == 3


async def test_when_the_perspective_becomes_another_the_stream_begins_with_a_snapshot_again() -> None:
    async with served() as (client, _, http):
        await http.put("/perspectives/public", json={"include": ["title"]})
        await client.create("notes/1", {"title": "A", "body": "B"})
        async with events(http, pattern="notes/*", start="snapshot", perspective="public") as stream:
            for include, seen in ((["title"], {"title": "A"}), (["title", "body"], {"title": "A", "body": "B"})):
                await http.put("/perspectives/public", json={"include": include})
                assert (await stream.next("state")).data == {"state": "snapshot"}
                frame = await stream.next("change")
                assert (frame.data["snapshot"], frame.data["value"]) == (True, seen)
                assert (await stream.next("state")).data == {"state": "current"}
                assert (await stream.next("state")).data == {"state": "live"}


async def test_a_silent_stream_says_that_it_is_alive() -> None:
    async with served(HttpLimits(keep_alive_seconds=0.01)) as (_, _, http), events(http) as stream:
        assert [frame.comment async for frame in _first(stream, 4)].count("alive") >= 2


async def _first(stream: Frames, count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await anext(stream)


# --- over broken connections -----------------------------------------------------------------------------------------


async def test_resumes_without_a_gap_or_a_duplicate_over_broken_connections() -> None:
    async with served() as (client, _, http):
        await client.create("count", {"count": 0})
        async with asyncio.TaskGroup() as tasks:
            async with events(http, pattern="count") as stream:
                tasks.create_task(counted_up(client, "count", 1, 120))
                found = counts(await stream.changes(1))
                cursor = stream.cursor
            while len(found) < 120:
                async with events(http, cursor=cursor, pattern="count") as stream:
                    found += counts(await stream.changes(min(17, 120 - len(found))))
                    cursor = stream.cursor
    assert found == list(range(1, 121))


async def test_a_cursor_may_be_said_in_the_query_and_the_header_counts_for_more() -> None:
    async with served() as (client, _, http):
        async with events(http, pattern="count") as stream:
            await client.create("count", {"count": 0})
            old = (await stream.next("change")).id
            await client.update("count", {"count": 1})
            new = (await stream.next("change")).id
            await client.update("count", {"count": 2})
        async with events(http, pattern="count", last_event_id=old) as stream:
            assert (await stream.next("change")).data["version"] == 2
        async with events(http, cursor=new, pattern="count", last_event_id=old) as stream:
            assert (await stream.next("change")).data["version"] == 3


@pytest.mark.parametrize("start", ["now", "beginning"])
async def test_a_cursor_of_another_store_is_gone_before_the_stream_begins(start: str) -> None:
    async with served() as (client, _, http), events(http, pattern="count") as stream:
        await client.create("count", {"count": 0})
        foreign = (await stream.next("change")).id
    async with served() as (client, _, http), events(http, cursor=foreign, start=start) as stream:
        assert stream.response.status_code == 410
        assert stream.response.headers["content-type"] == "application/problem+json"
        assert stream.response.json()["code"] == "cursor_invalid"


async def test_a_snapshot_takes_the_place_of_a_cursor_that_is_of_no_use() -> None:
    async with served() as (client, _, http), events(http, pattern="count") as stream:
        await client.create("count", {"count": 0})
        foreign = (await stream.next("change")).id
    async with served() as (client, _, http):
        await client.create("other", {})
        async with events(http, cursor=foreign, start="snapshot") as stream:
            assert (await stream.next("change")).data["document"] == "other"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"pattern": "a//b"}, 400),
        ({"start": "never"}, 400),
        ({"from_version": "2", "pattern": "missing"}, 404),
        ({"path": "a..b"}, 400),
        ({"perspective": "missing"}, 404),
        ({"policy": "latest"}, 400),
        ({"unheard": "of"}, 400),
    ],
)
async def test_what_is_refused_is_a_problem_and_no_stream(query: dict[str, str], status: int) -> None:
    async with served() as (_, _, http), events(http, **query) as stream:
        assert stream.response.status_code == status
        assert stream.response.json()["status"] == status


async def test_a_head_request_has_no_stream() -> None:
    async with served() as (_, _, http):
        response = await http.head("/events")
        assert (response.status_code, response.content) == (200, b"")
        await no_reader_is_left(http)


# --- many, slow, gone ------------------------------------------------------------------------------------------------


async def no_reader_is_left(http: httpx.AsyncClient) -> None:
    """Returns once the server has no subscription any more."""
    while (await http.get("/status")).json()["gauges"]["subscriptions"] > 0:
        await asyncio.sleep(0)


async def test_200_readers_get_what_is_in_the_log() -> None:
    async with served() as (client, _, http), AsyncExitStack() as stack:
        await client.create("count", {"count": 0})
        streams = [await stack.enter_async_context(events(http, pattern="count")) for _ in range(READERS)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(counted_up(client, "count", 1, 10))
            reading = [tasks.create_task(stream.changes(10)) for stream in streams]
        log = [(version.version, version.request) async for version in client.history("count", first=2)]
        seen = {tuple((frame.data["version"], frame.id) for frame in task.result()) for task in reading}
        assert len(seen) == 1
        assert [version for version, _ in seen.pop()] == sorted(version for version, _ in log)
        assert {tuple(counts(task.result())) for task in reading} == {tuple(range(1, 11))}


async def test_who_leaves_is_forgotten() -> None:
    async with served() as (_, _, http):
        async with AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(events(http))
            assert (await http.get("/status")).json()["gauges"]["subscriptions"] == 5
        await no_reader_is_left(http)


async def test_a_reader_that_does_not_read_stalls_nobody_and_gets_everything_later() -> None:
    limits = HttpLimits(event_queue_bytes_max=128 * 1024)
    async with served(limits) as (client, gateway, http), stuck_reader(gateway, "/events?pattern=large") as reader:
        await client.create("large", {"text": ""})
        async with events(http, pattern="large") as quick:
            for number in range(500):  # more than the kernel and the gateway hold for one reader
                await client.update("large", {"text": f"{number:08x}" * 2_500})
            assert [frame.data["version"] for frame in await quick.changes(500)] == list(range(2, 502))
            behind = [each for each in await subscribers(http) if each["state"] == "behind"]
        assert len(behind) == 1
        assert (
            0 < behind[0]["under_way_bytes"] <= 128 * 1024 + CHANGE_BYTES_MAX
        )  # the one that went beyond it is under way
        assert [version async for version in versions_of(reader, 501)] == list(range(1, 502))


async def subscribers(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get("/status")).json()["subscribers"]
    return found


@asynccontextmanager
async def stuck_reader(gateway: Gateway, target: str) -> AsyncIterator[asyncio.StreamReader]:
    """Connected, and reading nothing behind the headers until it is read from; with buffers as small as they can be."""
    host, port = gateway.url.removeprefix("http://").split(":")
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024)
    link.setblocking(False)
    await asyncio.get_running_loop().sock_connect(link, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=link, limit=4 * 1024)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0]
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def versions_of(reader: asyncio.StreamReader, count: int) -> AsyncIterator[int]:
    """Of the changes in a body of chunks."""
    text = b""
    while count:
        size = int(await reader.readuntil(b"\r\n"), 16)
        text += (await reader.readexactly(size + 2))[:-2]
        *frames, text = text.split(b"\n\n")
        for frame in frames:
            if b"event: change" in frame:
                yield json.loads(frame.partition(b"data: ")[2])["version"]
                count -= 1


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_ends_cleanly_when_the_gateway_stops() -> None:
    async with Server.memory() as server, AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(Gateway(server.url))
        async with asker(gateway) as http, events(http) as stream:
            assert (await stream.next("state")).data == {"state": "live"}
            await stack.aclose()
            assert [frame.event async for frame in stream] == []  # a body that was cut would raise


async def test_a_reader_that_does_not_read_does_not_keep_the_gateway_from_stopping() -> None:
    async with Server.memory() as server, server.connect() as client, AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(Gateway(server.url, limits=HttpLimits(shutdown_seconds=1)))
        async with stuck_reader(gateway, "/events?pattern=large") as reader:
            await client.create("large", {"text": ""})
            for number in range(500):
                await client.update("large", {"text": f"{number:08x}" * 2_500})
            with anyio.fail_after(SECONDS_MAX):
                await stack.aclose()
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    assert [version async for version in versions_of(reader, 501)] == []


async def test_goes_on_over_a_restart_of_the_server(make_restarting: Callable[[], Any]) -> None:
    async with make_restarting() as (restart, client, http), events(http, pattern="count") as stream:
        await client.create("count", {"count": 0})
        await stream.next("change")
        await restart()
        await client.update("count", {"count": 1})
        states = []
        async for frame in stream:
            if frame.event == "state":
                states.append(frame.data["state"])
            elif frame.event == "change":
                break
        assert frame.data["version"] == 2
        assert states[:1] == ["disconnected"] or states[:2] == ["live", "disconnected"]
        assert "reconnected" in states


@pytest.fixture
def make_restarting(tmp_path: Any) -> Callable[[], Any]:
    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(Server(tmp_path / "state.db"))
            port = int(server.url.rpartition(":")[2])
            client = await stack.enter_async_context(server.connect())
            gateway = await stack.enter_async_context(Gateway(server.url))
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False))

            async def restart() -> None:
                nonlocal server
                await server.__aexit__(None, None, None)
                server = await stack.enter_async_context(Server(tmp_path / "state.db", port=port))

            with anyio.fail_after(SECONDS_MAX):
                yield restart, client, http

    return make


READER = Role(grants=(Grant(documents="notes/**", actions=("read", "subscribe")),))


async def test_no_stream_without_the_right_to_it() -> None:
    async with guarded(READER) as reader, events(reader.http, pattern="secrets/*") as stream:
        assert stream.response.status_code == 403
        assert stream.response.json()["code"] == "forbidden"


async def test_a_right_that_is_taken_away_ends_the_stream_with_the_reason() -> None:
    async with guarded(READER) as reader, events(reader.http, pattern="notes/*") as stream:
        await reader.client.create("notes/1", {})
        await stream.next("change")
        other = Role(grants=(Grant(documents="other/**", actions=("subscribe",)),))
        await reader.client.roles.put("reader", other)
        await reader.client.update("notes/1", {"title": "A"})
        frames = [frame async for frame in stream]
    assert [frame.event for frame in frames if frame.event not in ("", "state")] == ["ended"]
    assert frames[-1].data["status"] == 403
    assert frames[-1].data["code"] == "forbidden"


async def test_a_token_that_is_revoked_ends_its_streams() -> None:
    async with guarded(READER) as reader:
        async with events(reader.http, pattern="notes/*") as stream:
            await reader.client.create("notes/1", {})
            await stream.next("change")
            await reader.client.tokens.revoke(reader.id)
            ended = await stream.next("ended")
            assert [frame async for frame in stream] == []
        assert ended.data["status"] == 401
        assert reader.text not in str(ended.data)
        response = await reader.http.get("/events")
        assert response.status_code == 401
