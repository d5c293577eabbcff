"""Every request there is, by principals with every right and with each one missing."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from typing import Any, get_args

import anyio
import msgspec
import pytest
from msgspec import Raw

import palimpsest as pal
from palimpsest.errors import Forbidden, InvalidRequest, MergeNotFound, PalimpsestError, from_wire
from palimpsest.protocol import messages as m
from palimpsest.server import gate
from palimpsest.state.roles import ACTIONS

pytestmark = pytest.mark.anyio

MERGE = "the merge that is pending"
NEEDS_ALL = ("nothing less than everything",)

CHANGE = Raw(msgspec.msgpack.encode([]))
VALUE = Raw(msgspec.msgpack.encode({"title": "x"}))
HERE = m.Place()

LISTS = m.ListSubscriptions(1)
"""Answered with what may be seen, which may be nothing."""


def part(kind: int, document: str = "notes/1", **options: Any) -> m.Part:
    body = {0: VALUE, 1: CHANGE}.get(kind, Raw(b"\xc0"))
    return m.Part(kind, document, body, **options)


class Row(msgspec.Struct):
    """A request about document; what it needs; whether a grant that is bound to a perspective will do; for which documents it has to be."""

    request: m.Message
    needs: tuple[str, ...]
    seen: bool = False
    documents: str = "notes/**"


ROWS = [
    Row(m.Get(1, "notes/1"), ("read",), True),
    Row(m.Get(1, "notes/1", "draft"), ("read",), True),
    Row(m.Get(1, "notes/1", version=1), ("history",), True),
    Row(m.Get(1, "notes/1", at=1), ("history",), True),
    Row(m.Get(1, "notes/1", tag="x"), ("history",), True),
    Row(m.GetMany(1, ("notes/1", "notes/2")), ("read",), True),
    Row(m.List(1, "notes/*"), ("read",), True),
    Row(m.History(1, "notes/1"), ("history",), True),
    Row(m.Diff(1, "notes/1", HERE, HERE), ("history",), True),
    Row(m.Blame(1, "notes/1"), ("history",), True),
    Row(m.Subscribe(1, 7, "notes/**"), ("subscribe",), True),
    Row(m.Create(1, "notes/9", VALUE), ("write",), True),
    Row(m.Update(1, "notes/1", CHANGE), ("write",), True),
    Row(m.Delete(1, "notes/1"), ("write",), True),
    Row(m.Transact(1, (part(1), part(1, "notes/2"))), ("write",), True),
    Row(m.Transact(1, (part(1), part(m.GUARD, "notes/2", expect=1))), ("write", "read"), True),
    Row(m.Transact(1, (part(1, base=("main", 1), branch="b"),)), ("write", "branch")),
    Row(m.Transact(1, (part(1, merged=(("draft", 2),)),)), ("write", "merge")),
    Row(m.Transact(1, (part(1),), at=1), ("admin",)),
    Row(m.Branch(1, "notes/1", "new"), ("branch",), True),
    Row(m.Branch(1, "notes/*", "new"), ("branch",), True),
    Row(m.DeleteBranch(1, "notes/1", "draft"), ("branch",)),
    Row(m.ListBranches(1, "notes/1"), ("read",)),
    Row(m.Revert(1, "notes/1", m.Place(version=1)), ("write", "history")),
    Row(m.Undo(1, "notes/1", 2), ("write", "history")),
    Row(m.Label(1, "notes/1", 1, ("x",)), ("write", "history")),
    Row(m.Digest(1, "notes/1"), ("history",)),
    Row(m.Merge(1, "notes/1", m.Place("draft")), ("merge",)),
    Row(m.Merge(1, "notes/**", m.Place("draft")), ("merge",)),
    Row(m.Pick(1, "notes/1", m.Place("draft", 2)), ("merge",)),
    Row(m.Rebase(1, "notes/1", "draft"), ("merge",)),
    Row(m.ListMerges(1, "notes/**"), ("merge",)),
    Row(m.GetMerge(1, MERGE), ("merge",)),
    Row(m.Resolve(1, MERGE, ()), ("merge",)),
    Row(m.Abandon(1, MERGE), ("merge",)),
    Row(m.Erase(1, "notes/1", ("secret",)), ("admin",)),
    Row(m.Import(1, "notes/1", ()), ("admin",)),
    Row(m.Prune(1, "notes/**"), ("admin",)),
    Row(m.Measure(1, "notes/**"), ("admin",)),
    Row(m.Revert(1, "notes/1", m.Place(version=1), dry_run=True), ("write", "history")),
    Row(m.Undo(1, "notes/1", 2, dry_run=True), ("write", "history")),
    Row(m.Observe(1), ("observe",), documents="**"),
    Row(m.Backup(1, "relative"), NEEDS_ALL),
    Row(m.Get(1, "$system/roles/r"), NEEDS_ALL),
    Row(m.Update(1, "$system/roles/r", CHANGE), NEEDS_ALL),
    Row(m.List(1, "$system/tokens/*"), NEEDS_ALL),
    Row(m.Subscribe(1, 7, "$system/**"), NEEDS_ALL),
    Row(m.Ack(1, "worker", (1,)), ("subscribe",)),
    Row(m.Nack(1, "worker", 1), ("subscribe",)),
    Row(m.Redrive(1, "worker"), ("subscribe",)),
    Row(m.ListSubscriptions(1, "worker"), ("subscribe",)),
    Row(LISTS, ("subscribe",)),
    Row(m.DeleteSubscription(1, "worker"), ("subscribe",)),
    Row(m.Ping(1), (), True),
    Row(m.Credit(7, 1), (), True),
    Row(m.Unsubscribe(7), (), True),
]

PASSED_ON = (m.Hello, m.Through)
"""A hello is no request of a connection that is open; what `Through` holds is asked below, row by row."""

ANSWERS_NOTHING = (m.Credit, m.Unsubscribe)


def test_every_message_is_in_a_row() -> None:
    assert {type(row.request) for row in ROWS} | set(PASSED_ON) == set(get_args(m.Request))


def test_every_message_goes_through_the_gate() -> None:
    known = {*gate.SEEN, *gate.WHOLE, *gate.MADE, *gate.PENDING, *gate.NAMED, *gate.FREE}
    assert known | {m.ListSubscriptions, m.Through, m.Hello} == set(get_args(m.Request))
    assert set(gate.SEEN) == set(get_args(m.Viewed))


def row_id(row: Row) -> str:
    return f"{ROWS.index(row)}-{type(row.request).__name__}"


class World:
    """A server with something of everything, one who may do everything, and one whose role `r` changes."""

    def __init__(self, server: pal.Server, admin: pal.Client, peer: Any, merge: str) -> None:
        self.server = server
        self.admin = admin
        self.peer = peer
        self._merge = merge

    async def grant(self, *grants: pal.Grant) -> None:
        await self.admin.roles.put("r", pal.Role(grants=grants))

    async def allow(self, *actions: str, documents: str = "notes/**", perspective: str | None = None) -> None:
        await self.grant(pal.Grant(documents=documents, actions=actions, perspective=perspective))

    async def ask(self, request: Any) -> PalimpsestError | None:
        """What it failed with, if it did."""
        inner = request.request if isinstance(request, m.Through) else request
        merge = getattr(inner, "merge", None)
        if merge == MERGE:
            request = msgspec.structs.replace(inner, merge=self._merge)
        await self.peer.send(request)
        if isinstance(request, ANSWERS_NOTHING):
            return None
        while True:
            answer = await self.peer.next(m.Message)
            if getattr(answer, "id", None) == 1 and not isinstance(answer, m.Progress):
                return None

    async def fails(self, request: Any) -> PalimpsestError | None:
        try:
            return await self.ask(request)
        except PalimpsestError as error:
            return error


@pytest.fixture
async def world(raw_peer: Any) -> AsyncIterator[World]:
    async with pal.Server.memory() as server:
        async with server.connect() as client:
            await client.perspectives.put(
                pal.Perspective(name="public", documents="notes/*", include=("title",), writable=("title",))
            )
            for name in ("notes/1", "notes/2"):
                await client.create(name, {"title": "a", "secret": 1})
                await client.update(name, {"title": "b"})
            await client.branch("notes/1", "draft")
            await client.update("notes/1", {"title": "ours"})
            await client.update("notes/1", {"title": "theirs"}, branch="draft")
            merge = (await client.merge("notes/1", source="draft")).merge_id
            assert merge is not None
            await client.roles.put("r", pal.Role())
            root = await client.tokens.create("root", roles=["admin"])
        async with server.connect(token=root.text) as admin, raw_peer(server, greet=False) as peer:
            token = await admin.tokens.create("bo", roles=["r"])
            await peer.send_bytes(peer._connection.hello("bo", token=token.text))
            await peer.next(m.Welcome)
            yield World(server, admin, peer, merge)


def is_refusal(error: PalimpsestError | None, request: m.Message) -> bool:
    """What is looked up first is not there for who has no right to it."""
    if isinstance(request, gate.PENDING):
        return isinstance(error, Forbidden | MergeNotFound)
    if isinstance(request, m.ListSubscriptions | m.Ack | m.Nack | m.Redrive | m.DeleteSubscription):
        return error is not None and error.code in ("forbidden", "subscription_not_found")
    return type(error) is Forbidden


@pytest.mark.parametrize("row", ROWS, ids=row_id)
async def test_a_request_is_allowed_with_what_it_needs_and_refused_with_anything_less(world: World, row: Row) -> None:
    request = row.request
    if row.needs == ():
        assert await world.fails(request) is None
        return
    if row.needs == NEEDS_ALL:
        await world.allow(*ACTIONS, documents="**")
        assert is_refusal(await world.fails(request), request)
        return
    rest = [action for action in ACTIONS if action not in (*row.needs, "admin")]
    await world.allow(*rest, documents=row.documents)
    assert is_refusal(await world.fails(request), request)
    for missing in row.needs[1:]:
        await world.allow(*(action for action in (*rest, *row.needs) if action != missing), documents=row.documents)
        assert is_refusal(await world.fails(request), request)
    if request != LISTS:
        await world.allow(*ACTIONS, documents="other/**")
        assert is_refusal(await world.fails(request), request)
    await through_a_perspective(world, row)
    if type(request) in world.server.partition.routes and not isinstance(request, gate.NAMED):
        await world.allow(*row.needs, documents=row.documents)
        assert type(await world.fails(request)) is not Forbidden


async def through_a_perspective(world: World, row: Row) -> None:
    bound = [action for action in ACTIONS if action not in ("merge", "observe", "admin")]
    await world.allow(*bound, perspective="public")
    if not row.seen:
        assert is_refusal(await world.fails(row.request), row.request)
    elif isinstance(row.request, get_args(m.Viewed)):
        assert type(await world.fails(m.Through("other", None, row.request))) is Forbidden
        assert type(await world.fails(m.Through("public", None, row.request))) is not Forbidden
        await world.peer.send(m.Unsubscribe(7))
        assert type(await world.fails(row.request)) is not Forbidden
        await world.peer.send(m.Unsubscribe(7))


async def test_a_refusal_is_the_same_whether_or_not_there_is_such_a_document(world: World) -> None:
    await world.admin.create("other/1", 1)
    for make in (
        lambda name: m.Get(1, name),
        lambda name: m.Create(1, name, VALUE),
        lambda name: m.Update(1, name, CHANGE, expect=7),
        lambda name: m.History(1, name),
        lambda name: m.Merge(1, name, m.Place("draft")),
        lambda name: m.Subscribe(1, 7, name),
        lambda name: m.Through("public", None, m.Get(1, name)),
        lambda name: m.Branch(1, name, "b"),
    ):
        there, missing = await world.fails(make("other/1")), await world.fails(make("other/2"))
        assert isinstance(there, Forbidden)
        assert isinstance(missing, Forbidden)
        assert there.to_wire() == ast.literal_eval(repr(missing.to_wire()).replace("other/2", "other/1"))


async def test_the_view_is_all_that_a_bound_grant_gives(world: World) -> None:
    await world.allow("read", "write", "history", "subscribe", perspective="public")
    await world.peer.send(m.Get(1, "notes/1"))
    found = await world.peer.next(m.Document)
    assert msgspec.msgpack.decode(found.value) == {"title": "ours"}
    assert isinstance(await world.fails(m.Get(1, "notes/1", "$versions")), Forbidden)
    assert isinstance(await world.fails(m.Through("public", None, m.Get(1, "notes/1", "$versions"))), Forbidden)
    assert isinstance(await world.fails(m.Diff(1, "notes/1", HERE, m.Place("$versions"))), Forbidden)
    assert isinstance(await world.fails(m.Subscribe(1, 7, "notes/*", name="worker")), Forbidden)


async def test_with_several_perspectives_one_has_to_be_named(world: World) -> None:
    await world.admin.perspectives.put(pal.Perspective(name="short", documents="notes/*", include=("title",)))
    one = pal.Grant(documents="notes/*", actions=("read",), perspective="public")
    other = pal.Grant(documents="**", actions=("read",), perspective="short")
    await world.grant(one, other)
    error = await world.fails(m.Get(1, "notes/1"))
    assert isinstance(error, InvalidRequest)
    assert "public, short" in error.message
    assert await world.fails(m.Through("short", None, m.Get(1, "notes/1"))) is None
    await world.grant(one, other, pal.Grant(documents="notes/1", actions=("read",)))
    await world.peer.send(m.Get(1, "notes/1"))
    assert msgspec.msgpack.decode((await world.peer.next(m.Document)).value) == {"title": "ours", "secret": 1}
    mixed = await world.fails(m.GetMany(1, ("notes/1", "notes/2")))
    assert isinstance(mixed, InvalidRequest)


async def test_a_perspective_that_names_roles_is_for_those(world: World) -> None:
    view = pal.Perspective(name="own", documents="notes/*", include=("title",), writable=("title",), read=("staff",))
    await world.admin.perspectives.put(view)
    await world.allow("read", "write", perspective="own")
    assert isinstance(await world.fails(m.Get(1, "notes/1")), Forbidden)
    await world.admin.perspectives.put(msgspec.structs.replace(view, read=("r",), write=("staff",)))
    assert await world.fails(m.Get(1, "notes/1")) is None
    assert isinstance(await world.fails(m.Delete(1, "notes/1")), Forbidden)


async def test_levels_up_to_the_granted_one_can_be_had(world: World) -> None:
    for level in (1, 2, 3):
        await world.admin.perspectives.put(
            pal.Perspective(
                name=f"l{level}",
                documents="notes/*",
                include=("title", "secret")[: 1 + level // 2],
                family="f",
                level=level,
            )
        )
    await world.grant(pal.Grant(documents="notes/*", actions=("read",), perspective="f", level=2))
    assert await world.fails(m.Get(1, "notes/1")) is None
    assert await world.fails(m.Through("f", 1, m.Get(1, "notes/1"))) is None
    assert await world.fails(m.Through("f", 2, m.Get(1, "notes/1"))) is None
    assert isinstance(await world.fails(m.Through("f", 3, m.Get(1, "notes/1"))), Forbidden)
    assert isinstance(await world.fails(m.Through("l1", None, m.Get(1, "notes/1"))), Forbidden)


async def test_merges_of_others_are_not_listed(world: World) -> None:
    await world.allow("merge")
    await world.peer.send(m.ListMerges(1, "notes/**"))
    assert len((await world.peer.next(m.Merges)).merges) == 1
    await world.allow("merge", documents="notes/2")
    await world.peer.send(m.ListMerges(1, "notes/2"))
    assert (await world.peer.next(m.Merges)).merges == ()


async def test_abandoning_again_is_answered_again(world: World) -> None:
    await world.allow("merge")
    request = m.Abandon(1, world._merge, key="once")
    assert await world.fails(request) is None
    assert await world.fails(request) is None
    assert isinstance(await world.fails(m.Abandon(1, "0123456789abcdef")), MergeNotFound)


def follow(number: int, pattern: str = "notes/**") -> m.Subscribe:
    return m.Subscribe(1, number, pattern)


async def next_ended(world: World) -> tuple[int, str]:
    with anyio.fail_after(10):
        while True:
            answer = await world.peer.next(m.Message)
            if isinstance(answer, m.Ended):
                assert from_wire(answer.code, answer.message, answer.data).code == answer.code
                return answer.subscription, answer.code


async def test_what_is_not_allowed_any_more_ends_and_the_rest_goes_on(world: World) -> None:
    await world.allow("subscribe", "read")
    assert await world.fails(follow(7, "notes/1")) is None
    assert await world.fails(follow(8, "notes/2")) is None
    await world.allow("subscribe", documents="notes/2")
    assert await next_ended(world) == (7, "forbidden")
    await world.admin.update("notes/1", {"title": "unseen"})
    await world.admin.update("notes/2", {"title": "seen"})
    while not isinstance(change := await world.peer.next(m.Message), m.Change):
        pass
    assert (change.document, change.subscriptions) == ("notes/2", (8,))


async def test_a_right_that_is_seen_otherwise_begins_anew(world: World) -> None:
    await world.allow("subscribe", perspective="public")
    assert await world.fails(follow(7)) is None
    await world.allow("subscribe")
    assert await next_ended(world) == (7, "view_changed")
    assert await world.fails(m.Through("public", None, follow(8))) is None
    await world.allow("subscribe", perspective="public")
    await world.allow("read")
    assert await next_ended(world) == (8, "forbidden")
