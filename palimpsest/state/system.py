"""Documents of the server's own, whose names begin with `$`: what may be written to them has to make sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from palimpsest.errors import InvalidName, InvalidValue
from palimpsest.state.definitions import PERSPECTIVES, parse_perspective
from palimpsest.state.names import Pattern, check_branch
from palimpsest.state.retention import parse_retention
from palimpsest.state.roles import ADMIN, parse_role
from palimpsest.state.schemas import SCHEMAS, parse_schema
from palimpsest.state.sources import PLANS, RUNS, SNAPSHOTS, SOURCES, check_any, check_map, parse_source
from palimpsest.state.subscriptions import parse_subscription
from palimpsest.state.tokens import parse_token
from palimpsest.state.values import Value, thaw

BRANCHES = "$system/branches/"
"""What the names of documents begin with that say of which documents a branch is; the branch's name follows. The value is a map from
patterns to `{"base": branch}`, and perhaps `at`, `by` and `description`."""

MERGES = "$system/merges/"
"""What the names of pending merges begin with."""

SUBSCRIPTIONS = "$system/subscriptions/"
"""What the names of documents begin with that keep named subscriptions; see `state.subscriptions`. The server writes these itself."""

ROLES = "$system/roles/"
"""What the names of roles' documents begin with; the role's name follows."""

TOKENS = "$system/tokens/"
"""What the names of tokens' documents begin with; the token's id follows."""

AUDIT = "$system/audit/"
"""What the names of documents begin with that say what was refused, and who changed roles and tokens; the day follows, as YYYY-MM-DD.
The server writes these itself."""


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


def _check_role(name: str, value: Any) -> None:
    if name == ADMIN:
        reason = "the role of that name is always there, and may do everything"
        raise InvalidValue(f"not a role: {reason}", path="", reason=reason)
    parse_role(value)


def _check_audit(value: Any) -> None:
    if type(thaw(value)) is not dict:
        raise InvalidValue("not an audit: it is a map", path="", reason="it is a map")


def _wrong(path: str, reason: str) -> InvalidValue:
    return InvalidValue(f"not a branch of many documents: {reason}", path=path, reason=reason)


_CHECKS: dict[str, tuple[Callable[[str, Any], Any], bool]] = {
    "$system/retention/": (lambda _, value: parse_retention(value), False),
    BRANCHES: (lambda _, value: check_shared(value), True),
    MERGES: (lambda _, value: _check_merge(value), False),
    PERSPECTIVES: (parse_perspective, False),
    SCHEMAS: (parse_schema, False),
    SUBSCRIPTIONS: (lambda _, value: parse_subscription(value), False),
    ROLES: (_check_role, False),
    TOKENS: (lambda _, value: parse_token(value), False),
    AUDIT: (lambda _, value: _check_audit(value), False),
    SOURCES: (lambda _, value: parse_source(value), False),
    SNAPSHOTS: (lambda _, value: check_any(value), False),
    PLANS: (lambda _, value: check_map(value), True),
    RUNS: (lambda _, value: check_map(value), True),
}
"""What name and value have to pass, by what the document's name starts with; and whether more than one segment may follow."""

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
                check(name, value)
            return
    reason = "names that begin with `$` are the server's own, and it has no use for this one"
    raise InvalidName(f"{document!r}: {reason}", name=document, reason=reason)
