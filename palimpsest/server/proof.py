"""Verifying a store by its path, whether it is served at the moment or not."""

from __future__ import annotations

import os
from collections.abc import Iterable

from palimpsest.actors.proof import Fault, Kept, Progress, Verdict, verify
from palimpsest.storage.sqlite_archive import SqliteArchive
from palimpsest.storage.sqlite_journal import SqliteJournal

__all__ = ["Fault", "Kept", "Verdict", "verify_store"]


async def verify_store(
    path: str | os.PathLike[str],
    *,
    against: Iterable[Kept] = (),
    progress: Progress | None = None,
    values: bool = True,
) -> Verdict:
    """Walks everything that the store at path holds, and changes nothing. against: digests that were kept elsewhere.

    values: every value is built, and held against the snapshots. progress: told (events done, events in all). Raises StorageError
    where there is no store that can be opened.
    """
    journal, archive = SqliteJournal(path, writer=False), SqliteArchive(path, writer=False)
    await journal.open()
    try:
        await archive.open(epoch=journal.epoch)
        try:
            return await verify(archive, journal, progress=progress, against=against, values=values)
        finally:
            await archive.close()
    finally:
        await journal.close()
