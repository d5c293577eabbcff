"""A real server inside of tests: on a free port, in memory, empty, with a clock that stands still until it is told.

With pytest, installing Palimpsest is enough; these fixtures are there:

    palimpsest_server         a `RunningServer`, empty for every test
    palimpsest_client         a connected async client, for async tests
    palimpsest_sync_client    a connected blocking client, for plain tests
    palimpsest_clock          the server's `ManualClock`

    @pytest.mark.anyio                      # or @pytest.mark.asyncio, or pytest-asyncio's auto mode
    async def test_a_note(palimpsest_client):
        await palimpsest_client.create("notes/1", {"title": "A"})

    def test_another(palimpsest_sync_client, palimpsest_clock):
        palimpsest_sync_client.create("notes/1", {"title": "A"})
        palimpsest_clock.advance(60)

Without pytest, `running_server()` is the same server as a context manager. The server runs on an event loop in a thread of its
own, so that it serves tests of every kind alike and goes on while a test blocks.
"""

from importlib.util import find_spec

from palimpsest.clock import ManualClock
from palimpsest.testing.running import RunningServer, running_server

__all__ = ["ManualClock", "RunningServer", "running_server"]

if find_spec("pytest") is not None:  # the helpers above work without it
    from palimpsest.testing.fixtures import (
        palimpsest_anyio_client,
        palimpsest_client,
        palimpsest_clock,
        palimpsest_server,
        palimpsest_sync_client,
        pytest_configure,
    )

    __all__ += [
        "palimpsest_anyio_client",
        "palimpsest_client",
        "palimpsest_clock",
        "palimpsest_server",
        "palimpsest_sync_client",
        "pytest_configure",
    ]
