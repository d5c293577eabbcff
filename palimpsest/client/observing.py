"""The word about the server itself: how it is doing, as its operator wants to know."""

from __future__ import annotations

from datetime import datetime

import msgspec

from palimpsest.client.asking import ask
from palimpsest.client.naming import SubscriptionState, state_of
from palimpsest.client.requests import check_numbers
from palimpsest.client.session import Session
from palimpsest.clock import to_datetime
from palimpsest.counting import HistogramData
from palimpsest.protocol import messages as m


class SubscriberState(msgspec.Struct, frozen=True):
    """How a subscription without a name stands."""

    client: str
    """The client id of its connection."""
    principal: str
    pattern: str
    branch: str
    state: str
    """"live": it is handed every change as it happens. "behind": it is read from the log, because its reader is slower than the changes.
    "starting", "showing": it begins."""
    lag: int
    """How many events of the log were not looked at for it, of whatever documents."""
    under_way_bytes: int
    """That were sent, and that its client has not dealt with."""
    perspective: str | None = None
    """What it sees documents through."""


class Observation(msgspec.Struct, frozen=True):
    """A server as of a moment. Whatever is counted is counted since `started_at` and only rises, so that two of these say what came between
    them. `docs/metrics.md` says what each of the numbers is."""

    epoch: str
    """Of the store: 16 hex digits."""
    agent: str
    """Name and release of the server."""
    started_at: datetime
    at: datetime
    """By the server's clock."""
    counters: dict[str, int]
    """What only rises, by name."""
    gauges: dict[str, float]
    """What rises and falls, by name; what is so or not is 1 or 0."""
    histograms: dict[str, HistogramData]
    """How often something took how long, or was how large, by name."""
    requests: dict[str, int]
    """Requests that came in, by the name of their message."""
    refusals: dict[str, int]
    """Requests that failed, and connections that the server ended, by the code of the error."""
    subscribers: tuple[SubscriberState, ...] = ()
    """Those that are furthest behind, the furthest first."""
    named: tuple[SubscriptionState, ...] = ()
    """The same of named subscriptions, without their dead letters."""

    @property
    def uptime_seconds(self) -> float:
        return max(0.0, (self.at - self.started_at).total_seconds())


class Observing:
    """A part of `Client`, which says what holds for all of its words."""

    _session: Session

    async def observe(self, *, subscribers: int = 20) -> Observation:
        """How the server is doing: all that it counts and measures, and the subscriptions that are furthest behind, at most so many of
        each kind. Raises Forbidden without a right to `observe`."""
        check_numbers(subscribers=subscribers)
        return observation(await ask(self._session, m.Observed, m.Observe(0, subscribers)))


def observation(message: m.Observed) -> Observation:
    """The same in the client's words."""
    return Observation(
        message.epoch,
        message.agent,
        to_datetime(message.started_at),
        to_datetime(message.at),
        message.counters,
        message.gauges,
        message.histograms,
        message.requests,
        message.refusals,
        tuple(SubscriberState(**msgspec.structs.asdict(info)) for info in message.subscribers),
        tuple(map(state_of, message.named)),
    )
