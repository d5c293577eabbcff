"""The chain of a stream's digests, where it is not kept whole: from the nearest place that knows it, link by link."""

from __future__ import annotations

from palimpsest.storage.contracts import Archive, Row
from palimpsest.storage.events import GENESIS, commitment, link


async def digest_at(archive: Archive, document: str, branch: str, version: int) -> bytes | None:
    """The stream's digest as of an archived version; None where the version is not kept. As much work as reading it."""
    stretch = await archive.load_version(document, branch, version)
    if stretch is None:
        for gap in await archive.gaps(document, branch):
            if gap.last == version:
                return gap.digest
        return None
    if stretch.snapshot is not None:
        digest, rows = stretch.snapshot.digest, stretch.rows[1:]
    else:
        digest, rows = await digest_before(archive, stretch.rows[0]), stretch.rows
    for row in rows:
        digest = link(digest, committed(row))
    return digest


async def digest_before(archive: Archive, row: Row) -> bytes:
    """The stream's digest before the first row after a gap, or before its very first."""
    event = row.event
    if event.version > 1:
        for gap in await archive.gaps(event.document, event.branch):
            if gap.last == event.version - 1:
                return gap.digest
    return GENESIS


def committed(row: Row) -> bytes:
    """What a row adds to its stream's chain."""
    return row.committed if row.committed is not None else commitment(row.salt, row.event)
