"""Reads every version of every imported document back and compares it with what git holds at its commit.

Four things are compared, so that nothing can be missing, wrong or too much: the value of each version, the history of each
document (which commit made which version, what kind it was, and when), what is found by time, and which documents exist now.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import msgspec

from palimpsest.cli.git.importer import Progress, moment_of
from palimpsest.cli.git.names import progress_name
from palimpsest.cli.git.plan import Part, parts_of
from palimpsest.cli.git.repository import Commit, Repository
from palimpsest.cli.git.texts import Texts, Value
from palimpsest.client import Client, Version
from palimpsest.errors import DocumentNotFound, PalimpsestError
from palimpsest.words import Kind

_CHUNK_MAX = 64
"""Versions or documents that are asked for at once."""

_Item = TypeVar("_Item")


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as git has it. version: 0 where it is about the whole document."""

    document: str
    version: int
    commit: str
    what: str


class Report(msgspec.Struct):
    """What a check read, and what it found."""

    commits: int = 0
    versions: int = 0
    documents: int = 0
    """Names that were ever in use."""
    seconds: float = 0.0
    differences: list[Difference] = msgspec.field(default_factory=list)


class _Expected(msgspec.Struct, frozen=True):
    """A version as it must be: value is None for one that deletes."""

    document: str
    version: int
    commit: str
    kind: Kind
    value: Value | None


class Check:
    """One check of what is under `prefix` against the repository it came from. Writes nothing.

    on_commit is called with (commits that were compared, commits there are).
    """

    def __init__(
        self,
        client: Client,
        repository: Repository,
        *,
        prefix: str,
        on_commit: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.client = client
        self.repository = repository
        self.prefix = prefix
        self.on_commit = on_commit
        self.report = Report()
        self._times: dict[str, int] = {}
        self._made: defaultdict[str, list[tuple[str, Kind]]] = defaultdict(list)
        """(commit, kind) of every version of every document, from the first on."""

    async def run(self) -> Report:
        """Raises DocumentNotFound where nothing was imported, GitFailed where the repository lacks the commits."""
        started = time.monotonic()
        progress = msgspec.convert((await self.client.get(progress_name(self.prefix))).value, Progress)
        if progress.commit is not None:
            await self._check_values(progress.commit, progress)
        await _each(self._check_history, sorted(self._made))
        await self._check_names()
        self.report.documents = len(self._made)
        self.report.seconds = time.monotonic() - started
        return self.report

    async def _check_values(self, tip: str, progress: Progress) -> None:
        total = len(await anyio.to_thread.run_sync(self.repository.first_parents, tip))
        self._times = await anyio.to_thread.run_sync(self.repository.times, tip)
        commits = self.repository.walk(tip)
        with self.repository.blobs() as blobs, closing(commits):
            texts = Texts(blobs, prefix=self.prefix, limits=progress.limits)
            expected = self._expected(commits, texts)
            while chunk := await anyio.to_thread.run_sync(lambda: list(islice(expected, _CHUNK_MAX))):
                await _each(self._check_value, chunk)
                self.on_commit(self.report.commits, total)

    def _expected(self, commits: Iterator[Commit], texts: Texts) -> Iterator[_Expected]:
        for commit in commits:
            for part in parts_of(commit, texts, prefix=self.prefix, skipped=set()):
                made = self._made[part.document]
                kind = _kind_of(part)
                made.append((commit.sha, kind))
                yield _Expected(part.document, len(made), commit.sha, kind, part.after)
            self.report.commits += 1

    async def _check_value(self, expected: _Expected) -> None:
        self.report.versions += 1
        try:
            document = await self.client.get(expected.document, version=expected.version)
            found = document.value
        except DocumentNotFound:
            found = None
        except PalimpsestError as error:
            self._differs(expected.document, expected.version, expected.commit, f"cannot be read: {error}")
            return
        if found != expected.value:
            what = "there, and git has deleted it" if expected.value is None else "another value than git's"
            what = "not there" if found is None else what
            self._differs(expected.document, expected.version, expected.commit, what)

    async def _check_history(self, name: str) -> None:
        made = self._made[name]
        found = [version async for version in self.client.history(name, newest_first=False)]
        if len(found) != len(made):
            self._differs(name, 0, "", f"{len(found)} versions, and git has {len(made)}")
        for number, (version, (sha, kind)) in enumerate(zip(found, made, strict=False), start=1):
            if (version.version, version.kind) != (number, kind) or f"commit:{sha}" not in version.tags:
                self._differs(name, number, sha, f"made as {version.version} {version.kind} with {version.tags}")
        for version, later, (sha, _) in zip(found, [*found[1:], None], made, strict=False):
            if later is None or later.at > version.at:
                await self._check_time(name, version, sha)

    async def _check_time(self, name: str, version: Version, sha: str) -> None:
        """That the last version of its moment is dated as git has it, and is what the document was at that time."""
        if version.at != moment_of(self._times[sha]):
            self._differs(name, version.version, sha, f"dated {version.at}, and git has {moment_of(self._times[sha])}")
        found: int | None
        try:
            found = (await self.client.get(name, at=version.at)).version
        except DocumentNotFound as error:
            found = error.version
        if found != version.version:
            self._differs(name, version.version, sha, f"version {found} is found by its time")

    async def _check_names(self) -> None:
        expected = {name for name, made in self._made.items() if made[-1][1] is not Kind.DELETE}
        found = {name async for name in self._names()}
        for name in sorted(expected ^ found):
            self._differs(name, 0, "", "not listed" if name in expected else "listed, and git does not have it")

    async def _names(self) -> AsyncIterator[str]:
        async for name in self.client.list(f"{self.prefix}**"):
            if not name.startswith(f"{self.prefix}$"):  # no file's name starts so
                yield name

    def _differs(self, document: str, version: int, commit: str, what: str) -> None:
        self.report.differences.append(Difference(document, version, commit, what))


def _kind_of(part: Part) -> Kind:
    if part.after is None:
        return Kind.DELETE
    return Kind.CREATE if part.before is None else Kind.UPDATE


async def _each(check: Callable[[_Item], Coroutine[Any, Any, None]], items: Sequence[_Item]) -> None:
    """Checks all of the items, a chunk of them at a time."""
    for start in range(0, len(items), _CHUNK_MAX):
        async with anyio.create_task_group() as tasks:
            for item in items[start : start + _CHUNK_MAX]:
                tasks.start_soon(check, item)
