"""What a server says of itself."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec import Raw

import palimpsest as pal
from palimpsest.errors import DocumentExists, Forbidden, InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.server.observing import COUNTERS, of_files

pytestmark = pytest.mark.anyio

NIL = Raw(msgspec.msgpack.encode([]))


async def test_everything_that_statistics_say_is_observed() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        seen = await client.observe()
        assert {*seen.counters, *seen.gauges} >= server.statistics().keys()
        assert server.statistics().keys() >= COUNTERS


async def test_what_was_written_is_counted() -> None:
    clock = pal.ManualClock()
    async with pal.Server.memory(clock=clock) as server, server.connect() as client:
        before = await client.observe()
        await client.create("notes/1", {"n": 0})
        clock.advance(5)
        await client.transaction({"notes/1": {"n": 1}, "notes/2": pal.Create({})})
        now = await client.observe()
    assert now.counters["events"] - before.counters["events"] == 3
    assert now.counters["batches"] - before.counters["batches"] == 2
    assert now.counters["committed_bytes"] > before.counters["committed_bytes"]
    assert now.gauges["next_position"] == 4
    batch = now.histograms["batch_events"]
    assert (batch.count, batch.sum) == (2, 3.0)
    assert {now.histograms[name].count for name in ("update_seconds", "commit_seconds", "append_seconds")} == {2}
    assert (now.at - now.started_at).total_seconds() == now.uptime_seconds == 5.0


async def test_requests_are_counted_by_what_they_are_and_refusals_by_why() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await client.perspectives.put(pal.Perspective(name="public", documents="notes/*", include=("n",)))
        await client.create("notes/1", {"n": 0})
        before = await client.observe()
        with pytest.raises(DocumentExists):
            await client.create("notes/1", {"n": 0})
        await client.get("notes/1", perspective="public")
        await client.get("notes/1")
        now = await client.observe()
    assert now.requests["Get"] - before.requests.get("Get", 0) == 2  # one of them through a perspective
    assert now.requests["Observe"] - before.requests["Observe"] == 1
    assert "Through" not in now.requests
    assert now.refusals["document_exists"] - before.refusals.get("document_exists", 0) == 1
    assert now.counters["view_misses"] == 1


async def test_many_requests_in_one_frame_are_counted_one_by_one(raw_peer) -> None:
    async with pal.Server.memory() as server, raw_peer(server) as peer:
        await peer.send(m.Ping(1), m.Through("none", None, m.Get(2, "a")), m.Get(3, "a"), m.Ping(4))
        for _ in range(4):
            await peer.next(m.Message) if not peer.told else peer.told.pop(0)
        assert server.traffic.by_kind() == {"Get": 2, "Ping": 2}


async def test_what_goes_over_connections_is_counted() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        before = await client.observe()
        await client.create("notes/1", "x" * 10_000)
        await client.get("notes/1")
        now = await client.observe()
        assert now.counters["received_bytes"] - before.counters["received_bytes"] > 10_000
        assert now.counters["sent_bytes"] - before.counters["sent_bytes"] > 10_000
        assert (now.counters["accepted_connections"], now.gauges["connections"]) == (1, 1)


async def test_who_is_behind_is_named_and_the_furthest_comes_first(raw_peer) -> None:
    async with pal.Server.memory() as server, server.connect() as client, raw_peer(server, "slow") as slow:
        await client.create("notes/1", {"n": 0})
        await slow.ask(m.Subscribe, 1, "notes/*", credit_bytes=1, answer=m.Subscribed)
        async with client.subscribe("notes/*") as changes:
            for n in range(5):
                await client.update("notes/1", {"n": n})
                await anext(changes)
            seen = await client.observe()
            alone = await client.observe(subscribers=1)
            none = await client.observe(subscribers=0)
    slowest, live = seen.subscribers
    assert (slowest.client, slowest.principal, slowest.pattern) == ("slow", "anonymous", "notes/*")
    assert (slowest.state, slowest.lag) == ("behind", 4)
    assert slowest.under_way_bytes > 0
    assert (live.client, live.state, live.lag) == (client.client_id, "live", 0)
    assert alone.subscribers == (slowest,)
    assert none.subscribers == ()
    assert none.gauges["subscription_lag_events_max"] == 4
    assert seen.counters["deliveries"] == 6
    assert seen.counters["fallen_behind"] == 1


async def test_named_subscriptions_are_observed_also_where_nobody_works_for_them() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await client.create("notes/1", 0)
        async with client.subscribe("notes/*", name="billing"):
            pass
        for n in range(3):
            await client.update("notes/1", {(): n})
        seen = await client.observe()
    (billing,) = seen.named
    assert (billing.name, billing.workers) == ("billing", 0)
    assert billing.lag >= 3
    assert seen.gauges["named_lag_events_max"] == billing.lag


async def test_an_embedded_server_is_observed_without_a_connection() -> None:
    async with pal.Server.memory() as server:
        seen = await server.observe(subscribers=3)
        assert isinstance(seen, pal.Observation)
        assert seen.epoch == server.epoch
        assert seen.requests == {}
        assert seen.gauges["archiver_alive"] == 1


async def test_files_are_measured(tmp_path: Path) -> None:
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        await client.create("notes/1", 1)
        gauges = (await client.observe()).gauges
    assert gauges["journal_wal_bytes"] > 0
    assert gauges["archive_file_bytes"] >= 0
    assert gauges["disk_free_bytes"] > 0
    assert of_files(None) == {}


async def test_an_archiver_that_is_not_there_shows(tmp_path: Path) -> None:
    async with pal.Server(tmp_path / "state.db", archiver="process") as server:
        with anyio.fail_after(20):
            while not (await server.observe()).gauges["archiver_alive"]:
                await anyio.sleep(0.01)
        assert server._archiver is not None
        server._archiver._input = None
        assert (await server.observe()).gauges["archiver_alive"] == 0


async def test_the_archive_lags_until_it_has_all() -> None:
    clock = pal.ManualClock()
    async with pal.Server.memory(clock=clock) as server, server.connect() as client:
        await client.create("notes/1", 1)
        clock.advance(7)
        lagging = await server.observe()
        if server.partition.tail.start < server.partition.tail.end:
            assert lagging.gauges["archive_lag_seconds"] == 7
        await server.partition.settled()
        assert (await server.observe()).gauges["archive_lag_seconds"] == 0


async def test_the_right_to_observe_is_granted_for_everything() -> None:
    async with pal.Server.memory() as server:
        async with server.connect() as client:
            await client.roles.put("watcher", pal.Role(grants=(pal.Grant(documents="**", actions=("observe",)),)))
            await client.roles.put("reader", pal.Role(grants=(pal.Grant(documents="**", actions=("read",)),)))
            root = await client.tokens.create("root", roles=["admin"])
        async with server.connect(token=root.text) as client:
            watcher = await client.tokens.create("prometheus", roles=["watcher"])
            reader = await client.tokens.create("bo", roles=["reader"])
        async with server.connect(token=watcher.text) as client:
            assert (await client.observe()).gauges["connections"] >= 1
            with pytest.raises(Forbidden):
                await client.get("notes/1")
        async with server.connect(token=reader.text) as client:
            with pytest.raises(Forbidden, match="no right to observe the whole store"):
                await client.observe()


async def test_arguments_are_checked() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        with pytest.raises(InvalidRequest):
            await client.observe(subscribers="many")  # type: ignore[arg-type]
        assert (await client.observe(subscribers=-1)).subscribers == ()


def test_the_sync_face_observes(palimpsest_sync_client: pal.SyncClient) -> None:
    assert palimpsest_sync_client.observe().gauges["connections"] == 1
