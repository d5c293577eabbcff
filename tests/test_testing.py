"""The pytest plugin, in runs of pytest of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec

import pytest

from palimpsest.clock import ManualClock, SystemClock
from palimpsest.errors import LimitExceeded
from palimpsest.limits import Limits
from palimpsest.testing import running_server

pytest_plugins = ["pytester"]

HAS_PYTEST_ASYNCIO = find_spec("pytest_asyncio") is not None
SLOW_TO_BEGIN = ("-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:xdist")
WITHOUT_PYTEST_ASYNCIO = ("-W", "error", *SLOW_TO_BEGIN, "-p", "no:cacheprovider", "-p", "no:asyncio")
STRICT = WITHOUT_PYTEST_ASYNCIO[:-2]
if HAS_PYTEST_ASYNCIO:
    STRICT += ("-o", "asyncio_default_fixture_loop_scope=function")  # it warns where this is not said

ANYIO = """
import pytest
import palimpsest

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
async def note(palimpsest_client):
    return await palimpsest_client.create("notes/1", {"title": "A"})
"""

ASYNC_TESTS = """
async def test_first(palimpsest_client, note, palimpsest_clock):
    assert (note.document, note.version) == ("notes/1", 1)
    palimpsest_clock.advance(86_400)
    second = await palimpsest_client.update("notes/1", {"title": "B"})
    assert (second.at - note.at).total_seconds() == 86_400
    assert palimpsest_client.statistics()["reconnections"] == 0

async def test_another_finds_it_empty(palimpsest_client):
    assert [name async for name in palimpsest_client.list("**")] == []

async def test_clients_meet_on_one_server(palimpsest_client, palimpsest_sync_client, palimpsest_server, note):
    assert palimpsest_sync_client.get("notes/1").value == {"title": "A"}
    async with palimpsest_server.connect() as other:
        assert (await other.get("notes/1")).value == {"title": "A"}
"""


PLAIN_TESTS = """
def test_first(palimpsest_sync_client, palimpsest_clock):
    made = palimpsest_sync_client.create("notes/1", {"title": "A"})
    assert made.at.isoformat() == "2020-01-01T00:00:00+00:00"
    palimpsest_clock.advance(1.5)
    assert palimpsest_sync_client.delete("notes/1").at.isoformat() == "2020-01-01T00:00:01.500000+00:00"

def test_another_finds_it_empty(palimpsest_server):
    with palimpsest_server.connect_sync() as client:
        assert list(client.list("**")) == []
"""


def test_async_tests_under_anyios_plugin_and_plain_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_async=ANYIO + ASYNC_TESTS, test_plain=PLAIN_TESTS)
    pytester.runpytest_subprocess(*STRICT).assert_outcomes(passed=5)


@pytest.mark.skipif(not HAS_PYTEST_ASYNCIO, reason="pytest-asyncio is not installed")
@pytest.mark.parametrize(
    ("mode", "fixture", "mark"),
    [("strict", "pytest_asyncio.fixture", "pytest.mark.asyncio"), ("auto", "pytest.fixture", "[]")],
)
def test_async_tests_under_pytest_asyncio(pytester: pytest.Pytester, mode: str, fixture: str, mark: str) -> None:
    head = f"""
import pytest, pytest_asyncio
pytestmark = {mark}

@{fixture}
async def note(palimpsest_client):
    return await palimpsest_client.create("notes/1", {{"title": "A"}})
"""
    pytester.makepyfile(head + ASYNC_TESTS)
    pytester.runpytest_subprocess(*STRICT, f"--asyncio-mode={mode}").assert_outcomes(passed=3)


def test_an_async_client_in_a_plain_test_says_what_to_do(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(palimpsest_client): pass")
    result = pytester.runpytest_subprocess(*WITHOUT_PYTEST_ASYNCIO)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*plain tests use palimpsest_sync_client*"])


def test_a_server_without_pytest() -> None:
    with running_server() as server, server.connect_sync() as client:
        assert isinstance(server.clock, ManualClock)
        assert client.create("d", 1).at == datetime(2020, 1, 1, tzinfo=UTC)


def test_servers_do_not_share_anything() -> None:
    with (
        running_server() as one,
        running_server() as other,
        one.connect_sync() as first,
        other.connect_sync() as second,
    ):
        assert one.url != other.url
        first.create("d", 1)
        assert list(second.list("**")) == []


def test_limits_and_clock_can_be_given() -> None:
    clock = SystemClock()
    with running_server(limits=Limits(document_bytes_max=10), clock=clock) as server, server.connect_sync() as client:
        assert server.clock is clock
        assert client.create("small", 1).at > datetime(2025, 1, 1, tzinfo=UTC)
        with pytest.raises(LimitExceeded):
            client.create("large", "x" * 100)
