"""Documents: read, written, listed. A version is an `ETag`, and `If-Match` is `expect`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import msgspec

from palimpsest import client as c
from palimpsest.errors import (
    AccessError,
    BranchNotFound,
    DocumentExists,
    DocumentNotFound,
    LimitExceeded,
    PalimpsestError,
)
from palimpsest.state.delta import Delta
from palimpsest.web.conditions import (
    DOCUMENT_HEADERS,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    WRITE_HEADERS,
    Condition,
    condition_of,
    expect_of,
    is_known,
    last_modified,
    said_of,
    tag_of,
)
from palimpsest.web.operations import DELTA, JSON, JSON_PATCH, MERGE_PATCH, Answer, AnyOf, Call, Operation
from palimpsest.web.ops import NewOp, delta_of
from palimpsest.web.pages import PAGE_HEADERS, Page, limit_of, next_after, next_url, page_answer
from palimpsest.web.plain import Document, Version, document_of, version_of
from palimpsest.web.problems import Refused, plain_problem
from palimpsest.web.queries import BranchPageQuery, PlaceQuery, WriteQuery, branch_view_of
from palimpsest.words import Kind

_TRIES_MAX = 8
"""Of a write that goes wherever the document stands: somebody else would have to make or delete it between any two steps of as many tries."""

_encode = msgspec.json.Encoder(order="deterministic").encode


# --- reading ---------------------------------------------------------------------------------------------------------


class DocumentQuery(PlaceQuery, frozen=True, kw_only=True):
    envelope: bool = False
    """The value with what is known of its version, in place of the value alone."""


async def get_document(call: Call) -> Answer:
    """The value itself; its version is the `ETag`. With `envelope`, a Document.

    Through a perspective, or a role's, what is seen of a version may change, and an erasure changes the past: there the tag has a
    digest of the body, too.
    """
    query: DocumentQuery = call.query
    place: dict[str, Any] = {"version": query.version, "at": query.at, "tag": query.tag}
    document = await call.client.get(call.path["name"], **place, **branch_view_of(query))
    body = _encode(document_of(document) if query.envelope else document.value)
    is_fixed = not (call.is_named or query.perspective or query.family or any(place.values()))
    tag = tag_of(document.version, None if is_fixed else body)
    headers = _document_headers(document.branch, document.version) | {
        "ETag": tag,
        "Last-Modified": last_modified(document.at_microseconds // 1_000_000),
    }
    return Answer(None, 304, headers) if is_known(call.headers, tag) else Answer(body, headers=headers)


def _document_headers(branch: str, version: int) -> dict[str, str]:
    return {"Palimpsest-Version": str(version), "Palimpsest-Branch": quote(branch, safe="/")}


# --- listing ---------------------------------------------------------------------------------------------------------


class Listed(msgspec.Struct, frozen=True):
    """One document of a list."""

    document: str


class DocumentsQuery(BranchPageQuery, frozen=True, kw_only=True):
    pattern: str = "**"
    """`*` is one level, `**` any depth."""
    after: str = ""
    """Only names behind this one."""
    deleted: bool = False
    """Those that are deleted, too."""
    values: bool = False
    """Each comes whole, as a Document."""


async def list_documents(call: Call) -> Answer:
    """The names of documents that match, in the order of their code points. With `values`, the documents themselves; a page ends early where
    they are large."""
    query: DocumentsQuery = call.query
    limit = limit_of(call)
    names = call.client.list(
        query.pattern, deleted=query.deleted, after=query.after, limit=limit + 1, **branch_view_of(query)
    )
    found = [name async for name in names]
    following = next_after(call, found, str)
    if not query.values:
        return page_answer(Page(items=[Listed(name) for name in found[:limit]], next=following))
    items, cut = await _whole(call, found[:limit])
    return page_answer(Page(items=items, next=following if cut is None else next_url(call, after=cut)))


_TOGETHER = 16
"""Documents that are asked for at once, each as large as a server lets them be."""


async def _whole(call: Call, names: list[str]) -> tuple[Any, str | None]:
    """Documents, encoded, up to where they are large enough together; and the name of the last one, where others are left."""
    items: list[msgspec.Raw] = []
    left = call.services.limits.page_bytes_max
    async with aclosing(_documents(call, names)) as found:
        async for name, document in found:
            if document is not None:  # else it was deleted meanwhile
                items.append(msgspec.Raw(_encode(document_of(document))))
                left -= len(items[-1])
            if left <= 0 and name != names[-1]:
                return items, name
    return items, None


async def _documents(call: Call, names: list[str]) -> AsyncGenerator[tuple[str, c.Document | None], None]:
    """By name, a few at a time; one by one where a few do not fit into one message."""
    view = branch_view_of(call.query)
    for start in range(0, len(names), _TOGETHER):
        part = names[start : start + _TOGETHER]
        try:
            together = await call.client.get_many(part, **view)
        except LimitExceeded:
            for name in part:
                [document] = await call.client.get_many([name], **view)
                yield name, document
        else:
            for name, document in zip(part, together, strict=True):
                yield name, document


# --- writing ---------------------------------------------------------------------------------------------------------


async def put_document(call: Call) -> Answer:
    """The document has this value from now on: 201 where it was not there, else 200. `If-None-Match: *`: only where it is not there;
    `If-Match`: only where it is, as that version."""
    condition = condition_of(call.headers)
    if condition.is_new:
        version, is_made = await _create(call), True
    elif condition.exists:
        version, is_made = await _replace_existing(call, condition), False
    else:
        version, is_made = await _put(call)
    if version.repeat:
        is_made = await _was_made(call, version)
        version = msgspec.structs.replace(version, kind=Kind.CREATE if is_made else Kind.UPDATE)
    return _made(call, version, is_made=is_made)


async def _put(call: Call) -> tuple[c.Version, bool]:
    """Replaces what is there, or makes it. Each step is decided by the server at once, and both carry the request's id, so that a repeat finds
    what the first did, whichever step that was."""
    error: PalimpsestError
    for _ in range(_TRIES_MAX):
        try:
            return await _replace(call), False
        except (DocumentNotFound, BranchNotFound):
            pass
        try:
            return await _create(call), True
        except DocumentExists as exists:
            error = exists
    raise error


async def _create(call: Call) -> c.Version:
    return await call.client.create(call.path["name"], call.body, **branch_view_of(call.query), **said_of(call))


async def _replace(call: Call, expect: int | None = None) -> c.Version:
    delta = Delta().set((), call.body)
    return await call.client.update(
        call.path["name"], delta, expect=expect, **branch_view_of(call.query), **said_of(call)
    )


async def _replace_existing(call: Call, condition: Condition) -> c.Version:
    try:
        return await _replace(call, condition.expect)
    except (DocumentNotFound, BranchNotFound) as error:
        # Without the condition it would have been made: that it was not is because of the condition.
        raise Refused(plain_problem(412, "Precondition Failed", error.message)) from error


async def _was_made(call: Call, version: c.Version) -> bool:
    """Whether an earlier sending of this request has made the document. A writer who may not look into the past is told that it has not,
    but for the first version, which can be no other."""
    if version.version == 1:
        return True
    number = version.version
    found = call.client.history(call.path["name"], branch=call.query.branch, first=number, last=number, limit=1)
    try:
        return any([entry.kind is Kind.CREATE async for entry in found])
    except AccessError:
        return False


async def patch_document(call: Call) -> Answer:
    """Changes a document by a JSON Patch (RFC 6902), a JSON Merge Patch (RFC 7396), or a delta. It is applied whole or not at all."""
    expect = expect_of(call.headers)
    delta = _MAKERS[call.media_type](call.body)
    version = await call.client.update(
        call.path["name"], delta, expect=expect, **branch_view_of(call.query), **said_of(call)
    )
    return _made(call, version)


_MAKERS: dict[str, Any] = {
    JSON_PATCH: Delta.from_json_patch,
    MERGE_PATCH: Delta.from_merge_patch,
    DELTA: delta_of,
}


async def delete_document(call: Call) -> Answer:
    """Deletes a document. That is a version like any other: its history stays."""
    expect = expect_of(call.headers)
    version = await call.client.delete(call.path["name"], expect=expect, **branch_view_of(call.query), **said_of(call))
    return _made(call, version)


def _made(call: Call, version: c.Version, *, is_made: bool = False) -> Answer:
    headers = _document_headers(version.branch, version.version) | {"ETag": tag_of(version.version)}
    if is_made:
        headers["Location"] = quote(call.target, safe="/")
    return Answer(version_of(version), 201 if is_made else 200, headers)


OPERATIONS = (
    Operation(
        method="GET",
        path="/documents",
        id="listDocuments",
        summary="The documents that match a pattern",
        group="documents",
        handler=list_documents,
        query=DocumentsQuery,
        answers={200: AnyOf(Page[Listed], Page[Document])},
        answer_headers=PAGE_HEADERS,
    ),
    Operation(
        method="GET",
        path="/documents/{name:path}",
        id="getDocument",
        summary="The value of a document",
        group="documents",
        handler=get_document,
        query=DocumentQuery,
        answers={200: Any, 304: None},
        answer_headers=DOCUMENT_HEADERS,
        request_headers=IF_NONE_MATCH,
    ),
    Operation(
        method="PUT",
        path="/documents/{name:path}",
        id="putDocument",
        summary="Make or replace a document",
        group="documents",
        handler=put_document,
        query=WriteQuery,
        bodies={JSON: Any},
        answers={200: Version, 201: Version},
        answer_headers=DOCUMENT_HEADERS,
        request_headers=IF_MATCH | {"If-None-Match": "`*`: only where there is none."} | IDEMPOTENCY_KEY,
    ),
    Operation(
        method="PATCH",
        path="/documents/{name:path}",
        id="patchDocument",
        summary="Change a document",
        group="documents",
        handler=patch_document,
        query=WriteQuery,
        bodies={JSON_PATCH: list[dict[str, Any]], MERGE_PATCH: Any, DELTA: list[NewOp]},
        answers={200: Version},
        answer_headers=DOCUMENT_HEADERS,
        request_headers=WRITE_HEADERS,
    ),
    Operation(
        method="DELETE",
        path="/documents/{name:path}",
        id="deleteDocument",
        summary="Delete a document",
        group="documents",
        handler=delete_document,
        query=WriteQuery,
        answers={200: Version},
        answer_headers=DOCUMENT_HEADERS,
        request_headers=WRITE_HEADERS,
    ),
)
