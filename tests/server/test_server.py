"""Coming and going: who may open a store, what a shutdown owes, and what a full disk does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from msgspec import Raw

import palimpsest as pal
from palimpsest.errors import (
    CommitFailed,
    ConnectionLost,
    DocumentNotFound,
    DurabilityUnknown,
    SchemaTooNew,
    ServerClosing,
    StoreCorrupt,
    StoreLocked,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.storage.checking import check_archive, check_journal
from palimpsest.storage.faults import FaultyJournal
from palimpsest.storage.sqlite_archive import SqliteArchive
from palimpsest.storage.sqlite_journal import SqliteJournal

pytestmark = pytest.mark.anyio


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


INCREMENT = raw([[3, ["n"], 1]])


async def _until(condition: Any) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.001)


async def check_store(path: Path) -> None:
    """path: a store that nobody has open."""
    journal, archive = SqliteJournal(path), SqliteArchive(path)
    await journal.open()
    try:
        await archive.open(epoch=journal.epoch)
        assert await check_journal(journal) == []
        assert await check_archive(archive, journal) == []
    finally:
        await archive.close()
        await journal.close()


class HeldServer(pal.Server):
    """A server in memory whose journal waits, or fails, when it is told to."""

    held: FaultyJournal

    def _stores(self) -> Any:
        journal, archive = super()._stores()
        self.held = FaultyJournal(journal)
        return self.held, archive


# --- opening ---------------------------------------------------------------------------------------------------------


async def test_a_server_in_memory_begins_empty_and_an_embedded_client_speaks_to_it() -> None:
    for _ in range(2):
        async with pal.Server.memory() as server, server.connect() as client:
            with pytest.raises(DocumentNotFound):
                await client.get("a")
            await client.create("a", 1)
            assert server.url.startswith("palimpsest://127.0.0.1:")
            assert server.statistics()["connections"] == 1


async def test_what_was_written_is_there_when_the_store_is_opened_again_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    epochs = set()
    for run in range(4):
        async with pal.Server(path) as server, server.connect() as client:
            epochs.add(server.epoch)
            if run == 0:
                await client.create("a", {"n": 0})
            assert (await client.update("a", {"n": pal.Increment(1)})).version == run + 2
            assert (await client.get("a")).value == {"n": run + 1}
    assert len(epochs) == 1
    await check_store(path)


async def test_a_store_is_open_once_in_this_process_and_in_any_other(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    program = f"import palimpsest as p\nasync def main():\n  async with p.Server({str(path)!r}): pass\np.run(main)"
    async with pal.Server(path) as server, server.connect() as client:
        with pytest.raises(StoreLocked) as locked:
            async with pal.Server(path):
                pass
        assert locked.value.path == str(path)
        second = await anyio.run_process([sys.executable, "-c", program], check=False)
        assert second.returncode != 0
        assert b"StoreLocked" in second.stderr
        await client.create("a", 1)
    await anyio.run_process([sys.executable, "-c", program])


async def test_a_store_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with pal.Server(path):
        pass
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 1000")
    database.close()
    with pytest.raises(SchemaTooNew) as error:
        async with pal.Server(path):
            pass
    assert error.value.found == 1000
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 1")
    database.close()
    async with pal.Server(path):
        pass


@pytest.mark.parametrize("which", ["state.db", "state.db.archive"])
async def test_a_file_that_is_no_store_is_refused_and_kept(tmp_path: Path, which: str) -> None:
    (tmp_path / which).write_bytes(b"not a database, but somebody's letter" * 100)
    with pytest.raises(StoreCorrupt):
        async with pal.Server(tmp_path / "state.db"):
            pass
    assert (tmp_path / which).read_bytes().startswith(b"not a database")
    (tmp_path / which).unlink()
    async with pal.Server(tmp_path / "state.db"):
        pass


async def test_an_address_that_is_taken_is_an_oserror_and_the_store_is_free_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="address already in use"):
            async with pal.Server(tmp_path / "state.db", port=port):
                pass
    async with pal.Server(tmp_path / "state.db"):
        pass


async def test_a_directory_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises((OSError, pal.errors.StorageError)):
        async with pal.Server(tmp_path / "missing" / "state.db"):
            pass


# --- leaving ---------------------------------------------------------------------------------------------------------


async def test_a_body_that_raises_is_what_comes_out_and_the_store_is_closed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        await _fail_inside(tmp_path / "state.db")
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        assert (await client.get("a")).value == 1


async def _fail_inside(path: Path) -> None:
    async with pal.Server(path) as server, server.connect() as client:
        await client.create("a", 1)
        raise ZeroDivisionError


async def test_a_body_that_is_cancelled_closes_the_store_too(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
            await client.create("a", 1)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    async with pal.Server(tmp_path / "state.db") as server, server.connect() as client:
        assert (await client.get("a")).value == 1


async def test_a_scope_around_the_server_that_is_cancelled_does_not_take_what_was_accepted(new_peer: Any) -> None:
    peer = new_peer()
    server = HeldServer.memory()
    async with anyio.create_task_group() as outer:
        with anyio.CancelScope() as scope:
            async with server:
                await peer.connect(server)
                await peer.hello()
                await peer.ask(m.Create, "a", raw({"n": 0}), answer=m.Committed)
                server.held.hold()
                await peer.send(m.Update(9, "a", INCREMENT))
                await _until(lambda: len(server.partition.committer.undecided()) == 1)
                outer.start_soon(_release_when_closing, server)
                scope.cancel()
                await anyio.sleep_forever()
    assert isinstance(await peer.end(), ServerClosing)
    assert [(answer.id, answer.version) for answer in peer.told] == [(9, 2)]


async def _release_when_closing(server: HeldServer) -> None:
    await _until(lambda: server._closing)
    server.held.release()


async def test_what_was_accepted_is_answered_and_then_goodbye_is_said(new_peer: Any) -> None:
    peer = new_peer()
    async with anyio.create_task_group() as outer, HeldServer.memory() as server:
        await peer.connect(server)
        await peer.hello()
        await peer.ask(m.Create, "a", raw({"n": 0}), answer=m.Committed)
        server.held.hold()
        await peer.send(m.Update(2, "a", INCREMENT), m.Get(3, "a"), m.History(4, "a"), m.Create(5, "b", raw(1)))
        await _until(lambda: len(server.partition.committer.undecided()) == 2)
        outer.start_soon(_send_too_late, server, peer)
    assert isinstance(await peer.end(), ServerClosing)
    answers = {message.id: message for message in peer.told}
    assert answers[2].version == 2
    assert (answers[3].version, answers[3].value) == (2, raw({"n": 1}))
    assert [entry.version for entry in answers[4].entries] == [2, 1]
    assert answers[5].version == 1
    assert 6 not in answers


async def _send_too_late(server: HeldServer, peer: Any) -> None:
    await _until(lambda: server._closing)
    await peer.send(m.Update(6, "a", INCREMENT))
    server.held.release()


async def test_stopping_under_load_is_quick_and_loses_nothing(tmp_path: Path) -> None:
    """Callers that never pause do not keep the server from stopping, and go on with the one that comes after."""
    path = tmp_path / "state.db"
    done = 0
    enough = False

    async def work(client: pal.Client, name: str) -> None:
        nonlocal done
        while not enough:
            await client.update(name, {"n": pal.Increment(1)})
            done += 1

    async with anyio.create_task_group() as tasks:
        async with pal.Server(path) as server:
            port = int(server.url.rpartition(":")[2])
            client = await pal.connect(server.url)
            for number in range(16):
                await client.create(f"d/{number}", {"n": 0})
            for number in range(32):
                tasks.start_soon(work, client, f"d/{number % 16}")
            await _until(lambda: done > 200)
            started = anyio.current_time()
        assert anyio.current_time() - started < 3
        before = done
        async with pal.Server(path, port=port):
            await _until(lambda: done > before + 200)
            enough = True
            await _until(lambda: client.statistics()["in_flight_requests"] == 0)
            documents = [await client.get(f"d/{number}") for number in range(16)]
            await client.close()
    assert sum(document.value["n"] for document in documents) == done
    assert sum(document.version - 1 for document in documents) == done
    await check_store(path)


async def test_stopping_ends_what_waits(new_peer: Any) -> None:
    peer, follower = new_peer("one"), new_peer("two")
    async with HeldServer.memory(limits=Limits(shutdown_seconds=0.2)) as server:
        for one in (peer, follower):
            await one.connect(server)
            await one.hello()
        await follower.send(m.Subscribe(1, 1, "**"), m.Subscribe(2, 2, "**", values=True))
        await follower.next(m.Subscribed)
        await peer.send(m.Create(1, "a", raw({"n": 0})))
        await peer.next(m.Committed)
        server.held.hold()  # and never released: the disk hangs
        parts = (m.Part(1, "a", INCREMENT), m.Part(0, "b", raw(1)))
        await peer.send(m.Update(2, "a", INCREMENT), m.Get(3, "a"), m.Transact(4, parts))
        await _until(lambda: len(server.partition.committer.undecided()) == 3)
        started = anyio.current_time()
    assert anyio.current_time() - started < 2
    assert isinstance(await peer.end(), ServerClosing)
    assert {message.id: message.code for message in peer.told} == dict.fromkeys((2, 3, 4), "server_closing")
    assert isinstance(await follower.end(), ServerClosing)


async def test_a_peer_that_does_not_read_does_not_hold_a_shutdown_up(new_peer: Any) -> None:
    limits = Limits(shutdown_seconds=0.3, connection_out_bytes_max=100_000)
    deaf = new_peer()
    async with pal.Server.memory(limits=limits) as server:
        await deaf.connect(server, receive_buffer_bytes=4_096)
        await deaf.hello()
        await deaf.ask(m.Create, "a", raw("x" * 1_000_000), answer=m.Committed)
        await deaf.send(*[m.Get(id, "a") for id in range(20)])
        await _until(lambda: server._by_client["raw"].paused)
        started = anyio.current_time()
    assert 0.2 < anyio.current_time() - started < 2


async def test_a_slow_peer_gets_everything_that_was_accepted_and_the_goodbye(new_peer: Any) -> None:
    limits = Limits(connection_out_bytes_max=100_000)
    slow = new_peer()
    async with anyio.create_task_group() as outer, pal.Server.memory(limits=limits) as server:
        await slow.connect(server, receive_buffer_bytes=4_096)
        await slow.hello()
        await slow.ask(m.Create, "a", raw("x" * 1_000_000), answer=m.Committed)
        await slow.send(*[m.Get(id, "a") for id in range(20)])
        await _until(lambda: server._by_client["raw"].paused)
        ended: list[Any] = []
        outer.start_soon(_read_to_the_end, slow, ended)
    assert isinstance(ended[0], ServerClosing)
    assert [answer.id for answer in slow.told] == list(range(20))


async def _read_to_the_end(peer: Any, ended: list[Any]) -> None:
    ended.append(await peer.end())


async def test_a_client_of_a_server_that_is_gone_hears_so_when_it_gives_up() -> None:
    async with pal.Server.memory() as server:
        client = await pal.connect(server.url, timeout_seconds=0.5)
        changes = await client.subscribe("**").__aenter__()
        reading = asyncio.ensure_future(changes.__anext__())
        await client.ping()
    with pytest.raises(pal.errors.LinkError):
        await client.create("a", 1)
    await client.close()
    with pytest.raises(ConnectionLost):
        await reading


# --- storage that fails ----------------------------------------------------------------------------------------------


async def test_where_durability_is_unknown_everyone_hears_and_the_server_stops(raw_peer: Any) -> None:
    with pytest.raises(DurabilityUnknown):
        await _fail_to_sync(raw_peer)


async def _fail_to_sync(raw_peer: Any) -> None:
    server = HeldServer.memory()
    async with server, raw_peer(server) as peer, raw_peer(server, "other") as other:
        await peer.ask(m.Create, "a", raw({"n": 0}), answer=m.Committed)
        server.held.fail(DurabilityUnknown("fsync failed", reason="fsync"))
        await peer.send(m.Update(9, "a", INCREMENT))
        assert isinstance(await peer.end(), DurabilityUnknown)
        assert [(answer.id, answer.code) for answer in peer.told] == [(9, "durability_unknown")]
        assert isinstance(await other.end(), DurabilityUnknown)
        with anyio.fail_after(5):
            await server.wait()
        async with raw_peer(server, "late", greet=False) as late:
            assert isinstance(await late.end(), ServerClosing)


async def test_a_failed_commit_is_told_and_writes_go_on() -> None:
    server = HeldServer.memory()
    async with server, server.connect() as client:
        await client.create("a", {"n": 0})
        server.held.fail(CommitFailed("disk full", reason="full"), times=1)
        with pytest.raises(CommitFailed):
            await client.update("a", {"n": pal.Increment(1)})
        assert (await client.get("a")).value == {"n": 0}
        assert (await client.update("a", {"n": pal.Increment(1)})).version == 2


DISK_PROGRAM = """
import resource, sys
import palimpsest as pal

async def main():
    async with pal.Server(sys.argv[1]) as server, server.connect() as client:
        await client.create("a", {"n": 0})
        resource.setrlimit(resource.RLIMIT_FSIZE, (17 << 20, resource.RLIM_INFINITY))
        written = failed = 0
        for number in range(60):
            try:
                await client.create(f"large/{number}", "x" * 1_000_000)
                written += 1
            except pal.errors.CommitFailed:
                failed += 1
        assert failed, "the disk was never full"
        assert (await client.get("a")).value == {"n": 0}
        assert len([name async for name in client.list("large/*")]) == written
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await client.update("a", {"n": pal.Increment(1)})
        await client.create("late", 1)
        print(written, failed)

pal.run(main)
"""


async def test_a_disk_that_is_full_refuses_writes_serves_reads_and_takes_writes_when_there_is_room(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.db"
    done = await anyio.run_process([sys.executable, "-c", DISK_PROGRAM, str(path)], check=False)
    assert done.returncode == 0, done.stderr.decode()[-2_000:]
    written = int(done.stdout.split()[0])
    async with pal.Server(path) as server, server.connect() as client:
        assert (await client.get("a")).value == {"n": 1}
        assert (await client.get("a")).version == 2
        names = [name async for name in client.list("**")]
        assert len(names) == written + 2
        for name in names:
            await client.get(name)
    await check_store(path)


def test_signals_stop_a_served_store_gracefully(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "palimpsest", "serve", str(tmp_path / "state.db"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with pal.connect_sync(url) as client:
            client.create("a", 1)
            os.kill(process.pid, signal.SIGTERM)
            _, log = process.communicate(timeout=20)
        assert process.returncode == 0, log


async def test_a_server_is_entered_once() -> None:
    server = pal.Server.memory()
    async with server:
        pass
    with pytest.raises(pal.errors.InvalidRequest, match="once"):
        await server.__aenter__()
