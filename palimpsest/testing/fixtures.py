"""The pytest fixtures. `palimpsest.testing` is the plugin; it says what they are for.

The server needs no event loop of the test's, so it is a plain fixture. An async client belongs to the loop of its test, and
only the plugin that runs the test knows that loop. So there is one async fixture for each of those plugins, and
`palimpsest_client` picks the one that fits the test; fixtures that build on it share its loop in the same way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import ModuleType

import pytest

from palimpsest.client import Client, SyncClient
from palimpsest.clock import ManualClock
from palimpsest.testing.running import RunningServer, running_server

_ASYNCIO_PLUGIN = "asyncio"
"""The name under which pytest-asyncio registers itself."""


@pytest.fixture
def palimpsest_clock() -> ManualClock:
    """The clock of `palimpsest_server`: it stands at the start of 2020 (UTC) until it is told to go on."""
    return ManualClock()


@pytest.fixture
def palimpsest_server(palimpsest_clock: ManualClock) -> Iterator[RunningServer]:
    """A server in memory on a free port, empty for every test."""
    with running_server(clock=palimpsest_clock) as server:
        yield server


@pytest.fixture
def palimpsest_sync_client(palimpsest_server: RunningServer) -> Iterator[SyncClient]:
    """A blocking client, connected; for tests that are plain functions."""
    with palimpsest_server.connect_sync() as client:
        yield client


@pytest.fixture
def palimpsest_client(request: pytest.FixtureRequest) -> Client:
    """An async client, connected in the event loop of the test; for anyio's pytest plugin and for pytest-asyncio."""
    if "anyio_backend" in request.fixturenames:
        name = "palimpsest_anyio_client"
    elif request.config.pluginmanager.has_plugin(_ASYNCIO_PLUGIN):
        name = "palimpsest_asyncio_client"
    else:
        pytest.fail(
            "palimpsest_client is for async tests: mark the test with pytest.mark.anyio (anyio's plugin comes with "
            "palimpsest) or install pytest-asyncio; plain tests use palimpsest_sync_client",
            pytrace=False,
        )
    client: Client = request.getfixturevalue(name)
    return client


@pytest.fixture
async def palimpsest_anyio_client(palimpsest_server: RunningServer) -> AsyncIterator[Client]:
    """`palimpsest_client` for tests that anyio's plugin runs."""
    async with palimpsest_server.connect() as client:
        yield client


def pytest_configure(config: pytest.Config) -> None:
    """Adds the fixture that only pytest-asyncio can run, where that plugin is loaded."""
    asyncio_plugin = config.pluginmanager.get_plugin(_ASYNCIO_PLUGIN)
    if asyncio_plugin is not None:
        extra = ModuleType("palimpsest.testing.for_pytest_asyncio")
        vars(extra)["palimpsest_asyncio_client"] = asyncio_plugin.fixture(
            _asyncio_client, name="palimpsest_asyncio_client"
        )
        config.pluginmanager.register(extra, extra.__name__)


async def _asyncio_client(palimpsest_server: RunningServer) -> AsyncIterator[Client]:
    """`palimpsest_client` for tests that pytest-asyncio runs."""
    async with palimpsest_server.connect() as client:
        yield client
