"""Feeds from a client's side: live, from the log, and as a naive reading of the history has it, all the same."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

import palimpsest as pal
from palimpsest.errors import Compacted, Conflict, CursorInvalid, DocumentNotFound, Overloaded, UsageError
from palimpsest.limits import Limits
from palimpsest.protocol.cursor import decode_cursor

pytestmark = pytest.mark.anyio

DOCUMENTS = ("c/1", "c/2", "e")
START = datetime(2020, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[pal.Server, pal.Client]]:
    async with pal.Server.memory(**options) as server, server.connect() as client:
        with anyio.fail_after(30):
            yield server, client


async def drain(changes: pal.Subscription, end: int) -> list[Any]:
    """Everything up to that position."""
    found = []
    while (taken := await changes.take(end)) is not None:
        changes.passed()
        found.append(taken[0])
    return found


async def put(client: pal.Client, name: str, value: Any) -> None:
    """The next version of a document that may not be there."""
    try:
        await client.update(name, pal.Delta().set((), value))
    except DocumentNotFound:
        await client.create(name, value)


def versions(found: list[Any]) -> list[tuple[str, int]]:
    return [(change.document, change.version) for change in found]


async def everything(client: pal.Client, end: int, **options: Any) -> list[Any]:
    async with client.subscribe("**", start="beginning", **options) as changes:
        return await drain(changes, end)


async def end_of_log(client: pal.Client) -> int:
    """The position of a change that is made for this."""
    async with client.subscribe("end") as changes:
        await put(client, "end", 1)
        return decode_cursor((await anext(changes)).cursor)[1]


# --- conditions ------------------------------------------------------------------------------------------------------


class Story:
    """Things of every sort that happen to a few documents on two branches."""

    def __init__(self, client: pal.Client, chance: random.Random, *, erases: bool) -> None:
        self.client = client
        self.chance = chance
        self.erases = erases
        self.happened: dict[str, int] = {}

    async def go_on(self) -> None:
        """One thing happens, if it can."""
        tell = self.chance.choice(self.TELLERS)
        name, branch = self.chance.choice(DOCUMENTS), self.chance.choice(("main", "draft"))
        with suppress(UsageError, Conflict):
            await tell(self, name, branch)
            self.happened[tell.__name__] = self.happened.get(tell.__name__, 0) + 1

    def said(self) -> dict[str, Any]:
        chance = self.chance
        return {"by": chance.choice([None, "ana", "bo"]), "tags": chance.sample(["x", "y", "z"], chance.randrange(3))}

    async def create(self, name: str, branch: str) -> None:
        value = {"a": {"x": 1, "y": 2}, "l": [1, 2, 3], "n": 0, "t": "some text", "gone": 1}
        await self.client.create(name, value, branch=branch, **self.said())

    async def update(self, name: str, branch: str) -> None:
        deltas = [
            pal.Delta().set("a.x", self.chance.randrange(9)),
            pal.Delta().set("gone", 2).set("n", 5),
            pal.Delta().delete("a.y").increment("n", 1),
            pal.Delta().insert("l", 1, "i").append("l", "p"),
            pal.Delta().remove("l", 0),
            pal.Delta().move("a.x", "b.x"),
            pal.Delta().copy("l", "a.y"),
            pal.Delta().copy("a", "b"),
            pal.Delta().set("t", "some other text"),
            pal.Delta().test("n", 0).set("n", 7),
        ]
        await self.client.update(name, self.chance.choice(deltas), branch=branch, **self.said())

    async def patch(self, name: str, branch: str) -> None:
        operations = [
            {"op": "replace", "path": "/a/x", "value": 4},
            {"op": "add", "path": "/l/-", "value": 9},
            {"op": "move", "from": "/t", "path": "/a/t"},
        ]
        delta = pal.Delta.from_json_patch([self.chance.choice(operations)])
        await self.client.update(name, delta, branch=branch, **self.said())

    async def merge_patch(self, name: str, branch: str) -> None:
        patch = self.chance.choice([{"a": {"x": None}}, {"a": {"z": 1}, "n": 3}, {"l": [5]}])
        await self.client.update(name, pal.Delta.from_merge_patch(patch), branch=branch, **self.said())

    async def delete(self, name: str, branch: str) -> None:
        if self.chance.random() < 0.4:
            await self.client.delete(name, branch=branch, **self.said())

    async def revert(self, name: str, branch: str) -> None:
        newest = (await self.client.get(name, branch=branch)).version
        await self.client.revert(name, self.chance.randint(1, newest), branch=branch, **self.said())

    async def undo(self, name: str, branch: str) -> None:
        newest = (await self.client.get(name, branch=branch)).version
        await self.client.undo(name, newest, branch=branch, **self.said())

    async def branch(self, name: str, branch: str) -> None:
        await self.client.branch(name, "draft")

    async def merge(self, name: str, branch: str) -> None:
        other = "main" if branch == "draft" else "draft"
        await self.client.merge(name, other, branch, rules={"": "ours"}, **self.said())

    async def transaction(self, name: str, branch: str) -> None:
        parts = {(each, branch): pal.Delta().increment("n", 1) for each in DOCUMENTS}
        await self.client.transaction(parts, **self.said())

    async def erase(self, name: str, branch: str) -> None:
        if self.erases and self.chance.random() < 0.3:
            await self.client.erase(name, "gone", branch=branch, by="bo")

    TELLERS = (
        create, create, update, update, update, update, patch, patch, merge_patch, delete, revert, undo, branch, merge, transaction, erase,
    )  # fmt: skip


CONDITIONS: list[dict[str, Any]] = [
    {},
    {"by": "ana"},
    {"tags": {"x", "y"}},
    {"tags_all": {"x", "y"}},
    {"tags": {"z"}, "by": "bo"},
    {"path": "a.x"},
    {"path": "a.*"},
    {"path": "l.2"},
    {"path": "b"},
    {"path": ""},
    {"path": "n", "by": "ana"},
    {"kinds": {pal.Kind.CREATE, pal.Kind.DELETE}},
    {"kinds": {pal.Kind.UPDATE}, "tags": {"x"}},
    {"kinds": {pal.Kind.ERASE}},
]


def meets(change: Any, condition: dict[str, Any]) -> bool:
    """All but the path."""
    meta = change.meta
    tags = set() if meta is None else set(meta.tags)
    return (
        condition.get("by") in (None, None if meta is None else meta.by)
        and ("tags" not in condition or bool(tags & condition["tags"]))
        and tags >= condition.get("tags_all", set())
        and ("kinds" not in condition or change.kind in condition["kinds"])
    )


async def touching(client: pal.Client, branch: str, path: str) -> set[tuple[str, int]]:
    """What the histories say was touched."""
    found = set()
    for name in DOCUMENTS:
        history = client.history(name, branch=branch, path=path)
        with suppress(UsageError):  # it never was
            found |= {(name, version.version) async for version in history if version.branch == branch}
    return found


@pytest.mark.parametrize(("seed", "erases"), [(0, False), (1, False), (2, True)])
async def test_live_from_the_log_and_by_a_naive_reading_conditions_choose_the_same(seed: int, erases: bool) -> None:
    """An erasure makes earlier versions anew, so that they may touch less, or more, than they did when they were handed on."""
    async with AsyncExitStack() as stack:
        _, client = await stack.enter_async_context(serving(snapshot_versions=3))
        story = Story(client, random.Random(seed), erases=erases)
        wishes = [
            {"branch": branch, "values": number % 3 == 0, **condition}
            for number, condition in enumerate(CONDITIONS)
            if not (erases and "path" in condition)
            for branch in ("main", "draft")
        ]
        live = [await stack.enter_async_context(client.subscribe("**", **wish)) for wish in wishes]
        for _ in range(150):
            await story.go_on()
        assert len(story.happened) >= 10, story.happened
        await client.delete("e") if "e" in [name async for name in client.list("e")] else None
        end = await end_of_log(client)
        logs = {branch: await everything(client, end, branch=branch) for branch in ("main", "draft")}
        chosen = 0
        for changes, wish in zip(live, wishes, strict=True):
            condition = {name: value for name, value in wish.items() if name not in ("branch", "values")}
            branch = wish["branch"]
            expected = [change for change in logs[branch] if meets(change, condition)]
            if "path" in condition:
                touched = await touching(client, branch, condition["path"])
                expected = [change for change in expected if (change.document, change.version) in touched]
            expected = [change for change in expected if change.document != "end"]
            found = [change for change in await drain(changes, end) if change.document != "end"]
            again = [change for change in await everything(client, end, **wish) if change.document != "end"]
            assert versions(found) == versions(again) == versions(expected), wish
            chosen += bool(expected)
            assert [change.meta for change in found] == [change.meta for change in again]
        assert chosen > len(wishes) // 2


# --- from a time -----------------------------------------------------------------------------------------------------


async def test_from_a_time_over_a_restart(make_server: Callable[..., pal.Server]) -> None:
    clock = pal.ManualClock(START)
    async with make_server(clock=clock) as server, server.connect() as client:
        for version in range(6):
            await put(client, "a", version)
            if version % 2:
                clock.advance(60)
        for minutes, first in [(-1, 1), (0, 1), (0.5, 3), (1, 3), (2, 5), (2.5, 7), (10, 7)]:
            moment = START + timedelta(minutes=minutes)
            async with client.subscribe("a", from_time=moment) as changes:
                if first < 7:
                    assert (await anext(changes)).version == first
                assert versions(await drain(changes, 6)) == [("a", version) for version in range(first + 1, 7)]


# --- what is there ---------------------------------------------------------------------------------------------------


async def test_a_snapshot_beside_writers_is_what_is_there_in_the_end(make_server: Callable[..., pal.Server]) -> None:
    names = [f"d/{number:03}" for number in range(130)]
    async with make_server() as server, server.connect() as writer:
        await writer.transaction({name: pal.Create({"n": 0}) for name in names})
        async with server.connect(credit_bytes=256) as reader, reader.subscribe("d/*", start="snapshot") as changes:
            known: dict[str, int] = {}
            for step in range(300):
                if changes.current:
                    break
                change = await anext(changes)
                assert change.version > known.get(change.document, 0)
                known[change.document] = change.version
                name = names[step * 31 % 130]
                if step % 7 == 6:
                    await writer.delete(name)
                    await writer.create(name, {"n": step})
                else:
                    await writer.update(name, {"n": step})
            assert changes.current
            end = await end_of_log(writer)
            for change in await drain(changes, end):
                assert change.version == known.get(change.document, 0) + 1
                known[change.document] = change.version
            documents = await writer.get_many(names)
            assert known == {
                name: document.version for name, document in zip(names, documents, strict=True) if document
            }


# --- slow readers ----------------------------------------------------------------------------------------------------


async def test_slow_readers_of_every_policy_beside_a_quick_one() -> None:
    async with (
        serving(limits=Limits(subscription_bytes_max=2_000)) as (server, writer),
        server.connect() as client,
        client.subscribe("**") as patient,
        client.subscribe("**", values=True, policy="latest") as latest,
        client.subscribe("**", policy="disconnect") as strict,
        server.connect() as other,
        other.subscribe("**") as quick,
    ):
        for version in range(1, 201):
            await put(writer, "a" if version % 4 else "b", version)
            assert (await anext(quick)).value is None
        with pytest.raises(Overloaded):
            await drain(strict, 200)
        end = await end_of_log(writer)
        assert versions(await drain(patient, end)) == versions(await everything(writer, end))
        found = await drain(latest, end - 1)
        for name, newest in (("a", 150), ("b", 50)):
            of_it = [change.version for change in found if change.document == name]
            assert of_it == sorted(set(of_it))
            assert of_it[-1] == newest
        assert len(found) < 120


# --- cursors ---------------------------------------------------------------------------------------------------------


async def test_a_cursor_from_before_what_is_kept(make_server: Callable[..., pal.Server]) -> None:
    async with make_server() as server, server.connect() as client:
        async with client.subscribe("a", start="beginning") as changes:
            for version in range(1, 11):
                await put(client, "a", version)
            old = (await anext(changes)).cursor
        await put(client, "b", 1)
        await client.prune("a", versions=3, dry_run=False)
        for options in ({"resume_after": old}, {"start": "beginning"}):
            async with client.subscribe("**", **options) as changes:
                with pytest.raises(Compacted) as caught:
                    await anext(changes)
            async with client.subscribe("**", resume_after=caught.value.oldest) as changes:
                assert versions(await drain(changes, 11)) == [("a", 8), ("a", 9), ("a", 10), ("b", 1)]
        async with client.subscribe("b", resume_after=old) as changes:
            assert versions(await drain(changes, 11)) == [("b", 1)]  # nothing of it is gone
        async with client.subscribe("a", resume_after=old, start="snapshot") as changes:
            shown = await anext(changes)
            assert (shown.version, shown.snapshot, shown.value) == (10, True, 10)


async def test_a_cursor_of_one_whom_nothing_concerns_stays_within_what_is_kept() -> None:
    async with serving() as (_, client), client.subscribe("*", by="nobody", values=True) as changes:
        for version in range(1, 11):
            await put(client, "a", version)
        assert await drain(changes, 10) == []  # the client asks, by a ping
        await client.prune("a", versions=1, dry_run=False)
        async with client.subscribe("*", resume_after=changes.cursor) as later:
            await put(client, "b", 1)
            assert (await anext(later)).document == "b"


async def test_a_cursor_from_before_a_restore(tmp_path: Path) -> None:
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        async with client.subscribe("a") as changes:
            await put(client, "a", 1)
            cursor = (await anext(changes)).cursor
        await client.backup(tmp_path / "backup")
    pal.restore(tmp_path / "backup", tmp_path / "restored.db")
    async with pal.Server(tmp_path / "restored.db") as server, server.connect() as client:
        with pytest.raises(CursorInvalid) as caught:
            await client.subscribe("a", resume_after=cursor).__aenter__()
        assert caught.value.cursor == cursor
        async with client.subscribe("a", resume_after=cursor, start="snapshot") as changes:
            assert (await anext(changes)).snapshot
            await put(client, "a", 2)
            assert (await anext(changes)).version == 2
