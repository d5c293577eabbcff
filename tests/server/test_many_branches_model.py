"""A server with many documents beside a dumb model, in which every branch is a list of versions with their values.

What is done at random: writes to branches that are there, that are not, and that another stands in for; transactions over several
documents and branches, with guards; branches of one document and of many, made, deleted and made again; requests sent again; paths and
whole documents erased; archiving now or later; restarts. What is held against the model: every version by its number, the histories,
the names that a branch has, where branches start and end, differences between branches, and that `verify` finds nothing wrong.
"""

from __future__ import annotations

import copy
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.errors import PalimpsestError

pytestmark = pytest.mark.anyio

DOCUMENTS = ("c/1", "c/2", "e")
BRANCHES = ("main", "x", "y")
PATTERNS = ("c/**", "**")

Node = tuple[str, int]
Version = tuple[Node, Any]
"""Where it was made, and its value; None: the document does not exist."""


class Refused(Exception):
    """What the server is to refuse, too."""


class Branch:
    """versions: the history, the oldest first. next: the number of the next one."""

    def __init__(self, versions: list[Version], next_: int, base: Node | None = None) -> None:
        self.versions = versions
        self.next = next_
        self.base = base

    @property
    def value(self) -> Any:
        return copy.deepcopy(self.versions[-1][1]) if self.versions else None


class Model:
    def __init__(self) -> None:
        self.branches: dict[str, dict[str, Branch]] = {name: {"main": Branch([], 1)} for name in DOCUMENTS}
        """Those that are there, by document."""
        self.newest: dict[tuple[str, str], int] = {}
        """By document and branch: the newest number that was made under the name."""
        self.ended: dict[tuple[str, str], Any] = {}
        """By document and branch, where it was deleted: the value of that newest number."""
        self.shared: dict[str, dict[str, str]] = {}
        """By branch: what stands in for it, by pattern."""

    # --- branches ------------------------------------------------------------------------------------------------

    def stand_in(self, document: str, branch: str) -> str | None:
        said = self.shared.get(branch, {})
        found = [pattern for pattern in said if pattern == "**" or document.startswith("c/")]
        return said[max(found, key=len)] if found else None

    def present(self, document: str, branch: str) -> tuple[str, Branch]:
        """The name too: of the one that stands in for it."""
        passed = {branch}
        while branch not in self.branches[document]:
            other = self.stand_in(document, branch)
            if other is None or other in passed:
                raise Refused
            passed.add(other)
            branch = other
        return branch, self.branches[document][branch]

    def fork(self, document: str, branch: str, base: Branch, at: int) -> None:
        """at: the place in the base's history."""
        if branch in self.branches[document]:
            raise Refused
        own = self.newest.get((document, branch), 0)
        versions = base.versions[: at + 1]
        node = versions[-1][0] if versions else None
        first = max(0 if node is None else node[1], own + 1 if own else 0) + 1
        self.branches[document][branch] = Branch(list(versions), first, node)

    def first_write(self, document: str, branch: str, *, creates: bool) -> Branch:
        """The branch that is written to; it is made where something stands in for it, or where the document begins on it."""
        mine = self.branches[document]
        if branch not in mine:
            if self.stand_in(document, branch) is not None:
                _, base = self.present(document, branch)
                self.fork(document, branch, base, len(base.versions) - 1)
            elif creates and not mine["main"].versions:
                self.fork(document, branch, Branch([], 1), 0)
            else:
                raise Refused
        return mine[branch]

    # --- versions ------------------------------------------------------------------------------------------------

    def write(self, document: str, branch: str, kind: str, said: dict[str, Any]) -> int:
        line = self.first_write(document, branch, creates=kind == "create")
        value = line.value
        if (value is None) != (kind == "create"):
            raise Refused
        return self.add(document, branch, None if kind == "delete" else copy.deepcopy((value or {}) | said))

    def add(self, document: str, branch: str, value: Any) -> int:
        line = self.branches[document][branch]
        number = line.next
        line.versions.append(((branch, number), value))
        line.next += 1
        self.newest[document, branch] = number
        return number

    def erase(self, document: str, key: str | None) -> None:
        mine = self.branches[document]
        if not mine["main"].versions:
            raise Refused
        touched = {name for name in BRANCHES if name in mine or self.newest.get((document, name))}
        touched = {name for name in touched if name != "main" or mine["main"].versions}
        if key is None:
            for name in touched:
                self.newest[document, name] = (
                    self.add(document, name, None) if name in mine else self.newest[document, name] + 1
                )
            self.ended.update(((document, name), None) for name in touched)
            self.branches[document] = {"main": Branch([(mine["main"].versions[-1])], mine["main"].next)}
            return
        if not all(self.value_at_end(document, name) for name in touched):
            raise Refused
        for line in mine.values():
            line.versions = [(node, _without(value, key)) for node, value in line.versions]
        for name in touched:
            if name in mine:
                self.add(document, name, _without(mine[name].value, key))
            else:
                self.newest[document, name] += 1

    def value_at_end(self, document: str, branch: str) -> bool:
        """Whether the document existed as of the newest version that was made under the name."""
        mine = self.branches[document]
        return (mine[branch].value if branch in mine else self.ended[document, branch]) is not None

    def drop(self, document: str, branch: str) -> None:
        line = self.branches[document].pop(branch, None)
        if line is None:
            raise Refused
        if line.versions and line.versions[-1][0][0] == branch:
            self.ended[document, branch] = line.value


def _without(value: Any, key: str) -> Any:
    return None if value is None else {name: one for name, one in value.items() if name != key}


Deed = tuple[Callable[[Model], Any], Callable[[pal.Client], Awaitable[Any]]]
"""What is done to the model, which may refuse it and gives a number of a version; and how the server is asked."""


class Walk:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.model = Model()
        self.sent: list[tuple[Callable[[pal.Client], Awaitable[Any]], int]] = []
        """What can be sent again, and the version that it made."""
        self.count = 0

    def deed(self) -> Deed:
        kinds = (
            [self.write] * 6 + [self.transaction] * 3 + [self.branch] * 4 + [self.share, self.drop, self.drop_shared]
        )
        return self.chance.choice([*kinds, self.erase])()

    async def step(self, client: pal.Client) -> None:
        change, ask = self.deed()
        model = copy.deepcopy(self.model)
        try:
            expected = change(model)
        except Refused:
            with pytest.raises(PalimpsestError) as caught:
                await ask(client)
            assert caught.value.code not in ("internal", "timeout")
            return
        found = await ask(client)
        if expected is not None:
            assert found == expected
            self.sent.append((ask, expected))
        self.model = model

    async def again(self, client: pal.Client) -> None:
        if self.sent:
            ask, made = self.chance.choice(self.sent)
            assert await ask(client) == made

    # --- what may be done ----------------------------------------------------------------------------------------

    def some(self) -> tuple[str, str]:
        return self.chance.choice(DOCUMENTS), self.chance.choice(BRANCHES)

    def _said(self, document: str, branch: str) -> tuple[str, dict[str, Any]]:
        self.count += 1
        said = {self.chance.choice("abs"): self.count}
        try:
            exists = self.model.present(document, branch)[1].value is not None
        except Refused:
            exists = self.chance.random() < 0.5
        if self.chance.random() < 0.05:
            exists = not exists
        return ("delete" if exists and self.chance.random() < 0.1 else "update" if exists else "create"), said

    def write(self) -> Deed:
        document, branch = self.some()
        kind, said = self._said(document, branch)
        key = f"k{self.count}"

        async def ask(client: pal.Client) -> Any:
            options: dict[str, Any] = {"branch": branch, "request_id": key}
            if kind == "delete":
                return (await client.delete(document, **options)).version
            return (await getattr(client, kind)(document, said, **options)).version

        return (lambda model: model.write(document, branch, kind, said)), ask

    def transaction(self) -> Deed:
        places = list(dict.fromkeys(self.some() for _ in range(3)))
        parts = {place: self._said(*place) for place in places}
        guarded = self.chance.choice(DOCUMENTS)
        expect = self.model.branches[guarded]["main"].next - 1 + (self.chance.random() < 0.1)
        guards = {guarded: expect} if expect and (guarded, "main") not in parts else {}
        key = f"t{self.count}"
        changes: Any = {
            place: pal.Create(said) if kind == "create" else pal.DELETE if kind == "delete" else said
            for place, (kind, said) in parts.items()
        }

        def change(model: Model) -> int:
            if any(model.branches[name]["main"].next - 1 != version for name, version in guards.items()):
                raise Refused
            made = [model.write(*place, *what) for place, what in parts.items()]
            return made[0]

        async def ask(client: pal.Client) -> Any:
            made = await client.transaction(changes, expect=guards, request_id=key)
            return made[places[0]].version

        return change, ask

    def branch(self) -> Deed:
        document, source = self.some()
        name = self.chance.choice(BRANCHES[1:])
        place = self.chance.random()

        def at(model: Model) -> int:
            return int(place * len(model.present(document, source)[1].versions))

        def change(model: Model) -> None:
            base = model.present(document, source)[1]
            if not base.versions:
                raise Refused
            model.fork(document, name, base, at(model))

        async def ask(client: pal.Client) -> None:
            try:
                _, line = self.model.present(document, source)
                node = line.versions[at(self.model)][0]
                of = f"{node[0]}:{node[1]}"
            except (Refused, IndexError):
                of = source
            await client.branch(document, name, at=of)

        return change, ask

    def share(self) -> Deed:
        name, pattern = self.chance.choice(BRANCHES[1:]), self.chance.choice(PATTERNS)
        source = self.chance.choice(BRANCHES)

        def change(model: Model) -> None:
            said = model.shared.setdefault(name, {})
            if pattern in said:
                raise Refused
            said[pattern] = source

        async def ask(client: pal.Client) -> None:
            await client.branch(pattern, name, at=source)

        return change, ask

    def drop(self) -> Deed:
        document, name = self.chance.choice(DOCUMENTS), self.chance.choice(BRANCHES[1:])

        async def ask(client: pal.Client) -> None:
            await client.delete_branch(document, name)

        return (lambda model: model.drop(document, name)), ask

    def drop_shared(self) -> Deed:
        name, pattern = self.chance.choice(BRANCHES[1:]), self.chance.choice(PATTERNS)

        def change(model: Model) -> None:
            gone = [model.shared.get(name, {}).pop(pattern, None)]
            for document in DOCUMENTS:
                if name in model.branches[document] and (pattern == "**" or document.startswith("c/")):
                    model.drop(document, name)
                    gone.append(name)
            if not any(gone):
                raise Refused

        async def ask(client: pal.Client) -> None:
            await client.delete_branch(pattern, name)

        return change, ask

    def erase(self) -> Deed:
        document = self.chance.choice(DOCUMENTS)
        key = "s" if self.chance.random() < 0.8 else None

        async def ask(client: pal.Client) -> None:
            await (client.erase(document) if key is None else client.erase(document, key))

        def change(model: Model) -> None:
            model.erase(document, key)
            self.sent = []  # what a request made may be gone

        return change, ask

    # --- what is there -------------------------------------------------------------------------------------------

    async def check(self, client: pal.Client) -> None:
        for branch in BRANCHES:
            listed = {name async for name in client.list("**", branch=branch)}
            assert listed == {name for name in DOCUMENTS if self._exists(name, branch)}
            for document in DOCUMENTS:
                await self.check_branch(client, document, branch)
        for document, mine in self.model.branches.items():
            if mine["main"].versions or len(mine) > 1:
                found = {
                    one.name: (one.base, one.head)
                    for one in await client.branches(document)
                    if one.document == document
                }
                assert found == {name: (line.base, line.next - 1) for name, line in mine.items()}
                await self.check_difference(client, document, mine)

    def _exists(self, document: str, branch: str) -> bool:
        try:
            return self.model.present(document, branch)[1].value is not None
        except Refused:
            return False

    async def check_branch(self, client: pal.Client, document: str, branch: str) -> None:
        try:
            _, line = self.model.present(document, branch)
        except Refused:
            with pytest.raises(PalimpsestError):
                await client.get(document, branch=branch)
            return
        if not line.versions:
            with pytest.raises(PalimpsestError):
                await client.get(document, branch=branch)
            return
        history = [(one.branch, one.version) async for one in client.history(document, branch=branch)]
        erased = len(history) < len(line.versions)  # with what was erased as a whole, all before it went
        expected = [node for node, _ in reversed(line.versions)]
        assert history == (expected[: len(history)] if erased else expected), (document, branch)
        for node, value in line.versions[-6:]:
            try:
                found = (await client.get(document, branch=node[0], version=node[1])).value
            except PalimpsestError:
                found = None
            if not erased or node in history:
                assert found == value, (document, branch, node)

    async def check_difference(self, client: pal.Client, document: str, mine: dict[str, Branch]) -> None:
        a, b = self.chance.choice(sorted(mine)), self.chance.choice(sorted(mine))
        if mine[a].value is not None and mine[b].value is not None:
            delta = await client.diff(document, a, b)
            assert delta.apply(mine[a].value) == mine[b].value


@asynccontextmanager
async def opened(server: pal.Server) -> AsyncIterator[tuple[pal.Server, pal.Client]]:
    async with server, server.connect() as client:
        yield server, client


async def steps(walk: Walk, server: pal.Server, count: int) -> None:
    async with opened(server) as (running, client):
        await walk.check(client)
        for number in range(count):
            await walk.step(client)
            if walk.chance.random() < 0.2:
                await walk.again(client)
            if walk.chance.random() < 0.1:
                await running.partition.settled()
            if number % 10 == 9:
                await walk.check(client)
        await walk.check(client)
        assert running.partition.registry.crashes == 0
        await running.partition.settled()
        await walk.check(client)


@pytest.mark.parametrize("seed", range(3))
async def test_a_random_walk(seed: int) -> None:
    walk = Walk(random.Random(seed))
    await steps(walk, pal.Server.memory(snapshot_versions=4), 60)


@pytest.mark.parametrize("seed", range(10, 11))
async def test_a_random_walk_with_restarts(tmp_path: Path, seed: int) -> None:
    walk = Walk(random.Random(seed))
    for _ in range(3):
        await steps(walk, pal.Server(tmp_path / "state.db", snapshot_versions=4), 12)
    assert (await pal.verify(tmp_path / "state.db")).faults == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 200))
async def test_a_long_random_walk(tmp_path: Path, seed: int) -> None:
    walk = Walk(random.Random(seed))
    for _ in range(4):
        await steps(walk, pal.Server(tmp_path / "state.db", snapshot_versions=4), 100)
    assert (await pal.verify(tmp_path / "state.db")).faults == []
