"""What a principal has under way."""

from __future__ import annotations

import pytest

from palimpsest.actors.asking import Question
from palimpsest.errors import InvalidRequest, Overloaded, TooManyConnections
from palimpsest.protocol.messages import Names, Progress
from palimpsest.server.accounts import Account
from palimpsest.state.roles import Allowance


def test_without_bounds_nothing_is_counted() -> None:
    account, question, free = Account(lambda: 10**9), Question("c"), Allowance()
    account.connections = 10**9
    account.check_connections(free)
    account.check_subscriptions(free)
    assert account.owing(question, free) is question


def test_an_answer_makes_room_and_progress_does_not() -> None:
    account, bounds = Account(lambda: 0), Allowance(in_flight_requests_max=3)
    askers = [account.owing(Question("c"), bounds) for _ in range(3)]
    assert {asker.client for asker in askers} == {"c"}
    with pytest.raises(Overloaded) as caught:
        account.owing(Question("c"), bounds)
    assert (caught.value.limit, caught.value.maximum) == ("in_flight_requests_max", 3)
    askers[0].reply(Progress(1, 1, 2))
    assert account.owed == 3
    askers[0].reply(Names(1, (), False))
    askers[1].committed(2, 1, 1)
    askers[2].fail(3, InvalidRequest("no"))
    assert account.owed == 0


def test_bounds_of_connections_and_subscriptions() -> None:
    account, bounds = Account(lambda: 2), Allowance(connections_max=1, subscriptions_max=2)
    account.check_connections(bounds)
    account.connections += 1
    with pytest.raises(TooManyConnections):
        account.check_connections(bounds)
    with pytest.raises(Overloaded):
        account.check_subscriptions(bounds)


def test_a_second_s_worth_may_come_at_once() -> None:
    account = Account(lambda: 0)
    assert account.received(100, 100, now=10.0) == 0.0
    assert account.received(100, 100, now=10.0) == 1.0
    assert account.received(50, 100, now=11.0) == pytest.approx(0.5)
    assert account.received(100, 100, now=20.0) == 0.0
