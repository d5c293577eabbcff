from __future__ import annotations

import msgspec
import pytest
from storage_kit import Feeder, event, versions

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.contracts import ArchiveEnd, Row
from palimpsest.storage.events import GENESIS
from palimpsest.storage.memory import MemoryArchive
from palimpsest.storage.rules import check_step, delta_bytes, within_bytes

END = ArchiveEnd(oldest=1, next=1, digest=GENESIS)
STEP = Feeder(MemoryArchive()).step(*versions("a", 1, 4))


def test_a_step_that_continues_the_archive_is_fine() -> None:
    check_step(END, STEP, "archive")


def test_a_step_may_bring_nothing_but_a_snapshot() -> None:
    end = ArchiveEnd(oldest=1, next=5, digest=GENESIS)
    check_step(end, msgspec.structs.replace(STEP, rows=[]), "archive")


def test_a_gap_inside_a_step_is_named() -> None:
    with pytest.raises(StoreCorrupt, match=r"archive: position 4 .* where 3 comes next"):
        check_step(END, msgspec.structs.replace(STEP, rows=[*STEP.rows[:2], STEP.rows[3]]), "archive")


def test_a_stream_without_a_head_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        check_step(END, msgspec.structs.replace(STEP, heads=[]), "archive")


def test_the_first_row_always_fits() -> None:
    rows = [Row(position, event("a", position)) for position in (1, 2, 3)]
    size = delta_bytes(rows[0].event)
    assert within_bytes(rows, -1) == rows[:1]
    assert within_bytes(rows, 2 * size) == rows[:2]
    assert within_bytes(rows, 2**60) == rows
    assert within_bytes([], 0) == []
