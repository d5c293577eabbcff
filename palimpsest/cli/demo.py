"""`demo`: what Palimpsest is, in ten seconds, on a server that lives in this process and leaves nothing behind."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.syntax import Syntax

from palimpsest.cli.output import about_version, console, delta_lines, readable_time
from palimpsest.client import Client
from palimpsest.embedded import Server
from palimpsest.errors import VersionConflict
from palimpsest.running import run
from palimpsest.state.delta import DELETE, Increment


def demo() -> None:
    """Show in ten seconds what this is. Needs no server and leaves nothing behind."""
    run(lambda: _tell(console()))


async def _tell(out: Console) -> None:
    async with Server.memory() as server, server.connect() as client:
        out.print(f"A server lives in this process, at {server.url}; its memory is gone when the demo ends.")
        for tell in (_create, _update, _conflict, _read_the_past, _follow, _edit, _history):
            await tell(out, client)
    out.print("\n[bold]That is all.[/] Now: palimpsest serve, and palimpsest --help")


def _step(out: Console, title: str, code: str) -> None:
    out.print(f"\n[bold]{title}[/]")
    out.print(Syntax(code, "python", background_color="default", theme="ansi_dark"))


def _result(out: Console, result: Any) -> None:
    out.print(f"  → {result}", style="green", markup=False)


async def _create(out: Console, client: Client) -> None:
    _step(
        out,
        "A document is a JSON value with a name.",
        'await client.create("notes/1", {"title": "A", "tags": [], "draft": True}, by="ana", description="first")',
    )
    made = await client.create("notes/1", {"title": "A", "tags": [], "draft": True}, by="ana", description="first")
    _result(out, f"version {made.version}, durable")


async def _update(out: Console, client: Client) -> None:
    _step(
        out,
        "An update says what changes, who, and why. All of it happens, or none.",
        'await client.update("notes/1", {"title": "B", "meta.stars": Increment(1), "draft": DELETE}, by="bo", expect=1)',
    )
    made = await client.update(
        "notes/1",
        {"title": "B", "meta.stars": Increment(1), "draft": DELETE},
        by="bo",
        description="a better title",
        expect=1,
    )
    _result(out, f"version {made.version}")


async def _conflict(out: Console, client: Client) -> None:
    _step(
        out,
        "Whoever decided on an older version is told, instead of writing over it.",
        'await client.update("notes/1", {"title": "C"}, expect=1)',
    )
    try:
        await client.update("notes/1", {"title": "C"}, expect=1)
    except VersionConflict as error:
        _result(out, f"VersionConflict: {error}")


async def _read_the_past(out: Console, client: Client) -> None:
    _step(out, "Every version stays readable.", 'await client.get("notes/1", version=1)')
    past = await client.get("notes/1", version=1)
    now = await client.get("notes/1")
    _result(out, f"version {past.version}: {past.value}")
    _result(out, f"version {now.version}: {now.value}")


async def _follow(out: Console, client: Client) -> None:
    _step(
        out,
        "Every change streams to those who follow it, once it is durable.",
        'async with client.subscribe("notes/*") as changes: ...',
    )
    async with client.subscribe("notes/*") as changes:
        await client.update("notes/1", {"meta.stars": Increment(41)}, by="cy")
        async for change in changes:
            _result(out, about_version(change))
            break


async def _edit(out: Console, client: Client) -> None:
    _step(
        out,
        "Or change a copy: what differs at the end becomes one delta, on the version that was read.",
        'async with client.edit("notes/1", by="ana") as draft:\n    draft["tags"].append("done")',
    )
    async with client.edit("notes/1", by="ana", description="finished") as draft:
        draft["tags"].append("done")
    _result(out, (await client.get("notes/1")).value)


async def _history(out: Console, client: Client) -> None:
    _step(out, "And the history says who changed what, when and why.", 'client.history("notes/1")')
    async for version in client.history("notes/1"):
        changed = ", ".join(line.plain for line in delta_lines(version.delta)) if version.delta is not None else ""
        said = " ".join(word for word in (version.by, version.description) if word)
        _result(out, f"{version.version}  {readable_time(version.at)}  {said}: {changed}")
