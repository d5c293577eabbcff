from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from palimpsest.cli.places import Place, make_place, parse_place
from palimpsest.errors import UsageError

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
THEN = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("3", Place("main", version=3)),
        ("@2h", Place("main", at=NOW - timedelta(hours=2))),
        ("@2026-11-20T08:00:00Z", Place("main", at=THEN)),
        ("tag=released", Place("main", tag="released")),
        ("tag=commit:3", Place("main", tag="commit:3")),
        ("draft", Place("draft")),
        ("draft:9", Place("draft", version=9)),
        ("draft:@2026-11-20T08:00:00Z", Place("draft", at=THEN)),
        ("draft:tag=x", Place("draft", tag="x")),
        ("odd:name:9", Place("odd:name", version=9)),
        ("tagged", Place("tagged")),
    ],
)
def test_places(text: str, place: Place) -> None:
    assert parse_place(text, "main", now=NOW) == place


@pytest.mark.parametrize("text", ["", "0", "draft:", ":3", "draft:x", "@", "@soon", "tag=", "9" * 30, "draft:0"])
def test_what_is_no_place(text: str) -> None:
    if text in ("@", "tag="):  # a branch may have any name: the server says whether it exists
        assert parse_place(text, "main") == Place(text)
        return
    with pytest.raises(UsageError):
        parse_place(text, "main")


def test_options_name_at_most_one() -> None:
    assert make_place(None, None, None, "main") == Place("main")
    assert make_place(3, None, None, "draft") == Place("draft", version=3)
    assert make_place(None, "2026-11-20T08:00:00Z", None, "main") == Place("main", at=THEN)
    assert make_place(None, None, "x", "main") == Place("main", tag="x")
    with pytest.raises(UsageError, match="give one of them"):
        make_place(3, None, "x", "main")
