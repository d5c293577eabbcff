from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.acknowledging import Acknowledging
from palimpsest.client import Change, Subscription
from palimpsest.errors import ConnectionLost, RequestTimeout, SubscriptionNotFound
from palimpsest.running import run

pytestmark = pytest.mark.anyio


class Named:
    """A subscription that remembers what is acknowledged. Changes are numbers here."""

    def __init__(self, *errors: Exception) -> None:
        self.held_bytes = 0
        self.acknowledged: list[list[int]] = []
        self._errors = list(errors)

    async def ack(self, *changes: Any) -> None:
        await anyio.lowlevel.checkpoint()
        if self._errors:
            raise self._errors.pop(0)
        self.acknowledged.append(list(changes))


def acknowledging(named: Named) -> Acknowledging:
    return Acknowledging(cast(Subscription, named))


def change(number: int) -> Change:
    return cast(Change, number)


async def test_at_once_where_nothing_waits() -> None:
    named = Named()
    async with acknowledging(named) as acks:
        await acks.printed(change(1))
        assert named.acknowledged == [[1]]
        await acks.printed(change(2))
        assert named.acknowledged == [[1], [2]]
    assert named.acknowledged == [[1], [2]]


async def test_together_where_much_waits() -> None:
    named = Named()
    named.held_bytes = 1
    async with acknowledging(named) as acks:
        for number in range(11):
            await acks.printed(change(number))
        assert named.acknowledged == [list(range(8))]
    assert named.acknowledged == [list(range(8)), [8, 9, 10]]


async def test_what_was_printed_is_acknowledged_whatever_ends_it() -> None:
    named = Named()
    named.held_bytes = 1
    with anyio.CancelScope() as scope:
        async with acknowledging(named) as acks:
            await acks.printed(change(1))
            scope.cancel()
            named.held_bytes = 0
            await acks.printed(change(2))
    assert named.acknowledged == [[1, 2]]
    with suppress(BrokenPipeError):
        async with acknowledging(named) as acks:
            named.held_bytes = 1
            await acks.printed(change(3))
            raise BrokenPipeError
    assert named.acknowledged == [[1, 2], [3]]


async def test_a_server_that_does_not_answer_is_waited_for() -> None:
    named = Named(RequestTimeout("late"), RequestTimeout("late"))
    async with acknowledging(named) as acks:
        await acks.printed(change(1))
    assert named.acknowledged == [[1]]


async def test_what_cannot_be_acknowledged_at_the_end_is_left_to_come_again() -> None:
    named = Named(ConnectionLost("gone"))
    named.held_bytes = 1
    async with acknowledging(named) as acks:
        await acks.printed(change(1))
    assert named.acknowledged == []


async def test_a_subscription_that_is_deleted_ends_it() -> None:
    error = SubscriptionNotFound("deleted", name="a")
    with pytest.raises(SubscriptionNotFound):
        async with acknowledging(Named(error, error)) as acks:
            await acks.printed(change(1))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_each_is_acknowledged_once_and_in_order(steps: list[tuple[bool, bool]]) -> None:
    """steps: of each change, whether more waits behind it, and whether the server does not answer the first time."""

    async def print_all() -> None:
        named = Named()
        async with acknowledging(named) as acks:
            for number, (more, late) in enumerate(steps):
                named.held_bytes = int(more)
                named._errors = [RequestTimeout("late")] if late else []
                await acks.printed(change(number))
                if not more:
                    assert sum(map(len, named.acknowledged)) == number + 1
        assert [number for each in named.acknowledged for number in each] == list(range(len(steps)))
        assert all(len(each) <= 8 for each in named.acknowledged)

    run(print_all)
