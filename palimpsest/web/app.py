"""From a request to an operation and back: the one place where HTTP is read and written."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from palimpsest.errors import InternalError, PalimpsestError, Unauthenticated
from palimpsest.logs import get_logger
from palimpsest.web import assets
from palimpsest.web.callers import Callers, is_over
from palimpsest.web.operations import Answer, Call, Operation, Stream
from palimpsest.web.problems import plain_problem, problem_of
from palimpsest.web.services import Services
from palimpsest.web.table import OPERATIONS

log = get_logger("palimpsest.web")

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_COMPRESSED_BYTES_MIN = 1_024

_encode = msgspec.json.Encoder(order="deterministic").encode


def make_app(services: Services, callers: Callers, names: frozenset[str]) -> Starlette:
    """names: by which a browser may have reached us, beside those of this machine and addresses."""
    return Starlette(
        routes=[*_routes(OPERATIONS, services, callers, names | _LOCAL_NAMES), *assets.routes()],
        middleware=[Middleware(GZipMiddleware, minimum_size=_COMPRESSED_BYTES_MIN, compresslevel=4)],
        exception_handlers={404: _not_found, 405: _wrong_method},
    )


async def _not_found(request: Request, error: Exception) -> Response:
    return respond(plain_problem(404, "Not Found", f"there is nothing at {request.url.path}"))


async def _wrong_method(request: Request, error: Exception) -> Response:
    response = respond(
        plain_problem(405, "Method Not Allowed", f"{request.method} is nothing to do with {request.url.path}")
    )
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

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        operation = self._methods.get(request.method) or self._methods["GET"]  # HEAD
        try:
            response = await self._answer(operation, request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, operation: Operation, request: Request) -> Response:
        try:
            if operation.is_open:
                return await self._perform(operation, request, None)
            token = self._token(request)
            client = await self._callers.client(token)
            try:
                return await self._perform(operation, request, client)
            except PalimpsestError as error:
                if is_over(error):
                    self._callers.drop(token, client)
                raise
        except PalimpsestError as error:
            return respond(problem_of(error))
        except _Refused as refused:
            return respond(refused.answer)
        except ClientDisconnect:
            raise
        except Exception as error:
            log.exception("http_failed", operation=operation.id)
            return respond(problem_of(InternalError(f"a bug of ours: {type(error).__name__}; see the log")))

    async def _perform(self, operation: Operation, request: Request, client: Any) -> Response:
        query = _query(operation, request)
        media_type, body = await self._body(operation, request)
        path = {name: str(value) for name, value in request.path_params.items()}
        headers = dict(request.headers.items())
        call = Call(client, self._services, path, query, body, media_type, headers)
        found = await operation.handler(call)
        return stream(found, self._services) if isinstance(found, Stream) else respond(found)

    def _token(self, request: Request) -> str | None:
        """Raises Unauthenticated where there is none and there should be one, and _Refused for a name that is not ours."""
        host = _host(request)
        if host not in self._names and not _is_address(host):
            # A page of someone else's whose name was made to lead here would otherwise pass for one of ours.
            raise _Refused(
                plain_problem(
                    421, "Misdirected Request", f"this is not {host!r}; its other names have to be configured"
                )
            )
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise Unauthenticated("`Authorization` is to be `Bearer` and a token")
            return token.strip()
        if not _is_local(request):
            raise Unauthenticated("without a token, requests are taken from this machine alone")
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Unauthenticated("without a token, a page of another site is not answered")
        return None

    async def _body(self, operation: Operation, request: Request) -> tuple[str, Any]:
        if not operation.bodies:
            return "", None
        raw = await self._raw_body(request)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not raw and not media_type and not operation.body_required:
            return "", None
        if media_type not in operation.bodies:
            allowed = ", ".join(operation.bodies)
            raise _Refused(plain_problem(415, "Unsupported Media Type", f"a body is to be one of {allowed}"))
        return media_type, decode_body(raw, operation.bodies[media_type])

    async def _raw_body(self, request: Request) -> bytes:
        maximum = self._services.limits.body_bytes_max
        found = bytearray()
        async for chunk in request.stream():
            found += chunk
            if len(found) > maximum:
                raise _Refused(plain_problem(413, "Content Too Large", f"a body has at most {maximum:,} bytes"))
        return bytes(found)


class _Refused(Exception):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def _query(operation: Operation, request: Request) -> Any:
    """Raises _Refused where it does not fit."""
    fields = {field.name: field for field in msgspec.structs.fields(operation.query)}
    given: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        field = fields.get(name)
        if field is not None and getattr(field.type, "__origin__", None) is tuple:
            given[name] = values
        elif len(values) > 1:
            raise _Refused(plain_problem(400, "Bad Request", f"`{name}` is given more than once"))
        else:
            given[name] = values[0]
    try:
        return msgspec.convert(given, operation.query, strict=False)
    except msgspec.ValidationError as error:
        raise _Refused(plain_problem(400, "Bad Request", f"in the query: {error}")) from error


def decode_body(raw: bytes, kind: Any) -> Any:
    """Raises _Refused for what is no JSON, or does not fit."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise _Refused(plain_problem(422, "Unprocessable Content", f"in the body: {error}")) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise _Refused(plain_problem(400, "Bad Request", f"the body is not JSON: {error}")) from error


def _is_local(request: Request) -> bool:
    if request.client is None or not _is_address(request.client.host):
        return False
    return ipaddress.ip_address(request.client.host.partition("%")[0]).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _host(request: Request) -> str:
    """Without its port; "" where it is none."""
    try:
        return (request.url.hostname or "").lower()
    except ValueError:
        return ""


def respond(answer: Answer) -> Response:
    content = answer.content
    body = b"" if content is None else content if isinstance(content, bytes) else _encode(content)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    return Response(
        body, answer.status, headers | dict(answer.headers), answer.media_type if content is not None else None
    )


def stream(found: Stream, services: Services) -> Response:
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _until_closing(found.chunks, services.closing), 200, headers | dict(found.headers), found.media_type
    )


async def _until_closing(chunks: AsyncIterator[bytes], closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Ends when the gateway stops."""
    stopping = asyncio.ensure_future(closing.wait())
    try:
        while not closing.is_set():
            coming = asyncio.ensure_future(anext(chunks, None))
            try:
                await asyncio.wait((coming, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait((coming,))
            if coming.cancelled() or (chunk := coming.result()) is None:
                return
            yield chunk
    finally:
        stopping.cancel()
        closer = getattr(chunks, "aclose", None)
        if closer is not None:
            await closer()
