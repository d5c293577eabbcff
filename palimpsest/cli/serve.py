"""`serve`: the server as a process of its own.

The process belongs to the server, so that it may set what belongs to a process: the event loop (uvloop), the collector, the
log, and the signals that end it.
"""

from __future__ import annotations

import functools
import gc
import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from palimpsest.cli import checking
from palimpsest.cli.addresses import HostPort
from palimpsest.cli.configuration import Flags, configured
from palimpsest.cli.flags import (
    Check,
    ConfigFile,
    HttpBounds,
    HttpNames,
    LogFormat,
    LogLevel,
    TlsCert,
    TlsKey,
    flag,
)
from palimpsest.cli.process import SIGNALS, Reload, listening, say_ready, until_told, warn_of
from palimpsest.cli.resolvers import load_resolvers
from palimpsest.cli.settings import ServeSettings
from palimpsest.embedded import Server
from palimpsest.logs import configure
from palimpsest.running import run

if TYPE_CHECKING:
    from palimpsest.cli.gateway import HttpSide

_YOUNG_OBJECTS_MAX = 50_000
"""How many new objects make the collector look: with its default of 700, it is never done looking at a busy server."""


def serve(
    path: Annotated[str | None, flag("store")] = None,
    config: ConfigFile = None,
    check: Check = False,
    host: Annotated[str | None, flag("host")] = None,
    port: Annotated[str | None, flag("port")] = None,
    http: Annotated[str | None, flag("http")] = None,
    http_names: HttpNames = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: Annotated[str | None, flag("tls_client_ca")] = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    archiver: Annotated[str | None, flag("archiver")] = None,
    snapshot_versions: Annotated[str | None, flag("snapshot_versions")] = None,
    resolvers: Annotated[list[str] | None, flag("resolvers")] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=NUMBER", help="A bound, such as connections_max=100; again and again."),
    ] = None,
    http_limits: HttpBounds = None,
) -> None:
    """Serve a store until SIGTERM or Control-C; what is under way is finished first. SIGHUP reads certificates again.

    Prints one line on stdout once it is ready: listening on palimpsest://HOST:PORT, and one more with --http.
    """
    plain = {
        "store": path,
        "host": host,
        "port": port,
        "http": http,
        "http_names": http_names or None,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
        "log_level": log_level,
        "log_format": log_format,
        "archiver": archiver,
        "snapshot_versions": snapshot_versions,
    }
    flags = Flags(plain, limits or (), resolvers or (), config, http_limits or ())
    read = functools.partial(configured, flags, os.environ)
    configuration = read()
    if check:
        raise typer.Exit(checking.check_server(configuration))
    settings = configuration.settings
    configure(settings.log_level, settings.log_format)
    warn_of(configuration.remarks)
    server = make_server(settings)
    reload = Reload(configuration, read, [] if settings.tls_cert is None else [server.reload_tls])
    side = None if settings.http is None else _http_side(settings)
    run(lambda: _serve(server, side, reload, f"{settings.store} at {HostPort(settings.host, settings.port)}"))


def make_server(settings: ServeSettings) -> Server:
    """Not started yet. Raises UsageError or InvalidRequest for what cannot be used."""
    return Server(
        settings.store,
        host=settings.host,
        port=settings.port,
        limits=settings.limits,
        archiver=settings.archiver,
        snapshot_versions=settings.snapshot_versions,
        resolvers=load_resolvers(settings.resolvers),
        tls=checking.tls_files(settings),
    )


def _http_side(settings: ServeSettings) -> HttpSide:
    from palimpsest.cli.gateway import HttpSide

    return HttpSide(settings)


async def _serve(server: Server, side: HttpSide | None, reload: Reload, where: str) -> None:
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        async with AsyncExitStack() as exits:
            with listening(where):
                await exits.enter_async_context(server)
            urls = [server.url]
            if side is not None:
                with listening(side.where):
                    urls.append((await exits.enter_async_context(await side.beside(server))).url)
                reload.also(side.reload_tls)
            _settle_collector()
            say_ready(urls)
            await until_told(signals, server.stop, server.wait, reload)


def _settle_collector() -> None:
    """What was made on the way here stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS_MAX)
