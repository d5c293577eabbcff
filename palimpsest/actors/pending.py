"""A merge that waits for its conflicts to be resolved: what is kept of it, and what resolutions come to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from palimpsest.actors.outcomes import (
    Asked,
    Outcome,
    Remembered,
)
from palimpsest.errors import (
    InvalidRequest,
    MergeNotFound,
)
from palimpsest.protocol import messages as m
from palimpsest.state.paths import Path, format_path
from palimpsest.state.resolutions import Between
from palimpsest.state.values import check_value, decode_plain
from palimpsest.words import Meta

_CONFLICTS_NAMED = 5


def merge_id(request: Any, client: str) -> str:
    """Of the pending merge that a request may begin: the same for a repeat. An id of the caller's own is one for each document."""
    documents = getattr(request, "pattern", None) or getattr(request, "document", "")
    identity = f"key:{request.key}:{documents}" if request.key is not None else f"{client}:{request.id}"
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def to_value(asked: Asked, outcomes: Sequence[Outcome], now: int) -> dict[str, Any]:
    place = {
        "branch": asked.source.branch,
        "version": asked.source.version,
        "at": asked.source.at,
        "tag": asked.source.tag,
    }
    meta = asked.meta or Meta()
    said = {"by": meta.by, "description": meta.description, "tags": list(meta.tags) or None}
    return {
        "kind": asked.kind,
        "source": {name: value for name, value in place.items() if value is not None},
        "into": asked.into,
        "rules": dict(asked.rules),
        "squash": asked.squash,
        "documents": dict.fromkeys(asked.documents, 0) | counts_of(outcomes),
        "at": now,
        **{name: value for name, value in said.items() if value is not None},
    }


def counts_of(outcomes: Sequence[Outcome]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        document = outcome.part.document
        counts[document] = counts.get(document, 0) + len(outcome.conflicts)
    return counts


def to_asked(value: Any) -> Asked:
    by, description, tags = value.get("by"), value.get("description"), tuple(value.get("tags", ()))
    meta = Meta(by, description, tags) if by is not None or description is not None or tags else None
    source = value["source"]
    place = m.Place(source["branch"], source.get("version"), source.get("at"), source.get("tag"))
    return Asked(
        value["kind"], sorted(value["documents"]), place, value["into"], value["rules"], value["squash"], None, meta
    )


def listed(id: str, value: Any) -> m.PendingMerge:
    asked = to_asked(value)
    return m.PendingMerge(
        id, asked.kind, asked.source.branch, asked.into, dict(value["documents"]), value["at"], asked.meta
    )


def no_merge(id: str) -> MergeNotFound:
    return MergeNotFound(f"no merge {id!r} is pending", merge=id)


def chosen(asked: Asked, found: Sequence[Outcome], resolutions: Sequence[m.Resolution]) -> Remembered:
    """The entries that resolutions come to. Raises InvalidRequest for one that no open conflict is at."""
    given: dict[str, dict[str, dict[str, Any]]] = {}
    for resolution in resolutions:
        value = _resolved(resolution)
        met = False
        for outcome in found:
            if resolution.document not in (None, outcome.part.document):
                continue
            source = asked.source.branch if asked.kind == "rebase" else outcome.part.source[0]
            between = Between(source, asked.into)
            for conflict in outcome.conflicts:
                if _is_about(resolution, conflict.path):
                    entry = between.entry(resolution.take, value)
                    given.setdefault(outcome.part.document, {})[between.key(conflict)] = entry
                    met = True
        if not met:
            raise _no_conflict(resolution, found)
    return given


def _resolved(resolution: m.Resolution) -> Any:
    if resolution.take not in ("ours", "theirs", "base", "value", "absent"):
        raise InvalidRequest(f"{resolution.take!r} is no way to resolve a conflict", reason="take")
    if resolution.take != "value":
        return None
    value = decode_plain(resolution.value)
    check_value(value, depth=len(resolution.path))
    return value


def _is_about(resolution: m.Resolution, path: Path) -> bool:
    """A side may be taken for everything inside of a place; a value is for one place."""
    given = tuple(resolution.path)
    if resolution.take in ("value", "absent"):
        return path == given
    return path[: len(given)] == given


def _no_conflict(resolution: m.Resolution, found: Sequence[Outcome]) -> InvalidRequest:
    where = format_path(tuple(resolution.path)) or "the root"
    open_ = [format_path(conflict.path) or "the root" for outcome in found for conflict in outcome.conflicts]
    named = ", ".join(open_[:_CONFLICTS_NAMED]) + (", ..." if len(open_) > _CONFLICTS_NAMED else "")
    left = f"open are: {named}" if open_ else "none is open"
    return InvalidRequest(f"there is no conflict at {where}; {left}", reason="no conflict")
