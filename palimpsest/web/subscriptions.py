"""Named subscriptions: how they stand, and what is done about what failed."""

from __future__ import annotations

from typing import Any

import msgspec

from palimpsest.client import DeadLetter as ClientLetter
from palimpsest.client import SubscriptionState
from palimpsest.web.conditions import IDEMPOTENCY_KEY, request_id_of
from palimpsest.web.definitions import NamesQuery
from palimpsest.web.operations import JSON, Answer, Call, Operation
from palimpsest.web.pages import PAGE_HEADERS, Page, limit_of, next_after, page_answer
from palimpsest.web.queries import SaidQuery

_GROUP = "feeds"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was put aside, because it failed too often."""

    document: str
    branch: str
    version: int
    position: int
    """In the log: what a redrive takes."""
    tries: int
    """How often it was delivered."""
    reason: str
    """Of the last failure."""
    again: bool
    """It is being delivered again."""


class SubscriptionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How a named subscription stands."""

    name: str
    pattern: str
    branch: str
    cursor: str
    """Everything up to there is acknowledged, or put aside."""
    lag: int
    """How many events of the log come after that, of whatever documents."""
    workers: int
    """That are connected."""
    in_flight: int
    """Changes that they have, and have not acknowledged."""
    dead: int
    """How many changes were put aside."""


class Subscription(SubscriptionSummary, frozen=True, kw_only=True):
    """How a named subscription stands, with what was put aside."""

    dead_letters: list[DeadLetter]


async def list_subscriptions(call: Call) -> Answer:
    query: NamesQuery = call.query
    found = [state for state in await call.client.subscriptions() if state.name > query.after]
    following = next_after(call, found, lambda state: state.name)
    items = [SubscriptionSummary(**_fields(state)) for state in found[: limit_of(call)]]
    return page_answer(Page(items=items, next=following))


async def get_subscription(call: Call) -> Answer:
    state = await call.client.subscription_state(call.path["name"])
    return Answer(Subscription(**_fields(state), dead_letters=[_letter(each) for each in state.dead_letters]))


async def delete_subscription(call: Call) -> Answer:
    """Its place is forgotten, and its dead letters; who works for it is told."""
    query: SaidQuery = call.query
    await call.client.delete_subscription(
        call.path["name"], by=query.by, description=query.description, request_id=request_id_of(call.headers)
    )
    return Answer(None, 204)


class Redrive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """positions: of the dead letters that are meant; empty: all of them."""

    positions: tuple[int, ...] = ()


class Redriven(msgspec.Struct, frozen=True):
    """cursor: of the subscription."""

    cursor: str


async def redrive(call: Call) -> Answer:
    """Dead letters are delivered once more."""
    said: Redrive = call.body or Redrive()
    return Answer(Redriven(await call.client.redrive(call.path["name"], *said.positions)))


def _fields(state: SubscriptionState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in SubscriptionSummary.__struct_fields__}


def _letter(letter: ClientLetter) -> DeadLetter:
    return DeadLetter(**msgspec.structs.asdict(letter))


OPERATIONS = (
    Operation(
        method="GET",
        path="/subscriptions",
        id="listSubscriptions",
        summary="Every named subscription",
        group=_GROUP,
        handler=list_subscriptions,
        query=NamesQuery,
        answers={200: Page[SubscriptionSummary]},
        answer_headers=PAGE_HEADERS,
    ),
    Operation(
        method="GET",
        path="/subscriptions/{name}",
        id="getSubscription",
        summary="How a named subscription stands",
        group=_GROUP,
        handler=get_subscription,
        answers={200: Subscription},
    ),
    Operation(
        method="DELETE",
        path="/subscriptions/{name}",
        id="deleteSubscription",
        summary="Forget a named subscription",
        group=_GROUP,
        handler=delete_subscription,
        query=SaidQuery,
        answers={204: None},
        request_headers=IDEMPOTENCY_KEY,
    ),
    Operation(
        method="POST",
        path="/subscriptions/{name}/redrive",
        id="redriveSubscription",
        summary="Deliver dead letters once more",
        group=_GROUP,
        handler=redrive,
        bodies={JSON: Redrive},
        body_required=False,
        answers={200: Redriven},
    ),
)
