"""The log is read once for all workers of a named subscription, and each change is sent to the one that it is for.

Who that is, and what becomes of what cannot be sent, is decided in `sharing`; here is what it takes to send it: the change, whole and
encoded, and that it is still for the same worker once all of that is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from palimpsest.actors.group import Group, Member
from palimpsest.actors.making import NIL, change_of, check_size
from palimpsest.actors.reading import Reader
from palimpsest.actors.sharing import Item
from palimpsest.actors.tail import Tail
from palimpsest.errors import CommitFailed, DocumentNotFound, InvalidRequest, Overload, UsageError
from palimpsest.limits import Limits
from palimpsest.protocol.messages import Change, Document, Get, Marker
from palimpsest.storage.contracts import Row
from palimpsest.words import Kind

_ROWS_TOGETHER = 256
_BYTES_TOGETHER = 256 * 1024
_AGAIN_SECONDS = 0.01
_UNWRITTEN_MAX = 10_000
"""So far may the place go on, without anything to acknowledge, before it is written down."""
_DELETE = int(Kind.DELETE)
_encode = msgspec.msgpack.Encoder().encode


class Delivery:
    """ask: reads a document, as anybody would. end: the first position that the groups were not told of. monotonic: seconds. changed: told
    of a group of which there is something to be written."""

    def __init__(
        self,
        reader: Reader,
        tail: Tail,
        limits: Limits,
        ask: Callable[[Get], Awaitable[Document]],
        end: Callable[[], int],
        monotonic: Callable[[], float],
        changed: Callable[[Group], None],
    ) -> None:
        self._reader = reader
        self._tail = tail
        self._limits = limits
        self._ask = ask
        self._end = end
        self._monotonic = monotonic
        self._changed = changed
        self.count = 0
        """Changes that were sent to workers since the start, those that were sent again included."""

    async def go_on(self, group: Group) -> bool:
        """Sends what can be sent, and reads a piece of the log where there is room. Whether there is more to be read at once. Raises what is
        not about one change."""
        if group.sharing.expire(self._monotonic()):
            self._changed(group)
        await self._send_all(group)
        if _is_to_read(group):
            await self._read(group)
            await self._send_all(group)
            if _is_to_read(group):
                return True
        self._tell(group)
        return False

    async def _read(self, group: Group) -> None:
        sharing = group.sharing
        group.tidy()
        archived = self._tail.start
        rows = await self._reader.rows(
            sharing.next,
            rows_max=_ROWS_TOGETHER,
            bytes_max=_BYTES_TOGETHER,
            pattern=group.pattern,
            branch=group.branch,
        )
        is_kept = archived > self._tail.erased_at
        for row in rows:
            if not sharing.has_room:
                return
            if group.follows(row.event):
                group.offer(row, is_kept=is_kept)
            else:
                sharing.passed(row.position + 1)
        end = self._end()
        if not rows or sharing.next >= end:
            sharing.passed(end)
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
            encoded = _encode(await self._change(group, member, item))
            check_size(len(encoded), self._limits)
        except (Overload, CommitFailed):
            # A value was asked for behind others, who failed or are too many. It is as durable as before: once more, later.
            if _is_with(group, item, member, delivery):
                group.sharing.return_unsent(item, self._monotonic(), _AGAIN_SECONDS)
        except UsageError as error:
            if _is_with(group, item, member, delivery):
                group.sharing.refuse(item, self._monotonic(), error.message)
                self._changed(group)
        else:
            if _is_with(group, item, member, delivery):
                self.count += 1
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
        return change_of(item.position, row.event, value, (member.number,), group.sharing.tries(item))

    async def _row(self, item: Item[Member]) -> Row:
        async for row in self._reader.rows_of(item.document, item.branch, item.version, item.version):
            return row
        raise InvalidRequest("the version is not kept any more", reason="pruned")

    def _tell(self, group: Group) -> None:
        """Those who have all there is for now hear so, and those who do not any more."""
        is_current = group.live and not group.sharing.waiting
        if group.over or (not is_current and group.sharing.has_room):
            return  # where there is room, it is for a moment only
        for member in group.sharing.workers:
            if member.told_live is not is_current:
                member.told_live = is_current
                state = "live" if is_current else "behind"
                member.subscriber.reply(Marker(member.number, state, group.cursor(self._end())))


def _is_with(group: Group, item: Item[Member], member: Member, delivery: int) -> bool:
    """Whether it is still the worker's to be sent."""
    return not group.over and item.worker is member and item.deliveries == delivery


def _is_to_read(group: Group) -> bool:
    return bool(not group.over and not group.live and group.sharing.has_room and group.sharing.workers)
