"""Changes as they happen, as server-sent events: a subscription, and `Last-Event-ID` is its cursor.

A reader that does not keep up costs what one subscription holds, which is bounded by credit, and what its socket holds. The server marks it as
behind, and reads the log for it again when it has room. Nothing waits here for the others.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec

from palimpsest.client import Change, Subscription
from palimpsest.client.feeds import Policy, Start
from palimpsest.errors import PalimpsestError
from palimpsest.web import sse
from palimpsest.web.operations import EVENT_STREAM, Call, Operation, Query, Stream
from palimpsest.web.plain import change_of
from palimpsest.web.problems import Problem, problem_of
from palimpsest.web.sse import Frames
from palimpsest.words import MAIN

_CHUNK_BYTES = 64 * 1024
"""So much is written at a time, about, where so much is there."""


class EventsQuery(Query, frozen=True, kw_only=True):
    """Where it starts: after `last_event_id`, for those who cannot set the header `Last-Event-ID`, which counts for more; with `from_version`, or what
    was made at `from_time` or later; or as `start` says. With a cursor, only `start=snapshot` is looked at: what is there now is shown where the cursor
    is of no use any more."""

    pattern: str = "**"
    branch: str = MAIN
    start: Start = "now"
    from_version: int | None = None
    from_time: datetime | None = None
    last_event_id: str | None = None
    values: bool = False
    tag: tuple[str, ...] = ()
    by: str | None = None
    path: str | None = None
    policy: Policy = "all"
    perspective: str | None = None
    family: str | None = None
    level: int | None = None


class Reader:
    """The chunks of one event stream. An async iterator of bytes; one reader at a time."""

    def __init__(self, frames: Frames, keep_alive_seconds: float, *, has_values: bool) -> None:
        self._frames = frames
        self._keep_alive_seconds = keep_alive_seconds
        self._has_values = has_values
        self._subscription: Subscription
        self._state = ""
        """That was told last."""
        self._chunk = [sse.opening()]
        """What is to be written next."""
        self._told: dict[str, bytes] = {}
        """What became of the subscription since, by state: of each the last, so that this is bounded for a reader that never reads."""
        self._is_over = False
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        """When a comment is to be written if nothing else is, by the loop's time."""
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self, subscription: Subscription) -> None:
        """subscription: made with `on_state`, and not entered yet. Raises what entering it raises."""
        self._subscription = subscription
        await subscription.__aenter__()
        self._timer = self._loop.call_later(self._keep_alive_seconds, self._look_at_time)

    def on_state(self, state: str) -> None:
        cursor = self._subscription.cursor
        if state != self._state or state == "snapshot":  # another snapshot is another beginning
            self._state = state
            self._note(state, sse.frame("state", {"state": state}, cursor))
        elif cursor:
            self._note("", sse.place(cursor))
        self._subscription.wake()  # what is told is written at once

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk; a comment where there was none for keep_alive_seconds. The last one says what ended the subscription."""
        if self._is_over:
            raise StopAsyncIteration
        if not self._subscription.is_drained:
            await asyncio.sleep(0)  # others have their turn between the chunks of one that catches up
        elif not self._chunk and not self._told:
            self._due = self._loop.time() + self._keep_alive_seconds
            await self._subscription.arrival()
        self._fill()
        chunk = b"".join(self._chunk) or sse.ALIVE
        self._chunk.clear()
        return chunk

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._subscription.__aexit__(None, None, None)

    def _look_at_time(self) -> None:
        """One timer for all chunks: most of them come long before it is due, and put it off."""
        left_seconds = self._due - self._loop.time()
        if left_seconds <= 0:
            self._subscription.wake()
            left_seconds = self._keep_alive_seconds
        self._timer = self._loop.call_later(left_seconds, self._look_at_time)

    def _fill(self) -> None:
        """The chunk is what has arrived, or what ended the subscription."""
        size_bytes = 0
        try:
            while size_bytes < _CHUNK_BYTES and (taken := self._subscription.take_arrived()) is not None:
                if self._told:
                    self._tell()
                made = self._frame(*taken)
                self._chunk.append(made)
                size_bytes += len(made)
        except StopAsyncIteration:
            self._is_over = True
        except PalimpsestError as error:
            self._is_over = True
            self._tell()
            self._chunk.append(sse.frame("ended", problem_of(error).content))
        if self._told:
            self._tell()

    def _frame(self, message: Any, epoch: str) -> bytes:
        kept = self._frames.get(message, self._has_values)
        if kept is not None:
            return kept
        return self._frames.keep(message, self._has_values, self._encode(Change(message, epoch)))

    def _encode(self, change: Change) -> bytes:
        return sse.frame("change", change_of(change, with_value=self._has_values), change.cursor)

    def _note(self, state: str, said: bytes) -> None:
        self._told.pop(state, None)  # it goes behind the others
        self._told[state] = said

    def _tell(self) -> None:
        self._chunk += self._told.values()
        self._told.clear()


async def follow(call: Call) -> Stream:
    """The stream, once the server has taken the subscription: what it refuses is a problem, and no stream."""
    query: EventsQuery = call.query
    services = call.services
    reader = Reader(services.frames, services.limits.keep_alive_seconds, has_values=query.values)
    options = msgspec.structs.asdict(query) | _place(query, call.headers.get("last-event-id"))
    del options["last_event_id"]
    tags = options.pop("tag")
    await reader.begin(call.client.subscribe(**options, tags=tags, on_state=reader.on_state))
    return Stream(reader)


def _place(query: EventsQuery, header: str | None) -> dict[str, Any]:
    """Where it starts, as `subscribe` wants to have it said."""
    cursor = header or query.last_event_id or None
    if cursor is None:
        return {}
    start = "snapshot" if query.start == "snapshot" else "now"
    return {"resume_after": cursor, "start": start, "from_version": None, "from_time": None}


OPERATIONS = (
    Operation(
        method="GET",
        path="/events",
        id="followEvents",
        summary="Changes as they happen, as server-sent events",
        group="feeds",
        handler=follow,
        query=EventsQuery,
        answers={200: str, 410: Problem},
        media_type=EVENT_STREAM,
        request_headers={"Last-Event-ID": "The `id` of the last event that was received: the stream goes on after it."},
    ),
)
