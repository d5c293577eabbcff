"""What erasing rewrites, what it leaves behind, and that doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from archive_kit import EPOCH, NOWHERE, FailingArchive, Past, archived, contents, in_gaps, read

from palimpsest.actors.archiver import Archiver
from palimpsest.actors.proof import verify
from palimpsest.errors import CommitFailed
from palimpsest.storage.checking import check_archive
from palimpsest.storage.contracts import Step
from palimpsest.storage.events import commitment
from palimpsest.storage.memory import MemoryArchive, MemoryJournal
from palimpsest.words import MAIN, RECORD

pytestmark = pytest.mark.anyio
DOC = ("doc", MAIN)
SECRET = "SECRET"


def kept_secret() -> Past:
    """Versions 1 to 12; the secret is in 1 to 5, and again from 10 on."""
    past = Past()
    past.create("doc", {"name": SECRET, "n": 1})
    for version in (2, 3, 4):
        past.set("doc", "n", version)
    past.set("doc", "name", SECRET + " too")
    past.set("doc", "name", "harmless")
    for version in (7, 8, 9):
        past.set("doc", "n", version)
    past.set("doc", "name", SECRET)
    for version in (11, 12):
        past.set("doc", "n", version)
    return past


def bytes_of(archive: MemoryArchive) -> bytes:
    """All that it holds."""
    return msgspec.msgpack.encode([archive._rows, list(archive._heads.values()), list(archive._snapshots.values())])


async def test_only_the_rows_that_touch_the_path_are_rewritten() -> None:
    past = kept_secret()
    past.erase("doc", "name")
    batches = past.batches()
    archive = await archived(batches)
    rows = {row.event.version: row for row in archive._streams[DOC]}
    rewritten = {version for version, row in rows.items() if row.committed is not None}
    assert rewritten == {1, 5, 6, 10}
    before = {row.event.version: row for row in (await archived(batches[:12]))._streams[DOC]}
    for version, row in before.items():
        if version in rewritten:
            assert (rows[version].salt, rows[version].committed) == (b"", commitment(row.salt, row.event))
            assert msgspec.structs.replace(rows[version].event, delta=row.event.delta) == row.event
        else:
            assert rows[version] == row
    assert SECRET.encode() not in bytes_of(archive)
    for version in range(1, 14):
        assert await read(archive, *DOC, version) == past.values[DOC][version]


async def test_snapshots_stand_where_they_stood() -> None:
    past = kept_secret()
    before = await archived(past.batches())
    past.erase("doc", "name")
    after = await archived(past.batches())
    versions = [found.version for found in await before.snapshots(*DOC, first=1, limit=9)]
    assert versions == [4, 8, 12]
    assert [found.version for found in await after.snapshots(*DOC, first=1, limit=9)] == versions
    assert await check_archive(after) == []


async def test_a_second_erasure_keeps_the_first_commitment() -> None:
    past = kept_secret()
    past.erase("doc", "name")
    first = {row.event.version: row.committed for row in (await archived(past.batches()))._streams[DOC]}
    past.erase("doc", "n")
    archive = await archived(past.batches())
    second = {row.event.version: row.committed for row in archive._streams[DOC]}
    assert {version for version, committed in first.items() if committed is not None} == {1, 5, 6, 10}
    assert all(second[version] == committed for version, committed in first.items() if committed is not None)
    assert await read(archive, *DOC, 12) == {}
    assert await check_archive(archive) == []


async def test_what_was_pruned_in_between_is_no_hindrance() -> None:
    past = kept_secret()
    past.label("doc", 3, add=["keep"])
    past.prune("doc", 8, ["keep"])
    past.erase("doc", "name")
    archive = await archived(past.batches())
    assert in_gaps(await archive.gaps(*DOC)) == {1, 2, 4, 5, 6, 7, 8}
    assert [await read(archive, *DOC, version) for version in (3, 9, 12)] == [{"n": 3}, {"n": 9}, {"n": 12}]
    assert SECRET.encode() not in bytes_of(archive)
    assert await check_archive(archive) == []


async def test_a_whole_document_leaves_its_last_digest() -> None:
    past = kept_secret()
    past.label("doc", 3, add=[SECRET])
    past.erase("doc")
    past.create("doc", {"fresh": True})
    archive = await archived(past.batches())
    (gap,) = await archive.gaps(*DOC)
    assert (gap.first, gap.last, gap.position, gap.digest) == (1, 12, 0, past.digests[DOC][12])
    assert in_gaps(await archive.gaps("doc", RECORD)) == {1}
    assert [await read(archive, *DOC, version) for version in (12, 13, 14)] == [None, NOWHERE, {"fresh": True}]
    assert SECRET.encode() not in bytes_of(archive)
    assert await check_archive(archive) == []


# --- cut short -------------------------------------------------------------------------------------------------------


class Unscrubbed(MemoryArchive):
    """Its scrubs fail, as where a reader stands in the way."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.scrubs = 0
        self._failures = failures

    async def scrub(self) -> None:
        self.scrubs += 1
        if self.scrubs <= self._failures:
            raise CommitFailed("a reader is in the way", reason="busy")
        await super().scrub()


@pytest.mark.parametrize("path", [("name",), ()])
async def test_the_position_is_reported_only_once_the_files_are_scrubbed(path: tuple[str, ...]) -> None:
    past = kept_secret()
    past.erase("doc", *path)
    past.create("other", 1)
    batches = past.batches()
    archive = Unscrubbed(failures=2)
    await archive.open(epoch=EPOCH)
    for _ in range(2):
        with pytest.raises(CommitFailed):
            await Archiver(archive, snapshot_versions=4).write(batches)
        assert (await archive.end()).next == 13  # the erasure itself is not archived yet
    assert await Archiver(archive, snapshot_versions=4).write(batches) == 15
    assert archive.scrubs == 3
    assert contents(archive) == contents(await archived(batches))


@pytest.mark.parametrize("failing", range(1, 4))
async def test_wherever_it_is_cut_short_it_is_done_again(failing: int) -> None:
    past = kept_secret()
    past.erase("doc", "name")
    past.set("doc", "n", 14)
    batches = past.batches([14])
    again = await archived(batches, archive=FailingArchive([failing]), restart=True)
    assert contents(again) == contents(await archived(batches))


async def test_between_the_rewriting_and_its_own_row_an_erasure_is_in_the_journal() -> None:
    """A store that was stopped just then is sound: what was taken away is accounted for by what is still to be archived."""
    past = kept_secret()
    past.erase("doc", "name")
    batches = past.batches()
    archive, journal = Unscrubbed(failures=1), MemoryJournal()
    await archive.open(epoch=EPOCH)
    await journal.open()
    for batch in batches:
        await journal.append(batch)
    with pytest.raises(CommitFailed):
        await Archiver(archive, snapshot_versions=4).write(batches)
    assert any(row.committed is not None for row in archive._rows)
    assert (await verify(archive, journal)).faults == []


async def test_nothing_is_written_twice_by_an_erasure_that_changes_nothing() -> None:
    past = kept_secret()
    past.erase("doc", "name")
    steps: list[Step] = []
    archive = Recording(steps.append)
    await archived(past.batches(), archive=archive)
    assert sum(len(step.rewrites) for step in steps) == 4
    past.erase("doc", "name")
    past.erase("doc", "nowhere")
    steps.clear()
    await archived(past.batches(), archive=Recording(steps.append))
    assert sum(len(step.rewrites) for step in steps) == 4


class Recording(MemoryArchive):
    def __init__(self, told: Callable[[Step], Any]) -> None:
        super().__init__()
        self._told = told

    async def write(self, step: Step) -> None:
        self._told(step)
        await super().write(step)
