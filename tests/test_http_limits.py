"""The bounds of HTTP: what the page for operators says of them, and that each of them is used."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

import palimpsest
from palimpsest.limits import HttpLimits
from palimpsest.web import Gateway

ROOT = Path(__file__).parent.parent
OPERATIONS = ROOT / "docs" / "operations.md"
_UNITS = {"": 1, " KiB": 1024, " MiB": 1024**2}


def rows() -> list[list[str]]:
    """The cells of the table for HTTP."""
    _, _, rest = OPERATIONS.read_text(encoding="utf-8").partition("| setting of HTTP |")
    lines = rest.splitlines()[2:]
    end = next(index for index, line in enumerate(lines) if not line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[:end]]


def number(text: str) -> int:
    found = re.fullmatch(r"([\d,]+)( [KM]iB)?", text)
    assert found is not None, text
    return int(found[1].replace(",", "")) * _UNITS[found[2] or ""]


def test_that_the_page_has_every_limit_of_http_with_its_default() -> None:
    written = {row[0].strip("`"): number(row[1]) for row in rows()}
    assert written == msgspec.structs.asdict(HttpLimits())


def test_that_the_page_says_what_is_beyond_each() -> None:
    silent = {row[0].strip("`") for row in rows() if not row[3].strip("| ")}
    assert silent == {"keep_alive_seconds"}  # which bounds nothing that a caller does


def test_that_every_limit_of_http_is_held_somewhere() -> None:
    code = "\n".join(
        file.read_text(encoding="utf-8") for file in (Path(palimpsest.__file__).parent / "web").glob("*.py")
    )
    used = set(re.findall(r"\blimits\.(\w+)", code))
    assert {*HttpLimits.__struct_fields__} - used == set()


@pytest.mark.anyio
async def test_that_so_many_connections_are_served_and_no_more() -> None:
    limits = HttpLimits(connections_max=2)
    async with (
        palimpsest.Server.memory() as server,
        Gateway(server.url, limits=limits) as gateway,
        AsyncExitStack() as exits,
    ):
        clients = [await exits.enter_async_context(httpx.AsyncClient(base_url=gateway.url)) for _ in range(3)]
        assert [(await client.get("/healthz")).status_code for client in clients] == [200, 200, 503]
