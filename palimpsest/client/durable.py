"""A worker of a named subscription: a subscription whose place the server keeps, by what is acknowledged.

The server says which changes this worker gets, and gives them to another when the connection is lost. So what was held is
let go of then, and what the reader has in its hands is not given to it again over the next connection; but it is when it comes again
over the same one: then it was not acknowledged in time, or was refused.

What is refused comes again, and so do the changes of its document behind it. The server's answer stands between what was on its way
and what is sent again; until then, such changes are put aside.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from palimpsest.client.asking import answered, ask
from palimpsest.client.feeds import Wish
from palimpsest.client.grouping import Transactions
from palimpsest.client.requests import check_seconds, check_texts
from palimpsest.client.results import Change
from palimpsest.client.session import Session
from palimpsest.client.subscription import Arrived, OnState, Subscription
from palimpsest.errors import InvalidRequest, PalimpsestError, UsageError
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import decode_cursor


class _Refusal:
    """answer: the server's. aside: changes of the document that are held or not, as it says."""

    __slots__ = ("answer", "aside")

    def __init__(self, answer: asyncio.Future[Any], aside: list[Arrived]) -> None:
        self.answer = answer
        self.aside = aside

    @property
    def is_void(self) -> bool:
        """Nothing was taken back: what was put aside is this worker's."""
        answer = self.answer
        if answer.cancelled():
            return False
        if answer.exception() is not None:
            return isinstance(answer.exception(), UsageError)
        message = answer.result()
        return isinstance(message, m.Acknowledged) and not message.taken_back


class NamedSubscription(Subscription):
    """What `Client.subscribe` makes where a name is given. Each change is to be acknowledged, or refused; until it is, it is delivered again."""

    def __init__(self, session: Session, wish: Wish, on_state: OnState | None = None) -> None:
        super().__init__(session, wish, on_state)
        assert wish.template.name is not None
        self.name = wish.template.name
        self._acknowledged = ""
        """The cursor that the server has named last."""
        self._arrived: dict[int, int] = {}
        """By position, what is held or in the reader's hands: over which link it came last."""
        self._refusals: dict[str, _Refusal] = {}
        """By document, the last refusal of one of its changes, until its answer was heeded."""

    # --- for the reader ------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> str:
        """Everything up to there is acknowledged, by any worker, or put aside, as far as this one was told."""
        return self._acknowledged

    async def ack(self, *changes: Change) -> None:
        if not changes:
            return
        epoch = changes[0].epoch
        if any(change.epoch != epoch for change in changes):
            raise InvalidRequest("changes of two stores are acknowledged separately", reason="epoch")
        positions = tuple(change.position for change in changes)
        answer = await ask(self._session, m.Acknowledged, m.Ack(0, self.name, positions, epoch))
        self._acknowledged = answer.cursor
        for position in positions:
            self._arrived.pop(position, None)

    async def nack(self, change: Change, *, reason: str = "", delay_seconds: float = 0.0) -> None:
        check_texts(reason=reason)
        delay = check_seconds(delay_seconds, "delay_seconds")
        session, document = self._session, change.document
        if session.blocked:
            await session.room()
        self._heed(document)
        before = self._refusals.get(document)
        aside = [*(before.aside if before is not None else ()), *self._let_go(document, change.position)]
        message = m.Nack(session.next_id(), self.name, change.position, reason, delay, change.epoch)
        answer = session.ask(message)
        self._refusals[document] = _Refusal(answer, aside)
        try:
            self._acknowledged = answered(m.Acknowledged, await answer).cursor
        finally:
            self._heed(document)

    def has(self, change: Change) -> bool:
        """Whether it is still to be acknowledged, by this worker."""
        return change.position in self._arrived

    def transactions(self) -> Transactions:
        raise InvalidRequest(
            "the changes of one transaction may go to several workers of a named subscription", reason="name"
        )

    # --- for the session -----------------------------------------------------------------------------------------

    def request(self) -> m.Subscribe | m.Through:
        return self._subscribe(resume_after=self._acknowledged)

    def on_subscribed(self, message: m.Subscribed) -> None:
        self._epoch, _ = decode_cursor(message.cursor)
        self._acknowledged = message.cursor

    def on_change(self, message: m.Change, cost_bytes: int) -> None:
        arrived: Arrived = (message, self._epoch, cost_bytes)
        if message.document in self._refusals:
            self._heed(message.document)
        refusal = self._refusals.get(message.document)
        if refusal is not None:
            refusal.aside.append(arrived)
            return
        link = self._arrived.get(message.position)
        if link is not None and link != self._links:
            self._arrived[message.position] = self._links
            self._spend(cost_bytes)
            return
        if link is not None:
            self._drop(self._let_go(message.document, message.position))
        self._hold(arrived)

    def on_marker(self, message: m.Marker) -> None:
        self._hold_mark(message.state, decode_cursor(message.cursor)[1])

    def on_link(self, up: bool) -> None:
        if not up:
            for arrived in self._held:
                if isinstance(arrived, tuple):
                    self._arrived.pop(arrived[0].position, None)
            self._held.clear()
            for refusal in self._refusals.values():
                refusal.aside.clear()
        super().on_link(up)

    def on_end(self, error: PalimpsestError | None) -> None:
        self._finish(error)

    # --- inside --------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        await self._ask()

    def _hold(self, arrived: Arrived) -> None:
        self._arrived[arrived[0].position] = self._links
        if not self._held:
            self._wake()
        self._held.append(arrived)

    def _let_go(self, document: str, position: int) -> list[Arrived]:
        """That change is in nobody's hands any more, and what is held of its document behind it is not held."""
        found: list[Arrived] = []
        others: list[Any] = []
        for each in self._held:
            if isinstance(each, tuple) and each[0].document == document and each[0].position >= position:
                found.append(each)
                del self._arrived[each[0].position]
            else:
                others.append(each)
        if found:
            self._held = deque(others)
        self._arrived.pop(position, None)
        return found

    def _heed(self, document: str) -> None:
        """What was put aside for the sake of a refusal is dealt with, once that is answered."""
        refusal = self._refusals.get(document)
        if refusal is None or not refusal.answer.done():
            return
        del self._refusals[document]
        if refusal.is_void:
            for arrived in refusal.aside:
                self._hold(arrived)
        else:
            self._drop(refusal.aside)

    def _drop(self, changes: list[Arrived]) -> None:
        for _, _, cost_bytes in changes:
            self._spend(cost_bytes)


def make_subscription(session: Session, wish: Wish, on_state: OnState | None = None) -> Subscription:
    kind = Subscription if wish.template.name is None else NamedSubscription
    return kind(session, wish, on_state)
