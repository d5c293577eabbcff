"""Branches and merges as a program uses them, over a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.errors import BranchExists, BranchNotFound, InvalidName, InvalidRequest, VersionConflict

pytestmark = pytest.mark.anyio


def longer(conflict: pal.Conflict) -> Any:
    """A resolver: of two lists, the one that has more in it."""
    if not isinstance(conflict.ours, list) or not isinstance(conflict.theirs, list):
        return pal.CONFLICT
    return max(conflict.ours, conflict.theirs, key=len)


def broken(conflict: pal.Conflict) -> Any:
    raise ZeroDivisionError


def absurd(conflict: pal.Conflict) -> Any:
    return {1: object()}


async def two_branches(client: pal.Client, base: Any, ours: Any, theirs: Any) -> None:
    await client.create("n", base)
    await client.branch("n", "draft")
    await client.update("n", ours)
    await client.update("n", theirs, branch="draft")


async def test_a_rule_calls_a_resolver_of_the_server() -> None:
    resolvers = {"longer": longer, "broken": broken, "absurd": absurd}
    async with pal.Server.memory(resolvers=resolvers) as server, server.connect() as client:
        base = {name: [1] for name in "abcd"}
        mine, other = {name: [2] for name in "abcd"}, {name: [3, 3] for name in "abcd"}
        await two_branches(client, base, mine, other | {"d": 1})
        rules = {"a": "longer", "b": "broken", "c": "absurd", "d": "longer"}
        result = await client.merge("n", source="draft", rules=rules)
        assert [conflict.path for conflict in result.conflicts] == ["b", "c", "d"]
        assert result.parts[0].settled == 1
        assert result.merge_id is not None
        choices = {"b": pal.OURS, "c": pal.Value([9]), "d": pal.DELETE}
        done = await client.resolve(result.merge_id, choices, by="ana", description="settled", tags={"merged"})
        assert done.version == 3
        merged = await client.get("n")
        assert merged.value == {"a": [3, 3], "b": [2], "c": [9]}
        assert (merged.by, merged.description, merged.tags) == ("ana", "settled", {"merged"})
        with pytest.raises(InvalidRequest, match=r"'nonsense' is no rule; there are .*absurd, broken, longer"):
            await client.merge("n", source="draft", rules={"a": "nonsense"})


async def test_who_set_what_through_merges() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await client.create("n", {"a": 0, "b": 0, "l": [1, 2], "same": 0})
        await client.branch("n", "draft")
        await client.update("n", {"b": 1}, by="on main")
        await client.update("n", {"a": 1, "l": pal.Append(3)}, by="on draft", branch="draft")
        await client.branch("n", "deep", at="draft")
        await client.update("n", {"deep": True}, by="on deep", branch="deep")
        await client.merge("n", source="deep", into="draft", by="merger of deep")
        await client.merge("n", source="draft", by="merger of draft")
        blame = await client.blame("n")
        assert blame.exact
        assert {path: (version.branch, version.by) for path, version in blame.items()} == {
            "a": ("draft", "on draft"),
            "b": ("main", "on main"),
            "deep": ("deep", "on deep"),
            "l.0": ("main", None),
            "l.1": ("main", None),
            "l.2": ("draft", "on draft"),
            "same": ("main", None),
        }


async def test_a_merge_of_what_two_sides_brought_together_is_its_own_author() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await two_branches(client, {"n": 1, "t": ["a"]}, {"n": 3, "t": ["a", "b"]}, {"n": 5, "t": ["a", "c"]})
        await client.merge("n", source="draft", rules={"n": "sum", "t": "union"}, by="merger")
        assert (await client.get("n")).value == {"n": 7, "t": ["a", "b", "c"]}
        blame = await client.blame("n")
        assert (blame["n"].by, blame["t.2"].branch) == ("merger", "main")


async def test_a_preview_writes_nothing_and_says_what_a_merge_would() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await two_branches(client, {"a": 0, "b": 0}, {"a": 1}, {"b": 2})
        preview = await client.merge("n", source="draft", dry_run=True)
        assert (preview.dry_run, preview.committed, preview.version, preview.merge_id) == (True, False, None, None)
        assert preview.delta is not None
        assert preview.delta.apply((await client.get("n")).value) == {"a": 1, "b": 2}
        assert [version.version async for version in client.history("n")] == [2, 1]
        made = await client.merge("n", source="draft", expect=2)
        assert (made.version, made.delta) == (3, preview.delta)
        with pytest.raises(VersionConflict):
            await client.merge("n", source="main", into="draft", expect=9)


async def test_a_squashed_merge_has_one_parent_and_is_not_known_later() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await two_branches(client, {"a": 0, "b": 0}, {"a": 1}, {"b": 2})
        await client.merge("n", source="draft", squash=True)
        (newest,) = [version async for version in client.history("n", limit=1)]
        assert newest.parents is None
        again = await client.merge("n", source="draft", dry_run=True)
        assert again.parts[0].outcome == "merged"


async def test_a_change_says_what_it_took_in() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await two_branches(client, {"a": 0}, {"b": 1}, {"c": 2})
        async with client.subscribe("n") as on_main, client.subscribe("n", branch="draft") as on_draft:
            await client.merge("n", source="draft")
            await client.update("n", {"d": 1}, branch="draft")
            assert (await anext(on_main)).parents == pal.Parents(None, (("draft", 2),))
            change = await anext(on_draft)
            assert (change.version, change.branch, change.parents) == (3, "draft", None)


async def test_everything_takes_a_branch(tmp_path: Path) -> None:
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        await two_branches(client, {"a": 0}, {"a": 1}, {"b": 2})
        await client.tag("n", 2, {"released"}, branch="draft")
        assert (await client.get("n", branch="draft", tag="released")).version == 2
        await client.update("n", {"b": 3}, branch="draft")
        await client.undo("n", 3, branch="draft")
        await client.revert("n", "main:1", branch="draft")
        assert (await client.get("n", branch="draft")).value == {"a": 0}
        assert (await client.diff("n", "draft:2", "draft")).apply({"a": 0, "b": 2}) == {"a": 0}
        async with client.edit("n", branch="draft") as draft:
            draft["edited"] = True
        assert [name async for name in client.list(branch="draft")] == ["n"]
        await client.delete("n", branch="draft")
        assert [name async for name in client.list(branch="draft")] == []
        assert (await client.get("n")).value == {"a": 1}
        report = await client.prune("n", branch="draft", versions=1, dry_run=False)
        assert report.events == 4  # the tagged one stays
        assert (await client.digest("n", branch="draft")).version == 7
        assert (await client.stats(branch="draft")).deleted == 1
    assert (await pal.verify(tmp_path / "state.db")).faults == []


async def test_what_is_no_branch() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await client.create("n", {})
        await client.branch("n", "a/b")
        for name in ("$own", "", "a//b", "x*"):
            with pytest.raises(InvalidName):
                await client.branch("n", name)
        with pytest.raises(InvalidRequest):
            await client.branch("n", "main")
        with pytest.raises(BranchExists):
            await client.branch("n", "a/b")
        with pytest.raises(BranchNotFound):
            await client.branch("n", "c", at="nowhere")
        with pytest.raises(BranchNotFound):
            await client.merge("n", source="nowhere")
        with pytest.raises(InvalidName):
            await client.branch("$system/retention/x", "a")


async def test_the_same_request_id_for_merges_of_two_documents() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        for name in ("a", "b"):
            await client.create(name, {"n": 0})
            await client.branch(name, "draft")
            await client.update(name, {"n": 1})
            await client.update(name, {"n": 2}, branch="draft")
        first = await client.merge("a", source="draft", request_id="nightly")
        second = await client.merge("b", source="draft", request_id="nightly")
        assert first.merge_id != second.merge_id
        assert [conflict.document for conflict in second.conflicts] == ["b"]
        again = await client.merge("a", source="draft", request_id="nightly")
        assert (again.merge_id, again.repeat) == (first.merge_id, True)
