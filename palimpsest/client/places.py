"""Which version is meant: a number, a time, a tag, or a branch's newest, as callers say it and as the wire does."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

from palimpsest.client.requests import check_numbers, check_texts
from palimpsest.clock import to_microseconds
from palimpsest.errors import InvalidRequest
from palimpsest.protocol.messages import Place
from palimpsest.words import Node

Which: TypeAlias = int | str | datetime
"""A version; `"branch:version"`; `"branch"`, for its newest; or a time, for the last version made then or before."""

AnyNode: TypeAlias = tuple[str, int] | str
"""A version where it was made: a branch and a number, or `"branch:version"`."""


def to_place(which: Which, branch: str) -> Place:
    """branch: for what names none itself. Raises InvalidRequest naming what is wrong."""
    if isinstance(which, datetime):
        return Place(branch, at=to_at(which, "a version's time"))
    if isinstance(which, str):
        return _parse(which)
    if type(which) is not int:
        raise InvalidRequest(
            f"{which!r} says no version: that is a number, 'branch:version', 'branch', or a datetime", reason="version"
        )
    check_numbers(version=which)
    return Place(branch, which)


def to_node(which: AnyNode, name: str) -> Node:
    """name: of the argument. Raises InvalidRequest where it is not a branch and a version of it."""
    if isinstance(which, str):
        place = _parse(which)
        which = (place.branch, place.version)  # type: ignore[assignment]
    if not isinstance(which, tuple) or len(which) != 2 or not isinstance(which[0], str) or type(which[1]) is not int:
        raise InvalidRequest(f"{name} is {which!r}; a branch and its version are meant, as in 'main:5'", reason=name)
    check_numbers(**{name: which[1]})
    return which


def one_place(branch: str, version: int | None, at: datetime | None, tag: str | None) -> Place:
    """The place, where each of the three has an argument of its own. Raises InvalidRequest, also where two are given."""
    if (version, at, tag).count(None) < 2:
        raise InvalidRequest("a version, a time or a tag: one of them says which version is meant", reason="version")
    check_numbers(version=version)
    check_texts(tag=tag)
    return Place(branch, version, None if at is None else to_at(at, "at"), tag)


def to_at(moment: Any, name: str) -> int:
    """Microseconds since the epoch. name: of the argument. Raises InvalidRequest where it is no datetime with a time zone."""
    if not isinstance(moment, datetime):
        raise InvalidRequest(f"{name} is a datetime, not a {type(moment).__name__}", reason=name)
    if moment.utcoffset() is None:
        raise InvalidRequest(
            f"{name} is {moment.isoformat()}, without a time zone: whose time is that?", reason="no time zone"
        )
    return to_microseconds(moment)


def maybe_at(moment: datetime | None, name: str) -> int | None:
    return None if moment is None else to_at(moment, name)


def _parse(text: str) -> Place:
    branch, colon, number = text.rpartition(":")
    if not colon:
        branch = text
    if not branch:
        raise InvalidRequest(f"{text!r} names no branch", reason="branch")
    if not colon:
        return Place(branch)
    if not (number.isascii() and number.isdecimal()):
        raise InvalidRequest(f"{text!r}: {number!r}, after the colon, is no version", reason="version")
    version = int(number)
    check_numbers(version=version)
    return Place(branch, version)
