"""`log`: history in one line a version, and the lines of versions as a drawing."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from palimpsest.cli.graph import CELL_CHARACTERS, Dot, draw, newest_first
from palimpsest.cli.options import AsJson, Name
from palimpsest.cli.output import about_parents, about_when, console, node_text, print_json, version_json
from palimpsest.cli.session import ask_server
from palimpsest.client import Branch, Client, Version
from palimpsest.errors import BranchNotFound, UsageError
from palimpsest.words import MAIN, Kind, Node

_LANE_STYLES = ("bold", "cyan", "magenta", "yellow", "green", "blue", "red")
"""Of the columns, over and over."""

Heads = dict[Node, list[str]]
"""The branches whose newest version it is."""


class Past(msgspec.Struct):
    """What there is to be drawn: versions by where they were made, and which branches end there."""

    versions: dict[Node, Version]
    heads: Heads


def log(
    context: typer.Context,
    name: Name,
    branch: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Only this branch, and what was merged into it.")
    ] = None,
    graph: Annotated[bool, typer.Option("--graph", help="Draw the lines of versions.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="All branches; so it is with --graph where no --branch is given.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="At most N versions.")] = None,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with |, - and * only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a document's versions, newest first, one a line; with --graph, how they come from each other.

    A name in brackets is a branch whose newest version that is.
    """
    if every and branch is not None:
        raise UsageError("--all is about every branch, and --branch names one: give one of them")
    every = every or (graph and branch is None)
    if not (every or graph):
        _print_line(context, name, branch or MAIN, limit, as_json)
        return
    past = ask_server(context, lambda client: read_past(client, name, branch, limit))
    dots = newest_first(_dots(past.versions.values()))[:limit]
    if as_json:
        for dot in dots:
            print_json(version_json(past.versions[dot.node]))
        return
    out = console()
    ascii_only = ascii_only or not _is_drawable(out.encoding)
    if graph:
        for row in draw(dots, ascii_only=ascii_only):
            about = Text() if row.dot is None else _about(past.versions[row.dot.node], past.heads)
            _print_cut(out, _coloured(row.strokes), about, ascii_only=ascii_only)
    else:
        for dot in dots:
            _print_cut(out, Text(), _about(past.versions[dot.node], past.heads), ascii_only=ascii_only)


async def read_past(client: Client, document: str, branch: str | None, limit: int | None) -> Past:
    """The versions of a branch and of all that was merged into it; None: of all branches that are not deleted.

    limit: so many of each line are read at most, the newest; older ones cannot be among the newest `limit` of all.
    Raises DocumentNotFound or BranchNotFound.
    """
    branches = await client.branches(document, deleted=True)
    own = [each for each in branches if each.document == document and each.head]
    heads = _heads(own)
    versions: dict[Node, Version] = {}
    asked: set[Node] = set()
    roots = list(heads) if branch is None else [await _newest(client, document, branch)]
    wanted = [(-version, name) for name, version in roots]
    heapq.heapify(wanted)
    while wanted:
        # The newest first: on the way down from there, most of the others of its line are found.
        number, name = heapq.heappop(wanted)
        node = (name, -number)
        if node in versions or node in asked:
            continue
        asked.add(node)
        first = _first_of(own, node)
        found = client.history(document, branch=node[0], first=first, last=node[1], limit=limit)
        async for version in found:
            versions[version.branch, version.version] = version
            for other in _others(version):
                heapq.heappush(wanted, (-other[1], other[0]))
    return Past(versions, heads)


async def _newest(client: Client, document: str, branch: str) -> Node:
    async for version in client.history(document, branch=branch, limit=1):
        return version.branch, version.version
    raise BranchNotFound(f"{document!r} has no versions on {branch!r}", document=document, branch=branch)


def _heads(branches: Iterable[Branch]) -> Heads:
    """A branch that has no version of its own yet ends where it starts."""
    heads: Heads = {}
    for branch in branches:
        if not branch.deleted:
            starts_there = branch.base is not None and branch.head <= branch.base[1]
            node = branch.base if branch.base is not None and starts_there else (branch.name, branch.head)
            heads.setdefault(node, []).append(branch.name)
    return heads


def _first_of(branches: Iterable[Branch], node: Node) -> int | None:
    """From which number on the line of a node is to be read; None: from its beginning. Before that it is its parent's."""
    name, version = node
    bases = [
        branch.base[1]
        for branch in branches
        if branch.name == name and branch.base is not None and branch.base[1] < version <= branch.head
    ]
    return min(bases) + 1 if bases else None


def _others(version: Version) -> tuple[Node, ...]:
    """What it comes from on other lines."""
    parents = version.parents
    if parents is None:
        return ()
    return (*parents.merged, parents.base) if parents.base is not None else parents.merged


def _dots(versions: Iterable[Version]) -> Iterator[Dot]:
    for version in versions:
        parents = version.parents
        before = (version.branch, version.version - 1)
        if parents is not None and parents.base is not None:
            before = parents.base
        merged = () if parents is None else parents.merged
        # Version 0 is none: where a document begins, nothing is before it.
        came_from = (before, *merged) if before[1] else merged
        yield Dot((version.branch, version.version), came_from, version.at_microseconds)


# --- for people ------------------------------------------------------------------------------------------------------


def _print_line(context: typer.Context, name: str, branch: str, limit: int | None, as_json: bool) -> None:
    """One branch, as it is read."""
    out = console()

    async def print_versions(client: Client) -> None:
        heads: Heads = {}
        if not as_json:
            heads = _heads(each for each in await client.branches(name) if each.document == name and each.head)
        async for version in client.history(name, branch=branch, limit=limit):
            if as_json:
                print_json(version_json(version))
            else:
                _print_cut(out, Text(), _about(version, heads), ascii_only=not _is_drawable(out.encoding))

    ask_server(context, print_versions)


def _about(version: Version, heads: Heads) -> Text:
    """Such as `draft:9 (draft)  2026-11-21 09:30:00  ana  why  [tags]`."""
    node = (version.branch, version.version)
    line = Text(node_text(node), style="yellow")
    if node in heads:
        line.append(f" ({', '.join(heads[node])})", style="bold green")
    line = Text().append_text(line)
    if version.kind in (Kind.DELETE, Kind.ERASE):
        line.append(f"  {version.kind.name.lower()}", style="red")
    return line.append("  ").append_text(about_when(version)).append_text(about_parents(version))


def _coloured(strokes: str) -> Text:
    line = Text()
    for place, stroke in enumerate(strokes):
        line.append(stroke, style=_LANE_STYLES[place // CELL_CHARACTERS % len(_LANE_STYLES)])
    return line


def _print_cut(out: Console, strokes: Text, about: Text, *, ascii_only: bool) -> None:
    """On one line: cut to the terminal's width, where it goes to one."""
    line = strokes.append(" ").append_text(about) if strokes and about else strokes or about
    if out.is_terminal:
        line.truncate(out.width, overflow="crop" if ascii_only else "ellipsis")
    out.print(line)


def _is_drawable(encoding: Any) -> bool:
    """Whether what is drawn with can be said in an encoding, such as that of stdout."""
    try:
        "●│├╮┊…".encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
