"""Whose request it is, and whether it may be a page of someone else's that asks: decided from its headers alone.

A browser sends along where a page came from, and under which name it reached us. Without a token, whoever is on this machine is let in, and
so is every page that a browser on this machine shows: that is why such a page has to be one of ours.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from functools import lru_cache

from palimpsest.errors import Unauthenticated
from palimpsest.web.problems import Refused, plain_problem

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/?#@\[\]]+))(?::[0-9]{1,5})?")
_ADDRESS_CHARACTERS_MAX = 100
"""Of what may be one at all, with the name of an interface."""
_BROWSER_IS_OURS = ("same-origin", "none")


def token_of(headers: Mapping[str, str], peer: str | None, names: Collection[str]) -> str | None:
    """The token of a request; None where it needs none. headers: by names in lower case; one that was there twice is a list. peer: the address that it comes from. names: of ours, in lower case, beside
    addresses.

    Raises Refused for a name that is not ours, and Unauthenticated where there is no token and should be one.
    """
    check_host(headers, names)
    given = headers.get("authorization")
    if given is not None:
        return _bearer(given)
    if not is_loopback(peer):
        raise Unauthenticated("without a token, requests are taken from this machine alone")
    site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin")
    if site not in _BROWSER_IS_OURS or (origin is not None and not _is_ours(origin, headers["host"])):
        raise Unauthenticated("without a token, a page of another site is not answered")
    return None


def check_host(headers: Mapping[str, str], names: Collection[str]) -> None:
    """Raises Refused unless `Host` is one of names, or an address: a page whose name was made to lead here would otherwise pass for one of
    ours."""
    host = host_of(headers)
    if host not in names and not is_address(host):
        detail = f"this is not {host!r}; its other names have to be configured"
        raise Refused(plain_problem(421, "Misdirected Request", detail))


def host_of(headers: Mapping[str, str]) -> str:
    """The name of `Host`, without its port, in lower case; "" where it is none."""
    found = _HOST.fullmatch(headers.get("host", ""))
    return "" if found is None else (found[1] or found[2]).lower()


def is_address(host: str) -> bool:
    return len(host) <= _ADDRESS_CHARACTERS_MAX and _is_address(host)


@lru_cache(maxsize=1_024)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1_024)
def is_loopback(peer: str | None) -> bool:
    """Whether an address is one of this machine's own."""
    if peer is None or not is_address(peer):
        return False
    address = ipaddress.ip_address(peer.partition("%")[0])
    inner = getattr(address, "ipv4_mapped", None)
    return (inner or address).is_loopback


def _bearer(given: str) -> str:
    scheme, _, rest = given.partition(" ")
    token = rest.strip()
    if scheme.lower() != "bearer" or not token or "," in token:  # a list is two of them
        raise Unauthenticated("`Authorization` is to be `Bearer` and a token")
    return token


def _is_ours(origin: str, host: str) -> bool:
    """Whether a page of origin came from where it asks now."""
    return origin.partition("://")[2].lower() == host.lower()
