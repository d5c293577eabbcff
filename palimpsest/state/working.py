"""A value that is being written, most of the time by small changes at its top level.

Freezing is lazy. Over a map, changed entries wait in a dict, `overlay`, and are folded into the pyrsistent map when someone
asks for the whole value, which many changes never see; an op on an entry costs what it costs on a dict. Plain values
that ops bring stay plain there: nobody changes them, and freezing happens when something inside them changes, or at the fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Raw

from palimpsest.limits import Limits
from palimpsest.state import json_patch, merge_patch
from palimpsest.state.alignment import Looks
from palimpsest.state.draft import UNCHANGED, Draft, failure, fold
from palimpsest.state.narrowing import NARROW_BYTES, looks_for, narrowed
from palimpsest.state.ops import COMPILED, SAFE, Increment, JsonPatch, Op, Set, check_ops, decode_unchecked
from palimpsest.state.tree import NOTHING, Misfit
from palimpsest.state.values import DEPTH_MAX, FROZEN_MAP, INT_MAX, INT_MIN, Value

OVERLAY_KEYS_MAX = 256
"""A fold costs some 1.5 us a key, so that no reader waits more than half a millisecond for one."""


class Working:
    """A value and what has been changed in it. value: frozen."""

    __slots__ = ("_base", "_is_map", "_overlay", "compiled", "copied_bytes")

    def __init__(self, value: Value) -> None:
        self._base: Any = value
        self._is_map = type(value) is FROZEN_MAP
        self._overlay: dict[str, Any] = {}
        self.copied_bytes = 0
        """How much larger the last `apply` may have made the encoded value beyond the size of its ops."""
        self.compiled = False
        """The last `apply` returned other ops than it was given."""

    def apply(self, ops: list[Op], *, depth_max: int = DEPTH_MAX, copy_bytes_max: int | None = None) -> list[Op]:
        """Applies all of ops, or none.

        ops: have passed the door, with which the depth of their values is settled; that of paths, and of what is moved
        or copied, is held to depth_max here. copy_bytes_max: how many bytes copies may add; None: any number. Returns the
        ops that were applied: the same list, unless some had to be compiled.

        Raises DeltaFailed or TestFailed, with the index of the op, its path and the reason; InvalidDelta for an op of JSON
        Patch that is not one; LimitExceeded (depth_max, document_bytes_max). The value is then what it was.
        """
        if self._apply_quickly(ops):
            return ops
        return self._apply_slowly(ops, depth_max, copy_bytes_max)

    def apply_encoded(self, data: bytes | Raw, limits: Limits, copy_bytes_max: int) -> list[Op]:
        """As `decode_delta` and `apply` in one go, and raises what either does; the value is then what it was.

        The ops of most updates are scalars set and counters incremented at the top level: these pass the door by the way. A large
        delta is narrowed; see `narrowing`.
        """
        ops = decode_unchecked(data, limits)
        looks = looks_for(ops, len(data)) if len(data) >= NARROW_BYTES else None
        if looks is None and self._apply_quickly(ops):
            return ops
        check_ops(ops, depth_max=limits.depth_max)
        return self._apply_slowly(ops, limits.depth_max, copy_bytes_max, looks)

    def _apply_quickly(self, ops: list[Op]) -> bool:
        """False, and nothing has happened: one of ops is not a scalar set, or an int added, at a key of the root."""
        if not self._is_map:
            return False
        overlay = self._overlay
        staged: dict[str, Any] = {}
        for op in ops:
            if type(op) is Set:
                path = op.path
                if len(path) != 1 or type(key := path[0]) is not str or type(value := op.value) not in SAFE:
                    return False
                staged[key] = value
            elif type(op) is Increment:
                path, by = op.path, op.by
                if len(path) != 1 or type(key := path[0]) is not str:
                    return False
                current = staged.get(key, UNCHANGED)
                if current is UNCHANGED:
                    current = overlay.get(key, UNCHANGED)
                    if current is UNCHANGED:
                        current = self._base.get(key, NOTHING)
                if type(current) is not int or type(by) is not int or not INT_MIN <= (sum_ := current + by) <= INT_MAX:
                    return False
                staged[key] = sum_
            else:
                return False
        overlay.update(staged)
        if len(overlay) > OVERLAY_KEYS_MAX:
            self.freeze()
        self.copied_bytes = 0
        self.compiled = False
        return True

    def freeze(self) -> Value:
        """The value as it is now; later changes do not touch what is returned."""
        if self._overlay:
            self._base = fold(self._base, self._overlay)
            self._overlay = {}
        return self._base  # type: ignore[no-any-return]

    def copy(self) -> Working:
        """Another one of the same value; neither sees what happens to the other."""
        twin = Working(self._base)
        twin._overlay = self._overlay.copy()
        twin.copied_bytes = self.copied_bytes
        return twin

    def _apply_slowly(
        self, ops: list[Op], depth_max: int, copy_bytes_max: int | None, looks: Looks | None = None
    ) -> list[Op]:
        """looks: for narrowing; None: there is none."""
        draft = Draft(self._base, self._overlay, {}, depth_max=depth_max, copy_bytes_max=copy_bytes_max)
        applied = ops
        for index, op in enumerate(ops):
            primitives: list[Op] | None = None
            if type(op) in COMPILED:
                primitives = _compile(draft, index, op)
            elif looks is not None:
                primitives = narrowed(draft, op, looks)
            if primitives is None:
                draft.apply(index, op)
                if applied is not ops:
                    applied.append(op)
                continue
            if applied is ops:
                applied = ops[:index]
            for primitive in primitives:
                draft.apply(index, primitive, origin=op)
                applied.append(primitive)
        self._take_over(draft)
        self.compiled = applied is not ops
        return applied

    def _take_over(self, draft: Draft) -> None:
        draft.close()
        if draft.changed is self._overlay:
            self._overlay.update(draft.staged)
        else:  # the root was replaced, or everything was folded into it
            self._overlay = draft.staged
        self._base = draft.root
        self._is_map = type(draft.root) is FROZEN_MAP
        self.copied_bytes = draft.copied_bytes
        if len(self._overlay) > OVERLAY_KEYS_MAX:
            self.freeze()


def apply_delta(value: Value, ops: list[Op], *, depth_max: int = DEPTH_MAX) -> Value:
    """value after ops. value: frozen. Raises what `Working.apply` raises."""
    working = Working(value)
    working.apply(ops, depth_max=depth_max)
    return working.freeze()


def steps(value: Value, ops: Sequence[Op], *, depth_max: int = DEPTH_MAX) -> Iterator[tuple[Value, Op]]:
    """Each op in turn with the value that it meets, those that are compiled as what they are compiled into.

    The last op has been applied once the iterator ends. Raises what `Working.apply` raises.
    """
    draft = Draft(value, {}, {}, depth_max=depth_max, copy_bytes_max=None)
    for index, op in enumerate(ops):
        for primitive in _compile(draft, index, op) if type(op) in COMPILED else [op]:
            yield draft.fold(), primitive
            draft.apply(index, primitive, origin=op)


def _compile(draft: Draft, index: int, op: Op) -> list[Op]:
    value = draft.fold()
    if type(op) is JsonPatch:
        try:
            return json_patch.compile_op(op, value, index)
        except Misfit as misfit:
            raise failure(index, op, misfit) from None
    patched, size = merge_patch.compile_patch(op.value, value)  # type: ignore[union-attr]
    draft.charge(size)
    return patched
