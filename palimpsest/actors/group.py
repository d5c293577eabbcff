"""One named subscription while it is in use: what it follows, who works for it, and what is to be written down of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

import msgspec
from msgspec import Raw

from palimpsest.actors.committer import Asker
from palimpsest.actors.named import check_cursor, condition_of, difference
from palimpsest.actors.sharing import Item, Sharing, Worker
from palimpsest.limits import Limits
from palimpsest.protocol.cursor import decode_cursor, encode_cursor
from palimpsest.protocol.messages import DeadLetter, Subscribe, SubscriptionInfo
from palimpsest.state.names import Pattern
from palimpsest.state.ops import encode_delta
from palimpsest.state.subscriptions import Kept
from palimpsest.state.system import SUBSCRIPTIONS
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event

_ROWS_BYTES_MAX = 4 * 1024 * 1024
"""What is open is read again from the log where it takes more than that."""
_ROW_BYTES = 256
"""What a row takes beside its delta, roughly."""


class Receiver(Protocol):
    """One connection, as a group sees it: as `actors.subscription.Subscriber`."""

    @property
    def paused(self) -> bool: ...

    def reply(self, message: object) -> None: ...

    def push(self, encoded: bytes) -> None: ...


class Member(Worker):
    """A worker that is a connection's subscription."""

    __slots__ = ("credit_bytes", "group", "number", "subscriber", "told_live", "values")

    def __init__(self, message: Subscribe, subscriber: Receiver, credit_bytes: int) -> None:
        super().__init__(message.ack_seconds, message.tries_max, message.unacked_max)
        self.subscriber = subscriber
        self.number = message.subscription
        self.values = message.values
        self.credit_bytes = credit_bytes
        self.group: Group | None = None
        """None until it has joined."""
        self.told_live = False
        """Whether it was told last that there is nothing more for now."""

    @property
    def is_served(self) -> bool:
        return self.credit_bytes > 0 and not self.subscriber.paused


class Group:
    """kept: what is durable of it. Raises CursorInvalid where that is of another journal."""

    def __init__(self, name: str, kept: Kept, epoch: str, end: int, limits: Limits) -> None:
        """end: the first position that is not durable."""
        self.name = name
        self.kept = kept
        self.pattern = Pattern.parse(kept.pattern)
        self.branch = kept.branch
        self.live = False
        """Everything that is durable was looked at."""
        self.queued = False
        """It waits for its turn."""
        self.over = False
        self.answers: list[tuple[Asker, int]] = []
        """Who is to be answered once what has happened until now is durable, by request."""
        self.flying: list[tuple[Asker, int]] | None = None
        """The same, of what is being written; None while nothing is."""
        self.dirty = False
        """Something has happened that is not being written."""
        self.retry_at: float | None = None
        """Writing has failed, and is tried again then."""
        self._condition = condition_of(kept)
        self._epoch = epoch
        self._rows: OrderedDict[int, Row] = OrderedDict()
        self._rows_bytes = 0
        self.sharing = Sharing[Member](
            check_cursor(name, kept.cursor, epoch, end),
            done=kept.done,
            failures=kept.tries,
            dead=kept.dead,
            open_max=limits.unacked_changes_max,
            dead_max=limits.dead_letters_max,
        )

    @property
    def document(self) -> str:
        return SUBSCRIPTIONS + self.name

    @property
    def is_idle(self) -> bool:
        """Nobody works for it, and nothing of it is to be written."""
        return not (self.sharing.workers or self.dirty or self.answers or self.flying is not None)

    @property
    def written(self) -> int:
        """The place that is durable: everything up to there is done."""
        return decode_cursor(self.kept.cursor)[1]

    def cursor(self, end: int) -> str:
        """Everything up to there is done. end: the first position that is not durable."""
        if self.live:
            self.sharing.passed(end)
        return encode_cursor(self._epoch, self.sharing.floor)

    def follows(self, event: Event) -> bool:
        return (
            event.branch == self.branch
            and self.pattern.matches(event.document)
            and not event.document.startswith(SUBSCRIPTIONS)  # else writing down what was done would never be done
            and (self._condition is None or self._condition.holds(event))
        )

    # --- what is open --------------------------------------------------------------------------------------------

    def offer(self, row: Row, *, is_kept: bool = True) -> None:
        """The next row that it follows. is_kept: False where it may hold what is to be gone, so that it is read again when it is sent."""
        event, position = row.event, row.position
        self.sharing.offer(position, event.document, event.branch, event.version)
        if is_kept and self.sharing.is_open(position):
            self._rows[position] = row
            self._rows_bytes += _weight(row)
            while self._rows_bytes > _ROWS_BYTES_MAX:
                self._forget(next(reversed(self._rows)))

    def row(self, item: Item[Member]) -> Row | None:
        """None: it has to be read from the log."""
        return self._rows.get(item.position)

    def closed(self, positions: Iterable[int]) -> None:
        """These are done with."""
        for position in positions:
            if position in self._rows:
                self._forget(position)

    def tidy(self) -> None:
        """What is not open any more needs no row."""
        if len(self._rows) > 2 * self.sharing.open + 64:
            for position in [position for position in self._rows if not self.sharing.is_open(position)]:
                self._forget(position)

    def erased(self) -> None:
        """What was read before may hold what is to be gone."""
        self._rows.clear()
        self._rows_bytes = 0

    def _forget(self, position: int) -> None:
        self._rows_bytes -= _weight(self._rows.pop(position))

    # --- what is written down ------------------------------------------------------------------------------------

    def note(self, end: int) -> tuple[Kept, Raw | None]:
        """What it is now, and what makes that of `kept`; None: nothing."""
        sharing = self.sharing
        now = msgspec.structs.replace(
            self.kept,
            cursor=self.cursor(end),
            done=sharing.done(),
            tries=sharing.failures(),
            dead=dict(sharing.dead),
        )
        ops = difference(self.kept, now)
        return now, Raw(encode_delta(ops)) if ops else None


def info_of(name: str, kept: Kept, group: Group | None, end: int, *, letters: bool) -> SubscriptionInfo:
    """group: where it is in use."""
    cursor = kept.cursor if group is None else group.cursor(end)
    sharing = None if group is None else group.sharing
    dead = kept.dead if sharing is None else sharing.dead
    return SubscriptionInfo(
        name,
        kept.pattern,
        kept.branch,
        cursor,
        max(0, end - 1 - decode_cursor(cursor)[1]),
        0 if sharing is None else len(sharing.workers),
        0 if sharing is None else sharing.in_flight,
        len(dead),
        tuple(
            DeadLetter(
                position, letter.document, letter.branch, letter.version, letter.tries, letter.reason, letter.again
            )
            for position, letter in sorted(dead.items())
        )
        if letters
        else (),
    )


def _weight(row: Row) -> int:
    return len(row.event.delta) + _ROW_BYTES
