"""A subscription: changes as they come, over reconnections, without a gap and without a duplicate.

What the reader has not taken yet is held here, and bounded by credit: the server sends no more bytes of changes than it was
given credit for, and gets credit back as the reader takes them. After a reconnection the subscription goes on after the last
change that was received, whether or not the reader has taken it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Literal, Self

from palimpsest.client.results import Change
from palimpsest.client.session import Session
from palimpsest.errors import InvalidRequest, PalimpsestError, UnexpectedMessage
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import decode_cursor, encode_cursor

Start = Literal["now", "beginning"]


class Subscription:
    """An async context manager and the async iterator of `Change`s inside it.

    Entering returns once the server has taken the subscription, so that every change after that is seen; it raises
    CursorError or InvalidName where the server refuses it. Iterating raises what ended the subscription, after the changes
    that came before that, and stops where the block has been left. One reader at a time.
    """

    def __init__(
        self, session: Session, pattern: str, branch: str, *, start: Start, resume_after: str | None, values: bool
    ) -> None:
        if start not in ("now", "beginning"):
            raise InvalidRequest(f"a subscription starts 'now' or at the 'beginning', not {start!r}", reason="start")
        if start == "beginning" and resume_after is not None:
            raise InvalidRequest("a subscription starts at the beginning or after a cursor, not both", reason="start")
        self.pattern = pattern
        self.branch = branch
        self._session = session
        self._start = start
        self._resume_after = resume_after
        self._values = values
        self._number = session.next_id()
        self._epoch = ""
        self._received_position = 0
        """Of the last change, or marker, that has arrived."""
        self._taken_position = 0
        """Of the last change that the reader has taken."""
        self._changes: deque[tuple[m.Change, int]] = deque()
        """What has arrived and was not taken, each with its cost in bytes."""
        self._held_bytes = 0
        self._taken_bytes = 0
        """Taken since credit was given back last."""
        self._window_bytes = 0
        self._reader: asyncio.Future[None] | None = None
        self._live = False
        self._over = False
        self._error: PalimpsestError | None = None

    # --- for the reader ------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> str:
        """The place after the last change that the reader has taken: a later subscription may resume after it."""
        return encode_cursor(self._epoch, self._taken_position)

    @property
    def live(self) -> bool:
        """Whether the server had nothing older left to send when it was last heard of."""
        return self._live

    @property
    def held_bytes(self) -> int:
        """Of changes that have arrived and were not taken yet."""
        return self._held_bytes

    async def __aenter__(self) -> Self:
        if self._session.blocked:
            await self._session.room()
        if self._start == "beginning":
            self._resume_after = encode_cursor(self._session.epoch, 0)
        message = self._subscribe(self._resume_after)
        self._session.followers[self._number] = self
        try:
            answer = await self._session.ask(message)
            if not isinstance(answer, m.Subscribed):
                raise UnexpectedMessage(f"a {type(answer).__name__} to a Subscribe", kind=type(answer).__name__)
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._changes:
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            await self._arrival()
        message, cost_bytes = self._changes.popleft()
        self._taken_position = message.position
        self._held_bytes -= cost_bytes
        self._taken_bytes += cost_bytes
        if self._taken_bytes * 2 >= self._window_bytes:
            self._session.tell(m.Credit(self._number, self._taken_bytes))
            self._taken_bytes = 0
        return Change(message, self._epoch)

    # --- for the session -----------------------------------------------------------------------------------------

    @property
    def established(self) -> bool:
        return self._epoch != ""

    def request(self) -> m.Subscribe:
        return self._subscribe(encode_cursor(self._epoch, self._received_position))

    def on_subscribed(self, message: m.Subscribed) -> None:
        if not self.established:
            self._epoch, self._received_position = decode_cursor(message.cursor)
            self._taken_position = self._received_position

    def on_change(self, message: m.Change, cost_bytes: int) -> None:
        if message.position <= self._received_position:
            return
        self._received_position = message.position
        self._held_bytes += cost_bytes
        self._changes.append((message, cost_bytes))
        self._wake()

    def on_marker(self, message: m.Marker) -> None:
        """A marker's place counts as taken where nothing is held before it: the reader has seen all that there was."""
        self._live = message.state == "live"
        _, position = decode_cursor(message.cursor)
        self._received_position = max(self._received_position, position)
        if not self._changes:
            self._taken_position = self._received_position

    def on_end(self, error: PalimpsestError | None) -> None:
        self._over = True
        self._error = error
        self._wake()

    # --- inside --------------------------------------------------------------------------------------------------

    def _subscribe(self, resume_after: str | None) -> m.Subscribe:
        """Credit is for one connection: a new one starts with what there is room for."""
        session = self._session
        granted = session.settings.credit_bytes
        self._window_bytes = min(granted, session.limits.get("subscription_bytes_max", granted))
        self._taken_bytes = 0
        credit_bytes = max(0, self._window_bytes - self._held_bytes)
        return m.Subscribe(
            session.next_id(), self._number, self.pattern, self.branch, resume_after, credit_bytes, self._values
        )

    def _leave(self) -> None:
        self._over = True
        if self._session.followers.pop(self._number, None) is not None:
            self._session.tell(m.Unsubscribe(self._number))
        self._changes.clear()
        self._held_bytes = 0
        self._wake()

    async def _arrival(self) -> None:
        if self._reader is not None:
            raise InvalidRequest("a subscription is read by one reader at a time", reason="two readers")
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
