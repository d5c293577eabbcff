"""Versions that are taken over into branches that are there, were deleted, or were made again: message by message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from palimpsest.client import Client
from palimpsest.client.asking import ask
from palimpsest.embedded import Server
from palimpsest.errors import BranchNotFound, Conflict, LimitExceeded, PalimpsestError, VersionPruned
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.state.ops import Set, encode_delta
from palimpsest.words import RECORD, Kind, Parents

pytestmark = pytest.mark.anyio

CREATE, UPDATE = int(Kind.CREATE), int(Kind.UPDATE)


@pytest.fixture
async def client(anyio_backend: object) -> AsyncIterator[Client]:
    async with Server.memory(limits=Limits(page_items_max=5)) as server, server.connect() as connected:
        yield connected


def entry(version: int, path: tuple[str, ...], value: Any, base: tuple[str, int] | None = None) -> m.Entry:
    kind = CREATE if not path else UPDATE
    delta = m.Raw(encode_delta([Set(path, value)]))
    return m.Entry(version, kind, version, delta, parents=None if base is None else Parents(base))


async def take_over(client: Client, branch: str, *entries: m.Entry) -> tuple[int, int]:
    """The newest version of the branch's name then, and how many were added."""
    answer = await ask(client._session, m.Imported, m.Import(0, "n", entries, branch))
    return answer.version, answer.made


@pytest.fixture
async def document(client: Client) -> None:
    """`draft` was made from main:1, deleted at 4, and made again from main:2; `part` starts from draft:3; `gone` was deleted."""
    lines = {
        "draft": {"lines": [{"base": ["main", 1], "first": 2, "last": 4}, {"base": ["main", 2], "first": 6}]},
        "gone": {"lines": [{"base": ["main", 2], "first": 3, "last": 5}]},
        "part": {"lines": [{"base": ["draft", 3], "first": 4}]},
    }
    assert await take_over(client, RECORD, entry(1, (), lines)) == (1, 1)
    assert await take_over(client, "main", entry(1, (), {"a": 1}), entry(2, ("a",), 2)) == (2, 2)


OLD = (entry(2, ("d",), 2, ("main", 1)), entry(3, ("d",), 3))
NEW = (entry(6, ("d",), 6, ("main", 2)), entry(7, ("d",), 7))


async def test_both_lives_of_a_branch_in_one_message(client: Client, document: None) -> None:
    assert await take_over(client, "draft", *OLD, *NEW) == (7, 4)
    assert await take_over(client, "draft", *OLD, *NEW) == (7, 0)
    assert (await client.get("n", branch="draft")).value == {"a": 2, "d": 7}
    assert (await client.get("n", branch="draft", version=3)).value == {"a": 1, "d": 3}
    assert (await client.get("n", branch="part")).value == {"a": 1, "d": 3}


async def test_a_branch_that_was_made_again_can_be_used_at_once(client: Client, document: None) -> None:
    assert (await client.get("n", branch="draft")).version == 5
    assert await take_over(client, "draft", *OLD) == (3, 2)
    assert (await client.get("n", branch="draft")).value == {"a": 2}
    assert (await client.update("n", {"x": 1}, branch="draft")).version == 6
    assert [version.branch async for version in client.history("n", branch="draft")] == ["draft", "main", "main"]
    assert await take_over(client, "draft", entry(4, ("d",), 4)) == (6, 0)


async def test_a_deleted_branch_grows_message_by_message_and_stays_deleted(client: Client, document: None) -> None:
    first, second, third = entry(3, ("g",), 3, ("main", 2)), entry(4, ("g",), 4), entry(5, ("g",), 5)
    assert await take_over(client, "gone", first) == (3, 1)
    assert await take_over(client, "gone", first, second) == (4, 1)
    assert await take_over(client, "gone", second) == (4, 0)
    assert await take_over(client, "gone", third) == (5, 1)
    assert (await client.get("n", branch="gone", version=4)).value == {"a": 2, "g": 4}
    with pytest.raises(BranchNotFound):
        await client.get("n", branch="gone")
    with pytest.raises(BranchNotFound):
        await client.update("n", {"g": 6}, branch="gone")
    assert (await client.branch("n", "gone")).head == 6


async def test_branches_that_start_from_nothing(client: Client) -> None:
    lines = {
        "draft": {"lines": [{"base": None, "first": 1, "last": 2}, {"base": None, "first": 4}]},
        "part": {"lines": [{"base": ["draft", 2], "first": 3}]},
    }
    assert await take_over(client, RECORD, entry(1, (), lines)) == (1, 1)
    old, new = (entry(1, (), {}), entry(2, ("d",), 2)), entry(4, (), {"d": 4})
    assert await take_over(client, "draft", *old) == (2, 2)
    assert await take_over(client, "part", entry(3, ("p",), 3, ("draft", 2))) == (3, 1)
    assert await take_over(client, "draft", new) == (4, 1)
    assert (await client.get("n", branch="part")).value == {"d": 2, "p": 3}
    assert (await client.get("n", branch="draft")).value == {"d": 4}


async def test_the_same_twice_at_once(client: Client, document: None) -> None:
    made = await asyncio.gather(*[take_over(client, "gone", entry(3, ("g",), 3, ("main", 2))) for _ in range(4)])
    assert sorted(made) == [(3, 0), (3, 0), (3, 0), (3, 1)]


async def test_a_deleted_branch_whose_first_versions_are_not_kept(client: Client, document: None) -> None:
    assert await take_over(client, "gone", entry(4, (), {"whole": 4}), entry(5, ("g",), 5)) == (5, 2)
    assert (await client.get("n", branch="gone", version=5)).value == {"whole": 4, "g": 5}


@pytest.mark.parametrize(
    ("branch", "entries", "error"),
    [
        ("gone", [entry(3, ("g",), 3, ("main", 1))], Conflict),
        ("gone", [entry(4, ("g",), 4, ("main", 2))], Conflict),
        ("gone", [entry(3, ("g",), 3, ("main", 2)), entry(6, ("g",), 6)], Conflict),
        ("gone", [entry(3, ("g",), 3)], PalimpsestError),
        ("gone", [entry(version, (), version) for version in (3, 4, 5, 5, 5, 5)], LimitExceeded),
        ("part", [entry(4, ("p",), 4, ("draft", 3))], VersionPruned),
        ("never", [entry(1, (), 1)], BranchNotFound),
    ],
)
async def test_what_is_refused_leaves_no_trace(
    client: Client, document: None, branch: str, entries: list[m.Entry], error: type[PalimpsestError]
) -> None:
    with pytest.raises(error):
        await take_over(client, branch, *entries)
    assert await take_over(client, "gone", entry(3, ("g",), 3, ("main", 2))) == (3, 1)
    other = msgspec.structs.replace(entry(3, ("g",), 3, ("main", 2)), at=2**60)
    with pytest.raises(Conflict, match="another time"):
        await take_over(client, "gone", other)
