"""Changes as their readers have them: made once for all who want the same, and never out of what was erased."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from branch_kit import plain, raw
from feed_kit import changes, ended, follow, seen, states, ticks, until
from msgspec import Raw
from perspective_kit import ask, define, update

from palimpsest.actors.insight import PRUNED
from palimpsest.actors.making import Maker
from palimpsest.actors.views import view_delta
from palimpsest.errors import InternalError, LimitExceeded, ViewChanged
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.state.definitions import Perspective
from palimpsest.state.lens import Lens, make_lens
from palimpsest.state.ops import Op, decode_delta, encode_delta
from palimpsest.state.ops import Set as SetOp
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import Value, freeze
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import Event
from palimpsest.words import Kind

pytestmark = pytest.mark.anyio


def lens_of(*include: str) -> Lens:
    return make_lens({"p": Perspective(name="p", include=list(include))}, "p")


SHOWN = lens_of("shown")


def row(version: int, *ops: Op, kind: int = Kind.UPDATE) -> Row:
    return Row(version, Event("d/1", "main", version, int(kind), 0, Raw(encode_delta(list(ops))), "me", version))


class Past:
    """What a maker asks. values: after version 1, 2, ..."""

    def __init__(self, *values: Any) -> None:
        self.values = [NOTHING, *(NOTHING if value is NOTHING else freeze(value) for value in values)]
        self.asked = 0

    async def ask(self, request: m.Get) -> m.Document:
        self.asked += 1
        value = raw(dict(self.values[request.version or -1]))
        return m.Document(0, "d/1", "main", request.version or 1, int(Kind.UPDATE), 0, value)

    async def around(self, document: str, branch: str, version: int, parents: Any) -> tuple[Any, Any]:
        self.asked += 1
        return self.values[version - 1], self.values[version]

    def maker(self, **limits: int) -> Maker:
        return Maker(self.ask, self.around, Limits(**limits))


# --- one change ----------------------------------------------------------------------------------------------------


async def test_a_change_is_made_once_for_all_who_want_the_same() -> None:
    past = Past({"shown": 1}, {"shown": 2})
    maker = past.maker()
    second = row(2, SetOp(("shown",), 2))
    made = await maker.make(second, SHOWN, 9, values=True)
    assert made is not None
    assert await maker.make(second, lens_of("shown"), 9, values=True) is made
    assert past.asked == 1
    assert await maker.make(second, None, 9, values=True) is not made
    assert await maker.make(second, SHOWN, 9, values=False) is not made


async def test_what_cannot_concern_a_view_is_not_looked_at() -> None:
    past = Past({"shown": 1}, {"shown": 1, "hidden": 1})
    assert await past.maker().make(row(2, SetOp(("hidden",), 1)), SHOWN, 9, values=True) is None
    assert past.asked == 0


async def test_one_after_another_is_made_without_a_look_at_the_past() -> None:
    past = Past({"shown": 1}, {"shown": 2}, {"shown": 3})
    maker = past.maker()
    for version in (2, 3):
        made = await maker.make(row(version, SetOp(("shown",), version)), SHOWN, 9, values=False)
        assert made is not None
        assert [(op.path, op.value) for op in decode_delta(made.event.delta)] == [(("shown",), version)]
    assert past.asked == 1


async def test_what_may_be_erased_is_not_kept() -> None:
    past = Past({"shown": 1}, {"shown": 2})
    maker = past.maker()
    second = row(2, SetOp(("shown",), 2))
    await maker.make(second, SHOWN, 9, values=False)
    maker.erased(9)
    past.values[2] = freeze({"shown": "redacted"})
    for archived in (9, 9, 10, 10):
        made = await maker.make(second, SHOWN, archived, values=False)
        assert made is not None
        assert b"redacted" in bytes(made.event.delta)
    assert past.asked == 4


async def test_what_is_too_large_for_any_frame_is_refused() -> None:
    past = Past({"shown": "x" * 5000})
    with pytest.raises(LimitExceeded):
        await past.maker(frame_bytes_max=4096).make(row(1, SetOp((), {})), SHOWN, 9, values=True)


@pytest.mark.parametrize(
    ("kind", "before", "after", "found"),
    [
        (Kind.CREATE, NOTHING, {"hidden": 1}, (Kind.CREATE, [((), {})])),
        (Kind.UPDATE, {"shown": 1}, {"shown": 1, "hidden": 1}, None),
        (Kind.UPDATE, {"shown": 1}, {"shown": 2}, (Kind.UPDATE, [(("shown",), 2)])),
        (Kind.ERASE, {"shown": 1, "hidden": 1}, {"shown": 1}, None),
        (Kind.ERASE, {"shown": {"a": 1}}, {"shown": {"a": 2}}, (Kind.UPDATE, [(("shown", "a"), 2)])),
        (Kind.DELETE, {"hidden": 1}, NOTHING, (Kind.DELETE, [])),
        (Kind.ERASE, {"hidden": 1}, NOTHING, (Kind.DELETE, [])),
        (Kind.ERASE, NOTHING, NOTHING, None),
        (Kind.UPDATE, PRUNED, {"shown": 1, "hidden": 1}, (Kind.UPDATE, [((), {"shown": 1})])),
        (Kind.ERASE, PRUNED, {"shown": 1}, (Kind.UPDATE, [((), {"shown": 1})])),
        (Kind.DELETE, PRUNED, NOTHING, (Kind.DELETE, [])),
    ],
    ids=str,
)
def test_what_a_version_is_in_a_view(kind: int, before: Any, after: Any, found: Any) -> None:
    given = [value if value in (NOTHING, PRUNED) else freeze(value) for value in (before, after)]
    made = view_delta(SHOWN, int(kind), *given)
    if made is not None:
        kind, ops = made
        made = kind, [(op.path, op.value) for op in ops]  # type: ignore[union-attr]
    assert made == found


# --- the relay -----------------------------------------------------------------------------------------------------


class Broken(Lens):
    """A bug, where a value is to be seen."""

    def __init__(self) -> None:
        self.name, self.level, self.digest = "broken", None, "b" * 16

    def is_for(self, document: str) -> bool:
        return True

    def concerns(self, delta: Any) -> bool:
        return True

    def view(self, value: Value) -> Any:
        raise ZeroDivisionError


async def test_a_view_that_fails_ends_what_sees_it_and_nothing_else(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await peer.create("d/1", {"shown": 1})
        await ask(peer, m.Subscribe, 1, "**", values=True)
        await follow(peer, 2, "**", values=True)
        house.partition.feed.subscribe(m.Subscribe(90, 3, "**"), peer, Broken())
        house.partition.feed.subscribe(m.Subscribe(91, 4, "**", snapshot=True), peer, Broken())
        assert isinstance(await ended(peer, 4), InternalError)
        await peer.set("d/1", ["shown"], 2)
        assert isinstance(await ended(peer, 3), InternalError)
        await peer.set("d/1", ["shown"], 3)
        await until(lambda: len(changes(peer, 1)) == len(changes(peer, 2)) == 2)
        assert house.fatal == []


async def test_a_perspective_changes_while_its_documents_are_shown(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        for number in range(5):
            await peer.create(f"d/{number}", {"shown": 1, "hidden": 1})
        await ask(peer, m.Subscribe, 1, "**", snapshot=True, credit_bytes=1)
        await until(lambda: changes(peer, 1))
        await define(peer, include=["hidden"])
        assert isinstance(await ended(peer, 1), ViewChanged)
        count = len(peer.told)
        peer.house.partition.routes[m.Credit](m.Credit(1, 1 << 20), peer, 0)
        await ticks(200)
        assert len(peer.told) == count
        assert not any("hidden" in plain(change.value) for change in changes(peer, 1))


async def test_a_perspective_changes_while_the_relay_makes_a_change(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await peer.create("d/1", {"shown": 1})
        await ask(peer, m.Subscribe, 1, "**")
        maker = house.partition.feed._maker
        around, begun, may = maker._around, anyio.Event(), anyio.Event()

        async def slowly(*where: Any) -> Any:
            begun.set()
            await may.wait()
            return await around(*where)

        maker._around = slowly
        await peer.set("d/1", ["shown"], 2)
        await begun.wait()
        await define(peer, include=["other"])
        assert isinstance(await ended(peer, 1), ViewChanged)
        await ask(peer, m.Subscribe, 2, "**")
        may.set()
        await peer.set("d/1", ["other"], 3)
        await until(lambda: changes(peer, 2))
        assert changes(peer, 1) == []
        assert [plain(change.delta) for change in changes(peer, 2)] == [[[0, ["other"], 3]]]


async def test_what_came_before_is_pruned_while_a_reader_is_behind(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await define(peer)
        await peer.create("d/1", {"shown": 1})
        await ask(peer, m.Subscribe, 1, "**", credit_bytes=0)
        for number in range(2, 8):
            await update(peer, "d/1", shown=number)
        await house.archived()
        await peer.ask(m.Prune, "d/1", "main", m.Retain(versions=2), False)
        peer.house.partition.routes[m.Credit](m.Credit(1, 1 << 20), peer, 0)
        error = await ended(peer, 1)
        assert error is not None
        assert error.code == "compacted"
        await ask(peer, m.Subscribe, 2, "**", resume_after=error.data["oldest"])
        await until(lambda: states(peer, 2)[-1:] == ["live"])
        assert seen(peer, 2) == [("d/1", 6), ("d/1", 7)]
        assert house.fatal == []
