"""What a peer is to those who measure it: a server that runs."""

from __future__ import annotations

from typing import Protocol

PALIMPSEST = "palimpsest"
REDIS = "redis"


class Peer(Protocol):
    @property
    def name(self) -> str:
        """PALIMPSEST or REDIS."""
        ...

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def pid(self) -> int: ...

    @property
    def script(self) -> str:
        """SHA-1 of the script that does an update in Redis; "" for Palimpsest, which needs none."""
        ...
