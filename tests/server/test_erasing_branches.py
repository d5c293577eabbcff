"""What is erased is gone from every branch, whatever became of it, and from the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.errors import BranchNotFound, DocumentNotFound, MergeNotFound, VersionNotFound

pytestmark = pytest.mark.anyio

SECRET = "Rumpelstiltskin-4711"
NAMES = ("main", "own", "fresh", "gone", "again")


def holding(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if SECRET.encode() in file.read_bytes()]


async def write_everywhere(client: pal.Client, late: str) -> str:
    """Branches of every kind, all with the secret at `s` and at `m.s`. late: the name of
    one that starts from `own` and has no version of its own. Gives the id of a merge that is pending."""
    await client.create("n", {"a": 0, "s": SECRET, "m": {"s": SECRET}})
    for number in range(1, 6):
        await client.update("n", {"a": number})
    await client.branch("n", "own")
    await client.update("n", {"x": 1}, branch="own")
    await client.update("n", {"s": SECRET + "-own"}, branch="own")
    await client.branch("n", late, at="own")
    await client.branch("n", "fresh", at=3)
    for name, text in (("gone", "-gone"), ("again", "-again")):
        await client.branch("n", name, at=3)
        await client.update("n", {"s": SECRET + text}, branch=name)
        await client.delete_branch("n", name)
    await client.branch("n", "again", at=5)
    await client.update("n", {"s": SECRET + "-main"})
    merged = await client.merge("n", source="own")
    assert merged.merge_id is not None
    await client.resolve(merged.merge_id, {"s": pal.Value(SECRET + "-settled")})
    await client.branch("n", "open", at=2)
    await client.update("n", {"s": SECRET + "-open"}, branch="open")
    pending = await client.merge("n", source="open")
    assert pending.merge_id is not None
    return pending.merge_id


async def values(client: pal.Client) -> list[Any]:
    """Everything that can be read of any version of any branch."""
    found: list[Any] = []
    for branch in (*NAMES, "open"):
        for version in range(1, 16):
            try:
                found.append((await client.get("n", branch=branch, version=version)).value)
            except (BranchNotFound, DocumentNotFound, VersionNotFound):
                continue
    return found


@pytest.mark.parametrize(("late", "settled"), [("late", False), ("aaa", True)])
async def test_a_path(tmp_path: Path, late: str, settled: bool) -> None:
    async with pal.Server(tmp_path / "state.db", snapshot_versions=4) as server, server.connect() as client:
        pending = await write_everywhere(client, late)
        if settled:
            await server.partition.settled()
        for path in ("s", "m.s"):
            await client.erase("n", path, by="ana")
        found = await values(client)
        assert len(found) > 25
        assert SECRET not in repr(found)
        assert holding(tmp_path) == []
        done = await client.resolve(pending, {})
        assert (done.conflicts, done.parts[0].outcome) == ([], "merged")
        assert await client.merges() == []
        found = await values(client)
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        assert await values(client) == found
        for branch in await client.branches("n"):
            await client.update("n", {"z": 1}, branch=branch.name)
    assert (await pal.verify(tmp_path / "state.db")).faults == []


@pytest.mark.parametrize(("late", "settled"), [("late", False), ("aaa", True)])
async def test_a_whole_document(tmp_path: Path, late: str, settled: bool) -> None:
    """Also where a branch that has no version of its own starts from one whose name comes later."""
    async with pal.Server(tmp_path / "state.db", snapshot_versions=4) as server, server.connect() as client:
        pending = await write_everywhere(client, late)
        if settled:
            await server.partition.settled()
        await client.erase("n", by="ana")
        assert await values(client) == []
        assert holding(tmp_path) == []
        await server.partition.settled()
        assert [branch.name for branch in await client.branches("n")] == ["main"]
        for name in ("own", late, "fresh"):
            with pytest.raises(BranchNotFound):
                await client.create("n", {}, branch=name)
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        assert await values(client) == []
        await client.abandon(pending)
        with pytest.raises(MergeNotFound):
            await client.merge_state(pending)
        begun = await client.create("n", {"new": True})
        made = await client.branch("n", "own")
        assert made.base == ("main", begun.version)
        await client.update("n", {"new": 1}, branch="own")
        assert (await client.get("n", branch="own")).value == {"new": 1}
        history = [(version.branch, version.version) async for version in client.history("n", branch="own")]
        assert history[:2] == [("own", made.head + 1), ("main", begun.version)]
    assert (await pal.verify(tmp_path / "state.db")).faults == []


async def test_resolutions_are_forgotten_with_what_was_erased() -> None:
    """They may hold what is to be gone; the same conflict is asked about again."""
    async with pal.Server.memory() as server, server.connect() as client:
        await client.create("n", {"a": 0, "s": 0})
        await client.branch("n", "draft")
        await client.update("n", {"s": SECRET})
        await client.update("n", {"s": SECRET + "-draft"}, branch="draft")
        await client.update("n", {"t": 1})
        await client.update("n", {"t": 2}, branch="draft")
        begun = await client.merge("n", source="draft")
        assert begun.merge_id is not None
        left = await client.resolve(begun.merge_id, {"t": pal.Value(3)})
        assert [conflict.path for conflict in left.conflicts] == ["s"]
        await client.erase("n", "s")
        left = await client.merge_state(begun.merge_id)
        assert [conflict.path for conflict in left.conflicts] == ["t"]
