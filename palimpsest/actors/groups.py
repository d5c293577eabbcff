"""Named subscriptions: each has one reader of the log for all of its workers, and a document that says what was done.

What is decided is decided in `sharing`; here is what it takes: reading, sending, the time, and writing down. One note of a
subscription is written at a time, and what happens meanwhile goes with the next; who acknowledged is answered when that is durable.
A group is in memory from when the first of its workers, or an acknowledgement, comes, until nobody works for it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.abc
import msgspec

from palimpsest.actors.asking import Question, internal_error
from palimpsest.actors.committer import Asker, Entry
from palimpsest.actors.following import Condition, Index
from palimpsest.actors.group import Group, Member, Receiver, info_of, kept_of
from palimpsest.actors.jobs import Jobs
from palimpsest.actors.making import NIL, change_of, check_size
from palimpsest.actors.reading import Reader
from palimpsest.actors.registry import Registry
from palimpsest.actors.sharing import Item
from palimpsest.actors.tail import Tail
from palimpsest.errors import (
    CommitFailed,
    CursorInvalid,
    DocumentNotFound,
    InvalidName,
    InvalidRequest,
    Overload,
    PalimpsestError,
    ServerClosing,
    SubscriptionNotFound,
    UsageError,
)
from palimpsest.limits import Limits
from palimpsest.logs import get_logger
from palimpsest.protocol.cursor import encode_cursor
from palimpsest.protocol.messages import (
    Ack,
    Acknowledged,
    Change,
    Create,
    Credit,
    Delete,
    DeleteSubscription,
    Document,
    Ended,
    Failed,
    Get,
    List,
    ListSubscriptions,
    Marker,
    Nack,
    Names,
    Redrive,
    Subscribe,
    Subscribed,
    SubscriptionInfo,
    Subscriptions,
    Update,
)
from palimpsest.state.subscriptions import Kept, parse_subscription, to_value
from palimpsest.state.system import SUBSCRIPTIONS
from palimpsest.state.values import decode_value, encode_value
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Batch
from palimpsest.words import MAIN, Kind

log = get_logger("palimpsest.actors")

DELAY_SECONDS_MAX = 3600.0
ACK_SECONDS_MAX = 86_400.0
_ROWS_TOGETHER = 256
_BYTES_TOGETHER = 256 * 1024
_AGAIN_SECONDS = 0.01
_WRITE_AGAIN_SECONDS = 1.0
_UNWRITTEN_MAX = 10_000
"""So far may the place go on, without anything to acknowledge, before it is written down."""
_TOGETHER = 16
_DELETE, _ERASE = int(Kind.DELETE), int(Kind.ERASE)
_encode = msgspec.msgpack.Encoder().encode

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
        self._reader = reader
        self._tail = tail
        self._told = 0
        """The first position that was not told of by `on_durable`: what is there already may still have to be handed on."""
        self._registry = registry
        self._limits = limits
        self._epoch = epoch
        self._ask = ask
        self._names = names
        self._find_start = find_start
        self._now = now
        self._monotonic = monotonic
        self._jobs = Jobs(_TOGETHER)
        self._groups: dict[str, Group] = {}
        self._opening: dict[str, anyio.Event] = {}
        self._index: Index[Group] = Index()
        self._by_subscriber: dict[Receiver, dict[int, Member]] = {}
        self._turns: deque[Group] = deque()
        self._work = anyio.Event()
        self._unwritten: dict[Group, None] = {}
        """Groups of which something is to be written, or is being written."""
        self._to_write = anyio.Event()
        self._notes = 0
        self._closed = False
        self.deliveries = 0
        """Changes that were sent to workers since the start, those that were sent again included."""

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        self._told = self._tail.end
        self._jobs.begin(tasks)

    @property
    def is_quiet(self) -> bool:
        """Everything that was asked is answered."""
        return not len(self._jobs) and not any(group.answers or group.flying for group in self._unwritten)

    def statistics(self) -> dict[str, int]:
        return {
            "named_subscriptions": len(self._groups),
            "unacked_changes": sum(group.sharing.in_flight for group in self._groups.values()),
        }

    def close(self, error: PalimpsestError) -> None:
        """Nothing is written any more; who waits is told. What workers have was not their failure."""
        self._closed = True
        for group in list(self._unwritten):
            answers, group.answers = group.answers, []
            for asker, id in answers:
                asker.fail(id, error)

    # --- what a connection asks ----------------------------------------------------------------------------------

    def numbers(self, subscriber: Receiver) -> dict[int, Member]:
        """The subscriptions that a connection has here."""
        return self._by_subscriber.get(subscriber, {})

    def subscribe(self, message: Subscribe, subscriber: Receiver) -> None:
        """Answers with Subscribed. Raises InvalidRequest or InvalidName."""
        _check(message)
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
            document = _document(message.name)
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
                self._end(gone, _no_subscription(gone.name))

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
        while True:
            await self._to_write.wait()
            self._to_write = anyio.Event()
            for group in list(self._unwritten):
                if group.dirty and group.flying is None and group.retry_at is None:
                    self._write(group)

    def tick(self) -> None:
        """Whatever is due by now is done, or is about to be."""
        now = self._monotonic()
        for group in self._groups.values():
            time = group.sharing.next_time()
            if time is not None and time <= now:
                self._wake(group)
            if group.retry_at is not None and group.retry_at <= now:
                group.retry_at = None
                self._to_write.set()

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
                raise _no_subscription(name)
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
            document = await self._ask(Get(0, _document(name)))
        except DocumentNotFound:
            return None
        return parse_subscription(decode_value(document.value))

    async def _make(self, name: str, message: Subscribe) -> Kept:
        position = await self._find_start(message)
        kept = kept_of(message, encode_cursor(self._epoch, position - 1))
        question = Question()
        value = msgspec.Raw(encode_value(to_value(kept)))
        self._registry.route(Create(self._next_id(), _document(name), value), question, self._now())
        await question.result()
        return kept

    def _join(self, group: Group, member: Member, message: Subscribe) -> None:
        try:
            group.check_same(kept_of(message, ""))
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
            self._changed(group)
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
        self._unwritten.pop(group, None)
        self._index.remove(group)

    def _end(self, group: Group, error: PalimpsestError) -> None:
        """It cannot go on: everybody is told."""
        self._drop(group)
        for member in list(group.sharing.workers):
            self._remove(member)
            member.subscriber.reply(Ended(member.number, *error.to_wire()))
        answers, group.answers = group.answers, []
        for asker, id in answers:
            asker.fail(id, error)

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
            self._changed(group)
            self._wake(group)
        if type(message) is Nack:
            # At once: what was sent before that is to be told from what is sent again. A failure that is forgotten in a crash does no harm.
            asker.reply(Acknowledged(message.id, group.name, group.cursor(self._told), is_new))
        elif group.dirty:
            group.answers.append((asker, message.id))
        elif group.flying is not None:
            group.flying.append((asker, message.id))  # what it says again may be what is being written
        else:
            self._answer(group, [(asker, message.id)])

    def _acknowledge(self, group: Group, message: Ack, asker: Asker) -> bool:
        self._check_positions(message.epoch, *message.positions)
        is_new = group.sharing.ack(message.positions, self._monotonic())
        group.closed(message.positions)
        return is_new

    def _refuse(self, group: Group, message: Nack, asker: Asker) -> bool:
        self._check_positions(message.epoch, message.position)
        if not 0 <= message.delay_seconds <= DELAY_SECONDS_MAX:
            raise InvalidRequest(f"delay_seconds is 0 to {DELAY_SECONDS_MAX:g}", reason="delay_seconds")
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
                raise _no_subscription(message.name)
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

    # --- reading and sending -------------------------------------------------------------------------------------

    def _seconds(self) -> float:
        """Until something is due."""
        times = [group.sharing.next_time() for group in self._groups.values() if group.sharing.workers]
        times += [group.retry_at for group in self._unwritten]
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
        if group.sharing.expire(self._monotonic()):
            self._changed(group)
        try:
            await self._send_all(group)
            if not group.live and group.sharing.has_room and group.sharing.workers:
                await self._read(group)
                await self._send_all(group)
                if not group.live and group.sharing.has_room and group.sharing.workers:
                    self._wake(group)
        except PalimpsestError as error:
            if not group.over:
                self._end(group, error)
            return
        if not group.over:
            self._tell(group)

    async def _read(self, group: Group) -> None:
        sharing = group.sharing
        group.tidy()
        rows = await self._reader.rows(
            sharing.next,
            rows_max=_ROWS_TOGETHER,
            bytes_max=_BYTES_TOGETHER,
            pattern=group.pattern,
            branch=group.branch,
        )
        for row in rows:
            if not sharing.has_room:
                return
            if group.follows(row.event):
                group.offer(row)
            else:
                sharing.passed(row.position + 1)
        if not rows or sharing.next >= self._told:
            sharing.passed(self._told)
            group.live = True
        if sharing.floor - group.written > _UNWRITTEN_MAX:
            self._changed(group)

    async def _send_all(self, group: Group) -> None:
        while not group.over and (found := group.sharing.deliver(self._monotonic())) is not None:
            await self._send(group, *found)

    async def _send(self, group: Group, member: Member, item: Item[Member]) -> None:
        """Raises what is not about this change."""
        delivery = item.deliveries
        try:
            change = await self._change(group, member, item)
            encoded = _encode(change)
            check_size(len(encoded), self._limits)
        except (Overload, CommitFailed):
            # A value was asked for behind others, who failed or are too many. It is as durable as before: once more, later.
            if _is_with(item, member, delivery):
                group.sharing.return_unsent(item, self._monotonic(), _AGAIN_SECONDS)
        except UsageError as error:
            if _is_with(item, member, delivery):
                group.sharing.refuse(item, self._monotonic(), error.message)
                self._changed(group)
        else:
            if _is_with(item, member, delivery):
                self.deliveries += 1
                member.credit_bytes -= len(encoded)
                member.subscriber.push(encoded)

    async def _change(self, group: Group, member: Member, item: Item[Member]) -> Change:
        row = group.row(item) or await self._row(item)
        value = NIL
        if member.values and row.event.kind != _DELETE:
            try:
                value = (await self._ask(Get(0, item.document, item.branch, item.version))).value
            except DocumentNotFound:
                value = NIL
        change = change_of(item.position, row.event, value)
        return msgspec.structs.replace(change, subscriptions=(member.number,), tries=group.sharing.tries(item))

    async def _row(self, item: Item[Member]) -> Row:
        async for row in self._reader.rows_of(item.document, item.branch, item.version, item.version):
            return row
        raise InvalidRequest("the version is not kept any more", reason="pruned")

    def _tell(self, group: Group) -> None:
        """Those who have all there is for now hear so, and those who do not any more."""
        is_current = group.live and not group.sharing.waiting
        if not is_current and group.sharing.has_room:
            return  # for a moment only
        for member in group.sharing.workers:
            if member.told_live is not is_current:
                member.told_live = is_current
                state = "live" if is_current else "behind"
                member.subscriber.reply(Marker(member.number, state, group.cursor(self._told)))

    # --- writing down --------------------------------------------------------------------------------------------

    def _changed(self, group: Group) -> None:
        if not self._closed:
            group.dirty = True
            self._unwritten[group] = None
            self._to_write.set()

    def _write(self, group: Group) -> None:
        group.dirty = False
        group.flying, group.answers = group.answers, []
        kept, delta = group.note(self._told)
        note = _Note(self, group, kept)
        if delta is None:
            note.committed(0, 0, 0)
        else:
            self._registry.route(Update(self._next_id(), group.document, delta), note, self._now())

    def written(self, group: Group, kept: Kept) -> None:
        """A note is durable."""
        group.kept, flying, group.flying = kept, group.flying or [], None
        self._answer(group, flying)
        self._settle(group)

    def not_written(self, group: Group, error: PalimpsestError) -> None:
        flying, group.flying = group.flying or [], None
        gone = isinstance(error, DocumentNotFound)
        for asker, id in flying:
            asker.fail(id, _no_subscription(group.name) if gone else error)
        if group.over:
            return
        if gone:
            self._end(group, _no_subscription(group.name))
        elif not isinstance(error, ServerClosing):
            log.warning("subscription_not_written", name=group.name, reason=error.message)
            group.dirty, group.retry_at = True, self._monotonic() + _WRITE_AGAIN_SECONDS
            self._unwritten[group] = None
            self._work.set()

    def _settle(self, group: Group) -> None:
        """Goes on with what has happened meanwhile, or is done."""
        if group.over:
            return
        if group.dirty:
            self._to_write.set()
        else:
            self._unwritten.pop(group, None)
            self._maybe_drop(group)

    def _answer(self, group: Group, askers: list[tuple[Asker, int]]) -> None:
        cursor = group.cursor(self._told)
        for asker, id in askers:
            asker.reply(Acknowledged(id, group.name, cursor))

    def _next_id(self) -> int:
        self._notes += 1
        return self._notes


class _Note:
    """Asks for a note to be written."""

    client = ""

    def __init__(self, groups: Groups, group: Group, kept: Kept) -> None:
        self._groups = groups
        self._group = group
        self._kept = kept

    def committed(self, id: int, version: int, at: int) -> None:
        self._groups.written(self._group, self._kept)

    def reply(self, message: object) -> None:
        raise AssertionError("no note is written twice")

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._groups.not_written(self._group, error)


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
        self._asker.fail(id, _no_subscription(self._name) if isinstance(error, DocumentNotFound) else error)


def _is_with(item: Item[Member], member: Member, delivery: int) -> bool:
    """Whether it is still the worker's to be sent."""
    return item.worker is member and item.deliveries == delivery


def _failed(id: int, error: Exception) -> Failed:
    return Failed(id, *(error if isinstance(error, PalimpsestError) else internal_error(id, error)).to_wire())


def _check(message: Subscribe) -> None:
    """Raises InvalidRequest or InvalidName."""
    _document(message.name or "")
    if message.snapshot or message.policy != "all":
        reason = "a named subscription hands out each change until it is acknowledged: no snapshot, and no other policy"
        raise InvalidRequest(reason, reason="name")
    if not 0 < message.ack_seconds <= ACK_SECONDS_MAX:
        raise InvalidRequest(f"ack_seconds is more than 0 and at most {ACK_SECONDS_MAX:g}", reason="ack_seconds")
    if message.tries_max < 1:
        raise InvalidRequest("a change is delivered once at least", reason="tries_max")
    if message.unacked_max < 1:
        raise InvalidRequest("a worker takes one change at least", reason="unacked_max")
    Condition(message)


def _document(name: str) -> str:
    """Raises InvalidName."""
    if not name or "/" in name:
        reason = "it is one segment"
        raise InvalidName(f"{name!r} is no name of a subscription: {reason}", name=name, reason=reason)
    return SUBSCRIPTIONS + name


def _no_subscription(name: str) -> SubscriptionNotFound:
    return SubscriptionNotFound(f"there is no subscription {name!r}", name=name)
