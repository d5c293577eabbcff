"""What the commands print: for people by default, for programs with `--json`.

Results go to stdout and remarks about them to stderr, so that `palimpsest get NAME | jq .` works as it stands. Colours appear
only on a terminal. The keys of JSON output are promises: `docs/cli.md` lists them, and they are only ever added to.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from palimpsest.client import Change, Document, PendingMerge, Version
from palimpsest.state.delta import Delta
from palimpsest.state.ops import Op, Splice, name_of
from palimpsest.state.paths import format_path
from palimpsest.words import MAIN, Node

_COLOURED_CHARACTERS_MAX = 100_000
"""Longer JSON is printed as it is: colouring a million characters takes seconds, and nobody reads them."""

_OPS_SHOWN_MAX = 20
_VALUE_SHOWN_MAX = 100
"""What a person is shown of a delta; `--json` has all of it."""

_EDITS_SHOWN_MAX = 5

_sorted_encoder = msgspec.json.Encoder(order="sorted")

_KIND_STYLES = {"create": "green", "update": "cyan", "delete": "red", "erase": "red", "snapshot": "dim"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Called while the error is handled. It is no failure of the command, as Rich would have it: see `session`."""
        raise  # noqa: PLE0704


def console(*, stderr: bool = False) -> Console:
    """A console on what stdout or stderr is now; lines are never wrapped."""
    return _Console(stderr=stderr, soft_wrap=True, highlight=False)


def print_json(answer: Any) -> None:
    """One JSON document on one line."""
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")


def print_value(value: Any) -> None:
    """A value for people: indented, coloured on a terminal."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    if len(text) > _COLOURED_CHARACTERS_MAX or not sys.stdout.isatty():
        sys.stdout.write(text + "\n")
    else:
        console().print(JSONHighlighter()(text))


def print_lines(lines: Iterable[Text]) -> None:
    """Each on a line of its own, however long."""
    out = console()
    for line in lines:
        out.print(line)


def print_entry(version: Version | Change) -> None:
    """A version for people: what is said of it, and what changed. Written as one."""
    lines = [] if version.delta is None else delta_lines(version.delta)
    console().print(Text("\n    ").join([about_version(version), *lines]))


def print_made(version: Version, as_json: bool) -> None:
    """What a writing command made."""
    if as_json:
        print_json(version_json(version))
    else:
        remark(about_version(version))


def remark(text: str | Text) -> None:
    """A line on stderr that a program may throw away."""
    console(stderr=True).print(text, style="dim")


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 version`, `1,204 versions`. many: where one more letter does not make it."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def readable_time(moment: datetime) -> str:
    """In the machine's own time zone, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_time(moment: datetime) -> str:
    """In the machine's own time zone, to the minute; for columns."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def json_time(moment: datetime) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def document_json(document: Document) -> dict[str, Any]:
    return {
        "document": document.id,
        "branch": document.branch,
        "version": document.version,
        "at": json_time(document.at),
        "by": document.by,
        "description": document.description,
        "tags": sorted(document.tags),
        "value": document.value,
    }


def version_json(version: Version) -> dict[str, Any]:
    """As the writing commands and `history` print it; `delta`, `trace`, `base` and `merged` only where there is something to say."""
    answer: dict[str, Any] = {
        "document": version.document,
        "branch": version.branch,
        "version": version.version,
        "kind": version.kind.name.lower(),
        "at": json_time(version.at),
        "by": version.by,
        "description": version.description,
        "tags": sorted(version.tags),
        "request": version.request,
        "repeat": version.repeat,
        **_parents_json(version),
    }
    if version.trace is not None:
        answer["trace"] = version.trace
    if version.delta is not None:
        answer["delta"] = delta_json(version.delta)
    return answer


def change_json(change: Change, *, values: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "document": change.document,
        "branch": change.branch,
        "version": change.version,
        "kind": change.kind.name.lower(),
        "at": json_time(change.at),
        "by": change.by,
        "description": change.description,
        "tags": sorted(change.tags),
        "more": change.more,
        "snapshot": change.snapshot,
        **_parents_json(change),
        "delta": delta_json(change.delta),
        "cursor": change.cursor,
    }
    if change.trace is not None:
        answer["trace"] = change.trace
    if change.tries:
        answer["tries"] = change.tries
    if values or change.snapshot:
        answer["value"] = change.value
    return answer


def _parents_json(said: Version | Change) -> dict[str, Any]:
    """What it comes from beside the version before it: no keys where there is nothing, as for most."""
    if said.parents is None:
        return {}
    base = {} if said.parents.base is None else {"base": node_text(said.parents.base)}
    return base | {"merged": [node_text(node) for node in said.parents.merged]}


def delta_json(delta: Delta) -> list[dict[str, Any]]:
    """The ops, each as a map of its name and its fields; paths in their written form."""
    return [_op_json(op) for op in delta.ops]


def node_text(node: Node) -> str:
    """Such as `draft:9`, as commands take it."""
    return f"{node[0]}:{node[1]}"


def about_document(document: Document) -> Text:
    """One line: which version this is, when it was made, by whom and why."""
    return _about(document, document.id, "")


def about_version(version: Version | Change) -> Text:
    is_shown = isinstance(version, Change) and version.snapshot
    line = _about(version, version.document, "snapshot" if is_shown else version.kind.name.lower())
    return line.append_text(about_parents(version))


def about_parents(version: Version | Change) -> Text:
    """What it comes from beside the version before it; empty where there is nothing, as for most."""
    line = Text(style="dim")
    if version.parents is not None and version.parents.base is not None:
        line.append(f"  from {node_text(version.parents.base)}")
    if version.parents is not None and version.parents.merged:
        line.append(f"  merges {', '.join(map(node_text, version.parents.merged))}")
    return line


def on_branch(branch: str) -> str:
    """What is said after a document's name; nothing of `main`, which is meant where no branch is named."""
    return "" if branch == MAIN else f" on {branch}"


def about_when(said: Document | Version | Change | PendingMerge) -> Text:
    """Of one line: when a version was made, or a merge begun, by whom, why, and with which tags."""
    line = Text.assemble((readable_time(said.at), "dim"))
    if said.by:
        line.append(f"  {said.by}", style="magenta")
    if said.description:
        line.append(f"  {said.description.partition(chr(10))[0]}")
    if said.tags:
        line.append(f"  [{', '.join(sorted(said.tags))}]", style="yellow")
    return line


def _about(said: Document | Version | Change, document: str, kind: str) -> Text:
    line = Text.assemble((document, "bold"), f"{on_branch(said.branch)}  version {said.version}")
    if kind:
        line.append(f"  {kind}", style=_KIND_STYLES[kind])
    return line.append("  ").append_text(about_when(said))


def delta_lines(delta: Delta) -> list[Text]:
    """The ops for people, one a line, such as `set title "B"`; the first of many."""
    lines = [_op_line(op) for op in delta.ops[:_OPS_SHOWN_MAX]]
    if len(delta.ops) > _OPS_SHOWN_MAX:
        lines.append(Text(f"and {len(delta.ops) - _OPS_SHOWN_MAX} more ops", style="dim"))
    return lines


def short_json(value: Any, characters_max: int = _VALUE_SHOWN_MAX) -> str:
    """The start of a value, on one line."""
    text = _sorted_encoder.encode(value).decode()
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def _op_json(op: Op) -> dict[str, Any]:
    """An op as a map: its name, then its fields under their own names."""
    fields = ((name, getattr(op, name)) for name in op.__struct_fields__)
    return {"op": name_of(op), **{name: _field_json(name, field) for name, field in fields}}


def _field_json(name: str, field: Any) -> Any:
    """Paths in their written form, edits as maps; everything else as it is."""
    if name == "edits":
        return [msgspec.structs.asdict(edit) for edit in field]
    return format_path(field) if isinstance(field, tuple) else field


def _op_line(op: Op) -> Text:
    line = Text(name_of(op), style="dim")
    if isinstance(op, Splice):
        return _splice_line(line, op)
    for name in op.__struct_fields__:
        field = getattr(op, name)
        text = format_path(field) if isinstance(field, tuple) else short_json(field)
        line.append(f" {text or 'the root'}", style="blue" if isinstance(field, tuple) else "default")
    return line


def _splice_line(line: Text, op: Splice) -> Text:
    """Such as `splice body @12 -5 "there"`: from character 12 on, five make way for these."""
    line.append(f" {format_path(op.path) or 'the root'}", style="blue")
    for edit in op.edits[:_EDITS_SHOWN_MAX]:
        line.append(f" @{edit.offset} -{edit.removed} {short_json(edit.inserted)}", style="default")
    if len(op.edits) > _EDITS_SHOWN_MAX:
        line.append(f" and {len(op.edits) - _EDITS_SHOWN_MAX} more edits")
    return line
