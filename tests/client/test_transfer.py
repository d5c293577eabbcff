"""History out of one server and into another: both real, and one that is scripted where trouble is wanted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Raw

from palimpsest.client import Client, ImportReport
from palimpsest.embedded import Server
from palimpsest.errors import (
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
