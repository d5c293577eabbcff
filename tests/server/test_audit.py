"""What is written down of refusals and of changes to roles and tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.clock import ManualClock
from palimpsest.errors import Forbidden, Unauthenticated
from palimpsest.limits import Limits
from palimpsest.server.audit import ENTRIES_MAX

pytestmark = pytest.mark.anyio

DAY = "$system/audit/2030-01-02"


def make_server() -> pal.Server:
    clock = ManualClock(datetime(2030, 1, 2, 3, tzinfo=UTC))
    return pal.Server.memory(clock=clock, limits=Limits(peer_silence_seconds=1e9))


async def flushed(server: pal.Server, client: pal.Client, day: str = DAY) -> Any:
    await server.access.audit.flush()
    return (await client.get(day)).value


async def test_refusals_are_counted_by_who_asked_for_what() -> None:
    async with make_server() as server:
        async with server.connect() as client:
            await client.roles.put("none", pal.Role(), by="ana")
            root = await client.tokens.create("root", roles=["admin"])
        async with server.connect(token=root.text) as admin:
            made = await admin.tokens.create("bo", roles=["none"])
            value = await flushed(server, admin)
            assert [(each["document"], each["principal"]) for each in value["changed"]][-1] == (
                f"$system/tokens/{made.id}",
                "root",
            )
            async with server.connect(token=made.text) as client:
                for name in ("a", "a", "b"):
                    with pytest.raises(Forbidden):
                        await client.get(name)
            with pytest.raises(Unauthenticated):
                await server.connect(token="pal_x").open()
            said = {"principal": "bo", "request": "Get", "action": "read"}
            assert await flushed(server, admin) == {
                "at": server.clock.now(),
                "refused": [said | {"document": "a", "times": 2}, said | {"document": "b", "times": 1}],
                "turned_away": 1,
            }
            before = (await admin.get(DAY)).version
            await flushed(server, admin)
            assert (await admin.get(DAY)).version == before  # nothing happened


async def test_who_changed_what_is_there_with_the_word_of_who_did() -> None:
    async with make_server() as server, server.connect() as client:
        await client.roles.put("r", pal.Role(), by="ana")
        await client.roles.delete("r", by="bo")
        await server.access.audit.flush()
        changed = [each async for each in client.history(DAY)]
        entries = [entry for version in changed for entry in version.delta.ops[0].value.get("changed", [])]
        assert {(entry["version"], entry["by"], entry["principal"]) for entry in entries} == {
            (1, "ana", "anonymous"),
            (2, "bo", "anonymous"),
        }


async def test_a_version_says_so_much_and_counts_the_rest() -> None:
    async with make_server() as server, server.connect() as client:
        audit = server.access.audit
        for number in range(ENTRIES_MAX + 7):
            audit.refused("bo", "Get", Forbidden("", action="read", document=f"d{number}"))
        value = await flushed(server, client)
        assert len(value["refused"]) == ENTRIES_MAX
        assert value["left_out"] == 7


async def test_a_day_has_a_document_of_its_own() -> None:
    async with make_server() as server, server.connect() as client:
        server.access.audit.turned_away()
        assert (await flushed(server, client))["turned_away"] == 1
        server.clock.advance(86_400)
        server.access.audit.turned_away()
        assert (await flushed(server, client, "$system/audit/2030-01-03"))["turned_away"] == 1


async def test_what_was_refused_last_is_there_after_a_restart(tmp_path: Any) -> None:
    async with pal.Server(tmp_path / "state.db") as server:
        server.access.audit.turned_away()
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        assert [name async for name in client.list("$system/audit/*")] != []
