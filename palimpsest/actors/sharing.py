"""Who of a named subscription's workers gets which change, and what becomes of it: decisions only.

A change is open from when it is offered until it is acknowledged or put aside. The open changes of one document are a line: those at
its front may be with a worker, all with the same one, which gets the next ones too, until it has none of them any more. Only
the first of a line has a time by which it has to be acknowledged, as those behind it may be waiting for it where they are.

How far all is done is known by the open changes alone: everything else that was looked at is done. So what is kept grows with what
is open, and not with what was done behind a change that takes long.

Nothing here waits or knows the time: it is given, in seconds that only rise.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from palimpsest.state.subscriptions import Letter, Runs

FULL_SECONDS = 60.0
"""After that a change is tried again that cannot be put aside, because there are too many of these."""
_REASON_CHARACTERS_MAX = 1_000
_HEAP_SPARE = 64
"""So many entries of a heap may be such as are no longer so, and as many again as there are lines."""


class Worker:
    """One who takes changes. is_served: whether anything may be sent to it now, whatever it has."""

    __slots__ = ("_queue", "ack_seconds", "lines", "tries_max", "unacked", "unacked_max")

    def __init__(self, ack_seconds: float, tries_max: int, unacked_max: int) -> None:
        self.ack_seconds = ack_seconds
        self.tries_max = tries_max
        self.unacked_max = unacked_max
        self.unacked = 0
        self.lines: set[str] = set()
        """Documents of which it has changes."""
        self._queue: list[tuple[int, str]] = []
        """As `Sharing._queue`, of its lines."""

    @property
    def is_served(self) -> bool:
        return True

    @property
    def is_free(self) -> bool:
        return self.unacked < self.unacked_max and self.is_served


W = TypeVar("W", bound=Worker)


class Item(Generic[W]):
    """An open change."""

    __slots__ = ("branch", "deliveries", "document", "failures", "index", "position", "version", "worker")

    def __init__(self, position: int, document: str, branch: str, version: int, index: int, failures: int) -> None:
        self.position = position
        self.document = document
        self.branch = branch
        """Where the version was made."""
        self.version = version
        self.index = index
        """Among all that were followed; -1 of a dead letter that is delivered again, which has no place among them."""
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
        self.next = floor + 1
        """The first position that was not looked at."""
        self.dead = dict(dead or {})
        self.workers: dict[W, None] = {}
        self.in_flight = 0
        """Changes that are with a worker."""
        self._open_max = open_max
        self._dead_max = dead_max
        self._count = 0
        """How many were followed."""
        self._done = list(done)
        """What is done of what was not looked at yet, or is being looked at."""
        self._failures = dict(failures or {})
        """Of what was not looked at yet."""
        self._items: dict[int, Item[W]] = {}
        """All that are open, by position."""
        self._open: dict[int, Item[W]] = {}
        """Of these, those that have an index; rising."""
        self._lines: dict[str, _Line[W]] = {}
        self._queue: list[tuple[int, str]] = []
        """A heap of positions that may be sent, with their documents, of lines that nobody has. It is no longer so where that is not
        the next one of its line."""
        self._deadlines: list[tuple[float, str]] = []
        """A heap; no longer so where the line's deadline is another."""
        self._held: list[tuple[float, str]] = []
        """A heap; no longer so where the line is held until another time."""
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
        held = sum(len(line.items) - line.sent for line in self._held_lines())
        return len(self._items) - self.in_flight - held

    @property
    def floor(self) -> int:
        """Everything up to there is done, dead letters aside."""
        return next(iter(self._open), self.next) - 1

    def done(self) -> Runs:
        """What is done after the floor."""
        runs: list[tuple[int, int]] = []
        before: Item[W] | None = None
        for item in self._open.values():
            if before is not None and item.index - before.index > 1:
                runs.append((before.position + 1, item.position - 1))
            before = item
        if before is not None and self._count > before.index + 1:
            runs.append((before.position + 1, self.next - 1))
        runs += [(max(first, self.next), last) for first, last in self._done if last >= self.next]
        return tuple(runs)

    def failures(self) -> dict[int, int]:
        """Of all that is not done, and has failed."""
        return {
            **{position: item.failures for position, item in self._open.items() if item.failures},
            **self._failures,
        }

    # --- changes -------------------------------------------------------------------------------------------------

    def offer(self, position: int, document: str, branch: str, version: int) -> None:
        """The next change that is followed. position: at least `next`."""
        self.passed(position)
        index, self._count = self._count, self._count + 1
        self.next = position + 1
        failures = self._failures.pop(position, 0)
        if self._is_done(position):
            return
        item = self._items[position] = self._open[position] = Item(position, document, branch, version, index, failures)
        line = self._lines.setdefault(document, _Line())
        line.items.append(item)
        if line.next == position:
            self._enqueue(document, line)

    def passed(self, position: int) -> None:
        """Whatever lies before position and was not offered is not followed."""
        self.next = max(self.next, position)

    def redrive(self, positions: Iterable[int]) -> bool:
        """Of the dead letters at these positions, those that are not delivered again yet are. Whether there are any."""
        found = [position for position in positions if position in self.dead and not self.dead[position].again]
        for position in found:
            letter = self.dead[position] = msgspec.structs.replace(self.dead[position], again=True)
            self._put_again(position, letter)
        return bool(found)

    # --- workers -------------------------------------------------------------------------------------------------

    def join(self, worker: W) -> None:
        self.workers[worker] = None

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
        found = [self._first(worker._queue, worker) for worker in free]
        lines = [line for line in (*found, self._first(self._queue, None)) if line is not None]
        if not lines:
            return None
        line = min(lines, key=_next)
        worker = line.worker
        if worker is None:
            others = [worker for worker in free if worker is not line.avoid]
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
            elif position >= self.next and not self._is_ahead(position):
                bisect.insort(self._done, (position, position))
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
        while (document := self._due(now)) is not None:
            line = self._lines[document]
            assert line.worker is not None
            seconds = line.worker.ack_seconds
            self._fail(line, 0, now, f"it was not acknowledged within {seconds:g} seconds")
            found = True
        return found

    def next_time(self) -> float | None:
        """When `expire` or `deliver` has something to do that it has not now."""
        times = [time for time in (self._first_deadline(), self._first_held()) if time is not None]
        return min(times, default=None)

    # --- inside --------------------------------------------------------------------------------------------------

    def _is_done(self, position: int) -> bool:
        """position: rises with each call."""
        passed = 0
        while passed < len(self._done) and self._done[passed][1] < position:
            passed += 1
        del self._done[:passed]
        return bool(self._done) and self._done[0][0] <= position

    def _is_ahead(self, position: int) -> bool:
        """Whether it is known as done, and was not looked at."""
        at = bisect.bisect_right(self._done, (position, 1 << 63))
        return at > 0 and self._done[at - 1][1] >= position

    def _put_again(self, position: int, letter: Letter) -> None:
        item = self._items[position] = Item[W](position, letter.document, letter.branch, letter.version, -1, 0)
        line = self._lines.setdefault(letter.document, _Line())
        at = bisect.bisect([other.position for other in line.items[line.sent :]], position) + line.sent
        line.items.insert(at, item)
        self._enqueue(letter.document, line)

    def _enqueue(self, document: str, line: _Line[W]) -> None:
        """It is known where it may go on, if it may."""
        position = line.next
        if position is None:
            return
        queue = self._queue if line.worker is None else line.worker._queue
        heapq.heappush(queue, (position, document))
        if len(queue) > _HEAP_SPARE + 2 * len(self._lines):
            others = ((other.next, name) for name, other in self._lines.items() if other.worker is line.worker)
            queue[:] = [(next_, name) for next_, name in others if next_ is not None]
            heapq.heapify(queue)

    def _first(self, queue: list[tuple[int, str]], worker: W | None) -> _Line[W] | None:
        while queue:
            position, document = queue[0]
            line = self._lines.get(document)
            if line is not None and line.worker is worker and line.next == position:
                return line
            heapq.heappop(queue)
        return None

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
        heapq.heappush(self._deadlines, (line.deadline, document))
        if len(self._deadlines) > _HEAP_SPARE + 2 * len(self._lines):
            self._deadlines = [(line.deadline, name) for name, line in self._lines.items() if line.worker is not None]
            heapq.heapify(self._deadlines)

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
                    self._remove(item, now)
                    return
                delay_seconds = max(delay_seconds, FULL_SECONDS)
        if delay_seconds > 0:
            line.held_until = now + delay_seconds
            heapq.heappush(self._held, (line.held_until, item.document))
            if len(self._held) > _HEAP_SPARE + 2 * len(self._lines):
                self._held = [
                    (line.held_until, name) for name, line in self._lines.items() if line.held_until is not None
                ]
                heapq.heapify(self._held)
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
        self._remove(item, now)
        if at == 0 and line.worker is not None:
            self._set_deadline(item.document, line, now)

    def _remove(self, item: Item[W], now: float) -> None:
        line = self._lines[item.document]
        line.items.remove(item)
        del self._items[item.position]
        self._open.pop(item.position, None)
        if line.items:
            self._enqueue(item.document, line)
        else:
            del self._lines[item.document]

    def _release(self, now: float) -> None:
        """Lines that have waited long enough go on."""
        while (time := self._first_held()) is not None and time <= now:
            document = heapq.heappop(self._held)[1]
            line = self._lines[document]
            line.held_until = None
            self._enqueue(document, line)

    def _due(self, now: float) -> str | None:
        deadline = self._first_deadline()
        return None if deadline is None or deadline > now else self._deadlines[0][1]

    def _first_deadline(self) -> float | None:
        heap = self._deadlines
        while heap:
            line = self._lines.get(heap[0][1])
            if line is not None and line.worker is not None and line.deadline == heap[0][0]:
                return heap[0][0]
            heapq.heappop(heap)
        return None

    def _first_held(self) -> float | None:
        heap = self._held
        while heap:
            line = self._lines.get(heap[0][1])
            if line is not None and line.held_until == heap[0][0]:
                return heap[0][0]
            heapq.heappop(heap)
        return None

    def _held_lines(self) -> list[_Line[W]]:
        documents = {document for _, document in self._held}
        lines = (self._lines.get(document) for document in documents)
        return [line for line in lines if line is not None and line.held_until is not None]


def _next(line: _Line[W]) -> int:
    position = line.next
    assert position is not None
    return position


def _load(worker: Worker) -> int:
    return worker.unacked
