from __future__ import annotations

from typing import Any

import pytest

from palimpsest.client.outside import place_of, values_of
from palimpsest.errors import InvalidRequest, InvalidValue
from palimpsest.state.reconciliation import Place
from palimpsest.state.sources import Source

ONE, MANY = Source(documents="inv", depth=3), Source(documents="inv/**")


def test_values_by_document() -> None:
    assert values_of(ONE, {"a": 1}) == {"inv": {"a": 1}}
    assert values_of(MANY, {"inv/m/a": 1}) == {"inv/m/a": 1}


@pytest.mark.parametrize("snapshot", [[], 5, {"inv/a": {1}}, {"inv/a": {5: 1}}], ids=["list", "number", "set", "key"])
def test_what_is_no_snapshot(snapshot: Any) -> None:
    with pytest.raises(InvalidValue):
        values_of(MANY, snapshot)


@pytest.mark.parametrize("name", ["inv", "inv/", "other/a", 5])
def test_documents_that_are_not_of_the_source(name: Any) -> None:
    with pytest.raises(InvalidRequest):
        values_of(MANY, {name: 1})


def test_places() -> None:
    assert place_of(ONE, "inv") == Place("inv", 3)
    assert place_of(MANY, "inv/m/a/b") == Place("inv/m/a/b", 0, "m", "a/b")
    assert place_of(MANY, "inv/a") == Place("inv/a", 0, "a", "a")
