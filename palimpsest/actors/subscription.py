"""One subscription: what it follows, how far it has come, and what its subscriber was told of that."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from palimpsest.actors.cursors import cursor_of
from palimpsest.actors.following import Condition
from palimpsest.actors.making import Made
from palimpsest.protocol.messages import Marker, Subscribe, SubscriberInfo
from palimpsest.state.lens import Lens
from palimpsest.state.names import Pattern
from palimpsest.storage.events import Event


class Subscriber(Protocol):
    """One connection, as the feed sees it."""

    @property
    def paused(self) -> bool:
        """It does not take what it was sent: until `Feed.resume`, its subscriptions are served as if they had no credit."""
        ...

    def reply(self, message: object) -> None: ...

    def push(self, encoded: bytes) -> None:
        """An encoded message for this connection."""
        ...


class State(Enum):
    LIVE = "live"
    """Handed every change as it becomes durable."""
    BEHIND = "behind"
    """Everything from `next` on is still to be read from the log."""
    STARTING = "starting"
    """It is being found out where it starts."""
    SHOWING = "showing"
    """What is there now is sent, document by document, those after `shown` are still to come."""
    ENDED = "ended"


class Subscription:
    __slots__ = (
        "branch",
        "condition",
        "credit_bytes",
        "epoch",
        "granted_bytes",
        "lens",
        "next",
        "number",
        "pattern",
        "policy",
        "queued",
        "shown",
        "state",
        "subscriber",
        "told",
        "told_position",
        "values",
    )

    def __init__(
        self,
        message: Subscribe,
        subscriber: Subscriber,
        pattern: Pattern,
        epoch: str,
        position: int,
        lens: Lens | None,
        credit_bytes: int,
    ) -> None:
        """epoch: of the journal. position: the first that it follows, as far as that is known. Raises InvalidRequest."""
        self.subscriber = subscriber
        self.number = message.subscription
        self.pattern = pattern
        self.branch = message.branch
        self.values = message.values
        self.lens = lens
        """What it sees documents through; None: as they are."""
        self.policy = message.policy
        condition = Condition(message)
        self.condition = None if condition.is_empty else condition
        self.credit_bytes = credit_bytes
        self.granted_bytes = credit_bytes
        """Its credit while nothing is under way."""
        self.epoch = epoch
        self.shown = ""
        self.next = position
        """While behind: the first position that was not looked at. While live: what lies before it was looked at."""
        self.state = State.BEHIND
        self.queued = False
        """It waits for the reading task, which holds it at most once."""
        self.told = State.BEHIND
        """What the subscriber was told last by a marker."""
        self.told_position = position - 1
        """How far it knows that it has come, by a marker or a change."""

    @property
    def is_served(self) -> bool:
        """Whether anything may be sent to it now."""
        return self.credit_bytes > 0 and not self.subscriber.paused

    @property
    def is_relayed(self) -> bool:
        """It wants more than the log has."""
        return self.values or self.lens is not None

    @property
    def under_way_bytes(self) -> int:
        return max(0, self.granted_bytes - self.credit_bytes)

    def follows(self, event: Event) -> bool:
        return event.branch == self.branch and self.pattern.matches(event.document) and self.wants(event)

    def wants(self, event: Event) -> bool:
        """Of what it follows; through a lens, as far as that can be told before it is seen what the view has of it."""
        if self.lens is not None:
            return self.lens.is_for(event.document)
        return self.condition is None or self.condition.holds(event)

    def wants_made(self, made: Made | None) -> bool:
        """Of what it wants."""
        return made is not None and (self.lens is None or self.condition is None or self.condition.holds(made.event))

    # --- what its subscriber is told -----------------------------------------------------------------------------

    def cursor(self, position: int) -> str:
        return cursor_of(self.epoch, self.lens, position)

    def send_marker(self, state: State, position: int) -> None:
        """position: the first that it says nothing about."""
        self.told_position = position - 1
        name = "current" if state is State.SHOWING else state.value
        self.subscriber.reply(Marker(self.number, name, self.cursor(position - 1)))

    def tell(self, state: State, position: int) -> None:
        """The subscriber hears that it is live, or behind, once."""
        if self.told is not state:
            self.told = state
            self.send_marker(state, position)


def info_of(subscription: Subscription, lag: int, client: str, principal: str) -> SubscriberInfo:
    """What an operator sees of it. client, principal: of its connection."""
    lens = subscription.lens
    return SubscriberInfo(
        client,
        principal,
        subscription.pattern.text,
        subscription.branch,
        subscription.state.value,
        lag,
        subscription.under_way_bytes,
        None if lens is None else lens.name,
    )
