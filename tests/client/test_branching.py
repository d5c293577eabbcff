"""The words about branches and merges: what is asked for, and what is made of the answers of a scripted server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client.resolving import OURS, Value
from palimpsest.errors import (
    InvalidName,
    InvalidPath,
    InvalidRequest,
    InvalidValue,
    MergeNotFound,
    RequestTimeout,
    UnexpectedMessage,
)
from palimpsest.protocol import messages as m
from palimpsest.state.delta import DELETE
from palimpsest.words import Meta

pytestmark = pytest.mark.anyio

MOMENT = datetime(2020, 1, 1, tzinfo=UTC)
AT = 1_577_836_800_000_000
SAID: Any = {"by": "ana", "description": "why", "tags": {"b", "a"}, "request_id": "r"}
META = Meta("ana", "why", ("a", "b"))
SAID_OF_A_BRANCH: Any = {"by": "ana", "description": "why", "request_id": "r"}
META_OF_A_BRANCH = Meta("ana", "why")
DRAFT = m.BranchInfo("n", "draft", ("main", 3), 3, AT)
PART = m.MergedPart("n", ("draft", 9), ("main", 11), ("main", 7), "merged", 12, Raw(b"\x90"))


@pytest.fixture
def server(scripted: Any) -> Any:
    """Answers all merges, and says that it made or deleted `draft`."""
    for kind in (m.Merge, m.Pick, m.Rebase, m.Resolve, m.GetMerge):
        scripted.replies[kind] = lambda message: m.Merged(message.id, (PART,), None, AT)
    for kind in (m.Branch, m.DeleteBranch):
        scripted.replies[kind] = lambda message: m.Branches(message.id, (DRAFT,))
    scripted.replies[m.Abandon] = lambda message: m.Committed(message.id, 3, AT)
    return scripted


# --- branches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "place"),
    [
        (None, m.Place()),
        (3, m.Place("main", 3)),
        ("draft", m.Place("draft")),
        ("a/b:4", m.Place("a/b", 4)),
        (MOMENT, m.Place("main", at=AT)),
    ],
)
async def test_a_branch_starts_anywhere(server: Any, reach: Any, at: Any, place: m.Place) -> None:
    async with reach() as client:
        made = await client.branch("n", "draft", at=at, **SAID_OF_A_BRANCH)
    asked = server.received[-1]
    assert asked == m.Branch(asked.id, "n", "draft", place, False, META_OF_A_BRANCH, "r")
    assert (made.document, made.name, made.base, made.head, made.at) == ("n", "draft", ("main", 3), 3, MOMENT)


async def test_deleting_a_branch(server: Any, reach: Any) -> None:
    async with reach() as client:
        gone = await client.delete_branch("n/*", "draft", **SAID_OF_A_BRANCH)
    asked = server.received[-1]
    assert asked == m.DeleteBranch(asked.id, "n/*", "draft", False, META_OF_A_BRANCH, "r")
    assert [(branch.document, branch.name) for branch in gone] == [("n", "draft")]


async def test_branches_in_pages(scripted: Any, reach: Any) -> None:
    def reply(message: m.ListBranches) -> m.Branches:
        found = {"": ["a", "a", "b"], "b": ["c"]}[message.after]
        branches = tuple(m.BranchInfo(name, "draft", ("main", 3), 3, AT) for name in found)
        return m.Branches(message.id, branches, message.after == "")

    scripted.replies[m.ListBranches] = reply
    async with reach(page_items=2) as client:
        assert [branch.document for branch in await client.branches("**", deleted=True)] == ["a", "a", "b", "c"]
    asked = [message for message in scripted.received if isinstance(message, m.ListBranches)]
    assert asked == [m.ListBranches(asked[0].id, "**", "", 2, True), m.ListBranches(asked[1].id, "**", "b", 2, True)]


async def test_answers_that_lead_nowhere(scripted: Any, reach: Any) -> None:
    scripted.replies[m.ListBranches] = lambda message: m.Branches(message.id, (DRAFT,), True)
    scripted.replies[m.ListMerges] = lambda message: m.Merges(message.id, (), True)
    scripted.replies[m.Branch] = lambda message: m.Branches(message.id, ())
    scripted.replies[m.Merge] = lambda message: m.Pong(message.id)
    async with reach() as client:
        for call in (
            client.branches("n"),
            client.merges(),
            client.branch("n", "draft"),
            client.merge("n", "draft"),
        ):
            with pytest.raises(UnexpectedMessage):
                await call


# --- merges ----------------------------------------------------------------------------------------------------------


async def test_a_merge(server: Any, reach: Any) -> None:
    rules = {"tags": "union", "": "ours"}
    async with reach() as client:
        await client.merge("n", source="draft")
        result = await client.merge("n", "draft:9", "other", rules=rules, dry_run=True, squash=True, expect=11, **SAID)
    plain, asked = server.received[-2:]
    assert plain == m.Merge(plain.id, "n", m.Place("draft"))
    assert asked == m.Merge(asked.id, "n", m.Place("draft", 9), "other", rules, True, True, 11, False, META, "r")
    assert (result.version, result.committed, result.base_reason) == (
        12,
        True,
        "version 7 of main, the nearest common ancestor",
    )


async def test_a_cherry_pick(server: Any, reach: Any) -> None:
    async with reach() as client:
        await client.cherry_pick("n", 9, into="draft")
        result = await client.cherry_pick("n", "draft:9", rules={"a": "theirs"}, dry_run=True, expect=11, **SAID)
    plain, asked = server.received[-2:]
    assert plain == m.Pick(plain.id, "n", m.Place("main", 9), "draft")
    assert asked == m.Pick(asked.id, "n", m.Place("draft", 9), "main", {"a": "theirs"}, True, 11, False, META, "r")
    assert result.base_reason == "version 7 of main, the nearest common ancestor"


async def test_a_rebase(server: Any, reach: Any) -> None:
    async with reach() as client:
        await client.rebase("n", "draft")
        result = await client.rebase("n", "draft", onto=9, rules={"a": "base"}, dry_run=True, **SAID_OF_A_BRANCH)
    plain, asked = server.received[-2:]
    assert plain == m.Rebase(plain.id, "n", "draft")
    assert asked == m.Rebase(
        asked.id, "n", "draft", m.Place("main", 9), {"a": "base"}, True, False, META_OF_A_BRANCH, "r"
    )
    assert result.base_reason == "version 7 of main, the nearest common ancestor"


async def test_a_merge_may_take_longer_than_an_answer(server: Any, reach: Any) -> None:
    held: list[Any] = []

    def hold(peer: Any, message: Any) -> bool:
        if isinstance(message, m.Merge):
            held.append((peer, message))
        return isinstance(message, m.Merge)

    server.trouble = hold
    async with reach(timeout_seconds=0.2) as client:
        call = asyncio.ensure_future(client.merge("n", "draft"))
        await server.until(lambda: sum(isinstance(message, m.Ping) for message in server.received) == 5)
        peer, message = held[0]
        peer.send(m.Merged(message.id, (PART,), None, AT))
        assert (await call).version == 12


# --- conflicts -------------------------------------------------------------------------------------------------------


async def test_resolving(server: Any, reach: Any) -> None:
    async with reach() as client:
        result = await client.resolve("m-1", {"title": OURS, ("n", "body"): Value(5), "x": DELETE}, **SAID)
    asked = server.received[-1]
    chosen = (
        m.Resolution(("title",), "ours"),
        m.Resolution(("body",), "value", Raw(b"\x05"), "n"),
        m.Resolution(("x",), "absent"),
    )
    assert asked == m.Resolve(asked.id, "m-1", chosen, False, META, "r")
    assert (result.version, result.base_reason) == (12, "version 7 of main, the nearest common ancestor")


async def test_abandoning(server: Any, reach: Any) -> None:
    async with reach() as client:
        assert await client.abandon("m-1", **SAID_OF_A_BRANCH) is None
        asked = server.received[-1]
        assert asked == m.Abandon(asked.id, "m-1", False, META_OF_A_BRANCH, "r")

        def refuse(message: m.Abandon) -> m.Committed:
            raise MergeNotFound("none", merge=message.merge)

        server.replies[m.Abandon] = refuse
        with pytest.raises(MergeNotFound) as caught:
            await client.abandon("m-2")
        assert caught.value.merge == "m-2"


async def test_the_state_of_a_merge(server: Any, reach: Any) -> None:
    async with reach() as client:
        result = await client.merge_state("m-1")
    asked = server.received[-1]
    assert (asked, result.version) == (m.GetMerge(asked.id, "m-1"), 12)


async def test_merges_in_pages(scripted: Any, reach: Any) -> None:
    def reply(message: m.ListMerges) -> m.Merges:
        ids = {"": ["1", "2"], "2": ["3"]}[message.after]
        merges = tuple(m.PendingMerge(id, "pick", "draft", "main", {"n": 1}, AT) for id in ids)
        return m.Merges(message.id, merges, message.after == "")

    scripted.replies[m.ListMerges] = reply
    async with reach(page_items=2) as client:
        assert [merge.merge_id for merge in await client.merges("n/*")] == ["1", "2", "3"]
    asked = [message for message in scripted.received if isinstance(message, m.ListMerges)]
    assert [(message.pattern, message.after, message.limit) for message in asked] == [("n/*", "", 2), ("n/*", "2", 2)]


async def test_arguments_are_checked_before_anything_is_sent(scripted: Any, reach: Any) -> None:
    async with reach() as client:
        calls: list[Any] = [
            (InvalidName, lambda: client.branch(5, "draft")),
            (InvalidRequest, lambda: client.branch("n", None)),
            (InvalidRequest, lambda: client.branch("n", 5)),
            (InvalidRequest, lambda: client.branch("n", "draft", at="main:x")),
            (InvalidRequest, lambda: client.branch("n", "draft", at=datetime(2020, 1, 1))),
            (InvalidRequest, lambda: client.branch("n", "draft", by=5)),
            (InvalidName, lambda: client.branches(None)),
            (InvalidRequest, lambda: client.delete_branch("n", None)),
            (InvalidRequest, lambda: client.merge("n", None)),
            (InvalidRequest, lambda: client.merge("n", "draft", None)),
            (InvalidRequest, lambda: client.merge("n", "draft", expect="1")),
            (InvalidRequest, lambda: client.merge("n", "draft", tags="one")),
            (InvalidRequest, lambda: client.merge("n", "draft", rules="ours")),
            (InvalidRequest, lambda: client.merge("n", "draft", rules={"a": OURS})),
            (InvalidRequest, lambda: client.merge("n", "draft", rules={("a",): "ours"})),
            (InvalidRequest, lambda: client.cherry_pick("n", "draft:9", into=None)),
            (InvalidRequest, lambda: client.cherry_pick("n", "draft:9", expect=1.5)),
            (InvalidRequest, lambda: client.rebase("n", None)),
            (InvalidRequest, lambda: client.rebase("n", "draft", onto=":5")),
            (InvalidRequest, lambda: client.resolve(None, {})),
            (InvalidRequest, lambda: client.resolve("m-1", {"a": 5})),
            (InvalidPath, lambda: client.resolve("m-1", {"a..b": OURS})),
            (InvalidValue, lambda: client.resolve("m-1", {"a": Value({1})})),
            (InvalidRequest, lambda: client.abandon(None)),
            (InvalidRequest, lambda: client.abandon("m-1", request_id=5)),
            (InvalidRequest, lambda: client.merge_state(5)),
            (InvalidName, lambda: client.merges(5)),
        ]
        for error, call in calls:
            with pytest.raises(error):
                await call()
    assert [type(message) for message in scripted.received] == [m.Hello]


async def test_a_merge_is_given_up_once_the_server_is_silent(scripted: Any, reach: Any) -> None:
    scripted.trouble = lambda peer, message: not isinstance(message, m.Hello)
    async with reach(timeout_seconds=0.2) as client:
        with pytest.raises(RequestTimeout, match="merge"):
            await client.merge("n", "draft")
