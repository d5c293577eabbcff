"""A subscription: changes as they come, over reconnections, without a gap and without a duplicate.

What the reader has not taken yet is held here, and bounded by credit: the server sends no more bytes of changes than it was
given credit for, and gets credit back as the reader takes them. What the server says of the feed itself is held between the
changes, so that the reader hears of it where it belongs. After a reconnection the subscription goes on after the last
change that was received, whether or not the reader has taken it.

A snapshot that is cut is begun again, and what was shown before is left out. Then the changes follow from where the first
attempt began, so that what was deleted in between is heard of, too. Changes that a snapshot has in it already are left out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

import msgspec

from palimpsest.client.feeds import Wish
from palimpsest.client.grouping import Transactions
from palimpsest.client.pacing import Pace
from palimpsest.client.results import Change
from palimpsest.client.session import Session
from palimpsest.client.viewing import make_view, show
from palimpsest.errors import (
    CursorError,
    InvalidRequest,
    Overloaded,
    PalimpsestError,
    UnexpectedMessage,
    ViewChanged,
    from_wire,
)
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import decode_cursor, encode_cursor

_PASSING = frozenset({"live", "behind"})
"""What holds until the other is said, or the connection is lost."""

OnState = Callable[[str], object]
"""Told what becomes of a subscription: "snapshot", "current", "live", "behind", "disconnected" or "reconnected"."""


Arrived: TypeAlias = tuple[m.Change, str, int]
"""A change that is held, its epoch, and its cost in bytes."""


class _Mark(msgspec.Struct, frozen=True):
    """What was said of the feed, and after which position."""

    state: str
    epoch: str
    position: int
    link: int
    """In the count of links: what was said over an older one is no longer so."""


class Subscription:
    """An async context manager and the async iterator of `Change`s inside it.

    Entering returns once the server has taken the subscription, so that every change after that is seen; it raises
    CursorError or InvalidName where the server refuses it. Iterating raises what ended the subscription, after the changes
    that came before that, and stops where the block has been left. One reader at a time.
    """

    def __init__(self, session: Session, wish: Wish, on_state: OnState | None = None) -> None:
        """on_state: called in order with the changes, once the reader has taken what came before; but at once where the connection
        is lost or back. What it raises ends the subscription."""
        self.pattern = wish.template.pattern
        self.branch = wish.template.branch
        self._session = session
        self._wish = wish
        self._view = wish.view
        self._on_state = on_state
        self._pace = None if wish.speed is None else Pace(wish.speed)
        self._number = session.next_id()
        self._epoch = ""
        self._received_position = 0
        """Of the last change, or marker, that has arrived."""
        self._showing = wish.start == "snapshot" and not wish.resume_after
        """Whether a snapshot is asked for, or under way."""
        self._again = False
        """Whether this snapshot was cut, so that the changes before it are to be asked for, too."""
        self._base: int | None = None
        """The position that changes follow after the snapshot: of the first attempt. None before there was one."""
        self._shown: dict[str, int] | None = None
        """The versions that the snapshot gave, by document, for as long as changes may come that it has in it."""
        self._is_plain = wish.from_time is None
        """Whether a change is known by its position alone: nothing else says that the reader has it, or does not want it."""
        self._held: deque[Arrived | _Mark] = deque()
        """What has arrived and was not taken."""
        self._taken_bytes = 0
        """Taken since credit was given back last."""
        self._window_bytes = 0
        self._taken_cursor: tuple[str, int] | None = ("", 0)
        """Epoch and position of the last change that the reader has taken; None while it reads a snapshot."""
        self._handed_cursor: tuple[str, int] | None = None
        """The same, before what was taken and is not handed out: of a transaction that is not whole yet."""
        self._is_handed = True
        """Whether there is nothing of that sort."""
        self._links = 0
        self._reader: asyncio.Future[None] | None = None
        self._live = False
        self._current = False
        self._over = False
        self._error: Exception | None = None

    # --- for the reader ------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> str:
        """The place after the last change that the reader has taken: a later subscription may resume after it. "" while a
        snapshot is being read, after which there is no place to go on from yet."""
        place = self._taken_cursor if self._is_handed else self._handed_cursor
        return "" if place is None else encode_cursor(*place)

    @property
    def live(self) -> bool:
        """Whether the reader has taken all that there was when the server was last heard of. False while disconnected."""
        return self._live

    @property
    def current(self) -> bool:
        """Whether the reader has ever taken all that was there: the whole snapshot, or the whole log where there is none."""
        return self._current

    @property
    def held_bytes(self) -> int:
        """Of changes that have arrived and were not taken yet."""
        return sum(arrived[2] for arrived in self._held if isinstance(arrived, tuple))

    @property
    def is_drained(self) -> bool:
        """Whether nothing has arrived that was not taken."""
        return not self._held

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
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
        held = self._held
        if not held and self._pace is None and not self._over:
            await self._arrival(None)
        if held and self._pace is None and isinstance(head := held[0], tuple):
            return Change(*self._pop(head))
        taken = await self.take()
        assert taken is not None  # without a position to stop at
        self._is_handed = True
        return Change(*taken)

    def transactions(self) -> Transactions:
        """The changes that were made together, together: an async iterator of lists. Of a transaction, a list has the changes that
        the subscription follows; where others end it, that takes one more exchange with the server to know."""
        return Transactions(self)

    def set_level(self, level: int) -> None:
        """From now on, what comes is seen on another level of the family. What has arrived on the old one comes first; then a snapshot
        shows what is there on the new one, and changes follow. Raises InvalidRequest where no family was asked for, and outside of the
        block; a level that there is not ends the subscription with PerspectiveNotFound."""
        if self._view is None or self._view[1] is None:
            raise InvalidRequest("only a subscription of a family has a level: family= and level=", reason="level")
        if self._wish.template.name is not None:
            raise InvalidRequest("a named subscription is of one level: subscribe anew for another", reason="name")
        if self._over or not self.established:
            raise InvalidRequest("a level is set inside of the block of a subscription that goes on", reason="level")
        view = make_view(None, self._view[0], level)
        if view != self._view:
            self._view = view
            self._live = False
            self._unfollow()
            self._show_afresh()

    async def ack(self, *changes: Change) -> None:
        """These are dealt with; the server has written it down on return. More than once is as good as once, and it does not matter by
        whom: what was delivered again meanwhile is dealt with, too. Raises SubscriptionNotFound; InvalidRequest without a name."""
        raise _nameless()

    async def nack(self, change: Change, *, reason: str = "", delay_seconds: float = 0.0) -> None:
        """It failed: it is delivered again, to another worker if there is one, at once or after delay_seconds (at most an hour); those of
        its document that come after it wait for it. Where it was delivered tries_max times it is put aside, with the reason. Raises as
        `ack`."""
        raise _nameless()

    # --- for those who read in another way -----------------------------------------------------------------------

    async def take(self, until: int | None = None) -> tuple[m.Change, str] | None:
        """The next change and its epoch; None, with until, once nothing up to that position is to come. Raises StopAsyncIteration
        once it is over, or what ended it. `passed` is to be called once what was taken is handed out."""
        asked = False
        while True:
            self._pass_marks()
            head = self._held[0] if self._held else None
            if isinstance(head, tuple):
                if until is not None and head[0].position > until:
                    return None
                wait_seconds = self._wait_seconds(head[0])
                if wait_seconds <= 0:
                    if self._is_handed:
                        self._handed_cursor, self._is_handed = self._taken_cursor, False
                    return self._pop(head)
                await self._arrival(wait_seconds)
                continue
            if until is not None and self._is_past(until):
                return None
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            if self._live:
                self._pace = None
            if until is not None and not asked:
                asked = True
                self._session.nudge()
            await self._arrival(None)

    def passed(self) -> None:
        self._is_handed = True

    def take_arrived(self) -> tuple[m.Change, str] | None:
        """The next change that has arrived, and its epoch, handed out at once and whatever its speed; None: there is none yet. Raises
        StopAsyncIteration once it is over, or what ended it."""
        if self._held:
            self._pass_marks()
        if self._held and isinstance(head := self._held[0], tuple):
            self._is_handed = True
            return self._pop(head)
        if self._error is not None:
            raise self._error
        if self._over:
            raise StopAsyncIteration
        return None

    async def arrival(self) -> None:
        """Returns once there may be something to take, or the subscription is over, or `wake` was called meanwhile."""
        if not self._held and not self._over:
            await self._arrival(None)

    def wake(self) -> None:
        """The reader is to look again, for a reason of its own."""
        self._wake()

    # --- for the session -----------------------------------------------------------------------------------------

    @property
    def established(self) -> bool:
        return self._epoch != ""

    def request(self) -> m.Subscribe | m.Through:
        if self._showing:
            return self._subscribe(snapshot=True)
        return self._subscribe(resume_after=encode_cursor(self._epoch, self._received_position))

    def on_subscribed(self, message: m.Subscribed) -> None:
        epoch, position = decode_cursor(message.cursor)
        if self._showing and (self._base is None or epoch != self._epoch):
            self._epoch, self._received_position = epoch, position
            self._base, self._shown, self._again = position, {}, False
            self._is_plain = False
            self._hold_mark("snapshot", position)
        elif self._showing:
            self._again = position != self._base
        elif not self.established:
            self._epoch, self._received_position = epoch, position
            self._taken_cursor = (epoch, position)

    def on_change(self, message: m.Change, cost_bytes: int) -> None:
        position = message.position
        if self._is_plain and position > self._received_position and not message.snapshot:
            self._received_position = position
        elif self._is_known(message):
            self._spend(cost_bytes)
            return
        held = self._held
        if not held:  # else the reader is awake, or waits for the time of what is held
            self._wake()
        held.append((message, self._epoch, cost_bytes))

    def on_marker(self, message: m.Marker) -> None:
        """A marker's place counts as taken once nothing is held before it: the reader has seen all that there was."""
        _, position = decode_cursor(message.cursor)
        if message.state == "current":
            self._shown_all()
            return
        self._received_position = max(self._received_position, position)
        if message.state == "live" and not self._showing:
            self._shown, self._is_plain = None, self._wish.from_time is None
        self._hold_mark(message.state, position)

    def on_link(self, up: bool) -> None:
        if not up:
            self._links += 1
            self._live = False
        self._tell("reconnected" if up else "disconnected")

    def on_end(self, error: PalimpsestError | None) -> None:
        if error is not None and not self._over and self._recovers(error):
            self._show_afresh()
            return
        self._finish(None if error is None else _advised(error))

    # --- how it begins -------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        try:
            await self._ask()
        except CursorError as error:
            if not self._recovers(error):
                raise _advised(error) from None
            self._showing = True
            await self._ask()

    async def _ask(self) -> None:
        if self._session.blocked:
            await self._session.room()
        wish = self._wish
        resume_after = encode_cursor(self._session.epoch, 0) if wish.start == "beginning" else wish.resume_after
        if self._showing:
            message = self._subscribe(snapshot=True)
        else:
            message = self._subscribe(resume_after, from_version=wish.from_version, from_time=wish.from_time)
        self._session.followers[self._number] = self
        answer = await self._session.ask(message)
        if not isinstance(answer, m.Subscribed):
            raise UnexpectedMessage(f"a {type(answer).__name__} to a Subscribe", kind=type(answer).__name__)

    def _subscribe(
        self,
        resume_after: str | None = None,
        *,
        snapshot: bool = False,
        from_version: int | None = None,
        from_time: int | None = None,
    ) -> m.Subscribe | m.Through:
        """Credit is for one connection: a new one starts with what there is room for."""
        session = self._session
        granted = session.settings.credit_bytes
        self._window_bytes = min(granted, session.limits.get("subscription_bytes_max", granted))
        self._taken_bytes = 0
        message = msgspec.structs.replace(
            self._wish.template,
            id=session.next_id(),
            subscription=self._number,
            resume_after=resume_after,
            credit_bytes=max(0, self._window_bytes - self.held_bytes),
            snapshot=snapshot,
            from_version=from_version,
            from_time=from_time,
        )
        asked: m.Subscribe | m.Through = show(self._view, message)
        return asked

    # --- snapshots -----------------------------------------------------------------------------------------------

    def _is_known(self, message: m.Change) -> bool:
        """Whether the reader has it already, or did not ask for it."""
        if message.snapshot:
            shown = self._shown
            if not self._showing or shown is None or message.version <= shown.get(message.document, 0):
                return True
            shown[message.document] = message.version
            return False
        if message.position <= self._received_position:
            return True
        self._received_position = message.position
        if self._shown is not None and message.version <= self._shown.get(message.document, 0):
            return True
        # What was resumed after a cursor is filtered by its time here: a start is asked for once.
        return self._wish.from_time is not None and message.at < self._wish.from_time

    def _shown_all(self) -> None:
        assert self._base is not None
        self._showing = False
        self._hold_mark("current", self._base)
        if self._again:
            self._unfollow()
            self._follow_anew()

    def _recovers(self, error: PalimpsestError) -> bool:
        """What is seen through another view than before has to be begun with, wherever this one started."""
        return isinstance(error, ViewChanged) or (self._wish.start == "snapshot" and isinstance(error, CursorError))

    def _show_afresh(self) -> None:
        """The changes after the last one are not kept any more, or do not fit what was seen: what is there now takes their place."""
        self._showing = True
        self._base = self._shown = None
        self._follow_anew()

    def _follow_anew(self) -> None:
        """Under another number, so that nothing that is still under way for the old one is taken for an answer."""
        self._number = self._session.next_id()
        self._session.follow(self._number, self)

    # --- what is held --------------------------------------------------------------------------------------------

    def _hold_mark(self, state: str, position: int) -> None:
        mark = _Mark(state, self._epoch, position, self._links)
        last = self._held[-1] if self._held else None
        if isinstance(last, _Mark) and {last.state, state} <= _PASSING:
            self._held.pop()  # nobody has heard of it
        self._held.append(mark)
        self._pass_marks()
        self._wake()

    def _pass_marks(self) -> None:
        """What stands before the first change."""
        while self._held and isinstance(mark := self._held[0], _Mark):
            self._held.popleft()
            self._pass(mark)

    def _pass(self, mark: _Mark) -> None:
        if mark.state == "snapshot":
            self._taken_cursor, self._current = None, False
        elif mark.state == "current":
            self._taken_cursor, self._current = (mark.epoch, mark.position), True
        elif self._taken_cursor is not None:
            self._taken_cursor = (mark.epoch, max(mark.position, self._taken_cursor[1]))
        if mark.state in _PASSING and mark.link != self._links:
            return
        self._live = mark.state == "live"
        self._current = self._current or self._live
        self._tell(mark.state)

    def _pop(self, head: Arrived) -> tuple[m.Change, str]:
        """head: the first that is held."""
        message, epoch, cost_bytes = head
        self._held.popleft()
        if not message.snapshot:
            self._taken_cursor = (epoch, message.position)
        self._taken_bytes += cost_bytes
        if self._taken_bytes * 2 >= self._window_bytes:
            self._give_back()
        return message, epoch

    def _spend(self, cost_bytes: int) -> None:
        """A change is dealt with: its credit goes back, together with that of others."""
        self._taken_bytes += cost_bytes
        if self._taken_bytes * 2 >= self._window_bytes:
            self._give_back()

    def _give_back(self) -> None:
        self._session.tell(m.Credit(self._number, self._taken_bytes))
        self._taken_bytes = 0

    def _is_past(self, position: int) -> bool:
        return self._taken_cursor is not None and self._taken_cursor[1] >= position

    # --- waiting -------------------------------------------------------------------------------------------------

    def _wait_seconds(self, message: m.Change) -> float:
        if self._pace is None or message.snapshot:
            return 0.0
        return self._pace.wait_seconds(message.at, asyncio.get_running_loop().time())

    async def _arrival(self, seconds: float | None) -> None:
        """Of anything new, or of the time."""
        if self._reader is not None:
            raise InvalidRequest("a subscription is read by one reader at a time", reason="two readers")
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, self._wake)
        try:
            await self._reader
        finally:
            self._reader = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _tell(self, state: str) -> None:
        if self._on_state is None:
            return
        try:
            self._on_state(state)
        except Exception as error:
            self._unfollow()
            self._finish(error)

    # --- the end -------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        self._unfollow()
        self._held.clear()
        self._finish(self._error)

    def _unfollow(self) -> None:
        if self._session.followers.pop(self._number, None) is not None:
            self._session.tell(m.Unsubscribe(self._number))

    def _finish(self, error: Exception | None) -> None:
        self._over = True
        self._error = error
        self._wake()


def _nameless() -> InvalidRequest:
    return InvalidRequest("only the changes of a named subscription are acknowledged", reason="name")


def _advised(error: PalimpsestError) -> PalimpsestError:
    """With what to do next."""
    if isinstance(error, CursorError):
        advice = "start='snapshot' begins with what is there now, also beside a cursor that can no longer be used"
    elif isinstance(error, Overloaded) and error.limit == "subscription_bytes_max":
        advice = "subscribe again with resume_after=subscription.cursor, and read faster, or with another policy"
    else:
        return error
    code, message, data = error.to_wire()
    return from_wire(code, f"{message}; {advice}", data)
