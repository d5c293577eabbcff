"""A group whose commands are built when they are asked for: to build them all takes longer than most of them run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, ClassVar

import typer
from typer.main import get_command

from palimpsest.cli.session import Commands


class LateCommands(Commands):
    """`apps`: the commands and groups by name, in the order in which help lists them."""

    apps: ClassVar[dict[str, typer.Typer]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Built(self.apps)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.apps)


def command(function: Callable[..., None], name: str, example: str) -> typer.Typer:
    """One command. example: of a command line, without the program's name; help shows it."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    _add(app, function, name, example)
    return app


def group(name: str, about: str, commands: dict[str, tuple[Callable[..., None], str]]) -> typer.Typer:
    """Commands that share a first word. commands: function and example, by name."""
    app = typer.Typer(name=name, help=about, no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
    app.callback()(_nothing)
    for each, (function, example) in commands.items():
        _add(app, function, each, example)
    return app


def _add(app: typer.Typer, function: Callable[..., None], name: str, example: str) -> None:
    app.command(name, epilog=f"Example:  [bold]palimpsest {example}[/bold]")(function)


def _nothing() -> None:
    """What a group does before its command."""


class _Built(MutableMapping[str, Any]):
    """The commands that were asked for so far; the names of all."""

    def __init__(self, apps: dict[str, typer.Typer]) -> None:
        self._apps = apps
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = get_command(self._apps[name])
        return self._built[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._built[name] = value

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._apps)

    def __len__(self) -> int:
        return len(self._apps)
