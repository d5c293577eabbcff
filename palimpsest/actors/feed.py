"""Who follows what, and how far they have come.

A subscription is a cursor over the log. One that is live is handed each change from memory as it becomes durable; one that
has used up its credit is behind, costs nothing, and is read from the log by the `backlog` when credit comes, until it has caught up.
The step from the log to live is taken synchronously at the durable end, so that nothing falls between.

Those who want more than the log has are handed what the `relay` made for them.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Iterable

from palimpsest.actors.asking import as_told
from palimpsest.actors.backlog import Backlog
from palimpsest.actors.committer import Entry
from palimpsest.actors.cursors import view_changed
from palimpsest.actors.following import Index
from palimpsest.actors.groups import Groups
from palimpsest.actors.jobs import Job
from palimpsest.actors.making import Around, Encoded, Maker, encode
from palimpsest.actors.reading import Reader
from palimpsest.actors.relay import Relay
from palimpsest.actors.starts import Starts, check_start, is_to_be_found
from palimpsest.actors.subscription import State, Subscriber, Subscription
from palimpsest.actors.tail import Tail
from palimpsest.errors import InvalidRequest, Overloaded, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.protocol.changes import address
from palimpsest.protocol.messages import Credit, Document, Ended, Failed, Get, List, Names, Subscribe, Subscribed
from palimpsest.state.lens import Lens
from palimpsest.state.names import Pattern
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Batch, Event
from palimpsest.words import Kind

_ERASE = int(Kind.ERASE)


class Feed:
    """All subscriptions of one partition. Its methods run on the event loop; `run` and `relay` are its tasks."""

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
        starts: Starts,
        groups: Groups,
    ) -> None:
        """groups: has the subscriptions with a name. names: answers a request. ask_through: as ask, in a view's words. newest: the durable
        version of a document branch that is awake, 0 of one that is not."""
        self.epoch = epoch
        self._tail = tail
        self._limits = limits
        self._start_job = start_job
        self._starts = starts
        self._groups = groups
        self._index: Index[Subscription] = Index()
        """Those that are handed on what happens, without whole values."""
        self._by_subscriber: dict[Subscriber, dict[int, Subscription]] = {}
        self._all: set[Subscription] = set()
        self._maker = Maker(ask, around, limits)
        self._backlog = Backlog(
            reader, tail, self._maker, limits, ask, ask_through, names, newest, self._fall_behind, self.end
        )
        """Reads the log for those who are behind."""
        self._relay = Relay(reader, tail, self._maker, self._hand_on_made, self._backlog.go_on)
        """Has those that want more than the log has."""
        self._generation = 0
        """Rises whenever a subscription comes or goes; what an actor knows of its followers is as of a generation."""
        self._handed_on = 0
        self.fallen_behind = 0
        """How often a subscription that was live did not keep up."""

    @property
    def deliveries(self) -> int:
        """Changes that were handed on since the start, one for each subscription that got it."""
        return self._handed_on + self._backlog.deliveries

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
        check_start(message, pattern)
        if message.name is not None:
            if lens is not None:
                raise InvalidRequest("a named subscription is of documents as they are, not of a view", reason="name")
            self._groups.subscribe(message, subscriber)
            return
        position = self._starts.known(message, lens)
        credit_bytes = min(message.credit_bytes, self._limits.subscription_bytes_max)
        subscription = Subscription(message, subscriber, pattern, self.epoch, position, lens, credit_bytes)
        own[message.subscription] = subscription
        self._all.add(subscription)
        if subscription.is_relayed:
            self._relay.add(subscription)
        else:
            self._index.add(subscription)
            self._generation += 1
        if is_to_be_found(message):
            subscription.state = State.STARTING
            self._start_job(lambda: self._start(subscription, message))
            return
        if message.snapshot:
            subscription.state = State.SHOWING
        self._begin(subscription, message.id)

    def _begin(self, subscription: Subscription, id: int) -> None:
        cursor = subscription.cursor(subscription.next - 1)
        subscription.told_position = subscription.next - 1
        subscription.subscriber.reply(Subscribed(id, subscription.number, cursor))
        self._backlog.go_on(subscription)

    async def _start(self, subscription: Subscription, message: Subscribe) -> None:
        """Finds out where it starts, by a version or a time."""
        try:
            position = await self._starts.find(message)
        except Exception as error:
            self._refuse(subscription, message.id, as_told(message.id, error))
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

    def refresh(self, subscriber: Subscriber) -> None:
        """The connection is alive: those of its subscriptions that have heard nothing for long are told how far they have come, so
        that their cursors stay within what is kept."""
        for subscription in self._by_subscriber.get(subscriber, {}).values():
            end = max(self._relay.next, subscription.next) if subscription.is_relayed else self._tail.end
            if subscription.state is State.LIVE and subscription.told_position < end - 1 and subscription.is_served:
                subscription.send_marker(State.LIVE, end)

    def credit(self, message: Credit, subscriber: Subscriber) -> None:
        """A subscription that is over by now is no mistake of the client's."""
        subscription = self._by_subscriber.get(subscriber, {}).get(message.subscription)
        if subscription is None or message.credit_bytes <= 0:
            self._groups.credit(message, subscriber)
            return
        maximum = self._limits.subscription_bytes_max
        subscription.credit_bytes = min(maximum, subscription.credit_bytes + message.credit_bytes)
        self._backlog.go_on(subscription)

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
            self._backlog.go_on(subscription)
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
        self._relay.on_durable()

    async def run(self) -> None:
        """Reads the log for those who are behind, until cancelled."""
        await self._backlog.run()

    async def relay(self) -> None:
        """Hands on what had to be made for its followers, until cancelled."""
        await self._relay.run()

    def statistics(self) -> dict[str, int]:
        behind = sum(subscription.state is State.BEHIND for subscription in self._all)
        return {"subscriptions": len(self._all), "behind": behind}

    def furthest(self, count: int) -> list[tuple[int, Subscription]]:
        """The subscriptions that are furthest behind, the furthest first, each with how many events of the log were not looked at for
        it; at most count of them."""
        found = [(self._lag(subscription), subscription) for subscription in self._all]
        return heapq.nlargest(count, found, key=lambda pair: (pair[0], pair[1].under_way_bytes))

    def _lag(self, subscription: Subscription) -> int:
        end = self._tail.end
        if subscription.state is State.LIVE:
            return max(0, end - max(self._relay.next, subscription.next)) if subscription.is_relayed else 0
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

    def _hand_on_made(self, position: int, encoded: Encoded, subscriptions: Iterable[Subscription]) -> None:
        found: dict[Subscriber, list[Subscription]] = {}
        for subscription in subscriptions:
            if self._is_live(subscription, position):
                found.setdefault(subscription.subscriber, []).append(subscription)
        addressed: dict[tuple[int, ...], bytes] = {}
        for subscriber, live in found.items():
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
        self._handed_on += len(live)
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
            subscription.tell(State.BEHIND, subscription.next)

    def _disconnect(self, subscription: Subscription) -> None:
        error = Overloaded(
            "the subscriber did not keep up, and asked to be told so",
            limit="subscription_bytes_max",
            maximum=self._limits.subscription_bytes_max,
        )
        self.end(subscription, error)

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
                    raise view_changed(lens)
            except PalimpsestError as error:
                self.end(subscription, error)

    def _end(self, subscription: Subscription) -> None:
        subscription.state = State.ENDED
        self._all.discard(subscription)
        self._by_subscriber.get(subscription.subscriber, {}).pop(subscription.number, None)
        if subscription.is_relayed:
            self._relay.remove(subscription)
        else:
            self._index.remove(subscription)
            self._generation += 1
