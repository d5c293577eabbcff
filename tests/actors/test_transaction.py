"""Transactions that meet failures, full batches and each other."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from palimpsest.errors import CommitFailed, InvalidName, InvalidRequest, LimitExceeded, Overloaded
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m

pytestmark = pytest.mark.anyio


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def plain(data: Raw) -> Any:
    return msgspec.msgpack.decode(data)


def append(token: object) -> Raw:
    """The delta that appends token to the list `n`."""
    return raw([[5, ["n"], token]])


async def _ticks(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _create(house: Any, *names: str) -> Any:
    peer = house.peer()
    for name in names:
        await peer.create(name, {"n": []})
    return peer


async def test_one_that_waits_for_room_fails_with_the_batch_before_it(open_house: Any) -> None:
    async with open_house(Limits(batch_events_max=2)) as house, house.running():
        peer = await _create(house, "a", "b")
        house.journal.hold()
        house.journal.fail(CommitFailed("disk full", reason="full"))
        doomed = [peer.send(m.Update, "a", append(0))]
        await _ticks()
        doomed += [peer.send(m.Update, "a", append(1)), peer.send(m.Update, "a", append(2))]
        doomed.append(peer.send(m.Transact, (m.Part(1, "a", append(3)), m.Part(1, "b", append(3)))))
        house.journal.release()
        for id in doomed:
            with pytest.raises(CommitFailed):
                await peer.answer(id)
        assert (await peer.ask(m.Update, "a", append(4))).version == 2
        assert (await peer.ask(m.Update, "b", append(4))).version == 2
        assert plain((await peer.get("a")).value) == {"n": [4]}
        assert all(len(peer.answers(id)) == 1 for id in doomed)


async def test_one_that_waits_for_room_is_decided_once_there_is_some(open_house: Any) -> None:
    async with open_house(Limits(batch_events_max=2)) as house, house.running():
        peer = await _create(house, "a", "b")
        house.journal.hold()
        peer.send(m.Update, "a", append(0))
        await _ticks()
        peer.send(m.Update, "a", append(1))
        peer.send(m.Update, "a", append(2))
        parts = (m.Part(1, "b", append(3)), m.Part(1, "a", append(3)))
        transaction = peer.send(m.Transact, parts)
        after = peer.send(m.Update, "a", append(4))
        house.journal.release()
        made = (await peer.answer(transaction)).made
        assert [(one.document, one.version) for one in made] == [("b", 2), ("a", 5)]
        assert (await peer.answer(after)).version == 6
        assert plain((await peer.get("a")).value) == {"n": [0, 1, 2, 3, 4]}


async def test_a_transaction_is_never_cut_by_the_bound_of_a_batch(open_house: Any) -> None:
    async with open_house(Limits(batch_events_max=2)) as house, house.running():
        names = [f"d/{number}" for number in range(9)]
        peer = await _create(house, *names)
        await peer.ask(m.Transact, tuple(m.Part(1, name, append(1)) for name in names))
        batches = await house.journal.read(10, bytes_max=1_000_000)
        assert [batch.count for batch in batches] == [9]


async def test_a_failed_commit_rolls_every_document_of_a_transaction_back(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await _create(house, "a", "b")
        house.journal.fail(CommitFailed("disk full", reason="full"))
        parts = (m.Part(1, "a", append(1)), m.Part(2, "b", raw(None)), m.Part(0, "c", raw(1)))
        failed = peer.send(m.Transact, parts)
        with pytest.raises(CommitFailed):
            await peer.answer(failed)
        await _ticks()
        assert len(peer.answers(failed)) == 1
        again = await peer.ask(m.Transact, parts, id=failed + 1_000, repeat=True)
        assert ([made.version for made in again.made], again.repeat) == ([2, 2, 1], False)


async def test_neither_part_is_read_before_both_are_durable(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await _create(house, "a", "b")
        house.journal.hold()
        peer.send(m.Transact, (m.Part(1, "a", append(1)), m.Part(1, "b", append(1))))
        reads = [peer.send(m.Get, "a"), peer.send(m.Get, "b"), peer.send(m.GetMany, ("b", "a"))]
        await _ticks()
        assert [answer for id in reads for answer in peer.answers(id)] == []
        house.journal.release()
        assert [plain((await peer.answer(id)).value) for id in reads[:2]] == [{"n": [1]}] * 2
        assert [one.version for one in (await peer.answer(reads[2])).documents] == [2, 2]


async def test_one_of_cold_documents_waits_for_all_of_them_and_keeps_the_order(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            await _create(house, "a", "b")
            await house.archived()
        async with house.running():
            peer = house.peer()
            parts = (m.Part(1, "a", append(1)), m.Part(1, "b", append(1)))
            ids = [
                peer.send(m.Update, "b", append(0)),
                peer.send(m.Transact, parts),
                peer.send(m.Update, "a", append(2)),
            ]
            assert [getattr(await peer.answer(id), "version", None) for id in ids] == [2, None, 3]
            assert plain((await peer.get("b")).value) == {"n": [0, 1]}


async def test_many_that_share_documents_in_any_order_never_wait_in_a_circle(open_house: Any) -> None:
    async with open_house(Limits(batch_events_max=5)) as house:
        async with house.running():
            await _create(house, *"abcdef")
        async with house.running():
            peer = house.peer()
            ids = []
            for step in range(40):
                names = [("abc", "cba", "bd", "db", "fe", "eaf")[step % 6]][0]
                parts = tuple(m.Part(1, name, append(step)) for name in names)
                ids.append(peer.send(m.Transact, parts, id=1_000 + step, repeat=step % 4 == 0))
            for id in ids:
                await peer.answer(id)
            for name in "abcdef":
                seen = plain((await peer.get(name)).value)["n"]
                assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ((), InvalidRequest),
        ((m.Part(1, "a", append(1)), m.Part(2, "a", raw(None))), InvalidRequest),
        ((m.Part(7, "a", append(1)),), InvalidRequest),
        ((m.Part(-1, "a", append(1)),), InvalidRequest),
        ((m.Part(1, "a", append(1)), m.Part(1, "", append(1))), InvalidName),
        (tuple(m.Part(0, f"n{number}", raw(1)) for number in range(4)), LimitExceeded),
    ],
    ids=["no parts", "twice", "no kind", "negative kind", "no name", "too many"],
)
async def test_what_makes_no_sense_is_refused(open_house: Any, parts: Any, error: type[Exception]) -> None:
    async with open_house(Limits(transaction_documents_max=3)) as house, house.running():
        peer = await _create(house, "a")
        with pytest.raises(error):
            await peer.ask(m.Transact, parts)
        assert (await peer.get("a")).version == 1


async def test_a_full_mailbox_refuses_the_whole_transaction(open_house: Any) -> None:
    async with open_house(Limits(mailbox_items_max=2)) as house, house.running():
        peer = await _create(house, "a", "b")
        house.journal.hold()
        kept = [peer.send(m.Update, "a", append(0)), peer.send(m.Update, "a", append(1))]
        with pytest.raises(Overloaded):
            await peer.ask(m.Transact, (m.Part(1, "b", append(2)), m.Part(1, "a", append(2))))
        house.journal.release()
        for id in kept:
            await peer.answer(id)
        assert (await peer.get("b")).version == 1
        done = await peer.ask(m.Transact, (m.Part(1, "b", append(2)), m.Part(1, "a", append(2))))
        assert [made.version for made in done.made] == [2, 4]


async def test_a_repeat_finds_the_transaction_with_its_key_after_a_restart(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = await _create(house, "a", "b")
            parts = (m.Part(1, "a", append(1)), m.Part(1, "b", append(1)))
            first = await peer.ask(m.Transact, parts, key="order-1")
            await house.archived()
        async with house.running():
            again = await house.peer("other").ask(m.Transact, parts, key="order-1")
            assert (again.made, again.at, again.repeat) == (first.made, first.at, True)


async def test_a_repeat_of_one_that_is_not_durable_waits_for_it(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, again = house.peer(), house.peer()
        await _create(house, "a", "b")
        house.journal.hold()
        parts = (m.Part(1, "a", append(1)), m.Part(1, "b", append(1)))
        peer.send(m.Transact, parts, id=50)
        again.send(m.Transact, parts, id=50, repeat=True)
        await _ticks()
        assert again.answers(50) == []
        house.journal.release()
        assert (await again.answer(50)).made == (await peer.answer(50)).made
        assert plain((await peer.get("a")).value) == {"n": [1]}
