"""Perspectives, roles, tokens and schemas: who may do what, as seen through what, and what documents have to look like."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from palimpsest.client import NewToken, TokenInfo
from palimpsest.errors import InvalidRequest
from palimpsest.state.definitions import PERSPECTIVES, Perspective, parse_perspective
from palimpsest.state.definitions import to_value as perspective_value
from palimpsest.state.lens import make_lens
from palimpsest.state.perspectives import check_perspectives
from palimpsest.state.rights import OBSERVE, Rights
from palimpsest.state.roles import ACTIONS, ADMIN, Allowance, Role, parse_role
from palimpsest.state.roles import to_value as role_value
from palimpsest.state.schemas import SCHEMAS, Schema, parse_schema
from palimpsest.state.system import ROLES
from palimpsest.state.tree import NOTHING
from palimpsest.state.values import freeze, thaw
from palimpsest.web.definitions import Kind, NamesQuery, narrowed, operations, widened
from palimpsest.web.operations import JSON, Answer, Call, Operation, Query
from palimpsest.web.pages import PAGE_HEADERS, Page, limit_of, next_after, page_answer
from palimpsest.web.plain import Version, version_of
from palimpsest.web.queries import Moment, SaidQuery, VersionNumber
from palimpsest.words import MAIN

_GROUP = "access"


# --- perspectives ----------------------------------------------------------------------------------------------------


class NamedPerspective(Perspective, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A named view of documents."""

    name: str = ""
    """May be left out in a request, where the path says it."""


def _read_perspective(name: str, value: Any) -> NamedPerspective:
    return widened(NamedPerspective, parse_perspective(name, value))


def _written_perspective(name: str, body: NamedPerspective) -> Any:
    value = perspective_value(narrowed(Perspective, body, name=name))
    parse_perspective(name, value)
    return value


_PERSPECTIVES = Kind(
    word="perspective",
    title=("Perspective", "Perspectives"),
    path="/perspectives",
    prefix=PERSPECTIVES,
    group=_GROUP,
    body=NamedPerspective,
    read=_read_perspective,
    written=_written_perspective,
)


class Preview(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look at, and through which definition. Where that has a family and a level, all levels up to it are seen together."""

    perspective: NamedPerspective
    document: str
    branch: str = MAIN
    version: VersionNumber | None = None


class Previewed(msgspec.Struct, frozen=True, kw_only=True):
    """shown: the perspective is for the document, and something of it is seen; value is null otherwise."""

    value: Any
    shown: bool


_UNNAMED = "unnamed"


async def preview(call: Call) -> Answer:
    """What a reader would see of a document through a definition that is not kept yet. Nothing is written. The document is read with the caller's own
    rights; where the definition builds on others, by `extends` or a family, these are read, too."""
    said: Preview = call.body
    name = said.perspective.name or _UNNAMED
    perspective = narrowed(Perspective, said.perspective, name=name)
    parsed = parse_perspective(name, perspective_value(perspective))
    known: dict[str, Perspective] = {}
    if parsed.extends is not None or parsed.family is not None:
        known = {each.name: each async for each in call.client.perspectives.list()}
    document = await call.client.get(said.document, branch=said.branch, version=said.version)
    # In a thread: what is computed may take long, and others are waiting.
    shown = await asyncio.to_thread(_seen, known | {name: parsed}, parsed, said.document, document.value)
    return Answer(Previewed(value=None if shown is NOTHING else shown, shown=shown is not NOTHING))


def _seen(perspectives: Mapping[str, Perspective], one: Perspective, document: str, value: Any) -> Any:
    """What is seen of value through one of perspectives, plain; NOTHING where nothing is. Raises InvalidPerspective."""
    check_perspectives(perspectives)
    lens = make_lens(perspectives, one.family or one.name, one.level)
    if not lens.is_for(document):
        return NOTHING
    view = lens.view(freeze(value))
    return NOTHING if view is NOTHING else thaw(view)


# --- roles -----------------------------------------------------------------------------------------------------------


class NamedRole(Role, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """What those who have it may do."""

    name: str = ""
    """May be left out in a request, where the path says it."""


def _read_role(name: str, value: Any) -> NamedRole:
    return widened(NamedRole, parse_role(value), name=name)


def _written_role(name: str, body: NamedRole) -> Any:
    if name == ADMIN:
        raise InvalidRequest("the role `admin` is always there, and may do everything", reason="name")
    value = role_value(narrowed(Role, body))
    parse_role(value)
    return value


_ROLES = Kind(
    word="role",
    title=("Role", "Roles"),
    path="/roles",
    prefix=ROLES,
    group=_GROUP,
    body=NamedRole,
    read=_read_role,
    written=_written_role,
)


class ViewQuery(Query, frozen=True, kw_only=True):
    document: str


class RoleView(msgspec.Struct, frozen=True, kw_only=True):
    """What one who has this role, and no other, may do with a document; `observe`, which is about no document, is not among it. perspective, level: what it
    is read through; null: it is read as it is, or, where `read` is not among the actions, not at all."""

    actions: list[str]
    perspective: str | None
    level: int | None


async def view_role(call: Call) -> Answer:
    """What one with this role gets of a document, decided from the role alone, whether or not there is such a document. Where it would have to say
    through which of several perspectives it reads, that is the problem in the answer."""
    query: ViewQuery = call.query
    name = call.path["name"]
    role = None if name == ADMIN else await call.client.roles.get(name)
    return Answer(view_of_role(name, role, query.document))


def view_of_role(name: str, role: Role | None, document: str) -> RoleView:
    """role: None for `admin`. Raises InvalidRequest where several perspectives would do."""
    rights = Rights("", {name: role})
    actions = [action for action in ACTIONS if action != OBSERVE and rights.may_somehow(action, document)]
    view = rights.decide([("read", document)]) if "read" in actions else None
    return RoleView(
        actions=actions,
        perspective=None if view is None else view.perspective,
        level=None if view is None else view.level,
    )


# --- tokens ----------------------------------------------------------------------------------------------------------


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """principal: who is to show it. roles: by name. expires: when it is good no longer; or `expires_seconds`; neither: never. certificate: in place of
    a text, a client's certificate with this common name."""

    principal: str
    roles: tuple[str, ...]
    expires: Moment | None = None
    expires_seconds: Annotated[float, msgspec.Meta(gt=0, le=1e10)] | None = None
    certificate: str | None = None
    description: str = ""
    limits: Allowance = Allowance()


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token, but for its text."""

    id: str
    principal: str
    roles: list[str]
    certificate: str | None
    created_at: datetime
    expires_at: datetime | None
    description: str
    limits: Allowance


class MadeToken(Token, frozen=True, kw_only=True):
    """token: its text, which cannot be had again; null where a certificate stands in for it."""

    token: str | None


async def list_tokens(call: Call) -> Answer:
    query: NamesQuery = call.query
    limit = limit_of(call)
    found: list[TokenInfo] = []
    async for each in call.client.tokens.list():
        if each.id > query.after:
            found.append(each)
        if len(found) > limit:
            break
    following = next_after(call, found, lambda info: info.id)
    return page_answer(Page(items=[_token(Token, each) for each in found[:limit]], next=following))


async def create_token(call: Call) -> Answer:
    """The token's text is in this answer, and in no other one. With the first token, the server is closed to whoever has none."""
    said: TokenRequest = call.body
    query: SaidQuery = call.query
    if said.expires is not None and said.expires_seconds is not None:
        raise InvalidRequest("`expires`, or `expires_seconds`: one of them says it", reason="expires")
    made: NewToken = await call.client.tokens.create(
        said.principal,
        roles=said.roles,
        expires=said.expires or _duration(said.expires_seconds),
        certificate=said.certificate,
        limits=said.limits,
        description=said.description,
        by=query.by,
    )
    return Answer(_token(MadeToken, made, token=made.text), 201)


class RevokeQuery(SaidQuery, frozen=True, kw_only=True):
    last: bool = False
    """Even though nobody who is left could make another one."""


async def revoke_token(call: Call) -> Answer:
    """The token is good no longer, and connections that have shown it are ended."""
    query: RevokeQuery = call.query
    version = await call.client.tokens.revoke(
        call.path["id"], last=query.last, by=query.by, description=query.description
    )
    return Answer(version_of(version))


def _token(kind: type[Token], info: TokenInfo, **others: Any) -> Token:
    fields = msgspec.structs.asdict(info)
    fields.pop("text", None)
    return kind(**{**fields, "roles": list(info.roles)}, **others)


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


# --- schemas ---------------------------------------------------------------------------------------------------------


class NamedSchema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """documents: a pattern. schema: what their values have to keep to, as JSON Schema."""

    documents: str
    schema: dict[str, Any]
    name: str = ""
    """May be left out in a request, where the path says it."""


class SchemaQuery(SaidQuery, frozen=True, kw_only=True):
    check: bool = True
    """It is not taken where a document on the main branch breaks it."""


def _read_schema(name: str, value: Any) -> NamedSchema:
    schema: Schema = parse_schema(name, value)
    return NamedSchema(name=name, documents=schema.documents, schema=dict(schema.schema))


def _written_schema(name: str, body: NamedSchema) -> Any:
    value = {"documents": body.documents, "schema": body.schema}
    parse_schema(name, value)
    return value


async def _check_documents(call: Call) -> None:
    """Raises SchemaViolation for the first document that breaks the schema."""
    if call.query.check:
        found = await call.client.schemas.check(documents=call.body.documents, schema=call.body.schema)
        if found:
            raise found[0]


_SCHEMAS = Kind(
    word="schema",
    title=("Schema", "Schemas"),
    path="/schemas",
    prefix=SCHEMAS,
    group=_GROUP,
    body=NamedSchema,
    read=_read_schema,
    written=_written_schema,
)


# --- all of it -------------------------------------------------------------------------------------------------------

OPERATIONS = (
    *operations(_PERSPECTIVES),
    Operation(
        method="POST",
        path="/perspectives/preview",
        id="previewPerspective",
        summary="What a document looks like through a definition",
        group=_GROUP,
        handler=preview,
        bodies={JSON: Preview},
        answers={200: Previewed},
    ),
    *operations(_ROLES),
    Operation(
        method="GET",
        path="/roles/{name}/view",
        id="viewRole",
        summary="What one with a role gets of a document",
        group=_GROUP,
        handler=view_role,
        query=ViewQuery,
        answers={200: RoleView},
    ),
    Operation(
        method="GET",
        path="/tokens",
        id="listTokens",
        summary="Every token, without its text",
        group=_GROUP,
        handler=list_tokens,
        query=NamesQuery,
        answers={200: Page[Token]},
        answer_headers=PAGE_HEADERS,
    ),
    Operation(
        method="POST",
        path="/tokens",
        id="createToken",
        summary="Make a token",
        group=_GROUP,
        handler=create_token,
        query=SaidQuery,
        bodies={JSON: TokenRequest},
        answers={201: MadeToken},
    ),
    Operation(
        method="DELETE",
        path="/tokens/{id}",
        id="revokeToken",
        summary="Revoke a token",
        group=_GROUP,
        handler=revoke_token,
        query=RevokeQuery,
        answers={200: Version},
    ),
    *operations(_SCHEMAS, SchemaQuery, _check_documents),
)
