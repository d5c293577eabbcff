from __future__ import annotations

from typing import Any

import pytest

from palimpsest.errors import BranchExists, BranchNotFound, LimitExceeded
from palimpsest.limits import Limits
from palimpsest.state import apply_delta, freeze, thaw
from palimpsest.state.branching import Drop, Fork, Hold, Join, Moved, Release, Remember, Step, step_ops
from palimpsest.state.lines import Line, holds, lines_of, merges_into
from palimpsest.state.record import check_record, prune_ops
from palimpsest.words import Meta

LIMITS = Limits(branches_max=3)


def said(record: Any, *steps: Step) -> Any:
    for step in steps:
        record = apply_delta(record, step_ops(record, "d", step, LIMITS))
    check_record(record)
    return record


EMPTY = freeze({})


def test_a_name_may_be_used_again_once_it_is_free() -> None:
    first, second = Line("x", 3, ("main", 2), meta=Meta("ana")), Line("x", 9, ("main", 4))
    record = said(EMPTY, Fork(first))
    with pytest.raises(BranchExists) as caught:
        said(record, Fork(second))
    assert (caught.value.document, caught.value.branch) == ("d", "x")
    record = said(record, Drop("x", 7), Fork(second))
    assert lines_of(record, "x") == (Line("x", 3, ("main", 2), 7, 0, Meta("ana")), second)


@pytest.mark.parametrize("branch", ["main", "x", "gone"])
def test_what_is_not_there_cannot_be_deleted(branch: str) -> None:
    record = said(EMPTY, Fork(Line("gone", 2, ("main", 1))), Drop("gone", 1))
    with pytest.raises(BranchNotFound):
        said(record, Drop(branch, 1))


def test_main_is_always_there() -> None:
    with pytest.raises(BranchExists):
        said(EMPTY, Fork(Line("main", 3, ("x", 2))))


def test_there_are_only_so_many_branches() -> None:
    record = said(EMPTY, *(Fork(Line(name)) for name in "abc"))
    with pytest.raises(LimitExceeded) as caught:
        said(record, Fork(Line("d")))
    assert (caught.value.limit, caught.value.maximum) == ("branches_max", 3)


def test_a_base_that_may_have_been_pruned_meanwhile() -> None:
    record = apply_delta(EMPTY, prune_ops("main", 5, []))
    for base, seen in ((("main", 5), 5), (("main", 6), 0), (("x", 3), 0)):
        said(record, Fork(Line("y", 9, base), seen))
    for seen in (0, 4, 6):
        with pytest.raises(Moved):
            said(record, Fork(Line("y", 9, ("main", 5)), seen))


def test_merges_and_what_pending_ones_hold() -> None:
    record = said(EMPTY, Join("main", 3, (("x", 2), ("y", 7))), Join("x", 4, (("main", 3),)))
    assert merges_into(record, "main") == {3: [("x", 2), ("y", 7)]}
    assert merges_into(record, "x") == {4: [("main", 3)]}
    record = said(record, Hold("m", (("main", 1),)), Hold("n", ()), Hold("m", (("main", 2), ("x", 3))))
    assert holds(record) == {"m": [("main", 2), ("x", 3)], "n": []}
    record = said(record, Release("m"), Release("m"), Release("never"))
    assert holds(record) == {"n": []}
    assert said(EMPTY, Release("m")) == EMPTY


def test_a_resolution_is_remembered() -> None:
    record = said(EMPTY, Remember("k", {"take": "base"}), Remember("l", {"take": "value", "value": 1}))
    taken = thaw(record)["$taken"]
    assert taken == {"k": {"take": "base", "n": 1}, "l": {"take": "value", "value": 1, "n": 2}}
