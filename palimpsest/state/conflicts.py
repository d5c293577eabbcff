"""Conflicts as data: two sides changed the same place, and neither is right by itself."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from palimpsest.state.paths import Path, format_path
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import thaw

Kind = Literal["edit/edit", "edit/delete", "delete/edit", "add/add", "type", "list"]


class _Undecided:
    def __repr__(self) -> str:
        return "CONFLICT"

    def __reduce__(self) -> str:
        return "CONFLICT"


CONFLICT: Final[Any] = _Undecided()
"""In place of a value: a conflict stays one."""


class Conflict(msgspec.Struct, frozen=True):
    """base, ours, theirs: what is at path in each, frozen or plain; NOTHING where there is nothing, which is not null.

    kind: both changed it; ours changed and theirs deleted it; the other way round; both added it; one side needs a container where
    the other has something else; a list whose elements cannot be told apart any more.
    """

    path: Path
    kind: Kind
    base: Any
    ours: Any
    theirs: Any


def to_data(conflict: Conflict) -> dict[str, Any]:
    """Plain JSON: `path` (written), `kind`, and `base`, `ours`, `theirs`, each left out where there is nothing."""
    sides = {"base": conflict.base, "ours": conflict.ours, "theirs": conflict.theirs}
    return {
        "path": format_path(conflict.path),
        "kind": conflict.kind,
        **{name: thaw(value) for name, value in sides.items() if value is not NOTHING},
    }
