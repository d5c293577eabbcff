"""From a request to an operation and back: the one place where HTTP is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from palimpsest.client.tracing import passing_on
from palimpsest.errors import InternalError, PalimpsestError
from palimpsest.logs import get_logger
from palimpsest.web import assets
from palimpsest.web.admitting import check_host, token_of
from palimpsest.web.answering import Whole, compressing, whole
from palimpsest.web.asking import query_of
from palimpsest.web.bodies import Body, decode_as, media_type_of
from palimpsest.web.callers import Callers, Lease, is_over
from palimpsest.web.openapi import openapi_operation
from palimpsest.web.operations import Answer, Call, Query, Stream
from palimpsest.web.problems import Refused, plain_problem, problem_of
from palimpsest.web.routes import Found, Routes, WrongMethod
from palimpsest.web.services import Services
from palimpsest.web.streaming import Streaming
from palimpsest.web.table import OPERATIONS

log = get_logger("palimpsest.web")

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_TRACEPARENT = re.compile("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def make_app(services: Services, callers: Callers, names: frozenset[str]) -> ASGIApp:
    """names: by which a browser may have reached us, beside those of this machine and addresses."""
    ours = frozenset(name.lower() for name in names) | _LOCAL_NAMES
    return _Application(Routes((*OPERATIONS, openapi_operation(OPERATIONS))), services, callers, ours)


class _Application:
    """All that is answered. An ASGI application.

    Operations are found and done right here, as what a framework has in between costs more than most of them. The console's files are left to it.
    """

    def __init__(self, routes: Routes, services: Services, callers: Callers, names: frozenset[str]) -> None:
        self._routes = routes
        self._services = services
        self._callers = callers
        self._names = names
        self._console = _console()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._routes.find(scope["method"], scope["path"])
        if isinstance(found, Found):
            await self._do(_Request(found, scope, receive), send)
        elif found is not None:
            await Whole(_not_for(scope, found))(scope, receive, send)
        else:
            await self._console(scope, receive, send)

    async def _do(self, request: _Request, send: Send) -> None:
        # What a request holds, its caller's connection above all, it holds until the answer has left.
        try:
            response = await self._response(request)
            await response(request.scope, request.receive, send)
        except ClientDisconnect:
            pass
        finally:
            request.release()

    async def _response(self, request: _Request) -> ASGIApp:
        try:
            found = await self._answer(request)
            return (
                whole(found, request.headers) if isinstance(found, Answer) else Streaming(found, self._services.closing)
            )
        except PalimpsestError as error:
            return Whole(problem_of(error, is_conditional=_is_conditional(request.headers)))
        except Refused as refused:
            return Whole(refused.answer)
        except ClientDisconnect:
            raise
        except Exception as error:
            log.exception("http_failed", operation=request.operation.id)
            return Whole(problem_of(InternalError(f"a bug of ours: {type(error).__name__}; see the log")))

    async def _answer(self, request: _Request) -> Answer | Stream:
        if not request.operation.is_open:
            return await self._answer_as_caller(request)
        if not request.operation.is_probe:
            check_host(request.headers, self._names)
        return await self._perform(request, None)

    async def _answer_as_caller(self, request: _Request) -> Answer | Stream:
        token = token_of(request.headers, request.peer, self._names)
        lease = request.lease = await self._callers.lease(token)
        try:
            is_named = token is not None or self._services.is_somebody
            return await self._perform(request, lease.client, is_named=is_named)
        except PalimpsestError as error:
            if is_over(error, lease.client):
                lease.drop()
            raise

    async def _perform(self, request: _Request, client: Any, *, is_named: bool = False) -> Answer | Stream:
        check_path(request.scope)
        operation, headers = request.operation, request.headers
        query = _query(request.scope.get("query_string", b""), operation.query)
        media_type, body = await self._body(request) if operation.bodies else ("", None)
        target = request.scope["path"]
        call = Call(client, self._services, request.path, query, body, media_type, headers, target, is_named=is_named)
        trace = traceparent_of(headers)
        if trace is None:
            return await operation.handler(call)
        with passing_on(trace):
            return await operation.handler(call)

    async def _body(self, request: _Request) -> tuple[str, Any]:
        limits = self._services.limits
        body = request.body = Body(self._services.bodies, limits.body_bytes_max, limits.body_seconds)
        raw = await body.read(request.headers, request.receive)
        media_type = media_type_of(request.headers)
        if not raw and not media_type and not request.operation.body_required:
            return "", None
        return media_type, decode_as(raw, media_type, request.operation.bodies)


class _Request:
    """One request, and what it holds until it is released."""

    __slots__ = ("body", "headers", "lease", "operation", "path", "receive", "scope")

    def __init__(self, found: Found, scope: Scope, receive: Receive) -> None:
        self.operation, self.path = found
        self.scope = scope
        self.receive = receive
        self.headers = headers_of(scope["headers"])
        self.lease: Lease | None = None
        self.body: Body | None = None

    @property
    def peer(self) -> str | None:
        """The address that it comes from."""
        client = self.scope["client"]
        return None if client is None else str(client[0])

    def release(self) -> None:
        if self.body is not None:
            self.body.release()
        if self.lease is not None:
            self.lease.release()


def _console() -> ASGIApp:
    """The console's files; and the answer to what is nowhere."""
    app = Starlette(
        routes=assets.routes(),
        middleware=[Middleware(compressing)],
        exception_handlers={404: _not_found, 405: _wrong_method},
    )
    app.router.redirect_slashes = False  # where to is said by the host that the request names
    return app


async def _not_found(request: Request, error: Exception) -> Response:
    return _respond(plain_problem(404, "Not Found", f"there is nothing at {request.scope['path']}"))


async def _wrong_method(request: Request, error: Exception) -> Response:
    return _respond(_not_for(request.scope, WrongMethod(("GET", "HEAD"))))


def _respond(answer: Answer) -> Response:
    found = Whole(answer)
    response = Response(found.body, found.status)
    response.raw_headers = found.headers
    return response


def _not_for(scope: Scope, found: WrongMethod) -> Answer:
    """405, and which methods would do."""
    detail = f"{scope['method']} is nothing to do with {scope['path']}"
    answer = plain_problem(405, "Method Not Allowed", detail)
    return msgspec.structs.replace(answer, headers={**answer.headers, "Allow": ", ".join(found.allowed)})


def _query(text: bytes, kind: type[Query]) -> Query:
    """Raises Refused."""
    return query_of(QueryParams(text), kind) if text else _empty_query(kind)


@lru_cache(maxsize=512)
def _empty_query(kind: type[Query]) -> Query:
    return query_of(QueryParams(""), kind)


def check_path(scope: Scope) -> None:
    """Raises Refused for a path that is no text: what is not would come as another one."""
    raw = scope.get("raw_path", b"")
    if b"%" not in raw:
        return  # else it would not have come this far
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise Refused(plain_problem(400, "Bad Request", "the path is not UTF-8, percent-encoded")) from error


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """By names in lower case. One that is there more than once is a list (RFC 9110, 5.2)."""
    found: dict[str, list[str]] = {}
    for name, value in raw:
        found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return {name: ", ".join(values) for name, values in found.items()}


def traceparent_of(headers: Mapping[str, str]) -> str | None:
    """What a request is a part of. As Trace Context wants it, one that is none is as if it were not there."""
    text = headers.get("traceparent")
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


def _is_conditional(headers: Mapping[str, str]) -> bool:
    return "if-match" in headers or "if-none-match" in headers
