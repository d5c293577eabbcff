"""Named subscriptions as data."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.actors.named import (
    ACK_SECONDS_MAX,
    DELAY_SECONDS_MAX,
    check_asked,
    check_cursor,
    check_delay,
    check_same,
    condition_of,
    difference,
    document_of,
    kept_of,
)
from palimpsest.errors import CursorInvalid, InvalidName, InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.state.delta import Delta
from palimpsest.state.subscriptions import Kept, Letter, parse_subscription, to_value

EPOCH = "0123456789abcdef"
LETTER = Letter(document="a", branch="main", version=1, tries=5, reason="no")

positions = st.integers(1, 30)
notes = st.builds(
    Kept,
    pattern=st.just("*"),
    cursor=st.integers(0, 30).map(lambda position: encode_cursor(EPOCH, position)),
    done=st.lists(st.tuples(positions, positions), max_size=3).map(tuple),
    tries=st.dictionaries(positions, positions, max_size=3),
    dead=st.dictionaries(positions, st.sampled_from([LETTER, msgspec.structs.replace(LETTER, again=True)]), max_size=3),
)


def asked(**fields: Any) -> m.Subscribe:
    return m.Subscribe(1, 1, "*", **{"name": "work", **fields})


@given(notes, notes)
def test_a_note_makes_one_of_the_other(before: Kept, after: Kept) -> None:
    value = Delta.from_ops(difference(before, after)).apply(to_value(before))
    assert parse_subscription(value) == after
    assert difference(after, after) == []


def test_the_same_is_asked_for_in_any_order() -> None:
    message = m.Subscribe(1, 1, "*", tags=("b", "a", "b"), kinds=(2, 0))
    assert kept_of(message, "c") == Kept(pattern="*", cursor="c", tags=("a", "b"), kinds=(0, 2))
    one = Kept(pattern="*", cursor="d", tags=("a", "b"), kinds=(0, 2))
    check_same("work", one, kept_of(message, ""))
    with pytest.raises(InvalidRequest, match="by is None, not 'ana'"):
        check_same("work", one, kept_of(msgspec.structs.replace(message, by="ana"), ""))


def test_a_place_in_another_log() -> None:
    assert check_cursor("a", encode_cursor(EPOCH, 5), EPOCH, 6) == 5
    for cursor, end in ((encode_cursor("f" * 16, 5), 6), (encode_cursor(EPOCH, 5), 5)):
        with pytest.raises(CursorInvalid, match="delete it"):
            check_cursor("a", cursor, EPOCH, end)


def test_its_document() -> None:
    assert document_of("work") == "$system/subscriptions/work"
    for name in ("", "a/b"):
        with pytest.raises(InvalidName, match="one segment"):
            document_of(name)


def test_what_may_be_asked() -> None:
    check_asked(asked(ack_seconds=ACK_SECONDS_MAX, tries_max=1, unacked_max=1))
    refused: dict[str, list[dict[str, Any]]] = {
        "name": [{"snapshot": True}, {"policy": "latest"}],
        "ack_seconds": [{"ack_seconds": 0.0}, {"ack_seconds": ACK_SECONDS_MAX + 1}],
        "tries_max": [{"tries_max": 0}],
        "unacked_max": [{"unacked_max": 0}],
        "kinds": [{"kinds": (99,)}],
    }
    for reason, fields in refused.items():
        for each in fields:
            with pytest.raises(InvalidRequest) as caught:
                check_asked(asked(**each))
            assert caught.value.reason == reason
    with pytest.raises(InvalidName):
        check_asked(asked(name=None))


def test_how_long_a_change_may_wait() -> None:
    check_delay(0.0)
    check_delay(DELAY_SECONDS_MAX)
    for seconds in (-1.0, DELAY_SECONDS_MAX + 1, float("nan")):
        with pytest.raises(InvalidRequest):
            check_delay(seconds)


def test_what_an_event_has_to_meet() -> None:
    assert condition_of(Kept(pattern="*", cursor="")) is None
    assert condition_of(Kept(pattern="*", cursor="", by="ana")) is not None
