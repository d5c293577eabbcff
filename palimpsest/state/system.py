"""Documents of the server's own, whose names begin with `$`: what may be written to them has to make sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from palimpsest.errors import InvalidName, InvalidValue
from palimpsest.state.names import Pattern, check_branch
from palimpsest.state.retention import parse_retention
from palimpsest.state.sources import PLANS, RUNS, SNAPSHOTS, SOURCES, check_any, check_map, parse_source
from palimpsest.state.values import Value, thaw

BRANCHES = "$system/branches/"
"""What the names of documents begin with that say of which documents a branch is; the branch's name follows. The value is a map from
patterns to `{"base": branch}`, and perhaps `at`, `by` and `description`."""

MERGES = "$system/merges/"
"""What the names of pending merges begin with."""


def check_shared(value: Any) -> None:
    """Returns if value is that of a branch of many documents. Raises InvalidValue."""
    plain: Any = thaw(value)
    if type(plain) is not dict:
        raise _wrong("", "it is a map of patterns")
    for pattern, said in plain.items():
        Pattern.parse(pattern)
        if type(said) is not dict or not said.keys() <= {"base", "at", "by", "description"}:
            raise _wrong(pattern, "a pattern has `base`, and perhaps `at`, `by` and `description`")
        if type(said.get("base")) is not str:
            raise _wrong(pattern, "`base` is the name of a branch")
        check_branch(said["base"])


def shared_base(value: Any, document: str) -> str | None:
    """The branch that stands in for one that is of many documents. value: as `check_shared` has it."""
    if document.startswith("$"):
        return None
    patterns: list[str] = [pattern for pattern in value if Pattern.parse(pattern).matches(document)]
    return str(value[max(patterns, key=len)]["base"]) if patterns else None


def _check_merge(value: Any) -> None:
    """The server alone writes these; what they say is looked at when it is used."""
    if type(thaw(value)) is not dict:
        raise InvalidValue("not a pending merge: it is a map", path="", reason="it is a map")


def _wrong(path: str, reason: str) -> InvalidValue:
    return InvalidValue(f"not a branch of many documents: {reason}", path=path, reason=reason)


_CHECKS: dict[str, tuple[Callable[[Value], Any], bool]] = {
    "$system/retention/": (parse_retention, False),
    BRANCHES: (check_shared, True),
    MERGES: (_check_merge, False),
    SOURCES: (parse_source, False),
    SNAPSHOTS: (check_any, False),
    PLANS: (check_map, True),
    RUNS: (check_map, True),
}
"""What a value has to pass, by what the document's name starts with; and whether more than one segment may follow."""

_FREE = frozenset(("$import",))
"""Names that may have any value: where an import into no folder of its own notes how far it has come."""


def check_system(document: str, value: Value | None, *, deleted: bool = False) -> None:
    """Returns if a document whose name begins with `$` may have this value; deleted: it would not exist, and value says nothing.

    Raises InvalidName for a name that the server has no use for, and InvalidValue.
    """
    if document in _FREE:
        return
    for prefix, (check, is_deep) in _CHECKS.items():
        name = document.removeprefix(prefix)
        if name and name != document and (is_deep or "/" not in name):
            if not deleted:
                check(value)
            return
    reason = "names that begin with `$` are the server's own, and it has no use for this one"
    raise InvalidName(f"{document!r}: {reason}", name=document, reason=reason)
