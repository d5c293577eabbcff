from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import palimpsest as pal
from palimpsest.client import Client
from palimpsest.state.paths import parse_path
from palimpsest.state.reconciliation import Row
from palimpsest.state.sources import Source

NOTHING: Any = object()


class Outside:
    """A system outside that is a dict: of one document, or by the names of documents."""

    def __init__(self, *, per_object: bool) -> None:
        self.per_object = per_object
        self.models: dict[str, Any] = {}

    async def snapshot(self) -> Any:
        if not self.per_object:
            return copy.deepcopy(self.models)
        return {
            f"inv/{model}/{id}": copy.deepcopy(one)
            for model, objects in self.models.items()
            for id, one in objects.items()
        }

    async def apply(self, rows: Sequence[Row]) -> list[str | None]:
        for row in rows:
            objects = self.models.setdefault(row.model, {})
            if row.action == "delete":
                del objects[row.id]
            else:
                assert (row.id in objects) == (row.action == "update")
                objects[row.id] = copy.deepcopy(row.after)
        return [None] * len(rows)


class Inside:
    """What the documents are meant to be, and how they are changed."""

    def __init__(self, client: Client, *, per_object: bool) -> None:
        self.client = client
        self.per_object = per_object

    async def read(self) -> dict[str, Any]:
        if not self.per_object:
            found = await self.client.get_many(["inv"])
            return {} if found[0] is None else found[0].value
        models: dict[str, Any] = {}
        async for name in self.client.list("inv/**"):
            _, model, id = name.split("/")
            models.setdefault(model, {})[id] = (await self.client.get(name)).value
        return models

    async def write(self, models: dict[str, Any]) -> None:
        if not self.per_object:
            try:
                await self.client.update("inv", {"": models})
            except pal.errors.DocumentNotFound:
                await self.client.create("inv", models)
            return
        before = await self.read()
        for model in before.keys() | models.keys():
            old, new = before.get(model, {}), models.get(model, {})
            for id in old.keys() | new.keys():
                name = f"inv/{model}/{id}"
                if id not in new:
                    await self.client.delete(name)
                elif id not in old:
                    await self.client.create(name, new[id])
                elif old[id] != new[id]:
                    await self.client.update(name, {"": new[id]})


# --- a dumb model of a three-way comparison ----------------------------------------------------------------------------


def agree(base: Any, ours: Any, theirs: Any, path: tuple[str, ...] = ()) -> tuple[Any, Any, Any, set[tuple[str, ...]]]:
    """What base, ours and theirs are afterwards, and the paths of conflicts."""
    if ours == theirs:
        return ours, ours, ours, set()
    if isinstance(ours, dict) and isinstance(theirs, dict):
        before = base if isinstance(base, dict) else {}
        sides: tuple[dict[str, Any], ...] = ({}, {}, {})
        conflicts: set[tuple[str, ...]] = set()
        for key in before.keys() | ours.keys() | theirs.keys():
            inner = [side.get(key, NOTHING) for side in (before, ours, theirs)]
            *after, found = agree(inner[0], inner[1], inner[2], (*path, key))
            conflicts |= found
            for side, value in zip(sides, after, strict=True):
                if value is not NOTHING:
                    side[key] = value
        return sides[0], sides[1], sides[2], conflicts
    if base == theirs:
        return ours, ours, ours, set()
    if base == ours:
        return theirs, theirs, theirs, set()
    return base, ours, theirs, {path}


# --- random changes ----------------------------------------------------------------------------------------------------

Change = tuple[str, str, int]
change = st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", "gone"]), st.integers(0, 2))
rounds = st.lists(
    st.tuples(st.lists(change, max_size=4), st.lists(change, max_size=4), st.sampled_from(["leave", "ours", "theirs"])),
    min_size=1,
    max_size=4,
)


def changed(models: dict[str, Any], changes: Sequence[Change], number: int) -> dict[str, Any]:
    """Objects of model `m` have the attributes x and y; an object that is changed to be gone is deleted. number: of the round, so that no
    conflict comes again: the server would remember how it was resolved."""
    objects: dict[str, Any] = copy.deepcopy(models.get("m", {}))
    for id, attribute, value in changes:
        if attribute == "gone":
            objects.pop(id, None)
        else:
            objects.setdefault(id, {})[attribute] = 10 * number + value
    return {**models, "m": objects}


def full(models: dict[str, Any]) -> dict[str, Any]:
    """Without what only one of the two layouts can tell: a model without objects."""
    return {model: objects for model, objects in models.items() if objects}


def with_model(models: dict[str, Any]) -> dict[str, Any]:
    """With a document for each object, a model neither comes nor goes."""
    return {"m": models.get("m", {})}


@given(rounds, rounds, st.booleans())
def test_both_sides_come_to_agree(first: Any, more: Any, per_object: bool) -> None:
    pal.run(lambda: walk([*first, *more], per_object))


async def walk(steps: Any, per_object: bool) -> None:
    outside = Outside(per_object=per_object)
    async with pal.Server.memory() as server, server.connect() as client:
        inside = Inside(client, per_object=per_object)
        documents = "inv/**" if per_object else "inv"
        await client.reconcile.put("box", Source(documents=documents, direction="both", batch=2))
        client.reconcile.bind("box", outside)
        base: dict[str, Any] = {}
        for number, (ours, theirs, decision) in enumerate(steps):
            await inside.write(changed(await inside.read(), ours, number))
            outside.models = changed(outside.models, theirs, number)
            tell = with_model if per_object else copy.deepcopy
            base, mine, other, conflicts = agree(tell(base), tell(await inside.read()), tell(outside.models))
            run = await client.reconcile.run("box")
            assert full(await inside.read()) == full(mine)
            assert full(outside.models) == full(other)
            assert paths_of(run, per_object) == conflicts
            assert (run.outcome == "conflict") == bool(conflicts)
            if conflicts and decision != "leave":
                await decide(client, run, decision)
                run = await client.reconcile.run("box")
                assert run.outcome == "applied"
                base = full(await inside.read())
                assert base == full(outside.models)
            if not run.conflicts:
                await stands_still(client)


def paths_of(run: Any, per_object: bool) -> set[Any]:
    found: set[Any] = set()
    for conflict in run.conflicts:
        above = tuple(conflict["document"].split("/")[1:]) if per_object else ()
        found.add((*above, *parse_path(conflict["path"])))
    return found


async def decide(client: Client, run: Any, decision: str) -> None:
    side = pal.OURS if decision == "ours" else pal.THEIRS
    for merge_id in set(run.merges.values()):
        state = await client.merge_state(merge_id)
        await client.resolve(merge_id, {conflict.path: side for conflict in state.conflicts})


async def stands_still(client: Client) -> None:
    plan = await client.reconcile.plan("box")
    assert plan.is_empty, msgspec.json.encode(plan)
