"""What is kept of a named subscription, in a document of its own: what it follows, how far it has come, and what failed."""

from __future__ import annotations

from typing import Any

import msgspec

from palimpsest.errors import InvalidName, InvalidValue, LimitExceeded
from palimpsest.state.names import Pattern, check_branch
from palimpsest.state.values import thaw
from palimpsest.words import MAIN

Runs = tuple[tuple[int, int], ...]
"""Stretches of positions, both ends included, rising and apart."""


class Letter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change that was put aside. again: it is being delivered again, and put aside until that has succeeded."""

    document: str
    branch: str
    """Where the version was made."""
    version: int
    tries: int
    reason: str
    again: bool = False


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """cursor: everything up to there is done with, dead letters aside. done: what is, too, after it. tries: how often a change has failed
    that is not done, by position. dead: by position."""

    pattern: str
    branch: str = MAIN
    tags: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    by: str | None = None
    path: tuple[str | int, ...] | None = None
    kinds: tuple[int, ...] = ()
    cursor: str
    done: Runs = ()
    tries: dict[int, int] = {}
    dead: dict[int, Letter] = {}


CONDITIONS = ("pattern", "branch", "tags", "tags_all", "by", "path", "kinds")
"""Fields that say what is followed: the same for all who work for it."""


def parse_subscription(value: Any) -> Kept:
    """value: of a document; frozen or plain. Raises InvalidValue."""
    try:
        kept = msgspec.convert(thaw(value), Kept, str_keys=True)
        Pattern.parse(kept.pattern)
        check_branch(kept.branch)
    except (msgspec.ValidationError, InvalidName, LimitExceeded) as error:
        raise InvalidValue(f"not a named subscription: {error}", path="", reason=str(error)) from error
    return kept


def to_value(kept: Kept) -> dict[str, Any]:
    """What `parse_subscription` takes; what is as by default is left out."""
    defaults = Kept(pattern="", cursor="")
    return {
        name: value
        for name, value in to_plain(kept).items()
        if name in _REQUIRED or getattr(kept, name) != getattr(defaults, name)
    }


def to_plain(part: Any) -> Any:
    """A part of it, as a JSON value."""
    return msgspec.json.decode(msgspec.json.encode(part))


_REQUIRED = ("pattern", "cursor")
