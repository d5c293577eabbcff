from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client.parts import Join, Parts, make_parts, to_target
from palimpsest.client.requests import Create
from palimpsest.errors import InvalidName, InvalidPath, InvalidRequest, InvalidValue
from palimpsest.protocol.messages import GUARD, Part
from palimpsest.state.delta import DELETE, Delta

NIL = Raw(b"\xc0")
SET_X = Raw(Delta().set("x", 1).encode())


def test_parts_of_a_transaction() -> None:
    parts = make_parts({"a": {"x": 1}, "b": Create(5), "c": DELETE, "d": Delta()}, "main", {"a": 4})
    assert parts.guards == ()
    assert parts.all == (
        Part(1, "a", SET_X, "main", 4),
        Part(0, "b", Raw(b"\x05"), "main", None),
        Part(2, "c", NIL, "main", None),
        Part(1, "d", Raw(b"\x90"), "main", None),
    )


def test_a_document_and_a_branch_of_it() -> None:
    parts = make_parts({"a": DELETE, ("a", "draft"): DELETE}, "main", {("a", "main"): 4, ("a", "draft"): 5})
    assert parts == Parts((Part(2, "a", NIL, "main", 4), Part(2, "a", NIL, "draft", 5)), ())
    assert make_parts({"a": DELETE}, "draft", {"a": 4}).all == (Part(2, "a", NIL, "draft", 4),)


def test_what_is_expected_of_something_else_is_a_guard() -> None:
    parts = make_parts({"a": DELETE}, "main", {"b": 3, ("a", "draft"): 0, "a": 1})
    assert parts.changes == (Part(2, "a", NIL, "main", 1),)
    assert parts.guards == (Part(GUARD, "b", NIL, "main", 3), Part(GUARD, "a", NIL, "draft", 0))
    assert parts.all == parts.changes + parts.guards


@pytest.mark.parametrize(
    ("change", "kind", "body"),
    [({"x": 1}, 1, SET_X), (Delta().set("x", 1), 1, SET_X), (Create(5), 0, Raw(b"\x05")), (DELETE, 2, NIL)],
)
def test_versions_that_a_change_comes_from(change: Any, kind: int, body: Raw) -> None:
    join = Join(change, base=("main", 5), merged=["draft:9", ("other/one", 2)])
    made = make_parts({("a", "new"): join}, "main", {}).all
    assert made == (Part(kind, "a", body, "new", None, ("main", 5), (("draft", 9), ("other/one", 2))),)
    assert make_parts({"a": Join(change, base="main:5")}, "main", {}).all[0].base == ("main", 5)
    assert make_parts({"a": Join(change)}, "main", {}) == make_parts({"a": change}, "main", {})


@pytest.mark.parametrize(
    ("changes", "expect", "error"),
    [
        ({5: {}}, {}, InvalidName),
        ({("a",): {}}, {}, InvalidRequest),
        ({("a", "b", "c"): {}}, {}, InvalidRequest),
        ({(5, "b"): {}}, {}, InvalidName),
        ({("a", 5): {}}, {}, InvalidRequest),
        ({("a", None): {}}, {}, InvalidRequest),
        ({"a": {}, ("a", "main"): {}}, {}, InvalidRequest),
        ({"a": {}}, {"a": 1, ("a", "main"): 1}, InvalidRequest),
        ({"a": {}}, {"a": "1"}, InvalidRequest),
        ({"a": {}}, {"b": None}, InvalidRequest),
        ({"a": {}}, {"b": True}, InvalidRequest),
        ({"a": {}}, {5: 1}, InvalidName),
        ({"a": {"x..y": 1}}, {}, InvalidPath),
        ({"a": Create({1})}, {}, InvalidValue),
        ({"a": Join(Join({}))}, {}, InvalidRequest),
        ({"a": Join({}, base="main")}, {}, InvalidRequest),
        ({"a": Join({}, merged="main:5")}, {}, InvalidRequest),
        ({"a": Join({}, merged=("main", 5))}, {}, InvalidRequest),
    ],
)
def test_what_is_no_transaction(changes: Any, expect: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make_parts(changes, "main", expect)


def test_targets() -> None:
    assert to_target("a", "draft") == ("a", "draft")
    assert to_target(("a", "main"), "draft") == ("a", "main")
