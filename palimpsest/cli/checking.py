"""`--check` of `serve` and `gateway`: whether it could start with what it is told, and where each setting comes from. Nothing is started."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from palimpsest.cli.addresses import parse_host_port
from palimpsest.cli.configuration import Configuration
from palimpsest.cli.exits import Exit, print_failure
from palimpsest.cli.resolvers import load_resolvers
from palimpsest.cli.settings import ServeSettings, by_name, concerns_gateway
from palimpsest.client import connect
from palimpsest.errors import PalimpsestError, UsageError
from palimpsest.server import TlsFiles

WITHOUT_WEB = "HTTP needs packages that are not installed: pip install palimpsest[web]"


def check_server(configuration: Configuration) -> Exit:
    """Prints what is in effect, and on stderr what is wrong with it."""
    return _report(configuration, in_effect(configuration), problems(configuration))


def check_gateway(configuration: Configuration, url: str, ca: str | None) -> Exit:
    """As `check_server`, of what concerns a gateway in a process of its own. url, ca: of its server, as `connect` takes them."""
    rows = (row for row in in_effect(configuration) if concerns_gateway(row[0]))
    return _report(configuration, rows, gateway_problems(configuration, url, ca))


def _report(configuration: Configuration, rows: Iterable[tuple[str, str, str]], problems: Iterable[str]) -> Exit:
    for line in _columns(list(rows)):
        print(line)
    for remark in configuration.remarks:
        print_failure(UsageError(remark))
    found = list(problems)
    for problem in found:
        print_failure(UsageError(problem))
    return Exit.USAGE if found else Exit.OK


def in_effect(configuration: Configuration) -> Iterator[tuple[str, str, str]]:
    """(name, value, where it comes from) of every setting. There is no secret among them: files are named and not shown."""
    for name, value in by_name(configuration.settings).items():
        yield name, _shown(value), configuration.origin(name).text


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _columns(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, origin in rows:
        yield f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}"


def problems(configuration: Configuration) -> Iterator[str]:
    """Why the server would not start, as far as that can be known without starting it. Whether the store has a token, and whether the
    addresses are free, it cannot."""
    settings = configuration.settings
    yield from _because(configuration, "store", _store_problems(Path(settings.store)))
    yield from _because(configuration, "host", _host_problems(settings.host))
    if settings.http is not None:
        yield from _http_problems(configuration)
    yield from _tls_problems(configuration, tls_files(settings))
    yield from _resolver_problems(configuration)


def gateway_problems(configuration: Configuration, url: str, ca: str | None) -> Iterator[str]:
    """Why a gateway would not start, as far as that can be known without starting it. Whether its address is free, and whether its server has
    a token, it cannot."""
    missing = [f"--ca: {reason}" for reason in _file_problems(ca)]
    yield from missing or _server_problems(url, ca)
    yield from _http_problems(configuration)
    yield from _tls_problems(configuration, http_tls_files(configuration.settings))


def _server_problems(url: str, ca: str | None) -> Iterator[str]:
    """Whether it can be spoken to at all; it need not be there."""
    try:
        connect(url, ca=ca)
    except PalimpsestError as error:
        yield error.message


def _because(configuration: Configuration, name: str, reasons: Iterable[str]) -> Iterator[str]:
    yield from (f"{configuration.origin(name).where(name)}: {reason}" for reason in reasons)


def _http_problems(configuration: Configuration) -> Iterator[str]:
    """The setting is there."""
    address = parse_host_port(configuration.settings.http or "")
    yield from _because(configuration, "http", _host_problems(address.host))
    yield from _because(configuration, "http", [] if has_web() else [WITHOUT_WEB])


def tls_files(settings: ServeSettings) -> TlsFiles | None:
    if settings.tls_cert is None:
        return None
    return TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def http_tls_files(settings: ServeSettings) -> TlsFiles | None:
    """Browsers are not asked for certificates of clients: they would ask whoever sits before them."""
    return None if settings.tls_cert is None else TlsFiles(settings.tls_cert, settings.tls_key)


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


def _file_problems(path: str | os.PathLike[str] | None) -> Iterator[str]:
    if path is not None and not os.path.isfile(path):
        yield f"there is no file {path}"


def _tls_problems(configuration: Configuration, files: TlsFiles | None) -> Iterator[str]:
    """Such as a file that is not there, or a key that is not of the certificate."""
    if files is None:
        return
    named = {"tls_cert": files.cert, "tls_key": files.key, "tls_client_ca": files.client_ca}
    missing = [text for name, path in named.items() for text in _because(configuration, name, _file_problems(path))]
    yield from missing or _because(configuration, "tls_cert", _unusable(files))


def _unusable(files: TlsFiles) -> Iterator[str]:
    try:
        files.context()
    except PalimpsestError as error:
        yield error.message


def _resolver_problems(configuration: Configuration) -> Iterator[str]:
    for name, place in configuration.settings.resolvers.items():
        try:
            load_resolvers({name: place})
        except PalimpsestError as error:
            yield error.message
