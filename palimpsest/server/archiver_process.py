"""The archiver, as a process of its own beside a busy server. See `archiving` for how the two speak."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence

from palimpsest.actors.archiver import STEP_BYTES, Archiver, is_large, pause_seconds
from palimpsest.errors import CommitFailed, PalimpsestError
from palimpsest.storage.events import Batch
from palimpsest.storage.sqlite_archive import SqliteArchive
from palimpsest.storage.sqlite_journal import SqliteJournal

_NICENESS = 10


async def _archive(path: str, snapshot_versions: int) -> None:
    journal = SqliteJournal(path, writer=False)
    archive = SqliteArchive(path)
    await journal.open()
    try:
        position = (await archive.open(epoch=journal.epoch)).next
        archiver = Archiver(archive, snapshot_versions=snapshot_versions)
        lines = await _standard_input()
        while await _tidy_until_told(archiver, lines):
            behind = True
            while behind and (batches := await journal.read(position, bytes_max=STEP_BYTES)):
                started = time.monotonic()
                position = await archiver.write(batches)
                os.write(sys.stdout.fileno(), f"archived {position}\n".encode())
                behind = is_large(batches)
                if behind:
                    await _tidy(archiver)  # a piece of it, so that space comes back under load as well
                    await asyncio.sleep(pause_seconds(time.monotonic() - started, await _lag_bytes(journal, batches)))
    finally:
        await archive.close()
        await journal.close()


async def _tidy_until_told(archiver: Archiver, lines: asyncio.StreamReader) -> bytes:
    """The next line, once there is one; meanwhile, what there is to tidy up is, piece by piece."""
    told = asyncio.ensure_future(lines.readline())
    untidy = True
    while untidy and not told.done():
        started = time.monotonic()
        untidy = await _tidy(archiver)
        if untidy:
            await asyncio.wait([told], timeout=pause_seconds(time.monotonic() - started, 0))
    return await told


async def _tidy(archiver: Archiver) -> bool:
    """Does a piece; whether there may be more to do."""
    try:
        return await archiver.tidy()
    except CommitFailed as error:
        print(f"archiver: {error}", file=sys.stderr)
        return False


async def _lag_bytes(journal: SqliteJournal, batches: Sequence[Batch]) -> int:
    """What the journal has behind batches, going by their size."""
    last = batches[-1]
    events = sum(batch.count for batch in batches)
    lag = (await journal.end()).next - last.position - last.count
    return lag * sum(len(batch.body) for batch in batches) // events


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def main() -> None:
    parser = argparse.ArgumentParser(description="Archives the journal of a store; started by the server.")
    parser.add_argument("path")
    parser.add_argument("snapshot_versions", type=int)
    arguments = parser.parse_args()
    os.nice(_NICENESS)
    try:
        asyncio.run(_archive(arguments.path, arguments.snapshot_versions))
    except BrokenPipeError:
        sys.exit("archiver: its server is gone")
    except PalimpsestError as error:
        sys.exit(f"archiver: {error}")


if __name__ == "__main__":
    main()
