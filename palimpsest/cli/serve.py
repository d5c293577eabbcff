"""`serve`: the server as a process of its own.

The process belongs to the server, so that it may set what belongs to a process: the event loop (uvloop), the collector, the
log, and the signals that end it.
"""

from __future__ import annotations

import gc
import importlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import anyio
import msgspec
import typer

from palimpsest.cli.exits import plain_error
from palimpsest.cli.session import DEFAULT_PORT
from palimpsest.errors import LinkError, UsageError
from palimpsest.limits import Limits
from palimpsest.logs import configure, get_logger
from palimpsest.running import run
from palimpsest.server import Server, TlsFiles
from palimpsest.state.rules import NAMES as RULE_NAMES
from palimpsest.state.rules import Resolver

_YOUNG_OBJECTS_MAX = 50_000
"""How many new objects make the collector look: with its default of 700, it is never done looking at a busy server."""

_RESOLVER = re.compile(r"(?P<name>[^=]+)=(?P<module>[^:=]+):(?P<function>[^:]+)")

log = get_logger("palimpsest.cli")


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    AUTO = "auto"
    HUMAN = "human"
    JSON = "json"


def serve(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The store; made where it does not exist.")] = Path(
        "state.db"
    ),
    host: Annotated[str, typer.Option(metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65_535, help="0: any that is free.")] = DEFAULT_PORT,
    log_level: Annotated[LogLevel, typer.Option(help="The least that is logged, on stderr.")] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat, typer.Option(help="auto: for people on a terminal, JSON otherwise.")
    ] = LogFormat.AUTO,
    limits: Annotated[
        list[str] | None, typer.Option("--limit", metavar="NAME=NUMBER", help="A setting, such as connections_max=100.")
    ] = None,
    resolvers: Annotated[
        list[str] | None,
        typer.Option(
            "--resolver",
            metavar="NAME=MODULE:FUNCTION",
            help="A function that rules of merges call by NAME; again and again.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Speak TLS, with this certificate, as PEM.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its key, if it is not in the same file.")
    ] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ask clients for certificates of this authority.")
    ] = None,
) -> None:
    """Serve a store until SIGTERM or Control-C; what is under way is finished first.

    Prints one line on stdout once it is ready: listening on palimpsest://HOST:PORT
    """
    configure(log_level, log_format.value)
    settings = parse_limits(limits or ())
    functions = load_resolvers(resolvers or ())
    tls = make_tls(tls_cert, tls_key, tls_client_ca)
    server = Server(path, host=host, port=port, limits=settings, archiver="process", resolvers=functions, tls=tls)
    run(lambda: _serve(server, f"{path} at {host}:{port}"))


def parse_limits(words: Sequence[str]) -> Limits:
    """The defaults, changed by words such as `connections_max=100`. Raises UsageError."""
    given: dict[str, float] = {}
    for word in words:
        name, equals, number = word.partition("=")
        if name not in Limits.__struct_fields__ or not equals:
            raise UsageError(
                f"--limit {word}: write NAME=NUMBER, where NAME is one of {', '.join(Limits.__struct_fields__)}"
            )
        try:
            given[name] = msgspec.convert(number.replace("_", ""), float if "seconds" in name else int, strict=False)
        except msgspec.ValidationError as error:
            raise UsageError(f"--limit {word}: {number!r} is not a number of that kind") from error
        if given[name] <= 0:
            raise UsageError(f"--limit {word}: a limit is more than 0")
    return msgspec.structs.replace(Limits(), **given)


def make_tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
    """Raises UsageError."""
    if cert is None:
        if key is not None or client_ca is not None:
            raise UsageError("--tls-key and --tls-client-ca go with --tls-cert")
        return None
    return TlsFiles(cert, key, client_ca)


def load_resolvers(words: Sequence[str]) -> dict[str, Resolver]:
    """By name, of words such as `newest=my.rules:newest`. Modules are looked for in the working directory, too, after all others.

    Raises UsageError for a word that is none, and where there is no such module or function in it.
    """
    if words and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    found: dict[str, Resolver] = {}
    for word in words:
        parts = _RESOLVER.fullmatch(word)
        if parts is None:
            raise UsageError(f"--resolver {word}: write NAME=MODULE:FUNCTION")
        name = parts["name"]
        if name in found or name in RULE_NAMES or name.startswith("key:"):
            raise UsageError(f"--resolver {word}: there is a rule {name} already")
        found[name] = _load(word, parts["module"], parts["function"])
    return found


def _load(word: str, module: str, function: str) -> Resolver:
    try:
        resolver: Any = importlib.import_module(module)
    except Exception as error:  # what a module does when it is imported is its own affair
        raise UsageError(f"--resolver {word}: {module} cannot be imported: {error}") from error
    for name in function.split("."):
        resolver = getattr(resolver, name, None)
    if not callable(resolver):
        raise UsageError(f"--resolver {word}: {module} has no function {function}")
    return cast(Resolver, resolver)


async def _serve(server: Server, where: str) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with AsyncExitStack() as exits:
            try:
                await exits.enter_async_context(server)
            except (OSError, BaseExceptionGroup) as error:
                plain = plain_error(error)
                if not isinstance(plain, OSError):
                    raise
                raise LinkError(f"cannot serve {where}: {plain}") from error
            _settle_collector()
            sys.stdout.write(f"listening on {server.url}\n")
            sys.stdout.flush()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_stop_on_signal, server, signals)
                await server.wait()
                tasks.cancel_scope.cancel()


async def _stop_on_signal(server: Server, signals: AsyncIterator[signal.Signals]) -> None:
    async for number in signals:
        log.info("signal", name=number.name)
        server.stop()


def _settle_collector() -> None:
    """What was made on the way here stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS_MAX)
