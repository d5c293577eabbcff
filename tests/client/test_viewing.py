from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client.viewing import inner, make_view, replaced, show
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m


def test_which_view_is_meant() -> None:
    assert make_view(None, None, None) is None
    assert make_view("public", None, None) == ("public", None)
    assert make_view(None, "article", 2) == ("article", 2)


@pytest.mark.parametrize(
    ("perspective", "family", "level"),
    [
        ("public", "article", None),
        ("public", "article", 1),
        ("public", None, 1),
        (None, "article", None),
        (None, None, 1),
        (None, "article", 0),
        (None, "article", "1"),
        (None, "article", True),
        (5, None, None),
        (None, 5, 1),
    ],
)
def test_what_does_not_go_together(perspective: Any, family: Any, level: Any) -> None:
    with pytest.raises(InvalidRequest):
        make_view(perspective, family, level)


def test_a_request_is_wrapped_and_unwrapped() -> None:
    request = m.Update(7, "a", Raw(b"\x90"))
    assert show(None, request) is request
    assert inner(request) is request
    through = show(("article", 2), request)
    assert through == m.Through("article", 2, request)
    assert through.id == 7
    assert inner(through) is request


def test_fields_of_the_request_are_replaced() -> None:
    request = m.Update(7, "a", Raw(b"\x90"))
    assert replaced(request, repeat=True) == m.Update(7, "a", Raw(b"\x90"), repeat=True)
    again = replaced(m.Through("article", 2, request), id=8, repeat=True)
    assert again == m.Through("article", 2, m.Update(8, "a", Raw(b"\x90"), repeat=True))
