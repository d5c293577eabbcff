"""Which addresses are of this machine alone."""

from __future__ import annotations

import asyncio
import ipaddress


async def is_loopback(host: str) -> bool:
    """Whether host is this machine, and nothing else. Raises OSError where it is nothing at all."""
    if not host:
        return False  # every address there is
    found = await asyncio.get_running_loop().getaddrinfo(host, None)
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
