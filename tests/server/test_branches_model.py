"""A server beside a dumb model, which keeps every version of every branch, with the set of all that it comes from.

What is done at random: updates, creates and deletes on any branch, branches from any version of any branch, branches deleted and made
again under the same name, merges in any direction, rebases, picks, pruning, restarts. What is held against the model: every version of every
branch, the histories with where each version was made, what each branch starts from, which base a merge takes, and that `verify` finds
nothing wrong.
"""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.errors import BranchNotFound, DocumentNotFound, VersionNotFound, VersionPruned
from palimpsest.state.merge import merge
from palimpsest.state.rules import parse_rules
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import freeze, thaw

pytestmark = pytest.mark.anyio

Node = tuple[str, int]
BRANCHES = ("draft", "topic", "a/b")
STEPS = 60
RULES = {"": "theirs"}


class Version:
    def __init__(self, node: Node, value: Any, before: Node | None, ancestors: frozenset[Node], number: int) -> None:
        self.node = node
        self.value = copy.deepcopy(value)
        """None: the document does not exist."""
        self.before = before
        self.ancestors = ancestors | {node}
        self.number = number
        """In the order in which versions were made."""


class Model:
    """Of one document."""

    def __init__(self) -> None:
        self.versions: dict[Node, Version] = {}
        self.heads: dict[str, Node] = {}
        """Of live branches: the newest version, where it was made."""
        self.numbers: dict[str, int] = {"main": 1}
        """Of live branches: the number that the next version has."""
        self.bases: dict[str, Node] = {}
        self.pruned_to = 0

    def value(self, branch: str) -> Any:
        node = self.heads.get(branch)
        return None if node is None else copy.deepcopy(self.versions[node].value)

    def newest(self, branch: str) -> int:
        """Of all versions that were made under the name."""
        return max((number for of, number in self.versions if of == branch), default=0)

    def add(self, branch: str, value: Any, merged: tuple[Node, ...] = ()) -> Node:
        node = (branch, self.numbers[branch])
        before = self.heads.get(branch)
        ancestors: frozenset[Node] = frozenset()
        for parent in (*(() if before is None else (before,)), *merged):
            ancestors |= self.versions[parent].ancestors
        self.versions[node] = Version(node, value, before, ancestors, len(self.versions))
        self.heads[branch] = node
        self.numbers[branch] += 1
        return node

    def fork(self, branch: str, base: Node) -> None:
        own = self.newest(branch)
        self.numbers[branch] = max(base[1], own + 1 if own else 0) + 1
        self.heads[branch] = self.bases[branch] = base

    def drop(self, branch: str) -> None:
        del self.heads[branch], self.numbers[branch], self.bases[branch]

    def history(self, branch: str) -> list[Node]:
        found: list[Node] = []
        node = self.heads.get(branch)
        while node is not None:
            found.append(node)
            node = self.versions[node].before
        return found

    def bases_of(self, a: Node, b: Node) -> list[Node]:
        """The nearest common ancestors, the newest first."""
        shared = self.versions[a].ancestors & self.versions[b].ancestors
        nearest = [
            one for one in shared if not any(one != other and one in self.versions[other].ancestors for other in shared)
        ]
        return sorted(nearest, key=lambda node: -self.versions[node].number)


class Walk:
    def __init__(self, client: pal.Client, model: Model, chance: random.Random) -> None:
        self.client = client
        self.model = model
        self.chance = chance

    async def step(self) -> None:
        deeds = [self.write] * 8 + [self.fork] * 3 + [self.merge] * 5 + [self.drop, self.rebase, self.pick, self.prune]
        await self.chance.choice(deeds)()

    def some_branch(self) -> str:
        return self.chance.choice(sorted({"main", *self.model.heads}))

    async def write(self) -> None:
        branch = self.some_branch()
        value = self.model.value(branch)
        if value is None:
            value = {"n": self.chance.randint(0, 9), "m": {}}
            await self.client.create("d", value, branch=branch)
        elif self.chance.random() < 0.05:
            value = None
            await self.client.delete("d", branch=branch)
        elif self.chance.random() < 0.5:
            key, number = self.chance.choice("abcde"), self.chance.randint(0, 9)
            value["m"][key] = number
            await self.client.update("d", {f"m.{key}": number}, branch=branch)
        else:
            value["n"] = self.chance.randint(0, 9)
            await self.client.update("d", {"n": value["n"]}, branch=branch)
        self.model.add(branch, value)

    async def fork(self) -> None:
        branch, source = self.chance.choice(BRANCHES), self.some_branch()
        history = self.model.history(source)
        if branch in self.model.heads or not history:
            return
        base = self.chance.choice(history)
        try:
            made = await self.client.branch("d", branch, at=f"{base[0]}:{base[1]}")
        except VersionPruned:
            assert base[0] == "main"
            assert base[1] <= self.model.pruned_to
            return
        self.model.fork(branch, base)
        assert (made.base, made.head) == (base, self.model.numbers[branch] - 1)

    async def drop(self) -> None:
        branch = self.chance.choice(BRANCHES)
        if branch in self.model.heads:
            await self.client.delete_branch("d", branch)
            self.model.drop(branch)
        else:
            with pytest.raises((BranchNotFound, DocumentNotFound)):
                await self.client.delete_branch("d", branch)

    async def merge(self) -> None:
        source, into = self.some_branch(), self.some_branch()
        heads = self.model.heads
        if source == into or source not in heads or into not in heads:
            return
        ours, theirs = heads[into], heads[source]
        result = await self.client.merge("d", source=source, into=into, rules=RULES)
        (part,) = result.parts
        if theirs in self.model.versions[ours].ancestors:
            assert (part.outcome, result.version) == ("up_to_date", None)
            return
        bases = self.model.bases_of(ours, theirs)
        assert (part.source, part.into, part.base) == (theirs, ours, bases[0])
        assert sorted(part.bases) == (sorted(bases) if len(bases) > 1 else [])
        assert part.outcome == ("fast_forward" if bases == [ours] else "merged")
        value = self.merged(bases[0], ours, theirs)
        assert result.version == self.model.add(into, value, (theirs,))[1]

    def merged(self, base: Node | None, ours: Node, theirs: Node) -> Any:
        values = [NOTHING if node is None else self.frozen(node) for node in (base, ours, theirs)]
        found = merge(*values, rules=parse_rules(RULES))
        assert not found.conflicts
        return None if found.value is NOTHING else thaw(found.value)

    def frozen(self, node: Node) -> Any:
        value = self.model.versions[node].value
        return NOTHING if value is None else freeze(value)

    async def pick(self) -> None:
        source, into = self.some_branch(), self.some_branch()
        history = self.model.history(source)
        if not history or into not in self.model.heads:
            return
        node = self.chance.choice(history)
        ours = self.model.heads[into]
        try:
            result = await self.client.cherry_pick("d", f"{node[0]}:{node[1]}", into=into, rules=RULES)
        except VersionPruned:
            assert self.model.pruned_to
            return
        value = self.merged(self.model.versions[node].before, ours, node)
        if result.version is None:
            assert value == self.model.versions[ours].value
        else:
            assert result.version == self.model.add(into, value)[1]

    async def rebase(self) -> None:
        """Held against what each version is then, and not against how it came to be."""
        branch = self.chance.choice(BRANCHES)
        if branch not in self.model.heads or "main" not in self.model.heads:
            return
        onto = self.model.heads["main"]
        own = [node for node in self.model.history(branch) if node[0] == branch and node[1] > 0]
        if self.model.bases[branch][0] != "main" or any(node in self.model.versions[onto].ancestors for node in own):
            return
        result = await self.client.rebase("d", branch, onto="main", rules=RULES)
        if onto == self.model.bases[branch]:
            assert result.version is None
            return
        self.model.fork(branch, onto)
        for part in result.parts:
            if part.version is not None:
                document = (
                    await self.client.get("d", branch=branch, version=part.version)
                    if await self.there(branch, part.version)
                    else None
                )
                assert self.model.add(branch, None if document is None else document.value) == (branch, part.version)

    async def there(self, branch: str, version: int) -> bool:
        try:
            await self.client.get("d", branch=branch, version=version)
        except DocumentNotFound:
            return False
        return True

    async def prune(self) -> None:
        newest = self.model.heads.get("main")
        if newest is not None and self.chance.random() < 0.5:
            await self.client.prune("d", versions=4, dry_run=False)
            self.model.pruned_to = max(self.model.pruned_to, newest[1] - 4)

    # --- what is there -------------------------------------------------------------------------------------------

    async def check(self) -> None:
        model = self.model
        for node, version in model.versions.items():
            await self.check_version(node, version.value)
        for branch in {"main", *BRANCHES}:
            if branch not in model.heads:
                with pytest.raises((BranchNotFound, DocumentNotFound)):
                    await self.client.get("d", branch=branch)
                continue
            expected = [
                node for node in model.history(branch) if not (node[0] == "main" and node[1] <= model.pruned_to)
            ]
            found = [(one.branch, one.version) async for one in self.client.history("d", branch=branch)]
            assert [node for node in found if not (node[0] == "main" and node[1] <= model.pruned_to)] == expected
        if model.versions:
            bases = {branch.name: branch.base for branch in await self.client.branches("d")}
            assert bases == {"main": None, **model.bases}

    async def check_version(self, node: Node, value: Any) -> None:
        try:
            found = (await self.client.get("d", branch=node[0], version=node[1])).value
        except VersionPruned:
            needed = {self.model.bases.get(branch) for branch in self.model.bases}
            assert node[0] == "main"
            assert node[1] <= self.model.pruned_to
            assert node not in needed
            return
        except (DocumentNotFound, VersionNotFound):
            found = None
        assert found == value, node


async def walk(directory: Path, seed: int, steps: int) -> None:
    chance, model = random.Random(seed), Model()
    for _ in range(3):
        async with pal.Server(directory / f"{seed}.db", snapshot_versions=4) as server, server.connect() as client:
            steps_left = Walk(client, model, chance)
            await steps_left.check()
            for _ in range(steps // 3):
                await steps_left.step()
                if chance.random() < 0.1:
                    await server.partition.settled()
            await steps_left.check()
            await server.partition.settled()
            await steps_left.check()
    assert (await pal.verify(directory / f"{seed}.db")).faults == []


@pytest.mark.parametrize("seed", range(2))
async def test_a_random_walk(tmp_path: Path, seed: int) -> None:
    await walk(tmp_path, seed, STEPS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
async def test_a_long_random_walk(tmp_path: Path, seed: int) -> None:
    await walk(tmp_path, seed, 300)
