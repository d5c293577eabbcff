from __future__ import annotations

from typing import Any

import pytest

from palimpsest.state import freeze
from palimpsest.state.conflicts import Conflict, to_data
from palimpsest.state.tree import NOTHING


@pytest.mark.parametrize(
    ("conflict", "data"),
    [
        (
            Conflict(("a", "b c", 0), "edit/edit", freeze([1]), freeze({"x": [None]}), "y"),
            {"path": 'a["b c"].0', "kind": "edit/edit", "base": [1], "ours": {"x": [None]}, "theirs": "y"},
        ),
        (Conflict((), "delete/edit", 1, NOTHING, 2), {"path": "", "kind": "delete/edit", "base": 1, "theirs": 2}),
        (Conflict(("a",), "add/add", NOTHING, None, 2), {"path": "a", "kind": "add/add", "ours": None, "theirs": 2}),
        (Conflict(("*",), "edit/delete", NOTHING, NOTHING, NOTHING), {"path": "*", "kind": "edit/delete"}),
    ],
)
def test_is_plain_data_without_what_is_not_there(conflict: Conflict, data: dict[str, Any]) -> None:
    found = to_data(conflict)
    assert found == data
    assert all(type(value) in (str, int, list, dict, type(None)) for value in found.values())
