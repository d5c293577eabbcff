"""The command line: one table of commands. What they share is in `session`, `options`, `output` and `exits`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from palimpsest.cli import demo, documents, follow, imports, serve
from palimpsest.cli.session import DEFAULT_URL, Commands, Settings

_HELP = (
    "Palimpsest, a state server: every change is a delta in a durable log, and every version stays readable.\n\n"
    "Results go to stdout, remarks to stderr; --json prints for programs. Exit codes: 0 done, 1 unexpected or a check that "
    "failed, 2 refused, 3 not found, 4 conflict, 5 server away or overloaded, 6 storage, 7 protocol, 8 cursor, 9 git."
)

app = typer.Typer(cls=Commands, help=_HELP, no_args_is_help=True, rich_markup_mode="rich")
importing = typer.Typer(help="Bring in what lives elsewhere.", no_args_is_help=True, rich_markup_mode="rich")


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
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    context.obj = Settings(url=url, timeout_seconds=timeout)


def _example(line: str) -> str:
    return f"Example:  [bold]palimpsest {line}[/bold]"


app.command("serve", epilog=_example("serve state.db --port 7411"))(serve.serve)
app.command("get", epilog=_example("get notes/1 --version 3"))(documents.get)
app.command("set", epilog=_example("""set notes/1 '{"title": "A"}' --by ana"""))(documents.set_value)
app.command("update", epilog=_example("update notes/1 title=B stars+=1 draft- tags\\[]=new --expect 3"))(
    documents.update
)
app.command("delete", epilog=_example("delete notes/1 --by ana -m 'not needed'"))(documents.delete)
app.command("list", epilog=_example("list 'notes/*'"))(documents.list_names)
app.command("history", epilog=_example("history notes/1 --limit 10"))(follow.history)
app.command("watch", epilog=_example("watch 'notes/**' --json"))(follow.watch)
app.command("demo", epilog=_example("demo"))(demo.demo)
app.add_typer(importing, name="import")
importing.command("git", epilog=_example("import git ~/src/flask --prefix flask/"))(imports.import_git)


def main() -> None:
    """The entry point of the `palimpsest` command."""
    app(prog_name="palimpsest")
