"""Roles as they are written down, in documents under `$system/roles/`: what who has them may do, with which documents, as seen through what."""

from __future__ import annotations

from typing import Any

import msgspec

from palimpsest.errors import InvalidName, InvalidValue, LimitExceeded
from palimpsest.state.names import Pattern
from palimpsest.state.values import thaw

ACTIONS = ("read", "write", "history", "branch", "merge", "subscribe", "observe", "admin")
"""What can be granted. `admin` includes all others. `observe` is about the server, and no document: it is granted for `**`."""

ADMIN = "admin"
"""The role that is always there, and may do everything. A document of its name is not looked at."""

ENTRIES_MAX = 1_000


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """documents: a pattern, or several. actions: of `ACTIONS`. perspective: these documents are seen through it, and in no other way;
    with a level, it is the name of a family, and the levels up to that one can be had."""

    documents: tuple[str, ...] | str
    actions: tuple[str, ...]
    perspective: str | None = None
    level: int | None = None


class Allowance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Bounds of one principal, over all of its connections. None: there is none beside those of every connection."""

    connections_max: int | None = None
    in_flight_requests_max: int | None = None
    """Requests without an answer; what is asked beyond it is `Overloaded`."""
    bytes_per_second_max: int | None = None
    """Received; what comes faster is read later."""
    subscriptions_max: int | None = None


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    grants: tuple[Grant, ...] = ()
    limits: Allowance = Allowance()
    description: str = ""


def parse_role(value: Any) -> Role:
    """value: of a role's document; frozen or plain. Raises InvalidValue."""
    try:
        role = msgspec.convert(thaw(value), Role)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"not a role: {error}", path="", reason=str(error)) from error
    if len(role.grants) > ENTRIES_MAX:
        raise _wrong("grants", f"there are {len(role.grants)}; at most {ENTRIES_MAX} are allowed")
    for index, grant in enumerate(role.grants):
        _check_grant(f"grants.{index}", grant)
    check_allowance("limits", role.limits)
    return role


def check_allowance(path: str, allowance: Allowance) -> None:
    """Raises InvalidValue where one of them is no positive number. path: where it is."""
    for name in allowance.__struct_fields__:
        number = getattr(allowance, name)
        if number is not None and number < 1:
            raise _wrong(f"{path}.{name}", f"{number} is no positive number")


def larger(one: Allowance, other: Allowance) -> Allowance:
    """Of each bound the larger; one that only one of them has is that one's."""
    found = {}
    for name in one.__struct_fields__:
        numbers = [number for number in (getattr(one, name), getattr(other, name)) if number is not None]
        found[name] = max(numbers, default=None)
    return Allowance(**found)


def patterns_of(grant: Grant) -> tuple[str, ...]:
    return (grant.documents,) if isinstance(grant.documents, str) else grant.documents


def to_value(role: Role) -> dict[str, Any]:
    """What `parse_role` takes; what is as by default is left out."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(role))  # lists, and no tuples
    return plain


def _check_grant(path: str, grant: Grant) -> None:
    patterns = patterns_of(grant)
    if not patterns or len(patterns) > ENTRIES_MAX:
        raise _wrong(f"{path}.documents", f"1 to {ENTRIES_MAX} patterns are to be given")
    for pattern in patterns:
        try:
            Pattern.parse(pattern)
        except (InvalidName, LimitExceeded) as error:
            raise _wrong(f"{path}.documents", error.message) from error
    if not grant.actions:
        raise _wrong(f"{path}.actions", "it is empty")
    for action in grant.actions:
        if action not in ACTIONS:
            raise _wrong(f"{path}.actions", f"{action!r} is none of {', '.join(ACTIONS)}")
    if grant.level is not None and grant.perspective is None:
        raise _wrong(f"{path}.level", "a level is one of a family, whose name is to be given as `perspective`")
    if grant.perspective is not None:
        _check_bound(path, grant)


def _check_bound(path: str, grant: Grant) -> None:
    unseen = [action for action in ("merge", "observe", "admin") if action in grant.actions]
    if unseen:
        raise _wrong(f"{path}.actions", f"{unseen[0]!r} cannot be granted through a perspective")
    if not grant.perspective or "/" in grant.perspective:
        raise _wrong(f"{path}.perspective", "a name is text without `/`")


def _wrong(path: str, reason: str) -> InvalidValue:
    return InvalidValue(f"not a role: {path}: {reason}", path=path, reason=reason)
