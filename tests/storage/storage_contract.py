"""What every journal and every archive is held to. A subclass says how one is made; its tests end by checking what they used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Raw
from storage_kit import Feeder, append, chain, delta, event, read_all, versions

from palimpsest.errors import Compacted, StorageError, StoreCorrupt, StoreLocked
from palimpsest.storage.checking import check_archive, check_journal
from palimpsest.storage.contracts import Archive, ArchiveEnd, Journal, JournalEnd, Step
from palimpsest.storage.events import GENESIS, Event
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
        yield journal
        assert await check_journal(journal) == []
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

    async def test_the_last_batch_is_never_trimmed(self, journal: Journal) -> None:
        *_, last = await append(journal, versions("a", 1, 1), versions("a", 2, 2))
        assert await journal.trim(2**70, batches_max=2**70) == 1
        assert await journal.trim(2**70, batches_max=10) == 0
        assert await read_all(journal) == [last]
        (more,) = await append(journal, versions("a", 3, 3))
        assert await read_all(journal) == [last, more]

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
        yield archive
        assert await check_archive(archive) == []
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
