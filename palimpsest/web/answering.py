"""An answer as it is sent: its head, and its body, compressed where that is worth it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from palimpsest.web.operations import Answer

_COMPRESSED_BYTES_MIN = 1_024
_COMPRESSION_LEVEL = 4
_BODILESS = (204, 304)

_ALWAYS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache", "Vary": "Authorization"}

RawHeaders = list[tuple[bytes, bytes]]

_encode = msgspec.json.Encoder(order="deterministic").encode


class Whole:
    """An answer that is there as a whole. An ASGI application."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, answer: Answer) -> None:
        content = answer.content
        self.status = answer.status
        self.body = b"" if content is None else content if isinstance(content, bytes) else _encode(content)
        self.headers = raw_headers({**_ALWAYS, **answer.headers})
        if answer.status not in _BODILESS:
            self.headers.append((b"content-length", b"%d" % len(self.body)))
        if content is not None:
            self.headers.append((b"content-type", answer.media_type.encode("latin-1")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def whole(answer: Answer, headers: Mapping[str, str]) -> ASGIApp:
    """headers: of the request, by names in lower case."""
    plain = Whole(answer)
    if len(plain.body) < _COMPRESSED_BYTES_MIN:
        return plain
    if "gzip" in headers.get("accept-encoding", ""):
        return compressing(plain)
    plain.headers.append((b"vary", b"Accept-Encoding"))
    return plain


def compressing(app: ASGIApp) -> ASGIApp:
    return GZipMiddleware(app, minimum_size=_COMPRESSED_BYTES_MIN, compresslevel=_COMPRESSION_LEVEL)


def raw_headers(headers: Mapping[str, str]) -> RawHeaders:
    """As ASGI has them."""
    return [(_raw_name(name), value.encode("latin-1")) for name, value in headers.items()]


@lru_cache(maxsize=256)
def _raw_name(name: str) -> bytes:
    return name.lower().encode("latin-1")
