"""The words about the past: what is asked for, by a scripted server; what comes of it, by a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client import Client
from palimpsest.clock import ManualClock
from palimpsest.embedded import Server
from palimpsest.errors import (
    BranchNotFound,
    DocumentNotFound,
    InvalidPath,
    InvalidRequest,
    UndoConflict,
    UnexpectedMessage,
    VersionConflict,
    VersionNotFound,
)
from palimpsest.protocol import messages as m
from palimpsest.state.delta import DELETE, Append, Delta, Increment
from palimpsest.words import Kind

pytestmark = pytest.mark.anyio

MOMENT = datetime(2020, 1, 1, tzinfo=UTC)
AT = 1_577_836_800_000_000
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MOMENT)


@pytest.fixture
async def client(anyio_backend: object, clock: ManualClock) -> AsyncIterator[Client]:
    async with Server.memory(clock=clock) as server, server.connect() as connected:
        yield connected


# --- what is asked for -----------------------------------------------------------------------------------------------


def entry(version: int) -> m.Entry:
    return m.Entry(version, 1, AT, Raw(b"\x90"))


async def test_a_history_with_conditions(scripted: Any, reach: Any) -> None:
    scripted.replies[m.History] = lambda message: m.Versions(message.id, (), False, 9)
    async with reach(page_items=7) as client:
        found = client.history(
            "n",
            first=2,
            last=8,
            since=MOMENT,
            until=MOMENT + HOUR,
            by="ana",
            tags={"b", "a"},
            tags_all=["c"],
            path="a.0.*",
        )
        assert [made async for made in found] == []
    asked = scripted.received[-1]
    assert asked == m.History(
        asked.id, "n", "main", 2, 8, True, 7, AT, AT + 3_600_000_000, "ana", ("a", "b"), ("c",), ("a", 0, "*")
    )


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_of_a_history_go_on_where_the_server_says(scripted: Any, reach: Any, newest_first: bool) -> None:
    pages = iter([((9, 7), True, 4), ((), True, 2), ((2,), True, 1), ((), False, 0)])

    def reply(message: m.History) -> m.Versions:
        versions, more, following = next(pages)
        return m.Versions(message.id, tuple(map(entry, versions)), more, 9, following)

    scripted.replies[m.History] = reply
    async with reach() as client:
        found = [made.version async for made in client.history("n", newest_first=newest_first)]
    asked = [message for message in scripted.received if isinstance(message, m.History)]
    assert found == [9, 7, 2]
    assert [message.last if newest_first else message.first for message in asked] == [None, 4, 2, 1]
    assert [message.first if newest_first else message.last for message in asked] == [None] * 4


async def test_no_more_of_a_history_is_asked_for_than_is_wanted(scripted: Any, reach: Any) -> None:
    scripted.replies[m.History] = lambda message: m.Versions(message.id, (entry(9), entry(8)), True, 9, 7)
    async with reach(page_items=3) as client:
        assert [made.version async for made in client.history("n", limit=4)] == [9, 8, 9, 8]
        assert [made async for made in client.history("n", limit=0)] == []
    assert [message.limit for message in scripted.received if isinstance(message, m.History)] == [3, 2]


async def test_an_answer_of_another_kind(scripted: Any, reach: Any) -> None:
    scripted.replies[m.Diff] = lambda message: m.Pong(message.id)
    async with reach() as client:
        with pytest.raises(UnexpectedMessage, match="Pong where Differences"):
            await client.diff("n", 1, 2)


async def test_arguments_are_checked_before_anything_is_sent(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        calls: list[Any] = [
            (InvalidRequest, lambda: client.history("n", limit=-1)),
            (InvalidRequest, lambda: client.history("n", since=datetime(2020, 1, 1))),
            (InvalidRequest, lambda: client.history("n", tags="one")),
            (InvalidRequest, lambda: client.history("n", tags_all="one")),
            (InvalidRequest, lambda: client.history("n", by=5)),
            (InvalidPath, lambda: client.history("n", path="a..b")),
            (InvalidRequest, lambda: client.get("n", version=1, tag="x")),
            (InvalidRequest, lambda: client.get("n", at=datetime(2020, 1, 1))),
            (InvalidRequest, lambda: client.diff("n", 1, "main:x")),
            (InvalidRequest, lambda: client.blame("n", version="1")),
            (InvalidPath, lambda: client.blame("n", path=["a"])),
            (InvalidRequest, lambda: client.revert("n", None)),
            (InvalidRequest, lambda: client.revert("n", 1, expect="2")),
            (InvalidRequest, lambda: client.undo("n", None)),
            (InvalidRequest, lambda: client.tag("n", 1, ())),
            (InvalidRequest, lambda: client.tag("n", 1, "one")),
            (InvalidRequest, lambda: client.untag("n", None, ["one"])),
            (InvalidRequest, lambda: client.digest("n", version=2**63)),
        ]
        for error, call in calls:
            with pytest.raises(error):
                await call()
    assert [type(message) for message in scripted.received] == [m.Hello]


# --- what comes of it ------------------------------------------------------------------------------------------------


async def test_get_by_time_and_by_tag(client: Client, clock: ManualClock) -> None:
    await client.create("n", {"a": 1}, tags={"released"})
    clock.advance(3600)
    await client.update("n", {"a": 2})
    clock.advance(3600)
    await client.delete("n")
    assert (await client.get("n", at=MOMENT + HOUR / 2)).version == 1
    assert (await client.get("n", at=MOMENT + HOUR)).value == {"a": 2}
    assert (await client.get("n", tag="released")).version == 1
    with pytest.raises(VersionNotFound) as missing:
        await client.get("n", at=MOMENT - HOUR)
    assert (missing.value.version, missing.value.newest) == (None, 3)
    with pytest.raises(VersionNotFound):
        await client.get("n", tag="other")
    with pytest.raises(DocumentNotFound):
        await client.get("n", at=MOMENT + 3 * HOUR)


async def test_history(client: Client, clock: ManualClock) -> None:
    await client.create("n", {"a": 0, "l": []}, by="ana", tags={"x"})
    for number in range(2, 7):
        clock.advance(60)
        await client.update("n", {"a" if number % 2 else "b": number}, by="bo", tags={"x", "y"} if number == 4 else ())

    async def versions(**options: Any) -> list[int]:
        return [made.version async for made in client.history("n", **options)]

    assert await versions(by="ana") == [1]
    assert await versions(tags={"x", "z"}) == [4, 1]
    assert await versions(tags_all={"x", "y"}) == [4]
    assert await versions(path="b") == [6, 4, 2, 1]
    assert await versions(path="l", newest_first=False) == [1]
    assert await versions(since=MOMENT + timedelta(seconds=60), until=MOMENT + timedelta(seconds=180)) == [4, 3, 2]
    assert await versions(by="bo", first=3, newest_first=False, limit=2) == [3, 4]


async def test_diff(client: Client, clock: ManualClock) -> None:
    await client.create("n", {"a": 1, "l": [1, 2]})
    clock.advance(60)
    await client.update("n", {"a": 2, "l": Append(3)})
    await client.update("n", {"b": 3})
    assert await client.diff("n", 1, 3) == Delta().set("a", 2).set("b", 3).append("l", 3)
    assert await client.diff("n", "main:3", "main:2") == Delta().delete("b")
    assert await client.diff("n", MOMENT, "main") == await client.diff("n", 1, 3)
    assert len(await client.diff("n", 2, 2)) == 0
    with pytest.raises(VersionNotFound):
        await client.diff("n", 1, 4)
    with pytest.raises(BranchNotFound):
        await client.diff("n", 1, "draft:1")
    with pytest.raises(DocumentNotFound):
        await client.diff("other", 1, 2)


async def test_blame(client: Client) -> None:
    await client.create("n", {"a": 1, "m": {"b": 1, "c": []}}, by="ana")
    await client.update("n", {"m.b": 2}, by="bo")
    await client.update("n", {"a": Increment()}, by="cy")
    blame = await client.blame("n")
    assert {path: (made.version, made.by) for path, made in blame.items()} == {
        "a": (3, "cy"),
        "m.b": (2, "bo"),
        "m.c": (1, "ana"),
    }
    assert (blame.exact, blame.version, blame["a"].delta) == (True, 3, None)
    inside = await client.blame("n", version=2, path="m")
    assert {path: made.version for path, made in inside.items()} == {"m.b": 2, "m.c": 1}
    with pytest.raises(DocumentNotFound):
        await client.blame("n", path="x")


async def test_revert(client: Client) -> None:
    await client.create("n", {"a": 1})
    await client.update("n", {"a": 2, "b": 2})
    made = await client.revert("n", 1, by="ana", tags={"back"}, expect=2, request_id="r")
    assert (made.version, made.kind, made.by, made.tags, made.request) == (3, Kind.UPDATE, "ana", {"back"}, "r")
    assert (await client.get("n")).value == {"a": 1}
    again = await client.revert("n", 2, request_id="r")
    assert (again.version, again.repeat) == (3, True)
    with pytest.raises(VersionConflict):
        await client.revert("n", 1, expect=2)
    await client.delete("n")
    await client.revert("n", to="main:2")
    assert (await client.get("n")).value == {"a": 2, "b": 2}
    with pytest.raises(DocumentNotFound):
        await client.revert("n", 4)


async def test_undo(client: Client) -> None:
    await client.create("n", {"a": 1, "b": 1})
    await client.update("n", {"a": 2})
    await client.update("n", {"b": 2, "c": 3})
    made = await client.undo("n", version=2, by="ana")
    assert (made.version, made.by) == (4, "ana")
    assert (await client.get("n")).value == {"a": 1, "b": 2, "c": 3}
    await client.update("n", {"b": 5, "c": DELETE})
    with pytest.raises(UndoConflict) as caught:
        await client.undo("n", 3)
    conflicts = {conflict["path"]: conflict for conflict in caught.value.conflicts}
    assert conflicts["b"] == {"path": "b", "kind": "edit/edit", "base": 2, "ours": 5, "theirs": 1}
    assert (await client.get("n")).version == 5


async def test_tags_given_later(client: Client) -> None:
    await client.create("n", {"a": 1}, tags={"x"})
    await client.update("n", {"a": 2})
    await client.tag("n", version=1, tags={"released"}, by="ana", description="we mean it")
    await client.untag("n", 1, ["x"])
    assert [made.tags async for made in client.history("n")] == [frozenset(), {"released"}]
    assert (await client.get("n", tag="released")).tags == {"released"}
    with pytest.raises(VersionNotFound):
        await client.get("n", tag="x")
    with pytest.raises(VersionNotFound):
        await client.tag("n", 3, {"released"})
    said = [made async for made in client.history("n", branch="$versions", newest_first=False)]
    assert [made.by for made in said] == ["ana", None]


async def test_digests(client: Client) -> None:
    await client.create("n", {"a": 1})
    first = await client.digest("n")
    await client.update("n", {"a": 2})
    assert (first.document, first.branch, first.version, len(first.digest)) == ("n", "main", 1, 32)
    assert await client.digest("n", version=1) == first
    newest = await client.digest("n")
    assert (newest.version, newest.hex != first.hex) == (2, True)


async def test_words_of_one_turn_are_answered_together(client: Client) -> None:
    await client.create("n", {"a": 1})
    await client.update("n", {"a": 2})
    delta, blame, digest = await asyncio.gather(client.diff("n", 1, 2), client.blame("n"), client.digest("n"))
    assert (len(delta), blame.version, digest.version) == (1, 2, 2)
