"""Diff, blame, revert, undo and digests through a partition."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from palimpsest.errors import BranchNotFound, DocumentNotFound, UndoConflict, VersionConflict, VersionNotFound
from palimpsest.protocol import messages as m
from palimpsest.storage.events import GENESIS, commitment, link
from palimpsest.words import Kind, Meta

pytestmark = pytest.mark.anyio

OpenHouse = Callable[..., AbstractAsyncContextManager[Any]]
ARCHIVED = pytest.mark.parametrize("archived", [False, True], ids=["in the tail", "archived"])


def value(document: m.Document) -> Any:
    return msgspec.msgpack.decode(document.value)


async def story(house: Any, peer: Any, archived: bool) -> None:
    """Five versions: created, title changed, a tag appended, stars counted, title changed again."""
    await peer.create("doc", {"title": "A", "tags": ["x"], "stars": 0}, meta=Meta("ana"))
    await peer.set("doc", ["title"], "B", meta=Meta("bo"))
    for ops in ([[5, ["tags"], "y"]], [[3, ["stars"], 1]], [[0, ["title"], "C"]]):
        await peer.ask(m.Update, "doc", msgspec.Raw(msgspec.msgpack.encode(ops)))
    if archived:
        await house.archived()


@ARCHIVED
async def test_the_difference_of_two_versions(open_house: OpenHouse, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        peer = house.peer()
        await story(house, peer, archived)
        answer = await peer.ask(m.Diff, "doc", m.Place(version=1), m.Place())
        assert (answer.a, answer.b) == (1, 5)
        assert msgspec.msgpack.decode(answer.delta) == [
            [0, ["stars"], 1],
            [5, ["tags"], "y"],
            [0, ["title"], "C"],
        ]
        answer = await peer.ask(m.Diff, "doc", m.Place(version=5), m.Place(version=5))
        assert msgspec.msgpack.decode(answer.delta) == []
        with pytest.raises(VersionNotFound):
            await peer.ask(m.Diff, "doc", m.Place(version=1), m.Place(version=6))
        with pytest.raises(BranchNotFound):
            await peer.ask(m.Diff, "doc", m.Place(version=1), m.Place("draft"))
        with pytest.raises(DocumentNotFound):
            await peer.ask(m.Diff, "nowhere", m.Place(), m.Place())


@ARCHIVED
async def test_blame_names_the_version_that_last_set_each_path(open_house: OpenHouse, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        peer = house.peer()
        await story(house, peer, archived)
        answer = await peer.ask(m.Blame, "doc")
        found = {path: answer.entries[place].version for path, place in answer.paths}
        assert found == {("title",): 5, ("tags", 0): 1, ("tags", 1): 3, ("stars",): 4}
        assert answer.exact
        assert [entry.version for entry in answer.entries] == [5, 4, 3, 1]
        assert answer.entries[-1].meta == Meta("ana")
        answer = await peer.ask(m.Blame, "doc", m.Place(version=2), ("title",))
        assert [(path, answer.entries[place].meta) for path, place in answer.paths] == [(("title",), Meta("bo"))]
        with pytest.raises(DocumentNotFound, match="nothing there"):
            await peer.ask(m.Blame, "doc", m.Place(), ("nothing",))


@ARCHIVED
async def test_revert_makes_a_new_version_of_an_old_value(open_house: OpenHouse, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        peer = house.peer()
        await story(house, peer, archived)
        made = await peer.ask(m.Revert, "doc", m.Place(version=2), expect=5, meta=Meta("ana"))
        assert made.version == 6
        document = await peer.get("doc")
        assert (value(document), document.meta) == ({"title": "B", "tags": ["x"], "stars": 0}, Meta("ana"))
        with pytest.raises(VersionConflict):
            await peer.ask(m.Revert, "doc", m.Place(version=2), expect=5)
        await peer.ask(m.Delete, "doc")
        assert (await peer.ask(m.Revert, "doc", m.Place(version=1))).version == 8
        document = await peer.get("doc")
        assert (document.kind, value(document)["title"]) == (Kind.CREATE, "A")
        with pytest.raises(DocumentNotFound):
            await peer.ask(m.Revert, "doc", m.Place(version=7))


async def test_a_repeat_of_a_revert_is_not_done_again(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await story(house, peer, True)
        first = await peer.ask(m.Revert, "doc", m.Place(version=1), key="once")
        await peer.ask(m.Prune, "doc", "main", m.Retain(versions=1), False)
        again = await peer.ask(m.Revert, "doc", m.Place(version=1), key="once")
        assert (again.version, again.at, again.repeat) == (first.version, first.at, True)


@ARCHIVED
async def test_undo_takes_one_version_back_and_keeps_those_after_it(open_house: OpenHouse, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        peer = house.peer()
        await story(house, peer, archived)
        await peer.ask(m.Undo, "doc", 3)
        assert value(await peer.get("doc")) == {"title": "C", "tags": ["x"], "stars": 1}
        with pytest.raises(UndoConflict) as caught:
            await peer.ask(m.Undo, "doc", 2)
        assert caught.value.conflicts == [
            {"path": "title", "kind": "edit/edit", "base": "B", "ours": "C", "theirs": "A"}
        ]
        await peer.ask(m.Undo, "doc", 6)
        assert value(await peer.get("doc")) == {"title": "C", "tags": ["x", "y"], "stars": 1}
        assert (await peer.get("doc")).version == 7


async def test_undoing_a_delete_and_a_create(open_house: OpenHouse) -> None:
    async with open_house() as house, house.running():
        peer = house.peer()
        await peer.create("doc", {"n": 1})
        await peer.ask(m.Undo, "doc", 1)
        with pytest.raises(DocumentNotFound):
            await peer.get("doc")
        await peer.ask(m.Undo, "doc", 2)
        assert value(await peer.get("doc")) == {"n": 1}
        with pytest.raises(UndoConflict):
            await peer.ask(m.Undo, "doc", 2)


@ARCHIVED
async def test_digests_are_chained(open_house: OpenHouse, archived: bool) -> None:
    async with open_house() as house, house.running(inline_archiver=archived):
        peer = house.peer()
        await story(house, peer, archived)
        tail, digest = house.partition.tail, GENESIS
        for version in range(1, 6):
            found = await peer.ask(m.Digest, "doc", m.Place(version=version))
            if not archived:
                row = tail.row(version)
                digest = link(digest, commitment(tail.salt(version), row.event))
                assert found.digest == digest
            assert (found.version, len(found.digest)) == (version, 32)
        newest = await peer.ask(m.Digest, "doc")
        assert newest.digest == found.digest
        if not archived:
            kept = digest
            async with house.running():  # as by a crash: another archiver takes it from the journal
                await house.archived()
                assert (await house.peer("other").ask(m.Digest, "doc")).digest == kept
