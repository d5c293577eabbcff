"""Named subscriptions as data: what may be asked of one, what is kept of it, and what is written down of what has changed."""

from __future__ import annotations

from palimpsest.actors.following import Condition
from palimpsest.errors import CursorInvalid, InvalidName, InvalidRequest, SubscriptionNotFound
from palimpsest.protocol.cursor import decode_cursor
from palimpsest.protocol.messages import Subscribe
from palimpsest.state.ops import Delete, Op, Set
from palimpsest.state.subscriptions import CONDITIONS, Kept, to_plain
from palimpsest.state.system import SUBSCRIPTIONS

DELAY_SECONDS_MAX = 3600.0
ACK_SECONDS_MAX = 86_400.0


def document_of(name: str) -> str:
    """Raises InvalidName."""
    if not name or "/" in name:
        reason = "it is one segment"
        raise InvalidName(f"{name!r} is no name of a subscription: {reason}", name=name, reason=reason)
    return SUBSCRIPTIONS + name


def not_found(name: str) -> SubscriptionNotFound:
    return SubscriptionNotFound(f"there is no subscription {name!r}", name=name)


# --- what is asked ---------------------------------------------------------------------------------------------------


def check_asked(message: Subscribe) -> None:
    """Raises InvalidRequest or InvalidName."""
    document_of(message.name or "")
    if message.snapshot or message.policy != "all":
        reason = "a named subscription hands out each change until it is acknowledged: no snapshot, and no other policy"
        raise InvalidRequest(reason, reason="name")
    if not 0 < message.ack_seconds <= ACK_SECONDS_MAX:
        raise InvalidRequest(f"ack_seconds is more than 0 and at most {ACK_SECONDS_MAX:g}", reason="ack_seconds")
    if message.tries_max < 1:
        raise InvalidRequest("a change is delivered once at least", reason="tries_max")
    if message.unacked_max < 1:
        raise InvalidRequest("a worker takes one change at least", reason="unacked_max")
    Condition(message)


def check_delay(delay_seconds: float) -> None:
    """Raises InvalidRequest."""
    if not 0 <= delay_seconds <= DELAY_SECONDS_MAX:
        raise InvalidRequest(f"delay_seconds is 0 to {DELAY_SECONDS_MAX:g}", reason="delay_seconds")


def check_same(name: str, kept: Kept, wanted: Kept) -> None:
    """Raises InvalidRequest where another subscription was asked for than is there under that name."""
    for field in CONDITIONS:
        here, there = getattr(kept, field), getattr(wanted, field)
        if here != there:
            raise InvalidRequest(
                f"the subscription {name!r} exists, and is another: its {field} is {here!r}, not {there!r}",
                reason="name",
            )


def check_cursor(name: str, cursor: str, epoch: str, end: int) -> int:
    """Its position. end: the first position that is not durable. Raises CursorInvalid where it is of another journal."""
    found, position = decode_cursor(cursor)
    if found != epoch or position >= end:
        raise CursorInvalid(
            f"the subscription {name!r} has its place in another store, which this one was restored from: "
            "delete it, and subscribe with a start",
            cursor=cursor,
        )
    return position


# --- what is kept ----------------------------------------------------------------------------------------------------


def kept_of(message: Subscribe, cursor: str) -> Kept:
    """Of a subscription that is new."""
    return Kept(
        pattern=message.pattern,
        branch=message.branch,
        tags=tuple(sorted(set(message.tags))),
        tags_all=tuple(sorted(set(message.tags_all))),
        by=message.by,
        path=message.path,
        kinds=tuple(sorted(set(message.kinds))),
        cursor=cursor,
    )


def condition_of(kept: Kept) -> Condition | None:
    """What an event has to meet; None: nothing."""
    asked = Subscribe(
        0,
        0,
        kept.pattern,
        kept.branch,
        tags=kept.tags,
        tags_all=kept.tags_all,
        by=kept.by,
        path=kept.path,
        kinds=kept.kinds,
    )
    condition = Condition(asked)
    return None if condition.is_empty else condition


def difference(before: Kept, after: Kept) -> list[Op]:
    """Ops that make one of the other. Each dead letter is a place of its own: there may be many, and they seldom change."""
    ops: list[Op] = [
        Set((field,), to_plain(getattr(after, field)))
        for field in ("cursor", "done", "tries")
        if getattr(before, field) != getattr(after, field)
    ]
    were, are = before.dead, after.dead
    ops += [Delete(("dead", str(position))) for position in were if position not in are]
    ops += [
        Set(("dead", str(position)), to_plain(letter))
        for position, letter in are.items()
        if were.get(position) != letter
    ]
    return ops
