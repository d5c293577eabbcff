"""JSON Merge Patch (RFC 7396), compiled into ops against the value that it meets.

A patch is a value itself: its maps are merged into the maps that they meet, null takes a key out, and anything else takes the
place of what is there.
"""

from __future__ import annotations

from typing import Any

from palimpsest.state.ops import Delete, Op, Set
from palimpsest.state.paths import Path
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import MAPS, Value, as_dict, encode_value

OPS_MAX = 1_000
"""How many ops a patch may become; beyond that, and where paths would be most of them, the merged value is set as one. Each
op repeats the keys that lead to it, which a patch names once: a small patch could make a very large delta."""


def compile_patch(patch: Any, value: Value) -> tuple[list[Op], int]:
    """The ops that merge patch into value, and how many bytes of what they hold were not in the patch."""
    ops: list[Op] = []
    if _compile(patch, value, (), ops) and sum(_key_bytes(op) for op in ops) <= _bytes_max(patch):
        return ops, 0
    merged = merge(value, patch)
    return [Set((), merged)], len(encode_value(merged))


def merge(value: Any, patch: Any) -> Any:
    """The function MergePatch of the RFC, section 2. value may be NOTHING."""
    if type(patch) not in MAPS:
        return patch
    merged = dict(as_dict(value)) if type(value) in MAPS else {}
    for key, part in as_dict(patch).items():
        if part is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key, NOTHING), part)
    return merged


def _compile(patch: Any, value: Any, path: Path, ops: list[Op]) -> bool:
    """Adds to ops; False if there are too many."""
    if type(patch) not in MAPS or type(value) not in MAPS:
        ops.append(Set(path, merge(value, patch)))
        return len(ops) <= OPS_MAX
    for key, part in as_dict(patch).items():
        there = value.get(key, NOTHING)
        if part is not None:
            if not _compile(part, there, (*path, key), ops):
                return False
        elif there is not NOTHING:
            ops.append(Delete((*path, key)))
    return len(ops) <= OPS_MAX


def _key_bytes(op: Any) -> int:
    return sum(len(key) for key in op.path)


def _bytes_max(patch: Any) -> int:
    return 4 * len(encode_value(patch)) + 1_024
