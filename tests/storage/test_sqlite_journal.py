from __future__ import annotations

from pathlib import Path

import pytest
from storage_contract import JournalContract

from palimpsest.storage.contracts import Journal
from palimpsest.storage.sqlite_journal import SqliteJournal

pytestmark = pytest.mark.anyio


class TestSqliteJournal(JournalContract):
    def make(self, path: Path) -> Journal:
        return SqliteJournal(path, wal_bytes=0)
