"""What can be asked over HTTP, as data: each operation says its method and path, what it takes, what it answers, and who does it.

The one table of all operations makes the routes and the OpenAPI description, so that these cannot differ.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from palimpsest.client import Client
from palimpsest.web.services import Services

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
DELTA = "application/vnd.palimpsest.delta+json"
EVENT_STREAM = "text/event-stream"
TEXT = "text/plain; charset=utf-8"


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of what may stand behind the `?`. A field that is a tuple may be given more than once."""


class Call:
    """One request, checked: path, query and body are what the operation says they are."""

    __slots__ = ("body", "client", "headers", "is_named", "media_type", "path", "query", "services", "target")

    def __init__(
        self,
        client: Client,
        services: Services,
        path: Mapping[str, str],
        query: Any,
        body: Any,
        media_type: str,
        headers: Mapping[str, str],
        target: str = "",
        *,
        is_named: bool = False,
    ) -> None:
        self.client = client
        """Of whoever asks, with that one's rights."""
        self.services = services
        self.path = path
        """By name, as in the path of the operation, decoded."""
        self.query = query
        """An instance of the operation's `query`."""
        self.body = body
        """An instance of the type that the operation gives for `media_type`; None where it takes no body."""
        self.media_type = media_type
        """Of the body, without parameters; "" where there is none."""
        self.headers = headers
        """Names are of lower case."""
        self.target = target
        """The whole path that was asked for, decoded."""
        self.is_named = is_named
        """Whoever asks has a token, so that a role may say what is seen."""


class Answer(msgspec.Struct, frozen=True):
    """content: what is encoded as JSON; or bytes, which are sent as they are; None: no body."""

    content: Any = None
    status: int = 200
    headers: Mapping[str, str] = {}
    media_type: str = JSON


class Chunks(Protocol):
    """What is to be written, piece by piece."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """Nothing more is asked for. Called once at the end, whether or not anything was."""
        ...


class Stream(msgspec.Struct, frozen=True):
    """An answer without an end: chunks as they are to be written. Closed when the caller has gone or the gateway stops."""

    chunks: Chunks
    headers: Mapping[str, str] = {}
    media_type: str = EVENT_STREAM


Handler = Callable[[Call], Awaitable[Answer | Stream]]


class AnyOf:
    """In `answers`: one of these types, where no single one says it."""

    def __init__(self, *kinds: Any) -> None:
        self.kinds = kinds


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """path: with parameters in braces; `{name:path}` takes slashes, too. query: what may stand behind the `?`. bodies: by media type, the type of
    the body; empty: there is none. answers: by status, the type of the content, or `AnyOf` some; None: no body. media_type: of the answer of success.

    is_open: asked without a client of the caller's: `call.client` is not there then.
    """

    method: str
    path: str
    id: str
    summary: str
    group: str
    handler: Handler
    answers: Mapping[int, Any]
    query: type[Query] = Query
    bodies: Mapping[str, Any] = {}
    body_required: bool = True
    media_type: str = JSON
    answer_headers: Mapping[str, str] = {}
    """What the answer of success says in headers, with a description each."""
    request_headers: Mapping[str, str] = {}
    """What is looked at beside `Authorization`, with a description each."""
    is_open: bool = False
    is_probe: bool = False
    """Asked by machines that know us by any name."""
