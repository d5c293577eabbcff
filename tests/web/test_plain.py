from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from palimpsest import Delta, ManualClock, Server
from palimpsest.web import plain
from palimpsest.words import Kind

pytestmark = pytest.mark.anyio


def test_how_a_time_is_written() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=timezone(timedelta(hours=1)))
    assert plain.moment(at) == "2026-01-02T02:04:05.000060Z"
    assert msgspec.json.encode(datetime(2026, 1, 2, tzinfo=UTC)) == b'"2026-01-02T00:00:00Z"'


async def test_that_versions_documents_and_changes_say_the_same() -> None:
    async with Server.memory(clock=ManualClock()) as server, server.connect() as client:
        made = await client.create("n", {"a": 1}, by="ana", tags={"b", "a"}, description="why")
        [kept] = [version async for version in client.history("n")]
        document = plain.document_of(await client.get("n"))
        async with client.subscribe("n", from_version=1, values=True) as changes:
            change = plain.change_of(await anext(changes), with_value=True)
        both = [plain.version_of(made), plain.version_of(kept), document, change]
        said = {(one.document, one.branch, one.version, one.kind, one.at, one.by, one.description) for one in both}
        assert said == {("n", "main", 1, "create", made.at, "ana", "why")}
        assert [one.tags for one in both] == [["a", "b"]] * 4
        assert (plain.version_of(made).delta, document.value, change.value) == (None, {"a": 1}, {"a": 1})
        assert plain.version_of(kept).delta == change.delta == plain.ops_of(Delta().set("", {"a": 1}))
        assert plain.version_of(kept, with_delta=False).delta is None


async def test_that_a_change_without_a_value_has_none_and_a_snapshot_always_one() -> None:
    async with Server.memory() as server, server.connect() as client:
        await client.create("n", None)
        async with client.subscribe("n", from_version=1) as changes:
            assert "value" not in msgspec.to_builtins(plain.change_of(await anext(changes)))
        async with client.subscribe("n", start="snapshot") as changes:
            assert msgspec.to_builtins(plain.change_of(await anext(changes)))["value"] is None


def test_that_every_kind_of_version_has_a_name() -> None:
    assert [plain._kind_name(kind) for kind in Kind] == [kind.name.lower() for kind in Kind]


async def test_that_conflicts_without_their_values_say_so() -> None:
    async with Server.memory() as server, server.connect() as client:
        await client.create("n", 1)
        await client.branch("n", "draft")
        await client.update("n", {"": 2}, branch="draft")
        await client.update("n", {"": 3})
        result = await client.merge("n", "draft", dry_run=True)
        [conflict] = plain.merge_of(result).parts[0].conflicts
        assert (conflict.base, conflict.ours, conflict.theirs) == (plain.Side(1), plain.Side(3), plain.Side(2))
        left_out = plain._conflict_of(msgspec.structs.replace(result.conflicts[0], left_out=True))
        assert (left_out.base, left_out.ours, left_out.left_out) == (None, None, True)
