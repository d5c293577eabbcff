"""Writes the history of a repository into documents: a transaction for each commit, and nothing twice.

Where the import stands is itself a document, `prefix$import`. It changes in the same transaction as the commit's documents
and is conditional on the version before it. So whatever happens (a kill, a lost connection, a refused transaction, a second
import at the same time), what is there is a run of whole steps, and the next one follows on exactly.

It also says what the branches are called and which tips were imported, one after the other. With them, a later run finds the
same lines in the same order, and goes through the commits that are there to learn which version each document is at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import anyio
import anyio.to_thread
import msgspec

from palimpsest.cli.git.ledger import Ledger
from palimpsest.cli.git.lines import History
from palimpsest.cli.git.names import is_branch_name, progress_name
from palimpsest.cli.git.plan import Files, Skipped, Step, StepLimits, steps_of
from palimpsest.cli.git.progress import Progress, past, read_progress
from palimpsest.cli.git.repository import Blobs, Repository
from palimpsest.cli.git.sender import Backlog, Sender
from palimpsest.cli.git.texts import TextLimits, Texts
from palimpsest.client import Client
from palimpsest.errors import DocumentNotFound, Overload, UsageError, VersionConflict
from palimpsest.limits import Limits
from palimpsest.state.delta import Delta
from palimpsest.words import MAIN

_STEP_BYTES_MAX = 4 * 1024 * 1024
"""Of bodies in one transaction; well below a frame, and no more than a server likes to commit at once."""

_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""How long an overloaded server is left alone, time after time; after the last without any step, its error is raised."""


class HistoryRewritten(Exception):
    """The last commit that was imported is not in the first-parent history of what is to be imported now."""


class Summary(msgspec.Struct):
    """What one run of an import did."""

    commits: int = 0
    merges: int = 0
    """Of the commits, those with several parents."""
    versions: int = 0
    documents: int = 0
    """How many were created, on any branch, those that had been deleted before included."""
    branches: set[str] = msgspec.field(default_factory=set)
    """Where versions were made."""
    seconds: float = 0.0
    tip: str = ""
    skipped: set[Skipped] = msgspec.field(default_factory=set)


class Import:
    """One run of an import. client: used by nobody else for writes under `prefix`. prefix: empty, or with a slash at its end.

    branch: that the first parents go to; None: the one that they went to before, `main` at first. first_parent: whether only these
    are imported; None: as before, and no at first.

    on_commit is called with (commits that are there, commits there will be), on the event loop, as commits become durable.
    """

    def __init__(
        self,
        client: Client,
        repository: Repository,
        *,
        prefix: str,
        ref: str = "HEAD",
        branch: str | None = None,
        first_parent: bool | None = None,
        on_commit: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.client = client
        self.repository = repository
        self.prefix = prefix
        self.ref = ref
        self.branch = branch
        self.first_parent = first_parent
        self.on_commit = on_commit
        self.summary = Summary()
        self._total = 0

    async def run(self) -> Summary:
        """Imports what is not there yet. Raises HistoryRewritten, GitFailed, UsageError where what is there was imported in another
        way, or what the client raises; it can be run again after any of them."""
        started = time.monotonic()
        self.summary.tip = await anyio.to_thread.run_sync(self.repository.resolve, self.ref)
        progress, version = await self._progress()
        self._check_way(progress)
        if progress.tips is None:
            await self._import_first_parents(progress, version)
        else:
            await self._import_lines(progress, version)
        self.summary.seconds = time.monotonic() - started
        return self.summary

    # --- the two ways --------------------------------------------------------------------------------------------

    async def _import_first_parents(self, progress: Progress, version: int) -> None:
        tip = self.summary.tip
        shas = await anyio.to_thread.run_sync(self.repository.first_parents, tip)
        if progress.commit is not None and progress.commit not in shas:
            raise self._rewritten(progress.commit)
        times = await anyio.to_thread.run_sync(self.repository.times, tip)
        place = 0 if progress.commit is None else shas.index(progress.commit) + 1
        self._total = len(shas)
        self.on_commit(place, self._total)
        if place == self._total:
            return
        commits = self.repository.walk(tip, after=progress.commit)
        with self.repository.blobs() as blobs, closing(commits):
            shares = self._files(blobs, progress).on_trunk(commits, progress.branch)
            steps = steps_of(shares, place=place, done=progress.done, limits=self._step_limits())
            await self._send(steps, version, times)

    async def _import_lines(self, progress: Progress, version: int) -> None:
        history, version = await self._history(progress, version)
        self._total = len(history.order)
        self.on_commit(progress.commits, self._total)
        if progress.commits == self._total:
            return
        commits = self.repository.commits(history.order)
        with self.repository.blobs() as blobs, closing(commits):
            shares = self._files(blobs, progress).on_lines(commits, Ledger(history), there=progress.commits)
            steps = steps_of(shares, place=progress.commits, done=progress.done, limits=self._step_limits())
            await self._send(steps, version, history.times)

    async def _history(self, progress: Progress, version: int) -> tuple[History, int]:
        """All that is to be there after this run, and the version of the progress document, which says so."""
        tip = self.summary.tip
        last = progress.tips[-1] if progress.tips else None
        if last is not None and last not in await anyio.to_thread.run_sync(self.repository.first_parents, tip):
            raise self._rewritten(last)
        history = await anyio.to_thread.run_sync(past, self.repository, progress)
        if progress.commit != (history.order[progress.commits - 1] if progress.commits else None):
            raise self._rewritten(str(progress.commit))
        if last == tip:
            return history, version
        history.extend(await anyio.to_thread.run_sync(lambda: self.repository.links(tip, after=last)))
        delta = Delta().append("tips", tip)
        for line, name in history.name_lines(await anyio.to_thread.run_sync(self._refs)).items():
            delta = delta.set(("names", line), name)
        name = progress_name(self.prefix)
        made = await self.client.update(name, delta, expect=version, description=f"to be imported up to {tip}")
        return history, made.version

    def _refs(self) -> dict[str, list[str]]:
        longest = self._limit("name_bytes_max")
        return {
            sha: [name for name in names if is_branch_name(name, name_bytes_max=longest)]
            for sha, names in self.repository.branches().items()
        }

    # --- sending -------------------------------------------------------------------------------------------------

    async def _send(self, steps: Iterator[Step], version: int, times: Mapping[str, int]) -> None:
        """version: of the progress document, as the first step must find it."""
        backlog = Backlog(steps)
        pauses = iter(_PAUSES_SECONDS)
        while True:
            commits_before = self.summary.commits
            sender = Sender(
                self.client, backlog, prefix=self.prefix, version=version, times=times, committed=self._committed
            )
            try:
                await sender.send_all()
                return
            except (Overload, VersionConflict) as error:
                if isinstance(error, VersionConflict) and not _came_too_early(error):
                    raise
                if self.summary.commits > commits_before:
                    pauses = iter(_PAUSES_SECONDS)
                pause = next(pauses, None)
                if pause is None:
                    raise
                await anyio.sleep(pause)
                progress, version = await read_progress(self.client, self.prefix)
                if not backlog.rewind((progress.commits, progress.done)):
                    raise

    def _committed(self, step: Step) -> None:
        """A step is durable."""
        summary = self.summary
        summary.versions += len(step.writes)
        summary.documents += sum(isinstance(write.body, dict) for write in step.writes)
        summary.branches.update(write.branch for write in step.writes)
        if step.completes:
            summary.commits += 1
            summary.merges += step.commit.is_merge
            self.on_commit(step.place + 1, self._total)

    # --- what is there, and what is asked for --------------------------------------------------------------------

    async def _progress(self) -> tuple[Progress, int]:
        """What the progress document says, and its version. It is made where it is not there."""
        try:
            return await read_progress(self.client, self.prefix)
        except DocumentNotFound:
            limits = TextLimits(
                document_bytes_max=self._limit("document_bytes_max"),
                name_bytes_max=self._limit("name_bytes_max"),
            )
        if self.branch is not None and not is_branch_name(self.branch, name_bytes_max=limits.name_bytes_max):
            raise UsageError(f"no branch can be called {self.branch!r}")
        tips = None if self.first_parent else list[str]()
        progress = Progress(self.repository.name, self.ref, None, 0, 0, 0, limits, self.branch or MAIN, tips)
        name = progress_name(self.prefix)
        made = await self.client.create(name, msgspec.to_builtins(progress), description="import started")
        return progress, made.version

    def _check_way(self, progress: Progress) -> None:
        name = progress_name(self.prefix)
        if self.branch not in (None, progress.branch):
            raise UsageError(f"{name} was begun on the branch {progress.branch!r}, and goes on there")
        if self.first_parent is not None and self.first_parent != (progress.tips is None):
            other = "with branches" if self.first_parent else "along first parents"
            raise UsageError(f"{name} was begun {other}, and goes on so; another prefix can be imported in another way")

    def _rewritten(self, sha: str) -> HistoryRewritten:
        return HistoryRewritten(
            f"{progress_name(self.prefix)} stands at commit {sha}, which is not in the first-parent history of "
            f"{self.ref} ({self.summary.tip}): the history was rewritten, the ref lies behind what was imported, or it "
            f"is another repository"
        )

    def _files(self, blobs: Blobs, progress: Progress) -> Files:
        texts = Texts(blobs, prefix=self.prefix, limits=progress.limits)
        return Files(texts, prefix=self.prefix, skipped=self.summary.skipped)

    def _step_limits(self) -> StepLimits:
        return StepLimits(documents_max=self._limit("transaction_documents_max") - 1, bytes_max=_STEP_BYTES_MAX)

    def _limit(self, name: str) -> int:
        """A setting of the server, which a server that does not tell it leaves at its default."""
        default: int = getattr(Limits(), name)
        return self.client.limits.get(name, default)


def _came_too_early(error: VersionConflict) -> bool:
    """Whether a step overtook the one before it, as may happen while a client waits for room to send. Nothing is lost: all
    behind it were refused as well. Where the document is further than expected, somebody else writes it."""
    return error.actual < error.expected
