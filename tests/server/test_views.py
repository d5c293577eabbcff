"""Perspectives on a running server, against a dumb projection of the whole value: what is read, what is followed, what went over the wire."""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import palimpsest as pal
from palimpsest.errors import InvalidPerspective, NotWritable
from palimpsest.state.lens import make_lens
from palimpsest.state.masks import masking
from palimpsest.state.paths import parse_path
from palimpsest.state.perspectives import check_perspectives, parse_perspective, to_value
from palimpsest.state.values import freeze, thaw

sys.path.append(str(Path(__file__).parent.parent / "state"))
from perspective_strategies import GONE, Naive, perspectives, scalars

DOCUMENT = "notes/1"


class Tap:
    """A relay in front of a server that keeps what the server says."""

    def __init__(self, port: int) -> None:
        self.heard = bytearray()
        self._port = port

    @asynccontextmanager
    async def open(self) -> Any:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"palimpsest://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", self._port)

        async def pass_on() -> None:
            while data := await reader.read(65536):
                outer.write(data)
            outer.close()

        up = asyncio.create_task(pass_on())
        with suppress(ConnectionError):
            while data := await inner.read(65536):
                self.heard += data
                writer.write(data)
        up.cancel()
        writer.close()


class Story:
    """A document whose scalars are all different texts, and what has become of it, version by version. None: it did not exist."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.numbers = itertools.count()
        self.values: list[Any] = []

    def text(self) -> str:
        return f"text-{next(self.numbers):05}-"

    def some(self, depth: int = 0) -> Any:
        kind = self.chance.random()
        if depth == 3 or kind < 0.3:
            return self.text()
        if kind < 0.75:
            return {key: self.some(depth + 1) for key in self.chance.sample("abc", self.chance.randint(0, 3))}
        return [self.some(depth + 1) for _ in range(self.chance.randint(0, 2))]

    def map(self) -> Any:
        return {key: self.some(1) for key in self.chance.sample("abc", self.chance.randint(1, 3))}

    async def go_on(self, client: pal.Client) -> None:
        value = self.values[-1] if self.values else None
        kind = self.chance.random()
        if value is None:
            new = self.map()
            await client.create(DOCUMENT, new)
        elif kind < 0.06:
            new = None
            await client.delete(DOCUMENT)
        elif kind < 0.12:
            new = self.map()
            await client.update(DOCUMENT, {"": new})
        else:
            new = copy.deepcopy(value)
            delta = pal.Delta()
            for _ in range(self.chance.randint(1, 2)):
                delta = self.change(new, delta)
            await client.update(DOCUMENT, delta)
        self.values.append(new)

    def change(self, value: Any, delta: pal.Delta) -> pal.Delta:
        """One op more, somewhere in a plain value, which is changed."""
        path: tuple[Any, ...] = ()
        while True:
            steps = list(value) if isinstance(value, dict) else list(range(len(value)))
            deeper = [step for step in steps if isinstance(value[step], dict | list)]
            if not deeper or self.chance.random() < 0.4:
                break
            step = self.chance.choice(deeper)
            value, path = value[step], (*path, step)
        if isinstance(value, list):
            index = self.chance.randint(0, len(value))
            value.insert(index, new := self.some(2))
            return delta.insert(path, index, copy.deepcopy(new))
        key = self.chance.choice("abc")
        if key in value and self.chance.random() < 0.3:
            del value[key]
            return delta.delete((*path, key))
        value[key] = new = self.some(2)
        return delta.set((*path, key), copy.deepcopy(new))


def naive_of(perspective: pal.Perspective) -> Naive:
    """Those that make no sense are of no use here."""
    try:
        parsed = parse_perspective("p", to_value(perspective))
        check_perspectives({"p": parsed})
        make_lens({"p": parsed}, "p")
    except InvalidPerspective:
        assume(False)
    return Naive([perspective], lambda mask, value: thaw(masking(mask)(freeze(value))))


def seen(naive: Naive, value: Any) -> Any:
    if value is None:
        return GONE
    view = naive.view(copy.deepcopy(value))
    return None if view is GONE else view


def folded(before: Any, change: Any) -> Any:
    if change.kind == pal.Kind.DELETE:
        return GONE
    if getattr(change, "snapshot", False):
        return change.value
    return thaw(change.delta.apply(None if before is GONE else freeze(before)))


async def follow(changes: Any, into: list[tuple[int, Any]], last: int) -> None:
    """What is there after each version that came."""
    value: Any = GONE
    async for change in changes:
        if change.document == "notes/end":
            return
        value = folded(value, change)
        into.append((change.version, value))


def check_fold(naive: Naive, values: list[Any], into: list[tuple[int, Any]], first: int) -> None:
    """values: by version. What did not come has changed nothing that is seen."""
    came = dict(into)
    assert len(came) == len(into)
    shown: Any = GONE
    for version, value in enumerate(values, 1):
        if version in came:
            shown = came[version]
        if version >= first:
            assert shown == seen(naive, value), version


async def run(perspective: pal.Perspective, naive: Naive, seed: int) -> None:
    story = Story(random.Random(seed))
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(pal.Server.memory(snapshot_versions=4))
        writer = await stack.enter_async_context(server.connect())
        await writer.perspectives.put(replace(perspective, name="p", documents="notes/*"))
        tap = Tap(int(server.url.rsplit(":", 1)[1]))
        url = await stack.enter_async_context(tap.open())
        reader = await stack.enter_async_context(pal.connect(url))
        for _ in range(story.chance.randint(1, 3)):
            await story.go_on(writer)
        first = len(story.values)
        live: list[tuple[int, Any]] = []
        late: list[tuple[int, Any]] = []
        changes = await stack.enter_async_context(
            reader.subscribe("notes/*", perspective="p", start="snapshot", values=True)
        )
        task = asyncio.create_task(follow(changes, live, 0))
        for _ in range(12):
            await story.go_on(writer)
            await try_to_write(reader, story)
        await writer.create("notes/end", {})
        await task
        again = await stack.enter_async_context(reader.subscribe("notes/*", perspective="p", start="beginning"))
        await follow(again, late, 0)
        check_fold(naive, story.values, late, 1)
        check_fold(naive, story.values, live, first)
        await check_reads(reader, naive, story.values)
        assert server.partition.registry.crashes == 0
    check_wire(naive, story, bytes(tap.heard))


async def try_to_write(reader: pal.Client, story: Story) -> None:
    """Through a perspective that lets nothing be written; with what would tell whether something is there."""
    value = story.values[-1]
    guess = {"x": 1} if value is None else value
    path, text = next(iter(scalars(guess)), (("a",), "b"))
    for delta in (pal.Delta().test(path, text), pal.Delta().replace(path, text), pal.Delta().set("a.b", 1)):
        with pytest.raises((NotWritable, pal.errors.DocumentNotFound, pal.errors.TestFailed)):
            await reader.update(DOCUMENT, delta.set("c", 1), perspective="p")


async def check_reads(reader: pal.Client, naive: Naive, values: list[Any]) -> None:
    for version, value in enumerate(values, 1):
        for _ in range(2):  # the second from what is kept
            assert await got(reader, version) == seen(naive, value)
    assert await got(reader, None) == seen(naive, values[-1])
    shown: Any = GONE
    into: list[tuple[int, Any]] = []
    async for entry in reader.history(DOCUMENT, newest_first=False, perspective="p"):
        shown = folded(shown, entry)
        into.append((entry.version, shown))
    check_fold(naive, values, into, 1)
    there = [version for version, value in enumerate(values, 1) if value is not None]
    a, b = there[0], there[-1]
    delta = await reader.diff(DOCUMENT, a, b, perspective="p")
    assert thaw(delta.apply(freeze(seen(naive, values[a - 1])))) == seen(naive, values[b - 1])
    with suppress(pal.errors.DocumentNotFound):
        blame = await reader.blame(DOCUMENT, perspective="p")
        shown_at_all = seen(naive, values[-1])
        for path in blame:
            value = shown_at_all
            for step in parse_path(path):
                value = value[step]


async def got(reader: pal.Client, version: int | None) -> Any:
    try:
        return (await reader.get(DOCUMENT, version=version, perspective="p")).value
    except pal.errors.DocumentNotFound:
        return GONE


def check_wire(naive: Naive, story: Story, heard: bytes) -> None:
    """No text that no view has, in whatever was sent: answers, changes, errors."""
    shown = "".join(repr(seen(naive, value)) for value in story.values)
    for number in range(next(story.numbers)):
        text = f"text-{number:05}-"
        if text not in shown:
            assert text.encode() not in heard


@settings(max_examples=12)
@given(perspectives(), st.integers(0, 2**32))
def test_what_is_seen_is_the_view_of_what_is_there(perspective: pal.Perspective, seed: int) -> None:
    naive = naive_of(perspective)
    anyio.run(run, perspective, naive, seed)
