"""Where subscriptions start: at a version, at a time, or with what is there."""

from __future__ import annotations

from typing import Any

import pytest
from feed_kit import LOTS, caught_up, changes, count_up, ended, follow, followed, plain, raw, seen, shown, states, ticks

from palimpsest.errors import (
    BranchNotFound,
    Compacted,
    DocumentNotFound,
    InvalidRequest,
    VersionNotFound,
    VersionPruned,
)
from palimpsest.protocol import messages as m
from palimpsest.protocol.cursor import decode_cursor, encode_cursor

pytestmark = pytest.mark.anyio


async def from_start(house: Any, pattern: str = "a", **options: Any) -> list[tuple[str, int]]:
    """What a new peer is sent that starts so, once it is live."""
    peer = house.peer("a new one")
    await follow(peer, 1, pattern, **options)
    await caught_up(peer, 1)
    return seen(peer, 1)


def a(*versions: int) -> list[tuple[str, int]]:
    return [("a", version) for version in versions]


# --- a version -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archived", [False, True])
async def test_from_a_version(open_house: Any, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        await count_up(house, "a", 1, 3)
        await count_up(house, "b", 1, 2)
        await count_up(house, "a", 4, 5)
        if archived:
            await house.archived()
        for version in range(1, 7):
            assert await from_start(house, from_version=version) == a(*range(version, 6))


async def test_the_version_after_the_newest_is_the_next_that_is_made(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 2)
        peer = house.peer()
        await follow(peer, 1, "a", from_version=3)
        await count_up(house, "a", 3, 4)
        assert seen(peer, 1) == a(3, 4)


async def test_what_is_made_while_the_start_is_looked_for_is_not_lost(open_house: Any) -> None:
    """However many steps lie between the request and the version that it waits for."""
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 1)
        writer = house.peer("writer")
        version = 1
        for steps in range(12):
            peer = house.peer()
            peer.send(m.Subscribe, 1, "a", from_version=version + 1)
            await ticks(steps)
            ids = [writer.send(m.Update, "a", raw([[0, ["n"], each]])) for each in range(3)]
            for id in ids:
                await writer.answer(id)
            await caught_up(peer, 1)
            assert followed(peer, 1) == a(*range(version + 1, version + 4)), steps
            version += 3


async def test_the_next_version_may_be_there_by_the_time_that_the_newest_is_known(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 1)
        peer, writer = house.peer(), house.peer("writer")
        house.journal.hold()
        ids = [writer.send(m.Update, "a", raw([[0, ["n"], 2]]))]
        await ticks()
        peer.send(m.Subscribe, 1, "a", from_version=3)
        await ticks()  # its question waits for version 2 to be durable
        ids += [writer.send(m.Update, "a", raw([[0, ["n"], n]])) for n in (3, 4)]
        house.journal.release()
        for id in ids:
            await writer.answer(id)
        await caught_up(peer, 1)
        assert seen(peer, 1) == a(3, 4)


@pytest.mark.parametrize("archived", [False, True])
async def test_from_a_version_of_a_document_that_is_deleted(open_house: Any, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        await count_up(house, "a", 1, 2)
        await house.peer("writer").ask(m.Delete, "a")
        if archived:
            await house.archived()
        assert await from_start(house, from_version=2) == a(2, 3)
        peer = house.peer()
        await follow(peer, 1, "a", from_version=4)
        await house.peer("writer").create("a", 1)
        assert seen(peer, 1) == a(4)


@pytest.mark.parametrize("version", [-1, 0])
async def test_no_version_is_less_than_one(open_house: Any, version: int) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 1)
        with pytest.raises(InvalidRequest):
            await follow(house.peer(), 1, "a", from_version=version)


async def test_a_version_that_is_not_there(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 2)
        peer = house.peer()
        with pytest.raises(VersionNotFound) as caught:
            await follow(peer, 1, "a", from_version=4)
        assert (caught.value.version, caught.value.newest) == (4, 2)
        with pytest.raises(DocumentNotFound):
            await follow(peer, 1, "b", from_version=1)
        with pytest.raises(BranchNotFound):
            await follow(peer, 1, "a", branch="draft", from_version=1)
        with pytest.raises(InvalidRequest):
            await follow(peer, 1, "*", from_version=1)
        assert house.partition.statistics()["subscriptions"] == 0
        await follow(peer, 1, "a", from_version=2)  # the number is free


async def test_a_version_that_was_pruned(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 10)
        peer = house.peer()
        await peer.ask(m.Prune, "a", "main", m.Retain(versions=4), False)
        with pytest.raises(VersionPruned) as caught:
            await follow(peer, 1, "a", from_version=6)
        assert caught.value.oldest == 7
        assert await from_start(house, from_version=7) == a(7, 8, 9, 10)


@pytest.mark.parametrize("archived", [False, True])
async def test_a_version_of_a_branch_is_one_that_was_made_there(open_house: Any, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        await count_up(house, "a", 1, 3)
        peer = house.peer()
        await peer.ask(m.Branch, "a", "draft", m.Place(version=2))
        assert await from_start(house, branch="draft", from_version=3) == []
        for n in (3, 4):
            await peer.set("a", ["n"], n, branch="draft")
        if archived:
            await house.archived()
        assert await from_start(house, branch="draft", from_version=3) == a(3, 4)
        assert await from_start(house, branch="draft", from_version=5) == []
        with pytest.raises(VersionNotFound) as caught:
            await follow(peer, 1, "a", branch="draft", from_version=2)
        assert "was not made on 'draft'" in str(caught.value)


async def test_one_that_is_ended_before_it_began_has_an_answer(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "a", 1, 3)
        peer, gone = house.peer(), house.peer("gone")
        id = peer.send(m.Subscribe, 1, "a", from_version=1)
        peer.send(m.Unsubscribe, id=1)
        again = peer.send(m.Subscribe, 1, "a", from_version=2)
        gone.send(m.Subscribe, 1, "a", from_version=1)
        house.partition.feed.forget(gone)
        assert await ended(peer, 1) is None
        with pytest.raises(InvalidRequest):
            await peer.answer(id)
        assert isinstance(await peer.answer(again), m.Subscribed)
        await caught_up(peer, 1)
        assert seen(peer, 1) == a(2, 3)
        assert gone.told == []
        assert house.partition.statistics()["subscriptions"] == 1


@pytest.mark.parametrize(
    "starts",
    [
        {"snapshot": True, "from_version": 1},
        {"from_version": 1, "from_time": 1},
        {"from_time": 1, "resume_after": "x"},
        {"snapshot": True, "resume_after": "x"},
    ],
    ids=" ".join,
)
async def test_two_places_to_start_at_make_no_sense(open_house: Any, starts: dict[str, Any]) -> None:
    async with open_house() as house, house.running():
        with pytest.raises(InvalidRequest) as caught:
            await follow(house.peer(), 1, "a", **starts)
        assert caught.value.reason == "start"


# --- a time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archived", [0, 4, 12])
async def test_from_a_time(open_house: Any, archived: int) -> None:
    """Versions 1 to 4 at one moment, 5 to 8 at the next, 9 to 12 at a third one."""
    async with open_house() as house:
        versions = iter(range(1, 13))

        async def make(count: int) -> None:
            for _ in range(count):
                version = next(versions)
                house.now = 1_000 * (1 + (version - 1) // 4)
                await count_up(house, "a", version, version)

        async with house.running(inline_archiver=True):
            await make(archived)
            await house.archived()
        async with house.running(inline_archiver=False):
            await make(12 - archived)
            for time, first in [(0, 1), (999, 1), (1_000, 1), (1_001, 5), (2_000, 5), (2_999, 9), (3_000, 9)]:
                assert await from_start(house, from_time=time) == a(*range(first, 13)), time
            assert await from_start(house, from_time=3_001) == []


async def test_from_a_time_to_come(open_house: Any) -> None:
    async with open_house() as house, house.running():
        house.now = 1_000
        await count_up(house, "a", 1, 2)
        peer = house.peer()
        await follow(peer, 1, "a", from_time=3_000)
        await count_up(house, "a", 3, 3)
        house.now = 3_000
        await count_up(house, "a", 4, 4)
        assert seen(peer, 1) == a(4)


async def test_from_a_time_of_an_empty_log(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        subscribed = await follow(peer, 1, "a", from_time=0)
        assert subscribed.cursor == encode_cursor(house.journal.epoch, 0)
        await count_up(house, "a", 1, 1)
        assert seen(peer, 1) == a(1)


async def test_from_a_time_before_what_is_kept(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await count_up(house, "b", 1, 1)
        await count_up(house, "a", 1, 10)
        peer = house.peer()
        await peer.ask(m.Prune, "a", "main", m.Retain(versions=4), False)
        await follow(peer, 1, "a", from_time=0)
        error = await ended(peer, 1)
        assert isinstance(error, Compacted)
        assert await from_start(house, resume_after=error.oldest) == a(7, 8, 9, 10)
        assert await from_start(house, "b", from_time=0) == [("b", 1)]


# --- what is there ---------------------------------------------------------------------------------------------------


async def make_many(house: Any, count: int, branch: str = "main") -> list[str]:
    writer = house.peer("maker")
    names = [f"d/{number:03}" for number in range(count)]
    for start in range(0, count, 50):
        parts = tuple(m.Part(0, name, raw({"n": 1}), branch) for name in names[start : start + 50])
        await writer.ask(m.Transact, parts)
    return names


def replay(peer: Any, number: int, began: dict[str, int]) -> dict[str, int]:
    """The newest version of each document, as one who follows the rules knows it; each comes once, and rising. began: the versions that
    there were when the snapshot began, for those that are deleted before their turn comes."""
    known: dict[str, int] = {}
    for change in changes(peer, number):
        before = known.get(change.document, 0)
        if change.version <= before:
            assert not change.snapshot  # those are shown once
            continue
        assert change.snapshot or change.version == (before or began.get(change.document, 0)) + 1, "a gap"
        known[change.document] = change.version
    return known


def last_kind(peer: Any, document: str) -> int:
    """Of the newest version that subscription 1 was told of."""
    return max((change.version, change.kind) for change in changes(peer, 1) if change.document == document)[1]


async def test_a_snapshot_is_what_is_there_and_then_what_changes(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer, writer = house.peer(), house.peer("writer")
        await count_up(house, "a", 1, 3)
        await count_up(house, "b", 1, 1)
        await writer.create("gone", 1)
        await writer.ask(m.Delete, "gone")
        made = await writer.create("c", [1], meta=m.Meta("ana", "why", ("t",)))
        subscribed = await follow(peer, 1, snapshot=True)
        await caught_up(peer, 1)
        assert shown(peer, 1) == [("a", 3), ("b", 1), ("c", 1)]
        first, _, last = changes(peer, 1)
        assert [plain(first.value), plain(last.value)] == [{"n": 3}, [1]]
        assert (last.at, last.meta, plain(last.delta)) == (made.at, m.Meta("ana", "why", ("t",)), [])
        assert {change.position for change in changes(peer, 1)} == {decode_cursor(subscribed.cursor)[1]}
        assert states(peer, 1) == ["current", "live"]
        await count_up(house, "a", 4, 4)
        assert followed(peer, 1) == a(4)
        assert plain(changes(peer, 1)[-1].value) is None  # values were not asked for


async def test_a_snapshot_of_nothing(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await follow(peer, 1, snapshot=True)
        await caught_up(peer, 1)
        assert states(peer, 1) == ["current", "live"]
        await count_up(house, "a", 1, 1)
        assert followed(peer, 1) == a(1)


async def test_a_snapshot_shows_all_that_match_whatever_the_conditions(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await count_up(house, "a", 1, 2)
        await count_up(house, "x/b", 1, 1)
        await follow(peer, 1, "a", snapshot=True, kinds=(2,), by="nobody")
        await follow(peer, 2, "x/*", snapshot=True, tags=("none",))
        await caught_up(peer, 2)
        await count_up(house, "a", 3, 3)
        assert seen(peer, 1) == a(2)
        assert seen(peer, 2) == [("x/b", 1)]


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("values", [False, True])
async def test_documents_are_written_made_and_deleted_at_each_step_of_a_snapshot(
    open_house: Any, archived: bool, values: bool
) -> None:
    """Credit for one message at a time: between any two of them, something happens before and after the place."""
    async with open_house() as house, house.running(inline_archiver=archived):
        names = await make_many(house, 100)
        peer, writer = house.peer(), house.peer("writer")
        await follow(peer, 1, "d/*", snapshot=True, credit_bytes=1, values=values)
        await ticks()
        assert len(shown(peer, 1)) == 1
        assert states(peer, 1) == []
        alive = dict.fromkeys(names, 1)
        versions = dict(alive)
        step = 0
        while "current" not in states(peer, 1):
            step += 1
            name = names[step * 37 % 100]
            versions[name] += 1
            if name not in alive:
                await writer.create(name, {"n": 0})
            elif step % 5 == 0:
                await writer.ask(m.Delete, name)
            else:
                await writer.set(name, ["n"], step)
            alive[name] = versions[name]
            if step % 5 == 0:
                del alive[name]
            new = f"d/{step * 53 % 100:03}+"
            if new not in versions:
                await writer.create(new, {"n": 1})
                versions[new] = alive[new] = 1
            peer.send(m.Credit, 50, id=1)
            await ticks(12)
            assert step < 500
        assert step > 60
        peer.send(m.Credit, LOTS, id=1)
        await caught_up(peer, 1)
        known = replay(peer, 1, dict.fromkeys(names, 1))
        assert known == versions
        assert {name for name in known if last_kind(peer, name) != 2} == set(alive)
        assert len(shown(peer, 1)) == len({name for name, _ in shown(peer, 1)})


async def test_a_snapshot_that_was_cut_is_begun_anew(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await make_many(house, 100)
        peer = house.peer()
        await follow(peer, 1, "d/*", snapshot=True, credit_bytes=2_000)
        await ticks()
        assert 0 < len(shown(peer, 1)) < 64
        house.partition.feed.forget(peer)
        await ticks()
        before = len(peer.told)
        again = house.peer("again")
        await follow(again, 1, "d/*", snapshot=True)
        await caught_up(again, 1)
        assert len(shown(again, 1)) == 100
        assert len(peer.told) == before
        assert house.partition.statistics()["subscriptions"] == 1


async def test_a_connection_that_is_paused_in_the_middle_of_a_snapshot(open_house: Any) -> None:
    async with open_house() as house, house.running():
        await make_many(house, 70)
        peer = house.peer()
        peer.paused = True
        await follow(peer, 1, "d/*", snapshot=True)
        await ticks()
        assert changes(peer, 1) == []
        peer.paused = False
        house.partition.feed.resume(peer)
        await caught_up(peer, 1)
        assert len(shown(peer, 1)) == 70


async def test_a_snapshot_of_a_branch_that_many_documents_share(open_house: Any) -> None:
    async with open_house() as house, house.running():
        names = await make_many(house, 70)
        peer, writer = house.peer(), house.peer("writer")
        await writer.ask(m.Branch, "d/*", "draft")
        await writer.set("d/005", ["n"], 5, branch="draft")
        await writer.ask(m.Delete, "d/006", branch="draft")
        await writer.create("d/new", {"n": 9}, branch="draft")
        await writer.set("d/007", ["n"], 7)  # on main, after the branch began
        await follow(peer, 1, "d/*", branch="draft", snapshot=True)
        await caught_up(peer, 1)
        expected = dict.fromkeys(names, 1) | {"d/005": 2, "d/new": 1}
        del expected["d/006"]
        found = dict(shown(peer, 1))
        values = {change.document: plain(change.value)["n"] for change in changes(peer, 1)}
        assert found.keys() == expected.keys()
        assert (values["d/005"], values["d/new"], values["d/001"]) == (5, 9, 1)
        assert {change.branch for change in changes(peer, 1)} == {"draft"}
        await writer.set("d/001", ["n"], 2, branch="draft")
        assert followed(peer, 1) == [("d/001", 2)]


@pytest.mark.parametrize("archived", [False, True])
async def test_a_snapshot_of_what_was_erased(open_house: Any, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        peer, writer = house.peer(), house.peer("writer")
        await count_up(house, "all", 1, 3)
        await writer.create("part", {"secret": 1, "n": 2})
        if archived:
            await writer.ask(m.Erase, "all", ())
            await writer.ask(m.Erase, "part", ("secret",))
            await house.archived()
        else:
            await writer.ask(m.Delete, "all")
            await writer.ask(m.Update, "part", raw([[2, ["secret"]]]))
        await follow(peer, 1, snapshot=True)
        await caught_up(peer, 1)
        assert shown(peer, 1) == [("part", 2)]
        assert plain(changes(peer, 1)[0].value) == {"n": 2}
