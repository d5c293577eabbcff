"""Changes as signals of blinker: for programs whose parts are wired together by signals already.

    from palimpsest.signals import ChangeSignal

    async with ChangeSignal(client, "notes/*") as changed:
        changed.connect(show, sender="notes/1")

Needs `palimpsest[signals]`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Unpack

from palimpsest.client import Change, Client, FeedOptions, OnError

try:
    from blinker import Signal
except ImportError as error:
    raise ImportError("palimpsest.signals needs blinker: install palimpsest[signals]", name="blinker") from error


class ChangeSignal:
    """An async context manager that gives a signal, which is sent for each change, one after the other, in the order of the feed.

    The sender is the document's name, and receivers, plain or async, get the change as `change`. The next change is not sent
    before all receivers are done with this one. As of a reaction: `cursor` is the place after the last change that was sent, `wait` waits
    for the end, and a receiver that raises stops it, unless there is on_error.
    """

    def __init__(
        self,
        client: Client,
        pattern: str,
        *,
        signal: Signal | None = None,
        on_error: OnError | None = None,
        **options: Unpack[FeedOptions],
    ) -> None:
        """signal: the one to send, instead of a new one. options: as of `Client.subscribe`."""
        self.signal = signal if signal is not None else Signal(f"changes of {pattern}")
        made = client.on(pattern, concurrency_max=1, retries=0, on_error=on_error, **options)
        self._reaction = made(self._send)

    @property
    def cursor(self) -> str:
        return self._reaction.cursor

    async def wait(self) -> None:
        await self._reaction.wait()

    async def __aenter__(self) -> Signal:
        await self._reaction.__aenter__()
        return self.signal

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._reaction.__aexit__(kind, error, traceback)

    async def _send(self, change: Change) -> None:
        await self.signal.send_async(change.document, _sync_wrapper=_as_async, change=change)


def _as_async(receiver: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def call(*arguments: Any, **named: Any) -> Any:
        return receiver(*arguments, **named)

    return call
