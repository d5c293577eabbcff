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
        return source[0]

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
        places: list[Path] = []
        for index, op in enumerate(delta):
            for primitive in self._compiled(draft, index, op):
                if primitive is not op:
                    self._check(primitive)
                is_idle = isinstance(primitive, ops.Delete) and _is_nothing(draft, primitive.path)
                draft.apply(index, primitive, origin=op)
                if not is_idle and not isinstance(primitive, (ops.Test, ops.Absent)):
                    mapped.append(self._mapped(primitive))
                    places.append(_path(primitive))
        try:
            apply_delta(value, mapped, depth_max=_ANY_DEPTH)
        except DeltaFailed as error:
            raise self._refusal(format_path(places[error.op])) from None
        return mapped

    # --- by the definition alone --------------------------------------------------------------------------------------

    def _check(self, op: Op) -> None:
        """Raises NotWritable unless op may be written, as far as the definition tells."""
        if isinstance(op, (ops.Test, ops.Absent)):
            return
        if isinstance(op, ops.MergePatch):
            for _ in self._parts(op.value, ()):
                pass
        elif isinstance(op, ops.JsonPatch):
            self._check_operation(op)
        elif isinstance(op, (ops.Move, ops.Copy)):
            self._check_arrival(op.path)
            if isinstance(op, ops.Move):
                self._check_arrival(op.source)
            elif self._whole(op.source) is None:
                raise self._refusal(format_path(op.source))
        elif isinstance(op, ops.Erase):
            raise self._refusal(format_path(op.path))
        else:
            self.source(op.path)

    def _check_arrival(self, path: Path) -> None:
        """What goes into a list or out of it changes the list."""
        if path and type(path[-1]) is int:
            self.source(path[:-1])
        self.source(path)

    def _check_operation(self, op: ops.JsonPatch) -> None:
        """What its tokens mean is for the view to say; there has to be a meaning with which it may be written."""
        if op.op == "test":
            return
        if not any(map(self._writable, _readings(op.path))):
            raise self._refusal(op.path)
        if op.source is not None:
            may = self._whole if op.op == "copy" else self._writable
            if not any(map(may, _readings(op.source))):
                raise self._refusal(op.source)

    def _writable(self, path: Path) -> tuple[Path] | None:
        """Where the document has it, boxed; None where it cannot be written."""
        source = self._whole(path)
        return source if source is not None and self._is_open(source[0]) else None

    def _whole(self, path: Path) -> tuple[Path] | None:
        """Where the document has it, boxed, if the view shows all of it as it is; else None."""
        place, source = self._root, []
        for step in path:
            own = step if place.is_whole else place.source(step)
            if own is None or place is HIDDEN:
                return None
            source.append(own)
            place = WHOLE if place.is_whole else place.at(own)
        return (tuple(source),) if place.is_whole else None

    def _is_open(self, source: Path) -> bool:
        return any(
            len(pattern) <= len(source) and all(a in (ANY, b) for a, b in zip(pattern, source, strict=False))
            for pattern in self._patterns
        )

    def _parts(self, patch: Any, path: Path) -> Iterator[tuple[Path, Any]]:
        """A merge patch, in parts for places that may be written. Raises NotWritable for one that is for no such place."""
        if self._writable(path) is not None:
            yield path, patch
        elif type(patch) in MAPS and (patch or not path):
            for key, part in as_dict(patch).items():
                yield from self._parts(part, (*path, key))
        else:
            raise self._refusal(format_path(path))

    # --- with the view ------------------------------------------------------------------------------------------------

    def _compiled(self, draft: Draft, index: int, op: Op) -> list[Op]:
        """op, or what a patch comes to on the view as it is now. Raises DeltaFailed or InvalidDelta."""
        if isinstance(op, ops.JsonPatch):
            try:
                return json_patch.compile_op(op, draft.fold(), index)
            except Misfit as misfit:
                raise failure(index, op, misfit) from None
        if isinstance(op, ops.MergePatch):
            view = draft.fold()
            return [made for path, part in self._parts(op.value, ()) for made in _merged(path, part, view)]
        return [op]

    def _mapped(self, op: Op) -> Op:
        """op, which may be written, in the document's words."""
        path = self._own(_path(op))
        if isinstance(op, (ops.Move, ops.Copy)):
            return replace(op, path=path, source=self._own(op.source))
        return replace(op, path=path)

    def _own(self, path: Path) -> Path:
        found = self._whole(path)
        assert found is not None, "it was checked"
        return found[0]

    def _made(self, place: Place, value: Any, source: Path, path: Path) -> Any:
        """The value that a document is to have, whose view will have `value` at path: all that is in it is to be writable."""
        if place.is_whole and self._is_open(source):
            return value
        kind = type(value)
        is_list = kind in LISTS
        if kind in MAPS and value:
            return {
                own: self._made(inside, item, (*source, own), (*path, key))
                for key, item in as_dict(value).items()
                for own, inside in [self._inside(place, key, path)]
            }
        if is_list and value:
            other = self._inside(place, 0, path)[1]
            return [self._made(other, item, (*source, at), (*path, at)) for at, item in enumerate(value)]
        if kind in MAPS and not path and self._patterns and place.mask is None:
            return value  # a document of which nothing is shown yet
        if place.included and self._is_open(source) and not (is_list and place.other.is_hidden):
            return value
        raise self._refusal(format_path(path))

    def _inside(self, place: Place, key: str | int, path: Path) -> tuple[str | int, Place]:
        own = key if place.is_whole else place.source(key)
        inside = HIDDEN if own is None else WHOLE if place.is_whole else place.at(own)
        if own is None or inside.is_hidden:
            raise self._refusal(format_path((*path, key)))
        return own, inside

    def _refusal(self, path: str) -> NotWritable:
        """path: as it was given."""
        where = f"`{path}`" if path else "the root"
        reason = f"{where} cannot be written through the perspective {self._name!r}"
        return NotWritable(reason, action="write", document="", perspective=self._name, path=path)


def _merged(path: Path, part: Any, view: Any) -> list[Op]:
    """The ops that merge part into what the view has at path."""
    there = find_or_nothing(view, path)
    if part is None and path:
        return [ops.Delete(path)] if there is not NOTHING else []
    made, _ = merge_patch.compile_patch(part, there)
    return [replace(op, path=(*path, *_path(op))) for op in made]


def _path(op: Any) -> Path:
    """Of an op that is compiled."""
    return op.path  # type: ignore[no-any-return]


def _readings(pointer: str) -> list[Path]:
    """What a JSON Pointer may mean: digits as keys, and as indexes. The end of a list is as good as any index."""
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    return [tuple(tokens), tuple(0 if token == "-" or token.isdecimal() else token for token in tokens)]


def _is_nothing(draft: Draft, path: Path) -> bool:
    draft.close()
    try:
        draft.find(path)
    except Misfit:
        return True
    return False
