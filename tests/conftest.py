"""What every test shares."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Asyncio, in its debug mode: a coroutine that was never awaited or a callback that blocks shows up as a warning."""
    return ("asyncio", {"debug": True})
