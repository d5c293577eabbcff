"""What came of a merge, a cherry-pick or a rebase: for people as `diff` prints it, for programs as one line of JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import typer
from rich.text import Text

from palimpsest.cli.comparing import Difference, differences
from palimpsest.cli.decisions import quoted
from palimpsest.cli.differences import path_line, unified
from palimpsest.cli.exits import Exit
from palimpsest.cli.output import (
    counted,
    delta_json,
    json_time,
    node_text,
    print_json,
    print_lines,
    readable_time,
    remark,
    short_json,
)
from palimpsest.client import ABSENT, Client, MergeConflict, MergePart, MergeResult
from palimpsest.errors import DocumentNotFound, VersionNotFound
from palimpsest.state.tree import NOTHING
from palimpsest.words import Node

_SHOWN_PARTS_MAX = 20
"""Of so many parts it is shown what changes; of the others only what came of them."""

_SIDES = (("base", "red"), ("ours", "cyan"), ("theirs", "green"))


class Outcome(msgspec.Struct, frozen=True):
    """changes: what is different on `into` afterwards, for each of the first parts."""

    result: MergeResult
    changes: list[list[Difference]]


def parts_of(result: MergeResult) -> list[MergePart]:
    """By document; of a rebase, in the order of its versions."""
    return sorted(result.parts, key=_document)


def conflicts_of(result: MergeResult) -> list[MergeConflict]:
    return [conflict for part in parts_of(result) for conflict in part.conflicts]


async def look(client: Client, result: MergeResult) -> Outcome:
    """Reads what a result does not hold, to show it to people: the values before."""
    changes: list[list[Difference]] = []
    values: dict[str, Any] = {}
    for part in parts_of(result)[:_SHOWN_PARTS_MAX]:
        # The parts of a rebase are of one document, one on top of the other, and may not be there to be read.
        old = values[part.document] if part.document in values else await _value(client, part.document, part.into)
        new = await _after(client, old, part)
        values[part.document] = new
        changes.append(list(differences(old, new)))
    return Outcome(result, changes)


def print_outcome(outcome: Outcome, as_json: bool) -> None:
    """Ends the command with Exit.CONFLICT where conflicts are open."""
    result = outcome.result
    conflicts = conflicts_of(result)
    if as_json:
        print_json(result_json(result))
    else:
        print_lines(outcome_lines(outcome))
        for line in advice(result, conflicts):
            remark(Text(line))
    if conflicts:
        raise typer.Exit(Exit.CONFLICT)


def outcome_lines(outcome: Outcome) -> list[Text]:
    """Each part: what came of it, what it was compared with, what changes, and which conflicts are open."""
    lines: list[Text] = []
    for place, part in enumerate(parts_of(outcome.result)):
        lines.append(_heading(part, outcome.result))
        lines.append(_base_line(part))
        for difference in outcome.changes[place] if place < len(outcome.changes) else ():
            lines.append(path_line(difference))
            lines += unified(difference)
        lines += conflict_lines(part.conflicts)
    return lines


def conflict_lines(conflicts: Iterable[MergeConflict]) -> list[Text]:
    """Each with its three sides, one below the other."""
    lines = []
    for conflict in conflicts:
        lines.append(conflict_heading(conflict))
        if conflict.left_out:
            lines.append(Text(f"    {LEFT_OUT}", style="dim"))
            continue
        for (name, style), value in zip(_SIDES, sides(conflict), strict=True):
            shown = "nothing" if value is ABSENT else short_json(value)
            lines.append(Text.assemble(f"    {name:<6} ", (shown, "dim" if value is ABSENT else style)))
    return lines


LEFT_OUT = "too large to be sent with the others: get shows each side in its version"


def conflict_heading(conflict: MergeConflict) -> Text:
    return Text.assemble((conflict.path or "the root", "bold blue"), f"  {conflict.kind}")


def sides(conflict: MergeConflict) -> tuple[Any, Any, Any]:
    """base, ours and theirs. Raises LimitExceeded where they are left out."""
    return conflict.base, conflict.ours, conflict.theirs


def advice(result: MergeResult, conflicts: Sequence[MergeConflict]) -> list[str]:
    """How to go on."""
    if result.dry_run:
        still = f"; {counted(len(conflicts), 'conflict')} would be left" if conflicts else ""
        return [f"a dry run: nothing was done{still}"]
    if not conflicts or result.merge_id is None:
        return []
    first = conflicts[0]
    document = f" --document {shlex.quote(first.document)}" if len({each.document for each in conflicts}) > 1 else ""
    chosen = shlex.quote(f"{quoted(first.path)}=theirs")
    return [
        f"nothing was done yet: {counted(len(conflicts), 'conflict')}, pending as {result.merge_id}",
        f"    palimpsest conflicts {result.merge_id}",
        f"    palimpsest resolve {result.merge_id}{document} {chosen}",
        f"    palimpsest abandon {result.merge_id}",
    ]


def result_json(result: MergeResult) -> dict[str, Any]:
    return {
        "merge_id": result.merge_id,
        "committed": result.committed,
        "dry_run": result.dry_run,
        "repeat": result.repeat,
        "at": None if result.at is None else json_time(result.at),
        "version": result.version,
        "parts": [part_json(part) for part in parts_of(result)],
    }


def part_json(part: MergePart) -> dict[str, Any]:
    return {
        "document": part.document,
        "source": node_text(part.source),
        "into": node_text(part.into),
        "base": None if part.base is None else node_text(part.base),
        "bases": [node_text(node) for node in part.bases],
        "base_reason": part.base_reason,
        "outcome": part.outcome,
        "version": part.version,
        "settled": part.settled,
        "delta": delta_json(part.delta),
        "conflicts": [conflict.to_data() for conflict in part.conflicts],
    }


def _document(part: MergePart) -> str:
    return part.document


def _heading(part: MergePart, result: MergeResult) -> Text:
    line = Text.assemble((part.document, "bold"), f"  {node_text(part.source)} into {node_text(part.into)}  ")
    conflicts = len(part.conflicts)
    if conflicts:
        return line.append(counted(conflicts, "conflict"), style="red")
    line.append(part.outcome.replace("_", " "), style="green" if part.version is not None else "default")
    if part.version is not None:
        line.append(f", version {part.version}")
        if result.at is not None:
            line.append(f"  {readable_time(result.at)}", style="dim")
    return line


def _base_line(part: MergePart) -> Text:
    line = Text(f"    base: {part.base_reason}", style="dim")
    if part.settled:
        line.append(f"; {counted(part.settled, 'conflict')} settled")
    return line


async def _value(client: Client, document: str, node: Node) -> Any:
    """NOTHING where the document is deleted there, or was never made."""
    if not node[1]:
        return NOTHING
    try:
        return (await client.get(document, branch=node[0], version=node[1])).value
    except (DocumentNotFound, VersionNotFound):
        return NOTHING


async def _after(client: Client, old: Any, part: MergePart) -> Any:
    """What is on `into` once the part is done, open conflicts aside."""
    delta = part.delta
    if delta.ops:
        return delta.apply(None if old is NOTHING else old)
    # No delta says that a document is deleted; a version of it does.
    if old is not NOTHING and part.version is not None:
        return await _value(client, part.document, (part.into[0], part.version))
    if old is not NOTHING and part.outcome == "fast_forward":
        return await _value(client, part.document, part.source)
    return old
