"""What every test shares."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Tests start many processes, and each would compile all that it imports where nothing compiled may be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

sys.path.append(str(Path(__file__).parent))  # kits are imported one by one here, not from a package
pytest.register_assert_rewrite("blocks_kit", "shown_kit", "shell_kit", "story_kit")

from starter_kit import Starter  # noqa: E402 - it is found by the line above

settings.register_profile("suite", max_examples=15, derandomize=True, deadline=None)
settings.register_profile("long", max_examples=1_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))  # the suite finds the same in every run


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Asyncio, in its debug mode: a coroutine that was never awaited or a callback that blocks shows up as a warning."""
    return ("asyncio", {"debug": True})


@pytest.fixture(scope="session")
def starter() -> Iterator[Starter]:
    """Starts processes of `palimpsest` and of Python at the price of a fork."""
    with Starter() as starter:
        yield starter
