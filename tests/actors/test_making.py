"""Changes with whole values: read once, and made from one another after that, until something is erased."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

import palimpsest as pal
from palimpsest.actors.making import Maker
from palimpsest.errors import DocumentNotFound
from palimpsest.limits import Limits
from palimpsest.protocol.messages import Change, Document, Get
from palimpsest.storage.contracts import Row
from palimpsest.storage.events import NO_DELTA, Event
from palimpsest.words import Kind, Parents

pytestmark = pytest.mark.anyio


class Past:
    """One document's log, and how often it was read."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.values: dict[tuple[str, int], Any] = {}
        self.asked: list[tuple[str, int]] = []
        self.maker = Maker(self.ask, self.around, Limits())

    def add(
        self, kind: Kind, delta: pal.Delta | None, base: tuple[str, int] | None = None, branch: str = "main"
    ) -> Row:
        number = 1 + max((version for _, version in self.values), default=0)
        before = self.values.get(base or (branch, number - 1))
        self.values[branch, number] = None if delta is None else delta.apply(before)
        encoded = NO_DELTA if delta is None else Raw(delta.encode())
        parents = None if base is None else Parents(base=base)
        event = Event("a", branch, number, int(kind), number, encoded, "", 0, parents=parents)
        self.rows.append(Row(len(self.rows) + 1, event))
        return self.rows[-1]

    async def ask(self, message: Get) -> Document:
        assert message.version is not None
        self.asked.append((message.branch, message.version))
        value = self.values[message.branch, message.version]
        if value is None:
            raise DocumentNotFound("deleted", document="a", branch=message.branch, version=message.version)
        return Document(0, "a", message.branch, message.version, 1, 1, Raw(msgspec.msgpack.encode(value)))

    async def around(self, document: str, branch: str, version: int, parents: Parents | None) -> Any:
        raise AssertionError("nobody looks through a perspective")

    async def made(self, row: Row, archived: int = 1 << 30) -> Any:
        made = await self.maker.make(row, None, archived, values=True)
        assert made is not None
        before, after = made.encoded
        change = msgspec.msgpack.decode(before + b"\x90" + after, type=Change)
        return msgspec.msgpack.decode(change.value)

    async def assert_made(self, *rows: Row) -> None:
        for row in rows:
            assert await self.made(row) == self.values[row.event.branch, row.event.version]


def grown(versions: int) -> Past:
    past = Past()
    past.add(Kind.CREATE, pal.Delta().set("", {"n": 0, "deep": {"text": "a"}}))
    for number in range(versions - 1):
        past.add(Kind.UPDATE, pal.Delta().increment("n").set("deep.text", f"{number}").set(f"k{number}", [number]))
    return past


async def test_of_versions_that_follow_one_another_the_first_alone_is_read() -> None:
    past = grown(50)
    await past.assert_made(*past.rows[10:])
    assert past.asked == [("main", 11)]


async def test_a_version_that_follows_none_is_read() -> None:
    past = grown(6)
    await past.assert_made(past.rows[0], past.rows[2], past.rows[3], past.rows[1])
    assert past.asked == [("main", 1), ("main", 3), ("main", 2)]


async def test_what_comes_after_a_deletion_is_read() -> None:
    past = grown(3)
    past.add(Kind.DELETE, None)
    past.add(Kind.CREATE, pal.Delta().set("", {"n": 7}))
    past.add(Kind.UPDATE, pal.Delta().increment("n"))
    await past.assert_made(*past.rows)
    assert past.asked == [("main", 1), ("main", 5)]


async def test_the_first_version_of_a_branch_is_read_also_where_the_number_follows() -> None:
    past = grown(2)
    past.add(Kind.UPDATE, pal.Delta().set("first", True), base=("main", 2), branch="draft")
    past.add(Kind.UPDATE, pal.Delta().set("again", True), base=("main", 1), branch="draft")
    past.add(Kind.UPDATE, pal.Delta().increment("n"), branch="draft")
    await past.assert_made(*past.rows)
    assert past.asked == [("main", 1), ("draft", 3), ("draft", 4)]


async def test_after_an_erasure_nothing_is_made_from_what_was_there_before() -> None:
    past = grown(4)
    await past.assert_made(*past.rows[:2])
    past.maker.erased(10)
    past.values["main", 3] = {"erased": True}
    past.values["main", 4] = {"erased": "too"}
    assert [await past.made(row, archived=10) for row in past.rows[2:4]] == [{"erased": True}, {"erased": "too"}]
    assert past.asked == [("main", 1), ("main", 3), ("main", 4)]


async def test_what_is_too_large_to_be_kept_is_read_each_time() -> None:
    past = Past()
    past.add(Kind.CREATE, pal.Delta().set("", {"text": "x" * 5_000_000}))
    past.add(Kind.UPDATE, pal.Delta().set("n", 1))
    await past.assert_made(*past.rows)
    assert past.asked == [("main", 1), ("main", 2)]
