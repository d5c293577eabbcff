"""The suites of JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396), through a client and a server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.errors import PalimpsestError
from palimpsest.state import encode_value

pytestmark = pytest.mark.anyio

_STATE = Path(__file__).parents[1] / "state"
JSON_PATCH = json.loads((_STATE / "json_patch_cases.json").read_text())
MERGE_PATCH = json.loads((_STATE / "merge_patch_cases.json").read_text())


@asynccontextmanager
async def _connected() -> AsyncIterator[pal.Client]:
    async with pal.Server.memory(snapshot_versions=2) as server, server.connect() as client:
        yield client


async def _run(client: pal.Client, name: str, case: dict[str, Any], delta: pal.Delta) -> None:
    await client.create(name, case["doc"])
    if "expected" not in case:
        with pytest.raises(PalimpsestError) as caught:
            await client.update(name, delta)
        assert caught.value.code == case["error"]
        assert case.get("reason") in (None, caught.value.reason)
        document = await client.get(name)
        assert (document.version, encode_value(document.value)) == (1, encode_value(case["doc"]))
        return
    assert (await client.update(name, delta)).version == 2
    document = await client.get(name)
    assert encode_value(document.value) == encode_value(case["expected"])
    await client.update(name, pal.Delta().set((), "later"))
    past = [(await client.get(name, version=version)).value for version in (1, 2)]  # from the log, op by op
    assert [encode_value(value) for value in past] == [encode_value(case["doc"]), encode_value(case["expected"])]


async def test_json_patch() -> None:
    refused: list[tuple[str, str, str]] = []
    async with _connected() as client:
        for number, case in enumerate(JSON_PATCH):
            try:
                delta = pal.Delta.from_json_patch(case["patch"])
            except PalimpsestError as error:  # refused before it is sent
                refused.append((case["comment"], error.code, case.get("error")))
                continue
            try:
                await _run(client, f"case/{number}", case, delta)
            except BaseException:
                print(case["comment"])
                raise
    assert [found for found in refused if found[1] != found[2]] == []


async def test_merge_patch() -> None:
    async with _connected() as client:
        for number, case in enumerate(MERGE_PATCH):
            try:
                await _run(client, f"case/{number}", case, pal.Delta.from_merge_patch(case["patch"]))
            except BaseException:
                print(case["comment"])
                raise


def test_the_suites_are_not_empty() -> None:
    assert len(JSON_PATCH) > 50
    assert len(MERGE_PATCH) > 10
