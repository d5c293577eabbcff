"""What is written about documents, each in a document of the server's own: listed, read, written and deleted in one way, whatever it says.

A PUT or a DELETE is one of the document itself, with the same conditions, and the same answer to a repeat. What may be written is for the server
to check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from typing import Any, TypeVar

import msgspec

from palimpsest.errors import InvalidName, InvalidRequest
from palimpsest.web.conditions import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, WRITE_HEADERS, is_known, tag_of
from palimpsest.web.documents import delete_document, put_document
from palimpsest.web.operations import JSON, Answer, Call, Operation
from palimpsest.web.pages import PAGE_HEADERS, Page, limit_of, next_after, page_answer
from palimpsest.web.plain import Version
from palimpsest.web.queries import PageQuery, SaidQuery, WriteQuery

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class NamesQuery(PageQuery, frozen=True, kw_only=True):
    after: str = ""
    """Only names behind this one."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of definitions.

    word: for one of them. title: the same in the ids of operations, and for several. path: of all of them; prefix: of their documents. body: the
    type of one, which may have a `name`: that of the path, or "". read: from name and value to a body. written: from name and body to what the
    document holds; both raise what is wrong with it.
    """

    word: str
    title: tuple[str, str]
    path: str
    prefix: str
    group: str
    body: type[msgspec.Struct]
    read: Callable[[str, Any], msgspec.Struct]
    written: Callable[[str, Any], Any]


def operations(
    kind: Kind, query: type[SaidQuery] = SaidQuery, before: Callable[[Call], Awaitable[None]] | None = None
) -> tuple[Operation, ...]:
    """query, before: of PUT; before is awaited before anything is written, and what it raises is answered."""
    return (listing(kind), reading(kind), putting(kind, query, before), deleting(kind))


def narrowed(kind: type[_Struct], body: msgspec.Struct, **others: Any) -> _Struct:
    """The fields that kind has, of a body that has more. others: in place of the body's own."""
    return kind(**{name: getattr(body, name) for name in kind.__struct_fields__} | others)


def widened(kind: type[_Struct], said: msgspec.Struct, **others: Any) -> _Struct:
    """said, with others beside it, as an instance of kind, which has the fields of both."""
    return kind(**msgspec.structs.asdict(said) | others)


def document_of(kind: Kind, call: Call) -> str:
    """Raises InvalidName for what is no name of one."""
    name = call.path["name"]
    if not name or "/" in name or "*" in name:
        raise InvalidName(
            f"{name!r} is no name of a {kind.word}: that is text without `/` and `*`", name=name, reason=kind.word
        )
    return kind.prefix + name


# --- one operation each ----------------------------------------------------------------------------------------------


def listing(kind: Kind) -> Operation:
    async def handle(call: Call) -> Answer:
        query: NamesQuery = call.query
        limit = limit_of(call)
        after = kind.prefix + query.after if query.after else ""
        names = [name async for name in call.client.list(kind.prefix + "*", after=after, limit=limit + 1)]
        found = await call.client.get_many(names[:limit])
        items = [kind.read(each.id.removeprefix(kind.prefix), each.value) for each in found if each is not None]
        following = next_after(call, names, lambda name: name.removeprefix(kind.prefix))
        return page_answer(Page(items=items, next=following))

    return Operation(
        method="GET",
        path=kind.path,
        id=f"list{kind.title[1]}",
        summary=f"Every {kind.word}, by name",
        group=kind.group,
        handler=handle,
        query=NamesQuery,
        answers={200: Page[kind.body]},  # type: ignore[name-defined]  # the type is known at run time only
        answer_headers=PAGE_HEADERS,
    )


def reading(kind: Kind) -> Operation:
    async def handle(call: Call) -> Answer:
        document = await call.client.get(document_of(kind, call))
        tag = tag_of(document.version)
        if is_known(call.headers, tag):
            return Answer(None, 304, {"ETag": tag})
        return Answer(kind.read(call.path["name"], document.value), headers={"ETag": tag})

    return Operation(
        method="GET",
        path=f"{kind.path}/{{name}}",
        id=f"get{kind.title[0]}",
        summary=f"One {kind.word}",
        group=kind.group,
        handler=handle,
        answers={200: kind.body, 304: None},
        answer_headers={"ETag": "The version of its document."},
        request_headers=IF_NONE_MATCH,
    )


def putting(
    kind: Kind, query: type[SaidQuery] = SaidQuery, before: Callable[[Call], Awaitable[None]] | None = None
) -> Operation:
    """As of `operations`."""

    async def handle(call: Call) -> Answer:
        document = document_of(kind, call)
        name = call.path["name"]
        if getattr(call.body, "name", name) not in ("", name):
            raise InvalidRequest(
                f"the body is for {call.body.name!r}, and the path for {name!r}: one name is enough", reason="name"
            )
        value = kind.written(name, call.body)
        if before is not None:
            await before(call)
        return await put_document(_as_document(call, document, value))

    return Operation(
        method="PUT",
        path=f"{kind.path}/{{name}}",
        id=f"put{kind.title[0]}",
        summary=f"Make or replace a {kind.word}",
        group=kind.group,
        handler=handle,
        query=query,
        bodies={JSON: kind.body},
        answers={200: Version, 201: Version},
        answer_headers={"ETag": "The version of its document."},
        request_headers=IF_MATCH | {"If-None-Match": "`*`: only where there is none."} | IDEMPOTENCY_KEY,
    )


def deleting(kind: Kind) -> Operation:
    async def handle(call: Call) -> Answer:
        return await delete_document(_as_document(call, document_of(kind, call), None))

    return Operation(
        method="DELETE",
        path=f"{kind.path}/{{name}}",
        id=f"delete{kind.title[0]}",
        summary=f"Delete a {kind.word}; its past stays",
        group=kind.group,
        handler=handle,
        query=SaidQuery,
        answers={200: Version},
        answer_headers={"ETag": "The version of its document."},
        request_headers=WRITE_HEADERS,
    )


def _as_document(call: Call, document: str, value: Any) -> Call:
    """The call, as one for the document itself."""
    made = copy(call)
    made.path = {"name": document}
    made.query = WriteQuery(by=call.query.by, description=call.query.description)
    made.body = value
    return made
