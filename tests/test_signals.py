"""Changes as signals of blinker."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

import pytest

from palimpsest.client import Change, Client
from palimpsest.embedded import Server


def test_without_blinker_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blinker", None)
    monkeypatch.delitem(sys.modules, "palimpsest.signals", raising=False)
    with pytest.raises(ImportError, match=r"palimpsest\.signals needs blinker: install palimpsest\[signals\]"):
        importlib.import_module("palimpsest.signals")


@pytest.mark.anyio
async def test_changes_are_sent() -> None:
    signals = pytest.importorskip("palimpsest.signals", exc_type=ImportError)
    seen: list[tuple[str, str, int]] = []
    done = asyncio.Event()

    def plain(sender: str, change: Change) -> None:
        seen.append(("plain", sender, change.version))

    async def later(sender: str, change: Change) -> None:
        await asyncio.sleep(0)
        seen.append(("later", sender, change.version))
        if change.version == 2:
            done.set()

    async with Server.memory() as server, server.connect() as client:
        bridge = signals.ChangeSignal(client, "notes/*", tags={"told"})
        async with bridge as changed:
            assert changed is bridge.signal
            changed.connect(plain, sender="notes/1")
            changed.connect(later)
            await client.create("notes/1", {}, tags={"told"})
            await client.create("notes/2", {}, tags={"told"})
            await client.create("notes/3", {})
            await client.update("notes/2", {"a": 1}, tags={"told"})
            async with asyncio.timeout(5):
                await done.wait()
        assert sorted(seen[:2]) == [("later", "notes/1", 1), ("plain", "notes/1", 1)]
        assert seen[2:] == [("later", "notes/2", 1), ("later", "notes/2", 2)]
        async with client.subscribe("notes/*", resume_after=bridge.cursor) as rest:
            await client.create("notes/4", {})
            assert (await anext(rest)).document in ("notes/2", "notes/4")


@pytest.mark.anyio
async def test_a_receiver_that_raises_stops_it() -> None:
    signals = pytest.importorskip("palimpsest.signals", exc_type=ImportError)
    blinker = pytest.importorskip("blinker")
    signal = blinker.Signal()

    def refuse(sender: str, change: Change) -> None:
        raise KeyError(sender)

    signal.connect(refuse)
    async with Server.memory() as server, server.connect() as client:
        bridge = signals.ChangeSignal(client, "notes/*", signal=signal)
        with pytest.raises(KeyError, match="notes/1"):
            await refused(client, bridge)


async def refused(client: Client, bridge: Any) -> None:
    async with bridge:
        await client.create("notes/1", {})
        await bridge.wait()
