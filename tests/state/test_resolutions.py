from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.state import apply_delta, freeze, thaw
from palimpsest.state.conflicts import CONFLICT, Conflict
from palimpsest.state.record import check_record
from palimpsest.state.resolutions import KEPT_MAX, TAKEN, Between, recalled, remember_ops
from palimpsest.state.tree import NOTHING

BASE = Conflict(("a", 0), "edit/edit", 1, 2, 3)
SIDES = st.sampled_from([NOTHING, None, False, 0, 1, "", "1", (1,)]).map(
    lambda value: freeze(list(value)) if type(value) is tuple else value
)


def mirrored(conflict: Conflict) -> Conflict:
    return Conflict(conflict.path, conflict.kind, conflict.base, conflict.theirs, conflict.ours)


@given(SIDES, SIDES, SIDES, st.sampled_from([("draft", "main"), ("main", "draft"), ("a", "aa")]))
def test_a_resolution_holds_in_both_directions(base: Any, ours: Any, theirs: Any, names: tuple[str, str]) -> None:
    conflict = Conflict(("a",), "edit/edit", base, ours, theirs)
    forth, back = Between(*names), Between(*reversed(names))
    assert forth.key(conflict) == back.key(mirrored(conflict))
    for take, expected in (("ours", ours), ("theirs", theirs), ("base", base), ("absent", NOTHING), ("value", 7)):
        entry = forth.entry(take, 7)
        assert forth.settled(conflict, entry) is expected or forth.settled(conflict, entry) == expected
        other = back.settled(mirrored(conflict), entry)
        assert other is expected or other == expected


@given(st.lists(st.tuples(SIDES, SIDES, SIDES), min_size=2, max_size=2, unique_by=repr))
def test_another_value_is_another_conflict(sides: list[tuple[Any, Any, Any]]) -> None:
    between = Between("draft", "main")
    one, other = (Conflict(("a",), "edit/edit", *values) for values in sides)
    assert between.key(one) != between.key(other)


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (("draft", "main"), ("a", 1)),
        (("draft", "main"), ("a", "0")),
        (("draft", "other"), ("a", 0)),
        (("x", "main"), ("a", 0)),
    ],
)
def test_another_place_or_another_branch_is_another_conflict(names: tuple[str, str], path: Any) -> None:
    other = Conflict(path, BASE.kind, BASE.base, BASE.ours, BASE.theirs)
    assert Between(*names).key(other) != Between("draft", "main").key(BASE)


def test_which_side_is_which_is_told_apart() -> None:
    between = Between("draft", "main")
    assert between.key(BASE) != between.key(mirrored(BASE))


def test_a_record_keeps_them() -> None:
    between = Between("draft", "main")
    key = between.key(BASE)
    record: Any = freeze({})
    for empty in (None, {}, record, freeze({"main": {}})):
        assert recalled(empty, key) is CONFLICT
    record = apply_delta(record, remember_ops(record, key, between.entry("value", {"x": [1]})))
    record = apply_delta(record, remember_ops(record, "other", between.entry("absent", None)))
    check_record(record)
    assert between.settled(BASE, recalled(record, key)) == freeze({"x": [1]})
    record = apply_delta(record, remember_ops(record, key, between.entry("base", None)))
    assert between.settled(BASE, recalled(record, key)) == 1
    assert recalled(record, "none") is CONFLICT


def test_the_oldest_go_first() -> None:
    record: Any = freeze({TAKEN: {f"k{number}": {"take": "base", "n": number + 5} for number in range(KEPT_MAX)}})
    record = apply_delta(record, remember_ops(record, "k3", {"take": "absent"}))  # is the newest now
    assert len(record[TAKEN]) == KEPT_MAX
    for number in range(5):
        record = apply_delta(record, remember_ops(record, f"new{number}", {"take": "base"}))
    assert len(record[TAKEN]) == KEPT_MAX
    assert {f"k{number}" for number in range(KEPT_MAX)} - set(thaw(record)[TAKEN]) == {"k0", "k1", "k2", "k4", "k5"}
    assert recalled(record, "k3")["take"] == "absent"
