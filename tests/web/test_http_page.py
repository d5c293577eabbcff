"""The page about HTTP: every command on it is run, in its order, against a gateway of its own, and prints what the page shows."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal

from palimpsest import Server
from palimpsest.limits import HttpLimits
from palimpsest.web import Gateway
from palimpsest.web.operations import Operation
from palimpsest.web.table import OPERATIONS

ROOT = Path(__file__).parent.parent.parent
sys.path.append(str(ROOT / "tests"))

from blocks_kit import blocks_of  # noqa: E402  # kits are modules beside the tests that share them
from shell_kit import LANGUAGES, Command, commands_of, tool  # noqa: E402
from shown_kit import Names  # noqa: E402

PAGE = ROOT / "docs" / "http.md"
COMMANDS = [command for block in blocks_of(PAGE) if block.language in LANGUAGES for command in commands_of(block)]
CURLS = [command for command in COMMANDS if command.program == "curl"]
_URL = "http://127.0.0.1:7412"
_SECONDS = 30


@pytest.fixture
def url() -> Iterator[str]:
    """keep_alive_seconds: a reader that has gone is met when something is written to it."""
    with start_blocking_portal() as portal:
        server = Server.memory()
        with portal.wrap_async_context_manager(server):
            gateway = Gateway(server.url, limits=HttpLimits(keep_alive_seconds=0.2))
            with portal.wrap_async_context_manager(gateway):
                yield gateway.url


def test_that_every_command_prints_what_is_shown(url: str, tmp_path: Path) -> None:
    tool("curl")
    names = Names()
    for command in CURLS:
        try:
            names.compare(command.shown, run(names.put_in(command.typed).replace(_URL, url), tmp_path))
        except AssertionError as error:
            error.add_note(f"in {PAGE.name}: {command.typed}")
            raise


def run(typed: str, folder: Path) -> str:
    """What it prints on either stream."""
    done = subprocess.run(
        [tool("bash"), "-c", typed],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return done.stdout


def test_that_no_command_is_left_out() -> None:
    assert {command.program for command in COMMANDS} == {"curl", "palimpsest"}
    assert all(command.shown or command.serves for command in COMMANDS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_that_every_operation_has_an_example(operation: Operation) -> None:
    assert any(asks(command, operation) for command in CURLS)


def asks(command: Command, operation: Operation) -> bool:
    """Whether the command is a request for the operation, by its method and path."""
    found = re.search(rf"{re.escape(_URL)}[^'\s]*", command.typed)
    assert found is not None, command.typed
    given = re.search(r"-X (\w+)", command.typed)
    method = given[1] if given is not None else "POST" if "--json" in command.typed else "GET"
    pattern = re.sub(r"\{\w+\}", "[^/]+", re.sub(r"\{\w+:path\}", ".+", operation.path))
    return method == operation.method and re.fullmatch(pattern, urlsplit(found[0]).path) is not None


def test_that_the_limits_are_those_that_are_held() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+)( MiB| KiB)? \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    units = {"": 1, " KiB": 1024, " MiB": 1024**2}
    shown = {name: int(number.replace(",", "")) * units[unit] for name, number, unit in rows}
    assert shown == {name: value for name, value in msgspec.structs.asdict(HttpLimits()).items() if name in shown}
    assert len(shown) >= 10
