from __future__ import annotations

import pytest

from palimpsest.client.editing import ListDraft, MapDraft, draft_delta, make_draft
from palimpsest.errors import InvalidRequest, InvalidValue
from palimpsest.state.delta import Delta


def test_a_draft_is_a_dict_or_a_list() -> None:
    draft = make_draft("n", {"a": 1})
    assert isinstance(draft, MapDraft)
    assert draft == {"a": 1}
    assert draft.version is None
    assert isinstance(make_draft("n", [1]), ListDraft)
    with pytest.raises(InvalidRequest, match="a number"):
        make_draft("n", 5)


def test_what_differs_becomes_a_delta() -> None:
    before = {"a": {"b": 1, "c": 2}, "d": [1, 2]}
    draft = make_draft("n", {"a": {"b": 1, "c": 2}, "d": [1, 2]})
    assert len(draft_delta(before, draft)) == 0
    assert isinstance(draft, MapDraft)
    draft["a"]["b"] = 5
    draft["d"].append(3)
    delta = draft_delta(before, draft)
    assert delta.apply(before) == {"a": {"b": 5, "c": 2}, "d": [1, 2, 3]}
    assert len(delta) == 2


def test_a_list_may_be_the_root() -> None:
    draft = make_draft("n", [1, 2])
    draft.clear()
    assert draft_delta([1, 2], draft).apply([1, 2]) == []


def test_what_is_no_value_is_refused() -> None:
    draft = make_draft("n", {})
    assert isinstance(draft, MapDraft)
    draft["when"] = object()
    with pytest.raises(InvalidValue, match="when"):
        draft_delta({}, draft)
    assert draft_delta({"a": 1}, make_draft("n", {"a": 1.0})) == Delta().set("a", 1.0)
