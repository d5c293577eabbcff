"""`top`: how a server is doing, live."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Annotated

import anyio
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from palimpsest.cli.output import console, print_json
from palimpsest.cli.rates import Frame, frame_json, frame_of, heading, lagging_rows, rows_of
from palimpsest.cli.session import ask_server
from palimpsest.client import Client, Observation


def top(
    context: typer.Context,
    interval: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="How long each frame covers.")] = 1.0,
    subscribers: Annotated[
        int, typer.Option(metavar="N", min=0, help="Name the N subscriptions furthest behind.")
    ] = 10,
    once: Annotated[
        bool, typer.Option("--once", help="Print one frame, of all since the server's start, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each frame.")] = False,
) -> None:
    """Show how a server is doing: rates, times, what lags behind, and what is refused. Needs a right to `observe`.

    Ends with Ctrl-C. Where the output is no terminal, one frame is printed, as with --once; with --json, one after another.
    """
    if as_json:
        ask_server(context, lambda client: _print_json(client, interval, subscribers, once=once))
    elif once or not console().is_terminal:
        console().print(picture(ask_server(context, lambda client: _first(client, subscribers))))
    else:
        ask_server(context, lambda client: _live(client, interval, subscribers))


def picture(frame: Frame) -> RenderableType:
    """A frame for people."""
    from rich.table import Table  # here, as in other commands: few of them need it

    rows = Table.grid(padding=(0, 2))
    for name, text in rows_of(frame):
        rows.add_row(Text(name, style="dim"), text)
    parts: list[RenderableType] = [Text(heading(frame), style="bold"), rows]
    behind = lagging_rows(frame)
    if behind:
        table = Table("who", "follows", "state", "events behind", box=None, padding=(0, 2), header_style="dim")
        for row in behind:
            table.add_row(*map(Text, row))  # Text: a pattern is no markup
        parts += ["", table]
    return Group(*parts)


async def _first(client: Client, subscribers: int) -> Frame:
    return frame_of(None, await client.observe(subscribers=subscribers))


async def _frames(client: Client, interval: float, subscribers: int) -> AsyncIterator[Frame]:
    """The first of all since the server's start, then one for each interval, without end."""
    previous: Observation | None = None
    while True:
        current = await client.observe(subscribers=subscribers)
        yield frame_of(previous, current)
        previous = current
        await anyio.sleep(interval)


async def _print_json(client: Client, interval: float, subscribers: int, *, once: bool) -> None:
    async for frame in _frames(client, interval, subscribers):
        print_json(frame_json(frame))
        sys.stdout.flush()
        if once:
            return


async def _live(client: Client, interval: float, subscribers: int) -> None:
    from rich.live import Live  # as above

    with Live(console=console(), screen=True, auto_refresh=False) as live:
        async for frame in _frames(client, interval, subscribers):
            live.update(picture(frame), refresh=True)
