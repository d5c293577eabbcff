"""Documents: read, written, listed. A version is an `ETag`, and `If-Match` is `expect`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from palimpsest.web.operations import Answer, Call, Operation, Query
from palimpsest.words import MAIN


class DocumentQuery(Query, frozen=True, kw_only=True):
    branch: str = MAIN
    version: int | None = None
    at: datetime | None = None
    tag: str | None = None
    perspective: str | None = None
    family: str | None = None
    level: int | None = None


async def get_document(call: Call) -> Answer:
    query: DocumentQuery = call.query
    document = await call.client.get(
        call.path["name"],
        branch=query.branch,
        version=query.version,
        at=query.at,
        tag=query.tag,
        perspective=query.perspective,
        family=query.family,
        level=query.level,
    )
    return Answer(document.value, headers={"ETag": f'"{document.version}"'})


OPERATIONS = (
    Operation(
        method="GET",
        path="/documents/{name:path}",
        id="getDocument",
        summary="The value of a document",
        group="documents",
        handler=get_document,
        query=DocumentQuery,
        answers={200: Any},
    ),
)
