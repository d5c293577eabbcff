"""How much of the past is kept: policies as data, and what follows from them for one document.

A policy keeps a version that is among the newest `versions`, or younger than `seconds`; `bytes_max` then lets the oldest go whatever
these two say. A version with a tag that the policy names stays for ever, and the newest version stays always. Where several
policies speak of a document, a version goes only if every one of them lets it go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec

from palimpsest.errors import InvalidName, InvalidValue, LimitExceeded
from palimpsest.state.names import Pattern, check_branch
from palimpsest.state.values import thaw
from palimpsest.words import MAIN

_INDEX = re.compile(r"\[([0-9]+)\]")

Count = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e12)]


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy. documents: a pattern. versions, seconds, bytes_max: as above; where none of them is given, everything is kept.
    tags: versions with a tag that matches one of these stay (`*` for any characters)."""

    documents: str
    branch: str = MAIN
    versions: Count | None = None
    seconds: Seconds | None = None
    bytes_max: Count | None = None
    """Of storage, of one document, roughly."""
    tags: tuple[str, ...] = ("*",)
    description: str = ""


def parse_retention(value: Any) -> Retention:
    """value: of a document; frozen or plain. Raises InvalidValue with the path and the reason."""
    try:
        policy = msgspec.convert(thaw(value), Retention)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        path = _INDEX.sub(r".\1", place.removesuffix("`"))
        raise _wrong(path, reason) from error
    try:
        Pattern.parse(policy.documents)
    except (InvalidName, LimitExceeded) as error:
        raise _wrong("documents", error.message) from error
    try:
        check_branch(policy.branch)
    except (InvalidName, LimitExceeded) as error:
        raise _wrong("branch", error.message) from error
    if "" in policy.tags:
        raise _wrong("tags", "a tag is not empty")
    return policy


def to_value(policy: Retention) -> dict[str, Any]:
    """What `parse_retention` takes; what is as by default is left out."""
    defaults = Retention(documents=policy.documents)
    fields = msgspec.structs.asdict(policy)
    given = {name: value for name, value in fields.items() if name == "documents" or value != getattr(defaults, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


# --- deciding --------------------------------------------------------------------------------------------------------


def questions(policies: Iterable[Retention]) -> tuple[set[float], set[int]]:
    """What has to be looked up before `keep_from`: ages in seconds, and sizes in bytes."""
    policies = list(policies)
    ages = {policy.seconds for policy in policies if policy.seconds is not None}
    sizes = {policy.bytes_max for policy in policies if policy.bytes_max is not None}
    return ages, sizes


def keep_from(
    policies: Iterable[Retention], *, newest: int, younger: Mapping[float, int], reach: Mapping[int, int]
) -> int:
    """The oldest version that is kept for its own sake, whatever its tags; 1 keeps everything.

    newest: version. younger: for an age, the oldest version that is younger, newest + 1 where there is none. reach: for a size, the
    oldest version from which on everything fits into it.
    """
    return min((_keep_from(policy, newest, younger, reach) for policy in policies), default=1)


def _keep_from(policy: Retention, newest: int, younger: Mapping[float, int], reach: Mapping[int, int]) -> int:
    kept: list[int] = []
    if policy.versions is not None:
        kept.append(max(1, newest - policy.versions + 1))
    if policy.seconds is not None:
        kept.append(younger[policy.seconds])
    oldest = min(kept, default=1)
    if policy.bytes_max is not None:
        oldest = max(oldest, reach[policy.bytes_max])
    return min(oldest, newest)


def kept_tags(policies: Iterable[Retention]) -> tuple[str, ...]:
    """The patterns of tags that keep a version in any of them, sorted."""
    return tuple(sorted({tag for policy in policies for tag in policy.tags}))


def tag_matches(patterns: Sequence[str], tags: Iterable[str]) -> bool:
    """Whether one of tags matches one of patterns."""
    return any(fnmatchcase(tag, pattern) for tag in tags for pattern in patterns)


def effective_tags(made_with: Iterable[str], labels: Mapping[str, bool]) -> tuple[str, ...]:
    """The tags that a version has: those it was made with, those it was given, less those it lost; sorted."""
    given = {tag for tag, state in labels.items() if state}
    return tuple(sorted({tag for tag in made_with if labels.get(tag, True)} | given))


def _wrong(path: str, reason: str) -> InvalidValue:
    where = f"{path}: " if path else ""
    return InvalidValue(f"not a policy of retention: {where}{reason}", path=path, reason=reason)
