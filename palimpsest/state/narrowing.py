"""Keeping a large set as what it changes, so that the log grows with the change and not with the document.

Whoever sets a whole text or a whole subtree most often changed a little of it. What is kept then is the difference to what was
there, if that is shorter. Looking for it takes about as long as applying the set does, and no longer than some 60 ms beyond that:
what cannot be compared in that time is set as it came.
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
"""So is a shorter string."""

_CONTAINER_BYTES_MAX = 1024 * 1024
"""And a container that is larger."""

_LOOKS = 100_000
"""25 ms of aligning; more for what is larger, a look for as many bytes:"""
_LOOK_BYTES = 8


def can_narrow(ops: Iterable[Op]) -> bool:
    """Whether `narrowed` has anything to do with one of ops."""
    return any(map(_is_large, ops))


def narrowed(draft: Draft, op: Op) -> list[Op] | None:
    """The ops that make of what is there what op sets, where they are shorter; None: op is to be applied as it came."""
    if not _is_large(op):
        return None
    draft.close()
    try:
        old = draft.find(op.path)  # type: ignore[arg-type, union-attr]
    except Misfit:
        return None
    new = op.value  # type: ignore[union-attr]
    is_text = type(new) is str
    size = len(new) if is_text else len(encode_delta([op])) - 1
    if size > _CONTAINER_BYTES_MAX and not is_text:
        return None
    found, found_size = quick_difference(old, new, op.path, Looks(_LOOKS + size // _LOOK_BYTES))  # type: ignore[arg-type, union-attr]
    return found if found_size < size else None


def _is_large(op: Op) -> bool:
    if type(op) is not Set and type(op) is not Replace:
        return False
    value = op.value
    return type(value) in PLAIN_CONTAINERS or (type(value) is str and len(value) >= _TEXT_CHARACTERS)
