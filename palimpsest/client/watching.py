"""One value that is always the newest: what a service needs of its configuration.

A task follows the document from a snapshot on and keeps the last value; the rest is reading attributes. They may be read by any
thread: each is one reference, exchanged as a whole.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Self

from palimpsest.client.feeds import Wish
from palimpsest.client.results import Change
from palimpsest.client.session import Session
from palimpsest.client.subscription import Subscription
from palimpsest.errors import InvalidRequest, RequestTimeout
from palimpsest.state.paths import Path
from palimpsest.state.values import encode_value
from palimpsest.words import Kind

_ABSENT: Any = object()


class WatchedValue:
    """An async context manager. Entering returns once the value is known; it raises RequestTimeout, or what `Subscription` raises
    where the server refuses it. While the connection is lost the last value stays, and its age rises."""

    def __init__(self, session: Session, wish: Wish, path: Path, default: Any) -> None:
        self._session = session
        self._document = wish.template.pattern
        self._path = path
        self._default = default
        self._changes = Subscription(session, wish, self._on_state)
        self._follower: asyncio.Task[None] | None = None
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Replaced by another whenever it is done: the value was set, or there will be no more."""
        self._known = False
        """Whether the first snapshot is through."""
        self._over: BaseException | None = None
        """Why there is no more."""
        self._found: Any = _ABSENT
        self._encoded: bytes | None = None
        """The value to compare with, None where there is none."""
        self._shown = False
        """Whether the document was in the snapshot that is being read."""
        self._version: int | None = None
        self._count = 0
        """Of changes of the value."""
        self._seen = 0
        """How many of them `changed` has told of."""
        self._is_newest = False
        self._checked = time.monotonic()
        """When the value was last known to be the newest, while that is not so now."""

    # --- for the reader ------------------------------------------------------------------------------------------

    @property
    def value(self) -> Any:
        """The newest that is known, or the default where there is none. It is one object for all who read it: not to be changed."""
        found = self._found
        return self._default if found is _ABSENT else found

    @property
    def exists(self) -> bool:
        """Whether there is a value; without one it is the default."""
        return self._found is not _ABSENT

    @property
    def version(self) -> int | None:
        """The newest version of the document that is known, which may have changed something else than what is at path. None where
        none was seen: it does not exist, or was deleted before."""
        return self._version

    @property
    def connected(self) -> bool:
        return self._session.connected and self._over is None

    @property
    def age_seconds(self) -> float:
        """Since the value was last known to be the newest: since the server was last heard of, while nothing newer is on its way.
        It stays below a few seconds while connected (a third of the server's peer_silence_seconds), and rises while not."""
        return max(0.0, time.monotonic() - (self._session.heard if self._is_newest else self._checked))

    async def changed(self) -> Any:
        """The new value, once there is one that no earlier call has told of; the first call counts from entering. Of several changes
        it tells the newest. Several callers that wait at the same time are all told. Raises what ended the subscription, and
        InvalidRequest where the block is left."""
        seen = self._seen
        while self._count == seen:
            if self._over is not None:
                raise self._over
            await asyncio.shield(self._news)
        self._seen = self._count
        return self.value

    # --- coming and going ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._changes.__aenter__()
        self._follower = asyncio.get_running_loop().create_task(self._follow())
        try:
            await self._first()
        except BaseException:
            await self._leave()
            raise
        self._count = 0
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave()

    async def _first(self) -> None:
        seconds = self._session.settings.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                while not self._known:
                    if self._over is not None:
                        raise self._over
                    await asyncio.shield(self._news)
        except TimeoutError:
            raise RequestTimeout(
                f"no value of {self._document!r} within {seconds:g} s", seconds=seconds, request=None
            ) from None

    async def _leave(self) -> None:
        await self._changes.__aexit__(None, None, None)
        if self._follower is not None:
            await asyncio.wait((self._follower,))

    # --- following -----------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        try:
            async for change in self._changes:
                self._take(change)
            self._end(InvalidRequest("the watch was left", reason="left"))
        except Exception as error:
            self._end(error)

    def _take(self, change: Change) -> None:
        self._shown = True
        self._version = change.version
        self._set(_ABSENT if change.kind is Kind.DELETE else _value_at(change.value, self._path))

    def _on_state(self, state: str) -> None:
        if state == "snapshot":
            self._shown = False
        elif state == "current":
            self._on_shown()
        elif state == "live":
            self._is_newest = True
        elif self._is_newest:
            self._checked, self._is_newest = self._session.heard, False

    def _on_shown(self) -> None:
        if not self._shown:
            self._version = None
            self._set(_ABSENT)
        self._known = True
        self._tell()

    def _set(self, found: Any) -> None:
        encoded = None if found is _ABSENT else encode_value(found)
        if encoded != self._encoded:
            self._found, self._encoded = found, encoded
            self._count += 1
            self._tell()

    def _end(self, error: BaseException) -> None:
        self._on_state("behind")
        self._over = error
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.get_running_loop().create_future()
        news.set_result(None)


def _value_at(value: Any, path: Path) -> Any:
    """What is there, or _ABSENT."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step, _ABSENT)
        elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            value = value[step]
        else:
            return _ABSENT
    return value
