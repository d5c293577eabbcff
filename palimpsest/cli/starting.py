"""Where `watch` begins, and which changes it shows: from the words of `--from` and `--filter` to the API's arguments.

`--from` takes `now`, `beginning` or `snapshot`; a version's number; a cursor, as `watch` prints it; or a time, with or without
the `@` that it has in places. These cannot be mistaken for each other: a number is a version (write the first moment of a day as
`2026-11-21`), and a cursor is 17 hexadecimal digits, a dot, and more of them. Whether it is one of its own is the server's to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from palimpsest.cli.times import parse_time
from palimpsest.client import FeedOptions
from palimpsest.errors import PalimpsestError, UsageError
from palimpsest.state.paths import parse_path
from palimpsest.words import Kind

_NUMBER = re.compile(r"[0-9]+")
_CURSOR = re.compile(r"[1-9][0-9a-f]{16}(?:\.[0-9a-f]+)+")
_KINDS = {kind.name.lower(): kind for kind in Kind}
_KEYS = ("tag", "tag-all", "by", "path", "kind")


def parse_start(text: str, *, now: datetime | None = None) -> FeedOptions:
    """What `--from` says. now: as for `parse_time`. Raises UsageError."""
    if text == "now":
        return {"start": "now"}
    if text == "beginning":
        return {"start": "beginning"}
    if text == "snapshot":
        return {"start": "snapshot"}
    if _NUMBER.fullmatch(text):
        return {"from_version": _version(text)}
    if is_cursor(text):
        return {"resume_after": text}
    try:
        return {"from_time": parse_time(text.removeprefix("@"), now=now)}
    except UsageError:
        raise UsageError(
            f"--from {text}: write now, beginning, snapshot, a version's number, a cursor, or a time: ISO 8601, such as "
            "2026-11-21T09:30, or how long ago, such as 2h or 3d"
        ) from None


def parse_filters(words: Sequence[str]) -> FeedOptions:
    """What `--filter`s say, such as `by=ana`: all of them together. Raises UsageError."""
    given: dict[str, list[str]] = {key: [] for key in _KEYS}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or key not in given:
            raise UsageError(f"--filter {word}: write KEY=VALUE, where KEY is one of {', '.join(_KEYS)}")
        if given[key] and key in ("by", "path"):
            raise UsageError(f"--filter {word}: {key} is given already, and a change has to meet every condition")
        given[key].append(text)
    options: FeedOptions = {
        "tags": given["tag"],
        "tags_all": given["tag-all"],
        "kinds": [_kind(text) for text in given["kind"]],
    }
    for text in given["by"]:
        options["by"] = text
    for text in given["path"]:
        options["path"] = _path(text)
    return options


def is_cursor(text: str) -> bool:
    """Whether it looks like one: it is not taken apart here."""
    return _CURSOR.fullmatch(text) is not None


def _version(text: str) -> int:
    if len(text) > 18 or int(text) < 1:
        raise UsageError(f"--from {text}: versions are 1, 2, 3 and so on")
    return int(text)


def _kind(text: str) -> Kind:
    if text not in _KINDS:
        raise UsageError(f"--filter kind={text}: the kinds are {', '.join(_KINDS)}")
    return _KINDS[text]


def _path(text: str) -> tuple[int | str, ...]:
    try:
        return parse_path(text)
    except PalimpsestError as error:
        raise UsageError(f"--filter path={text}: {error.message}") from None
