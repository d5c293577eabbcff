"""Tidying on disk: what was pruned gives its space back, and snapshots that are damaged are made anew."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from archive_kit import EPOCH, Past, archived, read

from palimpsest.actors.archiver import Archiver
from palimpsest.storage.checking import check_archive
from palimpsest.storage.sqlite_archive import SqliteArchive, archive_path
from palimpsest.words import MAIN

pytestmark = pytest.mark.anyio
DOC = ("doc", MAIN)


def grown(versions: int) -> Past:
    past = Past()
    past.create("doc", {"n": 1})
    for version in range(2, versions + 1):
        past.set("doc", "n", version)
    return past


async def stored(past: Past, path: Path) -> None:
    archive = await archived(past.batches([10] * 99), archive=SqliteArchive(path))
    await archive.close()


def damage(path: Path, *versions: int) -> None:
    raw = sqlite3.connect(archive_path(path))
    for version in versions:
        raw.execute("UPDATE snapshots SET value = zeroblob(length(value)) WHERE version = ?", (version,))
    raw.commit()
    raw.close()


async def tidied(archive: SqliteArchive) -> None:
    archiver = Archiver(archive, snapshot_versions=4)
    while await archiver.tidy():
        pass


async def test_a_damaged_snapshot_is_passed_over_and_made_again(tmp_path: Path) -> None:
    past = grown(30)
    await stored(past, tmp_path / "state.db")
    damage(tmp_path / "state.db", 8, 12, 28)
    archive = SqliteArchive(tmp_path / "state.db")
    await archive.open(epoch=EPOCH)
    assert await read(archive, *DOC, 13) == {"n": 13}
    assert {found.version for found in await archive.snapshots(*DOC, first=1, limit=99) if not found.value} == {
        8,
        12,
        28,
    }
    await tidied(archive)
    assert [found.version for found in await archive.snapshots(*DOC, first=1, limit=99) if not found.value] == []
    assert await check_archive(archive) == []
    await archive.close()


async def test_one_that_cannot_be_made_again_is_left_and_the_others_are_made(tmp_path: Path) -> None:
    past = grown(30)
    past.prune("doc", 9)
    await stored(past, tmp_path / "state.db")
    damage(tmp_path / "state.db", 10, 16)
    archive = SqliteArchive(tmp_path / "state.db")
    await archive.open(epoch=EPOCH)
    await tidied(archive)
    left = [found.version for found in await archive.snapshots(*DOC, first=1, limit=99) if not found.value]
    assert left[:1] == [10]
    assert await read(archive, *DOC, 20) == {"n": 20}
    await archive.close()


async def test_what_was_pruned_is_swept_piece_by_piece(tmp_path: Path) -> None:
    past = grown(200)
    past.prune("doc", 190)
    await stored(past, tmp_path / "state.db")
    raw = sqlite3.connect(archive_path(tmp_path / "state.db"))
    kept = "FROM events e JOIN streams s ON s.id = e.stream WHERE s.branch = 'main'"
    assert raw.execute(f"SELECT min(e.version), count(*) {kept}").fetchone() == (191, 10)
    raw.close()
