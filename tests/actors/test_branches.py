"""Branches: made, written to, listed, deleted and made again; those of many documents; sent twice, failing, at the same time."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from branch_kit import nodes, plain, raw, sets, ticks, update, value

from palimpsest.errors import (
    BranchExists,
    BranchNotFound,
    CommitFailed,
    DocumentExists,
    DocumentNotFound,
    InvalidRequest,
    LimitExceeded,
    TestFailed,
    VersionConflict,
    VersionNotFound,
    VersionPruned,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.words import Meta

pytestmark = pytest.mark.anyio


async def branches(peer: Any, pattern: str = "d", *, deleted: bool = False) -> list[tuple[Any, ...]]:
    """(document, branch, base, head) of each, and whether it is deleted where that is asked for."""
    found = (await peer.ask(m.ListBranches, pattern, deleted=deleted)).branches
    more = [(info.deleted,) if deleted else () for info in found]
    return [(info.document, info.branch, info.base, info.head, *one) for info, one in zip(found, more, strict=True)]


async def names(peer: Any, pattern: str, branch: str) -> tuple[str, ...]:
    found: tuple[str, ...] = (await peer.ask(m.List, pattern, branch)).names
    return found


# --- one document ----------------------------------------------------------------------------------------------------


async def test_a_branch_goes_on_from_any_version_of_any_branch(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("d", {"n": 1})
            for number in (2, 3, 4):
                await update(peer, "d", n=number)
            (made,) = (
                await peer.ask(m.Branch, "d", "a/b", m.Place(version=2), meta=Meta("ana", "why", ("t",)))
            ).branches
            assert (made.base, made.head, made.meta, made.deleted) == (("main", 2), 2, Meta("ana", "why"), False)
            assert (await update(peer, "d", "a/b", x=1)).version == 3
            await peer.ask(m.Branch, "d", "deep", m.Place("a/b", version=2))  # as its parent counts: a version of main
            await peer.ask(m.Branch, "d", "deeper", m.Place("a/b"))
            await update(peer, "d", "deeper", y=1)
        async with house.running():
            peer = house.peer()
            expected = [("main", None, 4), ("a/b", ("main", 2), 3), ("deep", ("main", 2), 2), ("deeper", ("a/b", 3), 4)]
            assert await branches(peer) == [("d", *one) for one in expected]
            assert await nodes(peer, "d", "deeper") == [("deeper", 4), ("a/b", 3), ("main", 2), ("main", 1)]
            assert await value(peer, "d", "deeper") == {"n": 2, "x": 1, "y": 1}
            assert await value(peer, "d", "deeper", version=2) == await value(peer, "d", "deep") == {"n": 2}
            with pytest.raises(VersionNotFound):
                await value(peer, "d", "deep", version=3)


async def test_a_name_used_again_has_numbers_of_its_own(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("d", {"n": 1})
            await peer.ask(m.Branch, "d", "x")
            for number in range(3):
                await update(peer, "d", "x", old=number)
            await peer.ask(m.DeleteBranch, "d", "x")
            for kind, options in ((m.Get, {}), (m.History, {}), (m.Delete, {})):
                with pytest.raises(BranchNotFound):
                    await peer.ask(kind, "d", branch="x", **options)
            with pytest.raises(BranchNotFound):
                await update(peer, "d", "x", new=1)
            assert await value(peer, "d", "x", version=4) == {"n": 1, "old": 2}
            await peer.ask(m.Branch, "d", "x")
            assert (await update(peer, "d", "x", new=1)).version == 6  # one is left out
        async with house.running():
            peer = house.peer()
            assert await nodes(peer, "d", "x") == [("x", 6), ("main", 1)]
            assert await value(peer, "d", "x", version=4) == {"n": 1, "old": 2}
            assert await value(peer, "d", "x") == {"n": 1, "new": 1}
            assert await value(peer, "d", "x", version=5) == {
                "n": 1
            }  # as the newest of a branch is called before it has any
            assert await branches(peer, deleted=True) == [
                ("d", "main", None, 1, False),
                ("d", "x", ("main", 1), 4, True),
                ("d", "x", ("main", 1), 6, False),
            ]


async def test_what_cannot_be_a_branch(open_house: Any) -> None:
    async with open_house(Limits(branches_max=2)) as house, house.running():
        peer = house.peer()
        with pytest.raises(DocumentNotFound):
            await peer.ask(m.Branch, "d", "x")
        await peer.create("d", {})
        await peer.ask(m.Branch, "d", "x")
        with pytest.raises(BranchExists):
            await peer.ask(m.Branch, "d", "x")
        with pytest.raises(VersionNotFound):
            await peer.ask(m.Branch, "d", "y", m.Place(version=2))
        with pytest.raises(BranchNotFound):
            await peer.ask(m.DeleteBranch, "d", "y")
        for kind in (m.Branch, m.DeleteBranch):
            with pytest.raises(InvalidRequest):
                await peer.ask(kind, "d", "main")
        await peer.ask(m.Branch, "d", "y")
        with pytest.raises(LimitExceeded):
            await peer.ask(m.Branch, "d", "z")
        assert [one[1] for one in await branches(peer)] == ["main", "x", "y"]


async def test_a_document_that_begins_on_a_branch(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            with pytest.raises(BranchNotFound):
                await update(peer, "d", "x", n=1)
            assert (await peer.create("d", {"n": 1}, branch="x")).version == 1
            with pytest.raises(DocumentNotFound):
                await peer.get("d")
        async with house.running():
            peer = house.peer()
            assert await branches(peer) == [("d", "main", None, 0), ("d", "x", None, 1)]
            assert (await peer.ask(m.Merge, "d", m.Place("x"))).parts[0].version == 1
            assert await value(peer, "d") == {"n": 1}
            with pytest.raises(BranchNotFound):
                await peer.create("d", {"n": 1}, branch="y")


# --- sent twice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("keyed", [False, True])
async def test_what_is_sent_twice_is_done_once(open_house: Any, keyed: bool, restart: bool) -> None:
    """Making a branch, writing to it in a transaction that takes something in, and deleting it; each again when all is over."""
    parts = (
        m.Part(1, "d", sets(a=1), "x", merged=(("main", 2),)),
        m.Part(1, "d", sets(b=1), "new", base=("main", 1)),
        m.Part(0, "other", raw({})),
        m.Part(m.GUARD, "d", raw(None), expect=2),
    )
    requests = [
        (m.Branch, ("d", "x", m.Place(version=1))),
        (m.Transact, (parts,)),
        (m.Update, ("d", sets(c=1), "x")),
        (m.DeleteBranch, ("d", "x")),
    ]
    first: list[Any] = []

    async def again(house: Any) -> None:
        peer = house.peer()
        for number, (kind, arguments) in enumerate(requests, 70):
            said: dict[str, Any] = {"key": f"k{number}"} if keyed else {"id": number, "repeat": True}
            told = await peer.ask(kind, *arguments, **said)
            if kind in (m.Branch, m.DeleteBranch):
                assert [info.branch for info in told.branches] == ["x"]
            elif kind is m.Transact:
                assert (told.made, told.at, told.repeat) == (first[1].made, first[1].at, True)
            else:
                assert (told.version, told.at, told.repeat) == (first[2].version, first[2].at, True)
        assert await branches(peer, deleted=True) == [
            ("d", "main", None, 2, False),
            ("d", "new", ("main", 1), 2, False),
            ("d", "x", ("main", 1), 3, True),
        ]
        assert (await peer.get("other")).version == 1

    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("d", {})
            await update(peer, "d", m=1)
            for number, (kind, arguments) in enumerate(requests, 70):
                first.append(await peer.ask(kind, *arguments, id=number, **({"key": f"k{number}"} if keyed else {})))
            assert [one.version for one in first[1].made] == [2, 2, 1]
            if not restart:
                await again(house)
        if restart:
            async with house.running():
                await again(house)


async def test_a_repeat_that_overtakes_its_original(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {})
        both = [peer.send(m.Branch, "d", "x", key="k") for _ in range(2)]
        told = [(await peer.answer(id)).branches for id in both]
        assert told[0] == told[1]
        both = [peer.send(m.DeleteBranch, "d", "x", key="l") for _ in range(2)]
        assert [len((await peer.answer(id)).branches) for id in both] == [1, 1]
        assert [one[1:] for one in await branches(peer, deleted=True)] == [
            ("main", None, 1, False),
            ("x", ("main", 1), 1, True),
        ]


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_branch_of_many_documents_is_made_and_deleted_once(open_house: Any, keyed: bool) -> None:
    async with open_house() as house:
        requests = [(m.Branch, ("c/**", "x")), (m.Branch, ("e/**", "x")), (m.DeleteBranch, ("c/**", "x"))]
        told: list[list[Any]] = []
        for is_again in (False, True):
            async with house.running():
                peer = house.peer()
                told.append([])
                for number, (kind, arguments) in enumerate(requests, 70):
                    said: dict[str, Any] = {"id": number, "repeat": is_again}
                    if keyed:
                        said = {"id": number + 100 * is_again, "key": f"k{number}"}
                    told[-1].append((await peer.ask(kind, *arguments, **said)).branches)
                    if number == 71 and not is_again:
                        await peer.create("c/1", {}, id=90)
                        await peer.ask(m.Update, "c/1", sets(a=1), "x", id=91)
                assert await branches(peer, "**") == [("e/**", "x", ("main", 0), 0)]
        assert told[0] == told[1]
        assert [(info.document, info.deleted) for info in told[0][2]] == [("c/**", True), ("c/1", True)]


# --- branches of many documents --------------------------------------------------------------------------------------


async def shared(house: Any) -> Any:
    peer = house.peer()
    for name in ("c/1", "c/2", "e"):
        await peer.create(name, {"n": 0})
    await peer.ask(m.Branch, "c/**", "x")
    return peer


async def test_reads_of_what_a_document_does_not_have_fall_back(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await shared(house)
        await update(peer, "c/1", n=1)
        read = await peer.get("c/1", branch="x")
        assert (plain(read.value), read.branch, read.version) == ({"n": 1}, "main", 2)
        assert await nodes(peer, "c/1", "x") == [("main", 2), ("main", 1)]
        assert await value(peer, "c/1", "x", version=1) == {"n": 0}
        difference = await peer.ask(m.Diff, "c/1", m.Place("x", version=1), m.Place("x"))
        assert plain(difference.delta) == [[0, ["n"], 1]] or plain(difference.delta)[0][1:] == [["n"], 1]
        assert (await peer.ask(m.Blame, "c/1", m.Place("x"))).version == 2
        with pytest.raises(BranchNotFound):
            await peer.get("e", branch="x")
        with pytest.raises(DocumentNotFound):
            await peer.get("c/3", branch="x")
        many = await peer.ask(m.GetMany, ("c/1", "c/3", "c/2"), "x")
        assert [None if one is None else plain(one.value) for one in many.documents] == [{"n": 1}, None, {"n": 0}]
        assert await branches(peer, "**") == [("c/**", "x", ("main", 0), 0)]  # nothing was made


async def test_the_first_write_makes_the_branch_from_the_newest_version(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = await shared(house)
            await update(peer, "c/1", n=1)
            assert (await update(peer, "c/1", "x", n=2)).version == 3
            await update(peer, "c/1", n=3)
            assert (await peer.create("c/3", {"new": True}, branch="x")).version == 1
        async with house.running():
            peer = house.peer()
            assert await value(peer, "c/1", "x") == {"n": 2}
            assert await nodes(peer, "c/1", "x") == [("x", 3), ("main", 2), ("main", 1)]
            assert await names(peer, "c/**", "x") == ("c/1", "c/2", "c/3")
            assert await names(peer, "c/**", "main") == ("c/1", "c/2")
            await peer.ask(m.Delete, "c/2", branch="x")
            assert await names(peer, "**", "x") == ("c/1", "c/3")
            assert await value(peer, "c/2") == {"n": 0}
            assert (await peer.ask(m.Revert, "c/1", m.Place("x", version=1), "x")).version == 4
            assert await value(peer, "c/1", "x") == {"n": 0}


async def test_a_first_write_that_is_refused_leaves_nothing_behind(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await shared(house)
        refused = [
            (m.Update, ("c/1", raw([[9, ["n"], 5]])), {}, TestFailed),
            (m.Update, ("c/1", sets(n=1)), {"expect": 7}, VersionConflict),
            (m.Create, ("c/1", raw({})), {}, DocumentExists),
            (m.Update, ("c/3", sets(n=1)), {}, DocumentNotFound),
            (m.Delete, ("c/3",), {}, DocumentNotFound),
        ]
        for kind, arguments, options, error in refused:
            with pytest.raises(error):
                await peer.ask(kind, *arguments, branch="x", **options)
        parts = (m.Part(1, "c/1", sets(n=1), "x"), m.Part(1, "c/2", sets(n=1), "x", expect=9))
        with pytest.raises(VersionConflict):
            await peer.ask(m.Transact, parts)
        house.journal.fail(CommitFailed("disk full", reason="full"))
        with pytest.raises(CommitFailed):
            await update(peer, "c/1", "x", n=1)
        assert await branches(peer, "**") == [("c/**", "x", ("main", 0), 0)]
        await update(peer, "c/1", n=1)
        assert await value(peer, "c/1", "x") == {"n": 1}  # it still falls back
        assert (await update(peer, "c/1", "x", m=1)).version == 3


async def test_first_writes_at_the_same_time_make_one_branch(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await shared(house)
        asked = []
        for number in range(10):
            asked.append(peer.send(m.Update, "c/1", sets(**{f"k{number}": number}), "x"))
            asked.append(peer.send(m.Update, "c/1", sets(n=number)))
            await ticks(number % 3)
        versions = [(await peer.answer(id)).version for id in asked]
        (_, _, base, head) = (await branches(peer, "c/1"))[-1]
        assert sorted(versions[::2]) == list(range(base[1] + 1, base[1] + 11))
        assert head == base[1] + 10
        found = await value(peer, "c/1", "x")
        assert found.pop("n") == (await value(peer, "c/1", version=base[1]))["n"]
        assert found == {f"k{number}": number for number in range(10)}


async def test_a_transaction_on_a_branch_of_many_documents(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = await shared(house)
            await update(peer, "c/2", "x", n=5)
            parts = (
                m.Part(1, "c/1", sets(n=1), "x", expect=1),
                m.Part(1, "c/2", sets(n=6), "x"),
                m.Part(0, "c/3", raw({"n": 7}), "x"),
                m.Part(1, "e", sets(n=8)),
            )
            appends = house.journal.appends
            made = await peer.ask(m.Transact, parts)
            assert house.journal.appends == appends + 1
            assert [(one.document, one.branch, one.version) for one in made.made] == [
                ("c/1", "x", 2),
                ("c/2", "x", 3),
                ("c/3", "x", 1),
                ("e", "main", 2),
            ]
        async with house.running():
            peer = house.peer()
            found = [await value(peer, name, "x") for name in ("c/1", "c/2", "c/3")]
            assert found == [{"n": 1}, {"n": 6}, {"n": 7}]
            merged = await peer.ask(m.Merge, "c/*", m.Place("x"))
            assert [(part.document, part.outcome) for part in merged.parts] == [
                ("c/1", "fast_forward"),
                ("c/2", "fast_forward"),
                ("c/3", "merged"),
            ]
            assert await names(peer, "c/*", "main") == ("c/1", "c/2", "c/3")


async def test_deleting_a_branch_of_many_documents(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await shared(house)
        await update(peer, "c/1", "x", n=1)
        await peer.ask(m.DeleteBranch, "c/1", "x")
        assert await value(peer, "c/1", "x") == {"n": 0}  # what stands in for it is there again
        assert (await update(peer, "c/1", "x", n=2)).version == 4
        gone = (await peer.ask(m.DeleteBranch, "c/**", "x")).branches
        assert [(info.document, info.deleted) for info in gone] == [("c/**", True), ("c/1", True)]
        for name in ("c/1", "c/2"):
            with pytest.raises(BranchNotFound):
                await peer.get(name, branch="x")
        assert await names(peer, "**", "x") == ()
        with pytest.raises(BranchNotFound):
            await peer.ask(m.DeleteBranch, "c/**", "x")
        await peer.ask(m.Branch, "c/**", "x")
        assert await value(peer, "c/2", "x") == {"n": 0}


async def test_the_longest_pattern_says_what_stands_in(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = await shared(house)
        await peer.ask(m.Branch, "c/2", "other")
        await update(peer, "c/2", "other", n=5)
        await peer.ask(m.Branch, "**", "y")
        await peer.ask(m.Branch, "c/*", "y", m.Place("other"))
        assert await value(peer, "e", "y") == {"n": 0}
        assert await value(peer, "c/2", "y") == {"n": 5}
        with pytest.raises(BranchNotFound):
            await value(peer, "c/1", "y")  # it has no `other`
        with pytest.raises(BranchExists):
            await peer.ask(m.Branch, "**", "y")
        with pytest.raises(InvalidRequest):
            await peer.ask(m.Branch, "**", "z", m.Place("main", version=3))


# --- failing commits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [0, 1])
async def test_what_is_not_durable_leaves_branches_as_the_log_says(open_house: Any, own: int) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {})
        doomed = [
            (m.Branch, ("d", "x")),
            (m.Transact, ((m.Part(1, "d", sets(a=1), "x", base=("main", 1)),),)),
        ]
        for kind, arguments in doomed:
            house.journal.fail(CommitFailed("disk full", reason="full"))
            with pytest.raises(CommitFailed):
                await peer.ask(kind, *arguments)
            assert await branches(peer) == [("d", "main", None, 1)]
            with pytest.raises(BranchNotFound):
                await peer.get("d", branch="x")
        await peer.ask(m.Branch, "d", "x")
        for _ in range(own):
            await update(peer, "d", "x", a=1)
        house.journal.fail(CommitFailed("disk full", reason="full"))
        with pytest.raises(CommitFailed):
            await peer.ask(m.DeleteBranch, "d", "x")
        assert await value(peer, "d", "x") == ({"a": 1} if own else {})
        assert (await update(peer, "d", "x", a=2)).version == 2 + own


async def test_what_waits_behind_a_branch_that_is_not_made(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {})
        house.journal.hold()
        house.journal.fail(CommitFailed("disk full", reason="full"))
        making = peer.send(m.Branch, "d", "x")
        await ticks()
        behind = [peer.send(m.Get, "d", branch="x"), peer.send(m.Update, "d", sets(a=1), "x")]
        await ticks()
        house.journal.release()
        with pytest.raises(CommitFailed):
            await peer.answer(making)
        for id in behind:
            with pytest.raises((CommitFailed, BranchNotFound)):
                await peer.answer(id)
        assert await branches(peer) == [("d", "main", None, 1)]


# --- at the same time ------------------------------------------------------------------------------------------------


async def test_a_branch_that_is_made_while_its_base_is_written_to(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {"n": 0})
        house.journal.hold()
        write = peer.send(m.Update, "d", sets(n=1))
        await ticks()
        making = peer.send(m.Branch, "d", "x")
        more = peer.send(m.Update, "d", sets(n=2))
        await ticks()
        assert not peer.answers(making)
        house.journal.release()
        (made,) = (await peer.answer(making)).branches
        for id in (write, more):
            await peer.answer(id)
        assert made.base[1] >= 2  # what was decided before is in it
        assert await value(peer, "d", "x") == await value(peer, "d", version=made.base[1])


async def test_branches_do_not_wait_for_each_other(open_house: Any) -> None:
    """A transaction whose repeat is looked up holds the inboxes of its own branches, and of no other."""
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {})
        for name in ("x", "y"):
            await peer.ask(m.Branch, "d", name)
            await update(peer, "d", name, begun=1)
        slow = peer.send(m.Update, "d", sets(a=1), "x", key="k")  # it is looked up first
        quick = [peer.send(m.Update, "d", sets(a=1), name) for name in ("y", "main")]
        for id in quick:
            await peer.answer(id)
        assert (await peer.answer(slow)).version == 3
        order = [getattr(message, "id", None) for message in peer.told]
        assert max(map(order.index, quick)) < order.index(slow)


async def test_making_and_deleting_under_one_name_at_once(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {})
        asked = []
        for _ in range(6):
            asked += [peer.send(m.Branch, "d", "x"), peer.send(m.Update, "d", sets(a=1), "x")]
            asked += [peer.send(m.DeleteBranch, "d", "x"), peer.send(m.Update, "d", sets(b=1), "x")]
        for id in asked:
            with contextlib.suppress(BranchNotFound, BranchExists):
                await peer.answer(id)
        live = [one for one in await branches(peer) if one[1] == "x"]
        lines = [one for one in await branches(peer, deleted=True) if one[1] == "x"]
        assert len(live) <= 1
        assert all(not gone for *_, gone in lines[len(lines) - len(live) :])
        assert house.partition.registry.crashes == 0


# --- pruning and erasing ---------------------------------------------------------------------------------------------


async def prune(peer: Any, branch: str) -> None:
    await peer.ask(m.Prune, "d", branch, m.Retain(versions=1), dry_run=False)
    await peer.house.partition.settled()


@pytest.mark.parametrize("restart", [False, True])
async def test_where_a_branch_starts_is_not_pruned(open_house: Any, restart: bool) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("d", {"n": 0})
            for number in range(1, 8):
                await update(peer, "d", n=number)
            await peer.ask(m.Branch, "d", "x", m.Place(version=3))
            await peer.ask(m.Branch, "d", "y", m.Place(version=5))
            await update(peer, "d", "y", y=1)
            if not restart:
                await prune(peer, "main")
        async with house.running():
            peer = house.peer()
            await prune(peer, "main")
            assert [number for _, number in await nodes(peer, "d", "main")] == [8, 5, 3]
            assert (await value(peer, "d", "x"), await value(peer, "d", "y")) == ({"n": 2}, {"n": 4, "y": 1})
            with pytest.raises(VersionPruned):
                await peer.ask(m.Branch, "d", "z", m.Place(version=4))
            await peer.ask(m.DeleteBranch, "d", "x")
            await update(peer, "d", n=9)
            await prune(peer, "main")
            assert [number for _, number in await nodes(peer, "d", "main")] == [9, 5]
            assert await value(peer, "d", "y", version=5) == {"n": 4}


async def test_a_branch_point_that_is_pruned_at_the_same_time(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {"n": 0})
        for number in range(1, 6):
            await update(peer, "d", n=number)
        await house.partition.settled()
        making = [peer.send(m.Branch, "d", f"x{number}", m.Place(version=number)) for number in (1, 2, 3)]
        pruning = peer.send(m.Prune, "d", "main", m.Retain(versions=1), dry_run=False)
        making += [peer.send(m.Branch, "d", f"x{number}", m.Place(version=number)) for number in (4, 5)]
        await peer.answer(pruning)
        made = []
        for number, id in enumerate(making, 1):
            try:
                await peer.answer(id)
                made.append(number)
            except VersionPruned:
                pass
        await house.partition.settled()
        for number in made:
            assert await value(peer, "d", f"x{number}") == {"n": number - 1}
        assert [number for _, number in await nodes(peer, "d", "main")] == [6, *made[::-1]]


async def test_names_of_any_length_that_a_branch_may_have(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        name = "x" * 512
        await peer.create("d", {}, branch=name)
        await peer.ask(m.Branch, "d", name[1:], m.Place(name))
        assert (await update(peer, "d", name[1:], a=1)).version == 2
        assert await names(peer, "**", name) == ("d",)
        with pytest.raises(BranchNotFound):
            await peer.get("d", branch="y" * 512)
        with pytest.raises(LimitExceeded):
            await peer.ask(m.Branch, "**", name)  # its name is part of a document's
        with pytest.raises(LimitExceeded):
            await peer.ask(m.Branch, "d", "x" * 513)


async def test_erasing_the_whole_document_ends_its_branches(open_house: Any) -> None:
    """Also for a write that was there before the erasure was durable."""
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("d", {"a": 0})
            await peer.ask(m.Branch, "d", "x")
            await update(peer, "d", "x", a=1)
            await peer.ask(m.Branch, "d", "fresh")
            house.journal.hold()
            erasing = peer.send(m.Erase, "d", (), "x", id=70)
            await ticks()
            late = [peer.send(m.Create, "d", raw({}), branch=name) for name in ("x", "fresh")]
            await ticks()
            house.journal.release()
            erased = await peer.answer(erasing)
            for id in late:
                with pytest.raises(BranchNotFound):
                    await peer.answer(id)
        async with house.running():
            peer = house.peer()
            again = await peer.ask(m.Erase, "d", (), "x", id=70, repeat=True)
            assert (again.at, again.repeat) == (erased.at, True)
            assert await branches(peer) == [("d", "main", None, 2)]
            assert (await peer.create("d", {"b": 0})).version == 3
            await peer.ask(m.Branch, "d", "x")
            assert (await update(peer, "d", "x", c=0)).version == 5
            assert await nodes(peer, "d", "x") == [("x", 5), ("main", 3), ("main", 2)]
