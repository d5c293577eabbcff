"""The documents of the server's own in memory: as of what is durable, and the same after a restart."""

from __future__ import annotations

from typing import Any

import pytest
from branch_kit import plain, raw
from feed_kit import ticks
from perspective_kit import ask, define, send, sets

from palimpsest.actors.catalog import Catalog
from palimpsest.errors import (
    DocumentNotFound,
    InvalidPerspective,
    InvalidRequest,
    PalimpsestError,
    PerspectiveNotFound,
    SchemaViolation,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.storage.events import Event
from palimpsest.words import Kind

pytestmark = pytest.mark.anyio

AT = "$system/perspectives/"
SCHEMA = "$system/schemas/s"


async def refusal(peer: Any, kind: type, *arguments: Any) -> PalimpsestError:
    with pytest.raises(PalimpsestError) as caught:
        await peer.ask(kind, *arguments)
    return caught.value


# --- at the start --------------------------------------------------------------------------------------------------


async def test_all_is_there_after_a_restart(open_house: Any) -> None:
    """More than a page of names; some of it in the archive, some in the journal alone."""
    async with open_house(Limits(page_items_max=100)) as house:
        async with house.running():
            peer = house.peer()
            for number in range(300):
                peer.send(m.Create, f"{AT}p-{number:04}", raw({"include": [f"f{number}"]}))
            await peer.create(SCHEMA, {"documents": "d/*", "schema": {"type": "object"}})
            await peer.create("d/1", {f"f{number}": number for number in (3, 7, 299)})
            await peer.ask(m.Delete, f"{AT}p-0003")
            await house.archived()
        async with house.running(inline_archiver=False):
            peer = house.peer()
            await peer.set(f"{AT}p-0007", ["include"], ["f3"])
        async with house.running(inline_archiver=False):
            peer = house.peer()
            assert len(house.partition.catalog.values) == 300
            for name, shown in (("p-0299", {"f299": 299}), ("p-0007", {"f3": 3})):
                assert plain((await ask(peer, m.Get, "d/1", perspective=name)).value) == shown
            with pytest.raises(PerspectiveNotFound):
                await ask(peer, m.Get, "d/1", perspective="p-0003")
            with pytest.raises(SchemaViolation):
                await peer.set("d/1", [], "text")


async def test_cursors_of_a_view_hold_over_a_restart(open_house: Any) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await define(peer)
            await peer.create("d/1", {"shown": 1})
            cursor = (await ask(peer, m.Subscribe, 1, "**")).cursor
            await peer.set("d/1", ["shown"], 2)
        async with house.running():
            peer = house.peer()
            await ask(peer, m.Subscribe, 1, "**", resume_after=cursor)
            await ticks(300)
            found = [plain(change.delta) for change in peer.told if isinstance(change, m.Change)]
            assert found == [[[0, ["shown"], 2]]]


class Store:
    """What a catalog loads from."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    async def names_of(self, prefix: str, after: str) -> Any:
        for name in self.values:
            if name.startswith(prefix):
                yield name

    async def ask(self, request: m.Get) -> m.Document:
        value = self.values[request.document]
        if value is None:
            raise DocumentNotFound("gone", document=request.document, branch="main", version=2)
        return m.Document(0, request.document, "main", 1, int(Kind.CREATE), 0, raw(value))


async def test_what_does_not_parse_is_as_if_it_were_not_there() -> None:
    catalog = Catalog()
    store = Store(
        {
            f"{AT}bad": {"include": 7},
            f"{AT}gone": None,
            f"{AT}good": {"include": ["a"]},
            f"{AT}orphan": {"extends": "bad"},
            SCHEMA: {"documents": "d/*", "schema": {"type": 7}},
        }
    )
    await catalog.load(store.names_of, store.ask)
    assert catalog.lens("good", None).name == "good"
    for name in ("bad", "gone"):
        with pytest.raises(PerspectiveNotFound):
            catalog.lens(name, None)
    with pytest.raises(InvalidPerspective):
        catalog.lens("orphan", None)


# --- while it runs -------------------------------------------------------------------------------------------------


async def test_what_makes_no_sense_is_refused_and_changes_nothing(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create(f"{AT}base", {"include": ["a"]})
        await peer.create(f"{AT}child", {"extends": "base"})
        await peer.create(f"{AT}one", {"family": "f", "level": 1})
        await peer.create(f"{AT}two", {"family": "f", "level": 2})
        for kind, arguments in (
            (m.Create, (f"{AT}x", raw({"include": ["a["]}))),
            (m.Create, (f"{AT}x", raw({"extends": "x"}))),
            (m.Create, (f"{AT}x", raw({"extends": "nobody"}))),
            (m.Create, (f"{AT}x", raw({"family": "f", "level": 4}))),
            (m.Update, (f"{AT}base", sets(extends="child"))),
            (m.Update, (f"{AT}base", sets(include=7))),
            (m.Delete, (f"{AT}base",)),
            (m.Delete, (f"{AT}one",)),
        ):
            error = await refusal(peer, kind, *arguments)
            assert isinstance(error, InvalidPerspective | InvalidRequest), (kind, arguments, error)
        assert (await peer.get(f"{AT}base")).version == 1
        names = house.partition.catalog.values
        assert sorted(names) == [f"{AT}{name}" for name in ("base", "child", "one", "two")]


async def test_a_family_grows_level_by_level(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        for level in (1, 2):
            await peer.create(f"{AT}l{level}", {"family": "f", "level": level})
        assert house.partition.catalog.lens("f", 2).level == 2
        with pytest.raises(PerspectiveNotFound):
            house.partition.catalog.lens("f", 3)
        for level in (2, 1):
            await peer.ask(m.Delete, f"{AT}l{level}")
        with pytest.raises(PerspectiveNotFound):
            house.partition.catalog.lens("f", 1)


async def test_what_has_nothing_to_do_with_each_other_is_not_checked_together(open_house: Any) -> None:
    """Two that were under way together may not go together; that is no reason to refuse a third."""
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create(f"{AT}base", {"include": ["shown"]})
        both = [peer.send(m.Create, f"{AT}child", raw({"extends": "base"})), peer.send(m.Delete, f"{AT}base")]
        for id in both:
            await peer.answer(id)
        await peer.create("d/1", {"shown": 1})
        with pytest.raises(InvalidPerspective):
            await ask(peer, m.Get, "d/1", perspective="child")
        await define(peer)
        assert plain((await ask(peer, m.Get, "d/1")).value) == {"shown": 1}
        await peer.create(f"{AT}base", {"include": ["shown"]})
        assert plain((await ask(peer, m.Get, "d/1", perspective="child")).value) == {"shown": 1}


async def test_lenses_follow_what_they_extend(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer, "base")
        await peer.create(f"{AT}p", {"extends": "base"})
        await peer.create("d/1", {"shown": 1, "hidden": 2})
        assert plain((await ask(peer, m.Get, "d/1")).value) == {"shown": 1}
        await define(peer, "base", include=["hidden"])
        assert plain((await ask(peer, m.Get, "d/1")).value) == {"hidden": 2}
        await ask(peer, m.Subscribe, 1, "d/*")
        await define(peer, "base", include=["shown"])
        await ticks()
        assert any(isinstance(told, m.Ended) for told in peer.told)


async def test_a_perspective_that_is_not_durable_is_not_there_yet(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d/1", {"shown": 1})
        made = peer.send(m.Create, f"{AT}p", raw({"include": ["shown"]}))
        read = send(peer, m.Get, "d/1")
        with pytest.raises(PerspectiveNotFound):
            await peer.answer(read)
        await peer.answer(made)
        assert plain((await ask(peer, m.Get, "d/1")).value) == {"shown": 1}


async def test_a_schema_is_put_while_writes_are_under_way(open_house: Any) -> None:
    """What was decided before it was durable stays; nothing is decided against it after it was told of."""
    async with open_house() as house, house.running():
        peer = house.peer()
        for number in range(3):
            await peer.create(f"d/{number}", {"n": 1})
        before = [peer.send(m.Update, f"d/{number}", sets(n="text")) for number in range(2)]
        put = peer.send(
            m.Create, SCHEMA, raw({"documents": "d/*", "schema": {"properties": {"n": {"type": "integer"}}}})
        )
        between = peer.send(m.Update, "d/2", sets(n="text"))
        for id in (*before, put, between):
            await peer.answer(id)
        for name in ("d/0", "d/2"):
            with pytest.raises(SchemaViolation):
                await peer.set(name, ["m"], 1)
            assert (await peer.get(name)).version == 2
            await peer.set(name, ["n"], 1)
        with pytest.raises(SchemaViolation):
            await peer.create("d/new", {"n": "text"})
        await peer.ask(m.Delete, SCHEMA)
        await peer.set("d/0", ["n"], "text")


async def test_watchers_hear_of_what_is_durable_and_counts() -> None:
    catalog, heard = Catalog(), []
    catalog.watch(lambda name: heard.append((name, name in catalog.values)))

    def event(name: str, kind: int, delta: Any, branch: str = "main") -> Event:
        return Event(name, branch, 1, int(kind), 0, raw(delta), "me", 1)

    catalog.on_durable(event(f"{AT}p", Kind.CREATE, [[0, [], {"include": ["a"]}]]))
    catalog.on_durable(event(f"{AT}p", Kind.UPDATE, [[0, ["include"], ["b"]]]))
    catalog.on_durable(event(f"{AT}p", Kind.UPDATE, [[0, ["include"], ["c"]]], branch="draft"))
    catalog.on_durable(event("$system/other/p", Kind.CREATE, [[0, [], {}]]))
    assert plain(raw(list(catalog.lens("p", None).view(catalog.values[f"{AT}p"])))) == []
    catalog.on_durable(event(f"{AT}p", Kind.DELETE, []))
    assert heard == [(f"{AT}p", True), (f"{AT}p", True), (f"{AT}p", False)]
    assert catalog.values == {}
