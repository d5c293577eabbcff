"""All named subscriptions: who works for which, and what they say of what they were given.

What is decided is decided in `sharing`; changes are read and sent by `delivery`, and what was done is written down by `notes`. A group is
in memory from when the first of its workers, or an acknowledgement, comes, until nobody works for it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.abc

from palimpsest.actors.asking import as_told
from palimpsest.actors.committer import Asker, Entry
from palimpsest.actors.delivery import Delivery
from palimpsest.actors.following import Index
from palimpsest.actors.group import Group, Member, Receiver, info_of
from palimpsest.actors.jobs import Jobs
from palimpsest.actors.named import check_asked, check_delay, check_same, document_of, kept_of, not_found
from palimpsest.actors.notes import Notes
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Registry
from palimpsest.actors.tail import Tail
from palimpsest.errors import CursorInvalid, DocumentNotFound, InvalidRequest, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.protocol.messages import (
    Ack,
    Acknowledged,
    Credit,
    Delete,
    DeleteSubscription,
    Document,
    Ended,
    Failed,
    Get,
    List,
    ListSubscriptions,
    Nack,
    Names,
    Redrive,
    Subscribe,
    Subscribed,
    SubscriptionInfo,
    Subscriptions,
)
from palimpsest.state.subscriptions import Kept, parse_subscription
from palimpsest.state.system import SUBSCRIPTIONS
from palimpsest.state.values import decode_value
from palimpsest.storage.events import Batch
from palimpsest.words import MAIN, Kind

_TOGETHER = 16
_DELETE, _ERASE = int(Kind.DELETE), int(Kind.ERASE)

Request = TypeVar("Request", Ack, Nack, Redrive)


class Groups:
    """All named subscriptions of one partition.

    ask: reads a document, as anybody would. names: answers a request. find_start: the first position of what a Subscribe asks for.
    now: microseconds since the epoch. monotonic: seconds.
    """

    def __init__(
        self,
        reader: Reader,
        tail: Tail,
        registry: Registry,
        limits: Limits,
        epoch: str,
        ask: Callable[[Get], Awaitable[Document]],
        names: Callable[[List], Awaitable[Names]],
        find_start: Callable[[Subscribe], Awaitable[int]],
        now: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._tail = tail
        self._told = 0
        """The first position that was not told of by `on_durable`: what is there already may still have to be handed on."""
        self._registry = registry
        self._limits = limits
        self._epoch = epoch
        self._ask = ask
        self._names = names
        self._find_start = find_start
        self._monotonic = monotonic
        self._jobs = Jobs(_TOGETHER)
        self._groups: dict[str, Group] = {}
        self._opening: dict[str, anyio.Event] = {}
        self._index: Index[Group] = Index()
        self._by_subscriber: dict[Receiver, dict[int, Member]] = {}
        self._turns: deque[Group] = deque()
        self._work = anyio.Event()
        self._closed = False
        self._notes = Notes(registry, self._end_told, now, monotonic, self._end_gone, self._maybe_drop)
        self._delivery = Delivery(reader, tail, limits, ask, self._end_told, monotonic, self._notes.changed)

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        self._told = self._tail.end
        self._jobs.begin(tasks)

    @property
    def deliveries(self) -> int:
        """Changes that were sent to workers since the start, those that were sent again included."""
        return self._delivery.count

    @property
    def is_quiet(self) -> bool:
        """Everything that was asked is answered."""
        return not len(self._jobs) and self._notes.is_quiet

    def statistics(self) -> dict[str, int]:
        return {
            "named_subscriptions": len(self._groups),
            "unacked_changes": sum(group.sharing.in_flight for group in self._groups.values()),
        }

    def close(self, error: PalimpsestError) -> None:
        """Nothing is written any more; who waits is told. What workers have was not their failure."""
        self._closed = True
        self._notes.close(error)

    # --- what a connection asks ----------------------------------------------------------------------------------

    def numbers(self, subscriber: Receiver) -> dict[int, Member]:
        """The subscriptions that a connection has here."""
        return self._by_subscriber.get(subscriber, {})

    def subscribe(self, message: Subscribe, subscriber: Receiver) -> None:
        """Answers with Subscribed. Raises InvalidRequest or InvalidName."""
        check_asked(message)
        assert message.name is not None
        credit_bytes = min(message.credit_bytes, self._limits.subscription_bytes_max)
        member = Member(message, subscriber, credit_bytes)
        self._by_subscriber.setdefault(subscriber, {})[member.number] = member
        group = self._groups.get(message.name)
        if group is not None:
            self._join(group, member, message)
        else:
            name = message.name
            self._jobs.start(lambda: self._open_for(name, message, member))

    def credit(self, message: Credit, subscriber: Receiver) -> None:
        member = self.numbers(subscriber).get(message.subscription)
        if member is not None and message.credit_bytes > 0:
            maximum = self._limits.subscription_bytes_max
            member.credit_bytes = min(maximum, member.credit_bytes + message.credit_bytes)
            self._wake(member.group)

    def unsubscribe(self, number: int, subscriber: Receiver) -> None:
        member = self.numbers(subscriber).get(number)
        if member is not None:
            self._leave(member, None)
            subscriber.reply(Ended(number, "", "", {}))

    def resume(self, subscriber: Receiver) -> None:
        """The connection takes what it is sent again."""
        for member in self.numbers(subscriber).values():
            self._wake(member.group)

    def forget(self, subscriber: Receiver) -> None:
        """The connection is gone."""
        for member in list(self.numbers(subscriber).values()):
            self._leave(member, None if self._closed else "the connection was lost")
        self._by_subscriber.pop(subscriber, None)

    def ack(self, message: Ack, peer: Asker, now: int) -> None:
        self._use(message, peer, self._acknowledge)

    def nack(self, message: Nack, peer: Asker, now: int) -> None:
        self._use(message, peer, self._refuse)

    def redrive(self, message: Redrive, peer: Asker, now: int) -> None:
        self._use(message, peer, self._redrive)

    def find(self, message: ListSubscriptions, peer: Asker, now: int) -> None:
        async def answer() -> None:
            try:
                peer.reply(await self._find(message))
            except Exception as error:
                peer.reply(_failed(message.id, error))

        self._jobs.start(answer)

    def delete(self, message: DeleteSubscription, peer: Asker, now: int) -> None:
        try:
            document = document_of(message.name)
        except PalimpsestError as error:
            peer.fail(message.id, error)
            return
        delete = Delete(message.id, document, MAIN, None, message.repeat, message.meta, message.key)
        self._registry.route(delete, _Deleting(peer, message.name), now)

    # --- what the log says ---------------------------------------------------------------------------------------

    def on_durable(self, batch: Batch, entries: list[Entry]) -> None:
        self._told = batch.position + len(entries)
        if not self._groups:
            return
        for position, (_, _, _, event) in enumerate(entries, batch.position):
            if event.kind in (_DELETE, _ERASE):
                self._on_removal(event.kind, event.document)
            for group in self._index.matching(event.document, event.branch):
                if group.live and group.follows(event):
                    group.live = False
                    group.sharing.passed(position)
                    self._wake(group)

    def _on_removal(self, kind: int, document: str) -> None:
        if kind == _ERASE:
            for group in self._groups.values():
                group.erased()
        elif document.startswith(SUBSCRIPTIONS):
            gone = self._groups.get(document.removeprefix(SUBSCRIPTIONS))
            if gone is not None:
                self._end_gone(gone)

    async def run(self) -> None:
        """Reads and sends, a piece for each group in turn, until cancelled."""
        while True:
            with anyio.move_on_after(self._seconds()):
                await self._work.wait()
            self._work = anyio.Event()
            self.tick()
            while self._turns:
                group = self._turns.popleft()
                group.queued = False
                await self._go_on(group)

    async def write(self) -> None:
        """Writes down what has happened, until cancelled."""
        await self._notes.run()

    def tick(self) -> None:
        """Whatever is due by now is done, or is about to be."""
        now = self._monotonic()
        for group in self._groups.values():
            time = group.sharing.next_time()
            if time is not None and time <= now:
                self._wake(group)
        self._notes.tick()

    # --- coming and going ----------------------------------------------------------------------------------------

    async def _open_for(self, name: str, message: Subscribe, member: Member) -> None:
        try:
            group = await self._open(name, message)
        except Exception as error:
            self._remove(member)
            if member.subscriber in self._by_subscriber:
                member.subscriber.reply(_failed(message.id, error))
            return
        if self.numbers(member.subscriber).get(member.number) is member:
            self._join(group, member, message)
            return
        self._maybe_drop(group)
        if member.subscriber in self._by_subscriber:
            ended = InvalidRequest("the subscription was ended before it began", reason="subscription")
            member.subscriber.reply(_failed(message.id, ended))

    async def _open(self, name: str, message: Subscribe | None) -> Group:
        """The group, from now on in memory. message: makes it where it is not there. Raises SubscriptionNotFound or CursorInvalid."""
        while (group := self._groups.get(name)) is None and (opening := self._opening.get(name)) is not None:
            await opening.wait()
        if group is not None:
            return group
        self._opening[name] = opened = anyio.Event()
        try:
            kept = await self._kept(name)
            if kept is None and message is None:
                raise not_found(name)
            if kept is None:
                assert message is not None
                kept = await self._make(name, message)
            group = self._groups[name] = Group(name, kept, self._epoch, self._told, self._limits)
            self._index.add(group)
            return group
        finally:
            del self._opening[name]
            opened.set()

    async def _kept(self, name: str) -> Kept | None:
        """None: there is none."""
        try:
            document = await self._ask(Get(0, document_of(name)))
        except DocumentNotFound:
            return None
        return parse_subscription(decode_value(document.value))

    async def _make(self, name: str, message: Subscribe) -> Kept:
        position = await self._find_start(message)
        kept = kept_of(message, encode_cursor(self._epoch, position - 1))
        await self._notes.create(name, kept)
        return kept

    def _join(self, group: Group, member: Member, message: Subscribe) -> None:
        try:
            check_same(group.name, group.kept, kept_of(message, ""))
        except PalimpsestError as error:
            self._remove(member)
            self._maybe_drop(group)
            member.subscriber.reply(_failed(message.id, error))
            return
        member.group = group
        group.sharing.join(member)
        member.subscriber.reply(Subscribed(message.id, member.number, group.cursor(self._told)))
        self._wake(group)

    def _leave(self, member: Member, reason: str | None) -> None:
        self._remove(member)
        group = member.group
        if group is None or group.over:
            return
        group.sharing.leave(member, self._monotonic(), reason)
        if reason is not None:
            self._notes.changed(group)
        self._wake(group)
        self._maybe_drop(group)

    def _remove(self, member: Member) -> None:
        own = self.numbers(member.subscriber)
        if own.get(member.number) is member:
            del own[member.number]

    def _maybe_drop(self, group: Group) -> None:
        if group.is_idle and not group.over:
            self._drop(group)

    def _drop(self, group: Group) -> None:
        group.over = True
        del self._groups[group.name]
        self._notes.forget(group)
        self._index.remove(group)

    def _end(self, group: Group, error: PalimpsestError) -> None:
        """It cannot go on: everybody is told."""
        self._drop(group)
        for member in list(group.sharing.workers):
            self._remove(member)
            member.subscriber.reply(Ended(member.number, *error.to_wire()))
        self._notes.fail(group, error)

    def _end_gone(self, group: Group) -> None:
        self._end(group, not_found(group.name))

    # --- what is said of changes ---------------------------------------------------------------------------------

    def _use(self, message: Request, asker: Asker, use: Callable[[Group, Request, Asker], bool]) -> None:
        """use: whether there is something new to be written."""
        group = self._groups.get(message.name)
        if group is not None:
            self._try(group, message, asker, use)
            return

        async def open_and_use() -> None:
            try:
                group = await self._open(message.name, None)
            except Exception as error:
                asker.reply(_failed(message.id, error))
            else:
                self._try(group, message, asker, use)
                self._maybe_drop(group)

        self._jobs.start(open_and_use)

    def _try(self, group: Group, message: Request, asker: Asker, use: Callable[[Group, Request, Asker], bool]) -> None:
        try:
            is_new = use(group, message, asker)
        except PalimpsestError as error:
            asker.fail(message.id, error)
            return
        if is_new:
            self._notes.changed(group)
            self._wake(group)
        if type(message) is Nack:
            # At once: what was sent before that is to be told from what is sent again. A failure that is forgotten in a crash does no harm.
            asker.reply(Acknowledged(message.id, group.name, group.cursor(self._told), is_new))
        else:
            self._notes.answer(group, asker, message.id)

    def _acknowledge(self, group: Group, message: Ack, asker: Asker) -> bool:
        self._check_positions(message.epoch, *message.positions)
        is_new = group.sharing.ack(message.positions, self._monotonic())
        group.closed(message.positions)
        return is_new

    def _refuse(self, group: Group, message: Nack, asker: Asker) -> bool:
        self._check_positions(message.epoch, message.position)
        check_delay(message.delay_seconds)
        here: object = asker
        own = [member for member in group.sharing.workers if member.subscriber is here]
        if own and group.sharing.worker_of(message.position) not in own:
            return False  # it is with another by now
        now, delay = self._monotonic(), message.delay_seconds
        return group.sharing.nack(message.position, now, reason=message.reason, delay_seconds=delay)

    def _redrive(self, group: Group, message: Redrive, asker: Asker) -> bool:
        return group.sharing.redrive(message.positions or sorted(group.sharing.dead))

    def _check_positions(self, epoch: str, *positions: int) -> None:
        if epoch not in ("", self._epoch):
            raise CursorInvalid(
                "a change of another store than this one, which was restored meanwhile",
                cursor=encode_cursor(epoch, max(positions, default=0)),
            )
        if positions and max(positions) >= self._told:
            raise InvalidRequest(f"there is no change at {max(positions)} yet", reason="positions")

    async def _find(self, message: ListSubscriptions) -> Subscriptions:
        if message.name is not None:
            info = await self._info(message.name, letters=True)
            if info is None:
                raise not_found(message.name)
            return Subscriptions(message.id, (info,))
        if message.limit < 1:
            raise InvalidRequest(f"a limit of {message.limit}", reason="limit")
        found = await self._names(List(0, SUBSCRIPTIONS + "*", MAIN, SUBSCRIPTIONS + message.after, message.limit))
        infos = [await self._info(name.removeprefix(SUBSCRIPTIONS), letters=False) for name in found.names]
        return Subscriptions(message.id, tuple(info for info in infos if info is not None), found.more)

    async def infos(self) -> list[SubscriptionInfo]:
        """Of all, or of as many as fit into one page, without their dead letters."""
        page = ListSubscriptions(0, limit=self._limits.page_items_max)
        return list((await self._find(page)).items)

    async def _info(self, name: str, *, letters: bool) -> SubscriptionInfo | None:
        kept = await self._kept(name)
        if kept is None:
            return None
        return info_of(name, kept, self._groups.get(name), self._told, letters=letters)

    # --- turns -----------------------------------------------------------------------------------------------------

    def _seconds(self) -> float:
        """Until something is due."""
        times = [group.sharing.next_time() for group in self._groups.values() if group.sharing.workers]
        due = min((time for time in times if time is not None), default=math.inf)
        return max(0.0, due - self._monotonic())

    def _wake(self, group: Group | None) -> None:
        if group is not None and not group.over and not group.queued:
            group.queued = True
            self._turns.append(group)
            self._work.set()

    async def _go_on(self, group: Group) -> None:
        if group.over:
            return
        try:
            if await self._delivery.go_on(group):
                self._wake(group)
        except Exception as error:
            if not group.over:
                self._end(group, as_told(0, error))

    def _end_told(self) -> int:
        """The first position that the groups were not told of."""
        return self._told


class _Deleting:
    """Asks for a subscription to be deleted, on somebody's behalf."""

    def __init__(self, asker: Asker, name: str) -> None:
        self.client = asker.client
        self._asker = asker
        self._name = name

    def committed(self, id: int, version: int, at: int) -> None:
        self._asker.committed(id, version, at)

    def reply(self, message: object) -> None:
        self._asker.reply(message)

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._asker.fail(id, not_found(self._name) if isinstance(error, DocumentNotFound) else error)


def _failed(id: int, error: Exception) -> Failed:
    return Failed(id, *as_told(id, error).to_wire())
