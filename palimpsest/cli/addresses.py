"""Addresses as they are written: HOST:PORT."""

from __future__ import annotations

import re

import msgspec

_WRITTEN = re.compile(r"(?:\[(?P<bracketed>[^\[\]\s]+)\]|(?P<plain>[^\[\]:\s]+)):(?P<port>[0-9]{1,5})")
_PORT_MAX = 65_535


class HostPort(msgspec.Struct, frozen=True):
    """Where to listen. port: 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str) -> HostPort:
    """An IPv6 address stands in brackets. Raises ValueError."""
    found = _WRITTEN.fullmatch(text)
    if found is None or int(found["port"]) > _PORT_MAX:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return HostPort(found["bracketed"] or found["plain"], int(found["port"]))
