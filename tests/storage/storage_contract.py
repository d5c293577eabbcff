"""What every journal and every archive is held to. A subclass says how one is made; its tests end by checking what they used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw
from storage_kit import Feeder, append, chain, delta, event, read_all, versions

from palimpsest.errors import Compacted, StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage.checking import check_archive, check_journal
from palimpsest.storage.contracts import Archive, ArchiveEnd, Gap, Journal, JournalEnd, Snapshot, Step
from palimpsest.storage.events import GENESIS, Event, check_bytes
from palimpsest.words import Kind, Meta

EPOCH = "0123456789abcdef"
ALL = 2**60


class JournalContract:
    def make(self, path: Path) -> Journal:
        raise NotImplementedError

    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        journal = self.make(tmp_path / "state.db")
        await journal.open()
        try:
            yield journal
            assert await check_journal(journal) == []
        finally:
            await journal.close()

    async def test_a_new_one_is_empty(self, journal: Journal) -> None:
        assert await journal.end() == JournalEnd(oldest=1, next=1, digest=GENESIS)
        assert await journal.read(1, bytes_max=ALL) == []

    async def test_its_epoch_is_16_hex_digits(self, journal: Journal) -> None:
        assert len(journal.epoch) == 16
        assert set(journal.epoch) <= set("0123456789abcdef")

    async def test_what_is_appended_is_read(self, journal: Journal) -> None:
        batches = await append(journal, versions("a", 1, 3), versions("a", 4, 4), versions("b", 1, 2))
        assert await read_all(journal) == batches
        assert await journal.end() == JournalEnd(oldest=1, next=7, digest=batches[-1].digest)

    async def test_it_reads_from_the_batch_that_holds_a_position(self, journal: Journal) -> None:
        first, second, third = await append(journal, versions("a", 1, 3), versions("a", 4, 5), versions("a", 6, 6))
        for position, expected in {
            1: [first, second, third],
            3: [first, second, third],
            4: [second, third],
            5: [second, third],
            6: [third],
            7: [],
            8: [],
            2**70: [],
        }.items():
            assert await journal.read(position, bytes_max=ALL) == expected, position

    async def test_it_reads_as_many_bytes_as_fit_and_one_batch_at_least(self, journal: Journal) -> None:
        batches = await append(journal, *[versions("a", version, version) for version in range(1, 5)])
        size = len(batches[0].body)
        assert await journal.read(1, bytes_max=0) == batches[:1]
        assert await journal.read(1, bytes_max=2 * size - 1) == batches[:1]
        assert await journal.read(1, bytes_max=2 * size) == batches[:2]
        assert await journal.read(2, bytes_max=2 * size) == batches[1:3]

    @pytest.mark.parametrize("position", [2, 3, 5], ids=["taken", "inside the last", "skips one"])
    async def test_a_batch_in_the_wrong_place_is_refused(self, journal: Journal, position: int) -> None:
        batches = await append(journal, versions("a", 1, 1), versions("a", 2, 3))
        (batch,) = chain([versions("b", 1, 1)], JournalEnd(1, position, batches[-1].digest))
        with pytest.raises(StoreCorrupt, match=f"position {position}"):
            await journal.append(batch)
        assert await read_all(journal) == batches
        await append(journal, versions("b", 1, 1))

    async def test_a_batch_that_does_not_match_its_digest_is_found_when_read(self, tmp_path: Path) -> None:
        journal = self.make(tmp_path / "state.db")
        await journal.open()
        await append(journal, versions("a", 1, 1))
        (batch,) = chain([versions("a", 2, 2)], JournalEnd(1, 2, GENESIS))
        await journal.append(batch)
        assert len(await journal.read(1, bytes_max=0)) == 1
        with pytest.raises(StoreCorrupt, match="position 2"):
            await journal.read(1, bytes_max=ALL)
        with pytest.raises(StoreCorrupt, match="position 2"):
            await journal.read(2, bytes_max=ALL)
        await journal.close()

    async def test_trimming_forgets_batches_wholly_before_a_position(self, journal: Journal) -> None:
        first, second, third = await append(journal, versions("a", 1, 3), versions("a", 4, 5), versions("a", 6, 6))
        assert await journal.trim(3, batches_max=10) == 0
        assert await journal.trim(4, batches_max=10) == 1
        assert await journal.end() == JournalEnd(oldest=4, next=7, digest=third.digest)
        assert await read_all(journal) == [second, third]
        assert first not in await read_all(journal)

    async def test_all_may_be_trimmed_and_the_chain_goes_on(self, journal: Journal) -> None:
        *_, last = await append(journal, versions("a", 1, 1), versions("a", 2, 2))
        assert await journal.trim(2**70, batches_max=2**70) == 2
        assert await journal.trim(2**70, batches_max=10) == 0
        assert await journal.end() == JournalEnd(oldest=3, next=3, digest=last.digest)
        assert await journal.read(3, bytes_max=ALL) == []
        (more,) = await append(journal, versions("a", 3, 3))
        assert await read_all(journal) == [more]

    async def test_scrubbing_keeps_what_is_kept(self, journal: Journal) -> None:
        _, last = await append(journal, versions("a", 1, 1), versions("a", 2, 2))
        await journal.trim(2, batches_max=1)
        await journal.scrub()
        assert await read_all(journal) == [last]

    async def test_an_empty_journal_has_nothing_to_trim(self, journal: Journal) -> None:
        assert await journal.trim(10, batches_max=10) == 0

    async def test_trimming_goes_by_small_steps(self, journal: Journal) -> None:
        await append(journal, *[versions("a", version, version) for version in range(1, 8)])
        assert [await journal.trim(6, batches_max=2) for _ in range(4)] == [2, 2, 1, 0]
        assert await journal.trim(8, batches_max=0) == 0
        assert (await journal.end()).oldest == 6

    async def test_what_was_trimmed_is_compacted(self, journal: Journal) -> None:
        await append(journal, versions("a", 1, 2), versions("a", 3, 3))
        await journal.trim(3, batches_max=1)
        for position in (0, 1, 2):
            with pytest.raises(Compacted, match="oldest is 3"):
                await journal.read(position, bytes_max=ALL)

    async def test_closing_and_opening_keeps_everything(self, tmp_path: Path) -> None:
        journal = self.make(tmp_path / "state.db")
        await journal.open()
        epoch = journal.epoch
        batches = await append(journal, versions("a", 1, 2), versions("a", 3, 3), versions("a", 4, 4))
        await journal.trim(3, batches_max=1)
        await journal.close()
        await journal.close()
        assert await journal.open() == JournalEnd(oldest=3, next=5, digest=batches[-1].digest)
        assert journal.epoch == epoch
        batches += await append(journal, versions("a", 5, 5))
        assert await read_all(journal) == batches[1:]
        assert await check_journal(journal) == []
        await journal.close()

    async def test_one_that_is_open_is_not_opened_again(self, journal: Journal) -> None:
        with pytest.raises(StoreLocked):
            await journal.open()
        await append(journal, versions("a", 1, 1))

    async def test_one_that_is_closed_does_nothing(self, tmp_path: Path) -> None:
        journal = self.make(tmp_path / "state.db")
        for call in (journal.end(), journal.read(1, bytes_max=1), journal.trim(1, batches_max=1)):
            with pytest.raises(StorageError, match="not open"):
                await call
        with pytest.raises(StorageError, match="not open"):
            await journal.append(chain([versions("a", 1, 1)])[0])
        await journal.close()


class ArchiveContract:
    def make(self, path: Path) -> Archive:
        raise NotImplementedError

    @pytest.fixture
    async def archive(self, tmp_path: Path) -> AsyncIterator[Archive]:
        archive = self.make(tmp_path / "state.db")
        await archive.open(epoch=EPOCH)
        try:
            yield archive
            assert await check_archive(archive) == []
        finally:
            await archive.close()

    async def test_a_new_one_is_empty(self, archive: Archive) -> None:
        assert await archive.end() == ArchiveEnd(oldest=1, next=1, digest=GENESIS)
        assert await archive.heads([("a", "main")]) == [None]
        assert await archive.load([("a", "main")]) == [None]
        assert await archive.load_version("a", "main", 1) is None
        assert await archive.history("a", "main", first=1, last=9, newest_first=True, limit=9) == []
        assert await archive.read(1, rows_max=9, bytes_max=ALL) == []
        assert await archive.names("main", prefix="", after="", limit=9) == []
        assert await archive.find_request("a", "main", origin="client", request=1, key=None) is None
        assert await archive.find_request("a", "main", origin="", request=0, key="key") is None
        assert await archive.find_time("a", "main", ALL) is None
        assert await archive.gaps("a", "main") == []
        assert await archive.snapshots("a", "main", first=1, limit=9) == []
        assert await archive.inspect_snapshots(0, limit=9) == (0, [])
        assert await archive.sweep(rows_max=9) == 0

    @pytest.mark.parametrize(
        "found",
        [
            event(meta=Meta("ana", "why", ("one", "two"))),
            event(origin="", request=0, key="a key of the caller's"),
            event(origin="", request=0),
            event(request=2**64 - 1),
            event(request=-(2**63)),
            event(at=0, kind=int(Kind.DELETE), delta=Raw(b"\x90")),
            event("größe/𝄞/\x00", branch="a draft", delta=delta("x" * 100_000)),
        ],
        ids=["meta", "key", "nobody's", "large request", "negative request", "delete", "odd names"],
    )
    async def test_an_event_comes_back_as_it_was(self, archive: Archive, found: Event) -> None:
        await Feeder(archive).write(found)
        (row,) = await archive.read(1, rows_max=1, bytes_max=ALL)
        assert row.position == 1
        assert row.event == found
        assert bytes(row.event.delta) == bytes(found.delta)

    async def test_a_transaction_comes_back_as_it_was(self, archive: Archive) -> None:
        events = [event("a", more=2), event("b", more=1), event("c", more=0)]
        await Feeder(archive).write(*events)
        assert [row.event for row in await archive.read(1, rows_max=9, bytes_max=ALL)] == events

    async def test_a_step_moves_the_end(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 2))
        step = feeder.step(*versions("a", 3, 3))
        await archive.write(step)
        assert await archive.end() == ArchiveEnd(oldest=1, next=4, digest=step.digest)

    async def test_a_step_that_does_not_start_at_the_end_is_refused(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 2))
        before = await archive.end()
        skipped = feeder.step(*versions("a", 3, 3))
        with pytest.raises(StoreCorrupt, match="position 4"):
            await archive.write(feeder.step(*versions("a", 4, 4)))
        assert await archive.end() == before
        assert [head and head.version for head in await archive.heads([("a", "main")])] == [2]
        await archive.write(skipped)
        with pytest.raises(StoreCorrupt, match="position 3"):
            await archive.write(skipped)

    async def test_a_step_that_misstates_its_end_is_refused(self, archive: Archive) -> None:
        step = Feeder(archive).step(*versions("a", 1, 2))
        with pytest.raises(StoreCorrupt, match="ends at 9"):
            await archive.write(Step(step.rows, step.snapshots, step.heads, 9, step.digest))

    async def test_heads_are_given_in_the_order_asked(self, archive: Archive) -> None:
        await Feeder(archive).write(*versions("a", 1, 3), *versions("b", 1, 5), event("a", branch="draft"))
        heads = await archive.heads([("b", "main"), ("none", "main"), ("a", "draft"), ("a", "main")])
        found = [head and (head.document, head.branch, head.version, head.position, head.snapshot) for head in heads]
        assert found == [("b", "main", 5, 8, 4), None, ("a", "draft", 1, 9, 0), ("a", "main", 3, 3, 0)]

    async def test_loading_starts_from_nothing_or_from_the_newest_snapshot(self, archive: Archive) -> None:
        feeder = Feeder(archive, snapshot_versions=4)
        await feeder.write(*versions("a", 1, 3), *versions("b", 1, 10), *versions("c", 1, 8))
        plain, newest, exact, none = await archive.load([("a", "main"), ("b", "main"), ("c", "main"), ("d", "main")])
        assert none is None
        assert plain is not None
        assert newest is not None
        assert exact is not None
        assert plain.snapshot is None
        assert [row.event for row in plain.rows] == versions("a", 1, 3)
        assert newest.snapshot is not None
        assert newest.snapshot.value == b"value 8"
        assert [row.event.version for row in newest.rows] == [8, 9, 10]
        assert [row.event.version for row in exact.rows] == [8]
        assert [newest.head] == await archive.heads([("b", "main")])

    async def test_loading_a_version_starts_from_the_snapshot_before_it(self, archive: Archive) -> None:
        await Feeder(archive, snapshot_versions=4).write(*versions("a", 1, 10), *versions("b", 1, 2))
        for version, snapshot, first in [(1, None, 1), (3, None, 1), (4, 4, 4), (7, 4, 4), (8, 8, 8), (10, 8, 8)]:
            stretch = await archive.load_version("a", "main", version)
            assert stretch is not None
            assert (stretch.snapshot and stretch.snapshot.version) == snapshot
            assert [row.event for row in stretch.rows] == versions("a", first, version)
            assert stretch.head.version == 10
        for version in (-1, 0, 11, 2**70):
            assert await archive.load_version("a", "main", version) is None
        assert await archive.load_version("a", "draft", 1) is None

    async def test_history_goes_both_ways(self, archive: Archive) -> None:
        await Feeder(archive).write(*versions("a", 1, 6), *versions("b", 1, 6))

        async def history(first: int, last: int, *, newest_first: bool = False, limit: int = 99) -> list[int]:
            rows = await archive.history("a", "main", first=first, last=last, newest_first=newest_first, limit=limit)
            assert all(row.event == event("a", row.event.version) for row in rows)
            return [row.event.version for row in rows]

        assert await history(1, 6) == [1, 2, 3, 4, 5, 6]
        assert await history(2, 4) == [2, 3, 4]
        assert await history(2, 4, newest_first=True) == [4, 3, 2]
        assert await history(1, 2**70, newest_first=True, limit=2) == [6, 5]
        assert await history(-(2**70), 6, limit=2) == [1, 2]
        assert await history(4, 2) == []
        assert await history(1, 6, limit=0) == []

    async def test_reading_by_position_stops_at_either_bound(self, archive: Archive) -> None:
        events = [*versions("a", 1, 2), *versions("b", 1, 2), *versions("a", 3, 3)]
        await Feeder(archive).write(*events)
        size = len(bytes(delta(1)))

        async def read(position: int, rows_max: int, bytes_max: int) -> list[int]:
            rows = await archive.read(position, rows_max=rows_max, bytes_max=bytes_max)
            assert [row.event for row in rows] == events[max(0, position - 1) :][: len(rows)]
            return [row.position for row in rows]

        assert await read(1, 99, ALL) == [1, 2, 3, 4, 5]
        assert await read(3, 2, ALL) == [3, 4]
        assert await read(2, 99, 2 * size) == [2, 3]
        assert await read(2, 99, 2 * size - 1) == [2]
        assert await read(2, 0, 0) == [2]
        assert await read(0, 1, ALL) == [1]
        assert await read(6, 99, ALL) == []
        assert await read(2**70, 99, ALL) == []

    async def test_names_come_by_prefix_in_the_order_of_code_points(self, archive: Archive) -> None:
        names = ["a", "a/b", "a/ä", "a/\uffff", "a/\U0001d11e", "a0", "b", "A", "a/b/c", "ab", "a/\x00"]
        await Feeder(archive).write(*[event(name) for name in names], event("a/draft", branch="draft"))

        async def list_names(prefix: str, after: str = "", limit: int = 99) -> list[str]:
            return [head.document for head in await archive.names("main", prefix=prefix, after=after, limit=limit)]

        assert await list_names("") == sorted(names)
        below = sorted(name for name in names if name.startswith("a/"))
        assert await list_names("a/") == below
        assert await list_names("a/", limit=2) == below[:2]
        assert await list_names("a/", after=below[1]) == below[2:]
        assert await list_names("a/", after="A") == below
        assert await list_names("a/", after="b") == []
        assert await list_names("a/", limit=0) == []
        assert await list_names("c") == []
        assert [head.document for head in await archive.names("draft", prefix="", after="", limit=9)] == ["a/draft"]

    async def test_deleted_documents_are_among_the_names(self, archive: Archive) -> None:
        await Feeder(archive).write(event("a"), event("a", 2, kind=int(Kind.DELETE)))
        (head,) = await archive.names("main", prefix="", after="", limit=9)
        assert (head.version, head.kind) == (2, Kind.DELETE)

    async def test_a_request_is_found_in_its_stream(self, archive: Archive) -> None:
        one, two = event("a", origin="one", request=7, more=1), event("b", origin="one", request=7)
        three, four = event("a", 2, origin="two", request=7), event("a", 3, origin="", request=0, key="key")
        large = event("a", 4, origin="two", request=2**64 - 1)
        await Feeder(archive).write(one, two, three, four, large)

        async def find(document: str, origin: str, request: int, key: str | None = None) -> Event | None:
            row = await archive.find_request(document, "main", origin=origin, request=request, key=key)
            return row and row.event

        assert await find("a", "one", 7) == one
        assert await find("b", "one", 7) == two
        assert await find("a", "two", 7) == three
        assert await find("a", "", 0, "key") == four
        assert await find("a", "anybody", 9, "key") == four
        assert await find("a", "two", 2**64 - 1) == large
        assert await find("b", "two", 7) is None
        assert await find("b", "", 0, "key") is None
        assert await find("a", "two", 2**63) is None
        assert await find("a", "", 0) is None
        assert await find("a", "nobody", 7) is None

    async def test_a_key_hides_the_number_of_its_request(self, archive: Archive) -> None:
        await Feeder(archive).write(event("a", origin="one", request=7, key="key"))
        assert await archive.find_request("a", "main", origin="one", request=7, key=None) is None
        assert await archive.find_request("a", "main", origin="one", request=7, key="key") is not None

    async def test_a_request_that_made_two_versions_gives_the_first(self, archive: Archive) -> None:
        await Feeder(archive).write(event("a", 1, request=7), event("a", 2, request=7))
        row = await archive.find_request("a", "main", origin="client", request=7, key=None)
        assert row is not None
        assert row.event.version == 1

    # --- what is not kept any more ---

    async def pruned(self, archive: Archive) -> Feeder:
        """Versions 3..6 and 8..9 of 12 are not kept; b lies between them."""
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 5), *versions("b", 1, 5), *versions("a", 6, 12))
        await archive.write(feeder.pruning("a", 3, 6))
        await archive.write(feeder.pruning("a", 8, 9))
        return feeder

    async def test_what_lies_in_a_gap_is_not_read_before_and_after_it_is_swept(self, archive: Archive) -> None:
        feeder = await self.pruned(archive)
        before = await self.answers(archive)
        await self.check_pruned(archive, feeder)
        assert await archive.sweep(rows_max=99) == 6 + 2
        assert await archive.sweep(rows_max=99) == 0
        assert await self.answers(archive) == before
        await self.check_pruned(archive, feeder)
        await archive.scrub()

    async def answers(self, archive: Archive) -> list[object]:
        found: list[object] = [await archive.end(), await archive.heads([("a", "main")])]
        found.append(await archive.load([("a", "main"), ("b", "main")]))
        found += [await archive.load_version("a", "main", version) for version in range(14)]
        found += [await archive.find_time("a", "main", event("a", version).at) for version in range(14)]
        found.append(await archive.weigh("a", "main", first=1, last=99))
        return found

    async def check_pruned(self, archive: Archive, feeder: Feeder) -> None:
        kept = [1, 2, 7, 10, 11, 12]
        rows = feeder.rows["a", "main"]
        assert sorted(rows) == kept
        for newest_first in (False, True):
            found = await archive.history("a", "main", first=1, last=99, newest_first=newest_first, limit=99)
            assert found == [rows[version] for version in sorted(kept, reverse=newest_first)]
        found = await archive.history("a", "main", first=2, last=11, newest_first=False, limit=3)
        assert [row.event.version for row in found] == [2, 7, 10]
        found = await archive.history("a", "main", first=4, last=11, newest_first=True, limit=3)
        assert [row.event.version for row in found] == [11, 10, 7]
        read = await archive.read(1, rows_max=99, bytes_max=ALL)
        assert [row.event.version for row in read if row.event.document == "a"] == kept
        assert len(read) == len(kept) + 5
        for version, snapshot, first in [(2, None, 1), (7, 7, 7), (10, 10, 10), (11, 10, 10), (12, 12, 12)]:
            stretch = await archive.load_version("a", "main", version)
            assert stretch is not None
            assert (stretch.snapshot and stretch.snapshot.version) == snapshot
            assert [row.event.version for row in stretch.rows] == list(range(first, version + 1))
        for version in (3, 6, 8, 9, 13):
            assert await archive.load_version("a", "main", version) is None
            assert await archive.find_request("a", "main", origin="client", request=version, key=None) is None
        assert await archive.find_request("a", "main", origin="client", request=7, key=None) == rows[7]
        for version, expected in {0: None, 2: 2, 5: 2, 7: 7, 9: 7, 99: 12}.items():
            row = await archive.find_time("a", "main", event("a", version).at)
            assert (row and row.event.version) == expected
        assert [item.version for item in await archive.snapshots("a", "main", first=2, limit=9)] == [7, 10, 12]
        assert [item.version for item in await archive.snapshots("a", "main", first=8, limit=1)] == [10]

    async def test_a_gap_takes_in_those_that_it_overlaps_or_touches(self, archive: Archive) -> None:
        feeder = await self.pruned(archive)
        first, second = await archive.gaps("a", "main")
        assert (first.first, first.last, second.first, second.last) == (3, 6, 8, 9)
        assert (await archive.end()).pruned == second.position
        await archive.write(feeder.pruning("a", 7, 7))
        (gap,) = await archive.gaps("a", "main")
        assert gap == Gap("a", "main", 3, 9, first.at, second.digest, second.position)
        await archive.sweep(rows_max=99)
        overlapping = Gap("a", "main", 1, 11, 7, feeder.digests["a", "main"][11], 0)
        await archive.write(msgspec.structs.replace(feeder.step(), gaps=[overlapping]))
        assert await archive.gaps("a", "main") == [msgspec.structs.replace(overlapping, position=second.position)]
        await archive.write(msgspec.structs.replace(feeder.step(), gaps=[gap]))
        assert len(await archive.gaps("a", "main")) == 1
        assert [row.event.version for row in await archive.read(1, rows_max=99, bytes_max=ALL)] == [1, 2, 3, 4, 5, 12]

    async def test_the_oldest_is_not_in_a_gap(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 5), *versions("b", 1, 1), *versions("a", 6, 7))
        await archive.write(feeder.pruning("a", 2, 6))
        assert (await archive.end()).oldest == 1
        await archive.write(feeder.pruning("a", 1, 1))
        assert (await archive.end()).oldest == 6
        await archive.sweep(rows_max=99)
        assert (await archive.end()).oldest == 6

    async def test_sweeping_goes_by_small_steps(self, archive: Archive) -> None:
        feeder = Feeder(archive, snapshot_versions=99)
        await feeder.write(*versions("a", 1, 8), *versions("b", 1, 4))
        await archive.write(feeder.pruning("a", 1, 5))
        await archive.write(feeder.pruning("b", 1, 2))
        assert [await archive.sweep(rows_max=3) for _ in range(4)] == [3, 3, 1, 0]

    async def test_versions_that_were_left_out_are_a_gap(self, archive: Archive) -> None:
        await Feeder(archive).write(*versions("a", 3, 5), *versions("a", 8, 9))
        gaps = await archive.gaps("a", "main")
        assert [(gap.first, gap.last, gap.at, gap.position) for gap in gaps] == [
            (1, 2, 0, 0),
            (6, 7, event("a", 5).at + 1, 0),
        ]
        assert (await archive.end()).pruned == 0
        assert await archive.sweep(rows_max=9) == 0
        stretch = await archive.load_version("a", "main", 5)
        assert stretch is not None
        assert [row.event.version for row in stretch.rows] == [4, 5]

    async def test_rewriting_takes_the_place_of_rows(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 9, meta=Meta("ana", None, ("x",))))
        before = await archive.heads([("a", "main")])
        await archive.write(feeder.erasing("a", 2, 6))
        rows = await archive.history("a", "main", first=1, last=9, newest_first=False, limit=99)
        assert rows == list(feeder.rows["a", "main"].values())
        assert [row.event.version for row in rows if row.committed is not None] == [2, 3, 4, 5, 6]
        assert {row.salt for row in rows if row.committed is not None} == {b""}
        assert await archive.heads([("a", "main")]) == before
        assert [item.version for item in await archive.snapshots("a", "main", first=1, limit=9)] == [4, 8]
        untagged = msgspec.structs.replace(rows[2], event=msgspec.structs.replace(rows[2].event, meta=None))
        untagged = msgspec.structs.replace(untagged, check=check_bytes(feeder.digests["a", "main"][3], untagged.event))
        await archive.write(msgspec.structs.replace(feeder.step(), rewrites=[untagged]))
        assert [version for version, _ in await archive.tagged("a", "main", last=9)] == [1, 2, 4, 5, 6, 7, 8, 9]

    async def test_what_is_rewritten_may_come_in_the_same_step(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        step = feeder.step(*versions("a", 1, 3))
        erasure = feeder.erasing("a", 2, 2)
        await archive.write(msgspec.structs.replace(step, rewrites=erasure.rewrites, heads=erasure.heads))
        assert await archive.history("a", "main", first=2, last=2, newest_first=True, limit=1) == list(erasure.rewrites)

    async def test_a_rewrite_of_what_is_not_there_is_refused(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 3), *versions("b", 1, 3))
        step = feeder.erasing("a", 1, 1)
        for position in (2, 4, 9):
            wrong = msgspec.structs.replace(step.rewrites[0], position=position)
            with pytest.raises(StoreCorrupt, match=f"at position {position} was to be rewritten"):
                await archive.write(msgspec.structs.replace(step, rewrites=[wrong]))
        await archive.write(step)

    async def test_forgotten_snapshots_are_gone_and_new_ones_are_there(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 9))
        (head,) = await archive.heads([("a", "main")])
        assert head is not None
        step = feeder.step()
        new = Snapshot("a", "main", 4, b"new", feeder.digests["a", "main"][4])
        head = msgspec.structs.replace(head, snapshot=4, snapshot_bytes=3, since_bytes=5 * len(bytes(delta(1))))
        await archive.write(msgspec.structs.replace(step, forget=[("a", "main")], snapshots=[new], heads=[head]))
        assert await archive.snapshots("a", "main", first=1, limit=9) == [new]
        (stretch,) = await archive.load([("a", "main")])
        assert stretch is not None
        assert stretch.snapshot == new
        assert (await archive.usage("main", prefix="", after="", limit=1))[0].snapshots == 1

    async def test_tags_of_versions_are_found(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        tagged = {2: ("x",), 4: ("a", "x"), 5: ("x",), 7: ("b",), 8: ("x",)}
        metas = {version: Meta(tags=tags) for version, tags in tagged.items()}
        await feeder.write(*[event("a", version, meta=metas.get(version)) for version in range(1, 10)])
        await feeder.write(*versions("b", 1, 9, meta=Meta(tags=("x",))))
        assert await archive.tagged("a", "main", last=99) == sorted(tagged.items())
        assert await archive.tagged("a", "main", last=5) == sorted(tagged.items())[:3]
        assert await archive.tagged("none", "main", last=5) == []
        for last, expected in {99: 8, 7: 5, 4: 4, 1: None}.items():
            assert await archive.find_tag("a", "main", "x", last=last) == expected
        assert await archive.find_tag("a", "main", "none", last=9) is None
        await archive.write(feeder.pruning("a", 4, 5))
        await archive.write(feeder.pruning("a", 8, 8))
        for _ in range(2):
            assert await archive.tagged("a", "main", last=99) == [(2, ("x",)), (7, ("b",))]
            assert await archive.find_tag("a", "main", "x", last=9) == 2
            await archive.sweep(rows_max=99)

    async def test_streams_are_walked_by_branch_and_name(self, archive: Archive) -> None:
        await Feeder(archive).write(*[event(name) for name in "cab"], event("b", branch="a draft"))
        heads = await archive.walk(None, limit=99)
        assert [(head.branch, head.document) for head in heads] == [
            ("a draft", "b"),
            ("main", "a"),
            ("main", "b"),
            ("main", "c"),
        ]
        assert await archive.walk(("b", "a draft"), limit=2) == heads[1:3]
        assert await archive.walk(("c", "main"), limit=2) == []
        assert await archive.walk(None, limit=0) == []

    async def test_usage_says_what_is_there(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 9), *versions("ab", 1, 2, delta=delta("x" * 5000)), *versions("b", 1, 1))
        usages = await archive.usage("main", prefix="a", after="", limit=9)
        assert [(usage.document, usage.version, usage.events, usage.snapshots) for usage in usages] == [
            ("a", 9, 9, 2),
            ("ab", 2, 2, 0),
        ]
        assert await archive.usage("main", prefix="", after="a", limit=1) == usages[1:]
        for usage in usages:
            assert await archive.weigh(usage.document, "main", first=1, last=99) == (usage.events, usage.bytes)
        await archive.write(feeder.pruning("a", 1, 7))
        await archive.sweep(rows_max=99)
        (pruned,) = await archive.usage("main", prefix="a", after="", limit=1)
        assert (pruned.events, pruned.snapshots) == (2, 1)
        assert (2, pruned.bytes) == await archive.weigh("a", "main", first=1, last=9)
        assert 0 < pruned.bytes < usages[0].bytes

    async def test_what_would_come_back_and_how_far_it_reaches(self, archive: Archive) -> None:
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 10))
        await archive.write(feeder.pruning("a", 2, 5))
        parts = [await archive.weigh("a", "main", first=version, last=version) for version in range(12)]
        assert [events for events, _ in parts] == [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0]
        for first in (1, 3, 6, 8, 10):
            events, size = await archive.weigh("a", "main", first=first, last=2**70)
            assert (events, size) == tuple(map(sum, zip(*parts[first:], strict=True)))
            reached = first if parts[first][0] else 6
            assert await archive.reach("a", "main", bytes_max=size) == reached
            assert await archive.reach("a", "main", bytes_max=size - 1) == min(10, {1: 6}.get(reached, reached + 1))
        assert await archive.reach("a", "main", bytes_max=-1) == 10
        assert await archive.reach("a", "main", bytes_max=2**70) == 1
        assert await archive.reach("none", "main", bytes_max=9) == 0
        assert await archive.weigh("none", "main", first=1, last=9) == (0, 0)
        assert await archive.weigh("a", "main", first=9, last=8) == (0, 0)

    async def test_who_misses_something_from_a_position_on(self, archive: Archive) -> None:
        feeder = await self.pruned(archive)
        await archive.write(feeder.pruning("b", 1, 2))
        assert await archive.compacted("main", prefix="", position=1) == [("a", 14), ("b", 7)]
        assert await archive.compacted("main", prefix="", position=8) == [("a", 14)]
        assert await archive.compacted("main", prefix="b", position=-1) == [("b", 7)]
        assert await archive.compacted("main", prefix="", position=15) == []
        assert await archive.compacted("draft", prefix="", position=1) == []

    async def test_snapshots_that_are_sound_are_not_complained_of(self, archive: Archive) -> None:
        await Feeder(archive).write(*versions("a", 1, 20))
        place, seen = 0, 0
        while True:
            place, found = await archive.inspect_snapshots(place, limit=2)
            assert found == []
            seen += 1
            if not place:
                break
        assert seen <= 3

    async def test_shrinking_says_how_much_it_was(self, archive: Archive) -> None:
        assert await archive.shrink(bytes_max=2**20) >= 0

    async def test_closing_and_opening_keeps_everything(self, tmp_path: Path) -> None:
        archive = self.make(tmp_path / "state.db")
        await archive.open(epoch=EPOCH)
        feeder = Feeder(archive)
        await feeder.write(*versions("a", 1, 6))
        before = await archive.end(), await archive.load([("a", "main")])
        await archive.close()
        await archive.close()
        assert await archive.open(epoch=EPOCH) == before[0]
        assert (await archive.end(), await archive.load([("a", "main")])) == before
        await feeder.write(*versions("a", 7, 9))
        assert await check_archive(archive) == []
        await archive.close()

    async def test_the_archive_of_another_journal_is_refused(self, tmp_path: Path) -> None:
        archive = self.make(tmp_path / "state.db")
        await archive.open(epoch=EPOCH)
        await archive.close()
        with pytest.raises(StoreCorrupt, match=EPOCH):
            await archive.open(epoch="f" * 16)
        await archive.open(epoch=EPOCH)
        await archive.close()

    async def test_one_that_is_open_is_not_opened_again(self, archive: Archive) -> None:
        with pytest.raises(StoreLocked):
            await archive.open(epoch=EPOCH)
        await Feeder(archive).write(event())

    async def test_one_that_is_closed_does_nothing(self, tmp_path: Path) -> None:
        archive = self.make(tmp_path / "state.db")
        with pytest.raises(StorageError, match="not open"):
            await archive.end()
        with pytest.raises(StorageError, match="not open"):
            await Feeder(archive).write(event())
        await archive.close()
