"""A worker of a named subscription: a subscription whose place the server keeps, by what is acknowledged.

The server says which changes this worker gets, and gives them to another when the connection is lost. So what was held is
let go of then, and what the reader has in its hands is not given to it again over the next connection; but it is when it comes again
over the same one: then it was not acknowledged in time, or was refused.
"""

from __future__ import annotations

from collections import deque

from palimpsest.client.asking import ask
from palimpsest.client.feeds import Wish
from palimpsest.client.grouping import Transactions
from palimpsest.client.requests import check_seconds, check_texts
from palimpsest.client.results import Change
from palimpsest.client.session import Session
from palimpsest.client.subscription import OnState, Subscription
from palimpsest.errors import InvalidRequest, PalimpsestError
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import decode_cursor


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
        self._let_go(change.document, change.position)
        message = m.Nack(0, self.name, change.position, reason, delay, change.epoch)
        self._acknowledged = (await ask(self._session, m.Acknowledged, message)).cursor

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
        position = message.position
        link = self._arrived.get(position)
        if link is not None and link != self._links:
            self._arrived[position] = self._links
            self._spend(cost_bytes)
            return
        if link is not None:
            self._let_go(message.document, position)
        self._arrived[position] = self._links
        if not self._held:
            self._wake()
        self._held.append((message, self._epoch, cost_bytes))

    def on_marker(self, message: m.Marker) -> None:
        self._hold_mark(message.state, decode_cursor(message.cursor)[1])

    def on_link(self, up: bool) -> None:
        if not up:
            for arrived in self._held:
                if isinstance(arrived, tuple):
                    self._arrived.pop(arrived[0].position, None)
            self._held.clear()
        super().on_link(up)

    def on_end(self, error: PalimpsestError | None) -> None:
        self._finish(error)

    # --- inside --------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        await self._ask()

    def _let_go(self, document: str, position: int) -> None:
        """That change and those of its document behind it come again, or go to another: they are not handed out from here."""
        kept: deque[object] = deque()
        for arrived in self._held:
            if isinstance(arrived, tuple) and arrived[0].document == document and arrived[0].position >= position:
                self._arrived.pop(arrived[0].position, None)
                self._spend(arrived[2])
            else:
                kept.append(arrived)
        if len(kept) < len(self._held):
            self._held = kept  # type: ignore[assignment]
        self._arrived.pop(position, None)


def make_subscription(session: Session, wish: Wish, on_state: OnState | None = None) -> Subscription:
    kind = Subscription if wish.template.name is None else NamedSubscription
    return kind(session, wish, on_state)
