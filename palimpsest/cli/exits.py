"""What the command line's exit codes mean, and the one line that a failure prints. `docs/cli.md` has the same table."""

from __future__ import annotations

import sys
from enum import IntEnum

from palimpsest.cli.git.importer import HistoryRewritten
from palimpsest.cli.git.repository import GitFailed
from palimpsest.errors import (
    AccessError,
    BranchNotFound,
    Conflict,
    CursorError,
    DocumentNotFound,
    LinkError,
    MergeNotFound,
    Overload,
    PerspectiveNotFound,
    ProtocolError,
    StorageError,
    SubscriptionNotFound,
    TestFailed,
    UsageError,
    VersionNotFound,
)


class Exit(IntEnum):
    """Exit codes. They are promises to scripts and never change their meaning."""

    OK = 0
    UNEXPECTED = 1
    """An error of ours, a check that found differences or faults, or a question that was not answered with yes."""
    USAGE = 2
    """The command line does not parse, or the server refused what was asked: asking again will not help."""
    NOT_FOUND = 3
    """No such document, branch, version, pending merge, named subscription or perspective, or a version that is not kept any more."""
    CONFLICT = 4
    """Someone else got there first, a `test` in a patch did not hold, what is to be undone was changed again, or a merge
    has conflicts: read again, decide again."""
    UNAVAILABLE = 5
    """No connection, no answer in time, or a server that has too much to do: try again later."""
    STORAGE = 6
    """The disk, or what is on it."""
    PROTOCOL = 7
    """The other side does not speak this protocol."""
    CURSOR = 8
    """A cursor that is none of this server's, or that reaches back too far: start again without it."""
    GIT = 9
    """No repository, no such commit, or a history that was rewritten."""
    ACCESS = 10
    """No token that is good, or no right to what was asked."""
    INTERRUPTED = 130
    """Control-C."""


_CODES: tuple[tuple[tuple[type[Exception], ...], Exit], ...] = (
    (
        (
            DocumentNotFound,
            BranchNotFound,
            VersionNotFound,
            MergeNotFound,
            SubscriptionNotFound,
            PerspectiveNotFound,
        ),
        Exit.NOT_FOUND,
    ),
    ((Conflict, TestFailed), Exit.CONFLICT),
    ((AccessError,), Exit.ACCESS),
    ((Overload, LinkError), Exit.UNAVAILABLE),
    ((StorageError,), Exit.STORAGE),
    ((ProtocolError,), Exit.PROTOCOL),
    ((CursorError,), Exit.CURSOR),
    ((UsageError, AccessError), Exit.USAGE),
    ((GitFailed, HistoryRewritten), Exit.GIT),
)
"""The first line that fits is taken: special errors before the families they belong to."""


def exit_code(error: BaseException) -> Exit:
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), Exit.UNEXPECTED)


def plain_error(error: BaseException) -> BaseException:
    """The error itself, where task groups have wrapped it: the first of a group's, all the way down."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def print_failure(error: BaseException) -> None:
    """One line on stderr, whatever the message holds."""
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"palimpsest: {message}", file=sys.stderr)
