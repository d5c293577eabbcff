"""Those who are behind are read the log, a piece for each in turn, until they have caught up; those who begin are shown what is there.

Nothing is kept for them but their place: what one cannot take now is read again when there is credit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio
from msgspec import Raw

from palimpsest.actors.asking import as_told
from palimpsest.actors.cursors import compacted_in_view
from palimpsest.actors.making import Encoded, Made, Maker, check_size, encode
from palimpsest.actors.reading import Reader
from palimpsest.actors.subscription import State, Subscription
from palimpsest.actors.tail import Tail
from palimpsest.errors import CommitFailed, Compacted, DocumentNotFound, Overload, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.protocol.changes import address, encode_change
from palimpsest.protocol.messages import Change, Document, Get, List, Names
from palimpsest.state.lens import Lens
from palimpsest.storage.contracts import Row

_ROWS_TOGETHER = 256
_BYTES_TOGETHER = 256 * 1024
_NAMES_TOGETHER = 64
_AGAIN_SECONDS = 0.01
_NO_DELTA = Raw(b"\x90")


class Backlog:
    """ask: reads a document, as anybody would; ask_through: the same in a view's words. names: answers a request. newest: the durable version
    of a document branch that is awake, 0 of one that is not.

    fall_behind: told of a subscription for which there is a change that cannot be sent now. end: of one that cannot go on, and why.
    """

    def __init__(
        self,
        reader: Reader,
        tail: Tail,
        maker: Maker,
        limits: Limits,
        ask: Callable[[Get], Awaitable[Document]],
        ask_through: Callable[[Lens, Get], Awaitable[Document]],
        names: Callable[[List], Awaitable[Names]],
        newest: Callable[[str, str], int],
        fall_behind: Callable[[Subscription], None],
        end: Callable[[Subscription, PalimpsestError], None],
    ) -> None:
        self._reader = reader
        self._tail = tail
        self._maker = maker
        self._limits = limits
        self._ask = ask
        self._ask_through = ask_through
        self._names = names
        self._newest = newest
        self._fall_behind = fall_behind
        self._end = end
        self._turns: deque[Subscription] = deque()
        self._work = anyio.Event()
        self.deliveries = 0
        """Changes that were sent since the start."""

    def go_on(self, subscription: Subscription) -> None:
        """It may read on, or is live if there is nothing to read."""
        if subscription.state not in (State.BEHIND, State.SHOWING) or not subscription.is_served:
            return
        if subscription.state is State.BEHIND and subscription.next == self._tail.end:
            subscription.state = State.LIVE
            subscription.tell(State.LIVE, self._tail.end)
        elif not subscription.queued:
            subscription.queued = True
            self._turns.append(subscription)
            self._work.set()

    async def run(self) -> None:
        """Reads a piece for each in turn, until cancelled."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            while self._turns:
                subscription = self._turns.popleft()
                subscription.queued = False
                if subscription.state in (State.BEHIND, State.SHOWING) and subscription.is_served:
                    await self._read_on(subscription)

    async def _read_on(self, subscription: Subscription) -> None:
        try:
            if subscription.state is State.SHOWING:
                await self._show(subscription)
            else:
                await self._read(subscription)
        except (Overload, CommitFailed):
            # A value was asked for behind others, who failed or are too many. It is as durable as before: once more, later.
            await anyio.sleep(_AGAIN_SECONDS)
        except Exception as error:
            self._end(subscription, _as_told(subscription, error))
            return
        self.go_on(subscription)

    # --- what is there -------------------------------------------------------------------------------------------

    async def _show(self, subscription: Subscription) -> None:
        """A piece of what is there now."""
        request = List(0, subscription.pattern.text, subscription.branch, subscription.shown, _NAMES_TOGETHER)
        found = await self._names(request)
        for name in found.names:
            if not subscription.is_served or subscription.state is not State.SHOWING:
                return
            if subscription.lens is None or subscription.lens.is_for(name):
                await self._show_one(subscription, name)
            subscription.shown = name
        if not found.more and subscription.state is State.SHOWING:
            subscription.state = State.BEHIND
            subscription.send_marker(State.SHOWING, subscription.next)

    async def _show_one(self, subscription: Subscription, name: str) -> None:
        try:
            request, lens = Get(0, name, subscription.branch), subscription.lens
            document = await (self._ask(request) if lens is None else self._ask_through(lens, request))
        except DocumentNotFound:
            return  # deleted meanwhile, which is a change
        what = (document.document, subscription.branch, document.version, document.kind, document.at, _NO_DELTA)
        change = Change((), subscription.next - 1, *what, document.meta, 0, document.value, None, True)
        self._send(subscription, change.position, encode_change(change))

    # --- what has happened ---------------------------------------------------------------------------------------

    async def _read(self, subscription: Subscription) -> None:
        """A piece of the log."""
        archived = self._tail.start
        rows = await self._reader.rows(
            subscription.next,
            rows_max=_ROWS_TOGETHER,
            bytes_max=_BYTES_TOGETHER,
            pattern=subscription.pattern,
            branch=subscription.branch,
        )
        last = await self._last_of_each(subscription, rows, archived)
        for row in rows:
            if subscription.state is State.ENDED:
                return
            if subscription.follows(row.event) and not self._is_overtaken(subscription, row, last):
                if not subscription.is_served:
                    self._fall_behind(subscription)
                    return
                await self._send_row(subscription, row, archived)
            subscription.next = row.position + 1

    def _is_overtaken(self, subscription: Subscription, row: Row, last: dict[str, int]) -> bool:
        """Whether it is left out, because a newer change of its document is to be sent. last: see `_last_of_each`."""
        if subscription.policy != "latest":
            return False
        event = row.event
        if last.get(event.document, row.position) > row.position:
            return True
        # The newest version of all need not be one that the subscription wants, or sees.
        is_any = subscription.condition is None and subscription.lens is None
        return is_any and self._newest(event.document, event.branch) > event.version

    async def _last_of_each(self, subscription: Subscription, rows: Sequence[Row], archived: int) -> dict[str, int]:
        """By document, the position of the last that is to be sent; empty where all of them are."""
        found: dict[str, int] = {}
        if subscription.policy == "latest":
            for row in reversed(rows):
                name = row.event.document
                if name in found or not subscription.follows(row.event):
                    continue
                if subscription.lens is None or await self._made(subscription, row, archived) is not None:
                    found[name] = row.position
        return found

    async def _send_row(self, subscription: Subscription, row: Row, archived: int) -> None:
        if not subscription.is_relayed:
            self._send(subscription, row.position, encode(row))
            return
        made = await self._made(subscription, row, archived)
        if made is not None:
            self._send(subscription, row.position, made.encoded)

    async def _made(self, subscription: Subscription, row: Row, archived: int) -> Made | None:
        """What a subscription that wants more than the log has gets of a row that it follows, if anything."""
        made = await self._maker.make(row, subscription.lens, archived, values=subscription.values)
        return made if subscription.wants_made(made) else None

    def _send(self, subscription: Subscription, position: int, encoded: Encoded) -> None:
        message = address(encoded, (subscription.number,))
        check_size(len(message), self._limits)
        subscription.credit_bytes -= len(message)
        subscription.told_position = position
        if subscription.state is not State.ENDED:
            self.deliveries += 1
            subscription.subscriber.push(message)


def _as_told(subscription: Subscription, error: Exception) -> PalimpsestError:
    """The error as its subscriber has it, whose cursors are of what it sees."""
    if isinstance(error, Compacted) and subscription.lens is not None:
        return compacted_in_view(error, subscription.epoch, subscription.lens)
    return as_told(subscription.number, error)
