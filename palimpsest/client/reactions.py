"""Reactions: an async function that is called with each change, in order per document, and is tried again where it fails.

One task reads the subscription and puts each change behind the others of its document. Documents that have something to do wait
in a line; as many tasks as are allowed take the first of it, handle one change, and put it at the end of the line if there is
more. The cursor follows behind the oldest change that is not handled yet.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

from palimpsest.client.backoff import Backoff
from palimpsest.client.durable import NamedSubscription, make_subscription
from palimpsest.client.feeds import Wish
from palimpsest.client.results import Change
from palimpsest.client.session import Session
from palimpsest.errors import InvalidRequest, PalimpsestError
from palimpsest.logs import get_logger
from palimpsest.protocol.cursor import encode_cursor

log = get_logger("palimpsest.client")

Handler: TypeAlias = Callable[[Change], Awaitable[object]]
OnError: TypeAlias = Callable[[Change, Exception], Awaitable[object] | object]

_WAITING_PER_HANDLER = 16
"""So many changes for each handler that may run are taken from the subscription, whose credit bounds the rest."""


class _Handling:
    """One change, from when it is taken until the cursor has passed it. cursor: the place after it."""

    __slots__ = ("change", "cursor", "done")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.cursor = change.cursor
        self.done = False


class Reaction:
    """What `Client.on` makes of a handler. It runs inside of `async with`, once; calling it calls the handler.

    Leaving the block ends handlers that are at it. What they were called with comes again to a reaction that is made with
    `resume_after=reaction.cursor`: every change is handled at least once, and again only where that was cut short. Where the reaction
    has stopped with an error, `wait` raises it, and so does leaving the block, unless the block raises something itself.
    """

    def __init__(
        self,
        session: Session,
        wish: Wish,
        handler: Handler,
        concurrency_max: int,
        retries: int,
        on_error: OnError | None,
    ) -> None:
        if not callable(handler) or (inspect.isfunction(handler) and not inspect.iscoroutinefunction(handler)):
            raise InvalidRequest(f"a reaction is an async function, not {handler!r}", reason="handler")
        self.handler = handler
        self.__doc__ = handler.__doc__
        self._session = session
        self._wish = wish
        self._concurrency_max = concurrency_max
        self._retries = retries
        self._on_error = on_error
        self._changes = make_subscription(session, wish)
        self._named = self._changes if isinstance(self._changes, NamedSubscription) else None
        self._running: asyncio.Task[None] | None = None
        self._lines: dict[str, deque[_Handling]] = {}
        """By document, what is to be handled; the first may be at it."""
        self._ready: deque[str] = deque()
        """Documents that have something to do, of which no handler is at it."""
        self._workers = 0
        self._order: deque[_Handling] = deque()
        """All that was taken and that the cursor has not passed, in the order of the feed."""
        self._cursor = ""
        """Of the last change that was handled with all before it."""
        self._room = asyncio.Event()
        self._error: Exception | None = None

    def __call__(self, change: Change) -> Awaitable[object]:
        return self.handler(change)

    @property
    def cursor(self) -> str:
        """The place after the last change that is handled, as are all before it: to go on from there, exactly after it, hand it to
        `resume_after`. "" while a snapshot is being handled. With a name: as of the subscription."""
        return self._cursor if self._order and self._named is None else self._changes.cursor

    @property
    def waiting(self) -> int:
        """Changes that were taken and are not handled yet."""
        return sum(not handling.done for handling in self._order)

    async def wait(self) -> None:
        """Returns when the block is left. Raises what the reaction has stopped with."""
        if self._running is None:
            raise InvalidRequest("a reaction runs inside of `async with`", reason="not running")
        await asyncio.wait((self._running,))
        if self._error is not None:
            raise self._error

    # --- coming and going ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._running is not None:
            raise InvalidRequest("a reaction runs once: make another, with its cursor", reason="running")
        await self._changes.__aenter__()
        self._running = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._running is not None
        await self._changes.__aexit__(None, None, None)
        self._running.cancel()
        await asyncio.wait((self._running,))
        if error is None and self._error is not None:
            raise self._error

    # --- taking --------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as workers:
                await self._read(workers)
        except* Exception as errors:
            self._error = errors.exceptions[0]
            log.error(
                "reaction_stopped", handler=_name(self.handler), pattern=self._changes.pattern, error=repr(self._error)
            )
            await self._changes.__aexit__(None, None, None)

    async def _read(self, workers: asyncio.TaskGroup) -> None:
        waiting_max = self._concurrency_max * _WAITING_PER_HANDLER
        while True:
            try:
                taken = await self._changes.take()
            except StopAsyncIteration:
                return
            assert taken is not None
            message, epoch = taken
            if not self._order:
                self._cursor = "" if message.snapshot else encode_cursor(epoch, message.position - 1)
            self._changes.passed()
            self._put(Change(message, epoch))
            if self._ready and self._workers < self._concurrency_max:
                self._workers += 1
                workers.create_task(self._work())
            while len(self._order) >= waiting_max:
                self._room.clear()
                await self._room.wait()

    def _put(self, change: Change) -> None:
        handling = _Handling(change)
        self._order.append(handling)
        line = self._lines.get(change.document)
        if line is None:
            self._lines[change.document] = deque((handling,))
            self._ready.append(change.document)
        else:
            line.append(handling)

    # --- handling ------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """As long as there is something to do that no other handler is at."""
        while self._ready:
            document = self._ready.popleft()
            line = self._lines[document]
            change = line[0].change
            if self._named is None or self._named.has(change):  # else it came again, and was acknowledged meanwhile
                await self._handle(change)
            self._handled(line.popleft())
            if line:
                self._ready.append(document)
            else:
                del self._lines[document]
        self._workers -= 1

    async def _handle(self, change: Change) -> None:
        settings = self._session.settings
        backoff = Backoff(settings.backoff_seconds_min, settings.backoff_seconds_max)
        tries = 0
        while True:
            try:
                await self.handler(change)
            except Exception as error:
                tries += 1
                if tries > self._retries:
                    await self._give_up(change, error)
                    return
                log.warning(
                    "reaction_failed", handler=_name(self.handler), change=repr(change), tries=tries, error=repr(error)
                )
            else:
                if self._named is not None:
                    await self._settle(change, self._named.ack(change))
                return
            await asyncio.sleep(backoff.next_seconds())

    async def _give_up(self, change: Change, error: Exception) -> None:
        """Raises the error where nobody takes it, and what on_error raises."""
        if self._on_error is not None:
            answer = self._on_error(change, error)
            if inspect.isawaitable(answer):
                await answer
        elif self._named is None:
            raise error
        if self._named is not None:
            self._drop_behind(change.document)
            await self._settle(change, self._named.nack(change, reason=repr(error)))

    def _drop_behind(self, document: str) -> None:
        """What waits behind the change that is refused comes again after it."""
        line = self._lines[document]
        while len(line) > 1:
            self._handled(line.pop())

    async def _settle(self, change: Change, word: Awaitable[None]) -> None:
        """Where it does not get through, the change comes again."""
        try:
            await word
        except PalimpsestError as error:
            log.warning("reaction_unsettled", handler=_name(self.handler), change=repr(change), error=repr(error))

    def _handled(self, handling: _Handling) -> None:
        handling.done = True
        while self._order and self._order[0].done:
            self._cursor = self._order.popleft().cursor
            self._room.set()


def _name(handler: Handler) -> str:
    return getattr(handler, "__qualname__", repr(handler))
