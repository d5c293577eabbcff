"""From journal to archive: the same batches give the same archive, however they are cut and however often it is begun again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from palimpsest.actors.archiver import STEP_BYTES, Archiver, is_large, pause_seconds
from palimpsest.actors.stream import Stream
from palimpsest.errors import CommitFailed, PalimpsestError
from palimpsest.limits import Limits
from palimpsest.protocol.messages import Create, Delete, Update
from palimpsest.storage.checking import check_archive
from palimpsest.storage.contracts import Snapshot, Step
from palimpsest.storage.events import GENESIS, Batch, Event, chain_digest, encode_events
from palimpsest.storage.memory import MemoryArchive
from palimpsest.words import Parents

pytestmark = pytest.mark.anyio
EPOCH = "0123456789abcdef"


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def batches_of(*groups: list[Event]) -> list[Batch]:
    made: list[Batch] = []
    position, digest = 1, GENESIS
    for events in groups:
        body = encode_events(events, b"")
        digest = chain_digest(digest, position, len(events), body)
        made.append(Batch(position, len(events), digest, body))
        position += len(events)
    return made


def updates(document: str, count: int, size: int = 1) -> list[Event]:
    stream = Stream(document, "main", Limits())
    events = [stream.decide_create(Create(1, document, raw({"n": 0})), "c", 1)]
    for version in range(2, count + 1):
        events.append(
            stream.decide_update(Update(version, document, raw([[0, ["n"], str(version) * size]])), "c", version)
        )
    return events


async def archive_of(*steps: list[Batch], snapshot_versions: int = 4, restart: bool = False) -> MemoryArchive:
    archive = MemoryArchive()
    await archive.open(epoch=EPOCH)
    archiver = Archiver(archive, snapshot_versions=snapshot_versions)
    for step in steps:
        if restart:
            archiver = Archiver(archive, snapshot_versions=snapshot_versions)
        await archiver.write(step)
    assert await check_archive(archive) == []
    return archive


def contents(archive: MemoryArchive) -> tuple[Any, ...]:
    return archive._rows, archive._heads, archive._snapshots, archive._end()


def snapshots(archive: MemoryArchive, document: str) -> dict[int, Snapshot]:
    return archive._snapshots.get((document, "main"), {})


async def test_rows_heads_and_the_end_are_those_of_the_batches() -> None:
    batches = batches_of(updates("a", 2), updates("b", 3))
    archive = await archive_of(batches)
    assert [(row.position, row.event.document, row.event.version) for row in archive._rows] == [
        (1, "a", 1),
        (2, "a", 2),
        (3, "b", 1),
        (4, "b", 2),
        (5, "b", 3),
    ]
    heads = await archive.heads([("a", "main"), ("b", "main"), ("c", "main")])
    assert [head and (head.version, head.position, head.kind) for head in heads] == [(2, 2, 1), (3, 5, 1), None]
    end = await archive.end()
    assert (end.next, end.digest) == (6, batches[-1].digest)


async def test_a_snapshot_is_made_every_so_many_versions_and_is_the_value() -> None:
    archive = await archive_of(batches_of(updates("a", 18)))
    found = snapshots(archive, "a")
    assert sorted(found) == [4, 8, 12, 16]
    assert {version: msgspec.msgpack.decode(one.value) for version, one in found.items()} == {
        version: {"n": str(version)} for version in found
    }
    (head,) = await archive.heads([("a", "main")])
    assert head is not None
    assert (head.snapshot, head.snapshot_bytes) == (16, len(found[16].value))


async def test_a_large_value_that_changes_little_is_kept_less_often() -> None:
    events = updates("a", 2, size=20_000)
    stream = Stream("a", "main", Limits())
    events = [stream.decide_create(Create(1, "a", raw({"large": "x" * 20_000})), "c", 1)]
    for version in range(2, 100):
        events.append(stream.decide_update(Update(version, "a", raw([[3, ["n"], 1]])), "c", version))
    archive = await archive_of(batches_of(events))
    assert sorted(snapshots(archive, "a")) == [4, 20, 36, 52, 68, 84]


async def test_a_deleted_document_is_not_kept_whole() -> None:
    stream = Stream("a", "main", Limits())
    events = []
    for number in range(10):
        events.append(stream.decide_create(Create(number, "a", raw(number)), "c", 1))
        events.append(stream.decide_delete(Delete(number, "a"), "c", 1))
    archive = await archive_of(batches_of(events))
    assert all(version % 2 == 1 for version in snapshots(archive, "a"))


async def test_what_is_there_already_is_left_out() -> None:
    batches = batches_of(updates("a", 3), updates("b", 3), updates("c", 3))
    archive = await archive_of(batches[:2], batches[1:], restart=True)
    assert contents(archive) == contents(await archive_of(batches))
    assert await Archiver(archive).write(batches[:2]) == 10


async def test_a_step_that_failed_is_done_again_as_if_it_had_not_been_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = batches_of(*[[event] for event in updates("a", 40)])
    archive = MemoryArchive()
    await archive.open(epoch=EPOCH)
    archiver = Archiver(archive, snapshot_versions=4)
    for index in range(0, 40, 5):
        with monkeypatch.context() as patch:
            patch.setattr(archive, "write", _full)
            with pytest.raises(CommitFailed):
                await archiver.write(batches[index : index + 5])
        await archiver.write(batches[index : index + 5])
    assert await check_archive(archive) == []
    assert contents(archive) == contents(await archive_of(batches))


async def _full(step: Step) -> None:
    raise CommitFailed("disk full", reason="full")


COMMANDS = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from(["create", "update", "update", "update", "delete"]), st.integers(0, 30)
    ),
    min_size=1,
    max_size=60,
)


def _events(commands: list[tuple[str, str, int]]) -> list[Event]:
    streams = {name: Stream(name, "main", Limits()) for name in "abc"}
    events = []
    for id, (name, command, number) in enumerate(commands):
        stream = streams[name]
        try:
            if command == "create":
                events.append(stream.decide_create(Create(id, name, raw({"n": "x" * number})), "c", id))
            elif command == "update":
                events.append(stream.decide_update(Update(id, name, raw([[0, [f"k{number}"], number]])), "c", id))
            else:
                events.append(stream.decide_delete(Delete(id, name), "c", id))
        except PalimpsestError:
            continue
    return events


@given(COMMANDS, st.sets(st.integers(1, 60), max_size=8))
@settings(max_examples=40, deadline=None)
async def test_the_same_batches_give_the_same_archive_however_they_are_cut(commands: Any, places: set[int]) -> None:
    events = _events(commands)
    cuts = sorted(place for place in places if place < len(events))
    groups = [events[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    batches = batches_of(*[group for group in groups if group])
    if not batches:
        return
    whole = await archive_of(batches, snapshot_versions=3)
    one_by_one = await archive_of(*[[batch] for batch in batches], snapshot_versions=3)
    restarted = await archive_of(*[[batch] for batch in batches], snapshot_versions=3, restart=True)
    assert contents(whole) == contents(one_by_one) == contents(restarted)


def test_the_archiver_rests_less_the_further_it_lags() -> None:
    lags = [0, 1 << 20, 1 << 25, 1 << 26, 1 << 27, 1 << 30]
    rests = [pause_seconds(0.05, lag) for lag in lags]
    assert rests == sorted(rests, reverse=True)
    assert rests[0] == pytest.approx(0.2)
    assert rests[-2:] == [0, 0]


def test_a_step_hints_at_more_once_it_is_half_as_large_as_a_step_may_be() -> None:
    half = Batch(1, 1, GENESIS, bytes(STEP_BYTES // 2))
    less = Batch(1, 1, GENESIS, bytes(STEP_BYTES // 2 - 1))
    assert is_large([half])
    assert not is_large([less])
    assert is_large([less, less])


async def test_many_versions_of_a_new_branch_in_one_step() -> None:
    """The first snapshot of a branch is in the step that is being made; the next one has to begin with it."""
    base = Event("n", "main", 1, 0, 1, raw([[0, [], {"a": 0}]]), "c", 1)
    first = Event("n", "side", 2, 1, 2, raw([[0, ["a"], 2]]), "c", 2, parents=Parents(("main", 1)))
    others = [
        Event("n", "side", version, 1, version, raw([[0, ["a"], version]]), "c", version) for version in range(3, 21)
    ]
    events = [base, first, *others]
    body = encode_events(events, bytes(16))
    batch = Batch(1, len(events), chain_digest(GENESIS, 1, len(events), body), body)
    archive = MemoryArchive()
    await archive.open(epoch=EPOCH)
    assert await Archiver(archive, snapshot_versions=4).write([batch]) == len(events) + 1
    found = {item.version: item.value for item in await archive.snapshots("n", "side", first=1, limit=100)}
    assert sorted(found) == [2, 6, 10, 14, 18]
    assert found == {version: msgspec.msgpack.encode({"a": version}) for version in found}
    assert await check_archive(archive) == []
