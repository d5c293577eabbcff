"""Writes the history of a repository into documents: a transaction for each commit, and nothing twice.

Where the import stands is itself a document, `prefix$import`. It changes in the same transaction as the commit's documents
and is conditional on the version before it. So whatever happens (a kill, a lost connection, a refused transaction, a second
import at the same time), what is there is a run of whole steps, and the next one follows on exactly. That makes it safe to
keep many transactions under way: when one of them is refused, all behind it are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from palimpsest.cli.git.names import progress_name
from palimpsest.cli.git.plan import Skipped, Step, StepLimits, Write, steps_of
from palimpsest.cli.git.repository import Commit, Repository
from palimpsest.cli.git.texts import TextLimits, Texts
from palimpsest.client import Client, Create
from palimpsest.errors import DocumentNotFound, Overload, PalimpsestError, VersionConflict
from palimpsest.limits import Limits
from palimpsest.state.delta import DELETE, Delta

_STEP_BYTES_MAX = 4 * 1024 * 1024
"""Of bodies in one transaction; well below a frame, and no more than a server likes to commit at once."""

_AUTHOR_CHARACTERS_MAX = 1_000
_MESSAGE_CHARACTERS_MAX = 60_000
"""A version keeps at most 65,536 characters about itself; there have been commits whose messages are longer."""

_CHUNK_STEPS_MAX = 32
_CHUNK_BYTES_MAX = 1024 * 1024
"""Steps that are prepared in one hop to the thread that reads the repository."""

_CHUNKS_UNDER_WAY_MAX = 4

_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""How long an overloaded server is left alone, time after time; after the last without any step, its error is raised."""


class HistoryRewritten(Exception):
    """The last commit that was imported is not in the first-parent history of what is to be imported now."""


class Progress(msgspec.Struct):
    """The document `prefix$import`.

    commit: the last one that is there whole, None before the first. done: how many parts of the commit after it are there.
    commits, versions: how many were made so far. limits: what decided which files are documents.
    """

    repository: str
    ref: str
    commit: str | None
    done: int
    commits: int
    versions: int
    limits: TextLimits


class Summary(msgspec.Struct):
    """What one run of an import did."""

    commits: int = 0
    versions: int = 0
    documents: int = 0
    """How many were created, those that had been deleted before included."""
    seconds: float = 0.0
    tip: str = ""
    skipped: set[Skipped] = msgspec.field(default_factory=set)


class Import:
    """One run of an import. client: used by nobody else for writes under `prefix`. prefix: empty, or with a slash at its end.

    on_commit is called with (commits that are there, commits there will be), on the event loop, as commits become durable.
    """

    def __init__(
        self,
        client: Client,
        repository: Repository,
        *,
        prefix: str,
        ref: str = "HEAD",
        on_commit: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.client = client
        self.repository = repository
        self.prefix = prefix
        self.ref = ref
        self.on_commit = on_commit
        self.summary = Summary()
        self._shas: list[str] = []
        self._at: dict[str, int] = {}
        """Place of each commit in the history, from 0."""
        self._times: dict[str, int] = {}

    async def run(self) -> Summary:
        """Imports what is not there yet. Raises HistoryRewritten, GitFailed, or what the client raises; it can be run
        again after any of them."""
        started = time.monotonic()
        self.summary.tip = await anyio.to_thread.run_sync(self.repository.resolve, self.ref)
        self._shas = await anyio.to_thread.run_sync(self.repository.first_parents, self.summary.tip)
        self._at = {sha: place for place, sha in enumerate(self._shas)}
        self._times = await anyio.to_thread.run_sync(self.repository.times, self.summary.tip)
        pauses = iter(_PAUSES_SECONDS)
        while True:
            commits_before = self.summary.commits
            try:
                await self._attempt()
                break
            except (Overload, VersionConflict) as error:
                if isinstance(error, VersionConflict) and not _came_too_early(error):
                    raise
                if self.summary.commits > commits_before:
                    pauses = iter(_PAUSES_SECONDS)
                pause = next(pauses, None)
                if pause is None:
                    raise
                await anyio.sleep(pause)
        self.summary.seconds = time.monotonic() - started
        return self.summary

    async def _attempt(self) -> None:
        """Imports from where the progress document says, until the end or the first error."""
        progress, version = await self._progress()
        if progress.commit is not None and progress.commit not in self._at:
            raise HistoryRewritten(
                f"{progress_name(self.prefix)} stands at commit {progress.commit}, which is not in the first-parent "
                f"history of {self.ref} ({self.summary.tip}): the history was rewritten, the ref lies behind what was "
                f"imported, or it is another repository"
            )
        self.on_commit(self._place_after(progress.commit), len(self._shas))
        if progress.commit == self.summary.tip:
            return
        commits = self.repository.walk(self.summary.tip, after=progress.commit)
        with self.repository.blobs() as blobs, closing(commits):
            texts = Texts(blobs, prefix=self.prefix, limits=progress.limits)
            sender = _Sender(self.client, self.prefix, version, self._times, self._committed)
            await sender.send_all(self._steps(commits, texts, progress))

    def _steps(self, commits: Iterator[Commit], texts: Texts, progress: Progress) -> Iterator[Step]:
        limits = StepLimits(documents_max=self._limit("transaction_documents_max") - 1, bytes_max=_STEP_BYTES_MAX)
        return steps_of(
            commits, texts, prefix=self.prefix, skipped=self.summary.skipped, done=progress.done, limits=limits
        )

    async def _progress(self) -> tuple[Progress, int]:
        """What the progress document says, and its version. It is made where it is not there."""
        name = progress_name(self.prefix)
        try:
            document = await self.client.get(name)
        except DocumentNotFound:
            limits = TextLimits(
                document_bytes_max=self._limit("document_bytes_max"),
                name_bytes_max=self._limit("name_bytes_max"),
            )
            progress = Progress(self.repository.name, self.ref, None, 0, 0, 0, limits)
            made = await self.client.create(name, msgspec.to_builtins(progress), description="import started")
            return progress, made.version
        return msgspec.convert(document.value, Progress), document.version

    def _limit(self, name: str) -> int:
        """A setting of the server, which a server that does not tell it leaves at its default."""
        default: int = getattr(Limits(), name)
        return self.client.limits.get(name, default)

    def _place_after(self, sha: str | None) -> int:
        return 0 if sha is None else self._at[sha] + 1

    def _committed(self, step: Step) -> None:
        """A step is durable."""
        self.summary.versions += len(step.writes)
        self.summary.documents += sum(isinstance(write.body, dict) for write in step.writes)
        if step.completes:
            self.summary.commits += 1
            self.on_commit(self._place_after(step.commit.sha), len(self._shas))


class _Sender:
    """Keeps transactions under way, in order, until the steps end or one is refused."""

    def __init__(
        self,
        client: Client,
        prefix: str,
        version: int,
        times: Mapping[str, int],
        committed: Callable[[Step], None],
    ) -> None:
        self._client = client
        self._times = times
        self._progress = progress_name(prefix)
        self._version = version
        """Of the progress document, as the next step must find it."""
        self._committed = committed
        self._error: Exception | None = None
        """The first one: what was refused behind it was refused because of it."""

    async def send_all(self, steps: Iterator[Step]) -> None:
        """Raises the first error, once nothing is under way any more."""
        under_way = anyio.Semaphore(_CHUNKS_UNDER_WAY_MAX)
        async with anyio.create_task_group() as tasks:
            while self._error is None:
                await under_way.acquire()
                chunk = await self._next_chunk(steps)
                if not chunk:
                    break
                tasks.start_soon(self._send_chunk, chunk, self._version, under_way)
                self._version += len(chunk)
        if self._error is not None:
            raise self._error

    async def _next_chunk(self, steps: Iterator[Step]) -> list[Step]:
        try:
            return await anyio.to_thread.run_sync(_take_chunk, steps)
        except Exception as error:
            self._error = self._error or error
            return []

    async def _send_chunk(self, chunk: Sequence[Step], version: int, under_way: anyio.Semaphore) -> None:
        async with anyio.create_task_group() as tasks:
            for place, step in enumerate(chunk):
                tasks.start_soon(self._send, step, version + place)
        under_way.release()

    async def _send(self, step: Step, version: int) -> None:
        bodies: dict[str, Any] = {write.document: _client_body(write) for write in step.writes}
        bodies[self._progress] = _progress_delta(step)
        try:
            await self._client.transaction(
                bodies,
                expect={self._progress: version},
                at=moment_of(self._times[step.commit.sha]),
                **_said(step.commit),
            )
        except PalimpsestError as error:
            self._error = self._error or error
        else:
            self._committed(step)


def moment_of(seconds: int) -> datetime:
    """When a commit's versions were made; now, where git says that it will be in the future, or what no date can say."""
    now = datetime.now(UTC)
    try:
        return min(datetime.fromtimestamp(max(0, seconds), UTC), now)
    except (ValueError, OverflowError, OSError):
        return now


def _came_too_early(error: VersionConflict) -> bool:
    """Whether a step overtook the one before it, as may happen while a client waits for room to send. Nothing is lost: all
    behind it were refused as well. Where the document is further than expected, somebody else writes it."""
    return error.actual < error.expected


def _take_chunk(steps: Iterator[Step]) -> list[Step]:
    chunk: list[Step] = []
    bytes_taken = 0
    for step in islice(steps, _CHUNK_STEPS_MAX):
        chunk.append(step)
        bytes_taken += sum(write.bytes for write in step.writes)
        if bytes_taken >= _CHUNK_BYTES_MAX:
            break
    return chunk


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


def _client_body(write: Write) -> Any:
    if write.body is None:
        return DELETE
    return write.body if isinstance(write.body, Delta) else Create(write.body)
