"""What the tests of the gateway share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # modules are imported one by one here, not from a package


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Asyncio without its debug mode, which makes servers several times slower; the rooms below are tested with it."""
    return ("asyncio", {})
