"""The archiver as a process of its own: it follows, dies, comes back, and never outlives its server."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

import palimpsest as pal
from palimpsest.errors import StoreCorrupt
from palimpsest.storage.checking import check_archive, check_journal
from palimpsest.storage.sqlite_archive import SqliteArchive, archive_path
from palimpsest.storage.sqlite_journal import SqliteJournal

pytestmark = pytest.mark.anyio


async def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.005)


async def check_store(path: Path) -> int:
    """path: a store that nobody has open. Returns the archive's end."""
    journal, archive = SqliteJournal(path), SqliteArchive(path)
    await journal.open()
    end = await archive.open(epoch=journal.epoch)
    assert await check_journal(journal) == []
    assert await check_archive(archive, journal) == []
    await archive.close()
    await journal.close()
    return end.next


@asynccontextmanager
async def serving(path: Path, **options: Any) -> AsyncIterator[tuple[pal.Server, pal.Client]]:
    async with pal.Server(path, archiver="process", **options) as server, server.connect() as client:
        yield server, client


def children(parent: int) -> list[int]:
    """Processes that parent has started and that still run an archiver."""
    listings = Path(f"/proc/{parent}/task").glob("*/children")
    return [pid for listing in listings for pid in map(int, listing.read_text().split()) if is_archiver(pid)]


def is_archiver(pid: int) -> bool:
    try:
        return b"archiver_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _lag(server: pal.Server) -> int:
    return server.statistics()["tail_events"]


async def _restarted(server: pal.Server, times: int) -> None:
    await _until(lambda: server.statistics()["archiver_restarts"] == times)


async def _write_on(client: pal.Client, times: int) -> None:
    for _ in range(times):
        await client.update("a", {"text": "x" * 1_000})


async def _archiver(server: pal.Server) -> int:
    await _until(lambda: len(children(os.getpid())) == 1)
    return children(os.getpid())[0]


async def test_it_archives_niced_and_ends_with_its_server(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with serving(path) as (server, client):
        await client.create("a", {"n": 0})
        for _ in range(300):
            await client.update("a", {"n": pal.Increment(1)})
        pid = await _archiver(server)
        await _until(lambda: _lag(server) == 0)
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 10
        assert (await client.get("a", version=100)).value == {"n": 99}
        versions = [version.version async for version in client.history("a", newest_first=False)]
        assert versions == list(range(1, 302))
    assert not is_archiver(pid)
    assert await check_store(path) == 302


async def test_killed_again_and_again_it_loses_nothing_and_keeps_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with serving(path, snapshot_versions=8) as (server, client):
        await client.create("a", {"n": 0})
        for round_ in range(2):
            pid = await _archiver(server)
            for _ in range(40):
                await client.update("a", {"n": pal.Increment(1)})
            os.kill(pid, signal.SIGKILL)
            await _restarted(server, round_ + 1)
            for _ in range(20):
                await client.update("a", {"n": pal.Increment(1)})
            assert (await client.get("a")).value == {"n": 60 * (round_ + 1)}
        await _until(lambda: _lag(server) == 0)
        values = [(await client.get("a", version=version)).value["n"] for version in range(1, 122)]
        assert values == list(range(121))
    assert await check_store(path) == 122


async def test_its_lag_is_visible_and_bounded(tmp_path: Path) -> None:
    limits = pal.Limits(tail_bytes_max=20_000)
    async with serving(tmp_path / "state.db", limits=limits) as (server, client):
        await client.create("a", {"n": 0})
        pid = await _archiver(server)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(pal.errors.Overloaded) as overloaded:
                await _write_on(client, 40)
            assert overloaded.value.limit == "tail_bytes_max"
            assert server.statistics()["tail_events"] > 10
            assert server.statistics()["tail_bytes"] > 20_000
            version = (await client.get("a")).version
        finally:
            os.kill(pid, signal.SIGCONT)
        await _until(lambda: _lag(server) == 0)
        assert (await client.update("a", {"n": pal.Increment(1)})).version == version + 1


async def test_a_server_starts_with_what_was_not_archived(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with serving(path) as (server, client):
        pid = await _archiver(server)
        await _until(lambda: _lag(server) == 0)
        os.kill(pid, signal.SIGSTOP)
        await client.create("a", {"n": 0})
        for _ in range(50):
            await client.update("a", {"n": pal.Increment(1)})
        os.kill(pid, signal.SIGKILL)
    async with serving(path) as (_, client):
        assert (await client.get("a")).value == {"n": 50}
        assert (await client.get("a", version=10)).value == {"n": 9}
        assert [name async for name in client.list("*")] == ["a"]
        await client.update("a", {"n": pal.Increment(1)})
    async with (
        pal.Server(path) as server,
        server.connect() as client,
    ):  # and one that archives inline goes on from there
        assert (await client.get("a")).value == {"n": 51}
        await _until(lambda: _lag(server) == 0)
    assert await check_store(path) == 53


PROGRAM = """
import sys
import palimpsest as pal

async def main():
    async with pal.Server(sys.argv[1], archiver="process") as server, server.connect() as client:
        for number in range(400):
            await client.create(f"d/{number}", {"text": "x" * 20_000})
        print(server.epoch, flush=True)
        await server.wait()

pal.run(main)
"""


async def test_it_does_not_outlive_a_server_that_is_killed_and_does_not_stand_in_the_way_of_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.db"
    first = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert first.stdout is not None
    epoch = (await first.stdout.readline()).decode().strip()
    archivers = children(first.pid)
    assert len(archivers) == 1
    first.kill()
    await first.communicate()
    async with serving(path) as (server, client):  # at once
        assert server.epoch == epoch
        assert len([name async for name in client.list("d/*")]) == 400
        await _until(lambda: not is_archiver(archivers[0]))
        await _until(lambda: _lag(server) == 0)
    assert await check_store(path) == 401


@pytest.mark.parametrize("place", ["inline", "process"])
async def test_an_archive_that_was_lost_is_made_again_from_the_journal(tmp_path: Path, place: Any) -> None:
    path = tmp_path / "state.db"
    async with pal.Server(path) as server, server.connect() as client:
        await client.create("a", {"n": 0})
        for _ in range(20):
            await client.update("a", {"n": pal.Increment(1)})
        await _until(lambda: _lag(server) == 0)
    _remove_archive(path)
    async with pal.Server(path, archiver=place) as server, server.connect() as client:
        assert (await client.get("a")).value == {"n": 20}
        assert (await client.get("a", version=7)).value == {"n": 6}
        await _until(lambda: _lag(server) == 0)
        assert (await client.get("a", version=7)).value == {"n": 6}
    assert await check_store(path) == 22


async def test_an_archive_that_was_lost_and_reached_back_further_than_the_journal_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with pal.Server(path) as server, server.connect() as client:
        for number in range(20):
            await client.create(f"d/{number}", number)
        await _until(lambda: _lag(server) == 0)
    journal = SqliteJournal(path)
    await journal.open()
    assert await journal.trim(15, batches_max=100) > 0
    await journal.close()
    _remove_archive(path)
    with pytest.raises(StoreCorrupt, match="the archive ends at position 1, the journal holds 15 to 21") as corrupt:
        async with pal.Server(path):
            pass
    assert corrupt.value.path == str(path)


async def test_an_archive_of_another_store_is_refused(tmp_path: Path) -> None:
    for name in ("one.db", "two.db"):
        async with pal.Server(tmp_path / name):
            pass
    archive_path(tmp_path / "one.db").replace(archive_path(tmp_path / "two.db"))
    with pytest.raises(StoreCorrupt):
        async with pal.Server(tmp_path / "two.db"):
            pass


async def test_a_journal_that_was_put_back_behind_its_archive_is_refused(tmp_path: Path) -> None:
    """A backup of the journal alone: the archive knows versions that it does not, and both cannot be right."""
    path = tmp_path / "state.db"
    async with pal.Server(path) as server, server.connect() as client:
        await client.create("a", 1)
    backup = path.read_bytes()
    async with pal.Server(path) as server, server.connect() as client:
        await client.create("b", 2)
        await _until(lambda: _lag(server) == 0)
    for name in ("state.db-wal", "state.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    path.write_bytes(backup)
    with pytest.raises(StoreCorrupt):
        async with pal.Server(path):
            pass


def _remove_archive(path: Path) -> None:
    for found in path.parent.glob(f"{archive_path(path).name}*"):
        found.unlink()
