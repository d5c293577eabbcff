"""What each commit does to documents, as transactions that are small enough to be sent.

Pure but for the reading of files: the same history and the same limits always give the same parts in the same order. That
is what lets an import that was killed go on inside a commit, and what a check compares the server with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from palimpsest.cli.git.names import document_name
from palimpsest.cli.git.repository import Commit, File
from palimpsest.cli.git.texts import Skip, Texts, Value, encoded_bytes
from palimpsest.state.delta import Delta
from palimpsest.state.diff import diff
from palimpsest.state.ops import encode_delta

_READ_CHANGES_MAX = 64
"""Changes whose files are read at once: bounds what a commit of many large files holds in memory."""

_LINE_MOVES_MAX = 1_000_000
"""Lines that a server may have to shift for the inserts and removals of one delta; beyond it, all lines are set anew."""


class Part(NamedTuple):
    """One document's share of a commit. before, after: its values; None where it does not exist; never both."""

    document: str
    before: Value | None
    after: Value | None


class Write(NamedTuple):
    """What is asked of the server for a part. body: the value of a create, the delta of an update, None of a delete."""

    document: str
    body: Value | Delta | None
    bytes: int
    """How large the body is on its way."""


class Step(msgspec.Struct, frozen=True):
    """One transaction: a commit, or a share of one that is too large for a transaction.

    done: parts of the commit that are there once this step is; completes: that is all of them.
    """

    commit: Commit
    writes: tuple[Write, ...]
    done: int
    completes: bool


class Skipped(NamedTuple):
    path: bytes
    reason: Skip


class StepLimits(msgspec.Struct, frozen=True):
    """Of one transaction. documents_max: at least 1; bytes_max: of bodies; one write may exceed it on its own."""

    documents_max: int
    bytes_max: int


def parts_of(commit: Commit, texts: Texts, *, prefix: str, skipped: set[Skipped]) -> Iterator[Part]:
    """The parts of a commit, in the order of paths. What is no document after the commit is added to `skipped`."""
    for start in range(0, len(commit.changes), _READ_CHANGES_MAX):
        some = commit.changes[start : start + _READ_CHANGES_MAX]
        texts.read(some)
        for change in some:
            before = _document(texts, change.path, change.before, set())
            after = _document(texts, change.path, change.after, skipped)
            if before is not None or after is not None:
                yield Part(document_name(prefix, change.path), before, after)


def steps_of(
    commits: Iterable[Commit], texts: Texts, *, prefix: str, skipped: set[Skipped], done: int, limits: StepLimits
) -> Iterator[Step]:
    """The transactions of an import, in order; at least one for every commit, even where it touches no document.

    done: how many parts of the first commit are there already.
    """
    for commit in commits:
        yield from _steps_of_commit(commit, texts, prefix, skipped, done, limits)
        done = 0


def _steps_of_commit(
    commit: Commit, texts: Texts, prefix: str, skipped: set[Skipped], done: int, limits: StepLimits
) -> Iterator[Step]:
    writes: list[Write] = []
    bytes_gathered = 0
    message_bytes = len(commit.message.encode())  # each event carries it
    for number, part in enumerate(parts_of(commit, texts, prefix=prefix, skipped=skipped)):
        if number < done:
            continue
        write = write_of(part)
        more_bytes = write.bytes + message_bytes
        if writes and (len(writes) == limits.documents_max or bytes_gathered + more_bytes > limits.bytes_max):
            yield Step(commit, tuple(writes), number, False)
            writes, bytes_gathered = [], 0
        writes.append(write)
        bytes_gathered += more_bytes
        done = number + 1
    yield Step(commit, tuple(writes), done, True)


def write_of(part: Part) -> Write:
    """A small write that makes the part's `after` out of its `before`."""
    if part.after is None:
        return Write(part.document, None, 0)
    if part.before is None:
        return Write(part.document, part.after, encoded_bytes(part.after))
    ops = diff(part.before, part.after)
    lines = part.after["lines"]
    if len(ops) * len(lines) <= _LINE_MOVES_MAX:
        return Write(part.document, Delta(ops), len(encode_delta(ops)))
    anew = Delta().set(("mode",), part.after["mode"]).set(("lines",), lines)
    return Write(part.document, anew, encoded_bytes(lines))


def _document(texts: Texts, path: bytes, file: File | None, skipped: set[Skipped]) -> Value | None:
    if file is None:
        return None
    value = texts.value(path, file)
    if isinstance(value, Skip):
        skipped.add(Skipped(path, value))
        return None
    return value
