"""What a synchronization does to stored objects, apart from where they are stored: by key, one of three things.

An object is made or replaced as a whole, or it goes, or some of its parts change. A layout says what that is in documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from palimpsest.state.diff import diff
from palimpsest.state.ops import Op, Set
from palimpsest.sync.records import ATTRS, CHILDREN, Key, Record


class Whole(msgspec.Struct, frozen=True):
    """The object is this record. is_new: there is none yet."""

    record: Record
    is_new: bool = True


class Gone(msgspec.Struct, frozen=True):
    """The object goes."""


class Parts(msgspec.Struct, frozen=True):
    """Some of it changes. ops: on its record; at least one."""

    ops: Sequence[Op]


Changed: TypeAlias = Whole | Gone | Parts
Changes: TypeAlias = Mapping[Key, Changed]
"""In the order in which they came about."""

GONE = Gone()


def attr_ops(values: Mapping[str, Any]) -> list[Op]:
    """One op for each attribute. values: in their JSON form."""
    return [Set((ATTRS, name), value) for name, value in values.items()]


def children_ops(modelname: str, before: Sequence[str], after: Sequence[str]) -> list[Op]:
    """What turns one list of unique ids into the other: appended and removed ones, for the most part."""
    place = (CHILDREN, modelname)
    return [replace(op, path=place + op.path) for op in diff(list(before), list(after))]  # type: ignore[union-attr, operator]
