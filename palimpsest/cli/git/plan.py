"""What each commit does to documents, as transactions that are small enough to be sent.

Pure but for the reading of files: the same history and the same limits always give the same parts in the same order. That
is what lets an import that was killed go on inside a commit, and what a check compares the server with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import msgspec

from palimpsest.cli.git.ledger import Ledger
from palimpsest.cli.git.names import document_name
from palimpsest.cli.git.repository import Commit, File, FileChange
from palimpsest.cli.git.texts import Skip, Texts, Value, encoded_bytes
from palimpsest.state.delta import Delta
from palimpsest.state.diff import diff
from palimpsest.state.ops import encode_delta
from palimpsest.words import MAIN, Node

_READ_CHANGES_MAX = 64
"""Changes whose files are read at once: bounds what a commit of many large files holds in memory."""

_LINE_MOVES_MAX = 1_000_000
"""Lines that a server may have to shift for the inserts and removals of one delta; beyond it, all lines are set anew."""


class Part(NamedTuple):
    """One document's share of a commit. before, after: its values; None where it does not exist; never both.

    branch: where the version is made. base: where that branch starts, if this is its first version and it starts from anything.
    merged: the versions that this one takes in.
    """

    document: str
    before: Value | None
    after: Value | None
    branch: str = MAIN
    base: Node | None = None
    merged: tuple[Node, ...] = ()


class Write(NamedTuple):
    """What is asked of the server for a part. body: the value of a create, the delta of an update, None of a delete."""

    document: str
    body: Value | Delta | None
    bytes: int
    """How large the body is on its way."""
    branch: str = MAIN
    base: Node | None = None
    merged: tuple[Node, ...] = ()


class Share(NamedTuple):
    """A commit, and how its parts are found. To be asked for in the order of commits, once each, and used up each time."""

    commit: Commit
    parts: Callable[[], Iterator[Part]]


class Step(msgspec.Struct, frozen=True):
    """One transaction: a commit, or a share of one that is too large for a transaction.

    place: how many commits come before this one. done: parts of the commit that are there once this step is; completes: that is
    all of them.
    """

    commit: Commit
    writes: tuple[Write, ...]
    done: int
    completes: bool
    place: int = 0

    @property
    def reaches(self) -> tuple[int, int]:
        """Once it is there: how many commits are, and how many parts of the one after them."""
        return (self.place + 1, 0) if self.completes else (self.place, self.done)

    @property
    def is_plain(self) -> bool:
        """Whether a server can decide on it at once, so that the next step may follow before there is an answer."""
        return all(write.branch == MAIN and not write.merged for write in self.writes)


class Skipped(NamedTuple):
    path: bytes
    reason: Skip


class StepLimits(msgspec.Struct, frozen=True):
    """Of one transaction. documents_max: at least 1; bytes_max: of bodies; one write may exceed it on its own."""

    documents_max: int
    bytes_max: int


class Files:
    """The files of commits as values. What is no document after a commit is added to `skipped`."""

    def __init__(self, texts: Texts, *, prefix: str, skipped: set[Skipped]) -> None:
        self._texts = texts
        self._prefix = prefix
        self._skipped = skipped

    def on_trunk(self, commits: Iterable[Commit], branch: str = MAIN) -> Iterator[Share]:
        """Commits that are each the first parent of the next."""
        return (Share(commit, partial(self._changed, commit, branch)) for commit in commits)

    def on_lines(self, commits: Iterable[Commit], ledger: Ledger, *, there: int = 0) -> Iterator[Share]:
        """commits: all of the ledger's history, in its order; so many of them are passed over."""
        rest = iter(commits)
        for commit in islice(rest, there):
            self._pass(commit, ledger)
        for commit in rest:
            yield Share(commit, partial(self._followed, commit, ledger))

    def value(self, path: bytes, file: File | None) -> Value | None:
        """None where that is no document."""
        if file is None:
            return None
        value = self._texts.value(path, file)
        return None if isinstance(value, Skip) else value

    def _changed(self, commit: Commit, branch: str) -> Iterator[Part]:
        for change in self._changes(commit):
            before, after = self.value(change.path, change.before), self._after(change)
            if before is not None or after is not None:
                yield Part(document_name(self._prefix, change.path), before, after, branch)

    def _followed(self, commit: Commit, ledger: Ledger) -> Iterator[Part]:
        page = ledger.follow(commit.sha)
        for change in self._changes(commit):
            document, after = document_name(self._prefix, change.path), self._after(change)
            origin = page.change(document, None if after is None else change.after)
            if origin is not None:
                before = None if origin.before is None else self.value(change.path, origin.before.file)
                yield Part(document, before, after, origin.node[0], origin.base, origin.merged)
        page.close()

    def _pass(self, commit: Commit, ledger: Ledger) -> None:
        page = ledger.follow(commit.sha)
        for change in self._changes(commit):
            is_document = self.value(change.path, change.after) is not None
            page.change(document_name(self._prefix, change.path), change.after if is_document else None)
        page.close()

    def _changes(self, commit: Commit) -> Iterator[FileChange]:
        """In the order of paths, with their files at hand."""
        for start in range(0, len(commit.changes), _READ_CHANGES_MAX):
            some = commit.changes[start : start + _READ_CHANGES_MAX]
            self._texts.read(some)
            yield from some

    def _after(self, change: FileChange) -> Value | None:
        if change.after is None:
            return None
        value = self._texts.value(change.path, change.after)
        if isinstance(value, Skip):
            self._skipped.add(Skipped(change.path, value))
            return None
        return value


def steps_of(shares: Iterable[Share], *, place: int = 0, done: int = 0, limits: StepLimits) -> Iterator[Step]:
    """The transactions of an import, in order; at least one for every commit, even where it touches no document.

    place: how many commits come before the first. done: how many parts of the first one are there already.
    """
    for number, share in enumerate(shares, start=place):
        yield from _steps_of_commit(share, number, done, limits)
        done = 0


def _steps_of_commit(share: Share, place: int, done: int, limits: StepLimits) -> Iterator[Step]:
    commit = share.commit
    writes: list[Write] = []
    bytes_gathered = 0
    message_bytes = len(commit.message.encode())  # each event carries it
    for number, part in enumerate(share.parts()):
        if number < done:
            continue
        write = write_of(part)
        more_bytes = write.bytes + message_bytes
        if writes and (len(writes) == limits.documents_max or bytes_gathered + more_bytes > limits.bytes_max):
            yield Step(commit, tuple(writes), number, False, place)
            writes, bytes_gathered = [], 0
        writes.append(write)
        bytes_gathered += more_bytes
        done = number + 1
    yield Step(commit, tuple(writes), done, True, place)


def write_of(part: Part) -> Write:
    """A small write that makes the part's `after` out of its `before`."""
    body, body_bytes = _body_of(part)
    return Write(part.document, body, body_bytes, part.branch, part.base, part.merged)


def _body_of(part: Part) -> tuple[Value | Delta | None, int]:
    if part.after is None:
        return None, 0
    if part.before is None:
        return part.after, encoded_bytes(part.after)
    ops = diff(part.before, part.after)
    lines = part.after["lines"]
    if len(ops) * len(lines) <= _LINE_MOVES_MAX:
        return Delta(ops), len(encode_delta(ops))
    return Delta().set(("mode",), part.after["mode"]).set(("lines",), lines), encoded_bytes(lines)
