"""One subscription: what is under way to it, and what its subscriber was told."""

from __future__ import annotations

from typing import Any

import pytest

from palimpsest.actors.subscription import State, Subscription, info_of
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.state.names import Pattern

EPOCH = "0123456789abcdef"


class Line:
    """A connection that keeps what it hears."""

    def __init__(self) -> None:
        self.paused = False
        self.heard: list[object] = []

    def reply(self, message: object) -> None:
        self.heard.append(message)

    def push(self, encoded: bytes) -> None:
        raise AssertionError(encoded)


def subscription(line: Line | None = None, **fields: Any) -> Subscription:
    message = m.Subscribe(1, 7, "a/*", **fields)
    return Subscription(message, line or Line(), Pattern.parse("a/*"), EPOCH, 5, None, 100)


def test_it_is_served_while_there_is_credit_and_somebody_listens() -> None:
    line = Line()
    one = subscription(line)
    assert one.is_served
    line.paused = True
    assert not one.is_served
    line.paused, one.credit_bytes = False, -20
    assert not one.is_served
    assert one.under_way_bytes == 120
    one.credit_bytes = 200
    assert one.under_way_bytes == 0


def test_a_marker_is_of_what_lies_before_it() -> None:
    line = Line()
    one = subscription(line)
    one.send_marker(State.SHOWING, 9)
    assert line.heard == [m.Marker(7, "current", encode_cursor(EPOCH, 8))]
    assert one.told_position == 8


def test_it_is_told_once_that_it_is_live_or_behind() -> None:
    line = Line()
    one = subscription(line)
    for state in (State.BEHIND, State.LIVE, State.LIVE, State.BEHIND, State.BEHIND):
        one.tell(state, 5)
    assert line.heard == [m.Marker(7, name, encode_cursor(EPOCH, 4)) for name in ("live", "behind")]


def test_conditions_that_are_none() -> None:
    assert subscription().condition is None
    assert subscription(tags=("x",)).condition is not None
    with pytest.raises(InvalidRequest):
        subscription(kinds=(99,))


def test_what_an_operator_sees() -> None:
    one = subscription()
    one.credit_bytes = 40
    assert info_of(one, 3, "me", "ana") == m.SubscriberInfo("me", "ana", "a/*", "main", "behind", 3, 60, None)
