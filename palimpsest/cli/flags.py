"""Flags that are made from the table of settings, for the commands that serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from palimpsest.cli.configuration import CONFIG_VARIABLE
from palimpsest.cli.settings import SETTINGS


def flag(name: str, about: str | None = None) -> Any:
    """The option, or for the store the argument, of a setting. Its words are read by `configuration`, as those of all places are. about: what it
    is, for a command to which it is something else than the table says."""
    setting = SETTINGS[name]
    words, _, metavar = setting.flag.partition(" ")
    said = about or setting.about
    text = f"{said} {_default(setting.default)}{setting.environment}.".replace("[", "\\[")
    if name == "store":
        return typer.Argument(metavar=words, help=text, show_default=False)
    return typer.Option(words, metavar=metavar, help=text, show_default=False)


def _default(value: Any) -> str:
    return "" if value is None or value == () else f"Default: {value}. "


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help=f"Settings, as TOML; docs/configuration.md has all. {CONFIG_VARIABLE}."
    ),
]
Check = Annotated[
    bool, typer.Option("--check", help="Start nothing: check the settings, and print each with where it comes from.")
]
HttpNames = Annotated[list[str] | None, flag("http_names")]
TlsCert = Annotated[str | None, flag("tls_cert")]
TlsKey = Annotated[str | None, flag("tls_key")]
LogLevel = Annotated[str | None, flag("log_level")]
LogFormat = Annotated[str | None, flag("log_format")]
HttpBounds = Annotated[
    list[str] | None,
    typer.Option(
        "--http-limit",
        metavar="NAME=NUMBER",
        help="A bound of HTTP, such as body_bytes_max=1_000_000; again and again.",
    ),
]
