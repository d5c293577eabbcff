"""`reconcile`: documents and systems outside, kept in step."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.text import Text

from palimpsest.cli.confirming import confirm
from palimpsest.cli.decisions import parse_rules
from palimpsest.cli.exits import Exit
from palimpsest.cli.options import AsJson, By, Description, Rules, Yes
from palimpsest.cli.output import console, counted, print_json, print_lines, print_made, remark
from palimpsest.cli.session import ask_server
from palimpsest.client import Client
from palimpsest.client.plans import Plan, Run, to_plain
from palimpsest.errors import UsageError
from palimpsest.state.sources import Source, parse_source, to_value

_ROWS_SHOWN_MAX = 50
_SIGNS = {"create": ("+", "green"), "update": ("~", "cyan"), "delete": ("-", "red")}
_FAILED = frozenset({"partial", "failed", "moved", "refused"})

_Answer = TypeVar("_Answer")

_Name = Annotated[str, typer.Argument(metavar="SOURCE", help="The name of the source.")]
_Adapter = Annotated[
    str | None,
    typer.Option(metavar="MODULE:FUNCTION", help="Makes the adapter, in place of the one that the source names."),
]
_Force = Annotated[bool, typer.Option("--force", help="However many deletes there are.")]
_Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select", metavar="WHAT=VALUE", help="Only these: model, id, action, document or direction; may be repeated."
    ),
]


def sources(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the sources, and how it stands with them."""

    async def look(client: Client) -> list[tuple[str, Source, Any]]:
        found = await client.reconcile.sources()
        return [(name, source, await client.reconcile.state(name)) for name, source in found]

    found = ask_server(context, look)
    if as_json:
        print_json(
            [{"name": name, **to_value(source), "state": msgspec.to_builtins(state)} for name, source, state in found]
        )
        return
    for name, source, state in found:
        line = Text.assemble((name, "bold"), f"  {source.documents}  {source.direction}")
        line.append(f"  {state.last_outcome or 'never run'}", style="red" if state.failures else "dim")
        if state.last_message:
            line.append(f": {state.last_message}", style="dim")
        print_lines([line])


def add(
    context: typer.Context,
    name: _Name,
    documents: Annotated[str, typer.Option(metavar="NAME", help="The document; or NAME/** for one per object.")],
    adapter: Annotated[str, typer.Option(metavar="MODULE:FUNCTION", help="Makes the adapter.")] = "",
    direction: Annotated[str, typer.Option(metavar="WAY", help="in, out or both.")] = "in",
    rules: Rules = None,
    on_conflict: Annotated[str, typer.Option(metavar="WHAT", help="fail, rebase, source or document.")] = "fail",
    max_deletes: Annotated[
        str | None, typer.Option(metavar="N", help="At most so many deletes: a number, or a share such as 20%.")
    ] = None,
    interval: Annotated[float | None, typer.Option(metavar="SECONDS", min=0.001, help="From run to run.")] = None,
    jitter: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="At most so much later.")] = 0.0,
    by: By = None,
    description: Description = None,
    as_json: AsJson = False,
) -> None:
    """Say what a source is, or say it anew."""
    given = {
        "documents": documents,
        "adapter": adapter,
        "direction": direction,
        "rules": parse_rules(rules or ()),
        "on_conflict": on_conflict,
        "max_deletes": None if max_deletes is None else _deletes(max_deletes),
        "interval_seconds": interval,
        "jitter_seconds": jitter,
    }
    source = parse_source(given)
    print_made(
        ask_server(context, lambda client: client.reconcile.put(name, source, by=by, description=description)), as_json
    )


def plan(context: typer.Context, name: _Name, adapter: _Adapter = None, as_json: AsJson = False) -> None:
    """Show what a run would do. Nothing is written but the plan, which `reconcile apply` takes by its id."""
    _print_plan(ask_server(context, _bound(name, adapter, lambda client: client.reconcile.plan(name))), as_json)


def apply(
    context: typer.Context,
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="The id of the plan, SOURCE/...")],
    select: _Select = None,
    force: _Force = False,
    adapter: _Adapter = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Do what was planned, or of that what is selected; or say what has moved since."""
    chosen = _selected(select)
    if not yes:
        planned = ask_server(context, lambda client: client.reconcile.get_plan(plan_id))
        errors = console(stderr=True)
        for line in plan_lines(planned):
            errors.print(line)
    confirm("Apply?", yes=yes)
    name = plan_id.partition("/")[0]
    go = _bound(name, adapter, lambda client: client.reconcile.apply(plan_id, select=chosen, force=force))
    _print_run(ask_server(context, go), as_json)


def run(
    context: typer.Context,
    name: _Name,
    force: _Force = False,
    forever: Annotated[bool, typer.Option("--forever", help="Again and again, at the source's interval.")] = False,
    adapter: _Adapter = None,
    as_json: AsJson = False,
) -> None:
    """Plan, and apply all of it."""
    if forever:

        def told(came: Any) -> None:
            if isinstance(came, Run):
                print_json(_run_json(came)) if as_json else print_lines(run_lines(came))
            else:
                remark(f"{type(came).__name__}: {came}")

        ask_server(context, _bound(name, adapter, lambda client: client.reconcile.schedule(name, on_run=told)))
        return
    _print_run(
        ask_server(context, _bound(name, adapter, lambda client: client.reconcile.run(name, force=force))), as_json
    )


def runs(
    context: typer.Context,
    name: _Name,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the runs of a source, the newest first."""
    found = ask_server(context, lambda client: client.reconcile.runs(name, limit=limit))
    if as_json:
        print_json([_run_json(one) for one in found])
        return
    for one in found:
        print_lines(run_lines(one)[:1])


def show(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="Of a plan or of a run.")],
    as_json: AsJson = False,
) -> None:
    """Print a plan, or a run with what went on in it."""

    async def look(client: Client) -> Plan | Run:
        names = await client.get_many([f"$system/plans/{id}"])
        return await (client.reconcile.get_run(id) if names[0] is None else client.reconcile.get_plan(id))

    found = ask_server(context, look)
    if isinstance(found, Plan):
        _print_plan(found, as_json)
    elif as_json:
        print_json(_run_json(found))
    else:
        print_lines(run_lines(found))


def push(context: typer.Context, name: _Name, by: By = None, as_json: AsJson = False) -> None:
    """Give a source's snapshot, as JSON on stdin. The next plan without an adapter takes it from there."""
    try:
        snapshot = msgspec.json.decode(sys.stdin.buffer.read())
    except msgspec.DecodeError as error:
        raise UsageError(f"stdin is not JSON: {error}") from error
    print_made(ask_server(context, lambda client: client.reconcile.push(name, snapshot, by=by)), as_json)


# --- what is said ------------------------------------------------------------------------------------------------------


def plan_lines(found: Plan) -> Iterator[Text]:
    """A plan for people."""
    summary = ", ".join(f"{count} {what}" for what, count in found.summary.items()) or "nothing to do"
    yield Text.assemble((found.id, "bold"), f"  {summary}")
    rows = [row for row in found.rows if row.outcome != "agreed" and row.id]
    for row in rows[:_ROWS_SHOWN_MAX]:
        sign, style = _SIGNS[row.action]
        way = "into the document" if row.direction == "in" else "outside"
        waits = ", in conflict" if row.outcome == "conflict" else ""
        yield Text.assemble("  ", (sign, style), f" {row.model} {row.id}  ", (f"{way}{waits}", "dim"))
    if len(rows) > _ROWS_SHOWN_MAX:
        yield Text(f"  and {len(rows) - _ROWS_SHOWN_MAX} more", style="dim")
    yield from _conflict_lines(found.conflicts)
    if found.too_many_deletes is not None:
        deletes, limit = found.too_many_deletes
        yield Text(f"  {deletes} deletes, and at most {limit}: --force does it all the same", style="red")


def run_lines(found: Run) -> list[Text]:
    """A run for people; the first line says most of it."""
    summary = ", ".join(f"{count} {what}" for what, count in found.summary.items()) or "nothing done"
    style = "red" if found.outcome in _FAILED else "yellow" if found.outcome == "conflict" else "green"
    lines = [Text.assemble((found.id, "bold"), "  ", (found.outcome, style), f"  {found.message or summary}")]
    lines += [Text(f"  {document} is at version {version}") for document, version in found.versions.items()]
    lines += _conflict_lines(found.conflicts)
    lines += [Text(f"  {document} waits as merge {merge}") for document, merge in found.merges.items()]
    lines += [Text(f"  {document} has moved", style="red") for document in found.moved]
    for one in found.failures:
        lines.append(Text(f"  {one['action']} {one['model']} {one['id']}: {one['message']}", style="red"))
    return lines


def _conflict_lines(conflicts: Sequence[dict[str, Any]]) -> list[Text]:
    by_document: defaultdict[str, list[str]] = defaultdict(list)
    for one in conflicts:
        by_document[one["document"]].append(one["path"] or "the root")
    return [
        Text(f"  {counted(len(paths), 'conflict')} in {document}: {', '.join(paths[:5])}", style="yellow")
        for document, paths in by_document.items()
    ]


def _print_plan(found: Plan, as_json: bool) -> None:
    if as_json:
        print_json({**to_plain(found), "summary": found.summary})
    else:
        print_lines(plan_lines(found))


def _print_run(found: Run, as_json: bool) -> None:
    if as_json:
        print_json(_run_json(found))
    else:
        print_lines(run_lines(found))
    if found.outcome == "conflict":
        raise typer.Exit(Exit.CONFLICT)
    if found.outcome in _FAILED:
        raise typer.Exit(Exit.UNEXPECTED)


def _run_json(found: Run) -> dict[str, Any]:
    plain = to_plain(found)
    plain.pop("events", None)
    return plain


# --- what is given -----------------------------------------------------------------------------------------------------


def _bound(
    name: str, adapter: str | None, go: Callable[[Client], Awaitable[_Answer]]
) -> Callable[[Client], Awaitable[_Answer]]:
    """go, with the source bound to its adapter, if it has one."""

    async def bound(client: Client) -> _Answer:
        from palimpsest.sync.sources import (  # DiffSync takes longer to import than most commands run
            AdapterSource,
            load_factory,
        )

        source = await client.reconcile.get(name)
        place = adapter or source.adapter
        if not place:
            return await go(client)
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        with closing(AdapterSource(load_factory(place), documents=source.documents)) as outside:
            client.reconcile.bind(name, outside)
            return await go(client)

    return bound


def _selected(words: Sequence[str] | None) -> dict[str, set[str]] | None:
    if not words:
        return None
    found: defaultdict[str, set[str]] = defaultdict(set)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in ("model", "id", "action", "document", "direction"):
            raise UsageError(
                f"--select {word}: write WHAT=VALUE, where WHAT is model, id, action, document or direction"
            )
        found[key].add(value)
    return dict(found)


def _deletes(text: str) -> float | int:
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else int(text)
    except ValueError:
        raise UsageError(f"--max-deletes {text}: write a number, or a share such as 20%") from None
