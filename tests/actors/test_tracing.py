"""Who set what through merges, held against a dumb model that remembers the author of every key."""

from __future__ import annotations

import random
from typing import Any

import pytest
from branch_kit import raw, sets, two_sides, update

from palimpsest.errors import BranchNotFound
from palimpsest.protocol import messages as m
from palimpsest.words import Meta

pytestmark = pytest.mark.anyio


async def authors(peer: Any, branch: str = "main", path: tuple[Any, ...] = ()) -> dict[str, tuple[str, int]]:
    """The version that last set each leaf, by its path."""
    told = await peer.ask(m.Blame, "d", m.Place(branch), path)
    found = {}
    for leaf, place in told.paths:
        entry = told.entries[place]
        found[".".join(map(str, leaf))] = (entry.branch or branch, entry.version)
    assert told.exact
    return found


async def test_what_a_merge_took_over_it_did_not_make(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        await peer.ask(m.Merge, "d", m.Place("draft"))
        assert await authors(peer) == {"a": ("main", 2), "b": ("draft", 2)}
        await peer.ask(m.Merge, "d", m.Place("main"), "draft")
        assert await authors(peer, "draft") == {"a": ("main", 2), "b": ("draft", 2)}


async def test_what_two_sides_came_to_together_is_the_merges_own(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1, "b": 1}, {"a": 2, "b": 2})
        await peer.ask(m.Merge, "d", m.Place("draft"), rules={"a": "sum", "b": "theirs"})
        assert await authors(peer) == {"a": ("main", 3), "b": ("draft", 2)}


async def test_a_pruned_past_is_said_to_be_inexact(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        await update(peer, "d", "draft", c=1)
        await update(peer, "d", "draft", e=1)
        await peer.ask(m.Merge, "d", m.Place("draft"))
        await peer.ask(m.DeleteBranch, "d", "draft")
        await update(peer, "d", z=1)
        await peer.ask(m.Prune, "d", "main", m.Retain(versions=2), dry_run=False)
        await house.partition.settled()
        told = await peer.ask(m.Blame, "d")
        assert not told.exact
        assert next((entry.branch or "main", entry.version) for entry in told.entries) == ("main", 4)


async def test_of_a_branch_that_is_not_there(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await two_sides(peer, {"a": 1}, {"b": 2})
        with pytest.raises(BranchNotFound):
            await peer.ask(m.Blame, "d", m.Place("none"))
        await peer.ask(m.DeleteBranch, "d", "draft")
        told = await peer.ask(m.Blame, "d", m.Place("draft", version=2))
        assert [told.entries[place].version for _, place in told.paths] == [1, 2]


@pytest.mark.parametrize("seed", range(6))
async def test_random_merges_of_disjoint_work(open_house: Any, seed: int) -> None:
    """Each branch writes its own keys: whoever set the newest value of a key is the same wherever it has come to."""
    chance = random.Random(seed)
    names = ("main", "x", "y")
    made: dict[str, dict[str, tuple[str, int]]] = {}
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", dict.fromkeys(names, 0))
        made["main"] = dict.fromkeys(names, ("main", 1))
        for name in names[1:]:
            await peer.ask(m.Branch, "d", name)
            made[name] = dict(made["main"])
        for _ in range(25):
            branch, other = chance.choice(names), chance.choice(names)
            if chance.random() < 0.6:
                number = chance.randrange(1_000_000)
                answer = await peer.ask(m.Update, "d", sets(**{branch: number}), branch, meta=Meta(branch))
                made[branch][branch] = (branch, answer.version)
            elif branch != other:
                merged = await peer.ask(m.Merge, "d", m.Place(other), branch)
                assert merged.merge is None
                newest = {key: max(made[branch][key], made[other][key], key=lambda node: node[1]) for key in names}
                made[branch] = {key: newest[key] if newest[key][0] == key else made[branch][key] for key in names}
            if chance.random() < 0.2:
                await house.partition.settled()
        for name in names:
            assert await authors(peer, name) == made[name]


async def test_lists_and_places_inside(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {"l": [1, 2], "m": {"x": 1}})
        await peer.ask(m.Branch, "d", "draft")
        await peer.ask(m.Update, "d", raw([[5, ["l"], 3], [0, ["m", "y"], 2]]), branch="draft")
        await update(peer, "d", other=1)
        await peer.ask(m.Merge, "d", m.Place("draft"))
        assert await authors(peer, path=("l",)) == {"l.0": ("main", 1), "l.1": ("main", 1), "l.2": ("draft", 2)}
        assert await authors(peer, path=("m",)) == {"m.x": ("main", 1), "m.y": ("draft", 2)}
