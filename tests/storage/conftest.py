"""Lets the tests of this room share `storage_kit` and `storage_contract`: modules are imported one by one here, not from a package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
pytest.register_assert_rewrite("storage_contract")
