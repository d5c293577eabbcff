"""`merges`, `conflicts`, `resolve` and `abandon`: merges that wait for somebody to decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from palimpsest.cli.decisions import choice_of, parse_decisions
from palimpsest.cli.differences import value_lines
from palimpsest.cli.options import AsJson, By, Description, MergeId, Pattern, Tags
from palimpsest.cli.outcomes import (
    LEFT_OUT,
    Outcome,
    conflict_heading,
    conflicts_of,
    look,
    parts_of,
    print_outcome,
    sides,
)
from palimpsest.cli.output import about_when, console, counted, json_time, node_text, print_json, print_lines, remark
from palimpsest.cli.session import ask_server
from palimpsest.client import ABSENT, Client, MergeConflict, MergePart, PendingMerge
from palimpsest.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

_SIDE_STYLES = ("red", "cyan", "green")
_LINES_MAX = 40
"""What is shown of a side; `--json` has all of it."""


def merges(context: typer.Context, pattern: Pattern = "**", as_json: AsJson = False) -> None:
    """Print the merges that wait for their conflicts to be resolved."""
    found = ask_server(context, lambda client: client.merges(pattern))
    if as_json:
        for pending in found:
            print_json(_pending_json(pending))
    elif found:
        print_lines(map(pending_line, found))
    else:
        remark("no merge is pending")


def conflicts(context: typer.Context, merge_id: MergeId, as_json: AsJson = False) -> None:
    """Print the open conflicts of a pending merge side by side, as of the newest versions.

    base is what was there before both sides changed it, ours is of the branch that is merged into, theirs of the other.
    """
    result = ask_server(context, lambda client: client.merge_state(merge_id))
    if as_json:
        for conflict in conflicts_of(result):
            print_json(conflict.to_data())
        return
    out = console()
    for part in parts_of(result):
        if not part.conflicts:
            continue
        out.print(part_line(part))
        for conflict in part.conflicts:
            out.print(conflict_heading(conflict))
            if conflict.left_out:
                out.print(Text(f"  {LEFT_OUT}", style="dim"))
            else:
                out.print(three_columns(conflict, part, out.width), soft_wrap=False)
    if not result.conflicts:
        remark(Text(f"no conflict is open: resolve {merge_id} commits it"))


def resolve(
    context: typer.Context,
    merge_id: MergeId,
    decisions: Annotated[
        list[str] | None,
        typer.Argument(metavar="DECISION", help="PATH=ours, PATH=theirs, PATH=base, PATH=absent, or PATH:=JSON."),
    ] = None,
    document: Annotated[
        str | None, typer.Option(metavar="NAME", help="What is said is said of this document; of all if not given.")
    ] = None,
    every: Annotated[
        str | None,
        typer.Option("--all", metavar="SIDE", help="Of every other open conflict: ours, theirs or base."),
    ] = None,
    by: By = None,
    description: Description = None,
    tags: Tags = None,
    as_json: AsJson = False,
) -> None:
    """Decide conflicts of a pending merge, some or all. Once none is open, the merge is committed.

    What is open still is printed, and the exit code is 4 then.
    """
    decided = parse_decisions(decisions or ())
    others = None if every is None else choice_of(every)
    if not decided and others is None:
        raise UsageError("nothing is decided: write PATH=ours, PATH=theirs, PATH:=JSON and so on, or --all")
    said: dict[str, Any] = {"by": by, "description": description, "tags": tags or ()}

    async def go(client: Client) -> Outcome:
        keys: dict[Any, Any] = {
            path if document is None else (document, path): taken for path, taken in decided.items()
        }
        if others is not None:
            for conflict in (await client.merge_state(merge_id)).conflicts:
                if conflict.path not in decided and document in (None, conflict.document):
                    keys[conflict.document, conflict.path] = others
        result = await client.resolve(merge_id, keys, **said)
        return Outcome(result, []) if as_json else await look(client, result)

    print_outcome(ask_server(context, go), as_json)


def abandon(
    context: typer.Context, merge_id: MergeId, by: By = None, description: Description = None, as_json: AsJson = False
) -> None:
    """Give a pending merge up, with what was decided of it. Nothing of it has happened."""
    ask_server(context, lambda client: client.abandon(merge_id, by=by, description=description))
    if as_json:
        print_json({"merge_id": merge_id, "abandoned": True})
    else:
        remark(Text(f"{merge_id} is abandoned; nothing of it has happened"))


def pending_line(pending: PendingMerge) -> Text:
    """On one line: its id, what it does, what is open, and when it was begun, by whom and why."""
    many = counted(sum(pending.documents.values()), "conflict")
    named = sorted(pending.documents)
    where = named[0] if len(named) == 1 else counted(len(named), "document")
    line = Text.assemble((pending.merge_id, "bold yellow"), f"  {pending.kind} {pending.source} into {pending.into}")
    line.append(f"  {many}", style="red").append(f" in {where}  ")
    return line.append_text(about_when(pending))


def part_line(part: MergePart) -> Text:
    line = Text.assemble((part.document, "bold"), f"  {node_text(part.source)} into {node_text(part.into)}")
    return line.append(f"  base: {part.base_reason}", style="dim")


def three_columns(conflict: MergeConflict, part: MergePart, width: int) -> Table:
    """Base, ours and theirs. width: of the whole, in characters. Raises LimitExceeded where the values are left out."""
    from rich.table import Table  # here: few commands need it

    each = max((width - 8) // 3, 1)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=2)
    nodes = (part.base, part.into, part.source)
    headings = []
    for name, node in zip(("base", "ours", "theirs"), nodes, strict=True):
        table.add_column(width=each, overflow="fold")
        headings.append(Text(name if node is None else f"{name} {node_text(node)}", style="dim"))
    table.add_row("", *headings)
    cells = [
        Text("\n").join(_side_lines(value, style)) for value, style in zip(sides(conflict), _SIDE_STYLES, strict=True)
    ]
    table.add_row("", *cells)
    return table


def _side_lines(value: Any, style: str) -> Sequence[Text]:
    """Texts of several lines as such, all else as JSON."""
    if value is ABSENT:
        return [Text("nothing", style="dim")]
    if type(value) is not str or "\n" not in value:
        return [Text(line, style=style) for line in value_lines(value)]
    lines = value.split("\n")
    shown = [Text(_visible(line), style=style) for line in lines[:_LINES_MAX]]
    if len(lines) > _LINES_MAX:
        shown.append(Text(f"… and {len(lines) - _LINES_MAX} more lines", style="dim"))
    return shown


def _visible(line: str) -> str:
    """Control characters are shown and not obeyed, but for the tab."""
    return "".join(sign if sign.isprintable() or sign == "\t" else repr(sign)[1:-1] for sign in line)


def _pending_json(pending: PendingMerge) -> dict[str, Any]:
    return {
        "merge_id": pending.merge_id,
        "kind": pending.kind,
        "source": pending.source,
        "into": pending.into,
        "documents": pending.documents,
        "at": json_time(pending.at),
        "by": pending.by,
        "description": pending.description,
        "tags": sorted(pending.tags),
    }
