"""Tokens and roles, as a client makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.errors import DocumentNotFound, InvalidName, InvalidRequest, InvalidValue

pytestmark = pytest.mark.anyio

READER = pal.Role(grants=(pal.Grant(documents="notes/**", actions=("read",)),), description="reads")


async def test_roles_are_kept_and_come_back() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await client.roles.put("reader", READER, by="ana")
        assert await client.roles.get("reader") == READER
        await client.roles.put("reader", pal.Role())
        await client.roles.put("another", READER)
        assert [each async for each in client.roles.list()] == [("another", READER), ("reader", pal.Role())]
        await client.roles.delete("reader")
        with pytest.raises(DocumentNotFound):
            await client.roles.get("reader")
        with pytest.raises(InvalidName):
            await client.roles.put("a/b", READER)
        with pytest.raises(InvalidRequest):
            await client.roles.put("reader", {"grants": []})  # type: ignore[arg-type]
        with pytest.raises(InvalidValue):
            await client.roles.put("reader", pal.Role(grants=(pal.Grant(documents="a", actions=("fly",)),)))
        with pytest.raises(InvalidValue):
            await client.roles.put("admin", READER)


async def test_what_is_kept_of_a_token_is_no_token() -> None:
    async with pal.Server.memory() as server:
        async with server.connect() as client:
            root = await client.tokens.create("root", roles=["admin"])
        async with server.connect(token=root.text) as admin:
            until = datetime.now(UTC) + timedelta(days=1)
            made = await admin.tokens.create(
                "bo",
                roles=["reader", "reader"],
                expires=until,
                description="laptop",
                limits=pal.Allowance(connections_max=2),
                by="ana",
            )
            assert made.text is not None
            assert made.text not in repr(made)
            assert (made.roles, made.expires_at) == (("reader",), until)
            (found,) = [token async for token in admin.tokens.list() if token.id == made.id]
            assert (found.principal, found.description, found.certificate) == ("bo", "laptop", None)
            assert found.limits == pal.Allowance(connections_max=2)
            kept = repr((await admin.get(f"$system/tokens/{made.id}")).value)
            assert made.text.rpartition("_")[2] not in kept
            await admin.tokens.revoke(made.id)
            with pytest.raises(DocumentNotFound):
                await admin.tokens.revoke(made.id)
            with pytest.raises(InvalidRequest, match="last"):
                await admin.tokens.revoke(root.id)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"roles": "admin"}, InvalidRequest),
        ({"roles": ["a/b"]}, InvalidValue),
        ({"expires": timedelta(0)}, InvalidRequest),
        ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, InvalidRequest),
        ({"expires": datetime(2999, 1, 1)}, InvalidRequest),
        ({"limits": pal.Allowance(connections_max=0)}, InvalidValue),
        ({"certificate": ""}, InvalidValue),
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_refused(said: dict[str, Any], error: type[Exception]) -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        with pytest.raises(error):
            await client.tokens.create("bo", **{"roles": ["admin"], **said})
        assert server.access.is_open
