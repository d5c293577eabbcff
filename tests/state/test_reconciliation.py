from __future__ import annotations

from typing import Any

from hypothesis import given as examples
from hypothesis import strategies as st

from palimpsest.state import freeze, thaw
from palimpsest.state.merge import merge
from palimpsest.state.paired import exact
from palimpsest.state.reconciliation import Place, Row, compare, given, restore, rows_between, with_rows
from palimpsest.state.rules import parse_rules
from palimpsest.state.tree import NOTHING

PLACE = Place("inv")


def plain(value: Any) -> Any:
    return None if value is NOTHING else thaw(value)


def test_rows_by_object() -> None:
    before = {"m": {"1": {"a": 1}, "2": {"a": 2}, "3": {"a": 3}}, "old": {"x": 1}, "title": "A"}
    after = {"m": {"1": {"a": 1}, "2": {"a": 5}, "4": {"a": 4}}, "new": {}, "title": "B"}
    rows = rows_between(PLACE, freeze(before), freeze(after))
    assert [(row.action, row.path, row.id) for row in rows] == [
        ("update", ("m", "2"), "2"),
        ("delete", ("m", "3"), "3"),
        ("create", ("m", "4"), "4"),
        ("create", ("new",), ""),
        ("delete", ("old", "x"), "x"),
        ("delete", ("old",), ""),
        ("update", ("title",), ""),
    ]
    assert (rows[0].before, rows[0].after) == ({"a": 2}, {"a": 5})
    assert plain(with_rows(freeze(before), rows)) == after


def test_a_container_stays_while_it_has_objects() -> None:
    before = freeze({"m": {"1": {}, "2": {}}})
    rows = [row for row in rows_between(PLACE, before, freeze({})) if row.id != "2"]
    assert plain(with_rows(before, rows)) == {"m": {"2": {}}}


def test_a_document_that_is_an_object() -> None:
    place = Place("inv/site/ber", 0, "site", "ber")
    [row] = rows_between(place, NOTHING, freeze({"a": 1}))
    assert (row.action, row.model, row.id, row.path, row.after) == ("create", "site", "ber", (), {"a": 1})
    [row] = rows_between(place, freeze({"a": 1}), NOTHING)
    assert row.action == "delete"
    assert with_rows(freeze({"a": 1}), [row]) is NOTHING


def test_both_directions_and_a_conflict() -> None:
    base = {"m": {"1": {"a": 1, "b": 1}, "2": {"a": 2}, "3": {"a": 3}}}
    ours = {"m": {"1": {"a": 5, "b": 1}, "2": {"a": 7}, "3": {"a": 3}, "mine": {"a": 0}}}
    theirs = {"m": {"1": {"a": 6, "b": 6}, "2": {"a": 7}}}
    owed = compare(PLACE, freeze(base), freeze(ours), freeze(theirs))
    assert [(row.id, row.direction, row.action, row.outcome) for row in owed.rows] == [
        ("1", "in", "update", "conflict"),
        ("2", "in", "update", "agreed"),
        ("3", "in", "delete", "apply"),
        ("mine", "out", "create", "apply"),
    ]
    assert [conflict.path for conflict in owed.conflicts] == [("m", "1", "a")]
    assert plain(owed.clean) == {"m": {"1": {"a": 1, "b": 6}, "2": {"a": 7}}}
    assert plain(owed.merged) == {"m": {"1": {"a": 5, "b": 6}, "2": {"a": 7}, "mine": {"a": 0}}}
    assert plain(owed.wanted) == {"m": {"1": {"a": 6, "b": 6}, "2": {"a": 7}, "mine": {"a": 0}}}


def test_with_nothing_agreed_on_each_side_keeps_its_own() -> None:
    owed = compare(PLACE, NOTHING, freeze({"m": {"1": {"a": 1}, "2": {"a": 2}}}), freeze({"m": {"2": {"a": 3}}}))
    assert [conflict.path for conflict in owed.conflicts] == [("m", "2", "a")]
    assert plain(owed.merged) == {"m": {"1": {"a": 1}, "2": {"a": 2}}}


def test_a_conflict_in_a_list_takes_the_list() -> None:
    base = {"m": {"1": {"l": [{"k": 1, "v": 0}], "x": 0}}}
    ours = {"m": {"1": {"l": [{"k": 1, "v": 1}], "x": 0}}}
    theirs = {"m": {"1": {"l": [{"k": 1, "v": 2}, {"k": 2, "v": 0}], "x": 9}}}
    owed = compare(PLACE, freeze(base), freeze(ours), freeze(theirs), parse_rules({"m.*.l": "key:k"}))
    assert [conflict.path for conflict in owed.conflicts] == [("m", "1", "l", 0, "v")]
    assert plain(owed.clean) == {"m": {"1": {"l": [{"k": 1, "v": 0}], "x": 9}}}


def test_places_of_another_value() -> None:
    assert plain(restore(freeze({"a": 1, "b": 2}), freeze({"a": 5}), [("a",), ("b",), ("c",)])) == {"a": 5}
    assert restore(freeze({"a": 1}), NOTHING, [()]) is NOTHING
    assert plain(restore(NOTHING, freeze({"a": {"b": 1}}), [("a", "b")])) == {"a": {"b": 1}}
    assert restore(NOTHING, NOTHING, [("a", "b")]) is NOTHING


def test_what_was_given_leaves_the_rest() -> None:
    row = Row(document="inv", path=("m", "1"), id="1", before={"a": 1, "b": 1}, after={"a": 2, "b": 1})
    assert plain(given(freeze({"m": {"1": {"a": 1, "b": 7}}}), [row])) == {"m": {"1": {"a": 2, "b": 7}}}
    made = Row(document="inv", path=("m", "2"), id="2", action="create", after={"a": 1})
    gone = Row(document="inv", path=("m", "1"), id="1", action="delete", before={"a": 1})
    container = Row(document="inv", path=("e",), action="create", after={})
    assert plain(given(freeze({"m": {"1": {"a": 1}}}), [made, gone, container])) == {"m": {"2": {"a": 1}}, "e": {}}
    empty = Row(document="inv", path=("e",), action="delete", before={})
    assert plain(given(freeze({"e": {}}), [empty])) == {}
    assert plain(given(freeze({"e": {"x": 1}}), [empty])) == {"e": {"x": 1}}


leaves = st.integers(0, 2) | st.just("t") | st.lists(st.integers(0, 1), max_size=2)
objects = st.dictionaries(st.sampled_from("xy"), leaves, max_size=2) | leaves
values = st.dictionaries(st.sampled_from("mn"), st.dictionaries(st.sampled_from("12"), objects, max_size=2) | leaves)
sides = st.none() | values


@examples(sides, sides, sides)
def test_rows_say_all_and_what_is_clean_is_free_of_conflicts(base: Any, ours: Any, theirs: Any) -> None:
    before, mine, other = (NOTHING if side is None else freeze(side) for side in (base, ours, theirs))
    owed = compare(PLACE, before, mine, other)
    incoming = [row for row in owed.rows if row.direction == "in"]
    outgoing = [row for row in owed.rows if row.direction == "out"]
    assert equal(with_rows(before, incoming), other)
    assert equal(with_rows(other, outgoing), owed.wanted)
    merged = merge(before, mine, owed.clean)
    assert merged.conflicts == []
    assert equal(merged.value, owed.merged)
    if not owed.conflicts:
        assert equal(owed.clean, other)
        assert equal(owed.wanted, owed.merged)


def equal(a: Any, b: Any) -> bool:
    return a is b or (a is not NOTHING and b is not NOTHING and exact(a, b))
