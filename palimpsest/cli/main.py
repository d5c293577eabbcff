"""The command line: one table of commands. What they share is in `session`, `options`, `output` and `exits`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, ClassVar

import typer

from palimpsest.cli import (
    backups,
    branches,
    conflicts,
    demo,
    diffs,
    documents,
    erasing,
    follow,
    gateway,
    history,
    imports,
    keeping,
    log,
    merging,
    perspectives,
    proof,
    reconcile,
    roles,
    schemas,
    serve,
    subscriptions,
    tokens,
    top,
    transfer,
    usage,
    versions,
)
from palimpsest.cli.late import LateCommands, command, group
from palimpsest.cli.session import DEFAULT_URL, Settings

_HELP = (
    "Palimpsest, a state server: every change is a delta in a durable log, and every version stays readable.\n\n"
    "Results go to stdout, remarks to stderr; --json prints for programs. Exit codes: 0 done, 1 unexpected or a check that "
    "failed, 2 refused, 3 not found, 4 conflict, 5 server away or overloaded, 6 storage, 7 protocol, 8 cursor, 9 git, 10 no right to it."
)


class _All(LateCommands):
    apps: ClassVar[dict[str, typer.Typer]] = {
        "serve": command(serve.serve, "serve", "serve state.db --port 7411"),
        "gateway": command(gateway.gateway, "gateway", "gateway --http 127.0.0.1:7412"),
        "get": command(documents.get, "get", "get notes/1 --version 3"),
        "set": command(documents.set_value, "set", """set notes/1 '{"title": "A"}' --by ana"""),
        "update": command(documents.update, "update", "update notes/1 title=B stars+=1 draft- tags\\[]=new --expect 3"),
        "delete": command(documents.delete, "delete", "delete notes/1 --by ana -m 'not needed'"),
        "list": command(documents.list_names, "list", "list 'notes/*'"),
        "watch": command(follow.watch, "watch", "watch 'notes/**' --json"),
        "subscriptions": group(
            "subscriptions",
            "Named subscriptions, whose places the server keeps.",
            {
                "list": (subscriptions.list_subscriptions, "subscriptions list"),
                "show": (subscriptions.show, "subscriptions show billing"),
                "retry": (subscriptions.retry, "subscriptions retry billing 1042"),
                "delete": (subscriptions.delete, "subscriptions delete billing"),
            },
        ),
        "history": command(history.history, "history", "history notes/1 --since 2d --by ana --limit 10"),
        "log": command(log.log, "log", "log notes/1 --graph"),
        "diff": command(diffs.diff, "diff", "diff notes/1 3 5"),
        "blame": command(history.blame, "blame", "blame notes/1 --path meta"),
        "revert": command(versions.revert, "revert", "revert notes/1 3 --by ana -m 'the last good one'"),
        "undo": command(versions.undo, "undo", "undo notes/1 4 --by ana"),
        "tag": command(versions.tag, "tag", "tag notes/1 3 released"),
        "untag": command(versions.untag, "untag", "untag notes/1 3 released"),
        "branch": command(branches.branch, "branch", "branch notes/1 draft --at 3"),
        "branches": command(branches.branches, "branches", "branches notes/1"),
        "merge": command(merging.merge, "merge", "merge notes/1 draft --rule stars=sum --dry-run"),
        "rebase": command(merging.rebase, "rebase", "rebase notes/1 draft"),
        "cherry-pick": command(merging.cherry_pick, "cherry-pick", "cherry-pick notes/1 draft:7"),
        "merges": command(conflicts.merges, "merges", "merges 'notes/**'"),
        "conflicts": command(conflicts.conflicts, "conflicts", "conflicts 25e8ff5e866a6821"),
        "resolve": command(
            conflicts.resolve, "resolve", """resolve 25e8ff5e866a6821 title=theirs 'meta.stars:=12' --all ours"""
        ),
        "abandon": command(conflicts.abandon, "abandon", "abandon 25e8ff5e866a6821"),
        "reconcile": group(
            "reconcile",
            "Keep documents and systems outside in step.",
            {
                "sources": (reconcile.sources, "reconcile sources"),
                "add": (
                    reconcile.add,
                    "reconcile add netbox --documents inventory --adapter mine:make --max-deletes 10%",
                ),
                "plan": (reconcile.plan, "reconcile plan netbox"),
                "apply": (reconcile.apply, "reconcile apply netbox/000660c8ffed0494-d7446267 --select model=site"),
                "run": (reconcile.run, "reconcile run netbox"),
                "runs": (reconcile.runs, "reconcile runs netbox"),
                "show": (reconcile.show, "reconcile show netbox/000660c8ffed08b3-bd1b1ec8"),
                "push": (reconcile.push, "reconcile push netbox < snapshot.json"),
            },
        ),
        "prune": command(keeping.prune, "prune", "prune 'logs/**' --versions 100 --age 30d"),
        "retention": group(
            "retention",
            "How much of the past is kept.",
            {
                "list": (keeping.list_policies, "retention list"),
                "set": (keeping.set_policy, "retention set logs --documents 'logs/**' --age 30d"),
                "delete": (keeping.delete_policy, "retention delete logs"),
            },
        ),
        "perspective": group(
            "perspective",
            "What documents are seen through.",
            {
                "put": (perspectives.put, "perspective put public public.json"),
                "list": (perspectives.list_all, "perspective list"),
                "show": (perspectives.show, "perspective show public"),
                "delete": (perspectives.delete, "perspective delete public"),
                "preview": (perspectives.preview, "perspective preview public notes/1"),
            },
        ),
        "schema": group(
            "schema",
            "What the values of documents have to look like.",
            {
                "put": (schemas.put, "schema put notes note.schema.json --documents 'notes/**'"),
                "list": (schemas.list_all, "schema list"),
                "show": (schemas.show, "schema show notes"),
                "delete": (schemas.delete, "schema delete notes"),
                "check": (schemas.check, "schema check --schema note.schema.json --documents 'notes/**'"),
            },
        ),
        "erase": command(erasing.erase, "erase", "erase users/7 --path email --by ana -m 'request 81'"),
        "top": command(top.top, "top", "top --interval 2"),
        "stats": command(usage.stats, "stats", "stats 'notes/**'"),
        "digest": command(proof.digest, "digest", "digest notes/1 >> kept.jsonl"),
        "verify": command(proof.verify, "verify", "verify state.db --against kept.jsonl"),
        "export": command(transfer.export, "export", "export 'notes/**' -o notes.jsonl"),
        "import": group(
            "import",
            "Bring in what lives elsewhere.",
            {
                "history": (transfer.import_history, "import history notes.jsonl"),
                "git": (imports.import_git, "import git ~/src/flask --prefix flask/"),
            },
        ),
        "backup": command(backups.backup, "backup", "backup backups/monday"),
        "restore": command(backups.restore, "restore", "restore backups/monday state.db"),
        "token": group(
            "token",
            "Who may connect.",
            {
                "create": (tokens.create, "token create ana --role admin"),
                "list": (tokens.list_all, "token list"),
                "revoke": (tokens.revoke, "token revoke 5284c4bde0b5"),
            },
        ),
        "role": group(
            "role",
            "Who may do what.",
            {
                "put": (roles.put, "role put reader --grant 'notes/**:read,subscribe:public'"),
                "list": (roles.list_all, "role list"),
                "show": (roles.show, "role show reader"),
                "delete": (roles.delete, "role delete reader"),
            },
        ),
        "demo": command(demo.demo, "demo", "demo"),
    }


app = typer.Typer(cls=_All, help=_HELP, no_args_is_help=True, rich_markup_mode="rich")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"palimpsest {version('palimpsest')}")
        raise typer.Exit


@app.callback()
def settings(
    context: typer.Context,
    url: Annotated[
        str, typer.Option(envvar="PALIMPSEST_URL", metavar="URL", help="The server that the commands speak to.")
    ] = DEFAULT_URL,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="How long to wait for an answer.")
    ] = 30.0,
    token: Annotated[
        str | None, typer.Option(envvar="PALIMPSEST_TOKEN", metavar="TOKEN", help="Who you are, where it matters.")
    ] = None,
    ca: Annotated[
        str | None, typer.Option(envvar="PALIMPSEST_CA", metavar="FILE", help="The authorities to trust, as PEM.")
    ] = None,
    cert: Annotated[
        str | None, typer.Option(envvar="PALIMPSEST_CERT", metavar="FILE", help="Your certificate, as PEM.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(envvar="PALIMPSEST_KEY", metavar="FILE", help="Its key, if it is not in the same file."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    context.obj = Settings(url=url, timeout_seconds=timeout, token=token, ca=ca, cert=cert, key=key)


def main() -> None:
    """The entry point of the `palimpsest` command."""
    app(prog_name="palimpsest")
