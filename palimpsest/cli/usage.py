"""`stats`: what documents take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from palimpsest.cli.options import AsJson, Branch, Pattern
from palimpsest.cli.output import counted, print_json, print_lines
from palimpsest.cli.session import ask_server
from palimpsest.cli.sizes import readable_size
from palimpsest.client import Share
from palimpsest.words import MAIN


def stats(
    context: typer.Context,
    pattern: Pattern = "**",
    largest: Annotated[int, typer.Option(metavar="N", min=0, help="Name the N largest documents.")] = 10,
    branch: Branch = MAIN,
    as_json: AsJson = False,
) -> None:
    """Print how many documents and versions there are, what they take, and which take most."""
    found = ask_server(context, lambda client: client.stats(pattern, branch=branch, largest=largest))
    if as_json:
        print_json(
            {
                "documents": found.documents,
                "deleted": found.deleted,
                "versions": found.versions,
                "events": found.events,
                "snapshots": found.snapshots,
                "bytes": found.bytes,
                "largest": shares_json(found.largest),
            }
        )
        return
    rows = [
        ("documents", f"{found.documents:,}"),
        ("deleted", f"{found.deleted:,}"),
        ("versions made", f"{found.versions:,}"),
        ("versions kept", f"{found.events:,}"),
        ("snapshots", f"{found.snapshots:,}"),
        ("storage", readable_size(found.bytes)),
    ]
    lines = [Text.assemble((f"{word:<15}", "dim"), count) for word, count in rows]
    print_lines([*lines, *share_lines(found.largest)])


def share_lines(shares: Sequence[Share]) -> list[Text]:
    """In columns: bytes, versions, document; nothing where there is none."""
    if not shares:
        return []
    sizes = [readable_size(share.bytes) for share in shares]
    counts = [counted(share.events, "version") for share in shares]
    size_width, count_width = max(map(len, sizes)), max(map(len, counts))
    lines = [Text("the largest:", style="dim")]
    for share, size, count in zip(shares, sizes, counts, strict=True):
        lines.append(Text.assemble(f"{size:>{size_width + 4}}  {count:<{count_width}}  ", (share.document, "bold")))
    return lines


def shares_json(shares: Sequence[Share]) -> list[dict[str, Any]]:
    return [{"document": share.document, "events": share.events, "bytes": share.bytes} for share in shares]
