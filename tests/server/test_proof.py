"""Proof of a store on disk: single bytes are flipped in its files, and what was erased is looked for in them."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import palimpsest as pal
from palimpsest.errors import StorageError

pytestmark = pytest.mark.anyio

VERSIONS = 40


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A closed store of one document; its archive has all of it, and its write-ahead logs are gone."""
    path = tmp_path / "store" / "state.db"
    path.parent.mkdir()
    async with pal.Server(path) as server, server.connect() as client:
        await client.create("doc", {"n": 0, "text": "some words to begin with"}, by="ana", tags={"first"})
        for number in range(1, VERSIONS):
            await client.update("doc", {"n": number, f"key{number}": f"value number {number}"}, by="bo")
        await server.partition.settled()
    return path


def flipped(path: Path, offset: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes((byte ^ (1 << bit),)))


def places(path: Path, needle: bytes) -> list[int]:
    data, found, at = path.read_bytes(), [], -1
    while (at := data.find(needle, at + 1)) >= 0:
        found.append(at)
    return found


async def test_any_byte_of_an_event_in_the_archive(store: Path, tmp_path: Path) -> None:
    archive = store.with_name("state.db.archive")
    raw = sqlite3.connect(archive)
    columns = "at, body, proof"
    rows = raw.execute(f"SELECT version, {columns} FROM events ORDER BY version").fetchall()
    raw.close()
    chance = random.Random(7)
    for version, _, body, proof in chance.sample(rows, 12):
        for part in (body, proof):
            (start,) = places(archive, part)[:1]
            copy = tmp_path / "copy"
            shutil.copytree(store.parent, copy)
            flipped(copy / "state.db.archive", start + chance.randrange(len(part)), chance.randrange(8))
            verdict = await pal.verify(copy / "state.db")
            assert [(fault.document, fault.version) for fault in verdict.faults][:1] == [("doc", version)]
            shutil.rmtree(copy)


async def test_any_byte_of_a_batch_in_the_journal(store: Path, tmp_path: Path) -> None:
    raw = sqlite3.connect(store)
    rows = raw.execute("SELECT position, count, body FROM batches ORDER BY position").fetchall()
    raw.close()
    chance = random.Random(8)
    for position, _, body in chance.sample(rows, 8):
        (start,) = places(store, body)[:1]
        copy = tmp_path / "copy"
        shutil.copytree(store.parent, copy)
        flipped(copy / "state.db", start + chance.randrange(len(body)), chance.randrange(8))
        verdict = await pal.verify(copy / "state.db")
        assert [(fault.document, fault.position) for fault in verdict.faults] == [("doc", position)]
        shutil.rmtree(copy)


async def test_bytes_anywhere_are_found_or_harmless(store: Path, tmp_path: Path) -> None:
    """Whatever is flipped, `verify` says what it found, and does not fail in another way."""
    chance = random.Random(9)
    for name in ("state.db", "state.db.archive"):
        size = (store.parent / name).stat().st_size
        for _ in range(25):
            copy = tmp_path / "copy"
            shutil.copytree(store.parent, copy)
            flipped(copy / name, chance.randrange(size), chance.randrange(8))
            with suppress(StorageError):
                await pal.verify(copy / "state.db")
            shutil.rmtree(copy)


def holding(folder: Path, *needles: bytes) -> list[str]:
    return [file.name for file in folder.iterdir() if any(needle in file.read_bytes() for needle in needles)]


SECRET = "a secret that the law wants to be gone"


@pytest.mark.parametrize("place", ["inline", "process"])
async def test_what_was_erased_is_nowhere_in_the_files(place: Any, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with pal.Server(path, archiver=place, snapshot_versions=4) as server, server.connect() as client:
        await client.create(
            "doc", {"people": [{"name": SECRET, "n": 1}], "text": "long " * 2_000, "keep": {"name": "x"}}
        )
        await client.update("doc", {"text": "long " * 1_000 + "word " + "long " * 1_000})
        for number in range(30):
            await client.update("doc", {"people.0.n": number, "keep.n": number})
        await client.update("doc", {"people": pal.Append({"name": SECRET.upper(), "n": 2})})
        await client.update("doc", pal.Delta().move("people.1", "people.0"))
        await client.create("whole", {"a": SECRET}, description=SECRET, tags={SECRET})
        await client.tag("whole", version=1, tags={SECRET + "2"})
        await client.prune("doc", versions=20, dry_run=False)
        digest = await client.digest("doc", version=30)
        await client.erase("doc", ("people", "*", "name"), by="ana", description="asked to")
        await client.erase("whole", by="ana")
        assert holding(tmp_path, SECRET.encode(), SECRET.upper().encode()) == []
        assert (await client.get("doc", version=25)).value["keep"] == {"name": "x", "n": 22}
        assert (await client.digest("doc", version=30)) == digest
    kept = [(digest.document, digest.branch, digest.version, digest.digest)]
    verdict = await pal.verify(path, against=kept)
    assert (verdict.faults, verdict.checked_against) == ([], 1)
