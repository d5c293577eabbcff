"""What is sent of the log, and to whom: conditions, policies, markers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from feed_kit import LOTS, caught_up, changes, count_up, ended, follow, plain, raw, seen, states, ticks, until

from palimpsest.errors import InvalidRequest, Overloaded
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import decode_cursor, encode_cursor

pytestmark = pytest.mark.anyio


def start(house: Any) -> str:
    return encode_cursor(house.journal.epoch, 0)


# --- latest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archived", [False, True])
async def test_of_what_is_read_from_the_log_the_latest_alone_is_sent(open_house: Any, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        await count_up(house, "a", 1, 300)
        await count_up(house, "b", 1, 2)
        await house.peer("writer").ask(m.Delete, "b")
        await count_up(house, "a", 301, 310)
        if archived:
            await house.archived()
        peer = house.peer()
        await follow(peer, 1, values=True, policy="latest", resume_after=start(house))
        await caught_up(peer, 1)
        assert seen(peer, 1) == [("b", 3), ("a", 310)]
        assert [plain(change.value) for change in changes(peer, 1)] == [None, {"n": 310}]


async def test_the_latest_of_documents_that_nobody_has_awake(open_house: Any) -> None:
    """Of these, only the log knows which version is the newest."""
    async with open_house() as house:
        async with house.running():
            for version in range(1, 6):
                await count_up(house, "a", version, version)
                await count_up(house, "b", version, version)
            await house.archived()
        async with house.running():
            peer = house.peer()
            await follow(peer, 1, values=True, policy="latest", resume_after=start(house))
            await caught_up(peer, 1)
            assert seen(peer, 1) == [("a", 5), ("b", 5)]


async def test_a_reader_that_is_slow_gets_the_latest_of_each_document_and_nothing_older_after_it(
    open_house: Any,
) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        names = [f"d/{number}" for number in range(7)]
        versions = dict.fromkeys(names, 0)
        await follow(peer, 1, "d/*", values=True, policy="latest", credit_bytes=1)
        for step in range(210):
            name = names[step * 3 % 7] if step < 200 else "d/0"
            versions[name] += 1
            version = versions[name]
            await (writer.create(name, {"n": 1}) if version == 1 else writer.set(name, ["n"], version))
            if step % 9 == 0:
                peer.send(m.Credit, 90, id=1)
                await ticks(step % 4)
        peer.send(m.Credit, LOTS, id=1)
        await caught_up(peer, 1)
        for name in names:
            of_it = [change.version for change in changes(peer, 1) if change.document == name]
            assert of_it == sorted(set(of_it))
            assert of_it[-1] == versions[name]
        assert len(changes(peer, 1)) < 100
        assert all(plain(change.value)["n"] == change.version for change in changes(peer, 1))


async def test_the_latest_of_what_meets_a_condition_is_sent_though_others_came_after_it(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await count_up(house, "a", 1, 1)
        for version in range(2, 6):
            meta = m.Meta(None, None, ("release",)) if version in (2, 4) else None
            await writer.set("a", ["n"], version, meta=meta)
        await follow(peer, 1, values=True, policy="latest", tags=("release",), resume_after=start(house))
        await caught_up(peer, 1)
        assert seen(peer, 1) == [("a", 4)]
        assert plain(changes(peer, 1)[0].value) == {"n": 4}


async def test_the_latest_is_for_whole_values(open_house: Any) -> None:
    async with open_house() as house, house.running():
        for options in ({"policy": "latest"}, {"policy": "newest", "values": True}):
            with pytest.raises(InvalidRequest) as caught:
                await follow(house.peer(), 1, **options)
            assert caught.value.reason == "policy"
        assert house.partition.statistics()["subscriptions"] == 0


# --- disconnect ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [False, True])
async def test_one_that_does_not_keep_up_is_ended_where_it_asked_for_that_and_nobody_else(
    open_house: Any, values: bool
) -> None:
    async with open_house() as house, house.running():
        peer, other = house.peer(), house.peer("other")
        await follow(peer, 1, credit_bytes=150, values=values, policy="disconnect")
        await follow(peer, 2)
        await follow(other, 1, policy="disconnect")
        await count_up(house, "a", 1, 20)
        error = await ended(peer, 1)
        assert isinstance(error, Overloaded)
        assert error.limit == "subscription_bytes_max"
        got = len(changes(peer, 1))
        assert seen(peer, 1) == [("a", version) for version in range(1, got + 1)]
        assert 0 < got < 20
        assert states(peer, 1) == ["live"]
        assert seen(peer, 2) == seen(other, 1) == [("a", version) for version in range(1, 21)]
        assert house.partition.statistics()["subscriptions"] == 2
        await follow(peer, 1)  # the number is free


@pytest.mark.parametrize("values", [False, True])
async def test_one_that_catches_up_is_not_ended_for_it(open_house: Any, values: bool) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 20)
        peer = house.peer()
        options = {"values": values, "policy": "disconnect", "resume_after": start(house)}
        await follow(peer, 1, credit_bytes=100, **options)
        await ticks()
        assert 0 < len(changes(peer, 1)) < 20
        peer.send(m.Credit, LOTS, id=1)
        await caught_up(peer, 1)
        assert seen(peer, 1) == [("a", version) for version in range(1, 21)]


@pytest.mark.parametrize("values", [False, True])
async def test_what_does_not_concern_one_without_credit_does_not_end_it(open_house: Any, values: bool) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await follow(peer, 1, "a", credit_bytes=1, values=values, policy="disconnect")
        await count_up(house, "a", 1, 1)
        await until(lambda: len(changes(peer, 1)) == 1)
        await count_up(house, "b", 1, 20)
        await ticks()
        assert states(peer, 1) == ["live"]
        assert house.partition.statistics() | {"subscriptions": 1, "behind": 0} == house.partition.statistics()
        peer.send(m.Credit, LOTS, id=1)
        await count_up(house, "a", 2, 2)
        await until(lambda: len(changes(peer, 1)) == 2)


# --- markers ---------------------------------------------------------------------------------------------------------


def last_cursor(peer: Any, number: int) -> int:
    """The position that its last marker told."""
    told = [one for one in peer.told if isinstance(one, m.Marker) and one.subscription == number]
    return decode_cursor(told[-1].cursor)[1]


@pytest.mark.parametrize("options", [{}, {"values": True}, {"by": "nobody"}, {"by": "nobody", "values": True}], ids=str)
async def test_one_whom_nothing_concerns_is_told_with_a_pong_how_far_it_has_come(
    open_house: Any, options: dict[str, Any]
) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        pattern = "**" if "by" in options else "nothing/*"
        await follow(peer, 1, pattern, **options)
        await peer.ask(m.Ping)
        assert last_cursor(peer, 1) == 0
        assert states(peer, 1) == ["live"]  # there was nothing to tell
        await count_up(house, "a", 1, 20)
        await ticks()
        await peer.ask(m.Ping)
        assert last_cursor(peer, 1) == 20
        assert states(peer, 1) == ["live", "live"]
        await peer.ask(m.Ping)
        assert states(peer, 1) == ["live", "live"]
        # Of what follows that place, nothing was pruned.
        await peer.ask(m.Prune, "a", "main", m.Retain(versions=1), False)
        again = house.peer("again")
        await follow(again, 1, pattern, resume_after=encode_cursor(house.journal.epoch, 20), **options)
        await caught_up(again, 1)


@pytest.mark.parametrize("values", [False, True])
async def test_one_that_is_behind_is_not_told_that_it_has_everything(open_house: Any, values: bool) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await follow(peer, 1, credit_bytes=1, values=values)
        await count_up(house, "a", 1, 5)
        await until(lambda: states(peer, 1) == ["live", "behind"])
        marker = last_cursor(peer, 1)
        await peer.ask(m.Ping)
        assert states(peer, 1) == ["live", "behind"]
        assert marker == len(changes(peer, 1)) == 1


@pytest.mark.parametrize("values", [False, True])
async def test_one_without_credit_is_behind_only_where_something_waits_for_it(open_house: Any, values: bool) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await follow(peer, 1, "a", credit_bytes=1, values=values)
        await count_up(house, "a", 1, 1)
        await until(lambda: len(changes(peer, 1)) == 1)
        await count_up(house, "b", 1, 3)
        await ticks()
        assert states(peer, 1) == ["live"]
        assert house.partition.statistics()["behind"] == 0
        await count_up(house, "a", 2, 2)
        await until(lambda: states(peer, 1) == ["live", "behind"])
        assert house.partition.statistics()["behind"] == 1
        peer.send(m.Credit, LOTS, id=1)
        await until(lambda: states(peer, 1) == ["live", "behind", "live"])
        assert seen(peer, 1) == [("a", 1), ("a", 2)]


# --- a step behind ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("branch", ["main", "draft"])
async def test_where_what_was_to_be_relayed_is_gone_those_who_want_values_read_the_log(
    open_house: Any, branch: str
) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await count_up(house, "a", 1, 1)
        await writer.ask(m.Branch, "a", "draft")
        for n in range(2, 11):
            await writer.set("a", ["n"], n, branch=branch)
        await writer.ask(m.Prune, "a", branch, m.Retain(versions=4), False)
        await follow(peer, 1, branch=branch, values=True)
        house.partition.feed._relay.next = 2  # as if it had taken so long to make the values before
        await writer.set("a", ["n"], 11, branch=branch)
        await until(lambda: len(changes(peer, 1)) == 1)
        assert seen(peer, 1) == [("a", 11)]
        await writer.set("a", ["n"], 12, branch=branch)
        await until(lambda: len(changes(peer, 1)) == 2)
        assert [plain(change.value)["n"] for change in changes(peer, 1)] == [11, 12]
        assert states(peer, 1) == ["live"]


@pytest.mark.parametrize("policy", ["all", "disconnect"])
async def test_one_that_was_live_and_reads_the_log_may_fall_behind_there(open_house: Any, policy: str) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await count_up(house, "a", 1, 10)
        await peer.ask(m.Prune, "a", "main", m.Retain(versions=4), False)
        await follow(peer, 1, values=True, policy=policy, credit_bytes=1)
        house.partition.feed._relay.next = 2
        ids = [writer.send(m.Update, "a", raw([[0, ["n"], n]])) for n in (11, 12)]
        for id in ids:
            await writer.answer(id)
        if policy == "all":
            await until(lambda: states(peer, 1) == ["live", "behind"])
        else:
            assert isinstance(await ended(peer, 1), Overloaded)
        assert seen(peer, 1) == [("a", 11)]


# --- what was erased -------------------------------------------------------------------------------------------------


async def test_what_was_erased_is_sent_to_nobody_who_comes_later(open_house: Any) -> None:
    """Though it was handed on with its values before that."""
    async with open_house() as house, house.running():
        early, late, writer = house.peer("early"), house.peer("late"), house.peer("writer")
        await follow(early, 1, values=True)
        await writer.create("a", {"secret": "s3cret", "n": 1})
        await writer.set("a", ["n"], 2)
        await until(lambda: len(changes(early, 1)) == 2)
        await writer.ask(m.Erase, "a", ("secret",))
        for values in (False, True):
            await follow(late, 1 + values, values=values, resume_after=start(house))
            await caught_up(late, 1 + values)
            assert seen(late, 1 + values) == [("a", 1), ("a", 2), ("a", 3)]
        assert "s3cret" not in repr([msgspec.msgpack.encode(change) for change in late.told])
        assert [plain(change.value) for change in changes(late, 2)] == [{"n": 1}, {"n": 2}, {"n": 2}]


# --- what does not fit -----------------------------------------------------------------------------------------------


async def test_a_document_too_large_to_be_shown_ends_the_subscription(open_house: Any) -> None:
    async with open_house(Limits(frame_bytes_max=5_000, document_bytes_max=4_980)) as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await writer.create("a", {"x": "x" * 4_000})
        await writer.ask(m.Update, "a", raw([[0, ["y"], "y" * 950]]))
        await follow(peer, 1, snapshot=True)
        error = await ended(peer, 1)
        assert (error.code, error.limit) == ("limit_exceeded", "frame_bytes_max")


async def test_a_change_costs_every_one_of_its_subscriptions_the_bytes_of_its_message(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await follow(peer, 1, credit_bytes=10_000)
        await follow(peer, 2, "a", credit_bytes=10_000)
        await count_up(house, "a", 1, 3)
        cost = sum(len(msgspec.msgpack.encode(change)) for change in changes(peer, 1))
        left = {subscription.number: subscription.credit_bytes for subscription in house.partition.feed._all}
        assert left == {1: 10_000 - cost, 2: 10_000 - cost}
