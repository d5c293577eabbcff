"""From a request to an operation and back: the one place where HTTP is read and written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from palimpsest.client.tracing import passing_on
from palimpsest.errors import InternalError, PalimpsestError
from palimpsest.logs import get_logger
from palimpsest.web import assets
from palimpsest.web.admitting import check_host, token_of
from palimpsest.web.asking import query_of
from palimpsest.web.bodies import Body, decode_as, media_type_of
from palimpsest.web.callers import Callers, is_over
from palimpsest.web.openapi import openapi_operation
from palimpsest.web.operations import Answer, Call, Operation, Stream
from palimpsest.web.problems import Refused, plain_problem, problem_of
from palimpsest.web.services import Services
from palimpsest.web.streaming import Streaming
from palimpsest.web.table import OPERATIONS

log = get_logger("palimpsest.web")

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_COMPRESSED_BYTES_MIN = 1_024

_TRACEPARENT = re.compile("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_encode = msgspec.json.Encoder(order="deterministic").encode


def make_app(services: Services, callers: Callers, names: frozenset[str]) -> ASGIApp:
    """names: by which a browser may have reached us, beside those of this machine and addresses."""
    ours = frozenset(name.lower() for name in names) | _LOCAL_NAMES
    operations = (*OPERATIONS, openapi_operation(OPERATIONS))
    app = Starlette(
        routes=[*_routes(operations, services, callers, ours), *assets.routes()],
        middleware=[Middleware(GZipMiddleware, minimum_size=_COMPRESSED_BYTES_MIN, compresslevel=4)],
        exception_handlers={404: _not_found, 405: _wrong_method},
    )
    app.router.redirect_slashes = False  # where to is said by the host that the request names
    return app


async def _not_found(request: Request, error: Exception) -> Response:
    return respond(plain_problem(404, "Not Found", f"there is nothing at {request.scope['path']}"))


async def _wrong_method(request: Request, error: Exception) -> Response:
    detail = f"{request.method} is nothing to do with {request.scope['path']}"
    response = respond(plain_problem(405, "Method Not Allowed", detail))
    response.headers.update(getattr(error, "headers", None) or {})
    return response


def _routes(
    operations: Sequence[Operation], services: Services, callers: Callers, names: frozenset[str]
) -> list[Route]:
    """One route a path, so that a method that is not there is 405 and not 404."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    return [
        Route(path, _Endpoint(methods, services, callers, names), methods=list(methods))
        for path, methods in by_path.items()
    ]


class _Endpoint:
    """What is at one path, by method. An ASGI application."""

    def __init__(
        self, methods: Mapping[str, Operation], services: Services, callers: Callers, names: frozenset[str]
    ) -> None:
        self._methods = methods
        self._services = services
        self._callers = callers
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        operation = self._methods.get(request.method) or self._methods["GET"]  # HEAD
        # What a request holds, its caller's connection above all, it holds until the answer has left.
        async with AsyncExitStack() as held:
            try:
                response = await self._answer(operation, request, held)
            except ClientDisconnect:
                return
            await response(scope, receive, send)

    async def _answer(self, operation: Operation, request: Request, held: AsyncExitStack) -> ASGIApp:
        try:
            if operation.is_open:
                if not operation.is_probe:
                    check_host(request.headers, self._names)
                return await self._perform(operation, request, held, None)
            token = token_of(request.headers, request.client and request.client.host, self._names)
            lease = await self._callers.lease(token)
            held.callback(lease.release)
            try:
                return await self._perform(
                    operation, request, held, lease.client, is_named=token is not None or self._services.is_somebody
                )
            except PalimpsestError as error:
                if is_over(error, lease.client):
                    lease.drop()
                raise
        except PalimpsestError as error:
            return respond(problem_of(error, is_conditional=_is_conditional(request.headers)))
        except Refused as refused:
            return respond(refused.answer)
        except ClientDisconnect:
            raise
        except Exception as error:
            log.exception("http_failed", operation=operation.id)
            return respond(problem_of(InternalError(f"a bug of ours: {type(error).__name__}; see the log")))

    async def _perform(
        self, operation: Operation, request: Request, held: AsyncExitStack, client: Any, *, is_named: bool = False
    ) -> ASGIApp:
        check_path(request.scope)
        query = query_of(request.query_params, operation.query)
        media_type, body = await self._body(operation, request, held)
        path = {name: str(value) for name, value in request.path_params.items()}
        headers = headers_of(request.headers)
        call = Call(
            client, self._services, path, query, body, media_type, headers, request.scope["path"], is_named=is_named
        )
        with passing_on(traceparent_of(headers)):
            found = await operation.handler(call)
        return stream(found, self._services) if isinstance(found, Stream) else respond(found)

    async def _body(self, operation: Operation, request: Request, held: AsyncExitStack) -> tuple[str, Any]:
        if not operation.bodies:
            return "", None
        limits = self._services.limits
        body = Body(self._services.bodies, limits.body_bytes_max, limits.body_seconds)
        held.callback(body.release)
        raw = await body.read(request)
        media_type = media_type_of(request.headers)
        if not raw and not media_type and not operation.body_required:
            return "", None
        return media_type, decode_as(raw, media_type, operation.bodies)


def check_path(scope: Scope) -> None:
    """Raises Refused for a path that is no text: what is not would come as another one."""
    try:
        unquote_to_bytes(scope.get("raw_path", b"")).decode()
    except UnicodeDecodeError as error:
        raise Refused(plain_problem(400, "Bad Request", "the path is not UTF-8, percent-encoded")) from error


def headers_of(headers: Headers) -> dict[str, str]:
    """By names in lower case. One that is there more than once is a list (RFC 9110, 5.2)."""
    return {name: ", ".join(headers.getlist(name)) for name in headers}


def traceparent_of(headers: Mapping[str, str]) -> str | None:
    """What a request is a part of. As Trace Context wants it, one that is none is as if it were not there."""
    text = headers.get("traceparent", "")
    return text if _TRACEPARENT.fullmatch(text) else None


def _is_conditional(headers: Headers) -> bool:
    return "if-match" in headers or "if-none-match" in headers


def respond(answer: Answer) -> Response:
    content = answer.content
    body = b"" if content is None else content if isinstance(content, bytes) else _encode(content)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    return Response(
        body, answer.status, headers | dict(answer.headers), answer.media_type if content is not None else None
    )


def stream(found: Stream, services: Services) -> ASGIApp:
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Streaming(found.chunks, headers | dict(found.headers), found.media_type, services.closing)
