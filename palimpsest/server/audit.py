"""What was refused, to whom, and who changed roles and tokens: written to a document of the server's own, one for each day.

Each version of it says what happened since the version before, and its history is the record: a follower of `$system/audit/**` hears of
everything, and the document itself stays small. A version is written at most once a second, and less often the longer the refusals go
on, so that nobody can fill the store by asking for what is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
from msgspec import Raw

from palimpsest.actors.asking import Question
from palimpsest.actors.partition import Partition
from palimpsest.clock import Clock
from palimpsest.errors import DocumentNotFound, Forbidden, PalimpsestError
from palimpsest.logs import get_logger
from palimpsest.protocol.messages import Create, Update
from palimpsest.state.ops import Set, encode_delta
from palimpsest.state.system import AUDIT
from palimpsest.state.values import encode_value
from palimpsest.storage.events import Event

log = get_logger("palimpsest.server")

ENTRIES_MAX = 100
"""Of refusals, and of changes, in one version; what else there was is counted."""

_PAUSE_SECONDS_MIN = 1.0
_PAUSE_SECONDS_MAX = 60.0


class Audit:
    """principal_of: who a client id belongs to; "" where that is not known any more."""

    def __init__(self, partition: Partition, clock: Clock, principal_of: Callable[[str], str]) -> None:
        self._partition = partition
        self._clock = clock
        self._principal_of = principal_of
        self._refused: dict[tuple[str, str, str, str], int] = {}
        self._changed: list[dict[str, Any]] = []
        self._turned_away = 0
        self._left_out = 0
        self._something = anyio.Event()

    def refused(self, principal: str, request: str, error: Forbidden) -> None:
        """request: the kind of message."""
        key = (principal, request, error.action, error.document)
        if key in self._refused or len(self._refused) < ENTRIES_MAX:
            self._refused[key] = self._refused.get(key, 0) + 1
        else:
            self._left_out += 1
        self._something.set()

    def turned_away(self) -> None:
        """Somebody had no token that is good."""
        self._turned_away += 1
        self._something.set()

    def changed(self, document: str) -> None:
        """To be called as soon as a change of a role or a token is durable."""
        event = self._event(document)
        if event is None or len(self._changed) >= ENTRIES_MAX:
            self._left_out += 1
        else:
            by = event.meta.by if event.meta is not None else None
            said = {"document": document, "version": event.version, "principal": self._principal_of(event.origin)}
            self._changed.append(said | ({"by": by} if by is not None else {}))
        self._something.set()

    async def run(self) -> None:
        """Writes what there is, again and again. Never returns."""
        pause = _PAUSE_SECONDS_MIN
        while True:
            with anyio.move_on_after(pause):
                await self._something.wait()
            if self._something.is_set():
                await self.flush()
                await anyio.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)
            else:
                pause = _PAUSE_SECONDS_MIN

    async def flush(self) -> None:
        """Writes what there is, and returns once it is durable. What cannot be written is in the log."""
        if not self._something.is_set():
            return
        value = self._take()
        day = datetime.fromtimestamp(value["at"] / 1_000_000, UTC).date().isoformat()
        try:
            await self._write(AUDIT + day, value)
        except PalimpsestError as error:
            log.warning("audit_failed", reason=error.message, lost=value)

    def _take(self) -> dict[str, Any]:
        value: dict[str, Any] = {"at": self._clock.now()}
        if self._refused:
            value["refused"] = [
                {"principal": principal, "request": request, "action": action, "document": document, "times": times}
                for (principal, request, action, document), times in self._refused.items()
            ]
        if self._changed:
            value["changed"] = self._changed
        if self._turned_away:
            value["turned_away"] = self._turned_away
        if self._left_out:
            value["left_out"] = self._left_out
        self._refused, self._changed, self._turned_away, self._left_out = {}, [], 0, 0
        self._something = anyio.Event()
        return value

    async def _write(self, document: str, value: dict[str, Any]) -> None:
        try:
            await self._ask(Update(0, document, Raw(encode_delta([Set((), value)]))))
        except DocumentNotFound:
            await self._ask(Create(0, document, Raw(encode_value(value))))

    async def _ask(self, message: Update | Create) -> None:
        question = Question()
        self._partition.routes[type(message)](message, question, self._clock.now())
        await question.result()

    def _event(self, document: str) -> Event | None:
        """The newest of document, among the last that became durable."""
        tail = self._partition.tail
        for batch in tail.batches(tail.end - 1, bytes_max=1):
            for position in range(batch.position + batch.count - 1, batch.position - 1, -1):
                event = tail.row(position).event
                if event.document == document:
                    return event
        return None
