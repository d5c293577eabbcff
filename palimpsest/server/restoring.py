"""Making a store of a backup. The server is not running: it comes to life when the store is served."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from palimpsest.storage.backup import RestoreSummary, restore

__all__ = ["RestoreSummary", "restore_store"]


def restore_store(
    backup: str | os.PathLike[str],
    store: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> RestoreSummary:
    """Makes the store of what `back_up` wrote into the directory `backup`, whole or not at all.

    store: its file, which must not exist. It gets an epoch of its own, so that cursors from before are refused. progress: told
    bytes done and in all. Raises StorageError where the directory is no backup, or is damaged, or the store exists.
    """
    return restore(Path(backup), Path(store), progress=progress or _untold)


def _untold(done: int, total: int) -> None:
    """Nobody wants to know."""
