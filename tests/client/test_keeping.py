"""The words about what is kept: what is asked for, by a scripted server; what comes of it, by a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from palimpsest.client import Client, Share
from palimpsest.clock import ManualClock
from palimpsest.embedded import Server
from palimpsest.errors import DocumentNotFound, InvalidName, InvalidPath, InvalidRequest, VersionPruned
from palimpsest.protocol import messages as m
from palimpsest.words import Kind

pytestmark = pytest.mark.anyio

MOMENT = datetime(2020, 1, 1, tzinfo=UTC)
PRUNED = m.Pruned(0, 2, 30, 400, (m.Share("n/1", 20, 300), m.Share("n/2", 10, 100)), True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MOMENT)


@pytest.fixture
async def client(anyio_backend: object, clock: ManualClock) -> AsyncIterator[Client]:
    async with Server.memory(clock=clock) as server, server.connect() as connected:
        yield connected


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "retain"),
    [
        ({}, None),
        ({"versions": 9}, m.Retain(9)),
        ({"age": timedelta(days=1)}, m.Retain(None, 86_400)),
        ({"age": timedelta(milliseconds=1)}, m.Retain(None, 1)),
        ({"age": 1.5, "bytes_max": 7}, m.Retain(None, 2, 7)),
        ({"versions": 9, "tags": {"v*", "a"}}, m.Retain(9, None, None, ("a", "v*"))),
        ({"versions": 9, "tags": ()}, m.Retain(9, None, None, ())),
    ],
)
async def test_what_is_to_be_kept(scripted: Any, reach: Any, rules: Any, retain: m.Retain | None) -> None:
    scripted.replies[m.Prune] = lambda message: msgspec.structs.replace(PRUNED, id=message.id)
    async with reach() as client:
        report = await client.prune("n/*", **rules)
    asked = scripted.received[-1]
    assert (asked.pattern, asked.branch, asked.retain, asked.dry_run) == ("n/*", "main", retain, True)
    assert (report.documents, report.events, report.bytes, report.dry_run) == (2, 30, 400, True)
    assert report.largest == (Share("n/1", 20, 300), Share("n/2", 10, 100))


async def test_arguments_are_checked_before_anything_is_sent(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        calls: list[Any] = [
            (InvalidName, lambda: client.prune(5)),
            (InvalidRequest, lambda: client.prune(versions="1")),
            (InvalidRequest, lambda: client.prune(age=-1)),
            (InvalidRequest, lambda: client.prune(age=float("nan"))),
            (InvalidRequest, lambda: client.prune(age=True)),
            (InvalidRequest, lambda: client.prune(age="1d")),
            (InvalidRequest, lambda: client.prune(tags={"v*"})),
            (InvalidRequest, lambda: client.prune(versions=1, tags="v*")),
            (InvalidPath, lambda: client.erase("n", "a..b")),
            (InvalidRequest, lambda: client.erase("n", by=5)),
            (InvalidRequest, lambda: client.stats(largest=1.5)),
            (InvalidRequest, lambda: client.backup(b"/backup")),
            (InvalidName, lambda: client.export(5)),
            (InvalidName, lambda: client.export("a//b")),
            (InvalidRequest, lambda: client.export(after="n")),
            (InvalidRequest, lambda: client.export(after=("n", "main"))),
            (InvalidRequest, lambda: client.export(after=("n", "main", -1))),
            (InvalidRequest, lambda: client.export(after=("n", "$draft", 1))),
            (InvalidRequest, lambda: client.export("m/*", after=("n", "main", 1))),
        ]
        for error, call in calls:
            with pytest.raises(error):
                await call()
    assert [type(message) for message in scripted.received] == [m.Hello]


async def test_a_path_to_erase_may_have_stars(scripted: Any, reach: Any) -> None:
    scripted.replies[m.Erase] = lambda message: m.Committed(message.id, 4, 5)
    async with reach() as client:
        made = await client.erase("n", 'people.*["e-mail"]', by="ana", description="asked for it", request_id="r")
    asked = scripted.received[-1]
    assert (asked.path, asked.meta, asked.key) == (("people", "*", "e-mail"), m.Meta("ana", "asked for it"), "r")
    assert (made.version, made.kind, made.by, made.request) == (4, Kind.ERASE, "ana", "r")


# --- what comes of it ------------------------------------------------------------------------------------------------


async def test_prune(client: Client, clock: ManualClock) -> None:
    for name in ("n/1", "n/2"):
        await client.create(name, {"a": 1}, tags={"first"})
        for number in range(2, 11):
            await client.update(name, {"a": number})
    shown = await client.prune("n/*", versions=3)
    assert (shown.documents, shown.events, shown.dry_run) == (2, 12, True)
    assert {share.document for share in shown.largest} == {"n/1", "n/2"}
    assert (await client.get("n/1", version=2)).value == {"a": 2}
    done = await client.prune("n/*", versions=3, dry_run=False)
    assert (done.documents, done.events, done.dry_run) == (2, 12, False)
    assert [made.version async for made in client.history("n/1")] == [10, 9, 8, 1]
    with pytest.raises(VersionPruned) as gone:
        await client.get("n/1", version=2)
    assert gone.value.oldest == 8
    assert (await client.prune("n/*", versions=3)).events == 0
    clock.advance(3600)
    await client.update("n/1", {"a": 11})
    assert (await client.prune("n/1", age=timedelta(minutes=1), tags=())).events == 4


async def test_erase(client: Client) -> None:
    await client.create("n", {"people": {"1": {"name": "Ana", "mail": "ana@x"}}})
    await client.update("n", {'people["2"]': {"name": "Bo", "mail": "bo@x"}})
    made = await client.erase("n", "people.*.mail", by="cy", description="asked for it")
    assert (made.version, made.kind, made.by) == (3, Kind.ERASE, "cy")
    assert (await client.get("n", version=1)).value == {"people": {"1": {"name": "Ana"}}}
    assert (await client.get("n")).value == {"people": {"1": {"name": "Ana"}, "2": {"name": "Bo"}}}
    await client.erase("n")
    with pytest.raises(DocumentNotFound):
        await client.get("n")
    assert [(found.version, found.kind) async for found in client.history("n")] == [(4, Kind.ERASE)]
    assert [name async for name in client.list()] == []
    assert [name async for name in client.list(deleted=True)] == ["n"]


async def test_stats(client: Client) -> None:
    told: list[tuple[int, int]] = []
    for number in range(3):
        await client.create(f"n/{number}", {"text": "x" * 100 * number})
        await client.update(f"n/{number}", {"a": 1})
    await client.delete("n/0")
    await client.create("m", 1)
    found = await client.stats("n/*", largest=2, on_progress=lambda done, total: told.append((done, total)))
    assert (found.documents, found.deleted, found.versions, found.events) == (2, 1, 7, 7)
    assert [share.document for share in found.largest] == ["n/2", "n/1"]
    assert found.bytes > sum(share.bytes for share in found.largest) > 0
    assert told


async def test_backup(tmp_path: Path) -> None:
    async with Server(tmp_path / "state.db") as server, server.connect() as client:
        await client.create("n", {"a": 1})
        report = await client.backup(tmp_path / "backup")
    assert report.path == str(tmp_path / "backup")
    assert report.position == 2
    assert report.bytes > 0
    assert sum(file.stat().st_size for file in (tmp_path / "backup").iterdir()) >= report.bytes


async def test_a_store_without_files_has_no_backup(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="files"):
        await client.backup(tmp_path / "backup")
