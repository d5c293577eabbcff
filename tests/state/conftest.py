"""Lets the tests of this room share `state_strategies`: modules are imported one by one here, not from a package."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.append(str(Path(__file__).parent))

# The same examples on every run, and no clock: a busy machine is no failure.
settings.register_profile("state", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("state")
