"""What is kept of a named subscription."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.errors import InvalidName, InvalidValue
from palimpsest.state.subscriptions import Kept, Letter, parse_subscription, to_value
from palimpsest.state.system import SUBSCRIPTIONS, check_system
from palimpsest.state.values import freeze

LEAST = {"pattern": "a", "cursor": "10123456789abcdef.0"}
texts = st.text("abc", max_size=3)
positions = st.integers(1, 2**63 - 1)
letters = st.builds(
    Letter, document=texts, branch=texts, version=positions, tries=positions, reason=texts, again=st.booleans()
)
kept = st.builds(
    Kept,
    pattern=st.sampled_from(["a", "a/*", "**"]),
    branch=st.sampled_from(["main", "draft"]),
    tags=st.lists(texts).map(tuple),
    tags_all=st.lists(texts).map(tuple),
    by=st.none() | texts,
    path=st.none() | st.lists(texts | positions).map(tuple),
    kinds=st.lists(st.integers(0, 3)).map(tuple),
    cursor=texts,
    done=st.lists(st.tuples(positions, positions)).map(tuple),
    tries=st.dictionaries(positions, positions),
    dead=st.dictionaries(positions, letters),
)


@given(kept)
def test_it_is_read_as_it_was_written(subscription: Kept) -> None:
    assert parse_subscription(freeze(to_value(subscription))) == subscription


def test_what_is_as_by_default_is_left_out() -> None:
    assert to_value(parse_subscription(LEAST)) == LEAST


@pytest.mark.parametrize(
    "value",
    [
        1,
        {},
        {"pattern": "a"},
        {**LEAST, "pattern": "a//b"},
        {**LEAST, "branch": ""},
        {**LEAST, "cursor": 1},
        {**LEAST, "done": [[1]]},
        {**LEAST, "tries": {"x": 1}},
        {**LEAST, "dead": {"1": {}}},
        {**LEAST, "more": 1},
    ],
)
def test_what_is_none(value: Any) -> None:
    with pytest.raises(InvalidValue):
        parse_subscription(value)
    with pytest.raises(InvalidValue):
        check_system(SUBSCRIPTIONS + "a", freeze(value))


def test_its_name_is_one_segment() -> None:
    check_system(SUBSCRIPTIONS + "a", freeze(LEAST))
    with pytest.raises(InvalidName):
        check_system(SUBSCRIPTIONS + "a/b", freeze(LEAST))
