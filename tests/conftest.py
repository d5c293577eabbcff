"""What every test shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("suite", max_examples=15, derandomize=True, deadline=None)
settings.register_profile("long", max_examples=1_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))  # the suite finds the same in every run


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Asyncio, in its debug mode: a coroutine that was never awaited or a callback that blocks shows up as a warning."""
    return ("asyncio", {"debug": True})
