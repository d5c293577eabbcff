"""What a principal has under way, over all of its connections, and the bounds of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from palimpsest.actors.committer import Asker
from palimpsest.errors import Overloaded, PalimpsestError, TooManyConnections
from palimpsest.protocol.messages import Progress
from palimpsest.state.roles import Allowance

_BURST_SECONDS = 1.0
"""What did not come in that long may come at once."""


class Account:
    """Of one principal. subscriptions: how many it has now."""

    def __init__(self, subscriptions: Callable[[], int]) -> None:
        self.connections = 0
        self.owed = 0
        """Requests without an answer. Counted only while there is a bound."""
        self._subscriptions = subscriptions
        self._free_at = 0.0
        """When all that has come would have come at the rate that is allowed, in monotonic seconds."""

    def check_connections(self, limits: Allowance) -> None:
        """Before one more. Raises TooManyConnections."""
        maximum = limits.connections_max
        if maximum is not None and self.connections >= maximum:
            raise TooManyConnections(f"{maximum} connections of this principal are open", maximum=maximum)

    def check_subscriptions(self, limits: Allowance) -> None:
        """Before one more. Raises Overloaded."""
        maximum = limits.subscriptions_max
        if maximum is not None and self._subscriptions() >= maximum:
            raise Overloaded(f"this principal has {maximum} subscriptions", limit="subscriptions_max", maximum=maximum)

    def owing(self, asker: Asker, limits: Allowance) -> Asker:
        """Who is to be answered in place of asker, so that the answer is counted. Raises Overloaded."""
        maximum = limits.in_flight_requests_max
        if maximum is None:
            return asker
        if self.owed >= maximum:
            raise Overloaded(
                f"{maximum} requests of this principal have no answer yet",
                limit="in_flight_requests_max",
                maximum=maximum,
            )
        self.owed += 1
        return Owed(self, asker)

    def received(self, size: int, rate: int, now: float) -> float:
        """size bytes have come at now, in monotonic seconds; rate: bytes a second that are allowed. How many seconds nothing more is
        to be read."""
        self._free_at = max(self._free_at, now) + size / rate
        return max(0.0, self._free_at - now - _BURST_SECONDS)


class Owed:
    """Passes an answer on, once, and counts it."""

    __slots__ = ("_account", "_asker", "client")

    def __init__(self, account: Account, asker: Asker) -> None:
        self.client = asker.client
        self._account = account
        self._asker: Any = asker

    def committed(self, id: int, version: int, at: int) -> None:
        self._account.owed -= 1
        self._asker.committed(id, version, at)

    def reply(self, message: object) -> None:
        if type(message) is not Progress:
            self._account.owed -= 1
        self._asker.reply(message)

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._account.owed -= 1
        self._asker.fail(id, error)
