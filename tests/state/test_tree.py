from __future__ import annotations

import pytest

from palimpsest.state import freeze
from palimpsest.state.tree import NOTHING, Misfit, drop, find, find_or_nothing, first_missing, put

VALUE = freeze({"a": {"b": [1, {"c": None}]}, "s": "x"})


def test_find() -> None:
    assert find(VALUE, ()) is VALUE
    assert find(VALUE, ("a", "b", 1, "c")) is None
    assert find({"plain": [VALUE]}, ("plain", 0, "s")) == "x"
    assert find(VALUE, ("ignored", "s"), 1) == "x"
    assert find_or_nothing(VALUE, ("s", "x")) is NOTHING
    assert find_or_nothing(VALUE, ("a", "b", 2)) is NOTHING
    assert repr(NOTHING) == "ABSENT"


def test_put_shares_what_did_not_change() -> None:
    changed = put(VALUE, ("new", "k"), 0, 1)
    assert find(changed, ("a",)) is find(VALUE, ("a",))
    assert find(changed, ("new",)) == freeze({"k": 1})
    assert find_or_nothing(VALUE, ("new",)) is NOTHING


def test_put_freezes_plain_values_on_its_way() -> None:
    plain = {"a": [{"b": 1}], "c": [2]}
    assert put(plain, ("a", 0, "b"), 0, 3) == freeze({"a": [{"b": 3}], "c": [2]})
    assert plain == {"a": [{"b": 1}], "c": [2]}


def test_dropping_nothing_gives_the_same_object() -> None:
    for path in [("no",), ("no", "such"), ("a", "no"), ("a", "b", 1, "no"), ("a", "b", 7, "x")]:
        assert drop(VALUE, path, 0) is VALUE
    assert drop(VALUE, ("a", "b", 1, "c"), 0) == freeze({"a": {"b": [1, {}]}, "s": "x"})


def test_first_missing() -> None:
    assert first_missing(VALUE, ("a", "x", "y")) == ("a", "x")
    assert first_missing(VALUE, ("a", "b", 1, "d", "e")) == ("a", "b", 1, "d")
    assert first_missing(VALUE, ("a", "b")) == ("a", "b")


def test_a_misfit_knows_no_op() -> None:
    with pytest.raises(Misfit) as caught:
        find(VALUE, ("s", "x"))
    assert (caught.value.reason, caught.value.path) == ("type", None)
