"""The async client: the words of the API, each a message and its answer."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from importlib.metadata import version as release
from secrets import token_urlsafe
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from palimpsest.client.access import Roles, Tokens
from palimpsest.client.asking import KINDS, answered, made_version
from palimpsest.client.branching import Branching
from palimpsest.client.durable import make_subscription
from palimpsest.client.editing import Editing
from palimpsest.client.feeds import FeedOptions, Policy, Start, Wish
from palimpsest.client.keeping import Keeping
from palimpsest.client.naming import Naming
from palimpsest.client.observing import Observing
from palimpsest.client.parts import Key, make_parts
from palimpsest.client.past import Past
from palimpsest.client.perspectives import Perspectives
from palimpsest.client.places import maybe_at
from palimpsest.client.reactions import Handler, OnError, Reaction
from palimpsest.client.reading import Reading
from palimpsest.client.reconciling import Reconciling
from palimpsest.client.reconnecting import OnReconnect
from palimpsest.client.requests import (
    Changes,
    check,
    check_numbers,
    check_texts,
    encode_changes,
    encode_new_value,
    make_meta,
    make_path,
)
from palimpsest.client.results import Version
from palimpsest.client.retention import Policies
from palimpsest.client.schemas import SchemaDocuments
from palimpsest.client.session import Session
from palimpsest.client.settings import Settings, make_tls, parse_url
from palimpsest.client.subscription import OnState, Subscription
from palimpsest.client.tracing import Tracing, make_tracing
from palimpsest.client.viewing import make_view, show
from palimpsest.client.watching import WatchedValue
from palimpsest.errors import InvalidRequest
from palimpsest.protocol import messages as m
from palimpsest.protocol.connection import CLIENT_ID_CHARACTERS_MAX
from palimpsest.state.delta import AnyPath
from palimpsest.state.names import check_name
from palimpsest.words import MAIN, Kind

_CREATE, _UPDATE, _DELETE = Kind.CREATE, Kind.UPDATE, Kind.DELETE


_UNACKED_MIN = 16
"""With a reaction by name: so many changes are handed to it at a time, or twice as many as may be handled at a time."""

_Callback = TypeVar("_Callback", bound=OnReconnect)


def connect(
    url: str,
    *,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    ca: str | os.PathLike[str] | None = None,
    client_id: str | None = None,
    timeout_seconds: float = 30.0,
    tracing: bool | Tracing = False,
    **settings: Any,
) -> Client:
    """A client of the server at url, `palimpsest://host:port`, or `palimpsests://` for TLS. `async with connect(url) as client`, or await it and `close`
    it at the end.

    token: who this is, where the server wants to know. tls: a context of the caller's own, such as one with a certificate of this client.
    ca: in place of that, a file with the authorities that are trusted; the system's are, where neither is given.
    client_id: 1 to 64 characters that are this client's alone; one is made up where none is given. A newer connection with
    the same id ends the older one. timeout_seconds: how long any answer is waited for, and the first connection is tried.
    tracing: each request is a span of OpenTelemetry, below the one that is current, and what is written keeps it as its `trace`; needs
    `palimpsest[telemetry]`.
    settings: the other fields of `Settings`, by name. Raises InvalidRequest for an argument that makes no sense.
    """
    made = make_settings(timeout_seconds, settings)
    return Client(url, token=token, tls=tls, ca=ca, client_id=client_id, settings=made, tracing=tracing)


def make_settings(timeout_seconds: float, others: Mapping[str, Any]) -> Settings:
    try:
        return Settings(timeout_seconds=timeout_seconds, **others)
    except TypeError as error:
        raise InvalidRequest(f"unknown setting: {error}", reason=str(error)) from None


class Client(Reading, Past, Keeping, Branching, Naming, Observing):
    """One connection to a server, shared by any number of tasks of one event loop.

    The words that write documents and follow them are here; those that read them are in `Reading`, those about their past in `Past`, those
    about what is kept of it in `Keeping`, those about branches and merges in `Branching`, those about named subscriptions in
    `Naming`, and the one about the server in `Observing`. Everything raises errors of the tree in
    `palimpsest.errors`. Besides what a method names: LinkError where no answer came (a write may have been applied then;
    `error.request` is the id that its version carries), Overloaded where the server has too much to do, and InvalidName for a name
    that is none. Cancelling a call gives up the wait, not the write.

    `by`, `description` and `tags` are kept with the version that a write makes. `request_id` is an id of the caller's own
    for a write: a second write of the same document with the same id is not applied and gets the first one's answer.
    """

    _session: Session

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        ca: str | os.PathLike[str] | None = None,
        client_id: str | None = None,
        settings: Settings | None = None,
        tracing: bool | Tracing = False,
    ) -> None:
        self._address = parse_url(url)
        self._tls = make_tls(self._address, tls, ca)
        self._settings = settings or Settings()
        self._token = token
        self._tracing = make_tracing(tracing)
        # Numbers of requests have to rise over restarts of a program that keeps its client id.
        self._first_id = 1 if client_id is None else time.time_ns() // 1000
        self.client_id = token_urlsafe(12) if client_id is None else client_id
        if not isinstance(self.client_id, str) or not 1 <= len(self.client_id) <= CLIENT_ID_CHARACTERS_MAX:
            raise InvalidRequest(f"a client id has 1 to {CLIENT_ID_CHARACTERS_MAX} characters", reason="client_id")
        check_texts(token=token)
        self._reconciling = Reconciling(self)

    # --- coming and going ----------------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Returns once connected and welcomed. Raises ConnectionLost, naming url and reason, where that fails."""
        if "_session" in vars(self):
            raise InvalidRequest("a client is opened once", reason="open")
        agent = f"palimpsest/{release('palimpsest')} (Python)"
        self._session = Session(
            self._address, self.client_id, self._first_id, self._token, agent, self._settings, self._tls, self._tracing
        )
        await self._session.start()
        return self

    async def close(self) -> None:
        """Ends what waits with ConnectionLost. Calls after this raise it, too."""
        await self._session.close()

    def __await__(self) -> Generator[Any, Any, Self]:
        return self.open().__await__()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __getattr__(self, name: str) -> Any:
        if name == "_session":
            raise InvalidRequest("the client is not connected yet: use `async with`, or await it", reason="not open")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def url(self) -> str:
        return self._address.url

    @property
    def retention(self) -> Policies:
        """The policies that say how much of the past is kept."""
        return Policies(self)

    @property
    def perspectives(self) -> Perspectives:
        """What documents can be seen through."""
        return Perspectives(self)

    @property
    def schemas(self) -> SchemaDocuments:
        """What the values of documents have to keep to."""
        return SchemaDocuments(self)

    @property
    def tokens(self) -> Tokens:
        """Who may connect."""
        return Tokens(self)

    @property
    def roles(self) -> Roles:
        """Who may do what."""
        return Roles(self)

    @property
    def reconcile(self) -> Reconciling:
        """Documents and systems outside, kept in step."""
        return self._reconciling

    @property
    def limits(self) -> dict[str, int]:
        """The server's settings that concern a client, by name, as its last welcome said."""
        return self._session.limits

    @property
    def principal(self) -> str:
        """Who this client is to the server, by its token or certificate; `anonymous` where it asks for none. "" from an older server."""
        return self._session.principal

    def statistics(self) -> dict[str, int]:
        """connected: 0 or 1; in_flight_requests; subscriptions; reconnections since the beginning."""
        session = self._session
        return {
            "connected": int(session.connected),
            "in_flight_requests": session.in_flight,
            "subscriptions": len(session.followers),
            "reconnections": session.reconnections.count,
        }

    async def ping(self) -> float:
        """Seconds that an answer takes."""
        session = self._session
        if session.blocked:
            await session.room()
        started = time.perf_counter()
        answered(m.Pong, await session.ask(m.Ping(session.next_id())))
        return time.perf_counter() - started

    # --- writes --------------------------------------------------------------------------------------------------

    async def create(
        self,
        document: str,
        value: Any,
        *,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> Version:
        """Raises DocumentExists, InvalidValue, or LimitExceeded."""
        check(document, branch, request_id)
        view = make_view(perspective, family, level)
        encoded = encode_new_value(value)
        meta = make_meta(by, description, tags)
        session = self._session
        if session.blocked:
            await session.room()
        id = session.next_id()
        answer = await session.ask(show(view, m.Create(id, document, encoded, branch, False, meta, request_id)))
        return made_version(session, document, branch, _CREATE, answer, meta, request_id)

    async def update(
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
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> Version:
        """changes: a Delta, or a mapping from paths to values, where a value replaces what is there and `DELETE`,
        `Increment`, `Append`, `Insert` and `Remove` say otherwise. expect: the version that the document must have.

        Raises DocumentNotFound, VersionConflict, DeltaFailed, InvalidDelta, InvalidPath, InvalidValue, or LimitExceeded.
        """
        check(document, branch, request_id)
        if expect is not None:
            check_numbers(expect=expect)
        view = make_view(perspective, family, level)
        delta = encode_changes(changes)
        meta = make_meta(by, description, tags)
        session = self._session
        if session.blocked:
            await session.room()
        id = session.next_id()
        message = m.Update(id, document, delta, branch, expect, False, meta, request_id)
        answer = await session.ask(message if view is None else show(view, message))
        return made_version(session, document, branch, _UPDATE, answer, meta, request_id)

    async def delete(
        self,
        document: str,
        *,
        expect: int | None = None,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> Version:
        """A version like any other: history stays. Raises DocumentNotFound or VersionConflict."""
        check(document, branch, request_id)
        check_numbers(expect=expect)
        view = make_view(perspective, family, level)
        meta = make_meta(by, description, tags)
        session = self._session
        if session.blocked:
            await session.room()
        id = session.next_id()
        answer = await session.ask(show(view, m.Delete(id, document, branch, expect, False, meta, request_id)))
        return made_version(session, document, branch, _DELETE, answer, meta, request_id)

    async def transaction(
        self,
        changes: Mapping[Key, Any],
        *,
        expect: Mapping[Any, int] | None = None,
        branch: str = MAIN,
        by: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        request_id: str | None = None,
        at: datetime | None = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> dict[Key, Version]:
        """Several documents and branches change as one. changes: by name, or by (name, branch), what `update` takes, or
        `Create(value)`, or `DELETE`; or one of these inside of a `Join`. expect: by the same, the versions that must be there (0: no
        document); what is not changed as well is read only, and has to stay as it is until the rest is done. at: when it happened,
        where that was earlier and elsewhere; a version is never older than the one before it, and takes that one's time then.

        The versions that were made come back under the keys of changes. Raises what the writes would raise, and InvalidRequest for a
        transaction of nothing; nothing has happened then.
        """
        check_texts(branch=branch, request_id=request_id)
        view = make_view(perspective, family, level)
        parts = make_parts(changes, branch, expect or {})
        meta = make_meta(by, description, tags)
        moment = maybe_at(at, "at")
        session = self._session
        if session.blocked:
            await session.room()
        message = m.Transact(session.next_id(), parts.all, False, meta, request_id, moment)
        answer = answered(m.Transacted, await session.ask(show(view, message)))
        request = request_id if request_id is not None else f"{self.client_id}:{answer.id}"
        made = {(one.document, one.branch): one.version for one in answer.made}
        return {
            key: Version(
                part.document,
                part.branch,
                made[part.document, part.branch],
                KINDS[part.kind],
                answer.at,
                meta,
                request,
                answer.repeat,
            )
            for key, part in zip(changes, parts.changes, strict=True)
        }

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
    ) -> AbstractAsyncContextManager[Any]:
        """A mutable copy of the document's value: a dict or a list. What differs at the block's end becomes one delta,
        conditional on the version that was read; `draft.version` is the version that it made. Nothing is sent where nothing
        differs, or where the block raises.

        Entering raises DocumentNotFound, and InvalidRequest where the value is a scalar; leaving raises what `update` does.
        """
        said = {"by": by, "description": description, "tags": tags, "request_id": request_id}
        make_view(perspective, family, level)
        view = {"perspective": perspective, "family": family, "level": level}
        return Editing(self, document, branch, said, view)

    # --- changes -------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        pattern: str,
        *,
        branch: str = MAIN,
        resume_after: str | None = None,
        start: Start = "now",
        from_version: int | None = None,
        from_time: datetime | None = None,
        values: bool = False,
        tags: Iterable[str] = (),
        tags_all: Iterable[str] = (),
        by: str | None = None,
        path: AnyPath | None = None,
        kinds: Iterable[Kind] = (),
        policy: Policy = "all",
        speed: float | None = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
        name: str | None = None,
        ack_seconds: float = 30.0,
        tries_max: int = 5,
        unacked_max: int = 16,
        on_state: OnState | None = None,
    ) -> Subscription:
        """The changes of one document, or of all that match: `async with client.subscribe("notes/*") as changes`, and
        inside it `async for change in changes`.

        It starts after a cursor (resume_after), with a version of the one document that pattern names (from_version), or with what
        was made at a time or later (from_time). Without one of them, start says where: "now"; the "beginning" of the log; or
        "snapshot": each document that is there comes as a change with `snapshot`, and then what changes, without a gap. Beside a
        cursor, "snapshot" is for when that cursor is of no use any more, now or after a later reconnection.

        Of the changes (not of a snapshot), those come that meet every condition given. tags: with any of these; tags_all: with every
        one; by: of this author; path: something at it, above it or inside it was touched; kinds: of these kinds. values: each
        comes with the whole value after it.

        policy: what becomes of it where its reader does not keep up. "all": everything comes, later. "latest", which needs values:
        of each document, what a newer version has overtaken is left out. "disconnect": it ends with Overloaded. speed: history comes
        at its own pace (1) or n times as fast (n), until it has caught up. on_state: see `Subscription`.

        perspective, or family and level: changes are those of what is seen through it, in its names; what does not show does not come.
        Where it becomes another, the subscription begins with a fresh snapshot by itself. `set_level` goes up or down in a family.

        name: of a subscription whose place the server keeps, made where there is none of that name, and started as is said then. All who
        subscribe with it share its changes: each goes to one of them, those of one document in their order and never to two at once. What
        is not acknowledged (`Subscription.ack`) within ack_seconds of coming, or of being the first of its document, goes to another; what
        failed tries_max times is put aside (`subscription_state`). unacked_max: so many changes are handed to this one at a time.

        Raises InvalidRequest, InvalidName or InvalidPath; see `Subscription` for what comes later.
        """
        wish = Wish(
            pattern,
            branch=branch,
            resume_after=resume_after,
            start=start,
            from_version=from_version,
            from_time=from_time,
            values=values,
            tags=tags,
            tags_all=tags_all,
            by=by,
            path=path,
            kinds=kinds,
            policy=policy,
            speed=speed,
            perspective=perspective,
            family=family,
            level=level,
            name=name,
            ack_seconds=ack_seconds,
            tries_max=tries_max,
            unacked_max=unacked_max,
        )
        return make_subscription(self._session, wish, on_state)

    def on(
        self,
        pattern: str,
        *,
        concurrency_max: int = 16,
        retries: int = 3,
        on_error: OnError | None = None,
        **options: Unpack[FeedOptions],
    ) -> Callable[[Handler], Reaction]:
        """A decorator: makes a `Reaction` of an async function that takes a change. It runs inside of `async with` the reaction.

            @client.on("notes/*", tags={"publish"})
            async def publish(change): ...

            async with publish:
                await publish.wait()

        Changes of one document are handled in their order, of several documents at the same time, at most concurrency_max of them.
        retries: how often a handler that fails is called again with its change, later each time. After that on_error is called with
        the change and the error, and the change counts as handled; without one, the reaction stops with the error. options: as of
        `subscribe`. With a name, a change that was handled is acknowledged, and one that failed is refused and comes again, here or elsewhere,
        until it was delivered tries_max times; the reaction goes on, with or without on_error. Raises InvalidRequest, InvalidName or
        InvalidPath.
        """
        check_numbers(concurrency_max=concurrency_max, retries=retries)
        if concurrency_max < 1 or retries < 0:
            raise InvalidRequest("at least one handler at once, and no negative number of retries", reason="on")
        if options.get("name") is not None:
            options.setdefault("unacked_max", max(_UNACKED_MIN, 2 * concurrency_max))
        wish = Wish(pattern, **options)
        return lambda handler: Reaction(self._session, wish, handler, concurrency_max, retries, on_error)

    def watch_value(
        self,
        document: str,
        *,
        branch: str = MAIN,
        path: AnyPath = (),
        default: Any = None,
        perspective: str | None = None,
        family: str | None = None,
        level: int | None = None,
    ) -> WatchedValue:
        """The newest value of a document, or of what is at path in it, at any time: `async with client.watch_value("config/main") as
        config`, and inside it `config.value`. default: the value where there is none. perspective, or family and level: as of `get`.
        See `WatchedValue`. Raises InvalidRequest, InvalidName or InvalidPath."""
        wish = Wish(
            document,
            branch=branch,
            start="snapshot",
            values=True,
            policy="latest",
            perspective=perspective,
            family=family,
            level=level,
        )
        check_name(document)
        return WatchedValue(self._session, wish, make_path(path), default)

    def on_reconnect(self, callback: _Callback) -> _Callback:
        """From now on, callback is called after each reconnection, with a `Reconnected`. It may be async, and what it raises is
        logged. Returns it, so that this can be a decorator."""
        self._session.reconnections.callbacks.append(callback)
        return callback
