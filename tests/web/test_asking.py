from __future__ import annotations

from datetime import UTC, datetime

import pytest
from starlette.datastructures import QueryParams

from palimpsest.web.asking import query_of
from palimpsest.web.past import DiffQuery, HistoryQuery
from palimpsest.web.problems import Refused
from palimpsest.web.queries import PlaceQuery, given


def test_that_texts_become_what_the_operation_takes() -> None:
    text = "first=3&tag=a&tag=b&since=2026-01-01T00:00:00Z&by=7&deltas=false&order=oldest"
    found = query_of(QueryParams(text), HistoryQuery)
    expected = HistoryQuery(
        first=3, tag=("a", "b"), since=datetime(2026, 1, 1, tzinfo=UTC), by="7", deltas=False, order="oldest"
    )
    assert found == expected
    assert dict(given(found)) == {
        "first": 3,
        "tag": ("a", "b"),
        "since": datetime(2026, 1, 1, tzinfo=UTC),
        "by": "7",
        "deltas": False,
        "order": "oldest",
    }


def test_that_a_name_may_be_another_than_that_of_the_field() -> None:
    assert query_of(QueryParams("from=1"), DiffQuery) == DiffQuery(from_="1")
    assert given(DiffQuery(from_="1")) == [("from", "1")]
    with pytest.raises(Refused):
        query_of(QueryParams("from_=1"), DiffQuery)


@pytest.mark.parametrize(
    "text",
    [
        "version=0",
        "version=1.5",
        "version=",
        "version=9223372036854775808",
        "version=1&version=2",
        "at=0",
        "at=1700000000",
        "at=2026-01-01T00:00:00",
        "nope=1",
        "level=0",
    ],
)
def test_that_what_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        query_of(QueryParams(text), PlaceQuery)
    assert refused.value.answer.status == 400


def test_that_a_text_is_never_read_as_something_else() -> None:
    found = query_of(QueryParams("tag=null&perspective=1&branch=true"), PlaceQuery)
    assert found == PlaceQuery(tag="null", perspective="1", branch="true")
