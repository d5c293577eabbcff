"""DiffSync's walk through a diff, with a note of what came of each object."""

from __future__ import annotations

from typing import Any

from diffsync import DiffSyncModel
from diffsync.diff import DiffElement
from diffsync.enum import DiffSyncActions, DiffSyncStatus
from diffsync.exceptions import ObjectCrudException
from diffsync.helpers import DiffSyncSyncer

from palimpsest.sync.results import NO_CHANGE, Failure, SyncResult
from palimpsest.sync.staging import Staging


class StagingSyncer(DiffSyncSyncer):
    """Which objects are added and removed, the adapter sees for itself. This sees the rest: updates, children that a parent gains and
    loses, and what failed."""

    def __init__(self, *, staging: Staging, **named: Any) -> None:
        super().__init__(**named)
        self.result = SyncResult()
        self._staging = staging
        self._message = ""

    def sync_diff_element(self, element: DiffElement, parent_model: DiffSyncModel | None = None) -> bool:
        if parent_model is not None and element.action in (DiffSyncActions.CREATE, DiffSyncActions.DELETE):
            self._staging.children(parent_model, element.type)
        return super().sync_diff_element(element, parent_model)

    def sync_model(
        self,
        src_model: DiffSyncModel | None,
        dst_model: DiffSyncModel | None,
        ids: dict[str, Any],
        attrs: dict[str, Any],
    ) -> tuple[bool, DiffSyncModel | None]:
        action = self.action
        if action is None:
            self.result.summary[NO_CHANGE] += 1
            return super().sync_model(src_model, dst_model, ids, attrs)
        key = self.model_class.get_type(), self.model_class.create_unique_id(**ids)
        noted = self._staging.noted(key)
        try:
            changed, model = super().sync_model(src_model, dst_model, ids, attrs)
        except ObjectCrudException as error:
            self._staging.restore(key, noted)
            self.result.failures.append(Failure(*key, action, str(error)))
            raise
        if model is None:
            self._staging.restore(key, noted)
            self.result.failures.append(Failure(*key, action, self._message))
            return changed, model
        self.result.summary[action] += 1
        if action == DiffSyncActions.UPDATE:
            self._staging.updated(model, attrs)
        return changed, model

    def log_sync_status(self, action: str | None, status: DiffSyncStatus, message: str) -> None:
        self._message = message
        super().log_sync_status(action, status, message)
