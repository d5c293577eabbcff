"""The words of the API, spoken to a real server that is embedded in the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from palimpsest.client import Client, Create, Join, connect
from palimpsest.clock import ManualClock
from palimpsest.embedded import Server
from palimpsest.errors import (
    DeltaFailed,
    DocumentExists,
    DocumentNotFound,
    InvalidDelta,
    InvalidName,
    InvalidRequest,
    InvalidValue,
    VersionConflict,
    VersionNotFound,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.state.delta import DELETE, Append, Delta, Increment
from palimpsest.words import Kind

pytestmark = pytest.mark.anyio

MOMENT = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def server(anyio_backend: object) -> AsyncIterator[Server]:
    async with Server.memory(clock=ManualClock(MOMENT)) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with server.connect() as connected:
        yield connected


async def test_create_and_get(client: Client) -> None:
    made = await client.create("notes/1", {"title": "A"}, by="ana", tags={"b", "a"}, description="first")
    assert (made.document, made.branch, made.version, made.kind) == ("notes/1", "main", 1, Kind.CREATE)
    assert (made.by, made.description, made.tags, made.at, made.repeat) == ("ana", "first", {"a", "b"}, MOMENT, False)
    found = await client.get("notes/1")
    assert (found.id, found.branch, found.version, found.value) == ("notes/1", "main", 1, {"title": "A"})
    assert (found.by, found.description, found.tags, found.at) == ("ana", "first", {"a", "b"}, MOMENT)
    with pytest.raises(DocumentExists) as caught:
        await client.create("notes/1", None)
    assert caught.value.version == 1


async def test_update_by_mapping_and_by_delta(client: Client) -> None:
    await client.create("n", {"title": "A", "tags": [], "draft": True})
    changes = {"title": "B", "meta.stars": Increment(1), "draft": DELETE, "tags": Append("x")}
    assert (await client.update("n", changes, expect=1)).version == 2
    await client.update("n", Delta().append("tags", "y").test("title", "B"))
    assert (await client.get("n")).value == {"title": "B", "meta": {"stars": 1}, "tags": ["x", "y"]}
    assert (await client.get("n", version=1)).value == {"title": "A", "tags": [], "draft": True}


async def test_errors_are_the_same_as_on_the_server(client: Client) -> None:
    await client.create("n", {"title": "A"})
    with pytest.raises(VersionConflict) as conflict:
        await client.update("n", {"a": 1}, expect=7)
    assert (conflict.value.expected, conflict.value.actual) == (7, 1)
    with pytest.raises(DeltaFailed) as failed:
        await client.update("n", {"a": 1, "title": Increment(1)})
    assert (failed.value.op, failed.value.path, failed.value.reason) == (1, "title", "type")
    with pytest.raises(DocumentNotFound):
        await client.get("other")
    with pytest.raises(VersionNotFound):
        await client.get("n", version=9)
    with pytest.raises(InvalidName):
        await client.get("/n")
    assert (await client.get("n")).version == 1


async def test_arguments_are_checked_before_anything_is_sent(client: Client) -> None:
    await client.create("n", {})
    calls: list[Any] = [
        (InvalidName, client.get(5)),  # type: ignore[arg-type]
        (InvalidRequest, client.get("n", branch=5)),  # type: ignore[arg-type]
        (InvalidRequest, client.get("n", version="1")),  # type: ignore[arg-type]
        (InvalidRequest, client.update("n", {}, expect=2**70)),
        (InvalidRequest, client.update("n", {}, by=5)),  # type: ignore[arg-type]
        (InvalidRequest, client.update("n", {}, tags="one")),
        (InvalidRequest, client.update("n", {}, request_id=5)),  # type: ignore[arg-type]
        (InvalidRequest, client.update("n", "x")),  # type: ignore[arg-type]
        (InvalidRequest, client.get_many("n")),
        (InvalidRequest, client.transaction({"n": {}}, expect={"m": None})),
        (InvalidValue, client.create("m", {"a": float("nan")})),
        (InvalidValue, client.create("m", {"a": ()})),
    ]
    for error, call in calls:
        with pytest.raises(error):
            await call
    assert (await client.get("n")).version == 1
    assert client.statistics()["reconnections"] == 0


async def test_delete_and_create_again(client: Client) -> None:
    await client.create("n", 1)
    assert (await client.delete("n", expect=1)).kind is Kind.DELETE
    with pytest.raises(DocumentNotFound):
        await client.get("n")
    assert (await client.create("n", 2)).version == 3
    assert (await client.get("n", version=1)).value == 1


async def test_a_request_id_of_ones_own(client: Client) -> None:
    await client.create("n", {"count": 0})
    first = await client.update("n", {"count": Increment(1)}, request_id="order-5")
    again = await client.update("n", {"count": Increment(1)}, request_id="order-5")
    assert (first.version, first.repeat, first.request) == (2, False, "order-5")
    assert (again.version, again.repeat) == (2, True)
    assert (await client.get("n")).value == {"count": 1}


async def test_get_many_in_several_requests(server: Server) -> None:
    async with server.connect(page_items=3) as client:
        for number in range(7):
            await client.create(f"n/{number}", number)
        found = await client.get_many([*(f"n/{number}" for number in range(7)), "other", "n/0"])
    assert [document and document.value for document in found] == [0, 1, 2, 3, 4, 5, 6, None, 0]


async def test_list_in_pages(server: Server) -> None:
    async with server.connect(page_items=3) as client:
        await asyncio.gather(*[client.create(f"n/{number}", number) for number in range(7)])
        await client.create("m/1", 1)
        await client.delete("n/3")
        assert [name async for name in client.list("n/*")] == [f"n/{number}" for number in (0, 1, 2, 4, 5, 6)]
        assert await anext(client.list()) == "m/1"
        assert [name async for name in client.list("x/*")] == []


@pytest.mark.parametrize("newest_first", [True, False])
async def test_history_in_pages(server: Server, newest_first: bool) -> None:
    async with server.connect(page_items=3) as client:
        await client.create("n", {}, by="ana")
        for number in range(2, 9):
            await client.update("n", {"n": number})

        async def versions(**options: Any) -> list[int]:
            return [made.version async for made in client.history("n", newest_first=newest_first, **options)]

        ordered = sorted(range(1, 9), reverse=newest_first)
        assert await versions() == ordered
        assert await versions(limit=5) == ordered[:5]
        assert await versions(limit=0) == []
        assert await versions(first=3, last=6) == [number for number in ordered if 3 <= number <= 6]
        found = [made async for made in client.history("n", first=1, last=2, newest_first=False)]
    assert found[0].by == "ana"
    assert found[0].request == f"{client.client_id}:{1}"
    assert found[1].delta == Delta().set("n", 2)
    assert [made.kind for made in found] == [Kind.CREATE, Kind.UPDATE]


async def test_history_of_nothing(client: Client) -> None:
    with pytest.raises(DocumentNotFound):
        _ = [made async for made in client.history("n")]
    with pytest.raises(InvalidRequest):
        _ = [made async for made in client.history("n", limit=-1)]


async def test_edit(client: Client) -> None:
    await client.create("n", {"meta": {"a": 1}, "list": [1, 2, 3]})
    async with client.edit("n", by="ed") as draft:
        draft["meta"]["seen"] = True
        draft["list"].insert(1, "x")
    assert (draft.version.version, draft.version.by) == (2, "ed")
    assert (await client.get("n")).value == {"meta": {"a": 1, "seen": True}, "list": [1, "x", 2, 3]}


async def test_an_edit_that_changes_nothing_sends_nothing(client: Client) -> None:
    await client.create("n", {"a": 1})
    async with client.edit("n") as draft:
        draft["a"] = 1
    assert draft.version is None
    assert (await client.get("n")).version == 1


async def test_an_edit_that_fails(client: Client) -> None:
    await client.create("n", {"a": 1})

    async def edit(then: Callable[[], Awaitable[object]]) -> None:
        async with client.edit("n") as draft:
            draft["a"] = 2
            await then()

    with pytest.raises(VersionConflict):
        await edit(lambda: client.update("n", {"b": 1}))
    with pytest.raises(DocumentNotFound):
        await edit(lambda: client.get("other"))
    assert (await client.get("n")).value == {"a": 1, "b": 1}


async def test_a_transaction(client: Client) -> None:
    await client.create("a", {"n": 1})
    await client.create("b", {"n": 1})
    made = await client.transaction({"a": {"n": 2}, "b": DELETE, "c": Create([1])}, expect={"a": 1}, by="ana")
    assert {name: (version.version, version.kind) for name, version in made.items()} == {
        "a": (2, Kind.UPDATE),
        "b": (2, Kind.DELETE),
        "c": (1, Kind.CREATE),
    }
    assert made["a"].by == "ana"
    with pytest.raises(VersionConflict):
        await client.transaction({"a": {"n": 3}, "c": {"": 5}}, expect={"a": 1})
    documents = await client.get_many(["a", "b", "c"])
    assert [document and document.value for document in documents] == [{"n": 2}, None, [1]]


async def test_what_a_transaction_made_comes_under_the_keys_that_were_given(scripted: Any, reach: Any) -> None:
    def reply(message: m.Transact) -> m.Transacted:
        made = [m.Made(part.document, part.branch, number) for number, part in enumerate(message.parts, 7)]
        return m.Transacted(message.id, 5, tuple(made))

    scripted.replies[m.Transact] = reply
    async with reach() as client:
        changes = {"a": {"n": 2}, ("a", "draft"): DELETE, "b": Join(Create([1]), base="main:5", merged=["draft:9"])}
        made = await client.transaction(changes, expect={("a", "main"): 4, "c": 6}, branch="main", by="ana")
    assert list(made) == list(changes)
    assert [(one.document, one.branch, one.version, one.kind) for one in made.values()] == [
        ("a", "main", 7, Kind.UPDATE),
        ("a", "draft", 8, Kind.DELETE),
        ("b", "main", 9, Kind.CREATE),
    ]
    sent = scripted.received[-1].parts
    assert [(part.kind, part.document, part.branch, part.expect) for part in sent] == [
        (1, "a", "main", 4),
        (2, "a", "draft", None),
        (0, "b", "main", None),
        (m.GUARD, "c", "main", 6),
    ]
    assert (sent[2].base, sent[2].merged) == (("main", 5), (("draft", 9),))


async def test_a_subscription_with_values(client: Client) -> None:
    await client.create("n/1", {"a": 1}, by="ana")
    async with client.subscribe("n/*", start="beginning", values=True) as changes:
        await client.update("n/1", {"a": 2})
        await client.delete("n/1")
        found = [await anext(changes) for _ in range(3)]
    assert [(change.version, change.kind, change.value) for change in found] == [
        (1, Kind.CREATE, {"a": 1}),
        (2, Kind.UPDATE, {"a": 2}),
        (3, Kind.DELETE, None),
    ]
    assert found[0].by == "ana"
    async with client.subscribe("n/1", resume_after=found[1].cursor) as changes:
        assert (await anext(changes)).version == 3


async def test_a_subscription_through_little_credit(server: Server) -> None:
    async with server.connect(credit_bytes=300) as client:
        await client.create("n", {})
        async with client.subscribe("n") as changes:
            for number in range(100):
                await client.update("n", {"text": "x" * number})
            assert [(await anext(changes)).version for _ in range(100)] == list(range(2, 102))
            assert changes.held_bytes == 0


async def test_what_a_frame_cannot_hold_hurts_nobody_else() -> None:
    async with Server.memory(limits=Limits(frame_bytes_max=2_000)) as server, server.connect() as client:
        small, large = await asyncio.gather(
            client.create("a", 1), client.create("b", "x" * 3_000), return_exceptions=True
        )
        assert small.version == 1  # type: ignore[union-attr]
        assert large.limit == "frame_bytes_max"  # type: ignore[union-attr]
        assert (await client.get("a")).value == 1


async def test_a_delta_that_the_server_refuses(client: Client) -> None:
    await client.create("n", {"a": 1})
    with pytest.raises(InvalidDelta):
        Delta.from_json_patch([{"op": "unknown", "path": "/a"}])
    await client.update("n", Delta.from_json_patch([{"op": "add", "path": "/b", "value": [1]}]))
    await client.update("n", Delta.from_merge_patch({"a": None}))
    assert (await client.get("n")).value == {"b": [1]}


async def test_the_life_of_a_client(server: Server) -> None:
    client = connect(server.url, client_id="me")
    with pytest.raises(InvalidRequest, match="not connected"):
        await client.get("n")
    assert (client.url, client.client_id) == (server.url, "me")
    await client
    with pytest.raises(InvalidRequest, match="once"):
        await client.open()
    assert await client.ping() < 5
    assert client.statistics() == {"connected": 1, "in_flight_requests": 0, "subscriptions": 0, "reconnections": 0}
    await client.close()
    assert client.statistics()["connected"] == 0


async def test_a_client_id_goes_on_counting_after_a_restart(server: Server) -> None:
    requests = []
    for name in ("a", "b"):
        async with server.connect(client_id="me") as client:
            requests.append((await client.create(name, 1)).request)
    (first, one), (second, two) = [str(request).split(":") for request in requests]
    assert first == second == "me"
    assert int(two) > int(one)


@pytest.mark.parametrize("options", [{"client_id": ""}, {"client_id": "x" * 65}, {"token": 5}, {"tiemout": 1}])
def test_options_that_make_no_sense(options: Any) -> None:
    with pytest.raises(InvalidRequest):
        connect("palimpsest://localhost:1", **options)


async def test_a_server_that_is_restarted_is_not_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with Server(path) as first:
        port = int(first.url.rsplit(":", 1)[1])
        client = await first.connect(backoff_seconds_min=0.001, backoff_seconds_max=0.01)
        await client.create("n", {"count": 0})
        subscription = client.subscribe("n")
        changes = await subscription.__aenter__()
        await client.update("n", {"count": Increment(1)})
    call = asyncio.ensure_future(client.update("n", {"count": Increment(1)}))
    await asyncio.sleep(0)
    async with Server(path, port=port):
        assert (await call).version == 3
        await client.update("n", {"count": Increment(1)})
        assert [(await anext(changes)).version for _ in range(3)] == [2, 3, 4]
        assert (await client.get("n")).value == {"count": 3}
        assert client.statistics()["reconnections"] == 1
        await client.close()
