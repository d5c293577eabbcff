"""The archive in SQLite: one row per event, keyed by its place in the journal, with an index of each stream's versions.

A row keeps as columns what is searched by and what proves the event; its delta, like the value of a snapshot, is compressed where
that gains something. Client ids, which every request of a client repeats, are kept once. `archive_schema` has the tables,
`archive_rows` what is in a row, and `archive_reads`, `archive_gaps`, `archive_sizes` and `archive_writes` what is done with them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from palimpsest.errors import StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage import archive_reads, archive_sizes, archive_writes
from palimpsest.storage.archive_checks import find_contradictions
from palimpsest.storage.archive_rows import SNAPSHOT_FORMAT
from palimpsest.storage.archive_schema import SCHEMA
from palimpsest.storage.contracts import ArchiveEnd, Gap, Head, Row, Snapshot, Step, Stream, Stretch, Usage
from palimpsest.storage.sqlite import INTEGER_MAX, Database, Settings, to_the_end

__all__ = ["SCHEMA", "SqliteArchive", "archive_path"]

_PIECE_VERSIONS = 10_000
"""Looked at in one go where something is added up, so that other reads find their turn: some 20 ms."""


class SqliteArchive:
    """An Archive in the file `path`.archive, where path names the store; `path`.archive.lock beside it says who writes."""

    def __init__(self, path: str | os.PathLike[str], *, writer: bool = True, busy_seconds: float = 1.0) -> None:
        """path: the store's, as for the journal. writer: False for a process that reads what another one writes."""
        self._path = archive_path(path)
        self._writer = writer
        self._settings = Settings(
            cache_bytes=32 * 1024 * 1024,
            wal_bytes=0,
            busy_seconds=busy_seconds,
        )
        self._open: Database | None = None

    async def open(self, *, epoch: str) -> ArchiveEnd:
        """Beyond the contract: with writer=False, raises StorageError where no writer has made the file yet."""
        if self._open is not None:
            raise StoreLocked(f"{self._path} is open already", path=str(self._path))
        try:
            return await to_the_end(self._start(epoch))
        except BaseException:
            await self.close()
            raise

    async def _start(self, epoch: str) -> ArchiveEnd:
        database = Database(self._path, SCHEMA, self._settings, writer=self._writer)
        await database.open()
        self._open = database
        if self._writer:
            await database.transact(lambda raw: archive_writes.take_epoch(raw, epoch))
        found = await database.read(archive_reads.read_epoch)
        if found != epoch:
            reason = f"the archive is that of journal {found}, and not of {epoch}"
            raise StoreCorrupt(f"{self._path}: {reason}", path=str(self._path), reason=reason)
        return await database.read(archive_reads.read_end)

    async def end(self) -> ArchiveEnd:
        return await self._database().read(archive_reads.read_end)

    async def write(self, step: Step) -> None:
        await self._database().transact(lambda raw: archive_writes.write_step(raw, step, str(self._path)))

    # --- one stream ----------------------------------------------------------------------------------------------

    async def heads(self, streams: Sequence[Stream]) -> list[Head | None]:
        return await self._database().read(lambda raw: [archive_reads.get_head(raw, stream)[1] for stream in streams])

    async def load(self, streams: Sequence[Stream]) -> list[Stretch | None]:
        return await self._database().read(
            lambda raw: [archive_reads.get_stretch(raw, stream, None) for stream in streams]
        )

    async def load_version(self, document: str, branch: str, version: int) -> Stretch | None:
        return await self._database().read(lambda raw: archive_reads.get_stretch(raw, (document, branch), version))

    async def history(
        self, document: str, branch: str, *, first: int, last: int, newest_first: bool, limit: int
    ) -> list[Row]:
        return await self._database().read(
            lambda raw: archive_reads.get_history(raw, (document, branch), first, last, newest_first, limit)
        )

    async def find_time(self, document: str, branch: str, at: int) -> Row | None:
        return await self._database().read(lambda raw: archive_reads.get_time(raw, (document, branch), at))

    async def find_tag(self, document: str, branch: str, tag: str, *, last: int) -> int | None:
        return await self._database().read(lambda raw: archive_reads.get_tag(raw, (document, branch), tag, last))

    async def tagged(self, document: str, branch: str, *, last: int) -> list[tuple[int, tuple[str, ...]]]:
        return await self._database().read(lambda raw: archive_reads.get_tagged(raw, (document, branch), last))

    async def gaps(self, document: str, branch: str) -> list[Gap]:
        return await self._database().read(lambda raw: archive_reads.get_gaps(raw, (document, branch)))

    async def find_request(
        self, document: str, branch: str, *, origin: str, request: int, key: str | None
    ) -> Row | None:
        stream = (document, branch)
        return await self._database().read(lambda raw: archive_reads.get_request(raw, stream, origin, request, key))

    async def snapshots(self, document: str, branch: str, *, first: int, limit: int) -> list[Snapshot]:
        return await self._database().read(
            lambda raw: archive_reads.get_snapshots(raw, (document, branch), first, limit)
        )

    # --- many streams --------------------------------------------------------------------------------------------

    async def read(self, position: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        return await self._database().read(lambda raw: archive_reads.get_positions(raw, position, rows_max, bytes_max))

    async def names(self, branch: str, *, prefix: str, after: str, limit: int) -> list[Head]:
        return await self._database().read(lambda raw: archive_reads.get_names(raw, branch, prefix, after, limit))

    async def walk(self, after: Stream | None, *, limit: int) -> list[Head]:
        return await self._database().read(lambda raw: archive_reads.get_walk(raw, after, limit))

    async def usage(self, branch: str, *, prefix: str, after: str, limit: int) -> list[Usage]:
        return await self._database().read(lambda raw: archive_reads.get_usage(raw, branch, prefix, after, limit))

    async def compacted(self, branch: str, *, prefix: str, position: int) -> list[tuple[str, int]]:
        return await self._database().read(lambda raw: archive_reads.get_compacted(raw, branch, prefix, position))

    async def weigh(self, document: str, branch: str, *, first: int, last: int) -> tuple[int, int]:
        """Piece by piece: what is written meanwhile may be counted or not."""
        events = size = 0
        start: int | None = first
        while start is not None:
            some, some_bytes, start = await self._weigh_piece((document, branch), start, last)
            events, size = events + some, size + some_bytes
        return events, size

    async def _weigh_piece(self, stream: Stream, first: int, last: int) -> tuple[int, int, int | None]:
        return await self._database().read(
            lambda raw: archive_sizes.weigh_piece(raw, stream, first, last, _PIECE_VERSIONS)
        )

    async def reach(self, document: str, branch: str, *, bytes_max: int) -> int:
        """Piece by piece, as `weigh`."""
        reached = 0
        newest, last = True, INTEGER_MAX
        while True:
            found = await self._reach_piece((document, branch), last, bytes_max, newest)
            reached = found.version or reached
            if not found.goes_on:
                return reached
            newest, last, bytes_max = False, reached - 1, bytes_max - found.bytes

    async def _reach_piece(self, stream: Stream, last: int, bytes_max: int, newest: bool) -> archive_sizes.Reached:
        return await self._database().read(
            lambda raw: archive_sizes.reach_piece(raw, stream, last, bytes_max, newest, _PIECE_VERSIONS)
        )

    # --- keeping house -------------------------------------------------------------------------------------------

    async def sweep(self, *, rows_max: int) -> int:
        return await self._database().transact(lambda raw: archive_writes.sweep(raw, rows_max))

    async def shrink(self, *, bytes_max: int) -> int:
        return await self._database().shrink(bytes_max)

    async def scrub(self) -> None:
        await self._database().scrub()

    async def inspect_snapshots(self, after: int, *, limit: int) -> tuple[int, list[tuple[str, str, int]]]:
        return await self._database().read(
            lambda raw: archive_reads.inspect_snapshots(raw, after, limit, SNAPSHOT_FORMAT)
        )

    async def check(self) -> list[str]:
        """What SQLite finds wrong with the file and its indexes, and where the tables contradict each other. Reads all of it."""
        database = self._database()
        return [*await database.check(), *await database.read(find_contradictions)]

    async def close(self) -> None:
        database, self._open = self._open, None
        if database is not None:
            await to_the_end(database.close())

    def _database(self) -> Database:
        if self._open is None:
            raise StorageError(f"{self._path} is not open")
        return self._open


def archive_path(store: str | os.PathLike[str]) -> Path:
    """Where the archive of a store is."""
    path = Path(store)
    return path.with_name(path.name + ".archive")
