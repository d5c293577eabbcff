"""History out of one server and into another: both real, and one that is scripted where trouble is wanted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec import Raw

import palimpsest as pal
from palimpsest.client import Client, ImportReport
from palimpsest.embedded import Server
from palimpsest.errors import (
    BranchNotFound,
    Conflict,
    DocumentNotFound,
    InvalidDelta,
    InvalidRequest,
    LimitExceeded,
    Overloaded,
    StorageError,
    UsageError,
    VersionPruned,
)
from palimpsest.limits import Limits
from palimpsest.protocol import messages as m
from palimpsest.state.delta import Append, Increment

pytestmark = pytest.mark.anyio

HEADER = {"palimpsest": "history", "format": 1, "documents": "**"}


@pytest.fixture
async def source(anyio_backend: object) -> AsyncIterator[Client]:
    async with Server.memory() as server, server.connect() as connected:
        yield connected


@pytest.fixture
async def target(anyio_backend: object) -> AsyncIterator[Client]:
    async with Server.memory() as server, server.connect() as connected:
        yield connected


def line(version: int, value: int, document: str = "n", **more: Any) -> dict[str, Any]:
    kind, delta = ("create", [[0, [], {"a": value}]]) if version == 1 else ("update", [[0, ["a"], value]])
    return {
        "document": document,
        "branch": "main",
        "version": version,
        "kind": kind,
        "at": version,
        "delta": delta,
    } | more


async def lines_of(client: Client, *arguments: Any, **named: Any) -> list[dict[str, Any]]:
    return [line async for line in client.export(*arguments, **named)]


def imported_lines(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an export of the importer says: a version with a value beside was taken over as one that sets it."""
    return [
        {name: part for name, part in line.items() if name != "value"} | {"delta": [[0, [], line["value"]]]}
        if "value" in line
        else line
        for line in lines
    ]


async def fill(client: Client) -> None:
    """Documents of every kind: with tags given and lost, deleted, pruned, and erased from."""
    await client.create("a/1", {"l": [], "n": 0}, by="ana", description="first", tags={"x"})
    for number in range(1, 9):
        await client.update("a/1", {"l": Append(number), "n": Increment()}, request_id=f"r{number}")
    await client.tag("a/1", 3, {"released"}, by="bo")
    await client.untag("a/1", 1, {"x"})
    await client.prune("a/1", versions=2, dry_run=False)
    await client.create("a/2", 5)
    await client.delete("a/2", by="ana")
    await client.create("b", {"secret": {"1": "x", "2": "y"}, "n": 18_446_744_073_709_551_615})
    await client.update("b", {"n": 1.0})
    await client.erase("b", "secret.*", by="cy", description="asked for it")
    await client.create("c", {"text": "gone"})
    await client.erase("c")


# --- out -------------------------------------------------------------------------------------------------------------


async def test_an_export(source: Client) -> None:
    await source.create("n", {"a": 1}, by="ana", description="first", tags={"x", "y"}, request_id="r")
    await source.update("n", {"a": Increment(2)})
    header, first, second = await lines_of(source)
    assert header == HEADER
    assert first | {"at": 0} == {
        "document": "n",
        "branch": "main",
        "version": 1,
        "kind": "create",
        "at": 0,
        "delta": [[0, [], {"a": 1}]],
        "by": "ana",
        "description": "first",
        "tags": ["x", "y"],
        "request": "r",
    }
    assert (second["kind"], second["delta"], second["by"], second["tags"]) == ("update", [[3, ["a"], 2]], None, [])
    assert second["at"] >= first["at"] > 0


async def test_the_order_of_an_export(source: Client) -> None:
    await fill(source)
    lines = await lines_of(source)
    places = [(line["document"], line["branch"], line["version"]) for line in lines[1:]]
    assert places == sorted(places)
    assert [version for document, branch, version in places if (document, branch) == ("a/1", "main")] == [3, 8, 9]
    assert [line["version"] for line in lines[1:] if "value" in line] == [3, 8]
    assert ("a/1", "$versions", 1) in places
    assert {document for document, _, _ in places} == {"a/1", "a/2", "b", "c"}
    assert "gone" not in json.dumps(lines)


async def test_an_export_of_some(source: Client) -> None:
    for number in range(20):
        await source.create(f"n/{number}", number)
    await source.create("m", 1)
    lines = await lines_of(source, "n/*")
    assert lines[0]["documents"] == "n/*"
    assert [line["document"] for line in lines[1:]] == sorted(f"n/{number}" for number in range(20))
    assert await lines_of(source, "x/*") == [HEADER | {"documents": "x/*"}]


async def test_an_export_goes_on_behind_any_place() -> None:
    async with Server.memory() as server, server.connect(page_items=2) as source:
        await fill(source)
        _, *lines = await lines_of(source)
        for index, line in enumerate(lines):
            place = (line["document"], line["branch"], line["version"])
            assert await lines_of(source, after=place) == lines[index + 1 :]


async def test_what_is_pruned_while_it_is_exported_is_left_out(scripted: Any, reach: Any) -> None:
    entries = tuple(m.Entry(version, 1, version, Raw(b"\x91\x93\x00\x91\xa1a\x05")) for version in (4, 7, 8))

    def read(message: m.Get) -> m.Document:
        if message.version == 4:
            raise VersionPruned("gone", document="n", branch="main", version=4, newest=8, oldest=7)
        return m.Document(message.id, "n", "main", 7, 1, 7, Raw(b"\x81\xa1a\x05"))

    def history(message: m.History) -> m.Versions:
        if message.branch != "main":
            raise DocumentNotFound("none", document="n", branch=message.branch, version=None)
        return m.Versions(message.id, entries, False, 8)

    scripted.replies = {
        m.List: lambda message: m.Names(message.id, ("n",), False),
        m.ListBranches: lambda message: m.Branches(message.id, ()),
        m.History: history,
        m.Get: read,
    }
    async with reach() as client:
        _, *lines = await lines_of(client)
    assert [(line["version"], line.get("value")) for line in lines] == [(7, {"a": 5}), (8, None)]


# --- one branch alone ------------------------------------------------------------------------------------------------


async def branched(client: Client) -> None:
    """On `draft`: n/1, which goes on on its own, takes `main` in and is rebased; n/2, which it deletes; and n/3, which it does not have."""
    for document in ("n/1", "n/2"):
        await client.create(document, {"a": 1, "b": 1, "c": 1}, by="ana", request_id=f"new {document}")
        await client.update(document, {"a": Increment()})
        await client.branch(document, "draft")
    await client.create("n/3", 5)
    await client.update("n/1", {"b": Increment()}, branch="draft", by="bo")
    await client.update("n/1", {"a": Increment()})
    await client.merge("n/1", "main", into="draft")
    await client.update("n/1", {"b": Increment()}, branch="draft")
    await client.tag("n/1", 3, {"released"}, branch="draft")
    await client.update("n/1", {"c": Increment()})
    await client.rebase("n/1", "draft")
    await client.update("n/1", {"b": Increment()}, branch="draft")
    await client.delete("n/2", branch="draft")


async def values(client: Client, document: str, branch: str) -> dict[int, tuple[Any, str | None, frozenset[str]]]:
    """Of the history of a document branch: by version, its value, None where it is deleted, its author and its tags."""
    found = {}
    async for version in client.history(document, branch=branch):
        try:
            value = (await client.get(document, branch=version.branch, version=version.version)).value
        except DocumentNotFound:
            value = None
        found[version.version] = (value, version.by, version.tags)
    return found


async def test_the_history_of_a_branch_can_be_imported_without_the_rest(source: Client, target: Client) -> None:
    await branched(source)
    header, *lines = await lines_of(source, branch="draft")
    assert header == HEADER | {"branch": "draft"}
    assert {(line["document"], line["branch"]) for line in lines} == {("n/1", "main"), ("n/2", "main")}
    assert not any("parents" in line for line in lines)
    await target.import_history([header, *lines])
    for document in ("n/1", "n/2"):
        there = await values(source, document, "draft")
        assert len(there) > 2
        assert await values(target, document, "main") == there
    assert (await target.get("n/1")).value == (await source.get("n/1", branch="draft")).value


async def test_main_alone(source: Client, target: Client) -> None:
    await branched(source)
    lines = await lines_of(source, branch="main")
    assert {(line["document"], line["branch"]) for line in lines[1:]} == {
        (f"n/{number}", "main") for number in (1, 2, 3)
    }
    await target.import_history(lines)
    for number in (1, 2, 3):
        assert await values(target, f"n/{number}", "main") == await values(source, f"n/{number}", "main")


async def test_what_a_branch_starts_from_may_be_pruned(source: Client, target: Client) -> None:
    await source.create("n", {"a": 0})
    for _ in range(4):
        await source.update("n", {"a": Increment()})
    await source.branch("n", "draft", at=3)
    await source.update("n", {"b": 1}, branch="draft")
    await source.prune("n", versions=1, dry_run=False)
    lines = await lines_of(source, branch="draft")
    await target.import_history(lines)
    assert (await target.get("n")).value == {"a": 2, "b": 1}
    kept = await values(source, "n", "draft")
    assert await values(target, "n", "main") == kept


@pytest.mark.parametrize("view", [{}, {"perspective": "p"}], ids=["as it is", "through a perspective"])
async def test_values_of_a_branch_that_was_rebased(source: Client, target: Client, view: dict[str, str]) -> None:
    """Version 3 of `draft` was another one before: the line that has to say its whole value says that of now."""
    await source.perspectives.put(pal.Perspective(name="p", documents="n", include=["a", "b"]))
    await source.create("n", {"a": 1, "b": 1, "hidden": 0})
    await source.update("n", {"hidden": 1})
    await source.branch("n", "draft")
    await source.update("n", {"b": 7}, branch="draft")
    await source.update("n", {"a": 2})
    await source.update("n", {"a": 3})
    await source.rebase("n", "draft")
    await source.prune("n", versions=2, dry_run=False)
    lines = await lines_of(source, "n", branch="draft", **view)
    (third,) = [line for line in lines if line.get("version") == 3]
    assert third["value"] == {"a": 2, "b": 1} | ({} if view else {"hidden": 1})
    await target.import_history(lines)
    assert (await target.get("n")).value == {"a": 3, "b": 7} | ({} if view else {"hidden": 1})
    assert (await target.get("n", version=4)).value["b"] == 1


async def test_a_branch_of_many_documents_has_those_that_were_never_written_on_it(source: Client) -> None:
    await source.create("n/1", 1)
    await source.create("n/2", 2)
    await source.branch("n/*", "try")
    await source.update("n/2", {"": 3}, branch="try")
    lines = await lines_of(source, branch="try")
    assert [(line["document"], line["version"]) for line in lines[1:]] == [("n/1", 1), ("n/2", 1), ("n/2", 2)]


async def test_an_export_of_a_branch_goes_on_behind_any_place() -> None:
    async with Server.memory() as server, server.connect(page_items=2) as source:
        await branched(source)
        _, *lines = await lines_of(source, branch="draft")
        for index, line in enumerate(lines):
            place = (line["document"], line["branch"], line["version"])
            assert await lines_of(source, branch="draft", after=place) == lines[index + 1 :]


async def test_a_branch_that_no_document_has_leaves_the_header(source: Client) -> None:
    await branched(source)
    assert await lines_of(source, branch="other") == [HEADER | {"branch": "other"}]


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"branch": ""}, "no branch that can be exported"),
        ({"branch": "$versions"}, "no branch that can be exported"),
        ({"branch": 5}, "branch is a str"),
        ({"branch": "draft", "after": ("n", "draft", 3)}, "are all called 'main'"),
    ],
)
async def test_branches_that_cannot_be_exported(source: Client, named: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        source.export(**named)


# --- in --------------------------------------------------------------------------------------------------------------


async def test_there_and_back(source: Client, target: Client) -> None:
    await fill(source)
    lines = await lines_of(source)
    told: list[tuple[int, int]] = []
    report = await target.import_history(
        map(json.dumps, lines), on_progress=lambda done, total: told.append((done, total))
    )
    assert report == ImportReport(len(lines), 4, len(lines) - 1, 0)
    assert told[-1] == (len(lines), 0)
    assert await lines_of(target) == imported_lines(lines)
    assert (await target.get("a/1")).value == (await source.get("a/1")).value
    assert (await target.get("a/1", tag="released")).value == {"l": [1, 2], "n": 2}
    with pytest.raises(VersionPruned):
        await target.get("a/1", version=5)
    await target.update("a/1", {"n": 0}, expect=9)


async def test_it_is_safe_to_import_again(source: Client, target: Client) -> None:
    await fill(source)
    lines = await lines_of(source)
    await target.import_history(lines[:7])
    again = await target.import_history(lines)
    assert (again.versions, again.present) == (len(lines) - 7, 6)
    assert await target.import_history(lines) == ImportReport(len(lines), 4, 0, len(lines) - 1)
    assert await lines_of(target) == imported_lines(lines)


async def test_lines_as_they_come(source: Client, target: Client) -> None:
    await fill(source)
    assert (await target.import_history(source.export())).present == 0
    assert await lines_of(target) == imported_lines(await lines_of(source))


async def test_exports_of_the_same_one_after_the_other(target: Client) -> None:
    export = [HEADER, line(1, 1), line(2, 2), line(1, 1, "m")]
    assert await target.import_history(export * 3) == ImportReport(12, 6, 3, 6)


async def test_blank_lines_and_headers_in_between(target: Client) -> None:
    text = "\n".join(map(json.dumps, [HEADER, line(1, 1), HEADER, line(2, 2), line(1, 1, "m")])) + "\n\n"
    assert await target.import_history(text.split("\n")) == ImportReport(7, 2, 3, 0)
    assert [name async for name in target.list()] == ["m", "n"]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ('{"document": "n", "bra', InvalidRequest),
        (line(3, 3) | {"kind": "rename"}, InvalidRequest),
        (line(3, 3) | {"delta": [[99]]}, InvalidDelta),
        (line(2, 3), InvalidRequest),
        (line(4, 4), InvalidRequest),
        (line(3, 3) | {"delta": [[3, ["b", "c"], 1], [5, ["a"], 1]]}, UsageError),
        (line(3, 3) | {"at": 1}, InvalidRequest),
        (line(3, 3) | {"tags": [""]}, InvalidRequest),
        (line(1, 3, "//"), UsageError),
        (line(1, 3, "m") | {"branch": "draft"}, UsageError),
    ],
)
async def test_a_bad_line_is_named(target: Client, bad: Any, error: type[UsageError]) -> None:
    lines = [HEADER, line(1, 1), line(2, 2), bad, line(1, 4, "z")]
    with pytest.raises(error, match=r"^line 4: ") as caught:
        await target.import_history(lines)
    assert caught.value.line == 4
    assert (await target.get("n")).value == {"a": 2}
    assert (await target.get("n")).version == 2


async def test_nothing_behind_a_bad_line_is_imported(target: Client) -> None:
    whole = {"kind": "create", "delta": [[0, [], {"a": 5}]]}
    export = [
        HEADER,
        line(1, 1),
        line(2, 2, delta=[[4, ["a"], 0, 1]]),
        line(3, 3, kind="delete", delta=[]),
        line(4, 4) | whole,
    ]
    with pytest.raises(UsageError) as caught:
        await target.import_history(export)
    assert caught.value.line == 3
    assert (await target.get("n")).version == 1
    export[2] = line(2, 2)
    assert (await target.import_history(export)).versions == 3


async def test_another_version_of_the_same_number(target: Client) -> None:
    await target.import_history([HEADER, line(1, 1), line(2, 2)])
    with pytest.raises(Conflict) as caught:
        await target.import_history([HEADER, line(1, 1, "m"), line(2, 2, at=5), line(3, 3, at=6)])
    assert caught.value.line in (3, 4)


@pytest.mark.parametrize("lines", [[], [line(1, 1)], ["", json.dumps(line(1, 1))]])
async def test_what_is_no_export(target: Client, lines: Any) -> None:
    with pytest.raises(InvalidRequest):
        await target.import_history(lines)


async def test_a_line_that_no_frame_holds() -> None:
    async with Server.memory(limits=Limits(frame_bytes_max=2_000)) as server, server.connect() as client:
        with pytest.raises(LimitExceeded) as caught:
            await client.import_history([HEADER, line(1, 1), line(2, 2) | {"description": "x" * 3_000}])
        assert (caught.value.line, caught.value.limit) == (3, "frame_bytes_max")
        assert (await client.get("n")).version == 1


# --- branches --------------------------------------------------------------------------------------------------------


async def branch_out(client: Client, *, prune: bool = True) -> str:
    """Branches of branches, merged in both directions, tagged, deleted beneath others, and rebased; `main` is pruned. The id of a
    pending merge."""
    await client.create("n", {"a": 1, "b": {"x": 1, "y": 2}, "t": "x"}, by="ana")
    for number in range(3):
        await client.update("n", {"a": number})
    await client.branch("n", "draft", by="bo", description="a try")
    await client.update("n", {"b.x": 5}, branch="draft", by="bo")
    await client.update("n", {"b.y": 7}, by="ana")
    await client.merge("n", source="draft")
    await client.merge("n", source="main", into="draft")
    await client.branch("n", "draft/part", at="draft")
    await client.update("n", {"s": 1}, branch="draft/part", tags={"made-with"})
    await client.update("n", {"s": 2}, branch="draft/part")
    await client.tag("n", 7, {"given"}, branch="draft/part")
    await client.merge("n", source="draft/part", into="draft")
    await client.branch("n", "empty", at="draft/part")
    await client.update("n", {"t": "theirs"}, branch="draft")
    await client.update("n", {"t": "ours"})
    pending = await client.merge("n", source="draft", by="me")
    assert pending.merge_id is not None
    for number in range(4):
        await client.update("n", {"a": 10 + number})
    if prune:
        await client.prune("n", versions=2, dry_run=False)
    await client.branch("n", "gone", at="draft")
    for number in range(3):
        await client.update("n", {"g": number}, branch="gone")
    await client.branch("n", "stays", at="gone:10")
    await client.update("n", {"g": "stays"}, branch="stays")
    await client.delete_branch("n", "gone")
    await client.branch("n", "topic", at="draft")
    await client.update("n", {"p": 1}, branch="topic", by="cy")
    await client.branch("n", "on-topic", at="topic")
    await client.update("n", {"p": 2}, branch="on-topic")
    await client.rebase("n", "topic", onto="main")
    await client.update("n", {"p": 3}, branch="topic")
    return pending.merge_id


async def all_of(client: Client, document: str = "n") -> dict[str, Any]:
    """What can be read of the document's branches: how they were made, their histories, and every value."""
    found: dict[str, Any] = {}
    for branch in await client.branches(document):
        versions = [version async for version in client.history(document, branch=branch.name)]
        values = [await value_of(client, document, version.branch, version.version) for version in versions]
        shown = [msgspec.structs.replace(version, encoded_delta=None) for version in versions]
        found[branch.name] = (branch, shown, values)
    return found


async def blames(client: Client, document: str = "n") -> list[Any]:
    """Which version set what, as of each branch."""
    blames = [await client.blame(document, branch=branch.name) for branch in await client.branches(document)]
    return [{path: (by.branch, by.version) for path, by in blame.items()} for blame in blames]


async def value_of(client: Client, document: str, branch: str, version: int) -> Any:
    """None where it did not exist then."""
    try:
        return (await client.get(document, branch=branch, version=version)).value
    except DocumentNotFound:
        return None


async def previews(client: Client, document: str = "n") -> list[Any]:
    """What merging each branch into each other one would come to, and from which base."""
    names = [branch.name for branch in await client.branches(document)]
    found: list[Any] = []
    for source in names:
        for into in names:
            if source != into:
                merged = await client.merge(document, source=source, into=into, dry_run=True)
                found.append((source, into, merged.base, merged.base_reason, merged.delta, repr(merged.conflicts)))
    return found


@pytest.mark.parametrize("prune", [False, True])
async def test_branches_there_and_back(source: Client, target: Client, prune: bool) -> None:
    merge_id = await branch_out(source, prune=prune)
    lines = [*await lines_of(source), *await lines_of(source, "$system/**")]
    report = await target.import_history(map(json.dumps, lines))
    assert (report.versions, report.present) == (len(lines) - 2, 0)
    assert await all_of(target) == await all_of(source)
    assert await previews(target) == await previews(source)
    assert prune or await blames(target) == await blames(source)
    assert (await target.get("n", branch="draft/part", tag="given")).version == 7
    assert await lines_of(target) == imported_lines(await lines_of(source))
    again = await target.import_history(lines)
    assert (again.versions, again.present) == (0, len(lines) - 2)
    resolved = [await client.resolve(merge_id, {"t": pal.THEIRS}) for client in (source, target)]
    assert resolved[0].version == resolved[1].version is not None
    assert (await target.get("n")).value == (await source.get("n")).value


async def test_the_order_of_branches(source: Client) -> None:
    await branch_out(source)
    _, *lines = await lines_of(source)
    streams = list(dict.fromkeys(line["branch"] for line in lines))
    assert streams == ["$versions", "main", "draft", "draft/part", "gone", "topic", "on-topic", "stays"]
    own = [line["version"] for line in lines if line["branch"] == "gone"]
    assert own == [9, 10]
    assert [line["version"] for line in lines if line["branch"] == "topic"] == [9, 12, 13]
    parents = {(line["branch"], line["version"]): line["parents"] for line in lines if "parents" in line}
    assert parents["draft", 5] == {"base": ["main", 4], "merged": []}
    assert parents["draft", 6] == {"base": None, "merged": [["main", 6]]}
    assert parents["stays", 11] == {"base": ["gone", 10], "merged": []}
    assert ("main", 7) not in parents


async def test_an_export_goes_on_behind_any_place_of_any_branch() -> None:
    async with Server.memory() as server, server.connect(page_items=3) as source:
        await branch_out(source)
        await source.create("z", 1)
        _, *lines = await lines_of(source)
        for index, line in enumerate(lines):
            place = (line["document"], line["branch"], line["version"])
            assert await lines_of(source, after=place) == lines[index + 1 :]
        await source.delete_branch("n", "draft/part")
        rest = await lines_of(source, after=("n", "draft/part", 8))
        assert rest == [line for line in lines if (line["document"], line["branch"]) != ("n", "main")][-len(rest) :]
        assert rest[-1]["document"] == "z"


async def test_a_place_on_a_branch_that_never_was(source: Client) -> None:
    await branch_out(source)
    with pytest.raises(InvalidRequest, match="never had"):
        await lines_of(source, after=("n", "darft", 1))
    await source.erase("n")
    await source.create("z", 1)
    assert [line["document"] for line in await lines_of(source, after=("n", "draft", 1))] == ["z"]


async def test_documents_that_are_on_branches_only(source: Client, target: Client) -> None:
    await source.create("c/1", {})
    await source.branch("c/**", "trial")
    for name in ("c/0", "c/2", "c/9"):
        await source.create(name, {"of": name}, branch="trial")
    _, *lines = lines_there = await lines_of(source, "c/*")
    assert list(dict.fromkeys(line["document"] for line in lines)) == ["c/0", "c/1", "c/2", "c/9"]
    assert [line["document"] for line in (await lines_of(source, "c/2"))[1:]] == ["c/2", "c/2"]
    assert await lines_of(source, "c/*", after=("c/1", "main", 1)) == lines[3:]
    assert (await target.import_history(lines_there)).documents == 4
    assert (await target.get("c/2", branch="trial")).value == {"of": "c/2"}
    assert await lines_of(target, "c/*") == lines_there


async def test_exports_one_after_the_other_bring_what_is_new(source: Client, target: Client) -> None:
    await source.create("n", {"a": 0})
    await source.branch("n", "draft")
    for number in range(3):
        await source.update("n", {"a": number}, branch="draft")
    await target.import_history(await lines_of(source))
    await source.update("n", {"a": 9}, branch="draft")
    await source.branch("n", "more", at="draft")
    await source.update("n", {"m": 1}, branch="more")
    await source.update("n", {"b": 1})
    await source.rebase("n", "draft", onto="main", rules={"**": "theirs"})
    report = await target.import_history(await lines_of(source))
    assert report.present > 0
    assert await all_of(target) == await all_of(source)
    await source.delete_branch("n", "draft")
    await target.import_history(await lines_of(source))
    assert await all_of(target) == await all_of(source)
    assert (await target.import_history(await lines_of(source))).versions == 0


async def test_a_deleted_branch_whose_own_base_is_not_kept(source: Client, target: Client) -> None:
    await source.create("n", {"a": 0})
    await source.update("n", {"a": 1})
    await source.branch("n", "gone")
    await source.update("n", {"b": 1}, branch="gone")
    await source.branch("n", "stays", at="gone")
    await source.delete_branch("n", "gone")
    for number in range(3):
        await source.update("n", {"a": number})
    await source.prune("n", versions=1, dry_run=False)
    lines = await lines_of(source)
    (first,) = [line for line in lines if line.get("branch") == "gone"]
    assert (first["value"], "parents" in first) == ({"a": 1, "b": 1}, False)
    await target.import_history(lines)
    assert (await target.get("n", branch="stays")).value == {"a": 1, "b": 1}
    await target.update("n", {"c": 1}, branch="stays")
    assert (await target.get("n", branch="stays")).value == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"parents": {"base": ["main", 1]}}, Conflict),
        ({"version": 4, "parents": {"base": ["main", 3]}}, Conflict),
        ({"parents": {}, "version": 5}, InvalidRequest),
        ({"branch": "other"}, BranchNotFound),
        ({"branch": "gone", "parents": {"base": ["main", 1]}}, Conflict),
        ({"branch": "gone", "version": 9, "parents": {}}, Conflict),
        ({"branch": "main", "version": 3}, Conflict),
        ({"branch": "$versions", "version": 9}, Conflict),
    ],
)
async def test_a_version_that_does_not_fit_the_branch(target: Client, change: Any, error: type[Exception]) -> None:
    await target.create("n", {"a": 1})
    await target.update("n", {"a": 2})
    for name in ("draft", "gone"):
        await target.branch("n", name)
    await target.delete_branch("n", "gone")
    wrong = line(3, 3, branch="draft", at=2**60, parents={"base": ["main", 2]}) | change
    with pytest.raises(error, match=r"^line 2: "):
        await target.import_history([HEADER, wrong])
    assert (await target.get("n", branch="draft")).version == 2


async def test_another_branch_of_the_same_name(source: Client, target: Client) -> None:
    for client, value in ((source, 1), (target, 2)):
        await client.create("m", {"a": value})
    await target.import_history([HEADER, line(1, 1)])
    await source.import_history([HEADER, line(1, 1), line(2, 2)])
    for client in (source, target):
        await client.branch("n", "draft")
        await client.update("n", {"mine": 1}, branch="draft")
    with pytest.raises(Conflict):
        await target.import_history(await lines_of(source, "n"))
    assert (await target.get("n", branch="draft")).value == {"a": 1, "mine": 1}


async def test_a_branch_made_while_its_document_is_exported_is_left_to_the_next_export() -> None:
    async with Server.memory() as server, server.connect(page_items=1) as source:
        await source.create("n", {"a": 1})
        await source.branch("n", "draft")
        await source.update("n", {"a": 2}, branch="draft")
        lines: list[dict[str, Any]] = []
        async for line in source.export("n"):
            lines.append(line)
            if line.get("branch") == "main":
                await source.branch("n", "late")
                await source.update("n", {"a": 3}, branch="late")
    assert [line["branch"] for line in lines[1:]] == ["$versions", "main", "draft"]


# --- messages --------------------------------------------------------------------------------------------------------


def imported(message: m.Import) -> m.Imported:
    return m.Imported(message.id, message.entries[-1].version, len(message.entries))


async def test_messages_are_bounded_and_those_of_one_document_come_one_by_one(scripted: Any, reach: Any) -> None:
    scripted.replies[m.Import] = imported
    scripted.limits = {"page_items_max": 10, "frame_bytes_max": 100_000}
    lines = [HEADER, *[line(version, 0) for version in range(1, 26)], line(1, 1, "m"), line(1, 1, "o")]
    lines += [line(version, 0, "p") | {"delta": [[0, ["a"], "x" * 20_000]]} for version in range(1, 6)]
    done: list[int] = []
    async with reach() as client:
        report = await client.import_history(lines, on_progress=lambda lines, total: done.append(lines))
    messages = [message for message in scripted.received if isinstance(message, m.Import)]
    sent = [(message.document, [entry.version for entry in message.entries]) for message in messages]
    assert sent == [
        ("n", list(range(1, 11))),
        ("n", list(range(11, 21))),
        ("n", list(range(21, 26))),
        ("m", [1]),
        ("o", [1]),
        ("p", [1, 2]),
        ("p", [3, 4]),
        ("p", [5]),
    ]
    assert done == [11, 21, 30, 32, 33]
    assert report == ImportReport(33, 4, 32, 0)


async def test_a_server_with_too_much_to_do_is_asked_again(scripted: Any, reach: Any) -> None:
    refusals = iter([True, True, False])

    def reply(message: m.Import) -> m.Imported:
        if next(refusals):
            raise Overloaded("the archiver is behind", limit="tail_bytes_max", maximum=1)
        return imported(message)

    scripted.replies[m.Import] = reply
    async with reach() as client:
        assert (await client.import_history([HEADER, line(1, 1)])).versions == 1


async def test_a_server_that_always_has_too_much_to_do(scripted: Any, reach: Any) -> None:
    def reply(message: m.Import) -> m.Imported:
        raise Overloaded("the archiver is behind", limit="tail_bytes_max", maximum=1)

    scripted.replies[m.Import] = reply
    async with reach(timeout_seconds=0.05) as client:
        with pytest.raises(Overloaded):
            await client.import_history([HEADER, line(1, 1)])


async def test_what_is_not_the_lines_fault_names_none(scripted: Any, reach: Any) -> None:
    def reply(message: m.Import) -> m.Imported:
        raise StorageError("the disk is full")

    scripted.replies[m.Import] = reply
    async with reach() as client:
        with pytest.raises(StorageError, match=r"^the disk is full$"):
            await client.import_history([HEADER, line(1, 1), line(2, 2)])
    assert sum(isinstance(message, m.Import) for message in scripted.received) == 1
