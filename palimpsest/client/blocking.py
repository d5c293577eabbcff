"""The sync face: the same words, blocking, for scripts, notebooks and libraries that know no event loop.

There is one client, the async one. It lives on an event loop in a thread of its own, and each call here is handed to that
thread and waited for; so a `SyncClient` may be used by any number of threads at once.
"""

from __future__ import annotations

import importlib.util
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from anyio.from_thread import BlockingPortal, start_blocking_portal

from palimpsest.client.client import Client, connect
from palimpsest.client.requests import Changes
from palimpsest.client.results import Change, Document, Version
from palimpsest.client.subscription import Start, Subscription
from palimpsest.errors import ConnectionLost
from palimpsest.words import MAIN

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_UVLOOP = importlib.util.find_spec("uvloop") is not None


def connect_sync(
    url: str,
    *,
    token: str | None = None,
    client_id: str | None = None,
    timeout_seconds: float = 30.0,
    **settings: Any,
) -> SyncClient:
    """As `connect`, connected on return. Use it as a context manager, or `close` it at the end.

    Not for a thread that runs the event loop of the very server it connects to: each would wait for the other.
    """
    client = connect(url, token=token, client_id=client_id, timeout_seconds=timeout_seconds, **settings)
    with ExitStack() as exits:
        portal = exits.enter_context(start_blocking_portal("asyncio", {"use_uvloop": _UVLOOP}))
        portal.call(client.open)
        exits.callback(portal.call, client.close)
        thread = _Thread(portal)
        exits.callback(thread.leave)
        return SyncClient(client, thread, exits.pop_all())


class _Thread:
    """The thread of the event loop, and whether it still takes calls."""

    def __init__(self, portal: BlockingPortal) -> None:
        self.portal = portal
        self._over = False

    def call(self, function: Callable[..., Awaitable[_Result]], *arguments: Any) -> _Result:
        """Waits for what function(*arguments) gives there. Raises ConnectionLost once the client is closed."""
        self.check()
        try:
            return self.portal.call(function, *arguments)
        except RuntimeError:
            self.check()
            raise

    def check(self) -> None:
        if self._over:
            raise ConnectionLost("the client was closed")

    def call_if_open(self, function: Callable[..., Awaitable[object]], *arguments: Any) -> None:
        """For what closing the client has done as well."""
        with suppress(ConnectionLost):
            self.call(function, *arguments)

    def leave(self) -> None:
        self._over = True


class SyncClient:
    """As `Client`, blocking. Its methods take and return the same, and raise the same errors."""

    def __init__(self, client: Client, thread: _Thread, exits: ExitStack) -> None:
        """Made by `connect_sync`. exits: closes the client, then ends the thread."""
        self._client = client
        self._thread = thread
        # A program that ends, or forgets its client, without closing it: the thread is not to be waited for in vain.
        self._close = weakref.finalize(self, exits.close)

    def close(self) -> None:
        """As `Client.close`; the thread has ended on return. More than once is as good as once."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def client_id(self) -> str:
        return self._client.client_id

    @property
    def url(self) -> str:
        return self._client.url

    @property
    def limits(self) -> dict[str, int]:
        return self._client.limits

    def statistics(self) -> dict[str, int]:
        return self._client.statistics()

    def ping(self) -> float:
        return self._thread.call(self._client.ping)

    # --- writes --------------------------------------------------------------------------------------------------

    def create(
        self,
        document: str,
        value: Any,
        *,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
    ) -> Version:
        said = _said(branch, by, description, tags, request_id)
        return self._thread.call(partial(self._client.create, document, value, **said))

    def update(
        self,
        document: str,
        changes: Changes,
        *,
        expect: int | None = None,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
    ) -> Version:
        said = _said(branch, by, description, tags, request_id)
        return self._thread.call(partial(self._client.update, document, changes, expect=expect, **said))

    def delete(
        self,
        document: str,
        *,
        expect: int | None = None,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
    ) -> Version:
        said = _said(branch, by, description, tags, request_id)
        return self._thread.call(partial(self._client.delete, document, expect=expect, **said))

    def transaction(
        self,
        changes: Mapping[str, Any],
        *,
        expect: Mapping[str, int] | None = None,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
    ) -> dict[str, Version]:
        said = _said(branch, by, description, tags, request_id)
        return self._thread.call(partial(self._client.transaction, changes, expect=expect, **said))

    def edit(
        self,
        document: str,
        *,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
    ) -> AbstractContextManager[Any]:
        editing = self._client.edit(
            document, branch=branch, by=by, description=description, tags=tags, request_id=request_id
        )
        self._thread.check()
        return self._thread.portal.wrap_async_context_manager(editing)

    # --- reads ---------------------------------------------------------------------------------------------------

    def get(self, document: str, *, branch: str = MAIN, version: int | None = None) -> Document:
        return self._thread.call(partial(self._client.get, document, branch=branch, version=version))

    def get_many(self, documents: Sequence[str], *, branch: str = MAIN) -> list[Document | None]:
        return self._thread.call(partial(self._client.get_many, documents, branch=branch))

    def list(self, pattern: str = "**", *, branch: str = MAIN) -> Iterator[str]:
        return self._flatten(self._client.list_pages(pattern, branch=branch))

    def history(
        self,
        document: str,
        *,
        branch: str = MAIN,
        newest_first: bool = True,
        limit: int | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> Iterator[Version]:
        pages = self._client.history_pages(
            document, branch=branch, newest_first=newest_first, limit=limit, first=first, last=last
        )
        return self._flatten(pages)

    def subscribe(
        self,
        pattern: str,
        *,
        branch: str = MAIN,
        resume_after: str | None = None,
        start: Start = "now",
        values: bool = False,
    ) -> SyncSubscription:
        options = {"branch": branch, "resume_after": resume_after, "start": start, "values": values}
        subscription = self._thread.call(partial(self._subscribe, pattern, **options))
        return SyncSubscription(self, subscription, self._thread)

    async def _subscribe(self, pattern: str, **options: Any) -> Subscription:
        return self._client.subscribe(pattern, **options)

    def _flatten(self, pages: AsyncIterator[Sequence[_Item]]) -> Generator[_Item, None, None]:
        """One hop to the other thread per page, not per item."""
        generator = cast("AsyncGenerator[Sequence[_Item], None]", pages)
        try:
            while (page := self._thread.call(anext, generator, None)) is not None:
                yield from page
        finally:
            self._thread.call_if_open(generator.aclose)


class SyncSubscription:
    """As `Subscription`, a context manager and the iterator of changes inside it. `close` from another thread ends a wait."""

    def __init__(self, client: SyncClient, subscription: Subscription, thread: _Thread) -> None:
        self._client = client
        """Kept, so that it is not forgotten while this is in use."""
        self._subscription = subscription
        self._thread = thread

    @property
    def cursor(self) -> str:
        return self._subscription.cursor

    @property
    def live(self) -> bool:
        return self._subscription.live

    def __enter__(self) -> Self:
        self._thread.call(self._subscription.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._thread.call_if_open(self._subscription.__aexit__, None, None, None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        change: Change | None = self._thread.call(anext, self._subscription, None)
        if change is None:
            raise StopIteration
        return change


def _said(
    branch: str, by: str | None, description: str | None, tags: Iterable[str], request_id: str | None
) -> dict[str, Any]:
    """What every write has in common."""
    return {"branch": branch, "by": by, "description": description, "tags": tags, "request_id": request_id}
