from __future__ import annotations

import re
from pathlib import Path

import pytest

from palimpsest import errors
from palimpsest.cli.exits import Exit, exit_code, plain_error, print_failure
from palimpsest.cli.git.importer import HistoryRewritten
from palimpsest.cli.git.repository import GitFailed

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_has_the_table_that_holds() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", PAGE.read_text(), re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == [(code.value, code.name) for code in Exit]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DocumentNotFound("d"), Exit.NOT_FOUND),
        (errors.VersionNotFound("d"), Exit.NOT_FOUND),
        (errors.VersionPruned("d"), Exit.NOT_FOUND),
        (errors.BranchNotFound("d"), Exit.NOT_FOUND),
        (errors.SubscriptionNotFound("d"), Exit.NOT_FOUND),
        (errors.VersionConflict("d"), Exit.CONFLICT),
        (errors.UndoConflict("d"), Exit.CONFLICT),
        (errors.DocumentExists("d"), Exit.CONFLICT),
        (errors.TestFailed("d"), Exit.CONFLICT),
        (errors.DeltaFailed("d"), Exit.USAGE),
        (errors.InvalidName("d"), Exit.USAGE),
        (errors.LimitExceeded("d"), Exit.USAGE),
        (errors.Overloaded("d"), Exit.UNAVAILABLE),
        (errors.ConnectionLost("d"), Exit.UNAVAILABLE),
        (errors.RequestTimeout("d"), Exit.UNAVAILABLE),
        (errors.CommitFailed("d"), Exit.STORAGE),
        (errors.StoreLocked("d"), Exit.STORAGE),
        (errors.UnsupportedProtocol("d"), Exit.PROTOCOL),
        (errors.Compacted("d"), Exit.CURSOR),
        (errors.CursorInvalid("d"), Exit.CURSOR),
        (errors.InternalError("d"), Exit.UNEXPECTED),
        (errors.PalimpsestError("d"), Exit.UNEXPECTED),
        (GitFailed("d"), Exit.GIT),
        (HistoryRewritten("d"), Exit.GIT),
        (RuntimeError("d"), Exit.UNEXPECTED),
    ],
)
def test_every_family_of_errors_has_its_code(error: Exception, code: Exit) -> None:
    assert exit_code(error) is code


def test_an_error_is_found_inside_the_groups_that_task_groups_make() -> None:
    inner = errors.Overloaded("too much")
    assert plain_error(ExceptionGroup("a", [ExceptionGroup("b", [inner])])) is inner
    assert plain_error(inner) is inner


def test_a_failure_is_one_line_whatever_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    print_failure(GitFailed("one\n  two"))
    print_failure(GitFailed())
    assert capsys.readouterr().err == "palimpsest: one two\npalimpsest: GitFailed\n"
