from __future__ import annotations

import msgspec
import pytest
from storage_kit import Feeder, event, versions

from palimpsest.errors import StoreCorrupt
from palimpsest.storage.contracts import ArchiveEnd, Gap, Row
from palimpsest.storage.events import GENESIS
from palimpsest.storage.memory import MemoryArchive
from palimpsest.storage.rules import check_step, delta_bytes, join_gaps, takes_in, within_bytes

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


def gap(first: int, last: int, *, at: int = 0, position: int = 0) -> Gap:
    return Gap("a", "main", first, last, at, bytes([last]), position)


def test_gaps_that_overlap_or_touch_are_one() -> None:
    for first, last, expected in [
        (1, 3, False),
        (1, 4, True),
        (5, 5, True),
        (7, 7, True),
        (9, 9, True),
        (10, 12, False),
    ]:
        assert takes_in(gap(5, 8), gap(first, last)) == expected
        assert takes_in(gap(first, last), gap(5, 8)) == expected


def test_one_gap_of_several_says_what_its_ends_said() -> None:
    others = [gap(1, 3, at=10, position=30), gap(7, 9, at=70, position=20)]
    assert join_gaps(gap(4, 7, at=40, position=7), others) == gap(1, 9, at=10, position=30)
    assert join_gaps(gap(1, 12, at=10), others) == gap(1, 12, at=10, position=30)
    assert join_gaps(gap(2, 2, at=5), []) == gap(2, 2, at=5)
