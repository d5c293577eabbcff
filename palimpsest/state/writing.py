"""Writing through an outline: ops in the words of a view become ops on the document.

What may be written is told by the definition alone, before anything is looked at: a place that is shown as it is, with all that is
inside, and is at or inside of a path that is `writable`. Everything else that can go wrong is decided on the view, so that no
answer depends on what the view does not show, but for one: a hidden scalar or list where a map would have to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from palimpsest.errors import DeltaFailed, InvalidDelta, NotWritable
from palimpsest.state import json_patch, merge_patch, ops
from palimpsest.state.draft import Draft, failure
from palimpsest.state.ops import Op
from palimpsest.state.outline import HIDDEN, WHOLE, Place
from palimpsest.state.paths import Path, format_path
from palimpsest.state.redact import ANY
from palimpsest.state.tree import NOTHING, Misfit, find_or_nothing
from palimpsest.state.values import LISTS, MAPS, Value, as_dict
from palimpsest.state.working import apply_delta

_ANY_DEPTH = 1 << 30
"""How deep a value may be is for the document to say, and the depth of a place is the same there."""

_TESTS = frozenset((ops.Test, ops.Absent))


class Writer:
    """name: of the perspective, for errors. writable: paths of the document, in which `*` is any step."""

    def __init__(self, name: str, root: Place, writable: Sequence[Path]) -> None:
        self._name = name
        self._root = root
        self._patterns = tuple(writable)

    def source(self, path: Path) -> Path:
        """Where the document has what the view has at path. Raises NotWritable where that cannot be written."""
        source = self._writable(path)
        if source is None:
            raise self._refusal(format_path(path))
        return source

    def created(self, delta: Sequence[Op]) -> list[Op]:
        """The op that makes a document. delta: one op that sets the root. Raises NotWritable, InvalidDelta where delta is another."""
        op = delta[0] if len(delta) == 1 else None
        if not isinstance(op, ops.Set) or op.path:
            raise InvalidDelta("a document is made by setting it whole", op=None)
        return [ops.Set((), self._made(self._root, op.value, (), ()))]

    def written(self, view: Any, value: Value, delta: Sequence[Op]) -> list[Op]:
        """As `Lens.written`, of a document that there is. view: of value."""
        for op in delta:
            self._check(op)
        draft = Draft(view, {}, {}, depth_max=_ANY_DEPTH, copy_bytes_max=None)
        mapped: list[Op] = []
        for index, op in enumerate(delta):
            for primitive in self._compiled(draft, index, op):
                if primitive is not op:
                    self._check(primitive)
                draft.close()
                is_idle = type(primitive) is ops.Delete and find_or_nothing(draft.root, primitive.path) is NOTHING
                draft.apply(index, primitive, origin=op)
                if type(primitive) not in _TESTS and not is_idle:
                    mapped.append(self._mapped(primitive))
        try:
            apply_delta(value, mapped, depth_max=_ANY_DEPTH)
        except DeltaFailed as error:
            raise self._refusal(self._named(mapped[error.op])) from None
        return mapped
