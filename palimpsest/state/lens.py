"""A perspective at work: what it shows of a value, whether a delta can change that, and what is written through it.

Everything here is decided by the value and by the definition; where the value may not be learnt from an answer, by the definition alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from palimpsest.state.concerning import concerns
from palimpsest.state.masks import masking
from palimpsest.state.names import Pattern
from palimpsest.state.ops import Op
from palimpsest.state.outline import Place
from palimpsest.state.paths import Path, parse_path
from palimpsest.state.perspectives import Perspective, Resolved, outlined, resolve
from palimpsest.state.projection import EMPTY, add, project
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import FROZEN_MAP, Value, encode_value
from palimpsest.state.writing import Writer

_Said = TypeVar("_Said")


def make_lens(perspectives: Mapping[str, Perspective], name: str, level: int | None = None) -> Lens:
    """The lens of the perspective `name`; with a level, of that level of the family `name`.

    Raises PerspectiveNotFound, or InvalidPerspective where what is there does not make sense, as `check_perspectives` would say.
    """
    return Lens(resolve(perspectives, name, level))


class Lens:
    """name, level: as they were asked for. reads, writes: who may, by role; anybody, where there are none."""

    def __init__(self, resolved: Resolved) -> None:
        """Raises InvalidPerspective."""
        self.name = resolved.name
        self.level = resolved.level
        self.reads = resolved.read
        self.writes = resolved.write
        self.digest = _digest(resolved)
        """16 hex digits: of everything that decides what is shown."""
        self._patterns = [Pattern.parse(text) for text in resolved.documents]
        self._root, self._computed = outlined(resolved, masking)
        self._writer = Writer(self.name, self._root, [parse_path(path) for path in resolved.writable])

    def is_for(self, document: str) -> bool:
        """document: a name that is well formed."""
        return any(pattern.matches(document) for pattern in self._patterns)

    # --- what is seen ------------------------------------------------------------------------------------------------

    def view(self, value: Value) -> Any:
        """What is shown of value, which is frozen, as is the view; what is shown whole is shared. A map of which nothing is shown is
        an empty one at the root; NOTHING for any other value of which nothing is."""
        view = project(self._root, value)
        if view is NOTHING and type(value) is FROZEN_MAP:
            view = EMPTY
        if self._computed and type(view) is FROZEN_MAP:
            for place, expression in self._computed:
                result = expression.evaluate(value)
                if result is not None:
                    view = add(view, place, result)
        return view

    def concerns(self, delta: Iterable[Op]) -> bool:
        """Whether the view may be another one after delta. Never a false no; a yes does not say that it is another."""
        return concerns(self._root, delta)

    def place(self, path: Path) -> Path | None:
        """Where the view has what is at path in the document; None where it cannot be shown."""
        found = self._follow(path)
        return None if found is None else found[0]

    def blamed(self, paths: Iterable[tuple[Path, _Said]]) -> list[tuple[Path, _Said]]:
        """Of leaves of the document, each with what is said of it, those that are shown as they are, in the view's words. What is
        masked or computed is not among them: when it was last set is not shown either."""
        found = [(self._follow(path), said) for path, said in paths]
        return [(place[0], said) for place, said in found if place is not None and place[1].included]

    # --- what is written ----------------------------------------------------------------------------------------------

    def source(self, path: Path) -> Path:
        """Where the document has what the view has at path. Raises NotWritable where that cannot be written."""
        return self._writer.source(path)

    def written(self, value: Any, delta: Sequence[Op]) -> list[Op]:
        """What delta, which is in the view's words, is on the document.

        value: of the document, frozen; NOTHING where it is to be made, by the one op of delta, which sets the root. delta: has passed
        the door. What comes back has no tests, and applies to value. Raises what delta raises on the view (DeltaFailed, TestFailed,
        InvalidDelta, LimitExceeded); NotWritable, which comes before all of these, unless only the view can tell what an op
        of a patch means, and where something that is not shown is in the way.
        """
        if value is NOTHING:
            return self._writer.created(delta)
        view = self.view(value)
        return self._writer.written(None if view is NOTHING else view, value, delta)  # as it is shown

    def _follow(self, path: Path) -> tuple[Path, Place] | None:
        """path in the view's words, and its place."""
        place, found = self._root, []
        for step in path:
            if place.is_whole:
                found.append(step)
                continue
            found.append(place.names.get(step, step) if type(step) is str else step)
            place = place.at(step)
            if place.is_hidden:
                return None
        return tuple(found), place


def _digest(resolved: Resolved) -> str:
    layers = [
        (
            sorted(each.include),
            sorted(each.exclude),
            {path: msgspec.to_builtins(mask) for path, mask in each.mask.items()},
        )
        for each in resolved.layers
    ]
    said = [list(resolved.documents), layers, dict(resolved.rename), dict(resolved.compute)]
    return hashlib.sha256(encode_value(said)).hexdigest()[:16]
