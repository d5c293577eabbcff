"""The sync face: the same words, blocking, for scripts, notebooks and libraries that know no event loop.

There is one client, the async one. It lives on an event loop in a thread of its own, and each call here is handed to that
thread and waited for; so a `SyncClient` may be used by any number of threads at once.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import ssl
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

from anyio.from_thread import start_blocking_portal

from palimpsest.client.access import Roles, Tokens
from palimpsest.client.asking import OnProgress
from palimpsest.client.client import Client, connect
from palimpsest.client.history_lines import Line
from palimpsest.client.perspectives import Perspectives
from palimpsest.client.reconciling import Reconciling
from palimpsest.client.reports import ImportReport
from palimpsest.client.results import Change
from palimpsest.client.retention import Policies
from palimpsest.client.schemas import SchemaDocuments
from palimpsest.client.subscription import Subscription
from palimpsest.client.thread import Thread, blocking, iterating, making
from palimpsest.client.tracing import Tracing
from palimpsest.client.transfer import Import
from palimpsest.client.watching import WatchedValue
from palimpsest.client.ways_back import Reverting, Undoing
from palimpsest.words import MAIN

_BATCH_LINES = 256
_BATCH_CHARACTERS = 1024 * 1024
_UVLOOP = importlib.util.find_spec("uvloop") is not None


def connect_sync(
    url: str,
    *,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    ca: str | os.PathLike[str] | None = None,
    client_id: str | None = None,
    timeout_seconds: float = 30.0,
    tracing: bool | Tracing = False,
    **settings: Any,
) -> SyncClient:
    """As `connect`, connected on return. Use it as a context manager, or `close` it at the end.

    Not for a thread that runs the event loop of the very server it connects to: each would wait for the other.
    """
    client = connect(
        url,
        token=token,
        tls=tls,
        ca=ca,
        client_id=client_id,
        timeout_seconds=timeout_seconds,
        tracing=tracing,
        **settings,
    )
    with ExitStack() as exits:
        portal = exits.enter_context(start_blocking_portal("asyncio", {"use_uvloop": _UVLOOP}))
        portal.call(client.open)
        exits.callback(portal.call, client.close)
        thread = Thread(portal)
        exits.callback(thread.leave)
        return SyncClient(client, thread, exits.pop_all())


class SyncClient:
    """As `Client`, blocking. Its methods take and return the same, and raise the same errors."""

    def __init__(self, client: Client, thread: Thread, exits: ExitStack) -> None:
        """Made by `connect_sync`. exits: closes the client, then ends the thread."""
        self._client = self._inner = client
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
    def retention(self) -> SyncPolicies:
        return SyncPolicies(self._client.retention, self._thread)

    @property
    def perspectives(self) -> SyncPerspectives:
        return SyncPerspectives(self._client.perspectives, self._thread)

    @property
    def schemas(self) -> SyncSchemas:
        return SyncSchemas(self._client.schemas, self._thread)

    @property
    def tokens(self) -> SyncTokens:
        return SyncTokens(self._client.tokens, self._thread)

    @property
    def roles(self) -> SyncRoles:
        return SyncRoles(self._client.roles, self._thread)

    @property
    def reconcile(self) -> SyncReconciling:
        return SyncReconciling(self._client.reconcile, self._thread)

    @property
    def limits(self) -> dict[str, int]:
        return self._client.limits

    @property
    def principal(self) -> str:
        return self._client.principal

    def statistics(self) -> dict[str, int]:
        return self._client.statistics()

    ping = blocking(Client.ping)

    # --- documents -----------------------------------------------------------------------------------------------

    create = blocking(Client.create)
    update = blocking(Client.update)
    delete = blocking(Client.delete)
    transaction = blocking(Client.transaction)
    get = blocking(Client.get)
    get_many = blocking(Client.get_many)
    list = iterating(Client.list)

    def edit(
        self,
        document: str,
        *,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> AbstractContextManager[Any]:
        editing = self._client.edit(
            document,
            branch=branch,
            by=by,
            description=description,
            tags=tags,
            request_id=request_id,
            perspective=perspective,
            family=family,
            level=level,
        )
        self._thread.check()
        return self._thread.portal.wrap_async_context_manager(editing)

    # --- the past ------------------------------------------------------------------------------------------------

    history = iterating(Client.history)
    diff = blocking(Client.diff)
    blame = blocking(Client.blame)
    digest = blocking(Client.digest)
    revert: Reverting = cast(Reverting, blocking(Client.revert))
    undo: Undoing = cast(Undoing, blocking(Client.undo))
    tag = blocking(Client.tag)
    untag = blocking(Client.untag)

    # --- branches and merges -------------------------------------------------------------------------------------

    branch = blocking(Client.branch)
    delete_branch = blocking(Client.delete_branch)
    branches = blocking(Client.branches)
    merge = blocking(Client.merge)
    cherry_pick = blocking(Client.cherry_pick)
    rebase = blocking(Client.rebase)
    resolve = blocking(Client.resolve)
    abandon = blocking(Client.abandon)
    merge_state = blocking(Client.merge_state)
    merges = blocking(Client.merges)

    # --- what is kept --------------------------------------------------------------------------------------------

    erase = blocking(Client.erase)
    prune = blocking(Client.prune)
    stats = blocking(Client.stats)
    backup = blocking(Client.backup)
    export = iterating(Client.export)

    def import_history(self, lines: Iterable[Line], *, on_progress: OnProgress | None = None) -> ImportReport:
        """As `Client.import_history`. Lines are taken in the thread that calls; on_progress is called in another."""
        importing = Import(self._client._session, on_progress)
        for batch in _batches(lines):
            self._thread.call(importing.feed, batch)
        return self._thread.call(importing.finish)

    # --- the server ----------------------------------------------------------------------------------------------

    observe = blocking(Client.observe)

    # --- named subscriptions -------------------------------------------------------------------------------------

    subscriptions = blocking(Client.subscriptions)
    subscription_state = blocking(Client.subscription_state)
    delete_subscription = blocking(Client.delete_subscription)
    redrive = blocking(Client.redrive)

    # --- changes -------------------------------------------------------------------------------------------------

    def _show_changes(self, changes: Subscription) -> SyncSubscription:
        return SyncSubscription(self, changes, self._thread)

    def _show_value(self, value: WatchedValue) -> SyncWatchedValue:
        return SyncWatchedValue(self, value, self._thread)

    subscribe = making(Client.subscribe, _show_changes)
    watch_value = making(Client.watch_value, _show_value)


class SyncPolicies:
    """As `Policies`, blocking."""

    def __init__(self, policies: Policies, thread: Thread) -> None:
        self._inner = policies
        self._thread = thread

    put = blocking(Policies.put)
    get = blocking(Policies.get)
    delete = blocking(Policies.delete)
    list = iterating(Policies.list)


class SyncPerspectives:
    """As `Perspectives`, blocking."""

    def __init__(self, perspectives: Perspectives, thread: Thread) -> None:
        self._inner = perspectives
        self._thread = thread

    put = blocking(Perspectives.put)
    get = blocking(Perspectives.get)
    delete = blocking(Perspectives.delete)
    list = iterating(Perspectives.list)


class SyncSchemas:
    """As `SchemaDocuments`, blocking."""

    def __init__(self, schemas: SchemaDocuments, thread: Thread) -> None:
        self._inner = schemas
        self._thread = thread

    put = blocking(SchemaDocuments.put)
    get = blocking(SchemaDocuments.get)
    delete = blocking(SchemaDocuments.delete)
    check = blocking(SchemaDocuments.check)
    list = iterating(SchemaDocuments.list)


class SyncTokens:
    """As `Tokens`, blocking."""

    def __init__(self, tokens: Tokens, thread: Thread) -> None:
        self._inner = tokens
        self._thread = thread

    create = blocking(Tokens.create)
    revoke = blocking(Tokens.revoke)
    list = iterating(Tokens.list)


class SyncRoles:
    """As `Roles`, blocking."""

    def __init__(self, roles: Roles, thread: Thread) -> None:
        self._inner = roles
        self._thread = thread

    put = blocking(Roles.put)
    get = blocking(Roles.get)
    delete = blocking(Roles.delete)
    list = iterating(Roles.list)


class SyncReconciling:
    """As `Reconciling`, blocking. What is bound runs in the client's thread, on its event loop."""

    def __init__(self, reconciling: Reconciling, thread: Thread) -> None:
        self._inner = reconciling
        self._thread = thread
        self.bind = reconciling.bind

    put = blocking(Reconciling.put)
    get = blocking(Reconciling.get)
    delete = blocking(Reconciling.delete)
    sources = blocking(Reconciling.sources)
    state = blocking(Reconciling.state)
    push = blocking(Reconciling.push)
    plan = blocking(Reconciling.plan)
    get_plan = blocking(Reconciling.get_plan)
    apply = blocking(Reconciling.apply)
    run = blocking(Reconciling.run)
    runs = blocking(Reconciling.runs)
    get_run = blocking(Reconciling.get_run)


class SyncSubscription:
    """As `Subscription`, a context manager and the iterator of changes inside it. `close` from another thread ends a wait."""

    def __init__(self, client: SyncClient, subscription: Subscription, thread: Thread) -> None:
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

    @property
    def current(self) -> bool:
        return self._subscription.current

    def set_level(self, level: int) -> None:
        """As `Subscription.set_level`."""

        async def there() -> None:
            self._subscription.set_level(level)

        self._thread.call(there)

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

    def ack(self, *changes: Change) -> None:
        """As `Subscription.ack`."""
        self._thread.call(self._subscription.ack, *changes)

    def nack(self, change: Change, *, reason: str = "", delay_seconds: float = 0.0) -> None:
        """As `Subscription.nack`."""
        self._thread.call(partial(self._subscription.nack, change, reason=reason, delay_seconds=delay_seconds))

    def transactions(self) -> Iterator[list[Change]]:
        """As `Subscription.transactions`."""
        groups = self._subscription.transactions()
        while group := self._thread.call(anext, groups, None):
            yield group


class SyncWatchedValue:
    """As `WatchedValue`, a context manager. Its properties may be read by any thread, and do not wait."""

    def __init__(self, client: SyncClient, watched: WatchedValue, thread: Thread) -> None:
        self._client = client
        """Kept, so that it is not forgotten while this is in use."""
        self._watched = watched
        self._thread = thread

    @property
    def value(self) -> Any:
        return self._watched.value

    @property
    def exists(self) -> bool:
        return self._watched.exists

    @property
    def version(self) -> int | None:
        return self._watched.version

    @property
    def connected(self) -> bool:
        return self._watched.connected

    @property
    def age_seconds(self) -> float:
        return self._watched.age_seconds

    def changed(self, *, timeout_seconds: float | None = None) -> Any:
        """As `WatchedValue.changed`. Raises TimeoutError where nothing has changed within timeout_seconds."""
        return self._thread.call(_within, timeout_seconds, self._watched.changed)

    def __enter__(self) -> Self:
        self._thread.call(self._watched.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.call_if_open(self._watched.__aexit__, None, None, None)


async def _within(seconds: float | None, wait: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(seconds):
        return await wait()


def _batches(lines: Iterable[Line]) -> Iterator[Sequence[Line]]:
    """So that not every line takes a hop to the other thread."""
    batch: list[Line] = []
    characters = 0
    for line in lines:
        batch.append(line)
        characters += len(line)
        if len(batch) >= _BATCH_LINES or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    yield batch
