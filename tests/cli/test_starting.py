from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palimpsest.cli.starting import is_cursor, parse_filters, parse_start
from palimpsest.errors import UsageError
from palimpsest.protocol.cursor import POSITION_MAX, encode_cursor
from palimpsest.words import Kind

_NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("word", ["now", "beginning", "snapshot"])
def test_words_for_where_to_begin(word: str) -> None:
    assert parse_start(word, now=_NOW) == {"start": word}


@pytest.mark.parametrize("text", ["2h", "@2h", "2h ago", "2026-11-21T07:30:00Z", "@2026-11-21T07:30:00Z"])
def test_times_are_written_as_elsewhere(text: str) -> None:
    assert parse_start(text, now=_NOW) == {"from_time": _NOW - timedelta(hours=2)}


@given(st.integers(1, 10**18 - 1))
def test_a_number_is_a_version(version: int) -> None:
    assert parse_start(str(version)) == {"from_version": version}


@given(st.integers(0, 2**64 - 1), st.integers(0, POSITION_MAX))
def test_a_cursor_is_never_anything_else(epoch: int, position: int) -> None:
    cursor = encode_cursor(f"{epoch:016x}", position)
    assert is_cursor(cursor)
    assert parse_start(cursor) == {"resume_after": cursor}


@pytest.mark.parametrize("text", ["", "0", "9" * 19, "@", "tomorrow", "tag=x", "draft:9", "-1", "1a.5", "2026-13-01"])
def test_what_is_no_place_is_refused_with_the_name_of_the_option(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--from {re.escape(text)}: "):
        parse_start(text)


def test_filters_are_conditions_of_the_feed() -> None:
    words = ["tag=a=b", "tag=c", "tag-all=d", "by=ana", "path=meta.stars.0", "kind=delete", "kind=create"]
    assert parse_filters(words) == {
        "tags": ["a=b", "c"],
        "tags_all": ["d"],
        "by": "ana",
        "path": ("meta", "stars", 0),
        "kinds": [Kind.DELETE, Kind.CREATE],
    }
    assert parse_filters(()) == {"tags": [], "tags_all": [], "kinds": []}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["by"], "write KEY=VALUE, where KEY is one of tag, tag-all, by, path, kind"),
        (["author=ana"], "write KEY=VALUE"),
        (["by=ana", "by=bo"], "by is given already"),
        (["path=a", "path=b"], "path is given already"),
        (["kind=rename"], "the kinds are create, update, delete, erase"),
        (["path=a["], "path=a[: "),
    ],
)
def test_a_filter_that_is_none_is_refused(words: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=f"^--filter .*{re.escape(reason)}"):
        parse_filters(words)
