"""What came of a synchronization."""

from __future__ import annotations

import msgspec

from palimpsest.errors import UsageError

CREATE, UPDATE, DELETE, NO_CHANGE = "create", "update", "delete", "no-change"


class Failure(msgspec.Struct, frozen=True):
    """A model's hook that raised, or returned None. model: its name; id: the object's unique id; action: `create`, `update` or `delete`."""

    model: str
    id: str
    action: str
    message: str


class SyncResult(msgspec.Struct):
    """version: what was made, with one document; versions: by document, the versions that were made. None and empty where nothing had to
    be written. summary: how many objects were created, updated and deleted, and how many there was nothing to do for, under the names
    that DiffSync has for it. failures are not counted there."""

    version: int | None = None
    versions: dict[str, int] = msgspec.field(default_factory=dict)
    summary: dict[str, int] = msgspec.field(
        default_factory=lambda: dict.fromkeys((CREATE, UPDATE, DELETE, NO_CHANGE), 0)
    )
    failures: list[Failure] = msgspec.field(default_factory=list)


class NotAttached(UsageError):
    """The adapter has no document to load from or to write to."""

    code = "not_attached"
