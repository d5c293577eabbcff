"""The promises of "The life of an update", each held by a test that the memory stores and a journal that fails make exact."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from palimpsest.errors import (
    CommitFailed,
    DocumentExists,
    DocumentNotFound,
    DurabilityUnknown,
    InternalError,
    InvalidName,
    LimitExceeded,
    Overloaded,
    ServerClosing,
    VersionConflict,
    VersionNotFound,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.state.working import Working

pytestmark = pytest.mark.anyio


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def plain(data: Raw) -> Any:
    return msgspec.msgpack.decode(data)


async def _ticks(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def _update(document: str = "a", value: object = 1) -> tuple[Any, ...]:
    return (m.Update, document, raw([[0, ["x"], value]]))


# --- what a document does --------------------------------------------------------------------------------------------


async def test_versions_are_counted_without_gaps_also_through_deletion(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        assert (await peer.create("a", {"x": 0})).version == 1
        assert (await peer.set("a", ["x"], 1)).version == 2
        assert (await peer.ask(m.Delete, "a")).version == 3
        with pytest.raises(DocumentNotFound) as deleted:
            await peer.get("a")
        assert deleted.value.version == 3
        with pytest.raises(DocumentNotFound):
            await peer.set("a", ["x"], 1)
        assert (await peer.create("a", [])).version == 4
        with pytest.raises(DocumentExists):
            await peer.create("a", [])
        assert plain((await peer.get("a")).value) == []
        assert plain((await peer.get("a", version=2)).value) == {"x": 1}
        with pytest.raises(DocumentNotFound):
            await peer.get("a", version=3)


async def test_expect_is_the_version_that_the_document_must_have(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("a", {})
        await peer.set("a", ["x"], 1, expect=1)
        with pytest.raises(VersionConflict) as conflict:
            await peer.set("a", ["x"], 2, expect=1)
        assert (conflict.value.expected, conflict.value.actual) == (1, 2)
        assert plain((await peer.get("a")).value) == {"x": 1}


async def test_time_does_not_run_backwards_in_a_stream(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        first = await peer.create("a", {})
        house.now -= 500
        second = await peer.set("a", ["x"], 1)
        house.now += 1_000
        third = await peer.set("a", ["x"], 2)
        assert first.at == second.at
        assert third.at == first.at + 500


async def test_names_that_are_none_are_refused_and_cost_nothing(open_house: Any) -> None:
    async with open_house() as house, house.running():
        with pytest.raises(InvalidName):
            await house.peer().create("a//b", {})
        assert house.partition.statistics()["actors"] == 0


async def test_a_document_has_a_bound_in_bytes_that_no_way_around_it_leads(open_house: Any) -> None:
    async with open_house(Limits(document_bytes_max=1_000)) as house, house.running():
        peer = house.peer()
        with pytest.raises(LimitExceeded):
            await peer.create("a", "x" * 1_000)
        await peer.create("a", {"x": "y" * 400})
        with pytest.raises(LimitExceeded) as exceeded:
            await peer.set("a", ["z"], "y" * 600)
        assert exceeded.value.limit == "document_bytes_max"
        with pytest.raises(LimitExceeded):
            await peer.ask(m.Update, "a", raw([[8, ["x"], [str(copy)]] for copy in range(3)]))
        assert plain((await peer.get("a")).value) == {"x": "y" * 400}
        for _ in range(20):  # replacing does not add up
            await peer.set("a", ["x"], "z" * 400)
        assert (await peer.get("a")).version == 21


# --- nothing is visible before it is durable -----------------------------------------------------------------------


async def test_neither_answers_nor_reads_nor_changes_show_what_is_not_durable(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, reader = house.peer(), house.peer("reader")
        await peer.create("a", {"x": 0})
        await reader.ask(m.Subscribe, 1, "**")
        house.journal.hold()
        write = peer.send(*_update())
        read = reader.send(m.Get, "a")
        past = reader.send(m.History, "a")
        missing = reader.send(m.Get, "a", version=3)
        await _ticks()
        assert peer.answers(write) == []
        assert [answer for id in (read, past, missing) for answer in reader.answers(id)] == []
        assert not any(isinstance(told, m.Change) for told in reader.told)
        house.journal.release()
        assert (await peer.answer(write)).version == 2
        assert plain((await reader.answer(read)).value) == {"x": 1}
        assert [entry.version for entry in (await reader.answer(past)).entries] == [2, 1]
        with pytest.raises(VersionNotFound):
            await reader.answer(missing)
        assert [told.version for told in reader.told if isinstance(told, m.Change)] == [2]


async def test_a_read_shows_the_writes_before_it_and_none_after_it(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("a", {"x": 0})
        house.journal.hold()
        peer.send(*_update(value=1))
        first = peer.send(m.Get, "a")
        peer.send(*_update(value=2))
        second = peer.send(m.Get, "a")
        house.journal.release()
        assert plain((await peer.answer(first)).value) == {"x": 1}
        assert plain((await peer.answer(second)).value) == {"x": 2}


async def test_a_refusal_that_rests_on_an_undecided_write_waits_for_it(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("a", {})
        house.journal.hold()
        peer.send(m.Delete, "a")
        read = peer.send(m.Get, "a")
        await _ticks()
        assert peer.answers(read) == []
        house.journal.release()
        with pytest.raises(DocumentNotFound):
            await peer.answer(read)


async def test_while_one_batch_is_committed_the_next_one_gathers(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("a", {})
        before = house.journal.appends
        house.journal.hold()
        ids = [peer.send(*_update())]
        await _ticks()
        ids += [peer.send(*_update(value=value)) for value in range(50)]
        house.journal.release()
        assert [(await peer.answer(id)).version for id in ids] == list(range(2, 53))
        assert house.journal.appends == before + 2


# --- failures --------------------------------------------------------------------------------------------------------


async def test_a_failed_commit_changes_nothing_and_everyone_hears(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("a", {"x": 0})
        await peer.create("b", {"x": 0})
        house.journal.hold()
        house.journal.fail(CommitFailed("disk full", reason="full"))
        doomed = [peer.send(*_update("a"))]
        await _ticks()
        doomed += [peer.send(*_update("a", 2)), peer.send(m.Get, "a"), peer.send(*_update("b"))]
        house.journal.release()
        for id in doomed:
            with pytest.raises(CommitFailed):
                await peer.answer(id)
        assert plain((await peer.get("a")).value) == {"x": 0}
        assert (await peer.set("a", ["x"], 9)).version == 2
        assert (await peer.set("b", ["x"], 9)).version == 2
        assert house.fatal == []


async def test_where_durability_is_unknown_the_partition_stops(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("a", {"x": 0})
            house.journal.fail(DurabilityUnknown("fsync failed", reason="fsync"), written=True)
            with pytest.raises(DurabilityUnknown):
                await peer.ask(*_update())
            await _ticks()
            assert [type(error) for error in house.fatal] == [DurabilityUnknown]
            with pytest.raises(ServerClosing):
                await peer.ask(*_update())
        async with house.running():  # the log knows: it was written after all
            assert plain((await house.peer().get("a")).value) == {"x": 1}


async def test_an_actor_that_fails_answers_everyone_and_is_woken_afresh(
    open_house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("a", {"x": 0})
        house.journal.hold()
        before = peer.send(*_update(value=1))
        read = peer.send(m.Get, "a")
        with monkeypatch.context() as patch:
            patch.setattr(Working, "apply_encoded", _bug)
            with pytest.raises(InternalError):
                await peer.ask(*_update(value=2))
        with pytest.raises(InternalError):
            await peer.answer(read)
        after = peer.send(*_update(value=3))
        await _ticks()
        assert peer.answers(after) == []
        house.journal.release()
        assert (await peer.answer(before)).version == 2
        assert (await peer.answer(after)).version == 3
        assert house.partition.statistics()["crashes"] == 1


def _bug(*arguments: object, **options: object) -> None:
    raise ZeroDivisionError("a bug")


async def test_closing_answers_everyone_who_waits(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("a", {})
        house.journal.hold()
        ids = [peer.send(*_update()), peer.send(m.Get, "a"), peer.send(m.Get, "cold")]
        house.partition.close()
        for id in ids:
            with pytest.raises(ServerClosing):
                await peer.answer(id)
        house.journal.release()


# --- repeats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_repeat_gets_the_first_answer_and_is_not_applied_twice(
    open_house: Any, archived: bool, restarted: bool
) -> None:
    async with open_house() as house:
        async with house.running(inline_archiver=archived):
            peer = house.peer()
            await peer.create("a", {"n": 0})
            first = await peer.ask(m.Update, "a", raw([[3, ["n"], 1]]), id=77)
            for value in range(10):
                await peer.set("a", ["x"], value)
            if archived:
                await house.archived()
            if not restarted:
                peer.told.clear()
                again = await peer.ask(m.Update, "a", raw([[3, ["n"], 1]]), id=77, repeat=True)
                assert (again.version, again.at, again.repeat) == (first.version, first.at, True)
        async with house.running(inline_archiver=archived):
            peer = house.peer()
            again = await peer.ask(m.Update, "a", raw([[3, ["n"], 1]]), id=77, repeat=True)
            assert (again.version, again.at, again.repeat) == (first.version, first.at, True)
            assert plain((await peer.get("a")).value)["n"] == 1
            new = await peer.ask(m.Update, "a", raw([[3, ["n"], 1]]), id=78, repeat=True)
            assert (new.version, new.repeat) == (13, False)
            other = await house.peer("other").ask(m.Update, "a", raw([[3, ["n"], 1]]), id=77, repeat=True)
            assert other.version == 14


async def test_a_repeat_that_meets_its_original_in_the_same_batch_shares_its_fate(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, again = house.peer(), house.peer()
        await peer.create("a", {"n": 0})
        for fails in (False, True):
            house.journal.hold()
            if fails:
                house.journal.fail(CommitFailed("no", reason="no"))
            id = 100 + fails
            peer.send(m.Update, "a", raw([[3, ["n"], 1]]), id=id)
            again.send(m.Update, "a", raw([[3, ["n"], 1]]), id=id, repeat=True)
            await _ticks()
            assert peer.answers(id) == again.answers(id) == []
            house.journal.release()
            if fails:
                with pytest.raises(CommitFailed):
                    await again.answer(id)
            else:
                assert (await again.answer(id)).repeat is True
                assert (await peer.answer(id)).repeat is False
        assert plain((await peer.get("a")).value) == {"n": 1}


async def test_a_repeat_is_known_in_the_moment_between_durable_and_told(open_house: Any) -> None:
    async with open_house() as house, house.running(inline_archiver=False):
        peer, again = house.peer(), house.peer()
        await peer.create("a", {"n": 0})
        append = house.journal.append

        async def append_and_repeat(batch: Any) -> None:
            if batch.position == 3:  # the batch before it is durable, and nobody has been told yet
                again.send(m.Update, "a", raw([[3, ["n"], 1]]), id=50, repeat=True)
            await append(batch)

        house.journal.append = append_and_repeat
        house.journal.hold()
        peer.send(m.Update, "a", raw([[3, ["n"], 1]]), id=50)
        await _ticks()
        other = peer.send(*_update())
        house.journal.release()
        answer = await again.answer(50)
        assert (answer.version, answer.repeat) == (2, True)
        assert (await peer.answer(other)).version == 3
        assert plain((await peer.get("a")).value)["n"] == 1


async def test_a_key_of_the_callers_own_is_always_looked_up(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, other = house.peer(), house.peer("other")
        await peer.create("a", {"n": 0})
        first = await peer.ask(m.Update, "a", raw([[3, ["n"], 1]]), key="order-17")
        await house.archived()
        second = await other.ask(m.Update, "a", raw([[3, ["n"], 1]]), key="order-17")
        assert (second.version, second.repeat) == (first.version, True)


async def test_repeats_of_create_delete_and_transaction(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("a", {}, id=1)
            await peer.ask(m.Delete, "a", id=2)
            parts = (m.Part(0, "a", raw({"x": 1})), m.Part(0, "b", raw({"x": 2})))
            first = await peer.ask(m.Transact, parts, id=3)
        async with house.running():
            peer = house.peer()
            assert (await peer.create("a", {}, id=1, repeat=True)).version == 1
            assert (await peer.ask(m.Delete, "a", id=2, repeat=True)).version == 2
            again = await peer.ask(m.Transact, parts, id=3, repeat=True)
            assert (again.made, again.at, again.repeat) == (first.made, first.at, True)


# --- bounds ----------------------------------------------------------------------------------------------------------


async def test_a_full_mailbox_answers_overloaded_at_once(open_house: Any) -> None:
    async with open_house(Limits(mailbox_items_max=3)) as house, house.running():
        peer = house.peer()
        await peer.create("a", {})
        house.journal.hold()
        kept = [peer.send(*_update()), peer.send(m.Get, "a"), peer.send(*_update())]
        with pytest.raises(Overloaded) as overloaded:
            await peer.ask(*_update())
        assert overloaded.value.limit == "mailbox_items_max"
        house.journal.release()
        for id in kept:
            await peer.answer(id)
        assert (await peer.ask(*_update())).version == 4


async def test_what_does_not_fit_into_a_batch_waits_in_its_mailbox_in_order(open_house: Any) -> None:
    async with open_house(Limits(batch_events_max=4)) as house, house.running():
        peer = house.peer()
        await peer.create("a", {})
        await peer.create("b", {})
        house.journal.hold()
        ids = [(name, peer.send(*_update(name, value))) for value in range(20) for name in ("a", "b")]
        reads = [peer.send(m.Get, "a")]
        house.journal.release()
        versions: dict[str, list[int]] = {"a": [], "b": []}
        for name, id in ids:
            versions[name].append((await peer.answer(id)).version)
        assert versions == {"a": list(range(2, 22)), "b": list(range(2, 22))}
        assert plain((await peer.answer(reads[0])).value) == {"x": 19}


async def test_writes_are_refused_while_the_archiver_is_too_far_behind(open_house: Any) -> None:
    async with open_house(Limits(tail_bytes_max=2_000)) as house, house.running(inline_archiver=False):
        peer = house.peer()
        await peer.create("a", {})
        refused: Overloaded | None = None
        for value in range(100):
            try:
                await peer.set("a", ["x"], value)
            except Overloaded as error:
                refused = error
        assert refused is not None
        assert refused.limit == "tail_bytes_max"
        assert 10 < (await peer.get("a")).version < 100


async def test_the_journal_is_trimmed_behind_the_archive_and_nothing_is_lost(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running(trim_keep_bytes=0):
            peer = house.peer()
            await peer.create("a", {"x": 0})
            for value in range(1, 30):
                await peer.set("a", ["x"], value)
            await house.archived()
            await house.partition.trimmer.trim_once()
            end = await house.journal.end()
            assert 1 < end.oldest <= end.next
        async with house.running():
            peer = house.peer()
            assert plain((await peer.get("a", version=3)).value) == {"x": 2}
            assert [entry.version for entry in (await peer.ask(m.History, "a", limit=100)).entries] == list(
                range(30, 0, -1)
            )


async def test_an_archiver_ahead_of_what_was_told_is_believed_when_it_is_told(open_house: Any) -> None:
    async with open_house() as house, house.running(inline_archiver=False):
        peer, tail = house.peer(), house.partition.tail
        await peer.create("a", {"x": 0})
        house.partition.archived(3)
        assert (tail.start, tail.end) == (2, 2)
        await peer.set("a", ["x"], 1)
        assert (tail.start, tail.end, tail.bytes) == (3, 3, 0)


async def test_what_is_archived_stays_in_the_journal_up_to_its_bound(open_house: Any) -> None:
    async with open_house() as house, house.running(trim_keep_bytes=1_000_000):
        peer = house.peer()
        await peer.create("a", {"x": 0})
        for value in range(1, 30):
            await peer.set("a", ["x"], value)
        await house.archived()
        await house.partition.trimmer.trim_once()
        assert (await house.journal.end()).oldest == 1


# --- many documents --------------------------------------------------------------------------------------------------


async def test_a_transaction_is_whole_or_not_at_all(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("a", {"x": 0})
        await peer.create("b", {"x": 0})
        parts = (m.Part(1, "a", raw([[0, ["x"], 1]])), m.Part(1, "b", raw([[1, ["absent"], 1]])))
        with pytest.raises(Exception, match="absent"):
            await peer.ask(m.Transact, parts)
        with pytest.raises(VersionConflict):
            await peer.ask(m.Transact, (parts[0], m.Part(2, "b", raw(None), expect=7)))
        assert plain((await peer.get("a")).value) == {"x": 0}
        done = await peer.ask(m.Transact, (parts[0], m.Part(0, "c", raw([])), m.Part(2, "b", raw(None), expect=1)))
        assert [(made.document, made.version) for made in done.made] == [("a", 2), ("c", 1), ("b", 2)]
        page = await peer.ask(m.List, "*")
        assert page.names == ("a", "c")


async def test_transactions_over_cold_and_busy_documents_keep_the_order_of_each(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            for name in "abc":
                await peer.create(name, {"n": []})
        async with house.running():
            peer = house.peer()
            ids = []
            for step in range(12):
                names = ("abc", "cb", "a", "bca")[step % 4]
                parts = tuple(m.Part(1, name, raw([[5, ["n"], step]])) for name in names)
                ids.append(peer.send(m.Transact, parts) if step % 3 else peer.send(m.Update, "a", parts[0].body))
            for id in ids:
                await peer.answer(id)
            for name in "abc":
                seen = plain((await peer.get(name)).value)["n"]
                assert seen == sorted(seen)


async def test_list_joins_archive_and_tail_in_pages(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            for number in range(30):
                await house.peer().create(f"n/{number:02}", {})
            await house.archived()
        async with house.running(inline_archiver=False):
            peer = house.peer()
            await peer.ask(m.Delete, "n/03")
            await peer.create("n/035", {})
            await peer.create("other", {})
            found: list[str] = []
            more = True
            while more:
                page = await peer.ask(m.List, "n/*", after=found[-1] if found else "", limit=7)
                found += page.names
                more = page.more
            assert found == sorted({f"n/{number:02}" for number in range(30)} - {"n/03"} | {"n/035"})


async def test_get_many_keeps_the_order_and_says_what_is_not_there(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("a", 1)
        await peer.create("b", 2)
        answer = await peer.ask(m.GetMany, ("b", "nope", "a", "b"))
        assert [document and plain(document.value) for document in answer.documents] == [2, None, 1, 2]
        assert (await peer.ask(m.GetMany, ())).documents == ()
        with pytest.raises(InvalidName):
            await peer.ask(m.GetMany, ("a", ""))


# --- the past --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archived_versions", [0, 1, 9, 17, 40])
async def test_every_version_can_be_read_wherever_it_lies(open_house: Any, archived_versions: int) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("a", {"x": 1})
            for version in range(2, archived_versions + 1):
                await peer.set("a", ["x"], version)
            await house.archived()
        async with house.running(inline_archiver=False):
            peer = house.peer()
            for version in range(max(2, archived_versions + 1), 41):
                await peer.set("a", ["x"], version)
            for version in range(1, 41):
                document = await peer.get("a", version=version)
                assert (document.version, plain(document.value)) == (version, {"x": version})
            oldest_first = await _pages(peer, newest_first=False, first=3, last=38)
            assert oldest_first == list(range(3, 39))
            assert await _pages(peer, newest_first=True, first=3, last=38) == oldest_first[::-1]
            with pytest.raises(VersionNotFound):
                await peer.get("a", version=41)


async def _pages(peer: Any, *, newest_first: bool, first: int, last: int) -> list[int]:
    found: list[int] = []
    more = True
    while more:
        page = await peer.ask(m.History, "a", first=first, last=last, newest_first=newest_first, limit=5)
        found += [entry.version for entry in page.entries]
        more = page.more
        if newest_first:
            last = found[-1] - 1
        else:
            first = found[-1] + 1
    return found


# --- waking and sleeping ---------------------------------------------------------------------------------------------


async def test_idle_actors_go_to_sleep_and_wake_as_they_were(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        for number in range(100):
            await peer.create(f"d/{number}", {"n": number})
        await house.archived()
        registry = house.partition.registry
        registry.tick += 10
        await registry.passivate(idle_ticks=5)
        assert registry.statistics()["actors"] == 0
        ids = [peer.send(m.Get, f"d/{number}") for number in range(100)]
        assert [plain((await peer.answer(id)).value)["n"] for id in ids] == list(range(100))


async def test_actors_with_a_tail_cool_but_stay(open_house: Any) -> None:
    async with open_house() as house, house.running(inline_archiver=False):
        peer = house.peer()
        await peer.create("a", {"x": 0})
        registry = house.partition.registry
        registry.tick += 10
        await registry.passivate(idle_ticks=5)
        actor = registry.actors["a"]
        assert (actor.working, actor.encoded is None) == (None, False)
        assert (await peer.set("a", ["x"], 1)).version == 2


async def test_memory_has_a_bound_and_the_least_recently_used_go_first(open_house: Any) -> None:
    async with open_house(Limits(awake_bytes_max=20_000)) as house, house.running():
        peer = house.peer()
        registry = house.partition.registry
        for number in range(40):
            registry.tick += 1
            await peer.create(f"d/{number:02}", {"text": "x" * 500})
        await house.archived()
        await registry.passivate(idle_ticks=1_000)
        left = sorted(registry.actors)
        assert left == [f"d/{number:02}" for number in range(40 - len(left), 40)]
        assert 0 < len(left) < 40


async def test_a_crash_loses_nothing_that_was_acknowledged(open_house: Any) -> None:
    async with open_house() as house:
        sent = 0
        for round_ in range(10):
            async with house.running(inline_archiver=round_ % 2 == 0):
                peer = house.peer(f"client-{round_}")
                if not sent:
                    await peer.create("a", {"n": 0})
                for _ in range(7):
                    await peer.ask(m.Update, "a", raw([[3, ["n"], 1]]))
                    sent += 1
                peer.send(m.Update, "a", raw([[3, ["n"], 0]]))  # under way when the lights go out
            async with house.running():
                assert plain((await house.peer().get("a")).value) == {"n": sent}
