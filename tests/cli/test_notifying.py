from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from palimpsest.cli.notifying import READY, notify, reloading


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """The socket of a service manager, and the environment that names it."""
    name = f"palimpsest-test-{os.getpid()}-{id(tmp_path)}"
    address = str(tmp_path / "notify") if request.param == "path" else f"\0{name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(20)
        yield listening, {"NOTIFY_SOCKET": address.replace("\0", "@")}


def test_whoever_waits_is_told(manager: tuple[socket.socket, dict[str, str]]) -> None:
    listening, environment = manager
    assert notify(READY, environment)
    assert listening.recv(100) == b"READY=1"
    assert notify(reloading(), environment)
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=[1-9]\d*", listening.recv(100))


@pytest.mark.parametrize("address", [None, "", "relative", "/no/such/socket", "@nobody-listens-here", "/" + 200 * "x"])
def test_nobody_needs_to_listen(address: str | None) -> None:
    assert not notify(READY, {} if address is None else {"NOTIFY_SOCKET": address})
