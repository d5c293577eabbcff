"""Who of a named subscription's workers gets which change, and what becomes of it: decisions only.

A change is open from when it is offered until it is acknowledged or put aside. The open changes of one document are a line: those at
its front may be with a worker, all with the same one, which gets the next ones too, until it has none of them any more. Only
the first of a line has a time by which it has to be acknowledged, as those behind it may be waiting for it where they are.

Nothing here waits or knows the time: it is given, in seconds that only rise.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from palimpsest.actors.agenda import Agenda
from palimpsest.actors.progress import Progress
from palimpsest.state.subscriptions import Letter, Runs

FULL_SECONDS = 60.0
"""After that a change is tried again that cannot be put aside, because there are too many of these."""
_REASON_CHARACTERS_MAX = 1_000


class Worker:
    """One who takes changes. is_served: whether anything may be sent to it now, whatever it has."""

    __slots__ = ("ack_seconds", "lines", "tries_max", "unacked", "unacked_max")

    def __init__(self, ack_seconds: float, tries_max: int, unacked_max: int) -> None:
        self.ack_seconds = ack_seconds
        self.tries_max = tries_max
        self.unacked_max = unacked_max
        self.unacked = 0
        self.lines: set[str] = set()
        """Documents of which it has changes."""

    @property
    def is_served(self) -> bool:
        return True

    @property
    def is_free(self) -> bool:
        return self.unacked < self.unacked_max and self.is_served


W = TypeVar("W", bound=Worker)


class Item(Generic[W]):
    """An open change."""

    __slots__ = ("branch", "deliveries", "document", "failures", "position", "version", "worker")

    def __init__(self, position: int, document: str, branch: str, version: int, failures: int) -> None:
        self.position = position
        self.document = document
        self.branch = branch
        """Where the version was made."""
        self.version = version
        self.failures = failures
        self.deliveries = 0
        """To tell one delivery from another."""
        self.worker: W | None = None
        """Who has it."""


class _Line(Generic[W]):
    """Of one document. The first `sent` items are with `worker`, in their order."""

    __slots__ = ("avoid", "deadline", "held_until", "items", "sent", "worker")

    def __init__(self) -> None:
        self.items: list[Item[W]] = []
        self.sent = 0
        self.worker: W | None = None
        """None where nothing is sent."""
        self.avoid: W | None = None
        """Who failed last; another is preferred."""
        self.deadline = 0.0
        """Of the first, where it is sent."""
        self.held_until: float | None = None
        """What is not sent has to wait until then."""

    @property
    def next(self) -> int | None:
        """The position of the first that is not sent, and may be."""
        return self.items[self.sent].position if self.held_until is None and self.sent < len(self.items) else None


class Sharing(Generic[W]):
    """floor: everything up to there is done. done: what is, too, after it. failures: how often those have failed that are open, by
    position. dead: what was put aside, by position; at most dead_max of them."""

    def __init__(
        self,
        floor: int,
        *,
        done: Runs = (),
        failures: Mapping[int, int] | None = None,
        dead: Mapping[int, Letter] | None = None,
        open_max: int = 1_000,
        dead_max: int = 1_000,
    ) -> None:
        self.dead = dict(dead or {})
        self.workers: dict[W, Agenda[int]] = {}
        """Each with positions that may be sent to it alone, of the lines that it has."""
        self.in_flight = 0
        """Changes that are with a worker."""
        self._open_max = open_max
        self._dead_max = dead_max
        self._progress = Progress(floor, done)
        self._failures = dict(failures or {})
        """Of what was not looked at yet."""
        self._items: dict[int, Item[W]] = {}
        """All that are open, by position; dead letters that are delivered again included."""
        self._lines: dict[str, _Line[W]] = {}
        self._queue = self._agenda_of(None)
        """Positions that may be sent, of lines that nobody has."""
        self._deadlines = Agenda(self._deadline_of)
        self._held = Agenda(self._held_until)
        for position, letter in sorted(self.dead.items()):
            if letter.again:
                self._put_again(position, letter)

    # --- how far it is -------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        return len(self._items) < self._open_max

    @property
    def open(self) -> int:
        return len(self._items)

    @property
    def waiting(self) -> int:
        """How many are not with a worker, and could be, if there was one."""
        held = (self._lines[document] for document in self._held.names())
        return len(self._items) - self.in_flight - sum(len(line.items) - line.sent for line in held)

    @property
    def next(self) -> int:
        """The first position that was not looked at."""
        return self._progress.next

    @property
    def floor(self) -> int:
        """Everything up to there is done, dead letters aside."""
        return self._progress.floor

    def done(self) -> Runs:
        """What is done after the floor."""
        return self._progress.done()

    def failures(self) -> dict[int, int]:
        """Of all that is not done, and has failed; dead letters aside, which have them themselves."""
        found = {
            position: item.failures
            for position, item in self._items.items()
            if item.failures and position not in self.dead
        }
        return found | self._failures

    # --- changes -------------------------------------------------------------------------------------------------

    def offer(self, position: int, document: str, branch: str, version: int) -> None:
        """The next change that is followed. position: at least `next`."""
        failures = self._failures.pop(position, 0)
        if not self._progress.follow(position):
            return
        item: Item[W] = Item(position, document, branch, version, failures)
        self._items[position] = item
        line = self._lines.setdefault(document, _Line())
        line.items.append(item)
        if line.next == position:
            self._enqueue(document, line)

    def passed(self, position: int) -> None:
        """Whatever lies before position and was not offered is not followed."""
        self._progress.passed(position)

    def redrive(self, positions: Iterable[int]) -> bool:
        """Of the dead letters at these positions, those that are not delivered again yet are. Whether there are any."""
        found = [position for position in positions if position in self.dead and not self.dead[position].again]
        for position in found:
            letter = self.dead[position] = msgspec.structs.replace(self.dead[position], again=True)
            self._put_again(position, letter)
        return bool(found)

    # --- workers -------------------------------------------------------------------------------------------------

    def join(self, worker: W) -> None:
        self.workers[worker] = self._agenda_of(worker)

    def leave(self, worker: W, now: float, reason: str | None) -> None:
        """What it has goes to others. reason: why that is a failure; None: it is none."""
        self.workers.pop(worker, None)
        for document in list(worker.lines):
            line = self._lines[document]
            self._fail(line, 0, now, reason)
            line.avoid = None

    def deliver(self, now: float) -> tuple[W, Item[W]] | None:
        """The next change that is to be sent, and to whom; it counts as sent."""
        self._release(now)
        free = [worker for worker in self.workers if worker.is_free]
        if not free:
            return None
        line = self._take_first(free)
        if line is None:
            return None
        worker = line.worker
        if worker is None:
            others = free if line.avoid is None else [worker for worker in free if worker is not line.avoid]
            worker = min(others or free, key=_load)
        return worker, self._send(line, worker, now)

    def ack(self, positions: Iterable[int], now: float) -> bool:
        """They are done. Whether that is new of any of them."""
        is_new = False
        for position in positions:
            item = self._items.get(position)
            if self.dead.pop(position, None) is not None:
                is_new = True
            if item is not None:
                self._close(item, now)
                is_new = True
            elif self._progress.close_ahead(position):
                is_new = True
        return is_new

    def nack(self, position: int, now: float, *, reason: str, delay_seconds: float = 0.0) -> bool:
        """The worker that has it failed. Whether anybody had it."""
        item = self._items.get(position)
        if item is None or item.worker is None:
            return False
        line = self._lines[item.document]
        self._fail(line, line.items.index(item), now, reason, delay_seconds)
        return True

    def return_unsent(self, item: Item[W], now: float, delay_seconds: float) -> None:
        """It could not be sent, which is not the worker's fault."""
        line = self._lines[item.document]
        self._fail(line, line.items.index(item), now, None, delay_seconds)

    def refuse(self, item: Item[W], now: float, reason: str) -> None:
        """It cannot be sent at all, to nobody: it is put aside."""
        line = self._lines[item.document]
        self._fail(line, line.items.index(item), now, reason, tries_max=1)

    def tries(self, item: Item[W]) -> int:
        """Which delivery of it the last one was, failures counted."""
        letter = self.dead.get(item.position)
        return item.failures + 1 + (letter.tries if letter is not None else 0)

    def is_open(self, position: int) -> bool:
        return position in self._items

    def worker_of(self, position: int) -> W | None:
        item = self._items.get(position)
        return None if item is None else item.worker

    # --- time ----------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> bool:
        """What was not acknowledged in time has failed. Whether there was anything."""
        found = False
        while (first := self._deadlines.first()) is not None and first[0] <= now:
            line = self._lines[first[1]]
            assert line.worker is not None
            seconds = line.worker.ack_seconds
            self._fail(line, 0, now, f"it was not acknowledged within {seconds:g} seconds")
            found = True
        return found

    def next_time(self) -> float | None:
        """When `expire` or `deliver` has something to do that it has not now."""
        firsts = (self._deadlines.first(), self._held.first())
        return min((first[0] for first in firsts if first is not None), default=None)

    # --- inside --------------------------------------------------------------------------------------------------

    def _agenda_of(self, worker: W | None) -> Agenda[int]:
        """For the lines that the worker has; None: that nobody has."""
        lines = self._lines

        def position_of(document: str) -> int | None:
            line = lines.get(document)
            return line.next if line is not None and line.worker is worker else None

        return Agenda(position_of)

    def _deadline_of(self, document: str) -> float | None:
        line = self._lines.get(document)
        return line.deadline if line is not None and line.worker is not None else None

    def _held_until(self, document: str) -> float | None:
        line = self._lines.get(document)
        return line.held_until if line is not None else None

    def _put_again(self, position: int, letter: Letter) -> None:
        item: Item[W] = Item(position, letter.document, letter.branch, letter.version, 0)
        self._items[position] = item
        line = self._lines.setdefault(letter.document, _Line())
        at = bisect.bisect([other.position for other in line.items[line.sent :]], position) + line.sent
        line.items.insert(at, item)
        self._enqueue(letter.document, line)

    def _take_first(self, free: list[W]) -> _Line[W] | None:
        """The line with the first position that may be sent to one of free, which does not stand for it any more."""
        found, place = self._queue.first(), self._queue
        for worker in free:
            queue = self.workers[worker]
            first = queue.first() if queue.entries else None
            if first is not None and (found is None or first < found):
                found, place = first, queue
        if found is None:
            return None
        place.drop_first()
        return self._lines[found[1]]

    def _enqueue(self, document: str, line: _Line[W]) -> None:
        """It is known where it may go on, if it may."""
        position = line.next
        if position is not None:
            queue = self._queue if line.worker is None else self.workers[line.worker]
            queue.put(position, document)

    def _send(self, line: _Line[W], worker: W, now: float) -> Item[W]:
        item = line.items[line.sent]
        if line.worker is None:
            line.worker, line.avoid = worker, None
            worker.lines.add(item.document)
            self._set_deadline(item.document, line, now)
        line.sent += 1
        worker.unacked += 1
        self.in_flight += 1
        item.worker = worker
        item.deliveries += 1
        self._enqueue(item.document, line)
        return item

    def _set_deadline(self, document: str, line: _Line[W], now: float) -> None:
        assert line.worker is not None
        line.deadline = now + line.worker.ack_seconds
        self._deadlines.put(line.deadline, document)

    def _take_back(self, line: _Line[W], at: int) -> None:
        """What is sent from there on is not any more."""
        worker = line.worker
        if worker is None:
            return
        for item in line.items[at : line.sent]:
            item.worker = None
            worker.unacked -= 1
            self.in_flight -= 1
        line.sent = min(line.sent, at)
        if not line.sent:
            line.worker = None
            worker.lines.discard(line.items[0].document)

    def _fail(
        self,
        line: _Line[W],
        at: int,
        now: float,
        reason: str | None,
        delay_seconds: float = 0.0,
        tries_max: int | None = None,
    ) -> None:
        """The item at that place, which is sent, comes back with those behind it. reason: None where it is not counted."""
        item, worker = line.items[at], line.worker
        assert worker is not None
        self._take_back(line, at)
        line.avoid, line.held_until = worker, None
        if reason is not None:
            item.failures += 1
            if item.failures >= (tries_max if tries_max is not None else worker.tries_max):
                if self._put_aside(item, reason[:_REASON_CHARACTERS_MAX]):
                    self._remove(item)
                    return
                delay_seconds = max(delay_seconds, FULL_SECONDS)
        if delay_seconds > 0:
            line.held_until = now + delay_seconds
            self._held.put(line.held_until, item.document)
        self._enqueue(item.document, line)

    def _put_aside(self, item: Item[W], reason: str) -> bool:
        """Whether there was room for it."""
        known = self.dead.get(item.position)
        if known is None and len(self.dead) >= self._dead_max:
            return False
        tries = item.failures + (known.tries if known is not None else 0)
        self.dead[item.position] = Letter(
            document=item.document, branch=item.branch, version=item.version, tries=tries, reason=reason
        )
        return True

    def _close(self, item: Item[W], now: float) -> None:
        """It is done."""
        line = self._lines[item.document]
        at = line.items.index(item)
        if at < line.sent:
            assert line.worker is not None
            line.worker.unacked -= 1
            self.in_flight -= 1
            line.sent -= 1
            item.worker = None
            if not line.sent:
                line.worker.lines.discard(item.document)
                line.worker = None
        elif at == line.sent:
            line.held_until = None  # it was this one that had to wait
        self._remove(item)
        if at == 0 and line.worker is not None:
            self._set_deadline(item.document, line, now)

    def _remove(self, item: Item[W]) -> None:
        line = self._lines[item.document]
        line.items.remove(item)
        del self._items[item.position]
        self._progress.close(item.position)
        if line.items:
            self._enqueue(item.document, line)
        else:
            del self._lines[item.document]

    def _release(self, now: float) -> None:
        """Lines that have waited long enough go on."""
        while self._held.entries and (first := self._held.first()) is not None and first[0] <= now:
            line = self._lines[first[1]]
            line.held_until = None
            self._enqueue(first[1], line)


def _load(worker: Worker) -> int:
    return worker.unacked
