"""A diff as changes, without any hook: nothing in the target is created, updated or deleted for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from diffsync import Adapter, DiffSyncModel
from diffsync.diff import Diff, DiffElement
from diffsync.enum import DiffSyncActions, DiffSyncModelFlags

from palimpsest.sync.changes import GONE, Changed, Parts, Whole, attr_ops, children_ops
from palimpsest.sync.records import ATTRS, CHILDREN, Key, Record, dump, to_record
from palimpsest.sync.staging import descendants


def compile_diff(diff: Diff, target: Adapter, loose: Iterable[Key] = ()) -> dict[Key, Changed]:
    """What a synchronization of diff into target comes to where every hook does what DiffSync's own does. loose: keys of records that lack
    parts, and are written whole where anything of them changes.

    Raises InvalidValue where a value has no JSON form.
    """
    compiling = _Compiling(target, frozenset(loose))
    for element in diff.get_children():
        compiling.take(element)
    return compiling.found


class _Compiling:
    def __init__(self, target: Adapter, loose: frozenset[Key]) -> None:
        self.found: dict[Key, Changed] = {}
        self._target = target
        self._loose = loose

    def take(self, element: DiffElement) -> None:
        model: type[DiffSyncModel] = getattr(self._target, element.type)
        key = element.type, model.create_unique_id(**element.keys)
        if element.action == DiffSyncActions.DELETE:
            self._delete(key, element)
            return
        children = list(element.get_children())
        if element.action == DiffSyncActions.CREATE:
            self.found[key] = Whole(_new_record(model, element, self._ids(children)))
        else:
            self._update(key, element.get_attrs_diffs().get("+", {}), children)
        for child in children:
            self.take(child)

    def _update(self, key: Key, values: dict[str, Any], children: list[DiffElement]) -> None:
        item = self._target.get(*key)
        attrs = dump(item.model_copy(update=values), values)
        ops = attr_ops(attrs)
        after = {name: list(getattr(item, field)) for name, field in item.get_children_mapping().items()}
        for name, added in self._ids([child for child in children if child.action == DiffSyncActions.CREATE]).items():
            after[name] += added
        for name, gone in self._ids([child for child in children if child.action == DiffSyncActions.DELETE]).items():
            lost = set(gone)
            after[name] = [unique_id for unique_id in after[name] if unique_id not in lost]
        for name, unique_ids in after.items():
            ops += children_ops(name, getattr(item, item.get_children_mapping()[name]), unique_ids)
        if ops and key in self._loose:
            self.found[key] = Whole(_whole_record(item, attrs, after), is_new=False)
        elif ops:
            self.found[key] = Parts(ops)

    def _delete(self, key: Key, element: DiffElement) -> None:
        self.found[key] = GONE
        item = self._target.get_or_none(*key)
        if item is not None and item.model_flags & DiffSyncModelFlags.SKIP_CHILDREN_ON_DELETE:
            self.found.update(dict.fromkeys(descendants(self._target, item), GONE))
            return
        for child in element.get_children():
            self.take(child)

    def _ids(self, elements: Iterable[DiffElement]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for element in elements:
            model: type[DiffSyncModel] = getattr(self._target, element.type)
            found.setdefault(element.type, []).append(model.create_unique_id(**element.keys))
        return found


def _new_record(model: type[DiffSyncModel], element: DiffElement, children: dict[str, list[str]]) -> Record:
    """As of the object that DiffSync's own hook makes, with the model's defaults."""
    record = to_record(model(**element.keys, **element.get_attrs_diffs().get("+", {})))
    if children:
        record[CHILDREN] |= children
    return record


def _whole_record(item: DiffSyncModel, attrs: dict[str, Any], children: dict[str, list[str]]) -> Record:
    record = to_record(item)
    record[ATTRS] |= attrs
    if children:
        record[CHILDREN] |= children
    return record
