from __future__ import annotations

from pathlib import Path

import pytest
from storage_contract import ArchiveContract

from palimpsest.storage.contracts import Archive
from palimpsest.storage.sqlite_archive import SqliteArchive

pytestmark = pytest.mark.anyio


class TestSqliteArchive(ArchiveContract):
    def make(self, path: Path) -> Archive:
        return SqliteArchive(path)
