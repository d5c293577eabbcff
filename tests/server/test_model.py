"""The whole against a dumb model: dicts that remember every version."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import palimpsest as pal
from palimpsest.errors import Conflict, DeltaFailed, DocumentNotFound, PalimpsestError, VersionNotFound
from palimpsest.storage.checking import check_archive, check_journal
from palimpsest.storage.sqlite_archive import SqliteArchive
from palimpsest.storage.sqlite_journal import SqliteJournal

pytestmark = pytest.mark.anyio

NAMES = [f"{group}/{number}" for group in "ab" for number in range(3)]
ABSENT = ...
"""No value of ours, and the same when it is copied."""


class Model:
    """name -> the values of its versions, ABSENT where a version deleted it."""

    def __init__(self) -> None:
        self.versions: dict[str, list[Any]] = {}

    def current(self, name: str) -> Any:
        return self.versions.get(name, [ABSENT])[-1]

    def version(self, name: str) -> int:
        return len(self.versions.get(name, ()))

    def push(self, name: str, value: Any) -> int:
        self.versions.setdefault(name, []).append(copy.deepcopy(value))
        return self.version(name)

    def names(self) -> list[str]:
        return sorted(name for name in self.versions if self.current(name) is not ABSENT)


class Player:
    """Does the same to a server and to the model, and compares what each says."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.model = Model()
        self.client: pal.Client
        self.counted = 0

    def name(self) -> str:
        return self.chance.choice(NAMES)

    async def play(self, steps: int) -> None:
        moves: list[Callable[[], Any]] = [
            self.create,
            self.update,
            self.update,
            self.update,
            self.update_that_fails,
            self.expect,
            self.delete,
            self.transaction,
            self.edit,
            self.get,
            self.get_past,
            self.history,
            self.list,
            self.get_many,
        ]
        for _ in range(steps):
            await self.chance.choice(moves)()

    async def create(self) -> None:
        name, value = self.name(), {"n": self.chance.randrange(10), "list": []}
        if self.model.current(name) is ABSENT:
            made = await self.client.create(name, value)
            assert made.version == self.model.push(name, value)
        else:
            with pytest.raises(Conflict):
                await self.client.create(name, value)

    def _change(self, value: Any) -> tuple[Any, Any]:
        """A change, and the value after it."""
        self.counted += 1
        value = copy.deepcopy(value)
        match self.chance.randrange(5):
            case 0:
                value["n"] += 3
                return {"n": pal.Increment(3)}, value
            case 1:
                value["list"].append(self.counted)
                return {"list": pal.Append(self.counted)}, value
            case 2:
                value.setdefault("deep", {}).setdefault("er", {})["x"] = self.counted
                return {"deep.er.x": self.counted}, value
            case 3:
                value["text"] = "x" * self.chance.randrange(200)
                return pal.Delta.from_merge_patch({"text": value["text"], "absent": None}), value
            case _:
                value["list"].insert(0, self.counted)
                return pal.Delta.from_json_patch([{"op": "add", "path": "/list/0", "value": self.counted}]), value

    async def update(self) -> None:
        name = self.name()
        current = self.model.current(name)
        if current is ABSENT:
            with pytest.raises(DocumentNotFound):
                await self.client.update(name, {"n": 1})
            return
        change, after = self._change(current)
        made = await self.client.update(name, change, by="player", tags={"t"})
        assert made.version == self.model.push(name, after)

    async def update_that_fails(self) -> None:
        name = self.name()
        with pytest.raises((DeltaFailed, DocumentNotFound)):
            await self.client.update(name, pal.Delta().set("n", -1).set("list", []).replace("not.there", 1))

    async def expect(self) -> None:
        name = self.name()
        if self.model.current(name) is ABSENT:
            return
        with pytest.raises(Conflict):
            await self.client.update(name, {"n": -1}, expect=self.model.version(name) + 1)
        change, after = self._change(self.model.current(name))
        made = await self.client.update(name, change, expect=self.model.version(name))
        assert made.version == self.model.push(name, after)

    async def delete(self) -> None:
        name = self.name()
        if self.model.current(name) is ABSENT:
            with pytest.raises(DocumentNotFound):
                await self.client.delete(name)
        else:
            made = await self.client.delete(name)
            assert made.version == self.model.push(name, ABSENT)

    async def transaction(self) -> None:
        names = self.chance.sample(NAMES, self.chance.randrange(1, 4))
        changes: dict[str, Any] = {}
        after: dict[str, Any] = {}
        for name in names:
            current = self.model.current(name)
            if current is ABSENT:
                changes[name], after[name] = pal.Create({"n": 0, "list": []}), {"n": 0, "list": []}
            elif self.chance.random() < 0.2:
                changes[name], after[name] = pal.DELETE, ABSENT
            else:
                changes[name], after[name] = self._change(current)
        if self.chance.random() < 0.3:
            with pytest.raises(PalimpsestError):
                await self.client.transaction(changes | {"never/made": {"n": 1}})
            return
        made = await self.client.transaction(changes)
        for name in names:
            assert made[name].version == self.model.push(name, after[name])

    async def edit(self) -> None:
        name = self.name()
        if self.model.current(name) is ABSENT:
            return
        async with self.client.edit(name) as draft:
            draft["n"] = draft["n"] + 1
            draft["list"].append("edited")
        after = copy.deepcopy(self.model.current(name))
        after["n"] += 1
        after["list"].append("edited")
        self.model.push(name, after)

    async def get(self) -> None:
        name = self.name()
        if self.model.current(name) is ABSENT:
            with pytest.raises(DocumentNotFound):
                await self.client.get(name)
        else:
            document = await self.client.get(name)
            assert (document.version, document.value) == (self.model.version(name), self.model.current(name))

    async def get_past(self) -> None:
        name = self.name()
        version = self.chance.randrange(1, self.model.version(name) + 2)
        if version > self.model.version(name):
            with pytest.raises((VersionNotFound, DocumentNotFound)):
                await self.client.get(name, version=version)
        elif self.model.versions[name][version - 1] is ABSENT:
            with pytest.raises(DocumentNotFound):
                await self.client.get(name, version=version)
        else:
            document = await self.client.get(name, version=version)
            assert (document.version, document.value) == (version, self.model.versions[name][version - 1])

    async def history(self) -> None:
        name = self.name()
        newest = self.model.version(name)
        if not newest:
            with pytest.raises(DocumentNotFound):
                _ = [version async for version in self.client.history(name)]
            return
        first = self.chance.randrange(1, newest + 1)
        last = self.chance.randrange(first, newest + 1)
        newest_first = self.chance.random() < 0.5
        found = [
            version.version
            async for version in self.client.history(name, first=first, last=last, newest_first=newest_first)
        ]
        expected = list(range(first, last + 1))
        assert found == (expected[::-1] if newest_first else expected)

    async def list(self) -> None:
        group = self.chance.choice("ab")
        found = [name async for name in self.client.list(f"{group}/*")]
        assert found == [name for name in self.model.names() if name.startswith(group)]
        assert [name async for name in self.client.list("**")] == self.model.names()

    async def get_many(self) -> None:
        names = self.chance.choices(NAMES, k=4)
        found = await self.client.get_many(names)
        for name, document in zip(names, found, strict=True):
            current = self.model.current(name)
            assert (ABSENT if document is None else document.value) == current


@pytest.mark.parametrize("place", ["inline", "process", "memory"])
async def test_a_server_is_a_dict_that_remembers(tmp_path: Path, place: Any) -> None:
    """A store is closed and opened again in between, and nothing changes."""
    seed = random.randrange(1_000_000)
    player = Player(random.Random(seed))
    path = tmp_path / "state.db"
    try:
        for _ in range(1 if place == "memory" else 3):
            with anyio.fail_after(30):
                server = (
                    pal.Server.memory(snapshot_versions=3)
                    if place == "memory"
                    else pal.Server(path, archiver=place, snapshot_versions=3)
                )
                async with server, server.connect(page_items=7) as client:
                    player.client = client
                    await player.play(130)
        if place != "memory":
            await _check_store(path)
    except BaseException:
        print(f"seed {seed}")
        raise


async def _check_store(path: Path) -> None:
    journal, archive = SqliteJournal(path), SqliteArchive(path)
    await journal.open()
    await archive.open(epoch=journal.epoch)
    assert await check_journal(journal) == []
    assert await check_archive(archive, journal) == []
    await archive.close()
    await journal.close()
