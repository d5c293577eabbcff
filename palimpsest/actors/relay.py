"""Those who want more than the log has, such as whole values, are live a step behind the others: each change is made once for all of them.

Who is live is handed what was made for it; whoever something failed for goes on from the log, and hears of it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio

from palimpsest.actors.following import Index
from palimpsest.actors.making import Encoded, Made, Maker
from palimpsest.actors.reading import Reader
from palimpsest.actors.subscription import State, Subscription
from palimpsest.actors.tail import Tail
from palimpsest.errors import PalimpsestError
from palimpsest.storage.contracts import Row
from palimpsest.words import MAIN

_ROWS_TOGETHER = 256
_BYTES_TOGETHER = 256 * 1024


class Relay:
    """hand_on: gives a change to those of the subscriptions who are live. go_on: told of one that is to be read from the log."""

    def __init__(
        self,
        reader: Reader,
        tail: Tail,
        maker: Maker,
        hand_on: Callable[[int, Encoded, Iterable[Subscription]], None],
        go_on: Callable[[Subscription], None],
    ) -> None:
        self._reader = reader
        self._tail = tail
        self._maker = maker
        self._hand_on = hand_on
        self._go_on = go_on
        self._index: Index[Subscription] = Index()
        self._news = anyio.Event()
        self.next = tail.end
        """The first position that it has not come to."""

    def add(self, subscription: Subscription) -> None:
        if not self._index:
            self.next = self._tail.end
            self._maker.erased(self._tail.end - 1)  # it may be that nobody was there to hear of one
        self._index.add(subscription)

    def remove(self, subscription: Subscription) -> None:
        self._index.remove(subscription)

    def on_durable(self) -> None:
        """There is more in the log."""
        if self._index:
            self._news.set()

    async def run(self) -> None:
        """Hands on changes with what had to be made for them, until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            while self._index and self.next < self._tail.end:
                await self._relay_on()

    async def _relay_on(self) -> None:
        """A piece of what is durable and was not handed on yet."""
        archived = self._tail.start
        try:
            rows = await self._reader.rows(
                self.next, rows_max=_ROWS_TOGETHER, bytes_max=_BYTES_TOGETHER, pattern=None, branch=MAIN
            )
        except PalimpsestError:
            self._leave_all_to_log()
            return
        for row in rows:
            await self._relay_row(row, archived)
            self.next = row.position + 1

    async def _relay_row(self, row: Row, archived: int) -> None:
        wanted: dict[tuple[str, bool], list[Subscription]] = {}
        for subscription in self._index.matching(row.event.document, row.event.branch):
            if _is_relayed(subscription, row):
                lens = subscription.lens
                wanted.setdefault(("" if lens is None else lens.digest, subscription.values), []).append(subscription)
        for subscriptions in wanted.values():
            first = subscriptions[0]
            try:
                made = await self._maker.make(row, first.lens, archived, values=first.values)
            except Exception:  # whoever is to hear of it does when it is read from the log
                self._leave_to_log(row.position, subscriptions)
            else:
                if made is not None:
                    self._hand_on_made(row, made, subscriptions)

    def _hand_on_made(self, row: Row, made: Made, subscriptions: list[Subscription]) -> None:
        still = [each for each in subscriptions if _is_relayed(each, row) and each.wants_made(made)]
        self._hand_on(row.position, made.encoded, still)

    def _leave_to_log(self, position: int, subscriptions: Iterable[Subscription]) -> None:
        """Those of them who are live go on from the log."""
        for subscription in subscriptions:
            if subscription.state is State.LIVE and subscription.next <= position:
                subscription.state, subscription.next = State.BEHIND, position
                self._go_on(subscription)

    def _leave_all_to_log(self) -> None:
        """Those who were live only after `next` have not been handed what came since then, either."""
        position, self.next = self.next, self._tail.end
        for subscription in self._index.all():
            if subscription.state is State.LIVE:
                subscription.state, subscription.next = State.BEHIND, max(position, subscription.next)
                self._go_on(subscription)


def _is_relayed(subscription: Subscription, row: Row) -> bool:
    return subscription.state is State.LIVE and subscription.next <= row.position and subscription.wants(row.event)
