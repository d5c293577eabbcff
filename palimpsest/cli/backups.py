"""`backup` and `restore`: a copy of the whole store, made while it is served, and a store made of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palimpsest.cli.options import AsJson
from palimpsest.cli.output import print_json, remark
from palimpsest.cli.progress import progress_bar
from palimpsest.cli.session import Settings, ask_server
from palimpsest.cli.sizes import readable_size
from palimpsest.client.settings import parse_url
from palimpsest.errors import UsageError
from palimpsest.server.restoring import restore_store

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def backup(
    context: typer.Context,
    directory: Annotated[
        str, typer.Argument(metavar="DIRECTORY", help="On the server's machine; it must not exist yet.")
    ],
    as_json: AsJson = False,
) -> None:
    """Copy the whole store into a new directory, as of one moment, while it is served."""
    settings: Settings = context.obj
    path = _server_path(directory, settings.url)
    with progress_bar("backing up", "bytes") as on_progress:
        made = ask_server(context, lambda client: client.backup(path, on_progress=on_progress))
    if as_json:
        print_json({"path": made.path, "position": made.position, "bytes": made.bytes})
    else:
        remark(f"{made.path}  {readable_size(made.bytes)}, with all before position {made.position:,}")


def restore(
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", exists=True, file_okay=False, help="What `backup` made.")
    ],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The store's file; it must not exist yet.")],
    as_json: AsJson = False,
) -> None:
    """Make a store of a backup. Cursors of subscriptions from before are refused by it, so that none skips anything."""
    with progress_bar("restoring", "bytes") as on_progress:
        made = restore_store(directory, store, progress=on_progress)
    if as_json:
        print_json({"store": str(store), "epoch": made.epoch, "position": made.position})
    else:
        remark(f"{store}  is what it was before position {made.position:,}; its epoch is {made.epoch}")


def _server_path(directory: str, url: str) -> str:
    """An absolute path. Only where the server is on this machine does a relative one mean what it means here."""
    if Path(directory).is_absolute():
        return directory
    if parse_url(url).host in _HERE:
        return str(Path(directory).absolute())
    raise UsageError(f"{directory!r} is a path on the server's machine: write the whole of it, from / on")
