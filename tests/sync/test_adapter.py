"""The adapter, against a server in memory: what DiffSync promises, and what is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from ipaddress import IPv4Address
from itertools import count
from typing import Any, ClassVar, Self

import pytest
import structlog
from diffsync import Adapter, DiffSyncModel
from diffsync.diff import Diff
from diffsync.enum import DiffSyncFlags, DiffSyncModelFlags
from diffsync.exceptions import DiffClassMismatch, ObjectNotCreated, ObjectNotUpdated
from diffsync.store.local import LocalStore
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

import palimpsest as pal
from palimpsest.client import SyncClient
from palimpsest.errors import InvalidRequest, InvalidValue, VersionConflict
from palimpsest.sync import Failure, NotAttached, PalimpsestAdapter, PalimpsestModel, diff_async
from palimpsest.sync import apply as apply_async
from palimpsest.testing.running import RunningServer, running_server

LAYOUTS = ("document", "documents")


class Role(Enum):
    LEAF = "leaf"
    SPINE = "spine"


class Site(PalimpsestModel):
    _modelname = "site"
    _identifiers = ("name",)
    _attributes = ("city",)
    _children: ClassVar[dict[str, str]] = {"device": "devices"}

    name: str
    city: str | None = None
    devices: list[str] = Field(default_factory=list)


class Device(PalimpsestModel):
    _modelname = "device"
    _identifiers = ("name",)
    _attributes = ("role", "address", "seen", "labels")

    name: str
    role: Role = Role.LEAF
    address: IPv4Address | None = None
    seen: datetime | None = None
    labels: dict[str, Any] = Field(default_factory=dict)
    row: int | None = None


class Inventory(PalimpsestAdapter):
    site = Site
    device = Device
    top_level = ("site",)  # type: ignore[assignment]


def fill(adapter: Adapter, sites: dict[str, dict[str, dict[str, Any]]], **cities: str) -> Any:
    for name, devices in sites.items():
        site = adapter.site(name=name, city=cities.get(name))  # type: ignore[attr-defined]
        adapter.add(site)
        for device, attrs in devices.items():
            made = adapter.device(name=device, **attrs)  # type: ignore[attr-defined]
            adapter.add(made)
            site.add_child(made)
    return adapter


def shown(adapter: Adapter) -> dict[str, Any]:
    """All that is compared."""
    return {
        str((name, item.get_unique_id())): (
            item.get_attrs(),
            [getattr(item, field) for field in item.get_children_mapping().values()],
        )
        for name in ("site", "device")
        for item in adapter.get_all(name)
    }


def stored(client: SyncClient, layout: str, **place: Any) -> dict[str, Any]:
    return shown(loaded(client, layout, **place))


def loaded(client: SyncClient, layout: str = "document", **named: Any) -> Inventory:
    adapter = Inventory(client, doc="inv", layout=layout, **named)  # type: ignore[arg-type]
    adapter.load()
    return adapter


THREE = {"ber": {"b1": {}, "b2": {"role": Role.SPINE}}, "fra": {"f1": {"address": IPv4Address("10.0.0.1")}}}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """DiffSync logs every object; most of a test would be that."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(**before)


# --- as DiffSync's own -----------------------------------------------------------------------------------------------


def test_without_a_client_it_is_a_plain_adapter() -> None:
    source, target = fill(Inventory(), THREE), Inventory("here", LocalStore())
    target.load()
    target.sync_from(source)
    assert shown(target) == shown(source)
    assert (target.name, target.type) == ("here", "Inventory")
    assert target.result.summary == {"create": 5, "update": 0, "delete": 0, "no-change": 0}
    assert target.result.version is None
    with pytest.raises(NotAttached):
        target.save()


def test_a_diff_of_another_class_is_refused() -> None:
    class Other(Diff):
        pass

    source, target = fill(Inventory(), THREE), Inventory()
    diff = target.diff_from(source)
    with pytest.raises(DiffClassMismatch):
        target.sync_from(source, diff_class=Other, diff=diff)


def test_a_model_cannot_hide_a_word_of_the_adapter() -> None:
    class Result(DiffSyncModel):
        _modelname = "result"

    with pytest.raises(AttributeError, match="result"):
        type("Bad", (PalimpsestAdapter,), {"result": Result})


@pytest.mark.parametrize("named", [{"layout": "tree"}, {"on_conflict": "hope"}, {"colour": "red"}, {"doc": "inv"}])
def test_arguments_that_make_no_sense(named: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Inventory(**named)


# --- loading and writing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_synced_is_loaded_again(palimpsest_sync_client: SyncClient, layout: str) -> None:
    seen = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
    source = fill(
        Inventory(), {**THREE, "a/b *%.é": {"": {"seen": seen, "labels": {"a": [1, None]}}, "..": {}}}, fra="Frankfurt"
    )
    target = loaded(palimpsest_sync_client, layout)
    target.sync_from(source)
    assert stored(palimpsest_sync_client, layout) == shown(source)
    assert loaded(palimpsest_sync_client, layout).get("device", "").seen == seen


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_version_says_what_changed(palimpsest_sync_client: SyncClient, layout: str) -> None:
    client = palimpsest_sync_client
    loaded(client, layout).sync_from(fill(Inventory(), THREE))
    target = loaded(client, layout, by="sync", description="nightly", tags=["n"])
    target.sync_from(fill(Inventory(), {"ber": {"b1": {"role": Role.SPINE}, "b3": {}}, "fra": THREE["fra"]}))
    assert target.result.summary == {"create": 1, "update": 1, "delete": 1, "no-change": 3}
    name = "inv" if layout == "document" else "inv/device/b1"
    newest = next(iter(client.history(name, newest_first=True)))
    assert (newest.by, newest.description, newest.tags) == ("sync", "nightly", {"n"})
    prefix = "device.b1." if layout == "document" else ""
    assert newest.delta is not None
    ops = newest.delta.ops
    assert pal.Delta().set(f"{prefix}attrs.role", "spine").ops[0] in ops
    if layout == "document":
        assert target.result.version == newest.version == 2
        assert len(ops) == 4  # the attribute, a device made, one deleted, and one for another in the list of children
    else:
        assert target.result.version is None
        assert target.result.versions == {"inv/device/b1": 2, "inv/device/b2": 2, "inv/device/b3": 1, "inv/site/ber": 2}


def test_nothing_to_do_writes_nothing(palimpsest_sync_client: SyncClient) -> None:
    source = fill(Inventory(), THREE)
    loaded(palimpsest_sync_client).sync_from(source)
    target = loaded(palimpsest_sync_client)
    target.sync_from(source)
    assert (target.result.version, target.result.summary["no-change"]) == (None, 5)
    assert target.versions == {"inv": 1}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_load_serves_several_syncs(palimpsest_sync_client: SyncClient, layout: str) -> None:
    target = loaded(palimpsest_sync_client, layout)
    for sites in (THREE, {"ber": {}}, THREE, {}, {"fra": {"b1": {}}}):
        source = fill(Inventory(), sites)
        target.sync_from(source)
        assert stored(palimpsest_sync_client, layout) == shown(source) == shown(target)


def test_what_other_models_have_in_the_document_stays(palimpsest_sync_client: SyncClient) -> None:
    client = palimpsest_sync_client
    client.create("inv", {"note": "kept", "device": {"b1": {"identifiers": {"name": "b1"}, "owner": "bo"}}})
    target = loaded(client)
    target.save()
    target.get("device", "b1").update({"role": Role.SPINE})
    target.commit()
    value = client.get("inv").value
    assert value["note"] == "kept"
    assert value["device"]["b1"]["attrs"]["role"] == "spine"


def test_an_update_by_hand_is_staged(palimpsest_sync_client: SyncClient) -> None:
    loaded(palimpsest_sync_client).sync_from(fill(Inventory(), THREE))
    target = loaded(palimpsest_sync_client)
    target.get("site", "ber").update({"city": "Berlin"})
    target.remove(target.get("device", "f1"))
    target.get_or_instantiate(Device, {"name": "new"})
    target.commit()
    assert stored(palimpsest_sync_client, "document") == shown(target)
    assert target.result.version == 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_save_writes_the_difference(palimpsest_sync_client: SyncClient, layout: str) -> None:
    adapter = fill(Inventory(palimpsest_sync_client, doc="inv", layout=layout), THREE)  # type: ignore[arg-type]
    adapter.save()
    first = dict(adapter.result.versions)
    adapter.save()
    assert adapter.result.versions == {}
    adapter.get("site", "ber").city = "Berlin"
    adapter.save()
    assert adapter.result.versions == {"inv" if layout == "document" else "inv/site/ber": 2}
    assert set(first.values()) == {1}
    assert stored(palimpsest_sync_client, layout) == shown(adapter)


def test_a_branch_and_a_version_can_be_loaded(palimpsest_sync_client: SyncClient) -> None:
    client = palimpsest_sync_client
    loaded(client).sync_from(fill(Inventory(), THREE))
    client.branch("inv", "draft")
    draft = Inventory(client, doc="inv")
    draft.load(branch="draft")
    draft.sync_from(fill(Inventory(), {"ber": {}}))
    assert len(stored(client, "document")) == 5
    assert len(stored(client, "document", branch="draft")) == 1
    past = Inventory(client, doc="inv", branch="draft")
    past.load(version=1)
    assert len(past) == 5
    with pytest.raises(InvalidRequest):
        Inventory(client, doc="inv", layout="documents").load(version=1)


def test_more_ops_than_a_delta_may_have_are_one_delta() -> None:
    with running_server(limits=pal.Limits(delta_ops_max=20)) as server, server.connect_sync() as client:
        client.create("inv", {"device": {}, "site": {}})
        target = loaded(client)
        wanted = {f"s{number}": {f"d{number}": {"labels": {"n": number}}} for number in range(30)}
        target.sync_from(fill(Inventory(), wanted, **dict.fromkeys(wanted, "here")))
        assert target.result.version == 2
        target.sync_from(fill(Inventory(), dict(list(wanted.items())[:3]), **dict.fromkeys(wanted, "there")))
        assert target.result.version == 3
        assert stored(client, "document") == shown(target)


def test_what_makes_no_object_is_refused(palimpsest_sync_client: SyncClient) -> None:
    client = palimpsest_sync_client
    client.create("inv", {"device": {"b1": {"identifiers": {"name": "b2"}}}})
    with pytest.raises(InvalidValue, match="b2"):
        loaded(client)
    client.update("inv", {"device": {"b1": {"identifiers": {}}}})
    with pytest.raises(InvalidValue, match="name"):
        loaded(client)
    client.update("inv", {"device": 3})
    with pytest.raises(InvalidValue, match="device"):
        loaded(client)


# --- failures --------------------------------------------------------------------------------------------------------


class Fragile(Device):
    """Fails after it has done its work."""

    @classmethod
    def create(cls, adapter: Adapter, ids: dict[str, Any], attrs: dict[str, Any]) -> Self | None:
        super().create(adapter, ids, attrs)
        if ids["name"] == "raises":
            raise ObjectNotCreated("no room")
        return None if ids["name"] == "none" else cls(**ids, adapter=adapter, **attrs)

    def update(self, attrs: dict[str, Any]) -> Self | None:
        super().update(attrs)
        raise ObjectNotUpdated("stuck")


class FragileInventory(Inventory):
    device = Fragile


def test_failures_write_nothing_of_theirs(palimpsest_sync_client: SyncClient) -> None:
    client = palimpsest_sync_client
    loaded(client).sync_from(fill(Inventory(), {"ber": {"b1": {}}}))
    target = FragileInventory(client, doc="inv")
    target.load()
    wanted = {"ber": {"b1": {"role": Role.SPINE}, "raises": {}, "none": {}, "fine": {}}}
    target.sync_from(fill(Inventory(), wanted), flags=DiffSyncFlags.CONTINUE_ON_FAILURE)
    assert sorted(target.result.failures, key=lambda failure: failure.id) == [
        Failure("device", "b1", "update", "stuck"),
        Failure("device", "none", "create", "device create did not return the model object."),
        Failure("device", "raises", "create", "no room"),
    ]
    after = loaded(client)
    assert after.get("device", "b1").role is Role.LEAF
    assert after.get("site", "ber").devices == ["b1", "fine"]


def test_where_a_hook_raises_nothing_is_written_yet(palimpsest_sync_client: SyncClient) -> None:
    target = FragileInventory(palimpsest_sync_client, doc="inv")
    target.load()
    with pytest.raises(ObjectNotCreated):
        target.sync_from(fill(Inventory(), {"ber": {"raises": {}}}))
    assert stored(palimpsest_sync_client, "document") == {}
    assert [failure.id for failure in target.result.failures] == ["raises"]
    target.commit()
    assert list(stored(palimpsest_sync_client, "document")) == ["('site', 'ber')"]


def test_children_that_go_with_their_parent_are_deleted(palimpsest_sync_client: SyncClient) -> None:
    for layout in LAYOUTS:
        target = loaded(palimpsest_sync_client, layout)
        target.sync_from(fill(Inventory(), THREE))
        target.get("site", "ber").model_flags = DiffSyncModelFlags.SKIP_CHILDREN_ON_DELETE
        target.sync_from(fill(Inventory(), {"fra": THREE["fra"]}))
        assert stored(palimpsest_sync_client, layout) == shown(target)
        assert len(target) == 2


# --- conflicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_somebody_else_was_faster(palimpsest_sync_client: SyncClient, layout: str) -> None:
    client = palimpsest_sync_client
    loaded(client, layout).sync_from(fill(Inventory(), THREE))
    target, other = loaded(client, layout), loaded(client, layout)
    other.get("device", "b1").update({"role": Role.SPINE})
    other.commit()
    before = stored(client, layout)
    source = fill(Inventory(), {"ber": {"b1": {"labels": {"x": 1}}, "b2": THREE["ber"]["b2"]}, "fra": {}})
    with pytest.raises(VersionConflict):
        target.sync_from(source)
    assert stored(client, layout) == before
    with pytest.raises(VersionConflict):
        target.save()
    target.rebase()
    after = loaded(client, layout)
    device = after.get("device", "b1")
    assert (device.role, device.labels) == (Role.SPINE, {"x": 1})
    assert after.get("site", "fra").devices == []
    assert shown(after) == shown(target)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_place_is_a_conflict_still(palimpsest_sync_client: SyncClient, layout: str) -> None:
    client = palimpsest_sync_client
    loaded(client, layout).sync_from(fill(Inventory(), THREE))
    target, other = loaded(client, layout, on_conflict="rebase"), loaded(client, layout)
    other.get("device", "f1").update({"address": None})
    other.commit()
    before = stored(client, layout)
    with pytest.raises(VersionConflict, match="address"):
        target.sync_from(fill(Inventory(), {**THREE, "fra": {"f1": {"address": IPv4Address("10.0.0.2")}}}))
    assert stored(client, layout) == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_make_the_same_first_document(palimpsest_sync_client: SyncClient, layout: str) -> None:
    first, second = loaded(palimpsest_sync_client, layout), loaded(palimpsest_sync_client, layout)
    first.sync_from(fill(Inventory(), {"ber": {}}))
    with pytest.raises(VersionConflict):
        second.sync_from(fill(Inventory(), {"ber": {}, "fra": {}}))
    second.rebase()
    assert len(stored(palimpsest_sync_client, layout)) == 2


# --- adapters of others ----------------------------------------------------------------------------------------------


class PlainSite(DiffSyncModel):
    _modelname = "site"
    _identifiers = ("name",)
    _attributes = ("city",)
    _children: ClassVar[dict[str, str]] = {"device": "devices"}
    name: str
    city: str | None = None
    devices: list[str] = Field(default_factory=list)


class Nautobot(PalimpsestAdapter):
    """As they are written for Nautobot: arguments, `load` and `sync_complete` of its own, and models that are DiffSync's."""

    site = PlainSite
    device = Device
    top_level: ClassVar[list[str]] = ["site"]

    def __init__(self, *args: Any, job: Any = None, client: Any = None, sites: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.job, self.client, self.sites = job, client, sites

    def load(self) -> None:  # type: ignore[override]
        fill(self, self.sites)

    def sync_complete(self, source: Adapter, *args: Any, **kwargs: Any) -> None:
        self.job.append(source)


def test_an_adapter_with_a_load_of_its_own(palimpsest_sync_client: SyncClient) -> None:
    client, job = palimpsest_sync_client, []  # type: ignore[var-annotated]
    outside = Nautobot(job=job, client=object(), sites=THREE)
    outside.load()
    loaded(client).sync_from(outside)
    assert stored(client, "document") == shown(outside)
    target = Nautobot(job=job, sites={"ber": {"b1": {}}}).attach(client, "mirror")
    target.load()
    target.sync_from(outside)
    assert job == [outside]
    assert target.result.version == 1
    assert set(client.get("mirror").value["device"]) == {"b1", "b2", "f1"}


# --- off the loop ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_compiled_and_applied(palimpsest_server: RunningServer, layout: str) -> None:
    with palimpsest_server.connect_sync() as blocking:
        loaded(blocking, layout).sync_from(fill(Inventory(), THREE))
        target = loaded(blocking, layout)
        source = fill(Inventory(), {"ber": {"b1": {"role": Role.SPINE}, "b9": {}}, "muc": {"m1": {}}}, ber="Berlin")
        seen: list[tuple[str, int, int]] = []
        diff = await diff_async(source, target, on_progress=lambda *said: seen.append(said))
        compiled = target.compile(diff)
        async with palimpsest_server.connect() as client:
            made = await apply_async(client, compiled, by="loop")
            assert len(made) == len(compiled) == (1 if layout == "document" else 8)
            with pytest.raises(pal.errors.Conflict):
                await apply_async(client, compiled)
        assert stored(blocking, layout) == shown(source)
        assert seen[-1][1:] == (10, 10)


# --- against a model -------------------------------------------------------------------------------------------------

names = st.sampled_from("abcd")
sites = st.dictionaries(
    st.sampled_from("xyz"),
    st.dictionaries(names, st.fixed_dictionaries({"labels": st.dictionaries(names, st.none() | st.integers(0, 2))})),
)


def apart(found: dict[str, Any]) -> dict[str, Any]:
    """A device is in one site only: DiffSync does not move an object from one parent to another."""
    return {site: {site + name: attrs for name, attrs in devices.items()} for site, devices in found.items()}


def test_any_sequence_of_syncs(palimpsest_sync_client: SyncClient) -> None:
    client = palimpsest_sync_client

    @given(st.lists(sites.map(apart), min_size=1, max_size=4), st.sampled_from(LAYOUTS))
    def check(states: list[dict[str, Any]], layout: str) -> None:
        doc = f"any/{next(counter)}"
        target = Inventory(client, doc=doc, layout=layout)  # type: ignore[arg-type]
        target.load()
        for state in states:
            source = fill(Inventory(), state)
            target.sync_from(source)
            again = Inventory(client, doc=doc, layout=layout)  # type: ignore[arg-type]
            again.load()
            assert shown(again) == shown(target)
            assert not again.diff_from(source).has_diffs()

    counter = count()
    check()
