"""What outlives a connection: requests without an answer, subscriptions, and the task that keeps a link up.

All requests of one turn of the event loop leave in one frame. Each has a future, found by its id when the answer comes; a
caller that gives up cancels its future, and the answer is dropped. Requests time out by a coarse sweep: all have the same
timeout, so that the oldest is always the first of the table. A request that may take long is waited for beyond it, for as
long as the server is there: it is pinged more often then.

When the link is lost, another is made, and everything without an answer is sent again in its order: a read as it was, a
write marked as a repeat, so that the server looks it up before it applies it. Then subscriptions go on from the last place
they had received, and then what is new.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from palimpsest.client.backoff import Backoff
from palimpsest.client.link import Link, open_link
from palimpsest.client.reconnecting import Reconnections
from palimpsest.client.settings import Address, Settings
from palimpsest.client.tracing import Tracing, begin, end_with
from palimpsest.client.viewing import inner, replaced
from palimpsest.errors import (
    ConnectionLost,
    FrameTooLarge,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    LinkError,
    Overload,
    PalimpsestError,
    RequestTimeout,
    ServerClosing,
    StorageError,
    from_wire,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m

TRANSIENT = (LinkError, Overload, StorageError)
"""Why a link may end so that another attempt makes sense. Anything else would happen again."""

_WRITES = (
    m.Update,
    m.Create,
    m.Delete,
    m.Transact,
    m.Revert,
    m.Undo,
    m.Label,
    m.Erase,
    m.Branch,
    m.DeleteBranch,
    m.Merge,
    m.Pick,
    m.Rebase,
    m.Resolve,
    m.Abandon,
    m.DeleteSubscription,
)
_DEFAULT_SILENCE_SECONDS = Limits().peer_silence_seconds
_SWEEP_SECONDS_MAX = 0.5
_ATTEMPT_SECONDS_MIN = 1.0
"""What an attempt to connect is given at least, however late it is."""
_CLOSE_SECONDS = 1.0
"""How long what was sent may take to leave when the client is closed."""

_Pending = tuple["asyncio.Future[Any]", Any, float]
"""The caller's future, the request, and the loop's time at which it is given up."""


_FLUSH_READS, _FLUSH_WRITES = 32, 64
"""So many are not kept for the end of the turn: the server works on them while the callers behind them are still at it. Reads
are answered at once; writes cost a commit, and larger ones are better."""


class Follower(Protocol):
    """A subscription, as the session sees it."""

    @property
    def established(self) -> bool:
        """Whether the server has ever answered it. Until then its first Subscribe is a request like others."""
        ...

    def request(self) -> m.Subscribe | m.Through:
        """What to ask for after a reconnection, with a new id."""
        ...

    def on_subscribed(self, message: m.Subscribed) -> None: ...

    def on_change(self, message: m.Change, cost_bytes: int) -> None: ...

    def on_marker(self, message: m.Marker) -> None: ...

    def on_link(self, up: bool) -> None:
        """The connection was lost; or it is back, and the subscription is about to go on."""
        ...

    def on_end(self, error: PalimpsestError | None) -> None:
        """The session has forgotten it. It may `follow` anew."""
        ...


class Session:
    """One client id's requests, over as many connections as it takes, one at a time."""

    def __init__(
        self,
        address: Address,
        client: str,
        first_id: int,
        token: str | None,
        agent: str,
        settings: Settings,
        tls: ssl.SSLContext | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.address = address
        self.client = client
        self.settings = settings
        self.blocked = True
        """Whether a caller has to wait in `room` before it may ask; kept up to date so that asking costs one look."""
        self.epoch = ""
        self.limits: dict[str, int] = {}
        """As the server's last welcome said."""
        self.principal = ""
        """Who this client is, as that said."""
        self.reconnections = Reconnections(address.url)
        self.heard = time.monotonic()
        """When the server said something last, by that clock."""
        self.followers: dict[int, Follower] = {}
        self._greeting = (client, token, agent)
        self._tls = tls
        self._tracing = tracing
        self._loop = asyncio.get_running_loop()
        self._backoff = Backoff(settings.backoff_seconds_min, settings.backoff_seconds_max)
        self._link: Link | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._closed: PalimpsestError | None = None
        self._last_id = first_id - 1
        self._sent_through_id = self._last_id
        """Requests up to this id have been sent at least once."""
        self._pending: dict[int, _Pending] = {}
        """By id, in rising order, which is the order of deadlines, too."""
        self._patient: dict[int, Callable[[int, int], object] | None] = {}
        """Of `_pending`: by id, those that may take long, with who is told of their progress."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        """Callers in `room`."""
        self._outgoing: list[Any] = []
        """What the next flush sends. All of it that has an id is in `_pending`, too."""
        self._flushing = False
        self._deadline = 0.0
        """Of what is asked in this turn of the loop."""
        self._silent_since = 0.0
        self._pinged = 0.0
        self._sweep_timer: asyncio.TimerHandle | None = None

    # --- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns once the server has said welcome. Raises ConnectionLost naming url and reason after connect_seconds,
        or at once what the server refused this client with."""
        self._keeper = self._loop.create_task(self._keep())
        self._sweep_later()
        try:
            await asyncio.shield(self._ready)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends everything that waits with ConnectionLost, and the connection once what was sent has left."""
        link = self._link
        if link is not None and self._closed is None:
            self._flush()
        self._end(ConnectionLost("the client was closed"))
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait((keeper,))
        await self.reconnections.close()
        if link is not None:
            await link.wait_gone(_CLOSE_SECONDS)

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    @property
    def connected(self) -> bool:
        return self._link is not None

    # --- requests ------------------------------------------------------------------------------------------------

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def ask(self, message: Any) -> asyncio.Future[Any]:
        """The answer to a request whose id is the last that `next_id` gave, when nothing is `blocked`."""
        if self._tracing is not None:
            step, message = begin(self._tracing, self.address, message)
        if not self._flushing:
            self._start_turn()
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._tracing is not None:
            end_with(step, future)
        self._pending[message.id] = (future, message, self._deadline)
        self._outgoing.append(message)
        waiting = len(self._outgoing)
        if waiting >= _FLUSH_READS and (waiting >= _FLUSH_WRITES or type(message) is m.Get):
            self._send_outgoing()
        if len(self._pending) >= self.settings.in_flight_requests_max:
            self.blocked = True
        return future

    def ask_patiently(
        self, message: Any, on_progress: Callable[[int, int], object] | None = None
    ) -> asyncio.Future[Any]:
        """As `ask`; it times out once the server has been silent for timeout_seconds. on_progress: told how far it is (done,
        total); what it raises, the caller gets."""
        future = self.ask(message)
        self._patient[message.id] = on_progress
        future.add_done_callback(lambda done: self._patient.pop(message.id, None))
        return future

    def tell(self, message: m.Credit | m.Unsubscribe) -> None:
        """Sends what has no answer of its own; dropped while there is no link, as it concerns the link that was."""
        if self._link is not None:
            if not self._flushing:
                self._start_turn()
            self._outgoing.append(message)

    def follow(self, number: int, follower: Follower) -> None:
        """An established follower goes on under a number of its own, with what it requests now, or once there is a link."""
        self.followers[number] = follower
        if self._link is not None:
            if not self._flushing:
                self._start_turn()
            self._resume(follower)

    def nudge(self) -> None:
        """Has the server say how far each subscription is that has heard nothing for a while. On a new link it does so anyway."""
        if self._link is not None:
            self._ping()

    async def room(self) -> None:
        """Waits until a request may be asked. Raises ConnectionLost, or why the server let go, once that is over, and
        RequestTimeout."""
        deadline = self._loop.time() + self.settings.timeout_seconds
        while self.blocked:
            if self._closed is not None:
                raise from_wire(*self._closed.to_wire())
            future: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(future)
            try:
                async with asyncio.timeout_at(deadline):
                    await future
            except TimeoutError:
                raise self._timed_out(None) from None
            finally:
                # Special case: who is let go on and gives up at that moment leaves the place to the next.
                if self._waiting and not self.blocked:
                    self._unblock()

    def _start_turn(self) -> None:
        self._flushing = True
        self._deadline = self._loop.time() + self.settings.timeout_seconds
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._send_outgoing()

    def _send_outgoing(self) -> None:
        link = self._link
        if link is None or not link.writable or not self._outgoing:
            return
        outgoing, self._outgoing = self._outgoing, []
        self._sent_through_id = self._last_id
        try:
            link.send(outgoing)
        except (FrameTooLarge, ValueError, TypeError, OverflowError):
            self._send_one_by_one(link, outgoing)

    def _send_one_by_one(self, link: Link, messages: list[Any]) -> None:
        """One of them does not go into a frame: its caller alone is told."""
        for message in messages:
            try:
                link.send([message])
            except FrameTooLarge as error:
                self._refuse(message, _too_large(error))
            except (ValueError, TypeError, OverflowError) as error:
                self._refuse(message, InvalidRequest(f"it cannot be encoded: {error}", reason=str(error)))

    def _refuse(self, message: Any, error: PalimpsestError) -> None:
        entry = self._pending.pop(getattr(message, "id", -1), None)
        if entry is not None and not entry[0].done():
            entry[0].set_exception(error)

    # --- what the link says --------------------------------------------------------------------------------------

    def on_messages(self, messages: Sequence[Any]) -> None:
        self.heard = time.monotonic()
        pending = self._pending
        for message in messages:
            handle = _HANDLERS.get(type(message))
            if handle is not None:
                handle(self, message)
                continue
            entry = pending.pop(message.id, None)
            if entry is not None and not entry[0].done():
                entry[0].set_result(message)
        if self.blocked:
            self._unblock()

    def on_writable(self, writable: bool) -> None:
        if writable:
            self._flush()
            self._unblock()
        else:
            self.blocked = True

    def _on_failed(self, message: m.Failed) -> None:
        if message.code == ServerClosing.code:
            return  # it stays without an answer, and is sent again to the server that comes after this one
        entry = self._pending.pop(message.id, None)
        if entry is not None and not entry[0].done():
            entry[0].set_exception(from_wire(message.code, message.message, message.data))

    def _on_progress(self, message: m.Progress) -> None:
        tell = self._patient.get(message.id)
        if tell is None:
            return
        try:
            tell(message.done, message.total)
        except Exception as error:
            entry = self._pending.pop(message.id, None)
            if entry is not None and not entry[0].done():
                entry[0].set_exception(error)

    def _on_subscribed(self, message: m.Subscribed) -> None:
        """The subscription is told before the caller wakes up: changes may follow in the same frame."""
        follower = self.followers.get(message.subscription)
        if follower is not None:
            follower.on_subscribed(message)
        entry = self._pending.pop(message.id, None)
        if entry is not None and not entry[0].done():
            entry[0].set_result(message)

    def _on_change(self, message: m.Change) -> None:
        cost_bytes = len(_encode(message))
        for number in message.subscriptions:
            follower = self.followers.get(number)
            if follower is not None:
                follower.on_change(message, cost_bytes)

    def _on_marker(self, message: m.Marker) -> None:
        follower = self.followers.get(message.subscription)
        if follower is not None:
            follower.on_marker(message)

    def _on_ended(self, message: m.Ended) -> None:
        follower = self.followers.pop(message.subscription, None)
        if follower is not None:
            follower.on_end(from_wire(message.code, message.message, message.data) if message.code else None)

    def _unblock(self) -> None:
        """Lets as many callers go on as there is room for."""
        room = self.settings.in_flight_requests_max - len(self._pending)
        if self._closed is None and (room <= 0 or not self._is_writable()):
            return
        self.blocked = self._closed is not None
        while self._waiting and (room > 0 or self.blocked):
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                room -= 1

    def _is_writable(self) -> bool:
        """While there is no link, requests are kept for the next."""
        return self._link is None or self._link.writable

    # --- keeping a link ------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Connects, waits for the link's end, and connects again, until closed or refused."""
        chosen = self.settings.connect_seconds
        give_up = self._loop.time() + (chosen if chosen is not None else self.settings.timeout_seconds)
        while self._closed is None:
            attempt = self.reconnections.attempt()
            try:
                error = await self._live_once(attempt, give_up)
            except PalimpsestError as failure:
                error = failure
            except Exception as bug:
                self._end(InternalError(f"the client failed: {bug!r}"))
                raise
            if not isinstance(error, TRANSIENT):
                self._end(error)
                return
            delay = self._backoff.next_seconds()
            if not self._ready.done() and self._loop.time() + delay >= give_up:
                self._end(self._unreachable(error))
                return
            await asyncio.sleep(delay)

    async def _live_once(self, attempt: int, give_up: float) -> PalimpsestError:
        """One link from its beginning to its end. Returns, or raises, why it ended."""
        seconds = min(self.settings.timeout_seconds, self._silence_seconds())
        if not self._ready.done():
            seconds = min(seconds, max(give_up - self._loop.time(), _ATTEMPT_SECONDS_MIN))
        address = self.address
        link, welcome = await open_link(
            self,
            address.host,
            address.port,
            (*self._greeting, attempt),
            seconds=seconds,
            out_bytes_max=self.settings.out_bytes_max,
            tls=self._tls,
        )
        if link.lost.done():
            return link.lost.result()
        self._adopt(link, welcome)
        try:
            return await link.lost
        finally:
            self._link = None
            if link.answered:
                self._backoff.reset()
            if self._closed is None and link.lost.done():
                self._on_lost(link.lost.result())

    def _on_lost(self, error: PalimpsestError) -> None:
        self.blocked = len(self._pending) >= self.settings.in_flight_requests_max
        self._unblock()
        self.reconnections.on_lost(error)
        for follower in self._established():
            follower.on_link(False)

    def _adopt(self, link: Link, welcome: m.Welcome) -> None:
        """The link is ready. What has no answer is sent again, then subscriptions go on, then what is new."""
        self._link = link
        self.epoch = welcome.epoch
        self.limits = welcome.limits
        self.principal = welcome.principal
        self._silent_since = self._pinged = self._loop.time()
        self.heard = time.monotonic()
        self._outgoing = self._take_unanswered()
        self._deadline = self._loop.time() + self.settings.timeout_seconds
        for follower in self._established():
            follower.on_link(True)
        established = self._established()
        for follower in established:
            self._resume(follower)
        if not self._ready.done():
            self._ready.set_result(None)
        self._flush()
        self._unblock()
        self.reconnections.on_ready(len(established))

    def _established(self) -> list[Follower]:
        return [follower for follower in self.followers.values() if follower.established]

    def _take_unanswered(self) -> list[Any]:
        messages: list[Any] = []
        for id, (future, message, deadline) in list(self._pending.items()):
            request = inner(message)
            if isinstance(request, m.Subscribe) and not self._is_asked(request.subscription):
                future.cancel()  # it is resumed afresh, as reader and credit have gone on; or nobody is there any more
            if future.done():
                del self._pending[id]
                continue
            if id <= self._sent_through_id and isinstance(request, _WRITES) and not request.repeat:
                message = replaced(message, repeat=True)
                self._pending[id] = (future, message, deadline)
            messages.append(message)
        return messages

    def _is_asked(self, subscription: int) -> bool:
        """Whether a subscription waits for its first answer."""
        follower = self.followers.get(subscription)
        return follower is not None and not follower.established

    def _resume(self, follower: Follower) -> None:
        message = follower.request()
        future: asyncio.Future[Any] = self._loop.create_future()
        number = inner(message).subscription
        future.add_done_callback(lambda done: self._on_resumed(number, done))
        self._pending[message.id] = (future, message, self._deadline)
        self._outgoing.append(message)

    def _on_resumed(self, number: int, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, RequestTimeout):
            # A server that says nothing is no reason to end a feed: it goes on over the next link, or once there is one.
            if self._link is not None:
                self._link.abort(error)
        elif isinstance(error, PalimpsestError):
            follower = self.followers.pop(number, None)
            if follower is not None:
                follower.on_end(error)

    # --- time ----------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Ends what has waited too long, pings, and gives up on a link that has been silent too long."""
        now = self._loop.time()
        link = self._link
        if link is not None:
            if link.heard:
                link.heard = False
                self._silent_since = now
            silence = self._silence_seconds()
            if now - self._silent_since >= silence:
                link.abort(ConnectionLost(f"the server has been silent for {silence:g} s"))
            elif now - self._pinged >= self._ping_seconds():
                self._pinged = now
                self._ping()
        self._expire(now)
        self._sweep_later()

    def _sweep_later(self) -> None:
        seconds = min(_SWEEP_SECONDS_MAX, self.settings.timeout_seconds / 10, self._silence_seconds() / 6)
        self._sweep_timer = self._loop.call_later(seconds, self._sweep)

    def _silence_seconds(self) -> float:
        chosen = self.settings.peer_silence_seconds
        return chosen if chosen is not None else self.limits.get("peer_silence_seconds", _DEFAULT_SILENCE_SECONDS)

    def _ping_seconds(self) -> float:
        silence = self._silence_seconds()
        return (min(silence, self.settings.timeout_seconds) if self._patient else silence) / 3

    def _ping(self) -> None:
        """Keeps both sides sure of each other; nobody waits for the pong."""
        if not self._flushing:
            self._start_turn()
        self._outgoing.append(m.Ping(self.next_id()))

    def _expire(self, now: float) -> None:
        expired: set[int] = set()
        for id, (_, _, deadline) in self._pending.items():
            if deadline > now:
                break
            if id not in self._patient or now - self._silent_since >= self.settings.timeout_seconds:
                expired.add(id)
        for id in expired:
            future, message, _ = self._pending.pop(id)
            if not future.done():
                future.set_exception(self._timed_out(message))
        if expired:
            self._outgoing = [message for message in self._outgoing if getattr(message, "id", None) not in expired]
            self._unblock()

    # --- the end -------------------------------------------------------------------------------------------------

    def _end(self, error: PalimpsestError) -> None:
        """Nothing is asked any more. Everyone who waits is told why."""
        if self._closed is not None:
            return
        self._closed = error
        self.blocked = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        if self._link is not None:
            self._link.close(error)
        pending, self._pending = self._pending, {}
        for future, message, _ in pending.values():
            if not future.done():
                future.set_exception(self._lost(message, error))
        followers, self.followers = self.followers, {}
        for follower in followers.values():
            follower.on_end(from_wire(*error.to_wire()))
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()
        self._unblock()

    def _lost(self, message: Any, error: PalimpsestError) -> PalimpsestError:
        code, text, data = error.to_wire()
        return from_wire(code, text, data | {"request": self._request_id(message)})

    def _timed_out(self, message: Any) -> RequestTimeout:
        seconds = self.settings.timeout_seconds
        kind = type(inner(message)).__name__.lower() if message is not None else "request"
        return RequestTimeout(
            f"no answer to the {kind} within {seconds:g} s", seconds=seconds, request=self._request_id(message)
        )

    def _request_id(self, message: Any) -> str | None:
        """As histories show it, for a write that may have been applied."""
        request = inner(message)
        if not isinstance(request, _WRITES):
            return None
        return request.key if request.key is not None else f"{self.client}:{request.id}"

    def _unreachable(self, error: PalimpsestError) -> ConnectionLost:
        url = self.address.url
        return ConnectionLost(f"no connection to {url}: {error.message}", url=url, reason=error.message)


def _too_large(error: FrameTooLarge) -> LimitExceeded:
    return LimitExceeded(
        f"a request of {error.frame_bytes:,} bytes; frame_bytes_max is {error.frame_bytes_max:,}",
        limit="frame_bytes_max",
        maximum=error.frame_bytes_max,
        actual=error.frame_bytes,
    )


_encode = msgspec.msgpack.Encoder().encode
_HANDLERS: dict[type[m.Message], Any] = {
    m.Failed: Session._on_failed,
    m.Progress: Session._on_progress,
    m.Subscribed: Session._on_subscribed,
    m.Change: Session._on_change,
    m.Marker: Session._on_marker,
    m.Ended: Session._on_ended,
}
