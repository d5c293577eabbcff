"""What prunes leave: versions that can be read, gaps, and snapshots where they are needed; the same however steps are cut."""

from __future__ import annotations

import random
from typing import Any

import pytest
from archive_kit import FailingArchive, Past, archived, contents, in_gaps, read
from hypothesis import given
from hypothesis import strategies as st
from random_past import random_past

from palimpsest.actors import pruning
from palimpsest.actors.chain import digest_at
from palimpsest.actors.proof import verify
from palimpsest.storage.checking import check_archive
from palimpsest.storage.memory import MemoryJournal
from palimpsest.words import MAIN, RECORD

pytestmark = pytest.mark.anyio
DOC = ("doc", MAIN)


def counted(versions: int, tags: dict[int, str] | None = None) -> Past:
    """A document whose value says which version it is."""
    past = Past()
    for version in range(1, versions + 1):
        said = [tags[version]] if tags and version in tags else []
        if version == 1:
            past.create("doc", {"n": 1}, said)
        else:
            past.set("doc", "n", version, said)
    return past


async def sound(past: Past, **options: Any) -> Any:
    """An archive of it in one step, in which every version reads as it should, and nothing is to be found wrong."""
    archive = await archived(past.batches(), **options)
    await check(past, archive)
    return archive


async def check(past: Past, archive: Any) -> None:
    for (document, branch), kept in past.values.items():
        gaps = in_gaps(await archive.gaps(document, branch))
        for version in range(1, past.newest[document, branch] + 1):
            assert await read(archive, document, branch, version) == kept.get(version), (document, version)
            assert (version in gaps) is (version not in kept)
            if version in kept:
                assert await digest_at(archive, document, branch, version) == past.digests[document, branch][version]
    assert await check_archive(archive) == []


@pytest.mark.parametrize(
    ("until", "patterns", "gaps", "snapshots"),
    [
        (0, [], [], [4, 8, 12]),
        (1, [], [(1, 1)], [2, 4, 8, 12]),
        (3, [], [(1, 3)], [4, 8, 12]),  # what follows has a snapshot already
        (5, [], [(1, 5)], [6, 8, 12]),
        (12, [], [(1, 11)], [12]),  # the newest stays, whatever is asked for
        (99, [], [(1, 11)], [12]),
        (11, ["*"], [(1, 2), (4, 4), (6, 11)], [3, 5, 12]),
        (11, ["rel*"], [(1, 2), (4, 11)], [3, 12]),
        (11, ["re"], [(1, 11)], [12]),
    ],
)
async def test_what_goes_and_what_it_leaves(
    until: int, patterns: list[str], gaps: list[Any], snapshots: list[int]
) -> None:
    past = counted(12, {3: "released"})
    past.label("doc", 5, add=["seen"])
    past.prune("doc", until, patterns)
    archive = await sound(past)
    assert [(gap.first, gap.last) for gap in await archive.gaps(*DOC)] == gaps
    assert [found.version for found in await archive.snapshots(*DOC, first=1, limit=99)] == snapshots


async def test_tags_count_as_they_are_when_the_prune_comes() -> None:
    past = counted(8, {2: "a", 4: "a"})
    past.label("doc", 2, remove=["a"])
    past.label("doc", 3, add=["a"])
    past.prune("doc", 6, ["a"])
    assert in_gaps(await (await sound(past)).gaps(*DOC)) == {1, 2, 5, 6}
    past.label("doc", 4, remove=["a"])
    past.prune("doc", 6, ["a"])
    assert in_gaps(await (await sound(past)).gaps(*DOC)) == {1, 2, 4, 5, 6}


async def test_a_gap_takes_in_those_it_meets_and_a_prune_with_nothing_to_do_does_nothing() -> None:
    past = counted(12)
    for until in (3, 5, 5, 4, 8):
        past.prune("doc", until)
    (gap,) = await (await sound(past)).gaps(*DOC)
    assert (gap.first, gap.last, gap.position) == (1, 8, 8)


async def test_no_snapshot_is_made_of_a_document_that_does_not_exist() -> None:
    past = counted(6)
    past.delete("doc")
    past.prune("doc", 6)
    archive = await sound(past)
    assert await archive.snapshots(*DOC, first=1, limit=9) == []
    past.create("doc", {"n": "again"})
    past.set("doc", "n", "and on")
    past.prune("doc", 7)
    assert await read(await sound(past), *DOC, 9) == {"n": "and on"}


async def test_the_newest_snapshot_that_stays_may_be_an_old_one() -> None:
    """The head has to name it: here the newest of all goes, what follows needs none, and a tag keeps one further back."""
    past = counted(8, {4: "keep"})
    past.delete("doc")
    past.create("doc", {"n": "again"})
    past.prune("doc", 8, ["keep"])
    archive = await sound(past)
    (head,) = await archive.heads([DOC])
    (left,) = await archive.snapshots(*DOC, first=1, limit=9)
    assert (head.snapshot, head.snapshot_bytes, left.version) == (4, len(left.value), 4)


async def test_the_record_itself_does_not_grow_without_end() -> None:
    past = counted(3)
    for number in range(pruning.RECORD_VERSIONS + 20):
        past.label("doc", 3, add=[f"tag {number % 5}"])
    past.prune("doc", 1)
    archive = await sound(past, snapshot_versions=8)
    (gap,) = await archive.gaps("doc", RECORD)
    newest = past.newest["doc", RECORD]
    assert (gap.first, gap.last) == (1, newest - pruning.RECORD_VERSIONS)
    assert (await read(archive, "doc", RECORD, newest))[MAIN]["tags"]["3"] == {f"tag {n}": True for n in range(5)}


# --- at random -------------------------------------------------------------------------------------------------------


def _cuts(chance: random.Random, most: int) -> list[int]:
    return [chance.randint(1, most) for _ in range(80)]


@given(st.integers(0, 2**32), st.sampled_from([15, 40, 80]), st.sampled_from([1, 2, 3, 7]))
async def test_every_past_is_archived_as_it_was_however_steps_are_cut_and_fail(
    seed: int, steps: int, snapshot_versions: int
) -> None:
    past, chance = random_past(seed, steps), random.Random(seed)
    batches = past.batches(_cuts(chance, 6))
    whole = await archived(batches, snapshot_versions=snapshot_versions)
    await check(past, whole)
    assert all(row.salt == b"" for row in whole._rows if row.committed is not None)
    journal = MemoryJournal()
    await journal.open()
    for batch in batches:
        await journal.append(batch)
    assert (await verify(whole, journal)).faults == []
    one_by_one = await archived(
        batches, [1] * len(batches), snapshot_versions=snapshot_versions, restart=True, tidy=True
    )
    assert contents(one_by_one) == contents(whole)
    failing = FailingArchive(chance.sample(range(1, 60), 20))
    failed = await archived(batches, _cuts(chance, 7), snapshot_versions=snapshot_versions, archive=failing)
    assert contents(failed) == contents(whole)
