"""Merges, pending ones above all: across restarts, beside heads that move, sent twice; and what is kept for them."""

from __future__ import annotations

from typing import Any

import pytest
from branch_kit import nodes, open_paths, plain, sets, takes, ticks, two_sides, update, value

from palimpsest.errors import CommitFailed, InvalidRequest, MergeNotFound, VersionPruned
from palimpsest.protocol import messages as m
from palimpsest.words import Kind, Meta

pytestmark = pytest.mark.anyio

DRAFT = m.Place("draft")
CONFLICTING = ({"a": 1, "b": 1}, {"a": 2, "b": 2})


async def pending(peer: Any) -> list[tuple[str, dict[str, int]]]:
    found = (await peer.ask(m.ListMerges)).merges
    return [(merge.merge, merge.documents) for merge in found]


# --- pending merges --------------------------------------------------------------------------------------------------


async def test_a_pending_merge_survives_a_restart_and_is_committed_once(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await two_sides(peer, *CONFLICTING)
            begun = await peer.ask(m.Merge, "d", DRAFT, meta=Meta("ana", "why", ("t",)))
            assert open_paths(begun) == ["a", "b"]
            left = await peer.ask(m.Resolve, begun.merge, takes(a="theirs"))
            assert (open_paths(left), left.merge, left.at) == (["b"], begun.merge, 0)
            assert (await peer.get("d")).version == 2
        async with house.running():
            peer = house.peer("another")
            assert await pending(peer) == [(begun.merge, {"d": 1})]
            seen = await peer.ask(m.GetMerge, begun.merge)
            assert (open_paths(seen), seen.parts[0].settled) == (["b"], 1)
            # Two that resolve what is left at the same time: one of them commits.
            asked = [peer.send(m.Resolve, begun.merge, takes(b=take)) for take in ("ours", "theirs")]
            done = await peer.answer(asked[0])
            assert (done.merge, done.parts[0].version) == (None, 3)
            with pytest.raises((MergeNotFound, InvalidRequest)):
                await peer.answer(asked[1])
            newest = await peer.get("d")
            assert (newest.version, plain(newest.value), newest.meta) == (
                3,
                {"a": 2, "b": 1},
                Meta("ana", "why", ("t",)),
            )
            assert await pending(peer) == []
            assert await nodes(peer, "d", "main") == [("main", 3), ("main", 2), ("main", 1)]
            with pytest.raises(MergeNotFound):
                await peer.ask(m.GetMerge, begun.merge)
            assert (await peer.ask(m.Merge, "d", DRAFT)).parts[0].outcome == "up_to_date"


async def test_heads_that_move_bring_a_pending_merge_up_to_date(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, *CONFLICTING)
        begun = await peer.ask(m.Merge, "d", DRAFT)
        await peer.ask(m.Resolve, begun.merge, takes(a="theirs"))
        await update(peer, "d", other=1)
        seen = await peer.ask(m.GetMerge, begun.merge)
        assert (open_paths(seen), seen.parts[0].into) == (["b"], ("main", 3))  # what was resolved stays so
        await update(peer, "d", a=9)
        seen = await peer.ask(m.GetMerge, begun.merge)
        assert open_paths(seen) == ["a", "b"]  # another value is another conflict
        await update(peer, "d", "draft", c=1, a=3)
        done = await peer.ask(m.Resolve, begun.merge, takes(a="ours", b="base"))
        assert (done.parts[0].source, done.parts[0].into, done.parts[0].version) == (("draft", 3), ("main", 4), 5)
        assert await value(peer, "d") == {"a": 9, "b": 0, "c": 1, "other": 1}


async def test_a_merge_that_heads_have_settled_meanwhile_is_ended_by_resolving_nothing(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, *CONFLICTING)
        begun = await peer.ask(m.Merge, "d", DRAFT)
        await peer.ask(m.Merge, "d", DRAFT, rules={"": "theirs"})
        with pytest.raises(InvalidRequest, match="no conflict at a; none is open"):
            await peer.ask(m.Resolve, begun.merge, takes(a="ours"))
        done = await peer.ask(m.Resolve, begun.merge, (), key="done")
        assert (done.parts[0].outcome, done.parts[0].version) == ("up_to_date", None)
        assert await pending(peer) == []
        again = await peer.ask(m.Resolve, begun.merge, (), key="done")
        assert (again.repeat, again.parts[0].outcome, again.at) == (True, "up_to_date", done.at)
        with pytest.raises(MergeNotFound):
            await peer.ask(m.Resolve, begun.merge, (), key="another")


@pytest.mark.parametrize("forth", [True, False])
async def test_resolutions_of_an_abandoned_merge_are_honoured_later(open_house: Any, forth: bool) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await two_sides(peer, *CONFLICTING)
            begun = await peer.ask(m.Merge, "d", DRAFT)
            await peer.ask(m.Resolve, begun.merge, takes(a="theirs"))
            assert (await peer.ask(m.Abandon, begun.merge)).version == 3
            assert await pending(peer) == []
            assert (await peer.get("d")).version == 2
        async with house.running():
            peer = house.peer("later")
            source, into = ("draft", "main") if forth else ("main", "draft")
            again = await peer.ask(m.Merge, "d", m.Place(source), into)
            assert (open_paths(again), again.parts[0].settled) == (["b"], 1)
            assert again.merge != begun.merge
            await peer.ask(m.Resolve, again.merge, takes(b="ours"))
            assert await value(peer, "d", into) == {"a": 2, "b": 1 if forth else 2}


async def test_a_merge_of_many_documents_is_pending_as_one_and_committed_as_one(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"a": 2}, "c/1")
        await two_sides(peer, {"a": 1}, {"b": 2}, "c/2")
        await two_sides(peer, {"a": 1}, {"a": 3}, "c/3")
        begun = await peer.ask(m.Merge, "c/*", DRAFT)
        assert await pending(peer) == [(begun.merge, {"c/1": 1, "c/2": 0, "c/3": 1})]
        assert [(await peer.get(name)).version for name in ("c/1", "c/2", "c/3")] == [2, 2, 2]
        one = (m.Resolution(("a",), "ours", document="c/1"),)
        assert open_paths(await peer.ask(m.Resolve, begun.merge, one)) == ["a"]
        assert await pending(peer) == [(begun.merge, {"c/1": 0, "c/2": 0, "c/3": 1})]
        house.journal.fail(CommitFailed("disk full", reason="full"))
        with pytest.raises(CommitFailed):
            await peer.ask(m.Resolve, begun.merge, takes(a="theirs"))
        assert await pending(peer) == [(begun.merge, {"c/1": 0, "c/2": 0, "c/3": 1})]
        appends = house.journal.appends
        done = await peer.ask(m.Resolve, begun.merge, takes(a="theirs"))
        assert house.journal.appends == appends + 1
        assert [(part.document, part.version) for part in done.parts] == [("c/1", 3), ("c/2", 3), ("c/3", 3)]
        assert [(await value(peer, name))["a"] for name in ("c/1", "c/2", "c/3")] == [1, 1, 3]


# --- sent twice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("kind", [m.Merge, m.Pick, m.Rebase])
async def test_what_is_sent_twice_is_done_once(open_house: Any, kind: type, keyed: bool, restart: bool) -> None:
    arguments = {
        m.Merge: ("d", DRAFT),
        m.Pick: ("d", DRAFT),
        m.Rebase: ("d", "draft", m.Place("main")),
    }[kind]
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await two_sides(peer, {"a": 1}, {"b": 2})
            first = await peer.ask(kind, *arguments, id=70, **({"key": "k"} if keyed else {}))
            before = await nodes(peer, "d", "main"), await nodes(peer, "d", "draft")
            if not restart:
                await check_again(house, kind, arguments, keyed, first, before)
        if restart:
            async with house.running():
                await check_again(house, kind, arguments, keyed, first, before)


async def check_again(house: Any, kind: type, arguments: Any, keyed: bool, first: Any, before: Any) -> None:
    peer = house.peer()
    said: dict[str, Any] = {"key": "k", "id": 71} if keyed else {"repeat": True, "id": 70}
    again = await peer.ask(kind, *arguments, **said)
    assert again.repeat
    assert [part.version for part in again.parts] == [part.version for part in first.parts]
    assert (again.at, again.merge) == (first.at, first.merge)
    assert (await nodes(peer, "d", "main"), await nodes(peer, "d", "draft")) == before


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_pending_merge_whose_every_request_is_sent_twice(open_house: Any, keyed: bool) -> None:
    def said(id: int, *, again: bool) -> dict[str, Any]:
        return {"id": id + 100 * again, "key": f"k{id}"} if keyed else {"id": id, "repeat": again}

    async with open_house() as house:
        answers: list[Any] = []
        async with house.running():
            peer = house.peer()
            await two_sides(peer, *CONFLICTING)
        for again in (False, True):
            async with house.running():
                peer = house.peer()
                answers.append(await peer.ask(m.Merge, "d", DRAFT, **said(50, again=again)))
        assert (open_paths(answers[0]), answers[0].merge) == (open_paths(answers[1]), answers[1].merge)
        id = answers[0].merge
        for resolutions, number in ((takes(a="theirs"), 51), (takes(b="ours"), 52)):
            told: list[Any] = []
            for again in (False, True):
                async with house.running():
                    peer = house.peer()
                    told.append(await peer.ask(m.Resolve, id, resolutions, **said(number, again=again)))
            assert [open_paths(one) for one in told] == [["b"] if number == 51 else []] * 2
            assert [(one.merge, one.at, one.repeat) for one in told] == [
                (told[0].merge, told[0].at, False),
                (told[0].merge, told[0].at, True),
            ]
            assert [one.parts[0].version for one in told] == [None if number == 51 else 3] * 2
        async with house.running():
            peer = house.peer()
            assert await nodes(peer, "d", "main") == [("main", 3), ("main", 2), ("main", 1)]
            assert await value(peer, "d") == {"a": 2, "b": 1}


@pytest.mark.parametrize("keyed", [False, True])
async def test_abandoning_twice(open_house: Any, keyed: bool) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await two_sides(peer, *CONFLICTING)
            begun = await peer.ask(m.Merge, "d", DRAFT)
            first = await peer.ask(m.Abandon, begun.merge, id=70, **({"key": "k"} if keyed else {}))
        async with house.running():
            peer = house.peer()
            again = await peer.ask(m.Abandon, begun.merge, **({"key": "k"} if keyed else {"id": 70, "repeat": True}))
            assert (again.version, again.at, again.repeat) == (first.version, first.at, True)
            with pytest.raises(MergeNotFound):
                await peer.ask(m.Abandon, begun.merge, id=99)


# --- common ancestors ------------------------------------------------------------------------------------------------


async def test_a_criss_cross_takes_the_newest_base_and_names_all(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        # Neither merge knows of the other: each takes in what the other branch had before.
        assert (await peer.ask(m.Merge, "d", m.Place("draft", version=2))).parts[0].version == 3
        crossed = await peer.ask(m.Merge, "d", m.Place("main", version=2), "draft")
        assert (crossed.parts[0].base, crossed.parts[0].bases) == (("main", 1), ())
        await update(peer, "d", c=1)
        await update(peer, "d", "draft", e=1)
        seen = await peer.ask(m.Merge, "d", DRAFT, dry_run=True)
        (part,) = seen.parts
        assert sorted(part.bases) == [("draft", 2), ("main", 2)]
        assert part.base == ("draft", 2)  # made after the other
        done = await peer.ask(m.Merge, "d", DRAFT)
        assert done.parts[0].base == ("draft", 2)
        assert await value(peer, "d") == {"a": 1, "b": 2, "c": 1, "e": 1}
        back = await peer.ask(m.Merge, "d", m.Place("main"), "draft")
        assert (back.parts[0].outcome, back.parts[0].base, back.parts[0].bases) == ("fast_forward", ("draft", 4), ())
        assert await value(peer, "d", "draft") == await value(peer, "d")


async def test_a_name_that_is_used_again_is_another_branch(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        await peer.ask(m.Merge, "d", DRAFT)
        await peer.ask(m.DeleteBranch, "d", "draft")
        await peer.ask(m.Branch, "d", "draft", m.Place("main", version=1))
        await update(peer, "d", "draft", c=3)
        seen = await peer.ask(m.Merge, "d", DRAFT)
        (part,) = seen.parts
        assert (part.source, part.base) == (("draft", 4), ("main", 1))
        assert await value(peer, "d") == {"a": 1, "b": 2, "c": 3}
        assert await value(peer, "d", "draft", 2) == {"a": 0, "b": 2}  # of the one that was deleted


async def test_a_version_of_a_deleted_branch_can_be_merged_and_picked(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        await update(peer, "d", "draft", c=3)
        await peer.ask(m.DeleteBranch, "d", "draft")
        assert (await peer.ask(m.Merge, "d", m.Place("draft", version=2))).parts[0].version == 3
        assert await value(peer, "d") == {"a": 1, "b": 2}
        assert (await peer.ask(m.Pick, "d", m.Place("draft", version=3))).parts[0].version == 4
        assert await value(peer, "d") == {"a": 1, "b": 2, "c": 3}


# --- what is kept ----------------------------------------------------------------------------------------------------


async def prune(peer: Any, branch: str) -> None:
    await peer.ask(m.Prune, "d", branch, m.Retain(versions=1), dry_run=False)
    await peer.house.partition.settled()


@pytest.mark.parametrize("restart", [False, True])
async def test_what_a_pending_merge_needs_is_not_pruned(open_house: Any, restart: bool) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await two_sides(peer, *CONFLICTING)
            begun = await peer.ask(m.Merge, "d", DRAFT)
            for number in range(4):
                await update(peer, "d", n=number)
                await update(peer, "d", "draft", m=number)
            await peer.ask(m.DeleteBranch, "d", "draft")
            if not restart:
                await prune(peer, "main")
        async with house.running():
            peer = house.peer()
            await prune(peer, "main")
            assert [node[1] for node in await nodes(peer, "d", "main")] == [6, 2, 1]
            assert await value(peer, "d", version=1) == {"a": 0, "b": 0}
            await peer.ask(m.Abandon, begun.merge)
            await update(peer, "d", n=9)
            await prune(peer, "main")
            assert [node[1] for node in await nodes(peer, "d", "main")] == [7]


async def test_a_merge_is_begun_while_its_base_is_pruned(open_house: Any) -> None:
    """Whichever comes first: the merge finds its base, or is told that it is gone."""
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, *CONFLICTING)
        await update(peer, "d", c=1)
        await house.partition.settled()
        merging = peer.send(m.Merge, "d", DRAFT)
        pruning = peer.send(m.Prune, "d", "main", m.Retain(versions=1), dry_run=False)
        await peer.answer(pruning)
        begun = await peer.answer(merging)
        await house.partition.settled()
        assert open_paths(await peer.ask(m.GetMerge, begun.merge)) == ["a", "b"]
        with pytest.raises(VersionPruned):
            await value(peer, "d", version=2)
        assert open_paths(await peer.ask(m.Resolve, begun.merge, takes(a="base", b="base"))) == []
        assert await value(peer, "d") == {"a": 0, "b": 0, "c": 1}


# --- failing commits -------------------------------------------------------------------------------------------------


async def test_a_merge_that_is_not_durable_has_not_happened(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        house.journal.fail(CommitFailed("disk full", reason="full"))
        with pytest.raises(CommitFailed):
            await peer.ask(m.Merge, "d", DRAFT)
        assert await value(peer, "d") == {"a": 1, "b": 0}
        seen = await peer.ask(m.Merge, "d", DRAFT, dry_run=True)
        assert (seen.parts[0].outcome, seen.parts[0].base) == ("merged", ("main", 1))
        assert (await peer.ask(m.Merge, "d", DRAFT)).parts[0].version == 3


@pytest.mark.parametrize("own", [0, 2])
async def test_a_rebase_that_is_not_durable_has_not_happened(open_house: Any, own: int) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {"a": 0})
        await peer.ask(m.Branch, "d", "draft")
        for number in range(own):
            await update(peer, "d", "draft", n=number)
        await update(peer, "d", b=1)
        before = await nodes(peer, "d", "draft")
        house.journal.hold()
        house.journal.fail(CommitFailed("disk full", reason="full"))
        rebasing = peer.send(m.Rebase, "d", "draft")
        await ticks()
        reading = peer.send(m.Get, "d", branch="draft")
        await ticks()
        assert peer.answers(reading) == []  # what is not durable is not shown
        house.journal.release()
        for asked in (rebasing, reading):
            with pytest.raises(CommitFailed):
                await peer.answer(asked)
        assert await nodes(peer, "d", "draft") == before
        await peer.ask(m.Rebase, "d", "draft")
        assert (await value(peer, "d", "draft")).get("b") == 1
        assert (await update(peer, "d", "draft", c=1)).version == (await peer.get("d", branch="draft")).version


async def test_a_branch_without_versions_of_its_own_can_be_rebased_and_goes_on(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {"a": 0})
        await peer.ask(m.Branch, "d", "draft")
        await update(peer, "d", a=1)
        assert (await peer.ask(m.Rebase, "d", "draft")).parts[0].outcome == "fast_forward"
        assert await value(peer, "d", "draft") == {"a": 1}
        assert (await peer.ask(m.Merge, "d", DRAFT)).parts[0].outcome == "up_to_date"
        assert (await update(peer, "d", "draft", b=1)).version == 3


# --- at the same time ------------------------------------------------------------------------------------------------


async def test_a_target_that_is_written_to_all_the_time_is_merged_all_the_same(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        merging = peer.send(m.Merge, "d", DRAFT)
        writes = []
        for number in range(200):
            writes.append(peer.send(m.Update, "d", sets(n=number)))
            if number % 3 == 0:
                await ticks(1)
            if peer.answers(merging):
                break
        done = await peer.answer(merging)
        versions = [(await peer.answer(write)).version for write in writes]
        assert done.parts[0].version not in versions
        assert len(set(versions)) == len(versions)
        assert (await value(peer, "d"))["b"] == 2


async def test_merges_in_both_directions_at_once(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        asked = [peer.send(m.Merge, "d", DRAFT), peer.send(m.Merge, "d", m.Place("main"), "draft")]
        for id in asked:
            await peer.answer(id)
        assert await value(peer, "d") == await value(peer, "d", "draft") == {"a": 1, "b": 2}
        seen = await peer.ask(m.Merge, "d", DRAFT)
        assert seen.parts[0].outcome in ("up_to_date", "fast_forward", "merged")
        assert await value(peer, "d") == {"a": 1, "b": 2}


async def test_a_deleted_document_is_merged_as_nothing(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        await peer.ask(m.Delete, "d", branch="draft")
        begun = await peer.ask(m.Merge, "d", DRAFT)
        (conflict,) = begun.parts[0].conflicts
        assert (conflict.path, conflict.kind, conflict.theirs) == ((), "edit/delete", ())
        done = await peer.ask(m.Resolve, begun.merge, (m.Resolution((), "theirs"),))
        assert done.parts[0].version == 3
        (newest,) = (await peer.ask(m.History, "d", limit=1)).entries
        assert (newest.kind, newest.parents.merged) == (Kind.DELETE, (("draft", 3),))
        assert plain((await peer.get("d", version=2)).value) == {"a": 1, "b": 0}
        assert (await peer.create("d", {"new": 1})).version == 4
