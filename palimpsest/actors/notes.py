"""Named subscriptions are written down, each in its document: how far it is, what has failed, and what was put aside.

One note of a subscription is written at a time, and what happens meanwhile goes with the next. Who acknowledged is answered when that
is durable.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import anyio
import msgspec

from palimpsest.actors.asking import Question
from palimpsest.actors.committer import Asker
from palimpsest.actors.group import Group
from palimpsest.actors.named import document_of, not_found
from palimpsest.actors.registry import Registry
from palimpsest.errors import DocumentNotFound, PalimpsestError, ServerClosing
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import Acknowledged, Create, Update
from palimpsest.state.subscriptions import Kept, to_value
from palimpsest.state.values import encode_value

log = get_logger("palimpsest.actors")

_AGAIN_SECONDS = 1.0


class Notes:
    """end: the first position that the groups were not told of. now: microseconds since the epoch. monotonic: seconds.

    on_gone: told of a group whose document is not there any more. on_written: of one of which everything is written.
    """

    def __init__(
        self,
        registry: Registry,
        end: Callable[[], int],
        now: Callable[[], int],
        monotonic: Callable[[], float],
        on_gone: Callable[[Group], None],
        on_written: Callable[[Group], None],
    ) -> None:
        self._registry = registry
        self._end = end
        self._now = now
        self._monotonic = monotonic
        self._on_gone = on_gone
        self._on_written = on_written
        self._unwritten: dict[Group, None] = {}
        """Groups of which something is to be written, or is being written."""
        self._work = anyio.Event()
        self._count = 0
        self._refusal: PalimpsestError | None = None
        """Why nothing is written any more, if so."""

    @property
    def is_quiet(self) -> bool:
        """Everybody is answered."""
        return not any(group.answers or group.flying for group in self._unwritten)

    def close(self, error: PalimpsestError) -> None:
        """Nothing is written any more; who waits is told."""
        self._refusal = error
        for group in self._unwritten:
            _fail_all(group, error)

    async def create(self, name: str, kept: Kept) -> None:
        """The first note of a subscription that is new. Raises what its document is refused for."""
        question = Question()
        value = msgspec.Raw(encode_value(to_value(kept)))
        self._registry.route(Create(self._next_id(), document_of(name), value), question, self._now())
        await question.result()

    def changed(self, group: Group) -> None:
        """Something has happened that is to be written."""
        if self._refusal is None and not group.over:
            group.dirty = True
            self._unwritten[group] = None
            self._work.set()

    def answer(self, group: Group, asker: Asker, id: int) -> None:
        """The asker is answered once all that has happened until now is durable."""
        if self._refusal is not None:
            asker.fail(id, self._refusal)
        elif group.dirty:
            group.answers.append((asker, id))
        elif group.flying is not None:
            group.flying.append((asker, id))  # what it says again may be what is being written
        else:
            self._answer(group, [(asker, id)])

    def forget(self, group: Group) -> None:
        """The group is over: nothing of it is written any more."""
        self._unwritten.pop(group, None)

    def fail(self, group: Group, error: PalimpsestError) -> None:
        """The group is over, and whoever waits for what is not being written is told why."""
        self.forget(group)
        _fail_all(group, error)

    async def run(self) -> None:
        """Writes down what has happened, until cancelled."""
        while True:
            with anyio.move_on_after(self._seconds()):
                await self._work.wait()
            self._work = anyio.Event()
            self.tick()
            for group in list(self._unwritten):
                if group.dirty and group.flying is None and group.retry_at is None:
                    self._write(group)

    def tick(self) -> None:
        """What has failed, and is to be tried again by now, is about to be."""
        now = self._monotonic()
        for group in self._unwritten:
            if group.retry_at is not None and group.retry_at <= now:
                group.retry_at = None
                self._work.set()

    # --- inside --------------------------------------------------------------------------------------------------

    def _seconds(self) -> float:
        """Until something is to be tried again."""
        times = [group.retry_at for group in self._unwritten if group.retry_at is not None]
        return max(0.0, min(times, default=math.inf) - self._monotonic())

    def _write(self, group: Group) -> None:
        group.dirty = False
        group.flying, group.answers = group.answers, []
        kept, delta = group.note(self._end())
        if delta is None:
            self.written(group, kept)
        else:
            update = Update(self._next_id(), group.document, delta)
            self._registry.route(update, _Note(self, group, kept), self._now())

    def written(self, group: Group, kept: Kept) -> None:
        """A note is durable."""
        group.kept, flying, group.flying = kept, group.flying or [], None
        self._answer(group, flying)
        if group.over:
            return
        if group.dirty:  # goes on with what has happened meanwhile
            self._work.set()
        else:
            self.forget(group)
            self._on_written(group)

    def not_written(self, group: Group, error: PalimpsestError) -> None:
        flying, group.flying = group.flying or [], None
        gone = isinstance(error, DocumentNotFound)
        for asker, id in flying:
            asker.fail(id, not_found(group.name) if gone else error)
        if group.over:
            return
        if gone:
            self._on_gone(group)
        elif not isinstance(error, ServerClosing):
            log.warning("subscription_not_written", name=group.name, reason=error.message)
            group.retry_at = self._monotonic() + _AGAIN_SECONDS
            self.changed(group)

    def _answer(self, group: Group, askers: list[tuple[Asker, int]]) -> None:
        cursor = group.cursor(self._end())
        for asker, id in askers:
            asker.reply(Acknowledged(id, group.name, cursor))

    def _next_id(self) -> int:
        self._count += 1
        return self._count


class _Note:
    """Asks for a note to be written."""

    client = ""

    def __init__(self, notes: Notes, group: Group, kept: Kept) -> None:
        self._notes = notes
        self._group = group
        self._kept = kept

    def committed(self, id: int, version: int, at: int) -> None:
        self._notes.written(self._group, self._kept)

    def reply(self, message: object) -> None:
        raise AssertionError("no note is written twice")

    def fail(self, id: int, error: PalimpsestError) -> None:
        self._notes.not_written(self._group, error)


def _fail_all(group: Group, error: PalimpsestError) -> None:
    answers, group.answers = group.answers, []
    for asker, id in answers:
        asker.fail(id, error)
