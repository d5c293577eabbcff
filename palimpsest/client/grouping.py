"""The changes of one transaction, together."""

from __future__ import annotations

from typing import Protocol, Self

from palimpsest.client.results import Change
from palimpsest.protocol import messages as m


class Source(Protocol):
    """A subscription, as it is read here."""

    async def take(self, until: int | None = None) -> tuple[m.Change, str] | None:
        """The next change and its epoch; None, with until, once nothing up to that position is to come. Raises StopAsyncIteration
        once it is over, or what ended it."""
        ...

    def passed(self) -> None:
        """What was taken has been handed out: the cursor may move beyond it."""
        ...


class Transactions:
    """Lists of the changes that were made together and that the subscription follows, in their order. What a snapshot shows comes
    one by one. A wait that is cancelled loses nothing."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._group: list[Change] = []
        self._position = self._last = 0
        """Of the newest change in `_group`, and at which its transaction ends."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Change]:
        while not (self._group and self._position >= self._last):
            taken = await self._source.take(self._last if self._group else None)
            if taken is None:
                break
            message, epoch = taken
            self._group.append(Change(message, epoch))
            self._position = message.position
            self._last = message.position + message.more
        group, self._group = self._group, []
        self._source.passed()
        return group
