"""What a transaction of branches is made of, decided or taken back as one."""

from __future__ import annotations

from typing import Any

import pytest
from branch_kit import nodes, raw, sets, update, value

from palimpsest.actors.asking import Question
from palimpsest.actors.joining import Begin, End, Guard, Inscribe, Integrate, Take
from palimpsest.actors.transaction import Task
from palimpsest.errors import BranchNotFound, DocumentNotFound, InvalidName, LimitExceeded, VersionConflict
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.state import freeze
from palimpsest.state.branching import Fork, Join, Moved
from palimpsest.state.lines import Line
from palimpsest.state.ops import Set
from palimpsest.state.tree import NOTHING
from palimpsest.words import RECORD, Kind, Meta, Parents

pytestmark = pytest.mark.anyio


async def together(house: Any, tasks: Any) -> Any:
    question = Question("peer")
    request = m.Transact(1, ())
    house.partition.registry.transactions.together(request, tasks, question, house.now)
    return await question.result()


async def state(house: Any, branch: str) -> tuple[Any, ...]:
    actor = await house.partition.branches.awake("d", branch)
    return actor.version, actor.durable, actor.exists, actor.line, actor.is_absent, actor.newest_own, actor.due


async def begun(house: Any) -> tuple[Any, Any, Any]:
    """A document with main, and the actors of main, of a branch that is not there, and of the record."""
    await house.peer().create("d", {"a": 0})
    awake = house.partition.branches.awake
    return await awake("d", "main"), await awake("d", "x"), await awake("d", RECORD)


LINE = Line("x", 2, ("main", 1))


def beginning(main: Any, line: Line = LINE) -> Begin:
    return Begin(1, "d", "x", expect=0, line=line, value=main)


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (Guard(1, "d", "main", expect=9), Moved),
        (Guard(1, "d", "main", expect=9, told=True), VersionConflict),
        (
            Guard(1, "d", "main", refusal=DocumentNotFound("no", document="d", branch="main", version=None)),
            DocumentNotFound,
        ),
        (m.Update(1, "d", sets(b=1), expect=9), VersionConflict),
        (Integrate(1, "d", "main", expect=9), Moved),
    ],
)
async def test_where_one_is_refused_nothing_has_happened(open_house: Any, last: Any, error: type) -> None:
    async with open_house() as house, house.running():
        main, x, record = await begun(house)
        before = [await state(house, name) for name in ("main", "x", RECORD)]
        tasks = [
            Task(x, beginning(main)),
            Task(x, Take(1, "d", "x", merged=(("main", 1),))),
            Task(x, m.Update(1, "d", sets(b=1), "x")),
            Task(record, Inscribe(1, "d", RECORD, steps=(Fork(LINE),))),
            Task(x, End(1, "d", "x", expect=2)),
            Task(main, last),
        ]
        with pytest.raises(error):
            await together(house, tasks)
        assert [await state(house, name) for name in ("main", "x", RECORD)] == before
        with pytest.raises(BranchNotFound):
            await house.peer().get("d", branch="x")


async def test_a_branch_begins_with_a_write(open_house: Any) -> None:
    async with open_house() as house, house.running():
        main, x, record = await begun(house)
        made = await together(
            house,
            [
                Task(main, Guard(1, "d", "main", expect=1)),
                Task(x, beginning(main)),
                Task(x, Take(1, "d", "x", merged=(("main", 1),))),
                Task(x, m.Update(1, "d", sets(b=1), "x")),
                Task(record, Inscribe(1, "d", RECORD, steps=(Fork(LINE), Join("x", 2, (("main", 1),)))), told=False),
            ],
        )
        assert [(one.branch, one.version) for one in made.made] == [("x", 2)]
        assert await state(house, "x") == (2, 2, True, LINE, False, 2, None)
        peer = house.peer()
        (entry, _) = (await peer.ask(m.History, "d", branch="x")).entries
        assert entry.parents == Parents(("main", 1), (("main", 1),))
        assert await value(peer, "d", "x") == {"a": 0, "b": 1}
        assert await value(peer, "d") == {"a": 0}  # what they share is not changed by either
        await update(peer, "d", a=5)
        assert await value(peer, "d", "x") == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    "begin",
    [
        Begin(1, "d", "x", expect=3, line=LINE),  # versions were made under the name meanwhile
        Begin(1, "d", "x", expect=1, line=LINE),
    ],
)
async def test_what_a_beginning_was_prepared_with(open_house: Any, begin: Begin) -> None:
    async with open_house() as house, house.running():
        _, x, record = await begun(house)
        with pytest.raises(Moved):
            await together(house, [Task(x, begin), Task(record, Inscribe(1, "d", RECORD))])


async def test_an_end_of_what_is_not_the_newest_or_not_there(open_house: Any) -> None:
    async with open_house() as house, house.running():
        _, x, record = await begun(house)
        with pytest.raises(Moved):
            await together(house, [Task(record, Guard(1, "d", RECORD, expect=7)), Task(x, beginning(None))])
        peer = house.peer()
        await peer.ask(m.Branch, "d", "x")
        await update(peer, "d", "x", b=1)
        x = await house.partition.branches.awake("d", "x")  # another one: what is not what the record says is forgotten
        for expect in (1, 3):
            with pytest.raises(Moved):
                await together(
                    house, [Task(x, End(1, "d", "x", expect=expect)), Task(record, Inscribe(1, "d", RECORD))]
                )
        assert await value(peer, "d", "x") == {"a": 0, "b": 1}


async def test_a_value_is_taken_as_it_is(open_house: Any) -> None:
    async with open_house() as house, house.running():
        main, _, _ = await begun(house)
        meta = Meta("ana", "why", ("t",))
        ops = [Set(("b",), 1)]
        merged = freeze({"a": 0, "b": 1})
        take = Integrate(1, "d", "main", meta=meta, expect=1, value=merged, ops=ops, merged=(("y", 7),))
        await together(house, [Task(main, take)])
        peer = house.peer()
        assert await value(peer, "d") == {"a": 0, "b": 1}
        (entry, *_) = (await peer.ask(m.History, "d")).entries
        assert (entry.kind, entry.meta, entry.parents) == (Kind.UPDATE, meta, Parents(None, (("y", 7),)))
        await together(house, [Task(main, Integrate(2, "d", "main", value=NOTHING))])
        with pytest.raises(DocumentNotFound):
            await peer.get("d")
        await together(house, [Task(main, Integrate(3, "d", "main", value=merged, ops=ops))])
        kinds = [entry.kind for entry in (await peer.ask(m.History, "d")).entries]
        assert kinds == [Kind.CREATE, Kind.DELETE, Kind.UPDATE, Kind.CREATE]
        assert await value(peer, "d") == {"a": 0, "b": 1}
        assert (await update(peer, "d", "main", c=1)).version == 5


async def test_a_merged_value_that_is_too_large(open_house: Any) -> None:
    async with open_house(Limits(document_bytes_max=200)) as house, house.running():
        main, _, _ = await begun(house)
        for key in ("b", "c"):
            await update(house.peer(), "d", **{key: "x" * 60})
        large = freeze(dict.fromkeys("abc", "x" * 60) | {"d": "x" * 60})
        with pytest.raises(LimitExceeded):
            await together(house, [Task(main, Integrate(1, "d", "main", value=large, ops=[Set(("a",), "x" * 60)]))])
        fits = freeze(dict.fromkeys("ab", "x" * 60))
        await together(
            house, [Task(main, Integrate(1, "d", "main", value=fits, ops=[Set((), dict.fromkeys("ab", "x" * 60))]))]
        )
        assert await value(house.peer(), "d") == dict.fromkeys("ab", "x" * 60)


async def test_nobody_but_the_server_writes_to_a_record(open_house: Any) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("d", {})
        with pytest.raises(InvalidName, match=r"\$versions"):
            await peer.ask(m.Update, "d", raw([]), branch=RECORD)
        assert await nodes(peer, "d", "main") == [("main", 1)]
