"""Who gets in, what becomes of it when tokens and roles change, and what is bounded for each principal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from msgspec import Raw

import palimpsest as pal
from palimpsest.clock import ManualClock
from palimpsest.errors import (
    Conflict,
    ConnectionLost,
    Forbidden,
    InvalidRequest,
    InvalidValue,
    Overloaded,
    Unauthenticated,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m

pytestmark = pytest.mark.anyio

READER = pal.Role(grants=(pal.Grant(documents="notes/**", actions=("read", "subscribe")),))


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.001)


async def first_token(server: pal.Server) -> str:
    async with server.connect() as client:
        await client.create("notes/1", {"title": "a"})
        await client.roles.put("reader", READER)
        made = await client.tokens.create("root", roles=["admin"])
        assert made.text is not None
        return made.text


async def token_of(server: pal.Server, root: str, principal: str = "bo", **options: Any) -> pal.NewToken:
    async with server.connect(token=root) as admin:
        return await admin.tokens.create(principal, **{"roles": ["reader"], **options})


async def test_without_a_token_everybody_may_do_everything(make_server: Any) -> None:
    async with make_server() as server, server.connect() as client, server.connect(token="whatever") as other:
        await client.create("notes/1", 1)
        await other.roles.put("reader", READER)
        assert server.access.is_open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
async def test_without_a_token_it_is_not_served_to_other_machines(host: str) -> None:
    with pytest.raises(InvalidRequest, match="no token") as caught:
        async with pal.Server.memory(host=host):
            pass
    assert caught.value.reason == "no token"


async def test_the_first_token_closes_the_server(tmp_path: Any) -> None:
    async with pal.Server(tmp_path / "state.db") as server:
        async with server.connect() as bystander, server.connect() as maker:
            with pytest.raises(InvalidRequest, match="role admin"):
                await maker.tokens.create("bo", roles=["reader"])
            with pytest.raises(InvalidRequest, match="no end"):
                await maker.tokens.create("bo", roles=["admin"], expires=timedelta(days=1))
            made = await maker.tokens.create("ana", roles=["admin"])
            for client in (bystander, maker):
                with pytest.raises(Unauthenticated):
                    await client.get("notes/1")
        for wrong in (None, "", "pal_", made.text[:-1], made.text[:-1] + "\n", f"pal_{'0' * 12}_{'0' * 64}"):
            with pytest.raises(Unauthenticated) as caught:
                await server.connect(token=wrong).open()
            assert caught.value.message == "a token is needed here, and one that is good"
    async with pal.Server(tmp_path / "state.db", host="0.0.0.0") as server:  # it has one now
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        async with pal.connect(url, token=made.text) as client:
            assert [token.principal async for token in client.tokens.list()] == ["ana"]
            with pytest.raises(InvalidRequest, match="last"):
                await client.tokens.revoke(made.id)
            await client.tokens.revoke(made.id, last=True)
            with pytest.raises(Unauthenticated):
                await client.ping()
        with pytest.raises(Unauthenticated):  # it is open by now, and not to the network
            await pal.connect(url).open()


async def test_the_first_token_is_one_that_can_make_others() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        for said in ({"roles": ["reader"]}, {"roles": ["admin"], "expires_at": 1 << 60}):
            token = {"principal": "ana", "digest": "0" * 64, "created_at": 1, **said}
            with pytest.raises(InvalidValue, match="the first token has the role admin, and no end"):
                await client.create("$system/tokens/000000000001", token)
        assert (await client.ping()) >= 0  # it is open as before


async def test_a_token_that_is_revoked_ends_its_connections_and_no_others() -> None:
    async with pal.Server.memory() as server:
        root = await first_token(server)
        one, other = await token_of(server, root), await token_of(server, root)
        async with (
            server.connect(token=root) as admin,
            server.connect(token=one.text) as first,
            server.connect(token=other.text) as second,
        ):
            async with first.subscribe("notes/**") as changes:
                await admin.tokens.revoke(one.id)
                await admin.update("notes/1", {"title": "unseen"})
                with pytest.raises(Unauthenticated):
                    await anext(changes)
            with pytest.raises(Unauthenticated):
                await first.get("notes/1")
            assert (await second.get("notes/1")).value == {"title": "unseen"}


async def test_a_token_ends_when_it_said(raw_peer: Any) -> None:
    clock = ManualClock(datetime.now(UTC))
    async with pal.Server.memory(clock=clock, limits=Limits(peer_silence_seconds=1e9)) as server:
        root = await first_token(server)
        made = await token_of(server, root, expires=timedelta(hours=1))
        async with server.connect(token=made.text) as asking, server.connect(token=made.text) as silent:
            assert (await asking.get("notes/1")).version == 1
            clock.advance(3601)
            with pytest.raises(Unauthenticated):
                await asking.get("notes/1")
            await until(lambda: not silent.statistics()["connected"])  # within a second, without asking
        with pytest.raises(Unauthenticated):
            await server.connect(token=made.text).open()


async def test_a_role_that_changes_holds_for_the_next_request() -> None:
    async with pal.Server.memory() as server:
        root = await first_token(server)
        made = await token_of(server, root)
        async with server.connect(token=root) as admin, server.connect(token=made.text) as client:
            with pytest.raises(Forbidden):
                await client.update("notes/1", {"title": "b"})
            await admin.roles.put("reader", pal.Role(grants=(pal.Grant(documents="**", actions=("read", "write")),)))
            await client.update("notes/1", {"title": "b"})
            await admin.roles.delete("reader")
            with pytest.raises(Forbidden):
                await client.get("notes/1")
            await admin.update("$system/tokens/" + made.id, {"roles": ["admin"]})
            assert (await client.get("notes/1")).version == 2
            assert [name async for name, _ in client.roles.list()] == []


async def test_a_subscriber_that_loses_its_right_gets_not_one_change_more() -> None:
    async with pal.Server.memory() as server:
        root = await first_token(server)
        made = await token_of(server, root)
        async with (
            server.connect(token=root) as admin,
            server.connect(token=made.text) as client,
            client.subscribe("notes/**") as changes,
        ):
            await admin.transaction({"notes/1": {"title": "seen"}})
            assert (await anext(changes)).version == 2
            await admin.transaction({"notes/1": {"title": "unseen"}, "$system/roles/reader": {"grants": []}})
            with pytest.raises(Forbidden):
                await anext(changes)


async def test_a_client_id_belongs_to_one_principal_at_a_time(raw_peer: Any) -> None:
    async with pal.Server.memory() as server:
        root = await first_token(server)
        bo, eve = await token_of(server, root, "bo"), await token_of(server, root, "eve")
        async with server.connect(token=bo.text, client_id="worker") as client:
            with pytest.raises(Conflict):
                await server.connect(token=eve.text, client_id="worker").open()
            await client.get("notes/1")
        await until(lambda: len(server._sessions) == 0)
        async with server.connect(token=eve.text, client_id="worker") as client:
            await client.get("notes/1")


# --- bounds ----------------------------------------------------------------------------------------------------------


async def test_bounds_of_connections_and_subscriptions_are_of_the_principal() -> None:
    async with pal.Server.memory() as server:
        root = await first_token(server)
        bounds = pal.Allowance(connections_max=2, subscriptions_max=2)
        bo, eve = await token_of(server, root, limits=bounds), await token_of(server, root, "eve")
        async with server.connect(token=bo.text) as first, server.connect(token=bo.text) as second:
            with pytest.raises(ConnectionLost, match="2 connections of this principal"):  # it was tried once
                await server.connect(token=bo.text, connect_seconds=0).open()
            async with server.connect(token=eve.text), first.subscribe("notes/1"), second.subscribe("notes/1"):
                with pytest.raises(Overloaded) as caught:
                    async with first.subscribe("notes/1"):
                        pass
                assert (caught.value.limit, caught.value.maximum) == ("subscriptions_max", 2)
            async with first.subscribe("notes/1"):
                pass
        await until(lambda: server.access._accounts["bo"].connections == 0)


async def test_a_bound_of_requests_in_flight_is_of_the_principal(raw_peer: Any) -> None:
    async with pal.Server.memory() as server:
        root = await first_token(server)
        role = pal.Role(
            grants=(pal.Grant(documents="**", actions=("read", "write")),),
            limits=pal.Allowance(in_flight_requests_max=3),
        )
        async with server.connect(token=root) as admin:
            await admin.roles.put("writer", role)
        made = await token_of(server, root, roles=["writer"])
        async with raw_peer(server, greet=False) as peer:
            await peer.send_bytes(peer._connection.hello("bo", token=made.text))
            await peer.next(m.Welcome)
            await peer.send(*(m.Update(id, "notes/1", Raw(b"\x90")) for id in range(1, 6)))
            while len(peer.told) < 5:
                assert await peer.read()
            answers, peer.told = peer.told, []
            assert {(answer.id, type(answer)) for answer in answers if answer.id <= 3} == {
                (1, m.Committed),
                (2, m.Committed),
                (3, m.Committed),
            }
            assert {answer.code for answer in answers if answer.id > 3} == {"overloaded"}
            await peer.ask(m.Get, "notes/1", answer=m.Document)
        assert server.access._accounts["bo"].owed == 0


async def test_who_sends_too_fast_is_read_more_slowly() -> None:
    async with pal.Server.memory() as server:
        root = await first_token(server)
        made = await token_of(server, root, limits=pal.Allowance(bytes_per_second_max=20_000))
        async with server.connect(token=made.text) as client:
            began = anyio.current_time()
            with pytest.raises(Forbidden):
                await client.create("notes/2", "x" * 22_000)
            await client.get("notes/1")  # comes in only when what was sent before would have
            assert anyio.current_time() - began > 0.05


# --- what is told ----------------------------------------------------------------------------------------------------


async def test_no_token_is_in_a_log_or_in_an_error(caplog: Any, capsys: Any) -> None:
    async with pal.Server.memory() as server:
        root = await first_token(server)
        secret = root.rpartition("_")[2]
        with caplog.at_level(logging.DEBUG):
            async with server.connect(token=root) as client:
                await client.ping()
                value = (await client.get("$system/tokens/" + root.split("_")[1])).value
            with pytest.raises(Unauthenticated) as caught:
                await server.connect(token=root[:-1] + "!").open()
    written = capsys.readouterr()
    for text in (caplog.text, written.out, written.err, repr(caught.value), repr(value), repr(caught.value.to_wire())):
        assert secret[:16] not in text


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ("$system/roles/x", {"grants": [{"documents": "a", "actions": ["fly"]}]}),
        ("$system/roles/admin", {"grants": []}),
        ("$system/tokens/x", {"principal": "bo"}),
        ("$system/audit/x", []),
    ],
)
async def test_what_makes_no_sense_is_refused(document: str, value: Any) -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        with pytest.raises(InvalidValue):
            await client.create(document, value)
