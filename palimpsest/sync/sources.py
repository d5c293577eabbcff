"""DiffSync adapters as systems outside that `client.reconcile` keeps documents in step with.

Snapshots and changes are made in a thread: adapters are blocking. What is stored of an object is what `palimpsest.sync` stores, so that a
document that is reconciled is one that a `PalimpsestAdapter` loads, and the other way round.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from diffsync import Adapter, DiffSyncModel
from diffsync.diff import Diff
from diffsync.enum import DiffSyncFlags

from palimpsest.errors import InvalidRequest
from palimpsest.logs import get_logger
from palimpsest.state.reconciliation import Row
from palimpsest.sync.layout import quoted, unquoted
from palimpsest.sync.records import ATTRS, CHILDREN, IDENTIFIERS, from_record, key_of, to_record

log = get_logger("palimpsest.sync")

Factory = Callable[[], Adapter]
"""Makes an adapter, which is loaded then, by its `load`."""


class AdapterSource:
    """An `Outside` of a DiffSync adapter. Changes are made by its models' `create`, `update` and `delete`, and each batch of them ends with
    the adapter's `sync_complete`.

        client.reconcile.bind("netbox", AdapterSource(make_adapter))

    An adapter is made anew for each snapshot; the one before it is closed then, if it has a `close`. A hook that raises, or returns None, has
    failed. The lists of children are sorted.
    """

    def __init__(self, factory: Factory, *, documents: str = "") -> None:
        """documents: of the source, where there is one for each object; it ends in `/**`."""
        self._factory = factory
        self._prefix = documents.removesuffix("**") if documents.endswith("/**") else ""
        self._adapter: Adapter | None = None

    async def snapshot(self) -> dict[str, Any]:
        """Raises what the adapter raises, and InvalidValue where a field has no JSON form."""
        return await asyncio.to_thread(self._snapshot)

    async def apply(self, rows: Sequence[Row]) -> list[str | None]:
        """As `Outside.apply`. It changes the adapter of the last snapshot."""
        return await asyncio.to_thread(self._apply, rows)

    def close(self) -> None:
        """Closes the adapter of the last snapshot, if it has a `close`."""
        adapter, self._adapter = self._adapter, None
        close = getattr(adapter, "close", None)
        if callable(close):
            close()

    # --- in a thread ---------------------------------------------------------------------------------------------------

    def _snapshot(self) -> dict[str, Any]:
        self.close()
        self._adapter = self._load()
        models: dict[str, dict[str, Any]] = {}
        for model in sorted(self._adapter.store.get_all_model_names()):
            models[model] = {item.get_unique_id(): _record(item) for item in self._adapter.get_all(model)}
        if not self._prefix:
            return models
        return {
            f"{self._prefix}{model}/{quoted(unique_id)}": record
            for model, records in models.items()
            for unique_id, record in records.items()
        }

    def _load(self) -> Adapter:
        adapter = self._factory()
        if not isinstance(adapter, Adapter):
            raise InvalidRequest(f"a factory makes an Adapter, not a {type(adapter).__name__}", reason="adapter")
        adapter.load()
        return adapter

    def _apply(self, rows: Sequence[Row]) -> list[str | None]:
        if self._adapter is None:
            self._adapter = self._load()
        adapter = self._adapter
        failures = [self._try(adapter, row) for row in rows]
        try:
            adapter.sync_complete(adapter, Diff(), DiffSyncFlags.NONE)
        except Exception as error:  # an adapter may raise anything; the run goes on, and says so
            log.exception("sync_complete_failed", adapter=type(adapter).__name__)
            return [failure or _message(error) for failure in failures]
        return failures

    def _try(self, adapter: Adapter, row: Row) -> str | None:
        try:
            done = self._do(adapter, row)
        except Exception as error:
            return _message(error)
        return None if done else f"{row.action} returned nothing"

    def _do(self, adapter: Adapter, row: Row) -> bool:
        unique_id = unquoted(row.id) if self._prefix else row.id
        found = adapter.get_or_none(row.model, unique_id)
        if row.action == "delete":
            return found is None or _delete(adapter, found)
        if found is None:
            return _create(adapter, row)
        return _update(adapter, found, row)


def load_factory(place: str) -> Factory:
    """place: `module:function`. Raises InvalidRequest where there is none."""
    module, colon, name = place.partition(":")
    if not colon or not module or not name:
        raise InvalidRequest(f"{place!r}: a factory is named as module:function", reason="adapter")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidRequest(f"{place!r}: {error}", reason="adapter") from error
    if not callable(found):
        raise InvalidRequest(f"{place!r} is no function", reason="adapter")
    return found  # type: ignore[no-any-return]


def _record(item: DiffSyncModel) -> dict[str, Any]:
    record = to_record(item)
    if CHILDREN in record:
        record[CHILDREN] = {model: sorted(children) for model, children in record[CHILDREN].items()}
    return record


def _create(adapter: Adapter, row: Row) -> bool:
    model = getattr(adapter, row.model, None)
    if not isinstance(model, type) or not issubclass(model, DiffSyncModel):
        raise InvalidRequest(f"the adapter has no model {row.model!r}", reason="model")
    values = from_record(model, row.after)
    attrs = {name: getattr(values, name) for name in row.after.get(ATTRS, {})}
    ids = {name: getattr(values, name) for name in row.after.get(IDENTIFIERS, {})}
    made = model.create(adapter, ids, attrs)
    if made is None:
        return False
    if adapter.get_or_none(*key_of(made)) is None:
        adapter.add(made)
    _adopt(made, row)
    return True


def _update(adapter: Adapter, item: DiffSyncModel, row: Row) -> bool:
    before = _record(item).get(ATTRS, {})
    values = from_record(type(item), row.after)
    after = row.after.get(ATTRS, {})
    changed = {name: getattr(values, name) for name in after if name not in before or before[name] != after[name]}
    if changed and item.update(changed) is None:
        return False
    _adopt(item, row)
    return True


def _delete(adapter: Adapter, item: DiffSyncModel) -> bool:
    if item.delete() is None:
        return False
    if adapter.get_or_none(*key_of(item)) is not None:
        adapter.remove(item)
    return True


def _adopt(item: DiffSyncModel, row: Row) -> None:
    """Its lists of children become those of the row. The children are objects of rows of their own."""
    for model, wanted in row.after.get(CHILDREN, {}).items():
        field = item.get_children_mapping().get(model)
        if field is not None:
            getattr(item, field)[:] = wanted


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
