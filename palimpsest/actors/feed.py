"""Who follows what, and how far they have come.

A subscription is a cursor over the log. One that is live is handed each change from memory as it becomes durable; one that
has used up its credit is behind, costs nothing, and is read from the log when credit comes, until it has caught up. The step
from the log to live is taken synchronously at the durable end, so that nothing falls between.

Those who want more than the log has, such as whole values, are live in the same way, a step behind: a task of its own, the relay, makes
each change once for all of them, and hands it on.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import Enum
from typing import Protocol

import anyio
from msgspec import Raw

from palimpsest.actors.asking import internal_error
from palimpsest.actors.committer import Entry
from palimpsest.actors.following import Condition, Index
from palimpsest.actors.groups import Groups
from palimpsest.actors.jobs import Job
from palimpsest.actors.making import Around, Encoded, Made, Maker, check_size, encode
from palimpsest.actors.reading import Reader
from palimpsest.actors.tail import Tail
from palimpsest.errors import (
    CommitFailed,
    Compacted,
    CursorInvalid,
    DocumentNotFound,
    InvalidRequest,
    Overload,
    Overloaded,
    PalimpsestError,
    ViewChanged,
)
from palimpsest.limits import Limits
from palimpsest.protocol.changes import address, encode_change
from palimpsest.protocol.cursor import decode_cursor, encode_cursor
from palimpsest.protocol.messages import (
    Change,
    Credit,
    Document,
    Ended,
    Failed,
    Get,
    List,
    Marker,
    Names,
    Subscribe,
    Subscribed,
    SubscriberInfo,
)
from palimpsest.state.lens import Lens
from palimpsest.state.names import Pattern
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Batch, Event
from palimpsest.words import MAIN, Kind

_ROWS_TOGETHER = 256
_BYTES_TOGETHER = 256 * 1024
_AGAIN_SECONDS = 0.01
_NO_DELTA = Raw(b"\x90")
_NAMES_TOGETHER = 64


class Subscriber(Protocol):
    """One connection, as the feed sees it."""

    @property
    def paused(self) -> bool:
        """It does not take what it was sent: until `Feed.resume`, its subscriptions are served as if they had no credit."""
        ...

    def reply(self, message: object) -> None: ...

    def push(self, encoded: bytes) -> None:
        """An encoded message for this connection."""
        ...


class State(Enum):
    LIVE = "live"
    """Handed every change as it becomes durable."""
    BEHIND = "behind"
    """Everything from `next` on is still to be read from the log."""
    STARTING = "starting"
    """It is being found out where it starts."""
    SHOWING = "showing"
    """What is there now is sent, document by document, those after `shown` are still to come."""
    ENDED = "ended"


_ERASE = int(Kind.ERASE)
_POLICIES = ("all", "latest", "disconnect")


class Subscription:
    __slots__ = (
        "branch",
        "condition",
        "credit_bytes",
        "granted_bytes",
        "lens",
        "next",
        "number",
        "pattern",
        "policy",
        "queued",
        "shown",
        "state",
        "subscriber",
        "told",
        "told_position",
        "values",
    )

    def __init__(
        self, message: Subscribe, subscriber: Subscriber, pattern: Pattern, position: int, lens: Lens | None
    ) -> None:
        self.subscriber = subscriber
        self.number = message.subscription
        self.pattern = pattern
        self.branch = message.branch
        self.values = message.values
        self.lens = lens
        """What it sees documents through; None: as they are."""
        self.policy = message.policy
        condition = Condition(message)
        self.condition = None if condition.is_empty else condition
        self.credit_bytes = message.credit_bytes
        self.granted_bytes = message.credit_bytes
        """Its credit while nothing is under way."""
        self.shown = ""
        self.next = position
        """While behind: the first position that was not looked at. While live: what lies before it was looked at."""
        self.state = State.BEHIND
        self.queued = False
        """It waits for the reading task, which holds it at most once."""
        self.told = State.BEHIND
        """What the subscriber was told last by a marker."""
        self.told_position = position - 1
        """How far it knows that it has come, by a marker or a change."""

    @property
    def is_served(self) -> bool:
        """Whether anything may be sent to it now."""
        return self.credit_bytes > 0 and not self.subscriber.paused

    @property
    def is_relayed(self) -> bool:
        """It wants more than the log has."""
        return self.values or self.lens is not None

    def follows(self, event: Event) -> bool:
        return event.branch == self.branch and self.pattern.matches(event.document) and self.wants(event)

    def wants(self, event: Event) -> bool:
        """Of what it follows; through a lens, as far as that can be told before it is seen what the view has of it."""
        if self.lens is not None:
            return self.lens.is_for(event.document)
        return self.condition is None or self.condition.holds(event)

    def wants_made(self, made: Made | None) -> bool:
        """Of what it wants."""
        return made is not None and (self.lens is None or self.condition is None or self.condition.holds(made.event))


class Feed:
    """All subscriptions of one partition. Its methods run on the event loop; `run` is its only task."""

    def __init__(
        self,
        reader: Reader,
        tail: Tail,
        limits: Limits,
        epoch: str,
        ask: Callable[[Get], Awaitable[Document]],
        names: Callable[[List], Awaitable[Names]],
        ask_through: Callable[[Lens, Get], Awaitable[Document]],
        around: Around,
        newest: Callable[[str, str], int],
        start_job: Callable[[Job], None],
        groups: Groups,
    ) -> None:
        """groups: has the subscriptions with a name. names: answers a request. ask_through: as ask, in a view's words. newest: the durable
        version of a document branch that is awake, 0 of one that is not."""
        self.epoch = epoch
        self._reader = reader
        self._tail = tail
        self._limits = limits
        self._ask = ask
        self._names = names
        self._ask_through = ask_through
        self._newest = newest
        self._start_job = start_job
        self._groups = groups
        self._index: Index[Subscription] = Index()
        """Those that are handed on what happens, without whole values."""
        self._by_subscriber: dict[Subscriber, dict[int, Subscription]] = {}
        self._all: set[Subscription] = set()
        self._relaying: Index[Subscription] = Index()
        """Those that want more than the log has."""
        self._maker = Maker(ask, around, limits)
        self._relayed = tail.end
        """The first position that the relay has not come to."""
        self._news = anyio.Event()
        self._generation = 0
        """Rises whenever a subscription comes or goes; what an actor knows of its followers is as of a generation."""
        self._reading: deque[Subscription] = deque()
        self._work = anyio.Event()
        self.deliveries = 0
        """Changes that were handed on since the start, one for each subscription that got it."""
        self.fallen_behind = 0
        """How often a subscription that was live did not keep up."""

    # --- what a connection asks ----------------------------------------------------------------------------------

    def subscribe(self, message: Subscribe, subscriber: Subscriber, lens: Lens | None = None) -> None:
        """Answers with Subscribed. Raises InvalidName, InvalidRequest, Overloaded, CursorInvalid or ViewChanged."""
        own = self._by_subscriber.setdefault(subscriber, {})
        maximum = self._limits.subscriptions_per_connection_max
        named = self._groups.numbers(subscriber)
        if len(own) + len(named) >= maximum:
            raise Overloaded(
                f"{maximum} subscriptions on one connection",
                limit="subscriptions_per_connection_max",
                maximum=maximum,
            )
        if message.subscription in own or message.subscription in named:
            raise InvalidRequest(f"subscription {message.subscription} exists already", reason="subscription")
        if message.credit_bytes < 0:
            raise InvalidRequest("a negative credit", reason="credit_bytes")
        pattern = Pattern.parse(message.pattern)
        _check_start(message, pattern)
        if message.name is not None:
            if lens is not None:
                raise InvalidRequest("a named subscription is of documents as they are, not of a view", reason="name")
            self._groups.subscribe(message, subscriber)
            return
        position = self._tail.end if message.resume_after is None else self._position_after(message.resume_after, lens)
        subscription = Subscription(message, subscriber, pattern, position, lens)
        granted = min(subscription.credit_bytes, self._limits.subscription_bytes_max)
        subscription.credit_bytes = subscription.granted_bytes = granted
        own[message.subscription] = subscription
        self._all.add(subscription)
        if subscription.is_relayed:
            if not self._relaying:
                self._relayed = self._tail.end
                self._maker.erased(self._tail.end - 1)  # it may be that nobody was there to hear of one
            self._relaying.add(subscription)
        else:
            self._index.add(subscription)
            self._generation += 1
        if message.from_version is not None or message.from_time is not None:
            subscription.state = State.STARTING
            self._start_job(lambda: self._start(subscription, message))
            return
        if message.snapshot:
            subscription.state = State.SHOWING
        self._begin(subscription, message.id)

    def _begin(self, subscription: Subscription, id: int) -> None:
        cursor = self._cursor(subscription, subscription.next - 1)
        subscription.told_position = subscription.next - 1
        subscription.subscriber.reply(Subscribed(id, subscription.number, cursor))
        self._go_on(subscription)

    async def _start(self, subscription: Subscription, message: Subscribe) -> None:
        """Finds out where it starts, by a version or a time."""
        try:
            position = await self._find_start(message)
        except PalimpsestError as error:
            self._refuse(subscription, message.id, error)
        except Exception as error:
            self._refuse(subscription, message.id, internal_error(message.id, error))
        else:
            if subscription.state is State.ENDED:
                ended = InvalidRequest("the subscription was ended before it began", reason="subscription")
                self._refuse(subscription, message.id, ended)
                return
            subscription.next, subscription.state = position, State.BEHIND
            self._begin(subscription, message.id)

    def _refuse(self, subscription: Subscription, id: int, error: PalimpsestError) -> None:
        """The answer to its Subscribe, if the connection is still there to hear it."""
        if subscription.state is not State.ENDED:
            self._end(subscription)
        if subscription.subscriber in self._by_subscriber:
            subscription.subscriber.reply(Failed(id, *error.to_wire()))

    async def start_of(self, message: Subscribe) -> int:
        """The first position of what is asked for, without a snapshot. Raises CursorInvalid, DocumentNotFound, VersionNotFound or
        VersionPruned."""
        if message.resume_after is not None:
            return self._position_after(message.resume_after, None)
        if message.from_version is not None or message.from_time is not None:
            return await self._find_start(message)
        return self._tail.end

    async def _find_start(self, message: Subscribe) -> int:
        if message.from_time is not None:
            return await self._reader.position_at(message.from_time)
        assert message.from_version is not None
        name, branch, version = message.pattern, message.branch, message.from_version
        try:
            newest = (await self._ask(Get(0, name, branch))).version
        except DocumentNotFound as error:
            if error.version is None:
                raise
            newest = error.version
        # Others may have become durable behind that one. From here to the end of the log there is no step in between.
        newest = max(newest, self._newest(name, branch))
        if version == newest + 1:
            return self._tail.end
        return await self._reader.position_of(name, branch, version, newest)

    def refresh(self, subscriber: Subscriber) -> None:
        """The connection is alive: those of its subscriptions that have heard nothing for long are told how far they have come, so
        that their cursors stay within what is kept."""
        for subscription in self._by_subscriber.get(subscriber, {}).values():
            end = max(self._relayed, subscription.next) if subscription.is_relayed else self._tail.end
            if subscription.state is State.LIVE and subscription.told_position < end - 1 and subscription.is_served:
                self._send_marker(subscription, State.LIVE, end)

    def credit(self, message: Credit, subscriber: Subscriber) -> None:
        """A subscription that is over by now is no mistake of the client's."""
        subscription = self._by_subscriber.get(subscriber, {}).get(message.subscription)
        if subscription is None or message.credit_bytes <= 0:
            self._groups.credit(message, subscriber)
            return
        maximum = self._limits.subscription_bytes_max
        subscription.credit_bytes = min(maximum, subscription.credit_bytes + message.credit_bytes)
        self._go_on(subscription)

    def unsubscribe(self, number: int, subscriber: Subscriber) -> None:
        subscription = self._by_subscriber.get(subscriber, {}).get(number)
        if subscription is not None:
            self._end(subscription)
            subscriber.reply(Ended(number, "", "", {}))
        else:
            self._groups.unsubscribe(number, subscriber)

    def resume(self, subscriber: Subscriber) -> None:
        """The connection takes what it is sent again."""
        for subscription in self._by_subscriber.get(subscriber, {}).values():
            self._go_on(subscription)
        self._groups.resume(subscriber)

    def forget(self, subscriber: Subscriber) -> None:
        """The connection is gone."""
        for subscription in list(self._by_subscriber.get(subscriber, {}).values()):
            self._end(subscription)
        self._by_subscriber.pop(subscriber, None)
        self._groups.forget(subscriber)

    # --- what the log says ---------------------------------------------------------------------------------------

    def on_durable(self, batch: Batch, entries: list[Entry]) -> None:
        """Hands on what has just become durable, encoded once for each event that has a live follower."""
        self._groups.on_durable(batch, entries)
        if not self._all:
            return
        generation = self._generation
        for position, (actor, _, _, event) in enumerate(entries, batch.position):
            if event.kind == _ERASE:
                self._maker.erased(position)
            if actor.followed_as_of != generation:
                actor.followers = self._followers(event)
                actor.followed_as_of = generation
            if actor.followers:
                self._hand_on(position, event, actor.followers)
        if self._relaying:
            self._news.set()

    async def run(self) -> None:
        """Reads the log for those who are behind, a piece for each in turn, until cancelled."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            while self._reading:
                subscription = self._reading.popleft()
                subscription.queued = False
                if subscription.state in (State.BEHIND, State.SHOWING) and subscription.is_served:
                    await self._read_on(subscription)

    async def relay(self) -> None:
        """Hands on changes with what had to be made for them, until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            while self._relaying and self._relayed < self._tail.end:
                await self._relay_on()

    def statistics(self) -> dict[str, int]:
        behind = sum(subscription.state is State.BEHIND for subscription in self._all)
        return {"subscriptions": len(self._all), "behind": behind}

    def furthest(self, count: int) -> list[tuple[int, Subscription]]:
        """The subscriptions that are furthest behind, the furthest first, each with how many events of the log were not looked at for
        it; at most count of them."""
        found = [(self._lag(subscription), subscription) for subscription in self._all]
        return heapq.nlargest(count, found, key=lambda pair: (pair[0], _under_way_bytes(pair[1])))

    def _lag(self, subscription: Subscription) -> int:
        end = self._tail.end
        if subscription.state is State.LIVE:
            return max(0, end - max(self._relayed, subscription.next)) if subscription.is_relayed else 0
        return max(0, end - subscription.next)

    # --- live ----------------------------------------------------------------------------------------------------

    def _followers(self, event: Event) -> list[tuple[Subscriber, list[Subscription]]]:
        found: dict[Subscriber, list[Subscription]] = {}
        for subscription in self._index.matching(event.document, event.branch):
            found.setdefault(subscription.subscriber, []).append(subscription)
        return list(found.items())

    def _hand_on(self, position: int, event: Event, followers: list[tuple[Subscriber, list[Subscription]]]) -> None:
        encoded: tuple[bytes, bytes] | None = None
        addressed: dict[tuple[int, ...], bytes] = {}
        for subscriber, subscriptions in followers:
            live = [
                subscription
                for subscription in subscriptions
                if subscription.wants(event) and self._is_live(subscription, position)
            ]
            if not live:
                continue
            if encoded is None:
                encoded = encode(Row(position, event))
            self._push(position, encoded, subscriber, live, addressed)

    def _push(
        self,
        position: int,
        encoded: Encoded,
        subscriber: Subscriber,
        live: list[Subscription],
        addressed: dict[tuple[int, ...], bytes],
    ) -> None:
        """addressed: what was addressed already, by the numbers of those who get it."""
        numbers = tuple([subscription.number for subscription in live])
        message = addressed.get(numbers)
        if message is None:
            message = addressed[numbers] = address(encoded, numbers)
        self.deliveries += len(live)
        for subscription in live:
            subscription.credit_bytes -= len(message)
            subscription.told_position = position
        subscriber.push(message)

    def _is_live(self, subscription: Subscription, position: int) -> bool:
        if subscription.state is not State.LIVE:
            return False
        if subscription.is_served:
            return True
        subscription.state = State.BEHIND
        subscription.next = position
        self.fallen_behind += 1
        self._fall_behind(subscription)
        return False

    def _fall_behind(self, subscription: Subscription) -> None:
        """There is a change for it that cannot be sent now."""
        if subscription.policy == "disconnect" and subscription.told is State.LIVE:
            self._disconnect(subscription)
        else:
            self._mark(subscription)

    def _disconnect(self, subscription: Subscription) -> None:
        error = Overloaded(
            "the subscriber did not keep up, and asked to be told so",
            limit="subscription_bytes_max",
            maximum=self._limits.subscription_bytes_max,
        )
        self._end(subscription)
        subscription.subscriber.reply(Ended(subscription.number, *error.to_wire()))

    # --- a step behind -------------------------------------------------------------------------------------------

    async def _relay_on(self) -> None:
        """A piece of what is durable and was not handed on yet."""
        archived = self._tail.start
        try:
            rows = await self._reader.rows(
                self._relayed, rows_max=_ROWS_TOGETHER, bytes_max=_BYTES_TOGETHER, pattern=None, branch=MAIN
            )
        except PalimpsestError:
            self._leave_all_to_log()
            return
        for row in rows:
            await self._relay_row(row, archived)
            self._relayed = row.position + 1

    async def _relay_row(self, row: Row, archived: int) -> None:
        event = row.event
        wanted: dict[tuple[str, bool], list[Subscription]] = {}
        for subscription in self._relaying.matching(*_where(event)):
            if self._is_relayed(subscription, row):
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
        found: dict[Subscriber, list[Subscription]] = {}
        for subscription in subscriptions:
            if (
                self._is_relayed(subscription, row)
                and subscription.wants_made(made)
                and self._is_live(subscription, row.position)
            ):
                found.setdefault(subscription.subscriber, []).append(subscription)
        addressed: dict[tuple[int, ...], bytes] = {}
        for subscriber, live in found.items():
            self._push(row.position, made.encoded, subscriber, live, addressed)

    def _is_relayed(self, subscription: Subscription, row: Row) -> bool:
        return subscription.state is State.LIVE and subscription.next <= row.position and subscription.wants(row.event)

    def _leave_to_log(self, position: int, subscriptions: Iterable[Subscription]) -> None:
        """Those of them who are live go on from the log."""
        for subscription in subscriptions:
            if subscription.is_relayed and subscription.state is State.LIVE and subscription.next <= position:
                subscription.state, subscription.next = State.BEHIND, position
                self._go_on(subscription)

    def _leave_all_to_log(self) -> None:
        """Those who were live only after `_relayed` have not been handed what came since then, either."""
        position, self._relayed = self._relayed, self._tail.end
        for subscription in list(self._all):
            if subscription.is_relayed and subscription.state is State.LIVE:
                subscription.state, subscription.next = State.BEHIND, max(position, subscription.next)
                self._go_on(subscription)

    # --- from the log --------------------------------------------------------------------------------------------

    def _go_on(self, subscription: Subscription) -> None:
        """It may read on, or is live if there is nothing to read."""
        if subscription.state not in (State.BEHIND, State.SHOWING) or not subscription.is_served:
            return
        if subscription.state is State.BEHIND and subscription.next == self._tail.end:
            self._caught_up(subscription)
        elif not subscription.queued:
            subscription.queued = True
            self._reading.append(subscription)
            self._work.set()

    def _caught_up(self, subscription: Subscription) -> None:
        subscription.state = State.LIVE
        if subscription.told is not State.LIVE:
            subscription.told = State.LIVE
            self._send_marker(subscription, State.LIVE, self._tail.end)

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
            self._send_marker(subscription, State.SHOWING, subscription.next)

    async def _show_one(self, subscription: Subscription, name: str) -> None:
        try:
            request, lens = Get(0, name, subscription.branch), subscription.lens
            document = await (self._ask(request) if lens is None else self._ask_through(lens, request))
        except DocumentNotFound:
            return  # deleted meanwhile, which is a change
        what = (document.document, subscription.branch, document.version, document.kind, document.at, _NO_DELTA)
        change = Change((), subscription.next - 1, *what, document.meta, 0, document.value, None, True)
        self._send_alone(subscription, change.position, encode_change(change))

    async def _read_on(self, subscription: Subscription) -> None:
        archived = self._tail.start
        try:
            if subscription.state is State.SHOWING:
                await self._show(subscription)
                rows: list[Row] = []
            else:
                rows = await self._rows(subscription)
            last = await self._last_of_each(subscription, rows, archived)
            for row in rows:
                if subscription.state is State.ENDED:
                    break
                if subscription.follows(row.event) and not self._is_overtaken(subscription, row, last):
                    if not subscription.is_served:
                        self._fall_behind(subscription)
                        break
                    await self._send(subscription, row, archived)
                subscription.next = row.position + 1
        except (Overload, CommitFailed):
            # A value was asked for behind others, who failed or are too many. It is as durable as before: once more, later.
            await anyio.sleep(_AGAIN_SECONDS)
        except Exception as error:
            self.end(subscription, self._as_told(subscription, error))
            return
        self._go_on(subscription)

    async def _rows(self, subscription: Subscription) -> list[Row]:
        return await self._reader.rows(
            subscription.next,
            rows_max=_ROWS_TOGETHER,
            bytes_max=_BYTES_TOGETHER,
            pattern=subscription.pattern,
            branch=subscription.branch,
        )

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

    async def _send(self, subscription: Subscription, row: Row, archived: int) -> None:
        if not subscription.is_relayed:
            self._send_alone(subscription, row.position, encode(row))
            return
        made = await self._made(subscription, row, archived)
        if made is not None:
            self._send_alone(subscription, row.position, made.encoded)

    async def _made(self, subscription: Subscription, row: Row, archived: int) -> Made | None:
        """What a subscription that is relayed gets of a row that it follows, if anything."""
        made = await self._maker.make(row, subscription.lens, archived, values=subscription.values)
        return made if subscription.wants_made(made) else None

    def _send_alone(self, subscription: Subscription, position: int, encoded: Encoded) -> None:
        message = address(encoded, (subscription.number,))
        check_size(len(message), self._limits)
        subscription.credit_bytes -= len(message)
        subscription.told_position = position
        if subscription.state is not State.ENDED:
            self.deliveries += 1
            subscription.subscriber.push(message)

    # --- inside --------------------------------------------------------------------------------------------------

    def end(self, subscription: Subscription, error: PalimpsestError) -> None:
        """It is over, and its subscriber hears why."""
        if subscription.state is not State.ENDED:
            self._end(subscription)
            subscription.subscriber.reply(Ended(subscription.number, *error.to_wire()))

    def of(self, subscriber: Subscriber) -> list[Subscription]:
        return list(self._by_subscriber.get(subscriber, {}).values())

    def look_again(self, lens_of: Callable[[str, int | None], Lens]) -> None:
        """Perspectives have changed: whose view is another now begins anew. lens_of: by name and level; raises PerspectiveNotFound."""
        for subscription in list(self._all):
            lens = subscription.lens
            if lens is None:
                continue
            try:
                if lens_of(lens.name, lens.level).digest != lens.digest:
                    raise _changed(lens)
            except PalimpsestError as error:
                self.end(subscription, error)

    def _cursor(self, subscription: Subscription, position: int) -> str:
        lens = subscription.lens
        return encode_cursor(self.epoch if lens is None else f"{self.epoch}-{lens.digest}", position)

    def _position_after(self, cursor: str, lens: Lens | None) -> int:
        epoch, position = decode_cursor(cursor)
        epoch, _, view = epoch.partition("-")
        if position and view != ("" if lens is None else lens.digest):
            raise _changed(lens, cursor)
        if epoch != self.epoch or position >= self._tail.end:
            raise CursorInvalid(f"cursor {cursor!r} is of another journal than this one", cursor=cursor)
        return position + 1

    def _as_told(self, subscription: Subscription, error: Exception) -> PalimpsestError:
        """The error as its subscriber has it, whose cursors are of what it sees."""
        if not isinstance(error, PalimpsestError):
            return internal_error(subscription.number, error)
        if isinstance(error, Compacted) and subscription.lens is not None:
            _, oldest = decode_cursor(error.oldest)
            _, position = decode_cursor(error.cursor)
            return Compacted(
                error.message, cursor=self._cursor(subscription, position), oldest=self._cursor(subscription, oldest)
            )
        return error

    def _mark(self, subscription: Subscription) -> None:
        """The subscriber hears that it fell behind, once."""
        if subscription.told is not State.BEHIND:
            subscription.told = State.BEHIND
            self._send_marker(subscription, State.BEHIND, subscription.next)

    def _send_marker(self, subscription: Subscription, state: State, position: int) -> None:
        """position: the first that it says nothing about."""
        subscription.told_position = position - 1
        cursor = self._cursor(subscription, position - 1)
        name = "current" if state is State.SHOWING else state.value
        subscription.subscriber.reply(Marker(subscription.number, name, cursor))

    def _end(self, subscription: Subscription) -> None:
        subscription.state = State.ENDED
        self._all.discard(subscription)
        self._by_subscriber.get(subscription.subscriber, {}).pop(subscription.number, None)
        if subscription.is_relayed:
            self._relaying.remove(subscription)
        else:
            self._index.remove(subscription)
            self._generation += 1


def info_of(subscription: Subscription, lag: int, client: str, principal: str) -> SubscriberInfo:
    """What an operator sees of it. client, principal: of its connection."""
    lens = subscription.lens
    return SubscriberInfo(
        client,
        principal,
        subscription.pattern.text,
        subscription.branch,
        subscription.state.value,
        lag,
        _under_way_bytes(subscription),
        None if lens is None else lens.name,
    )


def _under_way_bytes(subscription: Subscription) -> int:
    return max(0, subscription.granted_bytes - subscription.credit_bytes)


def _check_start(message: Subscribe, pattern: Pattern) -> None:
    """Raises InvalidRequest."""
    starts = (message.resume_after, message.from_version, message.from_time, message.snapshot or None)
    if starts.count(None) < len(starts) - 1:
        raise InvalidRequest(
            "a cursor, a snapshot, a version or a time: one of them says where it starts", reason="start"
        )
    if message.from_version is not None and pattern.exact is None:
        raise InvalidRequest(
            f"{pattern.text!r} is not one document, which a version could be of", reason="from_version"
        )
    if message.from_version is not None and message.from_version < 1:
        raise InvalidRequest(f"there is no version {message.from_version}", reason="from_version")
    if message.policy not in _POLICIES:
        raise InvalidRequest(f"{message.policy!r} is none of the policies {', '.join(_POLICIES)}", reason="policy")
    if message.policy == "latest" and not message.values:
        raise InvalidRequest("where changes are left out, the others have to come with whole values", reason="policy")


def _changed(lens: Lens | None, cursor: str = "") -> ViewChanged:
    name = "" if lens is None else lens.name
    return ViewChanged("what this subscription sees has changed", cursor=cursor, perspective=name)


def _where(event: Event) -> tuple[str, str]:
    return event.document, event.branch
