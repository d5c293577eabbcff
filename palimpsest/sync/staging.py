"""What has changed in an adapter since it was loaded, and is not written yet.

It is noted which objects changed, and in what; what that comes to is read off the objects themselves at the end. So the order in which
they changed does not matter, and what was changed back and forth is written once or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from diffsync import Adapter, DiffSyncModel
from msgspec.structs import replace

from palimpsest.sync.changes import GONE, Changed, Parts, Whole, attr_ops, children_ops
from palimpsest.sync.records import Key, dump, key_of, shape_of, to_record


class Touch(msgspec.Struct):
    """What is noted of one object."""

    existed: bool
    """It was there before the first change."""
    is_replaced: bool = False
    """It was removed or added: another object may be there under its key."""
    attrs: dict[str, None] = msgspec.field(default_factory=dict)
    """Names, in their order."""
    children: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """By modelname, the unique ids before the first change."""


class Staging:
    """Notes changes while it `is_open`: as long as what the adapter holds is what was loaded, and what has been noted since."""

    def __init__(self) -> None:
        self.is_open = False
        self._touched: dict[Key, Touch] = {}

    def __len__(self) -> int:
        return len(self._touched)

    def start(self) -> None:
        """What the adapter holds is what is written."""
        self.is_open = True
        self._touched.clear()

    def stop(self) -> None:
        """What is written is not known."""
        self.is_open = False
        self._touched.clear()

    def added(self, item: DiffSyncModel) -> None:
        self.replaced(item, existed=False)

    def replaced(self, item: DiffSyncModel, *, existed: bool) -> None:
        """existed: another object was there under its key."""
        if self.is_open:
            self._touch(key_of(item), existed=existed).is_replaced = True

    def removed(self, keys: Iterable[Key]) -> None:
        if self.is_open:
            for key in keys:
                self._touch(key, existed=True).is_replaced = True

    def updated(self, item: DiffSyncModel, attrs: Iterable[str]) -> None:
        if self.is_open:
            self._touch(key_of(item), existed=True).attrs.update(dict.fromkeys(attrs))

    def written(self, keys: Iterable[Key]) -> None:
        """There is nothing left to write of these."""
        for key in keys:
            self._touched.pop(key, None)

    def noted(self, key: Key) -> Touch | None:
        """A copy of what is noted of it, for `restore`."""
        found = self._touched.get(key)
        return None if found is None else replace(found, attrs=dict(found.attrs), children=dict(found.children))

    def restore(self, key: Key, noted: Touch | None) -> None:
        """What was noted since did not come about."""
        if noted is not None:
            self._touched[key] = noted
        else:
            self._touched.pop(key, None)

    def children(self, parent: DiffSyncModel, modelname: str) -> None:
        """The parent's children of that model are about to change."""
        field = parent.get_children_mapping().get(modelname)
        if field is not None and self.is_open:
            before = self._touch(key_of(parent), existed=True).children
            if modelname not in before:
                before[modelname] = list(getattr(parent, field))

    def changes(self, adapter: Adapter, loose: frozenset[Key] | set[Key]) -> dict[Key, Changed]:
        """What is to be written, as the adapter has it by now. loose: keys of records that lack parts, and are written whole."""
        found: dict[Key, Changed] = {}
        for key, touch in self._touched.items():
            item = adapter.get_or_none(*key)
            changed = _gone(touch) if item is None else _there(item, touch, key in loose)
            if changed is not None:
                found[key] = changed
        return found

    def _touch(self, key: Key, *, existed: bool) -> Touch:
        found = self._touched.get(key)
        if found is None:
            found = self._touched[key] = Touch(existed)
        return found


def _gone(touch: Touch) -> Changed | None:
    return GONE if touch.existed else None


def _there(item: DiffSyncModel, touch: Touch, is_loose: bool) -> Changed | None:
    if touch.is_replaced or is_loose:
        return Whole(to_record(item), is_new=not touch.existed)
    shape = shape_of(type(item))
    ops = attr_ops(dump(item, [name for name in touch.attrs if name in shape.attributes]))
    fields = dict(shape.children)
    for modelname, before in touch.children.items():
        ops += children_ops(modelname, before, getattr(item, fields[modelname]))
    return Parts(ops) if ops else None


def descendants(adapter: Adapter, item: DiffSyncModel) -> list[Key]:
    """The keys of its children, of theirs, and so on, as far as they are there."""
    found: list[Key] = []
    for modelname, field in item.get_children_mapping().items():
        for unique_id in getattr(item, field):
            child = adapter.get_or_none(modelname, unique_id)
            if child is not None:
                found += [(modelname, unique_id), *descendants(adapter, child)]
    return found
