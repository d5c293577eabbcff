"""Which version of a document is meant, as the command line says it.

`3`, `@2h` or `@2026-11-21T09:30` (the last one then), `tag=released` (the newest with that tag); of another branch as
`draft:9`, `draft:@2h` or `draft:tag=released`, and `draft` is the newest of that branch.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec

from palimpsest.cli.times import parse_time
from palimpsest.cli.viewing import View
from palimpsest.client import Client, Document
from palimpsest.errors import UsageError

_TAG = "tag="
_WHICH = re.compile(r"(?P<which>[0-9]+|@.+|tag=.+)", re.DOTALL)
_OF_BRANCH = re.compile(rf"(?P<branch>.+?):{_WHICH.pattern}", re.DOTALL)


class Place(msgspec.Struct, frozen=True):
    """At most one of version, at and tag is given; none: the newest."""

    branch: str
    version: int | None = None
    at: datetime | None = None
    tag: str | None = None


def parse_place(text: str, branch: str, *, now: datetime | None = None) -> Place:
    """branch: the one that is meant where text names none. now: as for `parse_time`. Raises UsageError."""
    found = _WHICH.fullmatch(text) or _OF_BRANCH.fullmatch(text)
    if found is None:
        if not text or ":" in text:
            raise UsageError(f"{text!r} is not a version: write a number, @TIME, tag=TAG, or BRANCH:NUMBER")
        return Place(text)
    which = found["which"]
    branch = found.groupdict().get("branch") or branch
    if which.startswith("@"):
        return Place(branch, at=parse_time(which[1:], now=now))
    if which.startswith(_TAG):
        return Place(branch, tag=which.removeprefix(_TAG))
    return Place(branch, version=_number(which))


def make_place(version: int | None, at: str | None, tag: str | None, branch: str) -> Place:
    """Of the options `--version`, `--at` and `--tag`. Raises UsageError for a time that is none, or more than one option."""
    if [version, at, tag].count(None) < 2:
        raise UsageError("--version, --at and --tag each say which version is meant: give one of them")
    return Place(branch, version, None if at is None else parse_time(at), tag)


async def get_at(client: Client, document: str, place: Place, view: View | None = None) -> Document:
    """view: None for the document as it is. Raises what `get` does."""
    which: dict[str, Any] = {"version": place.version, "at": place.at, "tag": place.tag, **(view or {})}
    found: Document = await client.get(document, branch=place.branch, **which)
    return found


def _number(text: str) -> int:
    if len(text) > 18 or int(text) < 1:
        raise UsageError(f"{text} is not a version: versions are 1, 2, 3 and so on")
    return int(text)
