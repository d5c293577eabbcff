"""Subscriptions: no gap, no duplicate, whatever the credit, the log, the archive and the connection do."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from feed_kit import LOTS, changes, count_up, ended, follow, plain, raw, seen, states, ticks, until

from palimpsest.errors import (
    CommitFailed,
    Compacted,
    CursorInvalid,
    InvalidName,
    InvalidRequest,
    Overloaded,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import encode_cursor

pytestmark = pytest.mark.anyio

# --- live ------------------------------------------------------------------------------------------------------------


async def test_a_live_subscriber_is_handed_each_change_with_all_that_is_known_of_it(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        subscribed = await follow(peer, 7)
        assert subscribed.cursor == encode_cursor(house.journal.epoch, 0)
        assert states(peer, 7) == ["live"]
        made = await writer.create("a", {"n": 0}, meta=m.Meta("ana", "why", ("t",)))
        await writer.ask(m.Delete, "a")
        first, second = changes(peer, 7)
        assert (first.position, first.document, first.branch, first.version, first.kind) == (1, "a", "main", 1, 0)
        assert (first.at, plain(first.delta), first.meta) == (
            made.at,
            [[0, [], {"n": 0}]],
            m.Meta("ana", "why", ("t",)),
        )
        assert (first.more, plain(first.value)) == (0, None)
        assert (second.position, second.version, second.kind, plain(second.delta)) == (2, 2, 2, [])


async def test_patterns_choose(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        for number, pattern in enumerate(["a", "a/*", "a/**", "**", "*", "b/*/c"]):
            await follow(peer, number, pattern)
        for name in ("a", "a/x", "a/x/y", "b/x/c"):
            await writer.create(name, 1)
        names = [[document for document, _ in seen(peer, number)] for number in range(6)]
        assert names == [["a"], ["a/x"], ["a/x", "a/x/y"], ["a", "a/x", "a/x/y", "b/x/c"], ["a"], ["b/x/c"]]


async def test_another_branch_is_not_seen(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await follow(peer, 1, branch="draft")
        await count_up(house, "a", 1, 3)
        assert seen(peer, 1) == []


async def test_subscriptions_of_one_connection_share_a_message(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, other = house.peer(), house.peer("other")
        for number in range(50):
            await follow(peer, number, "a" if number % 2 else "**")
        await follow(other, 3, "a")
        await count_up(house, "a", 1, 4)
        sent = [told for told in peer.told if isinstance(told, m.Change)]
        assert [sorted(change.subscriptions) for change in sent] == [list(range(50))] * 4
        assert seen(other, 3) == [("a", version) for version in range(1, 5)]


async def test_changes_of_a_transaction_are_neighbours(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await follow(peer, 1, "t/*")
        await writer.create("t/a", 1)
        house.journal.hold()
        await ticks()
        ids = [writer.send(m.Create, f"other/{number}", raw(1)) for number in range(3)]
        ids.append(writer.send(m.Transact, tuple(m.Part(0, f"t/{name}", raw(1)) for name in "bcd")))
        ids.append(writer.send(m.Create, "t/e", raw(1)))
        house.journal.release()
        for id in ids:
            await writer.answer(id)
        found = [(change.document, change.more) for change in changes(peer, 1)]
        assert found == [("t/a", 0), ("t/b", 2), ("t/c", 1), ("t/d", 0), ("t/e", 0)]
        again = house.peer("again")
        await follow(again, 1, "t/*", resume_after=encode_cursor(house.journal.epoch, 0))
        await until(lambda: len(changes(again, 1)) == 5)
        assert [(change.document, change.more) for change in changes(again, 1)] == found


async def test_what_failed_is_never_seen(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await follow(peer, 1)
        await follow(peer, 2, values=True)
        await writer.create("a", {"n": 0})
        house.journal.fail(CommitFailed("full", reason="full"))
        with pytest.raises(CommitFailed):
            await writer.set("a", ["n"], -1)
        await writer.set("a", ["n"], 1)
        await until(lambda: len(changes(peer, 2)) == 2)
        assert seen(peer, 1) == seen(peer, 2) == [("a", 1), ("a", 2)]
        assert [plain(change.value) for change in changes(peer, 2)] == [{"n": 0}, {"n": 1}]


# --- behind, and back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("values", [False, True])
async def test_one_without_credit_is_told_so_and_goes_on_without_gap_or_duplicate(
    open_house: Any, archived: bool, values: bool
) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        peer = house.peer()
        await follow(peer, 1, credit_bytes=200, values=values)
        await count_up(house, "a", 1, 40)
        if archived:
            await house.archived()
        await ticks()
        assert 0 < len(changes(peer, 1)) < 20
        assert states(peer, 1)[-1] == "behind"
        assert house.partition.statistics()["behind"] == 1
        rounds = 0
        while len(changes(peer, 1)) < 40:
            rounds += 1
            peer.send(m.Credit, 300, id=1)
            await ticks()
        assert rounds > 3
        assert seen(peer, 1) == [("a", version) for version in range(1, 41)]
        if values:
            assert [plain(change.value)["n"] for change in changes(peer, 1)] == list(range(1, 41))
        peer.send(m.Credit, 10_000, id=1)
        await ticks()
        assert states(peer, 1)[-1] == "live"
        await count_up(house, "a", 41, 42)
        await until(lambda: len(changes(peer, 1)) == 42)
        assert seen(peer, 1)[-2:] == [("a", 41), ("a", 42)]


async def test_markers_say_where_one_is(open_house: Any) -> None:
    """A marker's cursor is a place to resume after: everything before it was sent."""
    async with open_house() as house, house.running():
        peer = house.peer()
        await follow(peer, 1, "a", credit_bytes=150)
        await count_up(house, "b", 1, 5)
        await count_up(house, "a", 1, 10)
        marker = next(told for told in reversed(peer.told) if isinstance(told, m.Marker))
        assert marker.state == "behind"
        again = house.peer("again")
        await follow(again, 1, "a", resume_after=marker.cursor)
        await until(lambda: states(again, 1) == ["live"])
        assert seen(peer, 1) + seen(again, 1) == [("a", version) for version in range(1, 11)]


async def test_credit_is_bounded_by_the_server(open_house: Any) -> None:
    async with open_house(Limits(subscription_bytes_max=300)) as house, house.running():
        peer = house.peer()
        await follow(peer, 1, credit_bytes=2**62)
        peer.send(m.Credit, 2**62, id=1)
        await count_up(house, "a", 1, 30)
        assert sum(len(msgspec.msgpack.encode(change)) for change in changes(peer, 1)) < 400


async def test_one_behind_slows_nobody(open_house: Any) -> None:
    async with open_house() as house, house.running():
        slow, quick = house.peer("slow"), house.peer("quick")
        await follow(slow, 1, credit_bytes=1)
        await follow(quick, 1)
        await count_up(house, "a", 1, 30)
        assert seen(quick, 1) == [("a", version) for version in range(1, 31)]
        assert len(changes(slow, 1)) == 1


async def test_a_connection_that_is_paused_is_sent_nothing_until_it_goes_on(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await follow(peer, 1)
        await follow(peer, 2, values=True)
        await count_up(house, "a", 1, 3)
        await until(lambda: len(changes(peer, 2)) == 3)
        peer.paused = True
        await count_up(house, "a", 4, 20)
        await ticks()
        assert len(changes(peer, 1)) == len(changes(peer, 2)) == 3
        peer.paused = False
        house.partition.feed.resume(peer)
        await until(lambda: len(changes(peer, 1)) == len(changes(peer, 2)) == 20)
        assert seen(peer, 1) == seen(peer, 2) == [("a", version) for version in range(1, 21)]


# --- from a cursor ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archived", [0, 17, 60])
@pytest.mark.parametrize("values", [False, True])
async def test_a_cursor_goes_on_where_it_was_over_archive_and_tail(
    open_house: Any, archived: int, values: bool
) -> None:
    async with open_house() as house:
        async with house.running(inline_archiver=archived > 0):
            await count_up(house, "a", 1, max(1, archived))
            if archived:
                await house.archived()
        async with house.running(inline_archiver=False):
            await count_up(house, "a", max(1, archived) + 1, 60)
            for position in (0, 5, 16, 17, 18, 59, 60):
                peer = house.peer(f"from {position}")
                cursor = encode_cursor(house.journal.epoch, position)
                assert (await follow(peer, 1, resume_after=cursor, values=values)).cursor == cursor
                await until(lambda peer=peer: states(peer, 1) == ["live"])
                assert seen(peer, 1) == [("a", version) for version in range(position + 1, 61)]
                if values:
                    found = [plain(change.value)["n"] for change in changes(peer, 1)]
                    assert found == list(range(position + 1, 61))


async def test_nothing_falls_between_the_log_and_live(open_house: Any) -> None:
    """Versions are made while the log is read, and archived while it is read."""
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 30)
        peers = []
        for number in range(8):
            peer = house.peer(f"p{number}")
            peers.append(peer)
            peer.send(
                m.Subscribe, 1, "**", resume_after=encode_cursor(house.journal.epoch, number), values=number % 2 == 1
            )
            await count_up(house, "a", 31 + number * 3, 33 + number * 3)
        await until(lambda: all(len(changes(peer, 1)) == 54 - number for number, peer in enumerate(peers)))
        for number, peer in enumerate(peers):
            assert seen(peer, 1) == [("a", version) for version in range(number + 1, 55)]


async def test_deleted_and_made_again_with_values(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await writer.create("a", {"n": 1})
        await writer.ask(m.Delete, "a")
        await writer.create("a", [2])
        await follow(peer, 1, values=True, resume_after=encode_cursor(house.journal.epoch, 0))
        await until(lambda: len(changes(peer, 1)) == 3)
        found = [(change.kind, plain(change.value)) for change in changes(peer, 1)]
        assert found == [(0, {"n": 1}), (2, None), (0, [2])]


@pytest.mark.parametrize(
    "cursor",
    ["", "nonsense", "1" + "0" * 16 + ".0", "future", "far future"],
)
async def test_a_cursor_that_is_none_of_this_journal_is_refused(open_house: Any, cursor: str) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 3)
        epoch = house.journal.epoch
        cursor = {"future": encode_cursor(epoch, 4), "far future": encode_cursor(epoch, 2**63 - 1)}.get(cursor, cursor)
        peer = house.peer()
        with pytest.raises(CursorInvalid):
            await follow(peer, 1, resume_after=cursor)
        await follow(peer, 1)  # the number is free
        assert house.partition.statistics()["subscriptions"] == 1


async def test_a_cursor_before_what_is_kept_is_told_the_oldest_that_is_left(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 10)
        peer = house.peer()
        await peer.ask(m.Prune, "a", "main", m.Retain(versions=5), False)
        await follow(peer, 1, resume_after=encode_cursor(house.journal.epoch, 2))
        error = await ended(peer, 1)
        assert isinstance(error, Compacted)
        assert error.oldest == encode_cursor(house.journal.epoch, 5)
        await follow(peer, 2, resume_after=error.oldest)
        await until(lambda: states(peer, 2) == ["live"])
        assert seen(peer, 2) == [("a", version) for version in range(6, 11)]


# --- values ----------------------------------------------------------------------------------------------------------


async def test_a_value_that_is_asked_for_behind_a_commit_that_fails_is_asked_for_again(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await count_up(house, "a", 1, 5)
        house.journal.hold()
        house.journal.fail(CommitFailed("full", reason="full"))
        doomed = writer.send(m.Update, "a", raw([[0, ["n"], -1]]))
        await follow(peer, 1, values=True, resume_after=encode_cursor(house.journal.epoch, 0))
        await ticks()
        house.journal.release()
        with pytest.raises(CommitFailed):
            await writer.answer(doomed)
        await until(lambda: len(changes(peer, 1)) == 5)
        assert [plain(change.value)["n"] for change in changes(peer, 1)] == [1, 2, 3, 4, 5]


async def test_a_value_of_a_document_whose_mailbox_is_full_comes_when_there_is_room(open_house: Any) -> None:
    async with open_house(Limits(mailbox_items_max=2)) as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await count_up(house, "a", 1, 5)
        house.journal.hold()
        ids = [writer.send(m.Update, "a", raw([[0, ["n"], value]])) for value in (6, 7)]
        await follow(peer, 1, values=True, resume_after=encode_cursor(house.journal.epoch, 0))
        await ticks()
        assert changes(peer, 1) == []
        house.journal.release()
        for id in ids:
            await writer.answer(id)
        await until(lambda: len(changes(peer, 1)) == 7)
        assert [plain(change.value)["n"] for change in changes(peer, 1)] == list(range(1, 8))


async def test_a_change_that_does_not_fit_into_a_frame_ends_its_subscription_only(open_house: Any) -> None:
    async with open_house(Limits(frame_bytes_max=5_000, document_bytes_max=4_000)) as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await follow(peer, 1, values=True)
        await follow(peer, 2)
        await writer.create("a", "x" * 3_000)  # once as its delta, once as its value
        error = await ended(peer, 1)
        assert (error.code, error.limit) == ("limit_exceeded", "frame_bytes_max")
        assert seen(peer, 2) == [("a", 1)]


# --- coming and going ------------------------------------------------------------------------------------------------


async def test_what_makes_no_sense_is_refused(open_house: Any) -> None:
    async with open_house(Limits(subscriptions_per_connection_max=2)) as house, house.running():
        peer = house.peer()
        with pytest.raises(InvalidName):
            await follow(peer, 1, "a//b")
        await follow(peer, 1)
        with pytest.raises(InvalidRequest):
            await follow(peer, 1)
        await follow(peer, 2)
        with pytest.raises(Overloaded):
            await follow(peer, 3)
        await follow(house.peer("other"), 1)
        peer.send(m.Unsubscribe, id=2)
        assert await ended(peer, 2) is None
        await follow(peer, 3)


async def test_an_end_is_an_end_and_its_number_is_free(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await follow(peer, 1)
        await count_up(house, "a", 1, 2)
        peer.send(m.Unsubscribe, id=1)
        peer.send(m.Unsubscribe, id=1)  # over by now: no mistake
        peer.send(m.Credit, 100, id=1)
        assert await ended(peer, 1) is None
        await count_up(house, "a", 3, 4)
        assert seen(peer, 1) == [("a", 1), ("a", 2)]
        await follow(peer, 1)
        await count_up(house, "a", 5, 5)
        assert seen(peer, 1) == [("a", 1), ("a", 2), ("a", 5)]
        assert house.partition.statistics()["subscriptions"] == 1


@pytest.mark.parametrize("values", [False, True])
async def test_one_that_goes_away_while_it_is_served_is_sent_nothing_more(open_house: Any, values: bool) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 50)
        await house.archived()
        for delay in range(0, 12):
            peer, other = house.peer(), house.peer("other")
            for one in (peer, other):
                one.send(m.Subscribe, 1, "**", resume_after=encode_cursor(house.journal.epoch, 0), values=values)
            await ticks(delay)
            house.partition.feed.forget(peer)
            before = len(peer.told)
            await until(lambda other=other: len(changes(other, 1)) == 50)
            assert len(peer.told) == before
            house.partition.feed.forget(other)
        assert house.partition.statistics()["subscriptions"] == 0


async def test_any_mixture_of_credit_patterns_and_restarts_gives_every_change_once(open_house: Any) -> None:
    """Against a model: the list of everything that was made."""
    chance = random.Random(7)
    names = ["a", "b/1", "b/2", "c/1/2"]
    patterns = ["**", "a", "b/*", "c/**"]
    made: list[tuple[str, int]] = []
    versions = dict.fromkeys(names, 0)
    async with open_house() as house:
        followers: dict[int, tuple[str, str | None, list[tuple[str, int]]]] = {
            number: (patterns[number % 4], None, []) for number in range(8)
        }
        cursors: dict[int, str] = {}
        for round_ in range(4):
            async with house.running(inline_archiver=round_ % 2 == 0):
                peers = {}
                for number, (pattern, _, _) in followers.items():
                    peers[number] = peer = house.peer(f"p{number}")
                    cursor = cursors.setdefault(number, encode_cursor(house.journal.epoch, 0))
                    await follow(peer, 1, pattern, resume_after=cursor, credit_bytes=100, values=number % 3 == 0)
                writer = house.peer(f"writer {round_}")
                for _ in range(60):
                    name = chance.choice(names)
                    versions[name] += 1
                    made.append((name, versions[name]))
                    value = {"n": versions[name]}
                    await (writer.create(name, value) if versions[name] == 1 else writer.set(name, ["n"], value["n"]))
                    peers[chance.randrange(8)].send(m.Credit, chance.randrange(1, 400), id=1)
                    await ticks(chance.randrange(4))
                if round_ == 3:
                    for peer in peers.values():
                        peer.send(m.Credit, LOTS, id=1)
                    await until(lambda peers=peers: all(states(peer, 1)[-1:] == ["live"] for peer in peers.values()))
                    await ticks()
                for number, (_, _, got) in followers.items():
                    for change in changes(peers[number], 1):
                        got.append((change.document, change.version))
                        cursors[number] = encode_cursor(house.journal.epoch, change.position)
                        assert number % 3 or plain(change.value) == {"n": change.version}
        for pattern, _, got in followers.values():
            expected = {
                "**": made,
                "a": [one for one in made if one[0] == "a"],
                "b/*": [one for one in made if one[0].startswith("b/")],
                "c/**": [one for one in made if one[0].startswith("c/")],
            }[pattern]
            assert got == expected
