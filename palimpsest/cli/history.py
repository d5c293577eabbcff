"""`history` and `blame`: what happened to a document, and which version set what is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from palimpsest.cli.options import AsJson, AsOf, At, Branch, Name, WithTag
from palimpsest.cli.output import (
    json_time,
    node_text,
    print_entry,
    print_json,
    print_lines,
    short_json,
    short_time,
    version_json,
)
from palimpsest.cli.places import get_at, make_place
from palimpsest.cli.session import ask_server
from palimpsest.cli.times import parse_time
from palimpsest.cli.viewing import Family, Level, Perspective, make_view
from palimpsest.client import Client, Document, Version
from palimpsest.errors import UsageError
from palimpsest.state.paths import parse_path
from palimpsest.state.tree import NOTHING, find_or_nothing
from palimpsest.words import MAIN

_VALUE_SHOWN_MAX = 60


def history(
    context: typer.Context,
    name: Name,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Made then or later: ISO 8601, or how long ago, such as 2h or 3d."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Made then or before.")] = None,
    by: Annotated[str | None, typer.Option(metavar="WHO", help="Made by this author.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="With this tag; of several, with any of them.")
    ] = None,
    all_tags: Annotated[bool, typer.Option("--all-tags", help="With every --tag, not with any of them.")] = False,
    path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Changed something at this path, above it or inside it.")
    ] = None,
    first: Annotated[int | None, typer.Option(metavar="N", min=1, help="From version N on.")] = None,
    last: Annotated[int | None, typer.Option(metavar="N", min=1, help="Up to version N.")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most N versions.")] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="From the first version on.")] = False,
    branch: Branch = MAIN,
    perspective: Perspective = None,
    family: Family = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """Print the versions of a document that meet every condition: when, who, why, and what changed."""
    if all_tags and not tags:
        raise UsageError("--all-tags is about several --tag, and there is none")
    conditions: dict[str, Any] = {
        "since": None if since is None else parse_time(since),
        "until": None if until is None else parse_time(until),
        "by": by,
        "tags_all" if all_tags else "tags": tags or (),
        "path": None if path is None else parse_path(path),
        "first": first,
        "last": last,
        **make_view(perspective, family, level),
    }

    async def print_versions(client: Client) -> None:
        found = client.history(name, newest_first=not oldest_first, limit=limit, branch=branch, **conditions)
        async for version in found:
            if as_json:
                print_json(version_json(version))
            else:
                print_entry(version)

    ask_server(context, print_versions)


def blame(
    context: typer.Context,
    name: Name,
    path: Annotated[str, typer.Option(metavar="PATH", help="Only what is at this path and inside of it.")] = "",
    version: AsOf = None,
    at: At = None,
    tag: WithTag = None,
    branch: Branch = MAIN,
    perspective: Perspective = None,
    family: Family = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """Print each path of a document with its value and the version that last set it."""
    place = make_place(version, at, tag, branch)
    steps = parse_path(path)
    view = make_view(perspective, family, level)

    async def look(client: Client) -> tuple[Document, Mapping[str, Version], bool]:
        document = await get_at(client, name, place, view)
        found = await client.blame(name, branch=branch, version=document.version, path=steps, **view)
        return document, found, found.exact

    document, unordered, exact = ask_server(context, look)
    found = {written: unordered[written] for written in sorted(unordered, key=_place)}
    unsure = None if exact else min(found.values(), key=_age, default=None)
    if as_json:
        for written, made in found.items():
            print_json(_blame_json(document, written, made, exact=not _is_of(made, unsure)))
    else:
        print_lines(_blame_lines(document, found, unsure))


def _blame_json(document: Document, written: str, made: Version, *, exact: bool) -> dict[str, Any]:
    return {
        "path": written,
        "value": _value(document, written),
        "branch": made.branch,
        "version": made.version,
        "exact": exact,
        "at": json_time(made.at),
        "by": made.by,
        "description": made.description,
        "tags": sorted(made.tags),
    }


def _blame_lines(document: Document, found: Mapping[str, Version], unsure: Version | None) -> list[Text]:
    """In columns: version, when, who, path, value. unsure: the version that is named for all that came before it, too."""
    versions = {written: _version_text(made, unsure) for written, made in found.items()}
    version_width = max(map(len, versions.values()), default=0)
    by_width = max((len(made.by or "") for made in found.values()), default=0)
    lines = []
    for written, made in found.items():
        line = Text.assemble((versions[written].rjust(version_width), "cyan"), f"  {short_time(made.at)}")
        if by_width:
            line.append(f"  {(made.by or '').ljust(by_width)}", style="magenta")
        line.append(f"  {written or 'the root'}", style="blue")
        line.append(f"  {short_json(_value(document, written), _VALUE_SHOWN_MAX)}")
        lines.append(line)
    return lines


def _version_text(made: Version, unsure: Version | None) -> str:
    """Its number; with its branch, where that is not `main`."""
    written = str(made.version) if made.branch == MAIN else node_text((made.branch, made.version))
    return f"{written} or before" if _is_of(made, unsure) else written


def _is_of(made: Version, unsure: Version | None) -> bool:
    return unsure is not None and (made.branch, made.version) == (unsure.branch, unsure.version)


def _age(made: Version) -> tuple[int, int]:
    return made.at_microseconds, made.version


def _place(written: str) -> list[tuple[bool, int | str]]:
    """Where a path stands among those of a value: elements by index, keys by name."""
    return [(isinstance(step, str), step) for step in parse_path(written)]


def _value(document: Document, written: str) -> Any:
    found = find_or_nothing(document.value, parse_path(written))
    return None if found is NOTHING else found
