"""What leaves the journal, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from palimpsest.actors.asking import Question
from palimpsest.actors.commands import Remove
from palimpsest.words import MAIN

pytestmark = pytest.mark.anyio

OpenHouse = Callable[..., AbstractAsyncContextManager[Any]]
SECRET = b"a secret"


async def journal_bytes(house: Any) -> bytes:
    batches = await house.journal.read((await house.journal.end()).oldest, bytes_max=1 << 30)
    return b"".join(batch.body for batch in batches)


async def test_an_erasure_that_was_cut_short_is_finished_at_the_next_start(open_house: OpenHouse) -> None:
    async with open_house() as house:
        async with house.running():
            peer = house.peer()
            await peer.create("doc", {"name": SECRET.decode()})
            question = Question("peer")  # the event alone, as where the process ends before the journal is scrubbed
            house.partition.registry.route(Remove(99, "doc", MAIN, path=("name",)), question, house.now)
            await question.result()
            await house.archived()
        assert SECRET in await journal_bytes(house)
        scrubs = house.journal.scrubs
        async with house.running():
            with anyio.fail_after(10):
                while house.journal.scrubs == scrubs:
                    await asyncio.sleep(0)
        assert SECRET not in await journal_bytes(house)


async def test_a_journal_without_erasures_is_left_alone_at_the_start(open_house: OpenHouse) -> None:
    async with open_house() as house:
        async with house.running():
            await house.peer().create("doc", {})
            await house.archived()
        async with house.running():
            assert not await house.partition.trimmer._has_erasure()
            assert house.journal.scrubs == 0
            assert (await house.journal.end()).oldest == 1
