"""Named subscriptions over a partition: what is delivered, what is written down, and what a crash leaves of it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import anyio
import pytest
from feed_kit import changes, count_up, ended, plain, raw, states, ticks, until

from palimpsest.actors.archiver import Archiver
from palimpsest.errors import (
    CommitFailed,
    Compacted,
    CursorInvalid,
    InternalError,
    InvalidName,
    InvalidRequest,
    ServerClosing,
    SubscriptionNotFound,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import encode_cursor

pytestmark = pytest.mark.anyio

DOCUMENT = "$system/subscriptions/work"


async def work(peer: Any, number: int = 1, pattern: str = "*", *, name: str = "work", **options: Any) -> m.Subscribed:
    answer = await peer.ask(m.Subscribe, number, pattern, name=name, **options)
    assert isinstance(answer, m.Subscribed)
    return answer


def beginning(house: Any) -> str:
    return encode_cursor(house.journal.epoch, 0)


def got(peer: Any, number: int = 1) -> list[tuple[str, int, int]]:
    """What a worker was sent: document, version, and which delivery it was."""
    return [(change.document, change.version, change.tries) for change in changes(peer, number)]


async def gets(peer: Any, *expected: tuple[str, int, int], number: int = 1) -> None:
    await until(lambda: len(got(peer, number)) >= len(expected))
    assert got(peer, number) == list(expected)


def positions(peer: Any, number: int = 1) -> list[int]:
    return [change.position for change in changes(peer, number)]


async def state_of(peer: Any, name: str = "work") -> m.SubscriptionInfo:
    (info,) = (await peer.ask(m.ListSubscriptions, name)).items
    return info


# --- delivering ------------------------------------------------------------------------------------------------------


async def test_changes_are_delivered_until_they_are_acknowledged(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            await count_up(house, "a", 1, 2)
            peer = house.peer()
            subscribed = await work(peer, resume_after=beginning(house))
            assert subscribed.cursor == beginning(house)
            await gets(peer, ("a", 1, 1), ("a", 2, 1))
            await until(lambda: states(peer, 1) == ["live"])
            first, second = changes(peer, 1)
            assert plain(first.delta) == [[0, [], {"n": 1}]]
            answer = await peer.ask(m.Ack, "work", (first.position,))
            assert answer == m.Acknowledged(answer.id, "work", encode_cursor(house.journal.epoch, first.position))
        async with house.running():  # as after a crash
            again = house.peer()
            subscribed = await work(again)
            assert subscribed.cursor == encode_cursor(house.journal.epoch, first.position)
            await gets(again, ("a", 2, 1))
            await again.ask(m.Ack, "work", (second.position,))
        async with house.running():
            last = house.peer()
            await work(last)
            await until(lambda: states(last, 1) == ["live"])
            await count_up(house, "a", 3, 3)
            await gets(last, ("a", 3, 1))


async def test_one_that_is_new_starts_now(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 2)
        peer = house.peer()
        await work(peer)
        await count_up(house, "a", 3, 3)
        await gets(peer, ("a", 3, 1))


@pytest.mark.parametrize(
    ("start", "expected"),
    [({"from_version": 2}, [2, 3]), ({"from_time": 0}, [1, 2, 3])],
    ids=["version", "time"],
)
async def test_one_that_is_new_starts_where_it_is_told(
    open_house: Any, start: dict[str, int], expected: list[int]
) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 3)
        peer = house.peer()
        await work(peer, pattern="a", **start)
        await gets(peer, *(("a", version, 1) for version in expected))


async def test_workers_share(open_house: Any) -> None:
    async with open_house() as house, house.running():
        x, y = house.peer("x"), house.peer("y")
        await work(x)
        await work(y)
        for name in "abcd":
            await count_up(house, name, 1, 2)
        await until(lambda: len(got(x)) + len(got(y)) == 8)
        assert {name for name, _, _ in got(x)}.isdisjoint({name for name, _, _ in got(y)})
        assert len(got(x)) == len(got(y)) == 4
        info = await state_of(x)
        assert (info.workers, info.in_flight, info.dead, info.pattern, info.branch) == (2, 8, 0, "*", "main")


async def test_conditions_hold_and_values_are_each_workers_own(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await work(peer, tags=("x", "b"), values=True)
        await work(peer, 2, tags=("b", "x"))
        await writer.create("a", 1)
        await writer.set("a", [], 2, meta=m.Meta(tags=("b",)))
        await writer.create("c", 3, meta=m.Meta(tags=("x",)))
        await until(lambda: len(got(peer, 1)) + len(got(peer, 2)) == 2)
        assert [plain(change.value) for change in changes(peer, 1)] == [2]
        assert [plain(change.value) for change in changes(peer, 2)] == [None]


async def test_a_deletion_has_no_value(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await work(peer, values=True)
        await writer.create("a", 1)
        await writer.ask(m.Delete, "a")
        await until(lambda: len(got(peer)) == 2)
        assert [plain(change.value) for change in changes(peer, 1)] == [1, None]


async def test_it_does_not_follow_itself(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer, pattern="$system/**")
        await house.peer("writer").create("$system/retention/x", {"documents": "a", "versions": 1})
        await gets(peer, ("$system/retention/x", 1, 1))
        await peer.ask(m.Ack, "work", tuple(positions(peer)))
        await ticks()
        assert len(got(peer)) == 1


async def test_credit_and_a_connection_that_takes_nothing(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer, credit_bytes=1)
        await count_up(house, "a", 1, 3)
        await gets(peer, ("a", 1, 1))
        peer.send(m.Credit, 1, id=1)
        await gets(peer, ("a", 1, 1))
        house.partition.routes[m.Credit](m.Credit(1, 1000), peer, 0)
        await until(lambda: len(got(peer)) == 3)
        peer.paused = True
        await count_up(house, "a", 4, 4)
        await ticks()
        assert len(got(peer)) == 3
        peer.paused = False
        house.partition.feed.resume(peer)
        await until(lambda: len(got(peer)) == 4)


async def test_no_more_is_open_than_there_is_room_for(open_house: Any) -> None:
    async with open_house(limits=Limits(unacked_changes_max=3)) as house, house.running():
        peer = house.peer()
        await work(peer)
        for number in range(6):
            await count_up(house, f"d{number}", 1, 1)
        await until(lambda: len(got(peer)) == 3)
        await until(lambda: states(peer, 1)[-1:] == ["behind"])
        for _ in range(6):
            await peer.ask(m.Ack, "work", tuple(positions(peer)))
        await until(lambda: len(got(peer)) == 6)
        await until(lambda: states(peer, 1)[-1:] == ["live"])


async def test_what_does_not_stay_in_memory_is_read_again(open_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palimpsest.actors.group._ROWS_BYTES_MAX", 6_000)
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await work(peer, unacked_max=1)
        large = "x" * 3_000
        for name in "abc":
            await writer.create(name, name + large)
        await gets(peer, ("a", 1, 1))
        for name, before in zip("bc", "ab", strict=True):
            await peer.ask(m.Ack, "work", (positions(peer)[-1],))
            await until(lambda before=before: got(peer)[-1][0] != before)
            assert plain(changes(peer, 1)[-1].delta)[0][2] == name + large


async def test_what_was_erased_is_not_delivered_as_it_was(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await work(peer, unacked_max=1)
        await writer.create("z", 1)
        await writer.create("a", {"secret": "s3cret", "n": 1})
        await gets(peer, ("z", 1, 1))
        await writer.ask(m.Erase, "a", ("secret",))
        await peer.ask(m.Ack, "work", (positions(peer)[-1],))
        await until(lambda: len(got(peer)) == 2)
        assert "s3cret" not in repr(plain(changes(peer, 1)[-1].delta))


async def test_what_was_read_before_an_erasure_was_archived_is_read_again(open_house: Any) -> None:
    async with open_house() as house, house.running(inline_archiver=False):
        peer, writer = house.peer(), house.peer("writer")
        await writer.create("z", 1)
        await writer.create("a", {"secret": "s3cret", "n": 1})
        erasure = writer.send(m.Erase, "a", ("secret",))
        await until(lambda: house.partition.tail.end == 3)
        await work(peer, unacked_max=1, resume_after=beginning(house))
        await gets(peer, ("z", 1, 1))
        tail = house.partition.tail
        house.partition.archived(await Archiver(house.archive).write(tail.batches(tail.start, bytes_max=1 << 20)))
        await writer.answer(erasure)
        peer.send(m.Ack, "work", tuple(positions(peer)))
        await until(lambda: len(got(peer)) == 2)
        assert got(peer)[1] == ("a", 1, 1)
        assert "s3cret" not in repr(plain(changes(peer, 1)[-1].delta))


async def test_what_is_too_large_for_a_frame_is_put_aside(open_house: Any) -> None:
    async with open_house(limits=Limits(frame_bytes_max=20_000)) as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await work(peer, values=True)
        await writer.create("a", ["x" * 12_000])
        await writer.create("b", 1)
        await until(lambda: len(got(peer)) == 1)
        info = await state_of(peer)
        assert [(letter.document, letter.tries) for letter in info.letters] == [("a", 1)]
        assert "bytes" in info.letters[0].reason


async def test_nothing_comes_after_the_end(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer, values=True)
        delivery = house.partition.groups._delivery
        ask, begun, may = delivery._ask, anyio.Event(), anyio.Event()

        async def slowly(request: m.Get) -> m.Document:
            begun.set()
            await may.wait()
            document: m.Document = await ask(request)
            return document

        delivery._ask = slowly
        await count_up(house, "a", 1, 1)
        await begun.wait()
        await peer.ask(m.DeleteSubscription, "work")
        assert isinstance(await ended(peer, 1), SubscriptionNotFound)
        may.set()
        await ticks(100)
        assert got(peer) == []


async def test_a_failure_of_ours_ends_the_subscription_that_it_is_in(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, other = house.peer(), house.peer("other")

        def fail(encoded: bytes) -> None:
            raise RuntimeError("a bug")

        peer.push = fail
        await work(peer)
        await work(other, name="other")
        await count_up(house, "a", 1, 1)
        assert isinstance(await ended(peer, 1), InternalError)
        await gets(other, ("a", 1, 1))
        assert house.fatal == []


# --- failing ---------------------------------------------------------------------------------------------------------


async def test_what_is_not_acknowledged_in_time_goes_to_another(open_house: Any) -> None:
    async with open_house() as house, house.running():
        x, y = house.peer("x"), house.peer("y")
        await work(x, ack_seconds=10)
        await count_up(house, "a", 1, 2)
        await gets(x, ("a", 1, 1), ("a", 2, 1))
        await work(y)
        house.wait(9.9)
        await ticks()
        assert got(y) == []
        house.wait(0.1)
        await gets(y, ("a", 1, 2), ("a", 2, 1))
        await x.ask(m.Ack, "work", tuple(positions(x)))  # late, and good all the same
        house.wait(100)
        await ticks()
        assert len(got(x)) + len(got(y)) == 4


async def test_a_worker_that_is_gone(open_house: Any) -> None:
    async with open_house() as house, house.running():
        x, y = house.peer("x"), house.peer("y")
        await work(x)
        await count_up(house, "a", 1, 2)
        await gets(x, ("a", 1, 1), ("a", 2, 1))
        await work(y)
        house.partition.feed.forget(x)
        await gets(y, ("a", 1, 2), ("a", 2, 1))


async def test_a_worker_that_leaves(open_house: Any) -> None:
    async with open_house() as house, house.running():
        x, y = house.peer("x"), house.peer("y")
        await work(x)
        await count_up(house, "a", 1, 1)
        await gets(x, ("a", 1, 1))
        await work(y)
        house.partition.routes[m.Unsubscribe](m.Unsubscribe(1), x, 0)
        assert await ended(x, 1) is None
        await gets(y, ("a", 1, 1))


async def test_refused(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer, tries_max=3)
        await count_up(house, "a", 1, 2)
        await gets(peer, ("a", 1, 1), ("a", 2, 1))
        position = positions(peer)[0]
        await peer.ask(m.Nack, "work", position)
        await until(lambda: len(got(peer)) == 4)
        await peer.ask(m.Nack, "work", position, "not now", 20.0)
        await ticks()
        assert len(got(peer)) == 4
        house.wait(20)
        await until(lambda: len(got(peer)) == 6)
        await peer.ask(m.Nack, "work", position, "never")
        await until(lambda: len(got(peer)) == 7)
        assert got(peer)[2:] == [("a", 1, 2), ("a", 2, 1), ("a", 1, 3), ("a", 2, 1), ("a", 2, 1)]
        info = await state_of(peer)
        assert info.letters == (m.DeadLetter(position, "a", "main", 1, 3, "never"),)


async def test_who_does_not_have_it_any_more_does_not_refuse_it(open_house: Any) -> None:
    async with open_house() as house, house.running():
        x, y = house.peer("x"), house.peer("y")
        await work(x, ack_seconds=10)
        await count_up(house, "a", 1, 1)
        await gets(x, ("a", 1, 1))
        await work(y)
        house.wait(10)
        await gets(y, ("a", 1, 2))
        await x.ask(m.Nack, "work", positions(x)[0])
        await ticks()
        assert len(got(x)) == len(got(y)) == 1


async def test_failures_are_known_after_a_crash(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await work(peer)
            await count_up(house, "a", 1, 1)
            await gets(peer, ("a", 1, 1))
            await peer.ask(m.Nack, "work", positions(peer)[0])
            await peer.ask(m.Ack, "work", ())  # which is answered once all that was said before is durable
        async with house.running():
            again = house.peer()
            await work(again)
            await gets(again, ("a", 1, 2))


async def test_dead_letters_are_delivered_again(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await work(peer, tries_max=1)
            for name in "ab":
                await count_up(house, name, 1, 1)
            await gets(peer, ("a", 1, 1), ("b", 1, 1))
            a, b = positions(peer)
            for position in (a, b):
                await peer.ask(m.Nack, "work", position, "no")
            await peer.ask(m.Ack, "work", ())
        async with house.running():
            again = house.peer()
            await again.ask(m.Redrive, "work", (a,))
            assert [letter.again for letter in (await state_of(again)).letters] == [True, False]
        async with house.running():
            last = house.peer()
            await work(last)
            await gets(last, ("a", 1, 2))
            await last.ask(m.Ack, "work", (a,))
            await last.ask(m.Redrive, "work")
            await gets(last, ("a", 1, 2), ("b", 1, 2))
            await last.ask(m.Ack, "work", (b,))
            info = await state_of(last)
            assert (info.dead, info.letters) == (0, ())


async def test_a_dead_letter_whose_version_is_not_kept_any_more(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await work(peer, tries_max=1)
            await count_up(house, "a", 1, 2)
            await gets(peer, ("a", 1, 1), ("a", 2, 1))
            await peer.ask(m.Nack, "work", positions(peer)[0], "no")
            await peer.ask(m.Ack, "work", tuple(positions(peer)))
            await peer.ask(m.Ack, "work", tuple(positions(peer)))
            await count_up(house, "b", 1, 1)
            await until(lambda: got(peer)[-1][0] == "b")
            await peer.ask(m.Nack, "work", positions(peer)[-1], "no")
            await house.peer("writer").set("b", ["n"], 2)
            await peer.ask(m.Prune, "b", retain=m.Retain(versions=1), dry_run=False)
        async with house.running():
            again = house.peer()
            await again.ask(m.Redrive, "work")
            await work(again)
            await until(lambda: len(got(again)) == 1)
            assert got(again) == [("b", 2, 1)]
            (letter,) = (await state_of(again)).letters
            assert (letter.document, letter.again) == ("b", False)
            assert "kept" in letter.reason


# --- asking ----------------------------------------------------------------------------------------------------------


async def test_acknowledgements_are_gathered(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer, unacked_max=100)
        for number in range(50):
            await count_up(house, f"d{number:02}", 1, 1)
        await until(lambda: len(got(peer)) == 50)
        ids = [peer.send(m.Ack, "work", (position,)) for position in positions(peer)]
        for id in ids:
            assert isinstance(await peer.answer(id), m.Acknowledged)
        assert (await peer.get(DOCUMENT)).version <= 3


async def test_an_acknowledgement_said_again_is_harmless(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await work(peer)
            await count_up(house, "a", 1, 1)
            await until(lambda: len(got(peer)) == 1)
            (position,) = positions(peer)
            first, second = (peer.send(m.Ack, "work", (position,)) for _ in range(2))
            await peer.answer(first)
            await peer.answer(second)
            await peer.ask(m.Ack, "work", (position,))
            await peer.ask(m.Ack, "work", ())
            version = (await peer.get(DOCUMENT)).version
            assert version == 2
        async with house.running():
            again = house.peer()
            assert isinstance(await again.ask(m.Ack, "work", (position,), house.journal.epoch), m.Acknowledged)
            assert house.partition.statistics()["named_subscriptions"] == 0


async def test_what_is_acknowledged_before_it_is_read_again(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await work(peer)
            await count_up(house, "a", 1, 2)
            await until(lambda: len(got(peer)) == 2)
            last = positions(peer)[-1]
        async with house.running():
            await house.peer().ask(m.Ack, "work", (last,))
        async with house.running():
            again = house.peer()
            await work(again)
            await gets(again, ("a", 1, 1))
            await until(lambda: states(again, 1) == ["live"])


async def test_a_change_that_becomes_durable_together_with_an_acknowledgement(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await work(peer)
        await count_up(house, "a", 1, 1)
        await until(lambda: states(peer, 1) == ["live"] and len(got(peer)) == 1)
        house.journal.hold()
        others = [writer.send(m.Create, "not/followed", raw(1))]
        await ticks()
        ack = peer.send(m.Ack, "work", tuple(positions(peer)))
        await ticks()
        others.append(writer.send(m.Create, "b", raw(1)))
        await ticks()
        house.journal.release()
        await peer.answer(ack)
        for id in others:
            await writer.answer(id)
        await until(lambda: len(got(peer)) == 2)
        assert got(peer)[-1] == ("b", 1, 1)


async def test_named_subscriptions_are_listed(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        assert (await peer.ask(m.ListSubscriptions)).items == ()
        for number, name in enumerate("abc"):
            await work(peer, number, name=name)
        house.partition.feed.forget(peer)
        answer = await peer.ask(m.ListSubscriptions, limit=2)
        assert ([info.name for info in answer.items], answer.more) == (["a", "b"], True)
        answer = await peer.ask(m.ListSubscriptions, after="b")
        assert ([(info.name, info.workers) for info in answer.items], answer.more) == ([("c", 0)], False)
        with pytest.raises(InvalidRequest):
            await peer.ask(m.ListSubscriptions, limit=0)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [(m.Ack, (1,)), (m.Nack, 1), (m.Redrive, ()), (m.DeleteSubscription, False), (m.ListSubscriptions, "")],
    ids=["Ack", "Nack", "Redrive", "DeleteSubscription", "ListSubscriptions"],
)
async def test_there_is_none_of_that_name(open_house: Any, kind: type, arguments: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        with pytest.raises(SubscriptionNotFound) as caught:
            await peer.ask(kind, "none", arguments)
        assert caught.value.name == "none"
        for name in ("", "a/b"):
            with pytest.raises(InvalidName):
                await peer.ask(kind, name, arguments)


async def test_deleted(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await work(peer)
        deleted = await writer.ask(m.DeleteSubscription, "work", meta=m.Meta("ana"))
        assert isinstance(deleted, m.Committed)
        assert isinstance(await ended(peer, 1), SubscriptionNotFound)
        again = await house.peer("writer").ask(m.DeleteSubscription, "work", repeat=True, id=deleted.id)
        assert (again.version, again.repeat) == (deleted.version, True)
        await count_up(house, "a", 1, 1)
        await work(peer, 2)
        await count_up(house, "a", 2, 2)
        await gets(peer, ("a", 2, 1), number=2)


async def test_deleted_while_something_is_written(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await work(peer)
        await count_up(house, "a", 1, 2)
        await until(lambda: len(got(peer)) == 2)
        deletion = writer.send(m.DeleteSubscription, "work")
        ack = peer.send(m.Ack, "work", tuple(positions(peer)))
        await writer.answer(deletion)
        with pytest.raises(SubscriptionNotFound):
            await peer.answer(ack)


@pytest.mark.parametrize(
    "options",
    [
        {"snapshot": True},
        {"policy": "disconnect"},
        {"ack_seconds": 0.0},
        {"ack_seconds": float("nan")},
        {"tries_max": 0},
        {"unacked_max": 0},
        {"kinds": (9,)},
        {"credit_bytes": -1},
    ],
    ids=["snapshot", "policy", "no time", "nan", "no tries", "no changes", "kinds", "credit"],
)
async def test_what_makes_no_sense(open_house: Any, options: dict[str, Any]) -> None:
    async with open_house() as house, house.running():
        with pytest.raises(InvalidRequest):
            await work(house.peer(), **options)


@pytest.mark.parametrize("name", ["", "a/b", "a\0"])
async def test_what_is_no_name(open_house: Any, name: str) -> None:
    async with open_house() as house, house.running():
        with pytest.raises(InvalidName):
            await work(house.peer(), name=name)


@pytest.mark.parametrize("options", [{"pattern": "b"}, {"tags": ("x",)}, {"by": "ana"}, {"kinds": (1,)}])
async def test_it_is_the_same_for_all(open_house: Any, options: dict[str, Any]) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer)
        with pytest.raises(InvalidRequest) as caught:
            await work(peer, 2, **options)
        assert next(iter(options)) in caught.value.message
        await work(peer, 2)
        with pytest.raises(InvalidRequest):
            await work(peer, 2)


async def test_positions_of_another_log_or_of_the_future(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer)
        for kind, at in ((m.Ack, (1,)), (m.Nack, 1)):
            with pytest.raises(CursorInvalid):
                await peer.ask(kind, "work", at, epoch="0" * 16)
        for kind, at in ((m.Ack, (1000,)), (m.Nack, 1000)):
            with pytest.raises(InvalidRequest):
                await peer.ask(kind, "work", at)
        with pytest.raises(InvalidRequest):
            await peer.ask(m.Nack, "work", 1, delay_seconds=3601.0)


async def test_of_another_store(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create(DOCUMENT, {"pattern": "a", "cursor": encode_cursor("0" * 16, 5)})
        with pytest.raises(CursorInvalid) as caught:
            await work(peer, pattern="a")
        assert "delete it" in caught.value.message
        assert (await state_of(peer)).cursor == encode_cursor("0" * 16, 5)
        await peer.ask(m.DeleteSubscription, "work")
        await work(peer, pattern="a")


async def test_what_is_not_kept_any_more(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer)
        house.partition.feed.forget(peer)
        await count_up(house, "a", 1, 3)
        await peer.ask(m.Prune, "a", retain=m.Retain(versions=1), dry_run=False)
        await work(peer, 2)
        assert isinstance(await ended(peer, 2), Compacted)


async def test_a_start_that_is_none(open_house: Any) -> None:
    async with open_house() as house, house.running():
        with pytest.raises(CursorInvalid):
            await work(house.peer(), resume_after=encode_cursor("0" * 16, 5))
        with pytest.raises(SubscriptionNotFound):
            await state_of(house.peer())


async def test_gone_before_it_has_begun(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        id = peer.send(m.Subscribe, 1, "*", name="work")
        house.partition.routes[m.Unsubscribe](m.Unsubscribe(1), peer, 0)
        with pytest.raises(InvalidRequest, match="before it began"):
            await peer.answer(id)
        peer.send(m.Subscribe, 1, "*", name="work")
        house.partition.feed.forget(peer)
        await until(lambda: house.partition.statistics()["named_subscriptions"] == 0)


async def test_two_who_make_it_at_once(open_house: Any) -> None:
    async with open_house() as house, house.running():
        x, y = house.peer("x"), house.peer("y")
        ids = [peer.send(m.Subscribe, 1, "*", name="work") for peer in (x, y)]
        for peer, id in zip((x, y), ids, strict=True):
            assert isinstance(await peer.answer(id), m.Subscribed)
        assert (await state_of(x)).workers == 2


# --- all together ----------------------------------------------------------------------------------------------------


class Walk:
    """Workers that do anything at all, and a house that crashes: what was acknowledged, and what was delivered after that."""

    def __init__(self, house: Any, rng: random.Random) -> None:
        self.house = house
        self.rng = rng
        self.versions = Counter[str]()
        self.positions: dict[int, tuple[str, int]] = {}
        self.acknowledged: set[int] = set()
        self.peers: list[Any] = []
        self._looked: dict[int, int] = {}
        self._number = 0

    def look(self) -> None:
        """Nothing that was delivered since the last look is acknowledged."""
        for at, peer in enumerate(self.peers):
            for change in peer.told[self._looked.get(at, 0) :]:
                if isinstance(change, m.Change):
                    assert change.position not in self.acknowledged
                    self.positions[change.position] = (change.document, change.version)
            self._looked[at] = len(peer.told)

    async def live(self, steps: int) -> None:
        self.peers = [self.house.peer(str(number)) for number in range(3)]
        self._looked.clear()
        async with self.house.running():
            for _ in range(steps):
                step = self.rng.choice(
                    [self.write, self.write, self.join, self.leave, self.wait, self.ack, self.ack, self.nack]
                )
                await step()
                await ticks(self.rng.randint(0, 5))
                self.look()

    async def write(self) -> None:
        document = self.rng.choice("abc")
        self.versions[document] += 1
        await count_up(self.house, document, self.versions[document], self.versions[document])

    async def join(self) -> None:
        self._number += 1
        unacked_max = self.rng.randint(1, 5)
        start = beginning(self.house)
        await work(
            self.rng.choice(self.peers), self._number, unacked_max=unacked_max, tries_max=1000, resume_after=start
        )

    async def leave(self) -> None:
        self.house.partition.feed.forget(self.rng.choice(self.peers))

    async def wait(self) -> None:
        self.house.wait(self.rng.choice([1, 31]))

    async def ack(self) -> None:
        left = sorted(self.positions.keys() - self.acknowledged)
        if left:
            self.look()
            chosen = set(self.rng.sample(left, self.rng.randint(1, len(left))))
            id = self.rng.choice(self.peers).send(m.Ack, "work", tuple(chosen))
            if self.rng.random() < 0.8:
                await self.house.peer().ask(m.Ack, "work", ())
                self.acknowledged |= chosen
            else:
                await ticks(self.rng.randint(0, 3))
                assert id

    async def nack(self) -> None:
        left = sorted(self.positions.keys() - self.acknowledged)
        if left:
            self.rng.choice(self.peers).send(m.Nack, "work", self.rng.choice(left), "no", self.rng.choice([0.0, 5.0]))


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happens_all_is_delivered_until_it_is_acknowledged(open_house: Any, seed: int) -> None:
    async with open_house(limits=Limits(unacked_changes_max=20)) as house:
        walk = Walk(house, random.Random(seed))
        for _ in range(3):
            await walk.live(40)
        async with house.running():
            peer = house.peer()
            walk.peers = [peer]
            await work(peer, unacked_max=100)
            expected = {
                (document, version) for document, last in walk.versions.items() for version in range(1, last + 1)
            }
            while expected != {walk.positions[position] for position in walk.acknowledged}:
                house.wait(3601)
                await ticks()
                walk.look()
                await walk.ack()
            await until(lambda: states(peer, 1)[-1:] == ["live"])
            info = await state_of(peer)
            assert (info.in_flight, info.dead) == (0, 0)


# --- writing down ----------------------------------------------------------------------------------------------------


async def test_it_is_forgotten_in_memory_when_nobody_works_for_it(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer)
        await count_up(house, "a", 1, 1)
        await until(lambda: len(got(peer)) == 1)
        assert house.partition.statistics()["unacked_changes"] == 1
        house.partition.feed.forget(peer)
        await until(lambda: house.partition.statistics()["named_subscriptions"] == 0)
        assert (await peer.get(DOCUMENT)).version == 2, "that the change has failed"


async def test_what_could_not_be_written_is_written_later(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await work(peer)
            await count_up(house, "a", 1, 1)
            await until(lambda: len(got(peer)) == 1)
            house.journal.fail(CommitFailed("the disk is full", reason="full"))
            with pytest.raises(CommitFailed):
                await peer.ask(m.Ack, "work", tuple(positions(peer)))
            house.wait(1)
            await until(lambda: house.partition.groups.is_quiet)
            await peer.ask(m.Ack, "work", tuple(positions(peer)))
        async with house.running():
            again = house.peer()
            await work(again)
            await until(lambda: states(again, 1) == ["live"])
            assert got(again) == []


async def test_a_place_that_goes_on_alone_is_written_now_and_then(
    open_house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palimpsest.actors.delivery._UNWRITTEN_MAX", 5)
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 10)
        peer = house.peer()
        await work(peer, pattern="b", resume_after=beginning(house))
        await until(lambda: states(peer, 1) == ["live"])
        await ticks(100)
        cursor = plain((await peer.get(DOCUMENT)).value)["cursor"]
        assert cursor == encode_cursor(house.journal.epoch, 11)


async def test_what_was_noted_before_is_not_kept(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer)
        for version in range(1, 101):
            await count_up(house, "a", version, version)
            await until(lambda version=version: len(got(peer)) == version)
            await peer.ask(m.Ack, "work", (positions(peer)[-1],))
        assert (await peer.get(DOCUMENT)).version == 101
        await house.partition.errands.retain_once()
        assert len((await peer.ask(m.History, DOCUMENT)).entries) == 8


async def test_closing_answers_everybody(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer)
        await count_up(house, "a", 1, 1)
        await until(lambda: len(got(peer)) == 1)
        id = peer.send(m.Ack, "work", tuple(positions(peer)))
        house.partition.close()
        with pytest.raises(ServerClosing):
            await peer.answer(id)
        house.partition.feed.forget(peer)
        assert (await state_of(house.peer())).in_flight == 0


async def test_what_is_not_written_any_more_is_not_acknowledged(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await work(peer)
        await count_up(house, "a", 1, 1)
        await until(lambda: len(got(peer)) == 1)
        house.partition.close()
        with pytest.raises(ServerClosing):
            await peer.ask(m.Ack, "work", tuple(positions(peer)))
