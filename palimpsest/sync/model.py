"""The base class of models whose objects are stored in documents."""

from __future__ import annotations

from typing import Any, Self

from diffsync import DiffSyncModel

from palimpsest.sync.staging import Staging


class PalimpsestModel(DiffSyncModel):
    """A `DiffSyncModel` that tells its adapter when it is updated, also outside of a synchronization.

    What is stored of an object is what it declares in `_identifiers`, `_attributes` and `_children`, in the form that pydantic has for
    JSON. `create`, `update` and `delete` may be overridden as in DiffSync: where one raises or returns None, nothing of it is written.
    """

    def update_base(self, attrs: dict[str, Any]) -> Self | None:
        """As in DiffSync; these attributes are written with the adapter's next commit."""
        updated = super().update_base(attrs)
        staging = getattr(self.adapter, "_staging", None)  # the adapter may be any
        if isinstance(staging, Staging):
            staging.updated(self, attrs)
        return updated
