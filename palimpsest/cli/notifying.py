"""How a service manager such as systemd hears of what a process is about: `sd_notify`, a datagram to the socket that it names."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"


def reloading() -> str:
    """To be followed by READY once it is done. The time tells the manager which of several reloads is meant."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Sends state to whoever started this process and waits for it; False where there is nobody, or nobody who listens.

    Never waits, and never fails: that nobody is told is no reason not to serve.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # a name of Linux's, in no file system
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            sending.sendto(state.encode(), address)
    except OSError:
        return False
    return True
