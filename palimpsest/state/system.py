"""Documents of the server's own, whose names begin with `$`: what may be written to them has to make sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from palimpsest.errors import InvalidName
from palimpsest.state.retention import parse_retention
from palimpsest.state.values import Value

_CHECKS: dict[str, Callable[[Value], Any]] = {"$system/retention/": parse_retention}
"""What a value has to pass, by what the document's name starts with; one more segment follows."""

_FREE = frozenset(("$import",))
"""Names that may have any value: where an import into no folder of its own notes how far it has come."""


def check_system(document: str, value: Value | None, *, deleted: bool = False) -> None:
    """Returns if a document whose name begins with `$` may have this value; deleted: it would not exist, and value says nothing.

    Raises InvalidName for a name that the server has no use for, and InvalidValue.
    """
    if document in _FREE:
        return
    for prefix, check in _CHECKS.items():
        name = document.removeprefix(prefix)
        if name and name != document and "/" not in name:
            if not deleted:
                check(value)
            return
    reason = "names that begin with `$` are the server's own, and it has no use for this one"
    raise InvalidName(f"{document!r}: {reason}", name=document, reason=reason)
