"""Short words for what tests of branches and merges ask of a peer, see `conftest`."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import Raw

from palimpsest.protocol import messages as m


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def plain(data: Raw) -> Any:
    return msgspec.msgpack.decode(data)


def sets(**values: object) -> Raw:
    """The delta that sets keys of the root."""
    return raw([[0, [key], value] for key, value in values.items()])


async def ticks(count: int = 100) -> None:
    """Everything that can happen without the disk has happened."""
    for _ in range(count):
        await asyncio.sleep(0)


async def value(peer: Any, document: str, branch: str = "main", version: int | None = None) -> Any:
    return plain((await peer.get(document, branch=branch, version=version)).value)


async def update(peer: Any, document: str, branch: str = "main", **values: object) -> Any:
    return await peer.ask(m.Update, document, sets(**values), branch=branch)


async def nodes(peer: Any, document: str, branch: str) -> list[tuple[str, int]]:
    """The history, the newest first, each version where it was made."""
    page = await peer.ask(m.History, document, branch=branch)
    return [(entry.branch or branch, entry.version) for entry in page.entries]


async def two_sides(peer: Any, ours: dict[str, Any], theirs: dict[str, Any], document: str = "d") -> None:
    """A document {"a": 0, "b": 0} whose branches `main` and `draft` have each changed, at version 2."""
    await peer.create(document, {"a": 0, "b": 0})
    await peer.ask(m.Branch, document, "draft")
    await update(peer, document, **ours)
    await update(peer, document, "draft", **theirs)


def open_paths(merged: Any) -> list[str]:
    """Where there are conflicts."""
    return [".".join(map(str, conflict.path)) for part in merged.parts for conflict in part.conflicts]


def takes(**choices: str) -> tuple[m.Resolution, ...]:
    return tuple(m.Resolution((key,), take) for key, take in choices.items())
