"""Keeps the transactions of an import under way, in order, until they end or one is refused.

Each is conditional on the version of the progress document that the one before it makes, so that nothing is decided out of
order. Those that only go on with `main` follow one another without waiting. One that makes a branch or takes in versions of
another takes a server longer to decide, and the next would overtake it: it is sent alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread

from palimpsest.cli.git.names import progress_name
from palimpsest.cli.git.plan import Step, Write
from palimpsest.cli.git.repository import Commit
from palimpsest.client import Client, Create, Join
from palimpsest.errors import PalimpsestError
from palimpsest.state.delta import DELETE, Delta

_AUTHOR_CHARACTERS_MAX = 1_000
_MESSAGE_CHARACTERS_MAX = 60_000
"""A version keeps at most 65,536 characters about itself; there have been commits whose messages are longer."""

_CHUNK_STEPS_MAX = 32
_CHUNK_BYTES_MAX = 1024 * 1024
"""Steps that are prepared in one hop to the thread that reads the repository."""

_CHUNKS_UNDER_WAY_MAX = 4


class Backlog:
    """The steps of an import that are not known to be there, and those to come."""

    def __init__(self, steps: Iterator[Step]) -> None:
        self._steps = steps
        self._ahead: deque[Step] = deque()
        """To be taken before any others."""
        self._open: dict[tuple[int, int], Step] = {}
        """Taken, and not known to be there, by what they reach; in order."""
        self._reached = (0, 0)
        """By the last one that was taken."""

    async def take(self) -> list[Step]:
        """The next ones, that may be under way at once: several that are plain, or one that is not; none at the end. Raises what
        stands in the way of preparing them; there are no others then. One caller at a time."""
        chunk = await anyio.to_thread.run_sync(self._take)
        for step in chunk:
            self._open[step.reaches] = step
            self._reached = max(self._reached, step.reaches)
        return chunk

    def is_there(self, step: Step) -> None:
        del self._open[step.reaches]

    def rewind(self, reached: tuple[int, int]) -> bool:
        """Nothing is under way any more, and what is there reaches so far: the next one taken goes on from it. False: somebody
        else has gone further than what was taken."""
        left = [step for step in (*self._open.values(), *self._ahead) if step.reaches > reached]
        self._open.clear()
        self._ahead = deque(left)
        return reached <= self._reached

    def _take(self) -> list[Step]:
        chunk: list[Step] = []
        bytes_taken = 0
        while len(chunk) < _CHUNK_STEPS_MAX and bytes_taken < _CHUNK_BYTES_MAX:
            step = self._ahead.popleft() if self._ahead else next(self._steps, None)
            if step is None:
                break
            if chunk and not step.is_plain:
                self._ahead.appendleft(step)
                break
            chunk.append(step)
            bytes_taken += sum(write.bytes for write in step.writes)
            if not step.is_plain:
                break
        return chunk


class Sender:
    """One attempt. version: of the progress document, as the first step must find it. times: of commits, in seconds since the
    epoch. committed is called with each step that is durable."""

    def __init__(
        self,
        client: Client,
        backlog: Backlog,
        *,
        prefix: str,
        version: int,
        times: Mapping[str, int],
        committed: Callable[[Step], None],
    ) -> None:
        self._client = client
        self._backlog = backlog
        self._progress = progress_name(prefix)
        self._version = version
        self._times = times
        self._committed = committed
        self._error: Exception | None = None
        """The first one: what was refused behind it was refused because of it."""

    async def send_all(self) -> None:
        """Raises the first error, once nothing is under way any more."""
        chunk = await self._next_chunk()
        while chunk:
            if chunk[0].is_plain:
                chunk = await self._send_plain(chunk)
            else:
                await self._send_chunk(chunk, self._version)
                self._version += 1
                chunk = await self._next_chunk()
        if self._error is not None:
            raise self._error

    async def _send_plain(self, chunk: list[Step]) -> list[Step]:
        """Sends chunks, several at once, for as long as they are plain. Returns the next one, when all of these are there."""
        under_way = anyio.Semaphore(_CHUNKS_UNDER_WAY_MAX)

        async def send(chunk: Sequence[Step], version: int) -> None:
            await self._send_chunk(chunk, version)
            under_way.release()

        async with anyio.create_task_group() as tasks:
            while chunk and chunk[0].is_plain:
                await under_way.acquire()
                tasks.start_soon(send, chunk, self._version)
                self._version += len(chunk)
                chunk = await self._next_chunk()
        return chunk

    async def _next_chunk(self) -> list[Step]:
        """Nothing once there has been an error."""
        if self._error is None:
            try:
                return await self._backlog.take()
            except Exception as error:
                self._error = self._error or error
        return []

    async def _send_chunk(self, chunk: Sequence[Step], version: int) -> None:
        async with anyio.create_task_group() as tasks:
            for place, step in enumerate(chunk):
                tasks.start_soon(self._send, step, version + place)

    async def _send(self, step: Step, version: int) -> None:
        changes: dict[Any, Any] = {(write.document, write.branch): _change(write) for write in step.writes}
        changes[self._progress] = _progress_delta(step)
        try:
            await self._client.transaction(
                changes,
                expect={self._progress: version},
                at=moment_of(self._times[step.commit.sha]),
                **_said(step.commit),
            )
        except PalimpsestError as error:
            self._error = self._error or error
        else:
            self._backlog.is_there(step)
            self._committed(step)


def moment_of(seconds: int) -> datetime:
    """When a commit's versions were made; now, where git says that it will be in the future, or what no date can say."""
    now = datetime.now(UTC)
    try:
        return min(datetime.fromtimestamp(max(0, seconds), UTC), now)
    except (ValueError, OverflowError, OSError):
        return now


def _said(commit: Commit) -> dict[str, Any]:
    """What a commit's versions say about themselves."""
    tags = {f"commit:{commit.sha}"}
    if commit.authored:
        tags.add(f"authored:{commit.authored}")
    return {
        "by": _shortened(commit.author, _AUTHOR_CHARACTERS_MAX),
        "description": _shortened(commit.message, _MESSAGE_CHARACTERS_MAX),
        "tags": tags,
    }


def _shortened(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def _progress_delta(step: Step) -> Delta:
    delta = Delta().increment("versions", len(step.writes))
    if not step.completes:
        return delta.set("done", step.done)
    return delta.set("commit", step.commit.sha).set("done", 0).increment("commits", 1)


def _change(write: Write) -> Any:
    if write.body is None:
        change: Any = DELETE
    else:
        change = write.body if isinstance(write.body, Delta) else Create(write.body)
    return Join(change, base=write.base, merged=write.merged) if write.base is not None or write.merged else change
