"""`kill -9` of a real server under a client that retries: every acknowledged version is there, none twice, none invented."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

import palimpsest as pal
from palimpsest.storage.checking import check_archive, check_journal
from palimpsest.storage.sqlite_archive import SqliteArchive
from palimpsest.storage.sqlite_journal import SqliteJournal

pytestmark = pytest.mark.anyio

DOCUMENTS = 6
CALLERS = 12


class Served:
    """`palimpsest serve` on a store, which is killed and started again on the same port."""

    def __init__(self, path: Path) -> None:
        self.port = 0
        self._path = path
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        command = ("-m", "palimpsest", "serve", str(self._path), "--port", str(self.port), "--log-level", "error")
        self._process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        found = re.fullmatch(r"listening on palimpsest://127\.0\.0\.1:(\d+)\n", line)
        assert found, line
        self.port = int(found[1])

    async def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process.returncode is None:
            os.kill(self._process.pid, number)
            await self._process.communicate()


class Campaign:
    """Callers that append tokens, each its own, until they are told to stop; and what they were told."""

    def __init__(self, client: pal.Client) -> None:
        self.client = client
        self.sent: set[str] = set()
        self.acknowledged: dict[tuple[str, int], str] = {}
        """(document, version) -> the token that it is for; a transaction's token is in two documents."""
        self.stopping = False

    async def work(self, caller: int) -> None:
        """One update after another; every fourth is a transaction of two documents, every fifth has a key of its own."""
        count = 0
        while not self.stopping:
            count += 1
            token = f"{caller}.{count}"
            self.sent.add(token)
            names = [f"d/{(caller + count) % DOCUMENTS}"]
            key = f"key-{token}" if count % 5 == 0 else None
            delta = pal.Delta().append("tokens", token)
            if count % 4 == 0:
                names.append(f"d/{(caller + count + 1) % DOCUMENTS}")
                made = await self.client.transaction(dict.fromkeys(names, delta), request_id=key)
                versions = [made[name].version for name in names]
            else:
                versions = [(await self.client.update(names[0], delta, request_id=key)).version]
            for name, version in zip(names, versions, strict=True):
                assert (name, version) not in self.acknowledged, "two requests were told of one version"
                self.acknowledged[name, version] = token

    async def verify(self) -> None:
        for number in range(DOCUMENTS):
            name = f"d/{number}"
            document = await self.client.get(name)
            tokens = document.value["tokens"]
            assert len(tokens) == document.version - 1
            assert [token for token, times in Counter(tokens).items() if times > 1] == []
            assert set(tokens) <= self.sent
            versions = [version.version async for version in self.client.history(name, newest_first=False)]
            assert versions == list(range(1, document.version + 1))
            for (where, version), token in self.acknowledged.items():
                if where == name:
                    assert tokens[version - 2] == token
            middle = (await self.client.get(name, version=document.version // 2 + 1)).value["tokens"]
            assert middle == tokens[: document.version // 2]
        assert len(self.acknowledged) > len(self.sent) / 2


async def campaign(path: Path, *, kills: int, seed: int, seconds_max: float) -> Campaign:
    chance = random.Random(seed)
    served = Served(path)
    await served.start()
    client = await pal.connect(f"palimpsest://127.0.0.1:{served.port}", timeout_seconds=60, backoff_seconds_max=0.2)
    run = Campaign(client)
    try:
        with anyio.fail_after(seconds_max):
            for number in range(DOCUMENTS):
                await client.create(f"d/{number}", {"tokens": []})
            async with anyio.create_task_group() as tasks:
                for caller in range(CALLERS):
                    tasks.start_soon(run.work, caller)
                for _ in range(kills):
                    before = len(run.acknowledged)
                    while len(run.acknowledged) < before + 20:
                        await anyio.sleep(0.005)
                    await anyio.sleep(chance.random() * 0.25)
                    await served.kill()
                    await served.start()
                run.stopping = True
            await run.verify()
            await client.close()
            await served.kill(signal.SIGTERM)
        await check_store(path)
    finally:
        await client.close()
        await served.kill()
    return run


async def check_store(path: Path) -> None:
    journal, archive = SqliteJournal(path), SqliteArchive(path)
    await journal.open()
    await archive.open(epoch=journal.epoch)
    assert await check_journal(journal) == []
    assert await check_archive(archive, journal) == []
    await archive.close()
    await journal.close()


async def _campaign(path: Path, kills: int, seconds_max: float) -> None:
    seed = random.randrange(1_000_000)
    try:
        await campaign(path, kills=kills, seed=seed, seconds_max=seconds_max)
    except BaseException:
        print(f"seed {seed}, {kills} kills")
        raise


async def test_three_kills(tmp_path: Path) -> None:
    await _campaign(tmp_path / "state.db", 3, 60)


@pytest.mark.soak
async def test_twenty_kills(tmp_path: Path) -> None:
    await _campaign(tmp_path / "state.db", 20, 300)


async def test_a_follower_sees_every_change_once_through_a_kill(tmp_path: Path) -> None:
    served = Served(tmp_path / "state.db")
    await served.start()
    url = f"palimpsest://127.0.0.1:{served.port}"
    seen: list[Any] = []
    try:
        with anyio.fail_after(60):
            async with pal.connect(url, backoff_seconds_max=0.2) as client, client.subscribe("d/*") as changes:
                await client.create("d/0", {"n": 0})
                async with anyio.create_task_group() as tasks:
                    for _ in range(50):
                        tasks.start_soon(client.update, "d/0", {"n": pal.Increment(1)})
                    await anyio.sleep(0.002)
                    await served.kill()
                    await served.start()
                while len(seen) < 51:
                    seen.append((await changes.__anext__()).version)
                assert (await client.get("d/0")).version == 51
    finally:
        await served.kill()
    assert seen == list(range(1, 52))
