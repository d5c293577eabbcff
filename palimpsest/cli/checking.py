"""`serve --check`: whether the server could start with what it is told, and where each setting comes from. Nothing is started."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from palimpsest.cli.addresses import parse_host_port
from palimpsest.cli.configuration import Configuration
from palimpsest.cli.resolvers import load_resolvers
from palimpsest.cli.settings import SETTINGS, ServeSettings
from palimpsest.errors import PalimpsestError
from palimpsest.server import TlsFiles

WITHOUT_WEB = "HTTP needs packages that are not installed: pip install palimpsest[web]"


def in_effect(configuration: Configuration) -> Iterator[tuple[str, str, str]]:
    """(name, value, where it comes from) of every setting. There is no secret among them: files are named and not shown."""
    settings = configuration.settings
    for name in SETTINGS:
        if name == "resolvers":
            for resolver, place in settings.resolvers.items():
                yield f"resolvers.{resolver}", place, configuration.origin(f"resolvers.{resolver}").text
            continue
        owner: Any = settings.limits if name.startswith("limits.") else settings
        yield name, _shown(getattr(owner, name.rpartition(".")[2])), configuration.origin(name).text


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def lines(configuration: Configuration) -> Iterator[str]:
    """What is in effect, in columns."""
    rows = list(in_effect(configuration))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, origin in rows:
        yield f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}"


def problems(configuration: Configuration) -> Iterator[str]:
    """Why the server would not start, as far as that can be known without starting it. Whether the store has a token, and whether the
    addresses are free, it cannot."""
    settings = configuration.settings

    def because(name: str, reasons: Iterable[str]) -> Iterator[str]:
        yield from (f"{configuration.origin(name).where(name)}: {reason}" for reason in reasons)

    yield from because("store", _store_problems(Path(settings.store)))
    yield from because("host", _host_problems(settings.host))
    if settings.http is not None:
        yield from because("http", _host_problems(parse_host_port(settings.http).host))
        yield from because("http", [] if has_web() else [WITHOUT_WEB])
    missing = False
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        reasons = list(_file_problems(getattr(settings, name)))
        missing = missing or bool(reasons)
        yield from because(name, reasons)
    if not missing:
        yield from because("tls_cert", _tls_problems(tls_files(settings)))
    yield from _resolver_problems(configuration)


def tls_files(settings: ServeSettings) -> TlsFiles | None:
    if settings.tls_cert is None:
        return None
    return TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def has_web() -> bool:
    return all(find_spec(name) is not None for name in ("starlette", "uvicorn", "httptools"))


def _store_problems(store: Path) -> Iterator[str]:
    folder = store.absolute().parent
    if not folder.is_dir():
        yield f"there is no folder {folder}"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"{folder} cannot be written to by this user"
    elif store.exists() and not store.is_file():
        yield f"{store} is not a file"
    elif store.exists() and not os.access(store, os.R_OK | os.W_OK):
        yield f"{store} cannot be read and written by this user"


def _host_problems(host: str) -> Iterator[str]:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        yield f"{host!r} is no address: {error}"


def _file_problems(path: str | None) -> Iterator[str]:
    if path is not None and not os.path.isfile(path):
        yield f"there is no file {path}"


def _tls_problems(files: TlsFiles | None) -> Iterator[str]:
    """Such as a key that is not of the certificate."""
    try:
        if files is not None:
            files.context()
    except PalimpsestError as error:
        yield error.message


def _resolver_problems(configuration: Configuration) -> Iterator[str]:
    for name, place in configuration.settings.resolvers.items():
        try:
            load_resolvers({name: place})
        except PalimpsestError as error:
            yield error.message
