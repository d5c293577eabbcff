from __future__ import annotations

from pathlib import Path

import pytest
from storage_contract import ArchiveContract, JournalContract

from palimpsest.storage.contracts import Archive, Journal
from palimpsest.storage.memory import MemoryArchive, MemoryJournal

pytestmark = pytest.mark.anyio


class TestMemoryJournal(JournalContract):
    def make(self, path: Path) -> Journal:
        return MemoryJournal()


class TestMemoryArchive(ArchiveContract):
    def make(self, path: Path) -> Archive:
        return MemoryArchive()
