"""`watch`: what is happening to documents."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from palimpsest.cli.cursor_file import CursorFile
from palimpsest.cli.following import Follower, print_change
from palimpsest.cli.options import AsJson, Branch
from palimpsest.cli.output import remark
from palimpsest.cli.session import ask_server
from palimpsest.cli.starting import parse_filters, parse_start
from palimpsest.cli.stopping import Stopping
from palimpsest.cli.viewing import Family, Level, Perspective, make_view
from palimpsest.client import Client, FeedOptions
from palimpsest.errors import UsageError
from palimpsest.state.names import Pattern
from palimpsest.words import MAIN


class WhenSlow(StrEnum):
    """What becomes of changes that are not read as fast as they are made."""

    ALL = "all"
    LATEST = "latest"
    DISCONNECT = "disconnect"


def watch(
    context: typer.Context,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="A name, or a pattern such as notes/*.")],
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="now, beginning, snapshot (what is there, then what changes), a version's number, a time, or a cursor.",
        ),
    ] = "now",
    speed: Annotated[
        float | None,
        typer.Option(
            metavar="N", help="Show history as fast as it was made (1), or N times as fast, and then go on live."
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="KEY=VALUE",
            help="Only such changes: tag=TAG (of several, any), tag-all=TAG (every one), by=WHO, path=PATH, kind=KIND.",
        ),
    ] = None,
    cursor_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Go on from the cursor in this file, if it is there, and keep it up to date."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="As a worker of the subscription of this name, whose place the server keeps: what is printed is done.",
        ),
    ] = None,
    values: Annotated[bool, typer.Option("--values", help="Print the whole value with each change.")] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="End after N changes.")] = None,
    policy: Annotated[
        WhenSlow,
        typer.Option(
            help="If they come too fast: all of them, later; the latest of each document; or the end of watching."
        ),
    ] = WhenSlow.ALL,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say on stderr how the feed is, also where that is no terminal.")
    ] = False,
    branch: Branch = MAIN,
    perspective: Perspective = None,
    family: Family = None,
    level: Level = None,
    as_json: AsJson = False,
) -> None:
    """Follow the changes of documents until Control-C; each is printed once it is durable."""
    options: FeedOptions = {"branch": branch, "values": values, "policy": policy.value, "speed": speed}
    options |= parse_start(begin) | parse_filters(filters or ())
    view = make_view(perspective, family, level)
    options.update({"perspective": view["perspective"], "family": view["family"], "level": view["level"]})
    if name is not None:
        options["name"] = name
        _check_named(options, cursor_file)
    shows_states = verbose or sys.stderr.isatty()
    with (
        Stopping() as stopping,
        _quiet_log(),
        nullcontext() if cursor_file is None else CursorFile(cursor_file) as kept,
    ):
        if kept is not None and kept.cursor is not None:
            _go_on(options, kept.cursor)
        _check(pattern, options)
        follower = Follower(
            stopping,
            partial(print_change, as_json=as_json, values=values),
            keep=_nothing if kept is None else kept.store,
            say=remark if shows_states else _nothing,
            limit=limit,
            named=name is not None,
        )

        async def follow(client: Client) -> None:
            await follower.follow(client.subscribe(pattern, **options, on_state=follower.on_state))

        ask_server(context, follow)
    if stopping.signalled and kept is None and follower.cursor and not as_json:
        remark(f"go on with --from {follower.cursor}")


def _go_on(options: FeedOptions, cursor: str) -> None:
    """After a cursor from a file: `--from` was for the first run. But a snapshot is for when the cursor is of no use any more, too."""
    options.pop("from_version", None)
    options.pop("from_time", None)
    options["resume_after"] = cursor
    options["start"] = "snapshot" if options.get("start") == "snapshot" else "now"


def _check(pattern: str, options: FeedOptions) -> None:
    """What would be refused in the words of the API. Raises UsageError, and InvalidName for the pattern."""
    speed = options["speed"]
    if options.get("from_version") is not None and Pattern.parse(pattern).exact is None:
        raise UsageError(f"--from {options['from_version']}: a version is of one document, and {pattern} is a pattern")
    if options["policy"] == "latest" and not options["values"]:
        raise UsageError("--policy latest is about values: give --values, too")
    if speed is None:
        return
    if not 0 < speed < float("inf"):
        raise UsageError(f"--speed {speed:g}: 1 is as fast as it was, 2 twice as fast")
    if options.get("start") in ("now", "snapshot") and "resume_after" not in options:
        raise UsageError("--speed is for history: say by --from where to begin, such as --from beginning or --from 2h")


def _check_named(options: FeedOptions, cursor_file: Path | None) -> None:
    """Raises UsageError for what goes with no subscription whose place the server keeps."""
    wrong = {
        "--cursor-file": cursor_file is not None,
        "--speed": options["speed"] is not None,
        "--policy": options["policy"] != "all",
        "--from snapshot": options.get("start") == "snapshot",
    }
    for option, is_given in wrong.items():
        if is_given:
            raise UsageError(
                f"--name with {option}: the server keeps the place, and hands out each change until it is printed"
            )


@contextmanager
def _quiet_log() -> Iterator[None]:
    """What the client warns of, lost connections, is said here in another way."""
    log = logging.getLogger("palimpsest.client")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _nothing(_: str) -> None:
    pass
