"""A server beside a dumb model, which keeps every value of every version in a list.

What is done at random: updates, creates, deletes, tags, reverts, undos, prunes, erasures, steps of the clock, restarts. What is held
against the model: every version by number and by time, the history with its tags, and that `verify` finds nothing wrong.
"""

from __future__ import annotations

import copy
import fnmatch
import random
from pathlib import Path
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.errors import DocumentNotFound, UndoConflict, VersionNotFound, VersionPruned

pytestmark = pytest.mark.anyio

NAMES = ("a", "b/c")
STEPS = 60


class Version:
    def __init__(self, value: Any, at: Any, tags: set[str], by: str, erases: bool = False) -> None:
        self.value = copy.deepcopy(value)
        """None: the document does not exist."""
        self.at = at
        self.tags = tags
        self.by = by
        self.erases = erases
        self.is_kept = True


class Model:
    def __init__(self) -> None:
        self.documents: dict[str, list[Version]] = {name: [] for name in NAMES}

    def value(self, name: str) -> Any:
        versions = self.documents[name]
        return copy.deepcopy(versions[-1].value) if versions else None

    def add(self, name: str, value: Any, made: pal.Version, erases: bool = False) -> None:
        versions = self.documents[name]
        versions.append(Version(value, made.at, set(made.tags) | ({"$erased"} if erases else set()), made.by, erases))
        assert made.version == len(versions)

    def prune(self, name: str, newest: int, patterns: list[str]) -> None:
        versions = self.documents[name]
        for version in versions[: max(0, min(len(versions) - newest, len(versions) - 1))]:
            tagged = any(fnmatch.fnmatchcase(tag, pattern) for tag in version.tags for pattern in patterns)
            version.is_kept = version.is_kept and (tagged or version.erases)


class Walk:
    """Does what `chance` says, to the server and to the model."""

    def __init__(self, client: pal.Client, clock: pal.ManualClock, model: Model, chance: random.Random) -> None:
        self.client = client
        self.clock = clock
        self.model = model
        self.chance = chance

    async def step(self) -> None:
        name = self.chance.choice(NAMES)
        deeds = (
            [self.update] * 8 + [self.tag] * 2 + [self.revert, self.undo, self.undo_newest, self.prune, self.move_clock]
        )
        deeds += [self.erase] * self.chance.randint(0, 1) + [self.delete] * self.chance.randint(0, 1)
        await self.chance.choice(deeds)(name)

    def said(self) -> dict[str, Any]:
        tags = {tag for tag in ("keep", "keep-2", "other") if self.chance.random() < 0.15}
        return {"by": self.chance.choice(["ana", "bo"]), "tags": tags}

    async def update(self, name: str) -> None:
        value, said = self.model.value(name), self.said()
        if value is None:
            value = {"n": 0, "s": f"secret {self.chance.random()}", "l": [], "m": {}}
            self.model.add(name, value, await self.client.create(name, value, **said))
            return
        number = self.chance.randint(0, 99)
        what = self.chance.randint(0, 5)
        changes: dict[str, Any] = {}
        if what == 0:
            changes, value["n"] = {"n": pal.Increment(number)}, value["n"] + number
        elif what == 1:
            changes, value["s"] = {"s": f"secret {number}"}, f"secret {number}"
        elif what == 2:
            changes = {"l": pal.Append(number)}
            value["l"].append(number)
        elif what == 3 and value["l"]:
            changes = {"l": pal.Remove(0)}
            del value["l"][0]
        elif what == 4:
            key = f"k{number % 3}"
            changes = {f"m.{key}": {"x": number}}
            value["m"][key] = {"x": number}
        else:
            changes = {"m.k0": pal.DELETE}
            value["m"].pop("k0", None)
        self.model.add(name, value, await self.client.update(name, changes, **said))

    async def delete(self, name: str) -> None:
        if self.model.value(name) is not None:
            self.model.add(name, None, await self.client.delete(name, **self.said()))

    async def tag(self, name: str) -> None:
        versions = self.model.documents[name]
        kept = [number for number, version in enumerate(versions, 1) if version.is_kept]
        if not kept:
            return
        number, tag = self.chance.choice(kept), self.chance.choice(["keep", "other"])
        if self.chance.random() < 0.6:
            await self.client.tag(name, version=number, tags={tag})
            versions[number - 1].tags.add(tag)
        else:
            await self.client.untag(name, version=number, tags={tag})
            versions[number - 1].tags.discard(tag)

    async def revert(self, name: str) -> None:
        there = [
            number
            for number, version in enumerate(self.model.documents[name], 1)
            if version.is_kept and version.value is not None
        ]
        if there:
            number = self.chance.choice(there)
            made = await self.client.revert(name, to=number, **self.said())
            self.model.add(name, self.model.documents[name][number - 1].value, made)

    async def undo_newest(self, name: str) -> None:
        """What it gives is exactly what was there before."""
        versions = self.model.documents[name]
        if len(versions) < 2 or not versions[-2].is_kept or versions[-1].erases:
            return
        if versions[-1].value is None and versions[-2].value is None:
            return
        made = await self.client.undo(name, version=len(versions), **self.said())
        self.model.add(name, versions[-2].value, made)

    async def undo(self, name: str) -> None:
        """What it gives is told by the server: state/test_undo.py says whether it is right."""
        versions = self.model.documents[name]
        if not versions or versions[-1].value is None:
            return
        number = self.chance.randint(1, len(versions))
        try:
            made = await self.client.undo(name, version=number, **self.said())
        except (UndoConflict, VersionPruned):
            return
        try:
            value = (await self.client.get(name)).value
        except DocumentNotFound:
            value = None
        self.model.add(name, value, made)

    async def prune(self, name: str) -> None:
        newest, patterns = self.chance.randint(1, 12), self.chance.choice([["*"], ["keep*"], []])
        documents = self.chance.choice([name, "**"])
        await self.client.prune(documents, versions=newest, tags=patterns, dry_run=False)
        for pruned in NAMES if documents == "**" else [name]:
            self.model.prune(pruned, newest, patterns)

    async def erase(self, name: str) -> None:
        versions = self.model.documents[name]
        if not versions:
            return
        if self.chance.random() < 0.25:
            made = await self.client.erase(name, by="law")
            for version in versions:
                version.is_kept = False
            self.model.add(name, None, made, erases=True)
        elif versions[-1].value is not None:
            made = await self.client.erase(name, "s", by="law")
            for version in versions:
                if version.value is not None:
                    version.value.pop("s", None)
            self.model.add(name, versions[-1].value, made, erases=True)

    async def move_clock(self, name: str) -> None:
        if self.chance.random() < 0.8:
            self.clock.advance(self.chance.choice([0.000001, 1, 3600]))
        else:
            self.clock.step(-self.chance.choice([1, 600]))

    # --- comparing -----------------------------------------------------------------------------------------------

    async def compare(self) -> None:
        for name, versions in self.model.documents.items():
            for number in range(1, len(versions) + 1):
                await self.compare_one(name, number, version=number)
            for number, version in enumerate(versions, 1):
                if number == len(versions) or versions[number].at > version.at:
                    await self.compare_one(name, number, at=version.at)
            if versions:
                await self.compare_history(name, versions)

    async def compare_one(self, name: str, number: int, **which: Any) -> None:
        expected = self.model.documents[name][number - 1]
        try:
            found: Any = await self.client.get(name, **which)
        except VersionPruned:
            assert not expected.is_kept, (name, number, which)
        except DocumentNotFound:
            assert expected.is_kept, (name, number, which)
            assert expected.value is None, (name, number, which)
        else:
            assert expected.is_kept, (name, number, which)
            assert (found.version, found.value, found.tags) == (number, expected.value, expected.tags), which

    async def compare_history(self, name: str, versions: list[Version]) -> None:
        found = [
            (version.version, version.at, version.by, version.tags)
            async for version in self.client.history(name, newest_first=False)
        ]
        kept = [(number, version) for number, version in enumerate(versions, 1) if version.is_kept]
        assert found == [(number, version.at, version.by, version.tags) for number, version in kept]
        for tag in ("keep", "other"):
            tagged = [number for number, version in kept if tag in version.tags]
            assert [version.version async for version in self.client.history(name, tags={tag})] == tagged[::-1]
            if tagged and versions[tagged[-1] - 1].value is not None:
                assert (await self.client.get(name, tag=tag)).version == tagged[-1]
            elif not tagged:
                with pytest.raises(VersionNotFound):
                    await self.client.get(name, tag=tag)


async def walk(store: Path | None, seed: int, steps: int) -> None:
    chance, clock, model = random.Random(seed), pal.ManualClock(), Model()
    sessions = 1 if store is None else 4
    for _ in range(sessions):
        server = (
            pal.Server.memory(clock=clock, snapshot_versions=4)
            if store is None
            else pal.Server(store, clock=clock, snapshot_versions=4)
        )
        async with server, server.connect() as client:
            on = Walk(client, clock, model, chance)
            await on.compare()
            for number in range(steps // sessions):
                await on.step()
                if number % 30 == 29:
                    await on.compare()
            await on.compare()
            assert (await server.verify()).faults == []
    if store is not None:
        assert (await pal.verify(store)).faults == []


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("storage", ["memory", "file"])
async def test_a_server_remembers_what_a_list_does(storage: str, seed: int, tmp_path: Path) -> None:
    await walk(None if storage == "memory" else tmp_path / "state.db", seed, STEPS)


@pytest.mark.soak
@pytest.mark.parametrize("storage", ["memory", "file"])
async def test_a_server_remembers_what_a_list_does_for_long(storage: str, tmp_path: Path) -> None:
    for seed in range(100, 110):
        await walk(None if storage == "memory" else tmp_path / f"{seed}.db", seed, 300)
