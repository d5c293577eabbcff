"""What a transaction may ask, which needs no documents to be there. How one goes on its way: `test_transaction`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from palimpsest.actors.transacting import check_parts
from palimpsest.errors import InvalidRequest, LimitExceeded
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.words import Kind

LIMITS = Limits(transaction_documents_max=2)


def part(document: str, kind: int = Kind.UPDATE, **fields: Any) -> m.Part:
    return m.Part(int(kind), document, msgspec.Raw(b"\x90"), **fields)


def guard(document: str, **fields: Any) -> m.Part:
    return part(document, m.GUARD, **fields)


def check(*parts: m.Part, **fields: Any) -> None:
    check_parts(m.Transact(1, parts, **fields), LIMITS)


def test_what_it_is_made_of() -> None:
    check(part("a"), guard("b", expect=3))
    check(part("a", Kind.CREATE), part("a", Kind.DELETE, branch="draft"), at=0)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "no parts"),
        ([guard("a", expect=1)], "no parts"),
        ([part("a", Kind.ERASE)], "kind"),
        ([part("a"), guard("b")], "guard"),
        ([part("a"), guard("b", expect=1, base=("main", 1))], "guard"),
        ([part("a"), guard("a", expect=1)], "twice"),
    ],
)
def test_what_it_is_not_made_of(parts: list[m.Part], reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(*parts)
    assert caught.value.reason == reason


def test_its_bounds() -> None:
    with pytest.raises(InvalidRequest, match="before 1970"):
        check(part("a"), at=-1)
    with pytest.raises(LimitExceeded) as caught:
        check(*(part(name) for name in "abc"))
    assert (caught.value.limit, caught.value.maximum, caught.value.actual) == ("transaction_documents_max", 2, 3)
    with pytest.raises(LimitExceeded):
        check(part("a"), key="k" * (LIMITS.request_id_characters_max + 1))
