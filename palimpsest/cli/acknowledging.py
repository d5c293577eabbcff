"""Telling the server which changes of a named subscription are printed, so that it hands them to nobody else.

A change is acknowledged at once where nothing more waits to be printed. Where much waits, several are acknowledged together: each
time costs an exchange with the server, which writes it down.
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self

import anyio

from palimpsest.client import Change, Subscription
from palimpsest.errors import LinkError, RequestTimeout

_TOGETHER_CHANGES = 8
"""At most, and fewer than a worker is handed at a time: so the next ones come while these are acknowledged."""

_LAST_SECONDS = 5.0
"""How long the end may wait for the last ones. Those that are not acknowledged then are delivered again."""


class Acknowledging:
    """A context manager inside of the subscription's own: at its end, what was printed is acknowledged, whatever ended it."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._printed: list[Change] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.move_on_after(_LAST_SECONDS, shield=True), suppress(LinkError):
            await self._acknowledge()

    async def printed(self, change: Change) -> None:
        """Raises what `Subscription.ack` does; but a server that does not answer is waited for."""
        self._printed.append(change)
        if self._subscription.held_bytes == 0 or len(self._printed) >= _TOGETHER_CHANGES:
            await self._acknowledge()

    async def _acknowledge(self) -> None:
        while self._printed:
            try:
                await self._subscription.ack(*self._printed)
            except RequestTimeout:
                continue  # while there is no connection, nothing else is to be done
            self._printed.clear()
