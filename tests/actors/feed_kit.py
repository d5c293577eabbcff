"""What tests of subscriptions ask of a peer, and of what it was told."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import msgspec
from msgspec import Raw

from palimpsest.errors import PalimpsestError, from_wire
from palimpsest.protocol import messages as m

LOTS = 1 << 20


def raw(value: object) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def plain(data: Raw) -> Any:
    return msgspec.msgpack.decode(data)


def changes(peer: Any, number: int) -> list[Any]:
    """What subscription `number` was sent, in order."""
    return [told for told in peer.told if isinstance(told, m.Change) and number in told.subscriptions]


def seen(peer: Any, number: int) -> list[tuple[str, int]]:
    return [(change.document, change.version) for change in changes(peer, number)]


def states(peer: Any, number: int) -> list[str]:
    return [told.state for told in peer.told if isinstance(told, m.Marker) and told.subscription == number]


async def ended(peer: Any, number: int) -> PalimpsestError | None:
    await until(lambda: any(isinstance(told, m.Ended) and told.subscription == number for told in peer.told))
    (message,) = [told for told in peer.told if isinstance(told, m.Ended) and told.subscription == number]
    return from_wire(message.code, message.message, message.data) if message.code else None


async def until(condition: Any) -> None:
    with anyio.fail_after(5):
        while not condition():
            await asyncio.sleep(0)


async def ticks(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def follow(peer: Any, number: int, pattern: str = "**", **options: Any) -> m.Subscribed:
    answer = await peer.ask(m.Subscribe, number, pattern, **options)
    assert isinstance(answer, m.Subscribed)
    return answer


async def count_up(house: Any, document: str, first: int, last: int) -> None:
    """Makes versions first..last of the document, each of which says its number."""
    peer = house.peer("writer")
    for version in range(first, last + 1):
        value = {"n": version}
        await (peer.create(document, value) if version == 1 else peer.set(document, ["n"], version))


def shown(peer: Any, number: int) -> list[tuple[str, int]]:
    """What a snapshot gave it."""
    return [(change.document, change.version) for change in changes(peer, number) if change.snapshot]


def followed(peer: Any, number: int) -> list[tuple[str, int]]:
    """What came as a change."""
    return [(change.document, change.version) for change in changes(peer, number) if not change.snapshot]


async def caught_up(peer: Any, number: int) -> None:
    await until(lambda: states(peer, number)[-1:] == ["live"])
