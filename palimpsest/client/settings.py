"""What can be set on a client, and how the address of a server is written."""

from __future__ import annotations

import os
import ssl
from urllib.parse import urlsplit

import msgspec

from palimpsest.errors import InvalidRequest

_PLAIN, _SECURE = "palimpsest", "palimpsests"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and durations of one client."""

    timeout_seconds: float = 30.0
    """How long a request is waited for, over reconnections and all, before it ends with RequestTimeout. What may take long (to
    prune, erase, measure, back up, import) is waited for until the server has been silent for that long."""
    connect_seconds: float | None = None
    """How long the first connection is tried before `connect` fails; 0: once; None: timeout_seconds. Later connections are
    tried until the client is closed."""
    in_flight_requests_max: int = 65_536
    """Requests without an answer; who asks beyond it waits for a place."""
    out_bytes_max: int = 1024 * 1024
    """What waits in the socket's buffer before requests stop being encoded, and callers wait."""
    credit_bytes: int = 1024 * 1024
    """Changes that a subscription holds, or has under way, before its reader takes them."""
    page_items: int = 1_000
    """Names, versions or documents that are asked for at once."""
    backoff_seconds_min: float = 0.05
    backoff_seconds_max: float = 5.0
    peer_silence_seconds: float | None = None
    """How long a server may be silent before it is taken for dead; None: as the server's welcome says."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            number = getattr(self, name)
            zero_is_fine = name == "connect_seconds"
            if number is not None and not (number > 0 or (zero_is_fine and number == 0)):
                raise InvalidRequest(f"{name} is {number!r}, and must be a positive number", reason=name)


class Address(msgspec.Struct, frozen=True):
    """is_secure: TLS is spoken there."""

    host: str
    port: int
    is_secure: bool = False

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{_SECURE if self.is_secure else _PLAIN}://{host}:{self.port}"


def parse_url(url: str) -> Address:
    """The address in `palimpsest://host:port`, or `palimpsests://` for TLS. Raises InvalidRequest naming what is wrong with any other text."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _bad_url(url, str(error)) from None
    if parts.scheme not in (_PLAIN, _SECURE):
        raise _bad_url(url, f"its scheme is {parts.scheme!r}, not {_PLAIN!r}" if parts.scheme else "it has no scheme")
    if parts.username is not None or parts.password is not None:
        raise _bad_url(f"{parts.scheme}://…", "it holds credentials; give them as `token`")
    if not parts.hostname:
        raise _bad_url(url, "it names no host")
    if not port:
        raise _bad_url(url, "it names no port")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _bad_url(url, "nothing may follow the port")
    return Address(parts.hostname, port, parts.scheme == _SECURE)


def _bad_url(url: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{url!r} is no address of a server: {reason} (palimpsest://host:port is one)", reason=reason)


def make_tls(
    address: Address, context: ssl.SSLContext | None, ca: str | os.PathLike[str] | None
) -> ssl.SSLContext | None:
    """How TLS is spoken at address; None where it is not. context: as given by the caller. ca: a file in PEM with the authorities that are
    trusted; None: those that the system trusts. Without a context of the caller's own, certificate and name are checked.

    Raises InvalidRequest where there is TLS in one and none in the other, and for a file that cannot be used.
    """
    if not address.is_secure:
        if context is not None or ca is not None:
            raise InvalidRequest(f"{address.url} is not spoken to by TLS: write {_SECURE}://", reason="tls")
        return None
    if context is not None:
        if ca is not None:
            raise InvalidRequest("a context says itself what is trusted: ca goes without one", reason="ca")
        return context
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # those of ssl are among them
        raise InvalidRequest(f"the file of authorities cannot be used: {error}", reason="ca") from error
