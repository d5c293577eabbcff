"""How the server is doing: for the console as JSON, and for Prometheus as text. Both need the right to `observe`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from palimpsest.client import Observation, SubscriberState, SubscriptionState
from palimpsest.counting import HistogramData
from palimpsest.web.metrics import CONTENT_TYPE, exposition
from palimpsest.web.operations import Answer, Call, Operation, Query

_GROUP = "operation"


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """bounds: rising. counts: one more than there are bounds: of what was at most the first, of what was above it and at most the second, and so on. sum: of
    everything that was counted."""

    bounds: list[float]
    counts: list[int]
    sum: float


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscription without a name stands."""

    client: str
    principal: str
    pattern: str
    branch: str
    state: str
    """`live`, `behind`, or, at its beginning, `starting` or `showing`."""
    lag: int
    """How many events of the log were not looked at for it, of whatever documents."""
    under_way_bytes: int
    """That were sent, and are not dealt with."""
    perspective: str | None


class NamedSubscriber(msgspec.Struct, frozen=True, kw_only=True):
    """How a named subscription stands."""

    name: str
    pattern: str
    branch: str
    lag: int
    workers: int
    in_flight: int
    dead: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A server as of a moment. What is counted is counted since `started_at` and only rises."""

    epoch: str
    """Of the store."""
    agent: str
    """Name and release of the server."""
    started_at: datetime
    at: datetime
    counters: dict[str, int]
    gauges: dict[str, float]
    histograms: dict[str, Histogram]
    requests: dict[str, int]
    """By the name of their message."""
    refusals: dict[str, int]
    """By the code of the error."""
    subscribers: list[Subscriber]
    """Those that are furthest behind, the furthest first."""
    named: list[NamedSubscriber]


class StatusQuery(Query, frozen=True, kw_only=True):
    subscribers: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 20
    """So many at most are named."""


def status_of(observation: Observation) -> Status:
    return Status(
        epoch=observation.epoch,
        agent=observation.agent,
        started_at=observation.started_at,
        at=observation.at,
        counters=observation.counters,
        gauges=observation.gauges,
        histograms={name: _histogram(data) for name, data in observation.histograms.items()},
        requests=observation.requests,
        refusals=observation.refusals,
        subscribers=[_subscriber(each) for each in observation.subscribers],
        named=[_named(each) for each in observation.named],
    )


async def status(call: Call) -> Answer:
    query: StatusQuery = call.query
    return Answer(status_of(await call.client.observe(subscribers=query.subscribers)), headers=_NOT_KEPT)


async def metrics(call: Call) -> Answer:
    """What Prometheus reads; `docs/metrics.md` says what each of it is."""
    observation = await call.client.observe(subscribers=0)
    return Answer(exposition(observation), headers=_NOT_KEPT, media_type=CONTENT_TYPE)


_NOT_KEPT = {"Cache-Control": "no-store"}


def _histogram(data: HistogramData) -> Histogram:
    return Histogram(bounds=list(data.bounds), counts=list(data.counts), sum=data.sum)


def _subscriber(state: SubscriberState) -> Subscriber:
    return Subscriber(**msgspec.structs.asdict(state))


def _named(state: SubscriptionState) -> NamedSubscriber:
    return NamedSubscriber(**{name: getattr(state, name) for name in NamedSubscriber.__struct_fields__})


OPERATIONS = (
    Operation(
        method="GET",
        path="/status",
        id="getStatus",
        summary="How the server is doing",
        group=_GROUP,
        handler=status,
        query=StatusQuery,
        answers={200: Status},
    ),
    Operation(
        method="GET",
        path="/metrics",
        id="getMetrics",
        summary="The same for Prometheus",
        group=_GROUP,
        handler=metrics,
        answers={200: str},
        media_type=CONTENT_TYPE,
    ),
)
