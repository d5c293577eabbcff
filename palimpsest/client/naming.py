"""The words about named subscriptions: which there are, how they stand, and what is done about what failed."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from palimpsest.client.asking import ask
from palimpsest.client.requests import check_numbers, check_texts, make_meta
from palimpsest.client.results import Change
from palimpsest.client.session import Session
from palimpsest.errors import InvalidRequest, UnexpectedMessage
from palimpsest.protocol import messages as m


class DeadLetter(msgspec.Struct, frozen=True):
    """A change that was put aside, because it failed too often."""

    document: str
    branch: str
    version: int
    position: int
    """In the log: what `redrive` takes."""
    tries: int
    """How often it was delivered."""
    reason: str
    """Of the last failure."""
    again: bool = False
    """It is being delivered again, by a `redrive`."""


class SubscriptionState(msgspec.Struct, frozen=True):
    """How a named subscription stands."""

    name: str
    pattern: str
    branch: str
    cursor: str
    """Everything up to there is acknowledged, or put aside."""
    lag: int
    """How many events of the log come after that: of whatever documents, so that it says how much is left at most."""
    workers: int
    """That are connected."""
    in_flight: int
    """Changes that they have, and have not acknowledged."""
    dead: int
    """How many changes were put aside."""
    dead_letters: tuple[DeadLetter, ...] = ()
    """These; left out where many subscriptions are listed."""


AnyLetter: TypeAlias = DeadLetter | Change | int
"""A dead letter, as such, as the change that it is, or by its position."""


class Naming:
    """A part of `Client`, which says what holds for all of its words."""

    _session: Session

    async def subscriptions(self) -> list[SubscriptionState]:
        """All named subscriptions, by name, without their dead letters."""
        found: list[SubscriptionState] = []
        more, after = True, ""
        while more:
            message = m.ListSubscriptions(0, None, after, self._session.settings.page_items)
            answer = await ask(self._session, m.Subscriptions, message)
            found += map(state_of, answer.items)
            more = answer.more
            if more and not (answer.items and answer.items[-1].name > after):
                raise UnexpectedMessage(f"the server says that more comes after {after!r}, and gives none", kind="page")
            after = answer.items[-1].name if answer.items else after
        return found

    async def subscription_state(self, name: str) -> SubscriptionState:
        """How the one of that name stands, with its dead letters. Raises SubscriptionNotFound or InvalidName."""
        _check_given(name)
        answer = await ask(self._session, m.Subscriptions, m.ListSubscriptions(0, name))
        if len(answer.items) != 1:
            raise UnexpectedMessage(f"{len(answer.items)} subscriptions in answer to a name", kind="Subscriptions")
        return state_of(answer.items[0])

    async def delete_subscription(
        self, name: str, *, by: str | None = None, description: str | None = None, request_id: str | None = None
    ) -> None:
        """Its place is forgotten, and its dead letters. Who works for it is told by SubscriptionNotFound. Raises that, or InvalidName."""
        _check_given(name)
        check_texts(request_id=request_id)
        meta = make_meta(by, description, ())
        await ask(self._session, m.Committed, m.DeleteSubscription(0, name, False, meta, request_id))

    async def redrive(self, name: str, *letters: AnyLetter) -> str:
        """Dead letters are delivered once more, tries_max times at most: these, or all where none is given. They are no longer dead
        letters once they are acknowledged. Returns the subscription's cursor. Raises SubscriptionNotFound or InvalidName."""
        _check_given(name)
        positions = tuple(_position(letter) for letter in letters)
        return (await ask(self._session, m.Acknowledged, m.Redrive(0, name, positions))).cursor


def state_of(info: m.SubscriptionInfo) -> SubscriptionState:
    """The same in the client's words."""
    letters = tuple(
        DeadLetter(
            letter.document, letter.branch, letter.version, letter.position, letter.tries, letter.reason, letter.again
        )
        for letter in info.letters
    )
    return SubscriptionState(
        info.name,
        info.pattern,
        info.branch,
        info.cursor,
        info.lag,
        info.workers,
        info.in_flight,
        info.dead,
        letters,
    )


def _position(letter: AnyLetter) -> int:
    position = letter.position if isinstance(letter, DeadLetter | Change) else letter
    check_numbers(position=position)
    if position < 0:
        raise InvalidRequest(f"there is no position {position}", reason="position")
    return position


def _check_given(name: str) -> None:
    check_texts(name=name)
    if name is None:
        raise InvalidRequest("the name of a subscription has to be given: None is none", reason="name")
