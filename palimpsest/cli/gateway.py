"""HTTP, beside a server in its process (`serve --http`), or in a process of its own before a server anywhere (`gateway`).

`palimpsest.web` needs packages that only the extra brings, so that it is imported where it is used, and not before.
"""

from __future__ import annotations

import functools
import os
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import anyio
import msgspec
import typer

from palimpsest.cli.addresses import HostPort, parse_host_port
from palimpsest.cli.checking import WITHOUT_WEB, check_gateway, has_web, http_tls_files
from palimpsest.cli.configuration import Configuration, Flags, configured
from palimpsest.cli.flags import Check, ConfigFile, HttpBounds, HttpNames, LogFormat, LogLevel, TlsCert, TlsKey, flag
from palimpsest.cli.process import SIGNALS, Reload, listening, say_ready, until_told, warn_of
from palimpsest.cli.session import Settings
from palimpsest.cli.settings import ServeSettings, concerns_gateway
from palimpsest.client import connect
from palimpsest.embedded import Server
from palimpsest.errors import InvalidRequest, LinkError, Unauthenticated, UsageError
from palimpsest.logs import configure, get_logger
from palimpsest.running import run
from palimpsest.server.addresses import is_loopback
from palimpsest.server.tls import ReloadableTls

if TYPE_CHECKING:
    from palimpsest.web import Gateway

log = get_logger("palimpsest.cli")

DEFAULT_HTTP = "127.0.0.1:7412"


def gateway(
    context: typer.Context,
    config: ConfigFile = None,
    check: Check = False,
    http: Annotated[str | None, flag("http", f"The address to listen on. Default: {DEFAULT_HTTP}.")] = None,
    http_names: HttpNames = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    http_limits: HttpBounds = None,
) -> None:
    """Serve HTTP and the console for the server at --url, by default at 127.0.0.1:7412, until SIGTERM or Control-C.

    Callers show their own tokens, which --token has no part in. Of a file and of the environment, it goes by what concerns HTTP, TLS and the
    log. Prints one line on stdout once it is ready.
    """
    far: Settings = context.obj
    if far.cert is not None:
        raise UsageError("--cert would make whoever has no token its owner: the gateway takes none")
    plain = {
        "http": http,
        "http_names": http_names or None,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "log_level": log_level,
        "log_format": log_format,
    }
    read = functools.partial(_configured, Flags(plain, config=config, http_limits=http_limits or ()))
    configuration = read()
    if check:
        raise typer.Exit(check_gateway(configuration, far.url, far.ca))
    settings = configuration.settings
    configure(settings.log_level, settings.log_format)
    warn_of(configuration.remarks)
    side = HttpSide(settings)
    reload = Reload(configuration, read, [side.reload_tls], concerns_gateway)
    run(lambda: _serve(side, far, reload))


def _configured(flags: Flags) -> Configuration:
    """A gateway listens somewhere, also where nothing says so."""
    found = configured(flags, os.environ)
    if found.settings.http is not None:
        return found
    settings = msgspec.structs.replace(found.settings, http=DEFAULT_HTTP)
    return msgspec.structs.replace(found, settings=settings)


class HttpSide:
    """HTTP, as settings have it: `http`, which is there, `http_names`, `http_limits`, and the files for TLS. Raises UsageError without the extra,
    and InvalidRequest for files that cannot be used."""

    def __init__(self, settings: ServeSettings) -> None:
        if not has_web():
            raise UsageError(WITHOUT_WEB)
        assert settings.http is not None
        self.address = parse_host_port(settings.http)
        self._names = settings.http_names
        self._limits = settings.http_limits
        files = http_tls_files(settings)
        self._tls = None if files is None else ReloadableTls(files)

    @property
    def where(self) -> str:
        """What it serves, in words."""
        return f"HTTP at {self.address}"

    def reload_tls(self) -> None:
        """Raises InvalidRequest, and nothing has changed then."""
        if self._tls is not None:
            self._tls.reload()

    async def beside(self, server: Server) -> Gateway:
        """For a server in this process, which has started. Raises InvalidRequest where everybody on the network could do everything."""
        await self._check(is_open=server.access.is_open)
        url = own_url(server.url)
        client_tls = _unchecked() if url.startswith("palimpsests:") else None
        return self._gateway(url, client_tls=client_tls, is_ready=functools.partial(_why_not_ready, server))

    async def before(self, far: Settings) -> Gateway:
        """For the server at far's url, which need not be there yet. Raises as `beside` does."""
        await self._check(is_open=await _is_open(far))
        return self._gateway(far.url, ca=far.ca)

    def _gateway(self, url: str, **options: Any) -> Gateway:
        from palimpsest.web import Gateway

        tls = None if self._tls is None else self._tls.context
        host, port = self.address.host, self.address.port
        return Gateway(url, host=host, port=port, tls=tls, names=self._names, limits=self._limits, **options)

    async def _check(self, *, is_open: bool) -> None:
        if await is_loopback(self.address.host):
            return
        if is_open:
            raise InvalidRequest(
                f"the store has no token, and HTTP at {self.address} can be reached from other machines: whoever does could do "
                "everything. Serve it on 127.0.0.1 first, and make a token there",
                reason="no token",
            )
        if self._tls is None:
            log.warning("http_not_encrypted", address=str(self.address), reason="tokens can be read on the way")


def own_url(url: str) -> str:
    """How a server in this process is reached from it. url: as it listens, which may be at every address there is."""
    parts = urlsplit(url)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(parts.hostname or "", parts.hostname or "127.0.0.1")
    assert parts.port is not None
    return f"{parts.scheme}://{HostPort(host, parts.port)}"


def _unchecked() -> ssl.SSLContext:
    """For the way to a server in this very process: its certificate is for the names that others use, and its port is ours already."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _why_not_ready(server: Server) -> str | None:
    from palimpsest.web.metrics import health

    is_ready, reasons = health(await server.observe(subscribers=0))
    return None if is_ready else "; ".join(reasons)


async def _is_open(far: Settings) -> bool:
    """Whether it lets in whoever has no token. A server that is not there does not; the gateway asks it again for each caller."""
    try:
        async with connect(far.url, ca=far.ca, timeout_seconds=far.timeout_seconds, connect_seconds=0):
            return True
    except (Unauthenticated, LinkError):
        return False


async def _serve(side: HttpSide, far: Settings, reload: Reload) -> None:
    stop = anyio.Event()
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        async with AsyncExitStack() as exits:
            with listening(side.where):
                gateway = await exits.enter_async_context(await side.before(far))
            say_ready([gateway.url])
            await until_told(signals, stop.set, stop.wait, reload)
