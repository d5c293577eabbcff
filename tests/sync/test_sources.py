from __future__ import annotations

from typing import Any, ClassVar

import pytest
from diffsync import Adapter, DiffSyncModel
from pydantic import Field

import palimpsest as pal
from palimpsest.errors import InvalidRequest
from palimpsest.state.reconciliation import Row
from palimpsest.sync import AdapterSource, PalimpsestAdapter, Source
from palimpsest.sync.sources import load_factory

pytestmark = pytest.mark.anyio


class Site(DiffSyncModel):
    _modelname = "site"
    _identifiers = ("name",)
    _children: ClassVar[dict[str, str]] = {"rack": "racks"}
    name: str
    racks: list[str] = Field(default_factory=list)


class Rack(DiffSyncModel):
    _modelname = "rack"
    _identifiers = ("name",)
    _attributes = ("units",)
    name: str
    units: int = 42

    @classmethod
    def create(cls, adapter: Any, ids: dict[str, Any], attrs: dict[str, Any]) -> Any:
        if ids["name"] == "bad":
            return None
        adapter.log.append(("create", ids["name"], attrs["units"]))
        return super().create(adapter, ids, attrs)

    def update(self, attrs: dict[str, Any]) -> Any:
        if attrs["units"] == 13:
            raise ValueError("unlucky")
        self.adapter.log.append(("update", self.name, attrs))  # type: ignore[union-attr]
        return super().update(attrs)

    def delete(self) -> Any:
        self.adapter.log.append(("delete", self.name))  # type: ignore[union-attr]
        return None if self.name == "kept" else super().delete()


class Racks(Adapter):
    """stored: what is outside, by name. log: what was done; error: what the end of a batch raises."""

    site = Site
    rack = Rack
    top_level: ClassVar[list[str]] = ["site"]

    def __init__(self, stored: dict[str, int], error: Exception | None = None) -> None:
        super().__init__()
        self.stored = stored
        self.log: list[Any] = []
        self.error = error
        self.is_open = True

    def load(self) -> None:
        site = Site(name="ber/1")
        self.add(site)
        for name, units in self.stored.items():
            rack = Rack(name=name, units=units)
            self.add(rack)
            site.add_child(rack)

    def sync_complete(self, *arguments: Any, **named: Any) -> None:
        if self.error is not None:
            raise self.error
        self.log.append("complete")

    def close(self) -> None:
        self.is_open = False


def record(name: str, units: int) -> dict[str, Any]:
    return {"identifiers": {"name": name}, "attrs": {"units": units}}


def row(action: Any, name: str, units: int = 0, model: str = "rack") -> Row:
    after: dict[str, Any] = {} if action == "delete" else {"after": record(name, units)}
    return Row(document="inv", path=(model, name), model=model, id=name, direction="out", action=action, **after)


async def test_a_snapshot() -> None:
    snapshot = await AdapterSource(lambda: Racks({"b": 2, "a": 1})).snapshot()
    assert snapshot == {
        "rack": {"a": record("a", 1), "b": record("b", 2)},
        "site": {"ber/1": {"identifiers": {"name": "ber/1"}, "attrs": {}, "children": {"rack": ["a", "b"]}}},
    }


async def test_a_snapshot_of_a_document_for_each_object() -> None:
    snapshot = await AdapterSource(lambda: Racks({"a": 1}), documents="inv/**").snapshot()
    assert snapshot.keys() == {"inv/rack/a", "inv/site/ber%2F1"}


async def test_changes() -> None:
    adapter = Racks({"a": 1, "b": 2, "kept": 3, "c": 4})
    source = AdapterSource(lambda: adapter)
    await source.snapshot()
    changes = [
        row("create", "d", 5),
        row("create", "bad"),
        row("create", "a", 7),
        row("update", "b", 13),
        row("delete", "kept"),
        row("delete", "c"),
        row("delete", "gone"),
        row("create", "x", model="unheard"),
    ]
    failures = await source.apply(changes)
    assert failures == [
        None,
        "create returned nothing",
        None,
        "ValueError: unlucky",
        "delete returned nothing",
        None,
        None,
        "InvalidRequest: the adapter has no model 'unheard'",
    ]
    expected = [("create", "d", 5), ("update", "a", {"units": 7}), ("delete", "kept"), ("delete", "c"), "complete"]
    assert adapter.log == expected
    assert {item.name for item in adapter.get_all("rack")} == {"a", "b", "d", "kept"}  # type: ignore[attr-defined]
    source.close()
    assert not adapter.is_open


async def test_a_batch_whose_end_fails() -> None:
    adapter = Racks({}, OSError("disk full"))
    assert await AdapterSource(lambda: adapter).apply([row("create", "d", 5)]) == ["OSError: disk full"]


async def test_what_is_no_adapter() -> None:
    with pytest.raises(InvalidRequest, match="not a int"):
        await AdapterSource(lambda: 5).snapshot()  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("place", ["", "x", ":y", "x:", "no.such.module:f", "json:no_such", "json:__name__"])
def test_factories_that_are_none(place: str) -> None:
    with pytest.raises(InvalidRequest):
        load_factory(place)


def test_a_factory() -> None:
    assert load_factory("collections:OrderedDict").__name__ == "OrderedDict"


class Stored(PalimpsestAdapter):
    site = Site
    rack = Rack
    top_level: ClassVar[list[str]] = ["site"]


@pytest.mark.parametrize(("documents", "layout"), [("inv", "document"), ("inv/**", "documents")])
def test_an_adapter_loads_what_was_reconciled(palimpsest_server: Any, documents: str, layout: Any) -> None:
    adapter = Racks({"a": 1, "b": 2})

    async def reconcile() -> None:
        async with palimpsest_server.connect() as client:
            await client.reconcile.put("racks", Source(documents=documents))
            client.reconcile.bind("racks", AdapterSource(lambda: adapter, documents=documents))
            assert (await client.reconcile.run("racks")).summary == {"in.create": 3}

    pal.run(reconcile)
    with palimpsest_server.connect_sync() as client:
        stored = Stored(client, doc="inv", layout=layout)
        stored.load()
    assert stored.dict() == adapter.dict()
