"""Reads every version of every imported document back and compares it with what git holds at its commit.

Five things are compared, so that nothing can be missing, wrong or too much: the value of each version; the history of each
branch of each document (which commit made which version, what kind it was, when, and what it comes from); what is found by
time; which documents exist now, and which branches they have; and the tree of every merge.

The tree of a merge is compared with the versions that its documents are at by then. Their values were compared with git's files
when each of them was made, so that it is enough to compare which files they are: no value is read twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import anyio
import anyio.to_thread
import msgspec

from palimpsest.cli.git.ledger import Entries, Ledger
from palimpsest.cli.git.lines import History
from palimpsest.cli.git.names import document_name
from palimpsest.cli.git.plan import Files, Part
from palimpsest.cli.git.progress import Progress, past, read_progress
from palimpsest.cli.git.repository import Commit, Repository
from palimpsest.cli.git.sender import moment_of
from palimpsest.cli.git.texts import Texts, Value
from palimpsest.client import Client, Version
from palimpsest.errors import DocumentNotFound, PalimpsestError
from palimpsest.words import MAIN, Kind, Node, Parents

_CHUNK_MAX = 64
"""Versions or documents that are asked for at once."""

_Item = TypeVar("_Item")


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as git has it. version: 0 where it is about the whole document."""

    document: str
    version: int
    commit: str
    what: str
    branch: str = MAIN


class Report(msgspec.Struct):
    """What a check read, and what it found."""

    commits: int = 0
    merges: int = 0
    """Of the commits, those with several parents."""
    versions: int = 0
    documents: int = 0
    """Names that were ever in use."""
    branches: int = 0
    """Names of branches that were ever in use."""
    seconds: float = 0.0
    differences: list[Difference] = msgspec.field(default_factory=list)


class _Expected(msgspec.Struct, frozen=True):
    """A version as it must be: value is None for one that deletes."""

    document: str
    branch: str
    version: int
    commit: str
    value: Value | None


class _Made(NamedTuple):
    """What the history must say of a version."""

    commit: str
    kind: Kind
    merged: tuple[Node, ...]


class _Branch(msgspec.Struct):
    """Of one document. made: its own versions, from the first on."""

    base: Node | None
    made: list[_Made]

    @property
    def first(self) -> int:
        return 1 if self.base is None else self.base[1] + 1


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
        self._branches: dict[tuple[str, str], _Branch] = {}
        """By document and branch."""

    async def run(self) -> Report:
        """Raises DocumentNotFound where nothing was imported, GitFailed where the repository lacks the commits."""
        started = time.monotonic()
        progress, _ = await read_progress(self.client, self.prefix)
        history = await anyio.to_thread.run_sync(past, self.repository, progress)
        self._times = history.times
        await self._check_values(history, progress)
        await _each(self._check_history, sorted(self._branches))
        await self._check_names(progress.branch)
        await self._check_branches()
        self.report.documents = len({document for document, _ in self._branches})
        self.report.branches = len({branch for _, branch in self._branches})
        self.report.seconds = time.monotonic() - started
        return self.report

    # --- values --------------------------------------------------------------------------------------------------

    async def _check_values(self, history: History, progress: Progress) -> None:
        commits = self.repository.commits(history.order[: progress.commits])
        with self.repository.blobs() as blobs, closing(commits):
            files = Files(Texts(blobs, prefix=self.prefix, limits=progress.limits), prefix=self.prefix, skipped=set())
            expected = self._expected(commits, files, Ledger(history))
            while chunk := await anyio.to_thread.run_sync(lambda: list(islice(expected, _CHUNK_MAX))):
                await _each(self._check_value, chunk)
                self.on_commit(self.report.commits, progress.commits)

    def _expected(self, commits: Iterator[Commit], files: Files, ledger: Ledger) -> Iterator[_Expected]:
        for share in files.on_lines(commits, ledger):
            commit = share.commit
            for part in share.parts():
                yield self._expect(part, commit.sha)
            self.report.commits += 1
            if commit.is_merge:
                self.report.merges += 1
                self._check_tree(commit.sha, files, ledger.entries)

    def _expect(self, part: Part, sha: str) -> _Expected:
        key = (part.document, part.branch)
        branch = self._branches.setdefault(key, _Branch(part.base, []))
        branch.made.append(_Made(sha, _kind_of(part), part.merged))
        return _Expected(*key, branch.first + len(branch.made) - 1, sha, part.after)

    def _check_tree(self, sha: str, files: Files, entries: Entries) -> None:
        """That documents are at the files that git holds there, and no others exist."""
        tree = {document_name(self.prefix, path): (path, file) for path, file in self.repository.tree(sha).items()}
        for document, entry in entries.items():
            if entry.file is not None and (document not in tree or tree[document][1] != entry.file):
                self._differs(document, entry.node, sha, "another file than the merge has")
        for document, (path, file) in tree.items():
            found = entries.get(document)
            if (found is None or found.file is None) and files.value(path, file) is not None:
                self._differs(document, None, sha, "not there at the merge")

    async def _check_value(self, expected: _Expected) -> None:
        self.report.versions += 1
        document, node = expected.document, (expected.branch, expected.version)
        try:
            found = (await self.client.get(document, branch=expected.branch, version=expected.version)).value
        except DocumentNotFound:
            found = None
        except PalimpsestError as error:
            self._differs(document, node, expected.commit, f"cannot be read: {error}")
            return
        if found != expected.value:
            what = "there, and git has deleted it" if expected.value is None else "another value than git's"
            self._differs(document, node, expected.commit, "not there" if found is None else what)

    # --- histories -----------------------------------------------------------------------------------------------

    async def _check_history(self, key: tuple[str, str]) -> None:
        name, on = key
        branch = self._branches[key]
        made, first = branch.made, branch.first
        try:
            versions = self.client.history(name, branch=on, first=max(1, first - 1), newest_first=False)
            found = [version async for version in versions]
        except PalimpsestError as error:
            self._differs(name, (on, 0), "", f"its history cannot be read: {error}")
            return
        before = [version.at for version in found if version.version < first]
        found = [version for version in found if version.version >= first]
        if len(found) != len(made):
            self._differs(name, (on, 0), "", f"{len(found)} versions, and git has {len(made)}")
        for number, (version, expected) in enumerate(zip(found, made, strict=False), start=first):
            parents = Parents(branch.base if number == first else None, expected.merged)
            self._check_version(version, (on, number), expected, parents)
        times = [*(version.at for version in found[1:]), None]
        for version, later, one in zip(found, times, made, strict=False):
            if later is None or later > version.at:
                await self._check_time(version, one.commit, before)

    def _check_version(self, version: Version, node: Node, expected: _Made, parents: Parents) -> None:
        sha = expected.commit
        found = (version.branch, version.version)
        if (found, version.kind) != (node, expected.kind) or f"commit:{sha}" not in version.tags:
            self._differs(version.document, node, sha, f"made as {found} {version.kind} with {version.tags}")
        if (version.parents or Parents()) != parents:
            self._differs(version.document, node, sha, f"comes from {version.parents}, and git has {parents}")

    async def _check_time(self, version: Version, sha: str, before: Sequence[datetime]) -> None:
        """That the last version of its moment is dated as git has it, and is what the document was at that time. before: when the
        version was made that its branch starts from: it is never older."""
        node = (version.branch, version.version)
        expected = max([moment_of(self._times[sha]), *before])
        if version.at != expected:
            self._differs(version.document, node, sha, f"dated {version.at}, and git has {expected}")
        found: int | None
        try:
            found = (await self.client.get(version.document, branch=version.branch, at=version.at)).version
        except DocumentNotFound as error:
            found = error.version
        if found != version.version:
            self._differs(version.document, node, sha, f"version {found} is found by its time")

    # --- names ---------------------------------------------------------------------------------------------------

    async def _check_names(self, trunk: str) -> None:
        expected = {
            name for (name, on), branch in self._branches.items() if on == trunk and branch.made[-1].kind != Kind.DELETE
        }
        names = self.client.list(f"{self.prefix}**", branch=trunk)
        found = {name async for name in names if self._is_document(name)}
        for name in sorted(expected ^ found):
            self._differs(name, None, "", "not listed" if name in expected else "listed, and git does not have it")

    async def _check_branches(self) -> None:
        branches = await self.client.branches(f"{self.prefix}**")
        found = {(one.document, one.name) for one in branches if one.name != MAIN and self._is_document(one.document)}
        expected = {key for key in self._branches if key[1] != MAIN}
        for key in sorted(expected ^ found):
            what = "not listed" if key in expected else "listed, and git does not have it"
            self._differs(key[0], (key[1], 0), "", f"the branch is {what}")

    def _is_document(self, name: str) -> bool:
        return not name.startswith(f"{self.prefix}$")  # no file's name starts so

    def _differs(self, document: str, node: Node | None, commit: str, what: str) -> None:
        branch, version = node or (MAIN, 0)
        self.report.differences.append(Difference(document, version, commit, what, branch))


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
