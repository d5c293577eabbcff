"""Keeping a large set as what it changes, so that the log grows with the change and not with the document.

Whoever sets a whole text or a whole subtree most often changed a little of it. What is kept then is the difference to what was
there, if that is shorter. Looking for it takes about as long as applying the set and reading the value does. Aligning, which could
take longer, is bounded for all ops of a delta together; what cannot be compared within that bound is set as it came.
"""

from __future__ import annotations

from collections.abc import Iterable

from palimpsest.state.alignment import Looks
from palimpsest.state.diff import quick_difference
from palimpsest.state.draft import Draft
from palimpsest.state.ops import Op, Replace, Set, encode_delta
from palimpsest.state.tree import Misfit
from palimpsest.state.values import PLAIN_CONTAINERS

NARROW_BYTES = 4_096
"""A delta that is smaller is kept as it came."""

_TEXT_CHARACTERS = 1_024
"""A shorter string is set as it came."""

_CONTAINER_BYTES_MIN = 256
_CONTAINER_BYTES_MAX = 1024 * 1024
"""So is a container that is smaller, or larger."""

_LOOKS = 100_000
"""25 ms of aligning for a delta; more for a larger one, a look for as many bytes:"""
_LOOK_BYTES = 8


def looks_for(ops: Iterable[Op], delta_bytes: int) -> Looks | None:
    """What comparing may take for all of ops together, which take delta_bytes encoded; None: there is nothing to narrow."""
    return Looks(_LOOKS + delta_bytes // _LOOK_BYTES) if any(map(_may_be_large, ops)) else None


def narrowed(draft: Draft, op: Op, looks: Looks) -> list[Op] | None:
    """The ops that make of what is there what op sets, where they are shorter; None: op is to be applied as it came."""
    if not _may_be_large(op) or looks.left <= 0:
        return None
    draft.close()
    try:
        old = draft.find(op.path)  # type: ignore[arg-type, union-attr]
    except Misfit:
        return None
    new = op.value  # type: ignore[union-attr]
    is_text = type(new) is str
    size = len(new) if is_text else len(encode_delta([op])) - 1
    if not is_text and not _CONTAINER_BYTES_MIN <= size <= _CONTAINER_BYTES_MAX:
        return None
    found, found_size = quick_difference(old, new, op.path, looks)  # type: ignore[arg-type, union-attr]
    return found if found_size < size else None


def _may_be_large(op: Op) -> bool:
    if type(op) is not Set and type(op) is not Replace:
        return False
    value = op.value
    return type(value) in PLAIN_CONTAINERS or (type(value) is str and len(value) >= _TEXT_CHARACTERS)
