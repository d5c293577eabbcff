"""Perspectives on a real server with files: over a restart, out by an export, and while all of it is under way."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

import palimpsest as pal
from palimpsest.errors import InvalidRequest, PalimpsestError, PerspectiveNotFound, ViewChanged
from palimpsest.limits import Limits

pytestmark = pytest.mark.anyio

SHOWN = pal.Perspective(name="p", documents="notes/*", include=["shown"], rename={"shown": "seen"})


async def a_past(client: pal.Client) -> None:
    """Of notes/1, versions 1, 3, 5 and 6 show something."""
    await client.perspectives.put(SHOWN)
    await client.create("notes/1", {"shown": 1, "secret": "hidden-1"}, by="ana")
    await client.update("notes/1", {"secret": "hidden-2"}, by="eve", description="hidden-3", tags={"hidden-4"})
    await client.update("notes/1", {"shown": 2, "secret": "hidden-5"})
    await client.update("notes/1", {"secret": "hidden-6"})
    await client.delete("notes/1")
    await client.create("notes/1", {"shown": 3, "secret": "hidden-7"})
    await client.create("notes/2", {"secret": "hidden-8"})
    await client.branch("notes/1", "hidden-9")
    await client.create("others/hidden-10", {"shown": 1})


# --- over a restart ------------------------------------------------------------------------------------------------


async def test_views_and_their_cursors_hold_over_a_restart(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    async with pal.Server(store) as server, server.connect() as client:
        await a_past(client)
        async with client.subscribe("notes/*", perspective="p", start="snapshot") as changes:
            shown = {change.document: change.value for change in [await anext(changes), await anext(changes)]}
            await client.update("notes/1", {"shown": 4})
            assert (await anext(changes)).version == 7
            cursor = changes.cursor
        assert shown == {"notes/1": {"seen": 3}, "notes/2": {}}
        await client.update("notes/1", {"secret": "x"})
        await client.update("notes/1", {"shown": 5})
    async with pal.Server(store) as server, server.connect() as client:
        assert (await client.get("notes/1", perspective="p")).value == {"seen": 5}
        assert (await client.get("notes/1", perspective="p", version=1)).value == {"seen": 1}
        history = [version.version async for version in client.history("notes/1", perspective="p")]
        assert history == [9, 7, 6, 5, 3, 1]
        async with client.subscribe("notes/*", perspective="p", resume_after=cursor) as changes:
            change = await anext(changes)
            assert (change.version, change.delta) == (9, pal.Delta().set("seen", 5))
        await client.perspectives.put(pal.Perspective(name="p", documents="notes/*", include=["other"]))
        async with client.subscribe("notes/*", perspective="p", resume_after=cursor) as changes:
            change = await anext(changes)  # what came before does not fit this view: all is shown again
            assert (change.document, change.snapshot, change.value) == ("notes/1", True, {})


# --- export --------------------------------------------------------------------------------------------------------


async def test_an_export_through_a_perspective_is_of_what_is_seen() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await a_past(client)
        lines = [line async for line in client.export("**", perspective="p")]
        assert [(line["document"], line["version"], line["kind"]) for line in lines[1:]] == [
            ("notes/1", 1, "create"),
            ("notes/1", 3, "update"),
            ("notes/1", 5, "delete"),
            ("notes/1", 6, "create"),
            ("notes/2", 1, "create"),
        ]
        assert lines[2]["value"] == {"seen": 2}
        assert lines[2]["delta"] == [[0, ["seen"], 2]]
        assert "hidden" not in json.dumps(lines)
        assert "eve" not in json.dumps(lines)
        rest = [line async for line in client.export("**", perspective="p", after=("notes/1", "main", 3))]
        assert rest == lines[3:]
        async with pal.Server.memory() as other, other.connect() as target:
            report = await target.import_history(lines)
            assert (report.documents, report.versions) == (2, 5)
            assert (await target.get("notes/1")).value == {"seen": 3}
            assert (await target.get("notes/1", version=3)).value == {"seen": 2}
            assert (await target.import_history(lines)).versions == 0


async def test_an_export_through_a_perspective_has_pages() -> None:
    async with pal.Server.memory(limits=Limits(page_items_max=3)) as server, server.connect() as client:
        await client.perspectives.put(SHOWN)
        for number in range(7):
            await client.create(f"notes/{number}", {"shown": 0})
            await client.create(f"other/{number}", {"shown": 0})
        for number in range(1, 9):
            await client.update("notes/1", {"shown": number // 2})
        lines = [line async for line in client.export(perspective="p")]
        assert [line["version"] for line in lines if line.get("document") == "notes/1"] == [1, 3, 5, 7, 9]
        assert len({line["document"] for line in lines[1:]}) == 7


async def test_exports_that_make_no_sense() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await client.perspectives.put(SHOWN)
        with pytest.raises(InvalidRequest):
            client.export(perspective="p", level=1)
        with pytest.raises(InvalidRequest):
            client.export(perspective="p", after=("notes/1", "draft", 3))
        with pytest.raises(PerspectiveNotFound):
            [line async for line in client.export(perspective="q")]


# --- all at once ---------------------------------------------------------------------------------------------------


async def test_readers_see_one_view_or_the_other_while_it_changes_under_them() -> None:
    """Each value is of one of the two definitions as a whole; and once it was told of, of the new one."""
    views = [
        pal.Perspective(name="p", documents="notes/*", include=["a"], rename={"a": "seen-a"}),
        pal.Perspective(name="p", documents="notes/*", include=["b"], rename={"b": "seen-b"}),
    ]
    async with pal.Server.memory() as server, server.connect() as writer, server.connect() as reader:
        await writer.perspectives.put(views[0])
        for name in ("notes/1", "notes/2"):
            await writer.create(name, {"a": 0, "b": 0})
        done = anyio.Event()

        async def read() -> None:
            while not done.is_set():
                for document in await reader.get_many(["notes/1", "notes/2"], perspective="p"):
                    assert set(document.value) in ({"seen-a"}, {"seen-b"})

        async def follow() -> None:
            value: dict[str, Any] = {}
            with suppress(ViewChanged):
                async with reader.subscribe("notes/1", perspective="p", start="snapshot", values=True) as changes:
                    async for change in changes:
                        value = change.value
                        assert set(value) in ({"seen-a"}, {"seen-b"})
                        if done.is_set():
                            return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(follow)
            for number in range(1, 30):
                await writer.update("notes/1", {"a": number, "b": number})
                await writer.perspectives.put(views[number % 2])
                found = (await reader.get("notes/1", perspective="p")).value
                assert found == {("seen-a", "seen-b")[number % 2]: number}
            done.set()
            for last in ("x", "y"):
                with suppress(PalimpsestError):
                    await writer.update("notes/1", {"a": last, "b": last})
            tasks.cancel_scope.cancel()
        assert server.partition.registry.crashes == 0
