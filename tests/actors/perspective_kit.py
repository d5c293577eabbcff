"""What tests of perspectives ask of a peer, see `conftest`."""

from __future__ import annotations

from typing import Any

import msgspec

from palimpsest.errors import DocumentExists
from palimpsest.protocol import messages as m
from palimpsest.state.definitions import PERSPECTIVES, Perspective
from palimpsest.state.perspectives import to_value


async def define(peer: Any, name: str = "p", **said: Any) -> None:
    """A perspective by which `shown` of documents below `d/` is shown, unless something else is said."""
    said = {"documents": "d/*", "include": ["shown"], **said}
    document = PERSPECTIVES + name
    value = to_value(Perspective(name=name, **said))
    try:
        await peer.create(document, value)
    except DocumentExists:
        await peer.set(document, [], value)


def send(peer: Any, kind: type, *arguments: Any, perspective: str = "p", level: int | None = None, **said: Any) -> int:
    """Hands a request over, through a perspective, and returns its id."""
    peer._next += 1
    message = m.Through(perspective, level, kind(peer._next, *arguments, **said))
    peer.house.partition.routes[m.Through](message, peer, peer.house.now)
    return int(peer._next)


async def ask(peer: Any, kind: type, *arguments: Any, **said: Any) -> Any:
    """The answer, an error raised."""
    return await peer.answer(send(peer, kind, *arguments, **said))


def told(peer: Any, id: int) -> bytes:
    """All that was answered to request `id`, as it goes over the wire."""
    return b"".join(map(msgspec.msgpack.encode, peer.answers(id)))


def sets(**values: object) -> msgspec.Raw:
    """The delta that sets keys of the root."""
    return msgspec.Raw(msgspec.msgpack.encode([[0, [key], value] for key, value in values.items()]))


async def update(peer: Any, document: str, branch: str = "main", said: m.Meta | None = None, **values: object) -> Any:
    return await peer.ask(m.Update, document, sets(**values), branch=branch, meta=said)
